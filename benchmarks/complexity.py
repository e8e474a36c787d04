"""Complexity of real pairs, and of small records given one: the tables of docs/complexity.md.

    LMZIP_CORPORA=... python benchmarks/complexity.py [-m NAME --level N] [--records N]

Every archive is decoded and compared.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import zstandard

from lmzip.api import models_home
from lmzip.codec import CodecModel, CodingParameters
from lmzip.complexity.coders import Coder, LmzipCoder, XzCoder, ZstdCoder
from lmzip.complexity.pairs import pair_complexity
from lmzip.levels import level
from lmzip.models.source import StoreModels
from lmzip.models.store import ModelStore

RECORDS = "data_jsonl_agent_charters.jsonl"
GIVEN_RECORDS = 16
DICTIONARY_BYTES = (1 << 10, 1 << 12, 1 << 14, 1 << 16)


def halves(data: bytes) -> tuple[bytes, bytes]:
    """Cut at the line end before the middle."""
    cut = data.rfind(b"\n", 0, len(data) // 2) + 1
    return data[:cut], data[cut:]


def pairs(corpora: Path) -> dict[str, tuple[bytes, bytes]]:
    """x and y by name."""
    evaluation, paired = corpora / "eval", corpora / "pairs"
    first, second = halves((evaluation / "asyoulik.txt").read_bytes())
    prose = (evaluation / "alice29.txt").read_bytes()[:40_000]
    return {
        "asyoulik.txt, its second half (x) and its first (y)": (second, first),
        "a text (x) and its revision (y)": (
            (paired / "revision_a.rst").read_bytes(),
            (paired / "revision_b.rst").read_bytes(),
        ),
        "French (x) and the English original (y)": (
            (paired / "parallel_fr.md").read_bytes(),
            (paired / "parallel_en.md").read_bytes(),
        ),
        "unrelated: 40 kB of alice29.txt (x), fields.c (y)": (
            prose,
            (evaluation / "fields.c").read_bytes(),
        ),
    }


def show_pair(name: str, x: bytes, y: bytes, coders: list[Coder]) -> None:
    print(f"\n{name}: {len(x):,} and {len(y):,} bytes\n")
    print("| bytes | C(x) | C(y) | C(x given y) | C(y given x) | C(x, y) | C(y, x) | I(x : y) | "
          "order bias | NCD | NID |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    for coder in coders:
        c = pair_complexity(coder, x, y)
        sizes = (c.x, c.y, c.x_given_y, c.y_given_x, c.x_then_y, c.y_then_x,
                 c.information_about_x, c.order_bias)  # fmt: skip
        cells = " | ".join(f"{bits // 8:,}" for bits in sizes)
        print(f"| {c.coder} | {cells} | {c.ncd:.4f} | {c.nid:.4f} |", flush=True)


def show_records(corpora: Path, count: int, coder: LmzipCoder) -> None:
    """Each of some records alone and given the one before all of them, against dictionaries."""
    lines = (corpora / "eval" / RECORDS).read_bytes().splitlines(keepends=True)
    given, records, others = lines[0], lines[1 : count + 1], lines[count + 1 :]
    total = sum(map(len, records))
    print(f"\n{len(records)} records of {RECORDS}, {total:,} bytes, each a file of its own\n")
    print("| | bytes |\n|---|---|")
    rows = {
        f"{coder.name} alone": sum(coder.alone(r) for r in records) // 8,
        f"{coder.name} given one other record": sum(coder.given(r, given) for r in records) // 8,
    }
    for number in (GIVEN_RECORDS, len(others)):
        several = b"".join(others[:number])
        name = f"{coder.name} given {number} others, {len(several):,} bytes"
        rows[name] = sum(coder.given(r, several) for r in records) // 8
    compressor = zstandard.ZstdCompressor(level=19, write_content_size=False)
    rows["zstd -19 alone"] = sum(len(compressor.compress(r)) for r in records)
    raw = zstandard.ZstdCompressionDict(given, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    rows["zstd -19 with that record as dictionary"] = _by_dictionary(raw, records)
    for size in DICTIONARY_BYTES:
        trained = zstandard.train_dictionary(size, others)
        name = f"zstd -19, dictionary of {size:,} bytes trained on {len(others)} others"
        rows[name] = _by_dictionary(trained, records)
    for name, value in rows.items():
        print(f"| {name} | {value:,} |", flush=True)


def _by_dictionary(dictionary: zstandard.ZstdCompressionDict, records: list[bytes]) -> int:
    compressor = zstandard.ZstdCompressor(
        level=19, dict_data=dictionary, write_content_size=False, write_dict_id=False
    )
    return sum(len(compressor.compress(record)) for record in records)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", help="default: the level's")
    parser.add_argument("--level", type=int, default=3)
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--only", choices=("pairs", "records"))
    args = parser.parse_args()
    corpora = Path(os.environ["LMZIP_CORPORA"])
    chosen = level(args.level)
    parameters: CodingParameters = chosen.parameters
    store = ModelStore(models_home())
    model: CodecModel = StoreModels(
        args.model or chosen.model, store=store, threads=args.threads
    ).for_compression()
    coder = LmzipCoder(model, parameters)
    started = time.perf_counter()
    if args.only != "records":
        for name, (x, y) in pairs(corpora).items():
            show_pair(name, x, y, [coder, ZstdCoder(), XzCoder()])
    if args.only != "pairs":
        show_records(corpora, args.records, coder)
    print(f"\n{coder.name}, level {args.level}: {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
