"""What each level makes of a text: bytes, bits per byte and speed both ways, in one run.

python benchmarks/levels.py FILE [--bytes N] [--levels 1-3]
"""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.demo import demo_text
from lmzip.api import models_home
from lmzip.codec import compress_stream, decompress_stream
from lmzip.levels import LEVELS
from lmzip.models.source import StoreModels
from lmzip.models.store import ModelStore


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--bytes", "limit", default=1 << 24, show_default=True, help="Bytes of the file.")
@click.option("--levels", "chosen", default="1-9", show_default=True, help="First to last.")
@click.option("--decode/--no-decode", default=True, show_default=True)
def main(file: Path | None, limit: int, chosen: str, decode: bool) -> None:
    """Print a table."""
    name, data = (file.name, file.read_bytes()[:limit]) if file else demo_text()
    first, _, last = chosen.partition("-")
    print(f"{name}, {len(data)} bytes; kB/s without start-up")
    print(f"{'level':>5} {'model':24} {'bytes':>9} {'bits/byte':>9} {'compress':>9} {'decomp.':>9}")
    loaded: dict[str, StoreModels] = {}
    for level in LEVELS[int(first) - 1 : int(last or first)]:
        if level.model not in loaded:
            loaded[level.model] = StoreModels(level.model, store=ModelStore(models_home()))
            loaded[level.model].for_compression()
        models = loaded[level.model]
        archive, back = io.BytesIO(), io.BytesIO()
        started = time.perf_counter()
        compress_stream(io.BytesIO(data), archive.write, models, level.parameters)
        compress_s = time.perf_counter() - started
        back_rate = "-"
        if decode:
            archive.seek(0)
            started = time.perf_counter()
            decompress_stream(archive, back.write, models)
            back_rate = f"{len(data) / (time.perf_counter() - started) / 1000:.1f}"
            if back.getvalue() != data:
                sys.exit(f"level {level.number}: the round trip failed")
        size = len(archive.getvalue())
        print(
            f"{-level.number:>5} {level.model:24} {size:>9} {8 * size / len(data):>9.4f} "
            f"{len(data) / compress_s / 1000:>9.1f} {back_rate:>9}",
            flush=True,
        )


if __name__ == "__main__":
    main()
