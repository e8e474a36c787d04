"""Corpus files to documents, documents to parts, and the changes made to parts."""

from __future__ import annotations

import lzma
import re
from pathlib import Path

import numpy as np

from .config import DataConfig, Group

SEPARATOR = "\n\n\x1e\n"
JOIN = "\n\n"
"""Between short documents that share a row."""

_SMALLEST_PART, _LARGEST_PART = 16 << 10, 64 << 10

_QUOTES = {
    "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"',
    "\u2014": "--", "\u2013": "-", "\u2026": "...",
}  # fmt: skip
_ASCII = str.maketrans(_QUOTES)


def read_documents(path: Path) -> list[str]:
    """The documents of a corpus file (.xz or plain); a dictionary is one document.

    Bytes that are not UTF-8 are dropped.
    """
    raw = lzma.open(path).read() if path.suffix == ".xz" else path.read_bytes()
    text = raw.decode("utf-8", "ignore")
    return [doc for doc in text.split(SEPARATOR) if doc.strip()]


def hold_out(documents: list[str], fraction: float) -> tuple[list[str], list[str]]:
    """(training, held-out): the last documents with `fraction` of the characters.

    A file of one document gives its last lines.
    """
    want = int(sum(map(len, documents)) * fraction)
    if len(documents) == 1:
        cut = documents[0].rfind("\n\n", 0, len(documents[0]) - want) + 2
        return [documents[0][:cut]], [documents[0][cut:]]
    first, size = len(documents), 0
    while first > 1 and size < want:
        first -= 1
        size += len(documents[first])
    return documents[:first], documents[first:]


def without_titles(documents: list[str], titles: tuple[str, ...]) -> list[str]:
    """Documents whose first 400 characters name none of the titles."""
    pattern = re.compile("|".join(map(re.escape, titles)), re.IGNORECASE)
    heads = (doc[:400].replace("\u2019", "'") for doc in documents)
    return [doc for doc, head in zip(documents, heads, strict=True) if not pattern.search(head)]


def cut(documents: list[str], rng: np.random.Generator) -> list[str]:
    """Parts of at most 64 Ki characters: long documents are cut at line ends, at random sizes."""
    parts = []
    for doc in documents:
        start = 0
        while len(doc) - start > _LARGEST_PART:
            size = int(rng.integers(_SMALLEST_PART, _LARGEST_PART))
            end = doc.rfind("\n", start + size // 2, start + size) + 1 or start + size
            parts.append(doc[start:end])
            start = end
        parts.append(doc[start:])
    return [part for part in parts if part.strip()]


def wrap(text: str, width: int) -> str:
    """Greedy line breaks at `width` characters; lines that begin with a blank stay as they are."""
    out = []
    for line in text.split("\n"):
        if len(line) <= width or line[0] in " \t|":
            out.append(line)
            continue
        start = 0
        while len(line) - start > width:
            end = line.rfind(" ", start + 1, start + width + 1)
            if end < 0:
                end = line.find(" ", start + width)
            if end < 0:
                break
            out.append(line[start:end])
            start = end + 1
        out.append(line[start:])
    return "\n".join(out)


def change(text: str, group: Group, rng: np.random.Generator) -> str:
    """Line lengths, line ends and quotes as other files have them, by chance."""
    chance = rng.random(3)
    width = int(rng.integers(60, 81))
    if chance[0] < group.wrap and len(text) > 100 * (text.count("\n") + 1):
        text = wrap(text, width)
    if chance[1] < group.ascii_quotes:
        text = text.translate(_ASCII)
    if chance[2] < group.crlf and "\r" not in text:
        text = text.replace("\n", "\r\n")
    return text


def training_documents(path: Path, data: DataConfig) -> tuple[list[str], list[str]]:
    """(training, held-out) documents of one file, those with forbidden titles left out."""
    documents = read_documents(path)
    name = path.name.split(".")[0]
    if data.skip_titles and name in data.titled:
        documents = without_titles(documents, data.skip_titles)
    return hold_out(documents, data.held_out)


def find_files(folder: Path, group: Group) -> list[Path]:
    """The group's files, by name without suffixes; raises FileNotFoundError."""
    found = []
    for name in group.files:
        paths = sorted(folder.glob(f"{name}.*"))
        if not paths:
            raise FileNotFoundError(f"no file {name}.* in the corpora's folder")
        found += paths
    return found
