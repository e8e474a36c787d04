"""Time that mixing takes for a token, apart from the model's: predictions are made first.

    python benchmarks/mixer.py [--model NAME] [--bytes N] FILE...

Microseconds with the calls from Python, one thread, best of some passes; streams in lockstep as by
default. The range coder's time for the same digits stands beside: it tells a slow hour from a slow
program.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from lmzip.api import models_home
from lmzip.coder import new_encoder
from lmzip.engine import RADIX
from lmzip.mix import new_mixer, table_bits
from lmzip.models.source import load_model
from lmzip.models.store import ModelStore

STREAMS, WINDOW, SINKS, SLICE, PASSES = 32, 512, 4, 16, 4


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--model", default="lmzip-3m", show_default=True)
@click.option("--bytes", "limit", default=150_000, show_default=True, help="Of each file.")
def main(files: tuple[Path, ...], model: str, limit: int) -> None:
    """Print a Markdown table."""
    found = load_model(ModelStore(models_home()).open(model), tokenizing=True)
    engine, words = found.engine, found.tokenizer.vocabulary.words
    print("| text | tokens | high digits | low digits | learning | mixing, us a token | coder |")
    print("|---|---|---|---|---|---|---|")
    for file in files:
        ids = found.tokenizer.tokenize(file.read_bytes()[:limit])
        length = len(ids) // STREAMS
        rows = ids[: STREAMS * length].reshape(STREAMS, length).astype(np.int64)
        inputs = np.pad(rows[:, :-1], ((0, 0), (1, 0)), constant_values=engine.config.bos)
        cache = engine.new_cache(STREAMS, WINDOW, SINKS, length)
        high, low = [], []
        for start in range(0, length, SLICE):
            predictions = engine.forward(inputs[:, start : start + SLICE], cache)
            high += list(predictions.high().transpose(1, 0, 2).copy())
            low += list(
                predictions.low(rows[:, start : start + SLICE] // RADIX).transpose(1, 0, 2).copy()
            )
        best = np.full(4, np.inf)
        for _ in range(PASSES):
            mixer = new_mixer(words, STREAMS, table_bits(rows.size, 19))
            encoder = new_encoder()
            spent = np.zeros(4)
            for t, tokens in enumerate(np.ascontiguousarray(rows.T)):
                digits, rest = tokens // RADIX, tokens % RADIX
                times = [time.perf_counter()]
                mixed = mixer.high(high[t])
                times.append(time.perf_counter())
                encoder.code(mixed, digits)
                times.append(time.perf_counter())
                mixed = mixer.low(digits, low[t])
                times.append(time.perf_counter())
                encoder.code(mixed, rest)
                times.append(time.perf_counter())
                mixer.update(tokens)
                times.append(time.perf_counter())
                a, b, c, d, e = np.diff(times)
                spent += (a, c, e, b + d)
            best = np.minimum(best, spent * 1e6 / rows.size)
        print(
            f"| {file.name} | {rows.size:,} | {best[0]:.2f} | {best[1]:.2f} | {best[2]:.2f} "
            f"| {best[:3].sum():.2f} | {best[3]:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
