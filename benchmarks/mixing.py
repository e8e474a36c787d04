"""What mixing saves: archives with it, decoded and compared, and archives without.

python benchmarks/mixing.py [--level 5] [--bytes N] [--no-decode] FILE...
"""

from __future__ import annotations

import dataclasses
import io
import sys
import time
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parent.parent))

from lmzip.api import models_home
from lmzip.codec import CodingParameters, ModelSource, compress_stream, decompress_stream
from lmzip.levels import LEVELS
from lmzip.models.source import StoreModels
from lmzip.models.store import ModelStore


def archive(data: bytes, models: ModelSource, parameters: CodingParameters) -> tuple[bytes, float]:
    """The archive of these bytes, and the seconds that it took."""
    made = io.BytesIO()
    started = time.perf_counter()
    compress_stream(io.BytesIO(data), made.write, models, parameters, size_bytes=len(data))
    return made.getvalue(), time.perf_counter() - started


def decoded(blob: bytes, models: ModelSource) -> tuple[bytes, float]:
    """The contents of the archive, and the seconds that it took."""
    back = io.BytesIO()
    started = time.perf_counter()
    decompress_stream(io.BytesIO(blob), back.write, models)
    return back.getvalue(), time.perf_counter() - started


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--level", default=5, show_default=True)
@click.option("--window", type=int, help="Instead of the level's.")
@click.option("--bytes", "limit", default=1 << 24, show_default=True, help="Of each file.")
@click.option("--decode/--no-decode", default=True, show_default=True)
def main(files: tuple[Path, ...], level: int, window: int | None, limit: int, decode: bool) -> None:
    """Print a Markdown table."""
    chosen = LEVELS[level - 1]
    mixing: CodingParameters = chosen.parameters
    if window is not None:
        mixing = dataclasses.replace(mixing, window=window)
    plain = dataclasses.replace(mixing, mixing_bits=0, solid=False)
    models = StoreModels(chosen.model, store=ModelStore(models_home()))
    models.for_compression()
    print(f"-{level}, {chosen.model}, {mixing}\n")
    print("| text | bytes | archive | bits/byte | without mixing | | decoded | seconds |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for file in files:
        data = file.read_bytes()[:limit]
        blob, compress_s = archive(data, models, mixing)
        alone = len(archive(data, models, plain)[0])
        back, decompress_s = decoded(blob, models) if decode else (data, 0.0)
        if back != data:
            sys.exit(f"{file}: the round trip failed")
        size = len(blob)
        print(
            f"| {file.name} | {len(data):,} | {size:,} | {8 * size / max(1, len(data)):.4f} "
            f"| {alone:,} | {100 * (size / alone - 1):+.1f} % | {'yes' if decode else 'no'} "
            f"| {compress_s:.0f} + {decompress_s:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
