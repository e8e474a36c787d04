"""Sizes of named files beside classical compressors: `python benchmarks/sizes.py [FILE...]`.

Without files: alice29.txt of LMZIP_CORPORA. Every size is that of an archive that decoded back.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parent.parent))

import lmzip
from benchmarks.classical import classical_sizes
from lmzip.models.source import StoreModels
from lmzip.models.store import ModelStore


@click.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("-m", "--model", default="smollm2-135m-instruct", show_default=True)
@click.option("--window", type=int, default=1024, show_default=True)
@click.option("--stream-length", type=int, default=4096, show_default=True)
@click.option("--first", type=int, metavar="BYTES", help="Only the first BYTES of each file.")
def main(
    files: tuple[Path, ...], model: str, window: int, stream_length: int, first: int | None
) -> None:
    """Print one Markdown row a file."""
    if not files:
        folder = os.environ.get("LMZIP_CORPORA")
        if not folder:
            sys.exit("name files, or set LMZIP_CORPORA")
        files = (Path(folder) / "eval" / "alice29.txt",)
    home = os.environ.get("LMZIP_HOME")
    models = StoreModels(model, store=ModelStore(Path(home) if home else None))
    parameters = lmzip.CodingParameters(window=window, stream_tokens=stream_length)
    names: list[str] | None = None
    for path in files:
        data = path.read_bytes()[:first]
        started = time.perf_counter()
        blob = lmzip.compress(data, model=models, parameters=parameters)
        compress_s = time.perf_counter() - started
        started = time.perf_counter()
        if lmzip.decompress(blob, model=models) != data:
            sys.exit(f"{path}: the round trip failed")
        decompress_s = time.perf_counter() - started
        sizes = classical_sizes(data)
        if names is None:
            names = list(sizes)
            print("| file | bytes | lmzip | bits/byte | s / s |", " | ".join(names), "|")
            print("|---" * (5 + len(names)) + "|")
        cells = [
            path.name, len(data), len(blob), f"{8 * len(blob) / max(1, len(data)):.4f}",
            f"{compress_s:.0f} / {decompress_s:.0f}", *(sizes[name] or "-" for name in names),
        ]  # fmt: skip
        print("|", " | ".join(str(cell) for cell in cells), "|", flush=True)


if __name__ == "__main__":
    main()
