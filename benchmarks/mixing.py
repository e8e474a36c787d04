"""What mixing saves in real archives: their bytes, and what the model alone would have cost.

    python benchmarks/mixing.py [--level 5] [--bytes N] [--no-decode] FILE...

The model's own cost of the same tokens in the same windows is summed while they are coded, in bits;
headers and the like are counted on both sides.
"""

from __future__ import annotations

import dataclasses
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent))

from lmzip.api import models_home
from lmzip.codec import CodingParameters, compress_stream, decompress_stream, model
from lmzip.levels import LEVELS
from lmzip.mix import Mixer
from lmzip.models.source import StoreModels
from lmzip.models.store import ModelStore


def noting(make: Callable[..., Mixer], made: list[Mixer]) -> Callable[..., Mixer]:
    """`new_mixer`, remembering what it made."""

    def new_mixer(words: NDArray, streams: int, bits: int) -> Mixer:
        made.append(make(words, streams, bits))
        return made[-1]

    return new_mixer


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--level", default=5, show_default=True)
@click.option("--window", type=int, help="Instead of the level's.")
@click.option("--bytes", "limit", default=1 << 24, show_default=True, help="Of each file.")
@click.option("--decode/--no-decode", default=True, show_default=True)
def main(files: tuple[Path, ...], level: int, window: int | None, limit: int, decode: bool) -> None:
    """Print a Markdown table."""
    chosen = LEVELS[level - 1]
    parameters: CodingParameters = chosen.parameters
    if window is not None:
        parameters = dataclasses.replace(parameters, window=window)
    models = StoreModels(chosen.model, store=ModelStore(models_home()))
    models.for_compression()
    print(f"-{level}, {chosen.model}, {parameters}\n")
    print("| text | bytes | archive | bits/byte | without mixing | | decoded | seconds |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    plain = model.new_mixer
    for file in files:
        data = file.read_bytes()[:limit]
        made: list[Mixer] = []
        model.new_mixer = noting(plain, made)
        archive, back = io.BytesIO(), io.BytesIO()
        started = time.perf_counter()
        summary = compress_stream(io.BytesIO(data), archive.write, models, parameters)
        compress_s = time.perf_counter() - started
        model.new_mixer = plain
        size = len(archive.getvalue())
        alone = sum(mixer.model_bits for mixer in made) / 8 + size - summary.payload_bytes
        decoded, decompress_s = "no", 0.0
        if decode:
            archive.seek(0)
            started = time.perf_counter()
            decompress_stream(archive, back.write, models)
            decompress_s = time.perf_counter() - started
            if back.getvalue() != data:
                sys.exit(f"{file}: the round trip failed")
            decoded = "yes"
        print(
            f"| {file.name} | {len(data):,} | {size:,} | {8 * size / len(data):.4f} | {alone:,.0f} "
            f"| {100 * (size / alone - 1):+.1f} % | {decoded} "
            f"| {compress_s:.0f} + {decompress_s:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
