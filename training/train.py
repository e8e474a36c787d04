"""The models' training: `lmzip.training.Loop` on the shards of a work folder."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from lmzip.training.loop import Loop
from lmzip.training.model import Model

from .config import Config
from .data import read_shards
from .evaluate import held_out_bits


def bytes_a_token(work: Path) -> float:
    """Mean bytes of a training token, for the estimate in the log."""
    size = tokens = 0
    for path in work.glob("shard-*.json"):
        for file in json.loads(path.read_text())["files"].values():
            size, tokens = size + file["bytes"], tokens + file["tokens"]
    return size / max(tokens, 1) if tokens else 1.0


def run(
    config: Config,
    work: Path,
    *,
    threads: int = 0,
    steps: int = 0,
    device: str | None = None,
    workers: int = 1,
    compiled: bool = True,
    start: Path | None = None,
) -> Loop:
    """Train `config` in `work`, from its last checkpoint if there is one.

    Else from `start`, or from `start.pt` in the run's folder, or from nothing.
    """
    if threads:
        torch.set_num_threads(threads)
    schedule = config.schedule

    def measure(model: Model, length: int, whole: bool) -> dict[str, float]:
        return held_out_bits(model, work, length, 0 if whole else schedule.evaluate_tokens)

    loop = Loop(
        config.shape,
        schedule,
        read_shards(work, schedule.seed, config.data.row),
        work / config.name,
        measure=measure,
        device=device or ("cuda" if torch.cuda.is_available() else "cpu"),
        workers=workers,
        compiled=compiled,
        bytes_a_token=bytes_a_token(work),
    )
    own = loop.folder / "start.pt"
    loop.resume(start or (own if own.exists() else None))
    try:
        loop.train(steps)
    finally:
        loop.close()
    return loop
