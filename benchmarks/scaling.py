"""Decoding steps of the native engine: tokens a second against streams and threads.

`python benchmarks/scaling.py`. Beside it, in the same run: how fast memory can be read, and which
share of that the weights of one step take. Random tokens; speed does not depend on them.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from lmzip.engine import Pack
from lmzip.engine.cores import available_cores
from lmzip.engine.native import NativeEngine
from lmzip.models.store import ModelStore


def read_bytes_per_s(threads: int) -> float:
    """Plain reading of 256 MiB a thread, the best of three."""
    parts = [np.ones(32 << 20, np.uint64) for _ in range(threads)]
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(3):
            started = time.perf_counter()
            list(pool.map(np.bitwise_or.reduce, parts))
            best = max(best, sum(p.nbytes for p in parts) / (time.perf_counter() - started))
    return best


def step_s(engine: NativeEngine, streams: int, past: int, repeats: int) -> float:
    """Median seconds of one step: a token of every stream, and both digits' frequencies."""
    rng = np.random.default_rng(0)
    cache = engine.new_cache(streams, 2048, 4, 2048)
    vocab = engine.config.vocab
    if past:
        engine.forward(rng.integers(0, vocab, (streams, past)), cache)
    times = []
    for _ in range(repeats):
        tokens = rng.integers(0, vocab, (streams, 1))
        started = time.perf_counter()
        predictions = engine.forward(tokens, cache)
        predictions.high()
        predictions.low(tokens // 256)
        times.append(time.perf_counter() - started)
    return float(np.median(times))


@click.command()
@click.option("-m", "--model", default="smollm2-135m-instruct", show_default=True)
@click.option("--past", default=64, show_default=True, help="Tokens in the cache beforehand.")
@click.option("--repeats", default=12, show_default=True)
@click.option("--isa", help="Instruction set.")
def main(model: str, past: int, repeats: int, isa: str | None) -> None:
    """Print a Markdown table."""
    home = os.environ.get("LMZIP_HOME")
    pack: Pack = ModelStore(Path(home) if home else None).pull(model)
    threads = sorted({1, min(2, available_cores()), available_cores()})
    weights = sum(t.nbytes for name, t in pack.tensors.items() if name.endswith(".weight"))
    engines = [NativeEngine(pack, threads=n, isa=isa) for n in threads]
    print(
        f"{model}, {engines[0].isa}: {weights / 1e6:.0f} MB of weights a step, {past} tokens before"
    )
    print(
        "| streams | "
        + " | ".join(f"{n} threads: tokens/s, GB/s of weights" for n in threads)
        + " |"
    )
    print("|---" * (len(threads) + 1) + "|")
    for streams in (1, 2, 4, 8, 16, 32, 64):
        cells = []
        for engine in engines:
            seconds = step_s(engine, streams, past, repeats)
            cells.append(f"{streams / seconds:.0f}, {weights / seconds / 1e9:.1f}")
        print(f"| {streams} | " + " | ".join(cells) + " |", flush=True)
    reads = " | ".join(f"{read_bytes_per_s(n) / 1e9:.1f} GB/s" for n in threads)
    print(f"| plain memory read | {reads} |")


if __name__ == "__main__":
    main()
