"""A file that keeps lengths of codings: who is killed loses one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..rowfile import RowFile

__all__ = ["CodingStore"]

_LINE_START = b'{"bits": '
"""How every line begins."""
_NAMES = ("kind", "x", "y")
"""Of a key's parts: what was coded, and the SHA-256 of its documents."""


class CodingStore:
    """A file of JSON lines, one a coding, written as soon as it is made."""

    def __init__(self, path: Path) -> None:
        """Raises CorruptError if the file holds something else, OSError if it cannot be written."""
        self._known: dict[tuple[str, ...], int] = {}
        self._rows = RowFile(
            path, one="a coding", many="codings", line_start=_LINE_START, load=self._load
        )

    def _load(self, fields: dict[str, Any]) -> None:
        bits, key = fields["bits"], tuple(fields[n] for n in ("coder", *_NAMES))
        if type(bits) is not int or not all(isinstance(part, str) for part in key):
            raise ValueError
        self._known[key] = bits

    def find(self, coder: str, key: tuple[str, str, str]) -> int | None:
        """Bits found before by a coder of that identity."""
        return self._known.get((coder, *key))

    def add(self, coder: str, key: tuple[str, str, str], bits: int) -> None:
        """Keep a length."""
        self._known[(coder, *key)] = bits
        self._rows.append({"bits": bits, "coder": coder, **dict(zip(_NAMES, key, strict=True))})
