"""Every text of LMZIP_CORPORA's eval/ by level, beside the sizes that baselines.tsv records.

    python benchmarks/table.py [--levels 3-3] [--largest BYTES] [NAME...]

Sizes are those of archives; each is decoded and compared unless --no-decode says otherwise.
"""

from __future__ import annotations

import csv
import os
import sys
import time
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parent.parent))

import lmzip
from lmzip.api import models_home
from lmzip.levels import LEVELS
from lmzip.models.source import StoreModels
from lmzip.models.store import ModelStore

OTHERS = ("ppmd_o8", "ppmd_o16", "bzip3_64", "xz_9e", "zpaq_m5", "paq8px_8")


@click.command()
@click.argument("names", nargs=-1)
@click.option("--levels", default="3-3", show_default=True, help="First to last.")
@click.option("--largest", default=1 << 24, show_default=True, help="Skip larger files.")
@click.option("--decode/--no-decode", default=True, show_default=True)
def main(names: tuple[str, ...], levels: str, largest: int, decode: bool) -> None:
    """Print one Markdown row a file."""
    folder = os.environ.get("LMZIP_CORPORA")
    if not folder:
        sys.exit("set LMZIP_CORPORA to the folder of the shared texts")
    with open(Path(folder) / "baselines.tsv", newline="") as file:
        baselines = {row["file"]: row for row in csv.DictReader(file, delimiter="\t")}
    first, _, last = levels.partition("-")
    chosen = LEVELS[int(first) - 1 : int(last or first)]
    store = ModelStore(models_home())
    models = {level.model: StoreModels(level.model, store=store) for level in chosen}
    labels = [f"lmzip -{level.number}" for level in chosen]
    print("| file | bytes |", " | ".join([*labels, *OTHERS, "against PPMd", "kB/s"]), "|")
    print("|---" * (4 + len(labels) + len(OTHERS)) + "|")
    for path in sorted((Path(folder) / "eval").iterdir()):
        data = path.read_bytes()
        if len(data) > largest or (names and path.name not in names):
            continue
        sizes = []
        started = time.perf_counter()
        for level in chosen:
            source = models[level.model]
            blob = lmzip.compress(data, model=source, parameters=level.parameters)
            sizes.append(len(blob))
            if decode and lmzip.decompress(blob, model=source) != data:
                sys.exit(f"{path.name}: the round trip failed")
        elapsed = time.perf_counter() - started
        row = baselines[path.name]
        ppmd = min(int(row["ppmd_o8"]), int(row["ppmd_o16"]))
        cells = [
            path.name, len(data), *sizes, *(row[name] or "-" for name in OTHERS),
            f"{100 * (sizes[0] / ppmd - 1):+.1f} %", f"{len(data) / elapsed / 1000:.1f}",
        ]  # fmt: skip
        print("|", " | ".join(str(cell) for cell in cells), "|", flush=True)


if __name__ == "__main__":
    main()
