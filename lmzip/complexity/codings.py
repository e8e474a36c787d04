"""A file that keeps lengths of codings: who is killed loses one."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ..errors import CorruptError
from ..files import append_line

__all__ = ["CodingStore"]

_LINE_START = b'{"bits": '
"""How every line begins."""
_NAMES = ("kind", "x", "y")
"""Of a key's parts: what was coded, and the SHA-256 of its documents."""


class CodingStore:
    """A file of JSON lines, one a coding, written as soon as it is made."""

    def __init__(self, path: Path) -> None:
        """Raises CorruptError if the file holds something else, OSError if it cannot be written."""
        self._path = path
        self._known: dict[tuple[str, ...], int] = {}
        with path.open("ab"):
            pass
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        tail = data[whole:]
        ours = tail.startswith(_LINE_START) or (whole > 0 and _LINE_START.startswith(tail))
        if tail and not ours:
            raise CorruptError(f"{path}: not a file of codings")
        for number, line in enumerate(data[:whole].splitlines(), 1):
            try:
                fields = json.loads(line)
                bits, key = fields["bits"], tuple(fields[n] for n in ("coder", *_NAMES))
                if type(bits) is not int or not all(isinstance(part, str) for part in key):
                    raise ValueError
            except (ValueError, KeyError, TypeError):
                raise CorruptError(f"{path}, line {number}: not a coding") from None
            self._known[key] = bits
        if tail:  # killed while writing
            os.truncate(path, whole)

    def find(self, coder: str, key: tuple[str, str, str]) -> int | None:
        """Bits found before by a coder of that identity."""
        return self._known.get((coder, *key))

    def add(self, coder: str, key: tuple[str, str, str], bits: int) -> None:
        """Keep a length."""
        self._known[(coder, *key)] = bits
        line = {"bits": bits, "coder": coder, **dict(zip(_NAMES, key, strict=True))}
        append_line(self._path, json.dumps(line).encode() + b"\n")
