"""What is measured: files, folders of files, fields of JSON lines. Each document stands alone."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ..errors import UsageError

__all__ = ["Document", "find_documents"]


@dataclasses.dataclass(frozen=True)
class Document:
    """A name, and where its bytes come from."""

    name: str
    read: Callable[[], bytes]


def _files(folder: Path) -> Iterator[Path]:
    """The files below a folder in order of their names, hidden ones left out."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _fields(path: Path, field: str) -> Iterator[Document]:
    """A document for every line of a JSON Lines file, named `file:line`."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            name = f"{path}:{number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise UsageError(f"{name}: not JSON ({error})") from None
            if not isinstance(row, dict) or not isinstance(row.get(field), str):
                raise UsageError(f"{name}: no text in a field {field!r}")
            text = row[field].encode("utf-8", "surrogatepass")
            yield Document(name, lambda text=text: text)  # type: ignore[misc]


def find_documents(paths: Sequence[str], *, field: str | None = None) -> list[Document]:
    """The documents at these paths, in order; of `*.jsonl` files the `field`, if one is named.

    Raises UsageError for what is not there, and if there is nothing at all.
    """
    documents: list[Document] = []
    for name in paths:
        path = Path(name)
        if not path.exists():
            raise UsageError(f"{name}: no such file or folder")
        for file in _files(path) if path.is_dir() else [path]:
            if field is not None and file.suffix == ".jsonl":
                documents.extend(_fields(file, field))
            else:
                documents.append(Document(str(file), file.read_bytes))
    if not documents:
        raise UsageError("there is nothing to measure")
    return documents
