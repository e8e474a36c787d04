"""Corpora to shards: rows of uint16 tokens, in random order, ready to train on.

A shard is a file of `[rows, row]` little-endian uint16 tokens without start tokens, and a JSON file
that says what went in. Each is drawn from the configuration, the corpora and its number alone.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lmzip.training.loop import generator
from lmzip.training.rows import Rows

from . import text as texts
from . import tokenizer as tokenizers
from .config import DataConfig, Group
from .decontaminate import Forbidden

_TASK_PARTS = 32


@dataclasses.dataclass
class _Worker:
    tokenizer: Tokenizer
    forbidden: Forbidden
    join: NDArray[np.uint16]


_worker: _Worker | None = None


def _encode_parts(task: tuple[list[tuple[int, str]], Group, str]) -> list[tuple[int, object]]:
    """(bytes, tokens) of every part; tokens None where the part shares a passage with a test."""
    parts, group, key = task
    assert _worker is not None
    out: list[tuple[int, object]] = []
    for index, part in parts:
        raw = part.encode()
        if _worker.forbidden.hits(raw):
            out.append((len(raw), None))
            continue
        changed = texts.change(part, group, generator("change", key, index))
        ids = _worker.tokenizer.encode(changed, add_special_tokens=False).ids
        out.append((len(changed.encode()), np.array(ids, np.uint16)))
    return out


def _slice(parts: list[str], start: float, size: float, key: str) -> Iterator[tuple[int, str]]:
    """Parts number by number, from `start` characters on, `size` characters of them.

    The parts are shuffled anew for every pass over them.
    """
    total = sum(map(len, parts))
    done, end, count = (int(start) // total) * total, start + size, int(start) // total
    while done < end:
        for i in generator("pass", key, count).permutation(len(parts)):
            if start <= done < end:
                yield count * len(parts) + int(i), parts[i]
            done += len(parts[i])
        count += 1


def _rows(pieces: list[NDArray[np.uint16]], row: int, join: NDArray[np.uint16]) -> NDArray:
    """[rows, row] tokens: whole rows from long pieces, the rest joined piece to piece."""
    whole, rest = [], []
    for piece in pieces:
        count = len(piece) // row
        if count:
            whole.append(piece[: count * row])
        if len(piece) % row:
            rest += [piece[count * row :], join]
    tail = np.concatenate(rest) if rest else np.empty(0, np.uint16)
    whole.append(tail[: len(tail) // row * row])
    return np.concatenate(whole).reshape(-1, row)


def _shares(corpora: Path, data: DataConfig) -> list[tuple[Group, Path, float]]:
    """(group, file, share of all bytes): a group's files by their sizes."""
    out = []
    total = sum(group.share for group in data.groups)
    for group in data.groups:
        paths = texts.find_files(corpora / "train", group)
        sizes = [path.stat().st_size for path in paths]
        out += [
            (group, path, group.share / total * size / sum(sizes))
            for path, size in zip(paths, sizes, strict=True)
        ]
    return out


def make_tokenizer(corpora: Path, work: Path, data: DataConfig) -> Path:
    """Train the tokenizer on a sample of the mix, unless it is there."""
    target = work / "tokenizer.json"
    if target.exists():
        return target
    start = time.time()

    def sample() -> Iterator[str]:
        for group, path, share in _shares(corpora, data):
            documents, _ = texts.training_documents(path, data)
            parts = texts.cut(documents, generator("cut", data.seed, path.name))
            key = f"tokenizer {path.name}"
            for i, part in _slice(parts, 0, share * data.tokenizer_mb * 1e6, key):
                yield texts.change(part, group, generator("change", key, i))

    trained = tokenizers.train(sample(), data.vocab)
    if trained.get_vocab_size() > data.vocab:
        raise ValueError("the vocabulary is too small for the alphabet")
    work.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".tmp")
    trained.save(str(temporary))
    os.replace(temporary, target)
    print(f"tokenizer: {trained.get_vocab_size()} tokens, {time.time() - start:.0f} s", flush=True)
    return target


def make_held_out(corpora: Path, work: Path, data: DataConfig) -> Path:
    """Tokens of the held-out documents, a little of every file, unless they are there."""
    target = work / "held_out.npz"
    if target.exists():
        return target
    tokenizer = tokenizers.load(work / "tokenizer.json")
    found: dict[str, NDArray] = {}
    for group, path, _ in _shares(corpora, data):
        _, documents = texts.training_documents(path, data)
        limit = int(data.held_out_kb * 1000)
        each = max(limit // len(documents), 4000)
        sample = texts.JOIN.join(doc[:each] for doc in documents)[:limit]
        ids = tokenizer.encode(sample, add_special_tokens=False).ids
        name = f"{group.name}/{path.name.split('.')[0]}"
        found[name] = np.array(ids, np.uint16)
    temporary = work / "held_out.tmp.npz"
    np.savez(temporary, **found)
    os.replace(temporary, target)
    return target


def make_shard(
    corpora: Path, work: Path, data: DataConfig, number: int, forbidden: Forbidden, processes: int
) -> None:
    """Write shard `number`, unless it is there."""
    global _worker
    target = work / f"shard-{number:03}.u16"
    if target.exists():
        return
    began = time.time()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer = tokenizers.load(work / "tokenizer.json")
    join = np.array(tokenizer.encode(texts.JOIN, add_special_tokens=False).ids, np.uint16)
    _worker = _Worker(tokenizer, forbidden, join)
    rows, report = [], {}
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        for group, path, share in _shares(corpora, data):
            documents, _ = texts.training_documents(path, data)
            parts = texts.cut(documents, generator("cut", data.seed, path.name))
            size = share * data.shard_mb * 1e6
            chosen = list(_slice(parts, number * size, size, f"{data.seed} {path.name}"))
            step = _TASK_PARTS if len(chosen) < 20 * _TASK_PARTS else 8 * _TASK_PARTS
            tasks = [
                (chosen[i : i + step], group, f"{data.seed} {path.name}")
                for i in range(0, len(chosen), step)
            ]
            encoded = [pair for out in pool.imap(_encode_parts, tasks) for pair in out]
            kept = [tokens for _, tokens in encoded if tokens is not None]
            rows.append(_rows(kept, data.row, join))
            report[path.name] = {
                "parts": len(encoded),
                "bytes": sum(count for count, tokens in encoded if tokens is not None),
                "dropped_parts": len(encoded) - len(kept),
                "dropped_bytes": sum(count for count, tokens in encoded if tokens is None),
                "tokens": sum(map(len, kept)),
                "rows": len(rows[-1]),
            }
            print(f"shard {number}: {path.name} {report[path.name]}", flush=True)
    _worker = None
    table = np.concatenate(rows)
    table = table[generator("rows", data.seed, number).permutation(len(table))]
    summary = {"rows": len(table), "row": data.row, "files": report}
    target.with_suffix(".json").write_text(json.dumps(summary, indent=1))
    temporary = target.with_suffix(".tmp")
    table.astype("<u2").tofile(temporary)
    os.replace(temporary, target)
    dropped = sum(f["dropped_parts"] for f in report.values())
    print(
        f"shard {number}: {table.size / 1e6:.1f} M tokens, {dropped} parts dropped, "
        f"{time.time() - began:.0f} s",
        flush=True,
    )


def prepare(corpora: Path, work: Path, data: DataConfig, processes: int = 2) -> None:
    """Make the tokenizer, the held-out set and the shards that are missing."""
    make_tokenizer(corpora, work, data)
    make_held_out(corpora, work, data)
    missing = [n for n in range(data.shards) if not (work / f"shard-{n:03}.u16").exists()]
    if not missing:
        return
    folders = [corpora / name for name in data.avoid if (corpora / name).is_dir()]
    forbidden = Forbidden.read(folders)
    print(f"{len(forbidden.sorted) / 1e6:.1f} M forbidden passages", flush=True)
    for number in missing:
        make_shard(corpora, work, data, number, forbidden, processes)


def read_shards(work: Path, seed: int, row: int) -> Rows:
    """The training sequences of a folder's shards. Raises FileNotFoundError if there are none."""
    paths = sorted(work.glob("shard-*.u16"))
    if not paths:
        raise FileNotFoundError("no shards to train on")
    return Rows([np.memmap(path, "<u2", "r").reshape(-1, row) for path in paths], seed)
