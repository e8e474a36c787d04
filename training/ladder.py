"""The ladder: bits per byte against parameters, in float and by the exact engine.

`python -m training.ladder CONFIG... --work FOLDER` writes a table, and a plot with `--plot FILE`.
Held-out texts count in disjoint windows, the start token before each; groups count alike.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lmzip.engine import PRECISION, RADIX, Engine, Pack

from . import config as configs
from . import evaluate
from .config import Config
from .export import last_checkpoint


@dataclasses.dataclass(frozen=True)
class Rung:
    """One model."""

    name: str
    parameters: int
    """Without the embedding."""
    tokens: int
    """It was trained on."""
    float_bits: float
    """Bits per byte of the checkpoint, in the processor's best type."""
    exact_bits: float
    """Bits per byte by the pack."""

    @property
    def loss(self) -> float:
        """What the conversion costs, as a part of the bits."""
        return self.exact_bits / self.float_bits - 1


def exact_total_bits(engine: Engine, tokens: NDArray[np.int64], window: int) -> float:
    """`evaluate.total_bits` with an exact engine."""
    bits = 0.0
    for start in range(0, len(tokens), window):
        piece = tokens[None, start : start + window]
        inputs = np.concatenate([[[engine.config.bos]], piece[:, :-1]], axis=1)
        predictions = engine.forward(inputs, engine.new_cache(1, window, 0, piece.shape[1]))
        digits = piece // RADIX, piece % RADIX
        rows = predictions.high(), predictions.low(digits[0])
        for freqs, digit in zip(rows, digits, strict=True):
            chosen = np.take_along_axis(freqs, digit[..., None], axis=-1)
            bits += float((PRECISION - np.log2(chosen)).sum())
    return bits


def climb(config: Config, work: Path, *, window: int, limit: int) -> Rung:
    """Measure one trained model on `limit` tokens of every held-out text (0: all)."""
    from lmzip.engine.native import NativeEngine

    checkpoint = last_checkpoint(work / config.name)
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model = evaluate.load(config, checkpoint)
    embedding = model.embed_tokens.weight.numel()
    pack = Pack.open(work / config.name / f"{config.name}.lmzpack")
    engine = NativeEngine(pack)
    return Rung(
        config.name,
        sum(weight.numel() for weight in model.parameters()) - embedding,
        int(state["progress"]["tokens"]),
        evaluate.held_out_bits(model, work, window, limit)["all"],
        evaluate.held_out_bits(engine, work, window, limit, exact_total_bits)["all"],
    )


def table(rungs: Sequence[Rung]) -> str:
    """Markdown."""
    lines = [
        "| model | weights in layers | trained on | float, bits/byte | exact | conversion |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r.name} | {r.parameters / 1e6:.2f} M | {r.tokens / 1e6:.1f} M tokens "
        f"| {r.float_bits:.4f} | {r.exact_bits:.4f} | {100 * r.loss:+.2f} % |"
        for r in rungs
    ]
    return "\n".join(lines)


def plot(rungs: Sequence[Rung], path: Path) -> None:
    """Bits per byte against parameters."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    sizes = [r.parameters / 1e6 for r in rungs]
    axes.plot(sizes, [r.float_bits for r in rungs], "o-", label="float")
    axes.plot(sizes, [r.exact_bits for r in rungs], "x--", label="exact engine")
    for r, size in zip(rungs, sizes, strict=True):
        label = f"{r.name}\n{r.tokens / 1e6:.1f} M tokens"
        axes.annotate(label, (size, r.float_bits), xytext=(6, 6), textcoords="offset points")
    axes.set_xscale("log")
    axes.margins(x=0.2, y=0.2)
    axes.set_xlabel("weights in layers, millions")
    axes.set_ylabel("bits per byte, held-out texts")
    axes.legend()
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.ladder", description=__doc__)
    parser.add_argument("configs", type=Path, nargs="+")
    parser.add_argument("--work", type=Path, default=Path("build/training"))
    parser.add_argument("--window", type=int, default=2048, help="in tokens")
    parser.add_argument("--limit", type=int, default=0, help="tokens of every text; 0: all")
    parser.add_argument("--plot", type=Path, help="an image file to write")
    args = parser.parse_args()
    rungs = []
    for path in args.configs:
        config = configs.load(path)
        print(f"measuring {config.name}", file=sys.stderr)
        rungs.append(climb(config, args.work, window=args.window, limit=args.limit))
    rungs.sort(key=lambda rung: rung.parameters)
    print(table(rungs))
    if args.plot:
        plot(rungs, args.plot)


if __name__ == "__main__":
    main()
