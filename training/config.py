"""A model's configuration file: TOML, one a model, with the data mix in a file of its own."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any


@dataclasses.dataclass(frozen=True)
class Group:
    """Files sampled together: `share` is their part of all sampled bytes (any unit)."""

    name: str
    share: float
    files: tuple[str, ...]
    wrap: float = 0.0
    """Probability that a text with one line a paragraph is re-wrapped."""
    crlf: float = 0.03
    """Probability of CRLF line ends."""
    ascii_quotes: float = 0.0
    """Probability that typographic quotes and dashes become ASCII."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """How corpora become shards. Sizes are in millions of bytes of text."""

    groups: tuple[Group, ...]
    seed: int = 1
    shards: int = 2
    shard_mb: float = 240.0
    tokenizer_mb: float = 60.0
    vocab: int = 8192
    row: int = 2048
    held_out: float = 0.005
    held_out_kb: float = 64.0
    """Kilobytes of every file's held-out part that the evaluation looks at."""
    avoid: tuple[str, ...] = ("eval", "pairs")
    """Folders beside the training texts that no training text may share a passage with."""
    skip_titles: tuple[str, ...] = ()
    titled: tuple[str, ...] = ()
    """Files whose documents are works with a title."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """The model's sizes, in elements; the vocabulary is the tokenizer's."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    ffn_width: int
    head_width: int = 64
    vocab: int = 8192
    context: int = 2048
    norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    ngrams: tuple[int, ...] = ()
    """Orders of the hashed n-grams that have rows beside the embedding: 2 is the last two tokens."""
    ngram_rows: int = 65536
    ngram_width: int = 64


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Warm-up, stable, decay. Lengths are in tokens; learning rates are those of the plateau."""

    seed: int = 1
    batch: int = 16384
    micro_batch: int = 4096
    candidates: int = 0
    """Rows of the head that a micro-batch is trained on until the decay's end; 0: all of them."""
    stable_length: int = 512
    decay_length: int = 2048
    warmup_tokens: int = 3_000_000
    total_tokens: int = 0
    """All tokens, decay included; 0: until a file named `decay` lies in the run's folder."""
    decay_fraction: float = 0.2
    """The decay's part of all tokens."""
    muon_lr: float = 0.02
    muon_momentum: float = 0.95
    muon_decay: float = 0.02
    adam_lr: float = 3e-3
    gain_lr: float = 3e-3
    table_lr: float = 3e-3
    """For the rows of n-grams."""
    clip: float = 1.0
    checkpoint_minutes: float = 5.0
    evaluate_steps: int = 1000
    evaluate_tokens: int = 4096
    """Of every held-out file, in the course of training."""
    log_steps: int = 20


@dataclasses.dataclass(frozen=True)
class Config:
    """All of it."""

    name: str
    shape: Shape
    schedule: Schedule
    data: DataConfig


def _data(table: dict[str, Any]) -> DataConfig:
    groups = tuple(Group(**{**g, "files": tuple(g["files"])}) for g in table.pop("group"))
    rest = {key: tuple(v) if isinstance(v, list) else v for key, v in table.items()}
    return DataConfig(groups=groups, **rest)


def load(path: Path) -> Config:
    """Read a configuration; `data` names the data file beside it."""
    table = tomllib.loads(path.read_text("utf-8"))
    data = tomllib.loads((path.parent / table["data"]).read_text("utf-8"))
    return Config(
        name=table["name"],
        shape=Shape(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in table["shape"].items()}
        ),
        schedule=Schedule(**table.get("schedule", {})),
        data=_data(data),
    )
