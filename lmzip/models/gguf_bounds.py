"""Whether the counts in a GGUF file can be true, before a library believes them.

The gguf library goes through as many fields, tensors and elements as the file claims, whatever its
size.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from ..errors import CorruptError

__all__ = ["require_bounds"]

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value, by its type; strings (8) and arrays (9) say their own length."""
_STRING, _ARRAY = 8, 9
_MAX_DIMENSIONS = 8


class _Walk:
    """Goes over a file's fields without keeping them."""

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self._file, self._size, self._name = file, size, name

    def fail(self) -> CorruptError:
        return CorruptError(f"{self._name}: not a readable GGUF file: a length is beyond its end")

    def number(self, size: int) -> int:
        data = self._file.read(size)
        if len(data) < size:
            raise self.fail()
        return int.from_bytes(data, "little")

    def count(self, unit: int) -> int:
        """A number of things that take `unit` bytes each at least."""
        count = self.number(8)
        if count * unit > self._size - self._file.tell():
            raise self.fail()
        return count

    def skip(self, size: int) -> None:
        if size > self._size - self._file.tell():
            raise self.fail()
        self._file.seek(size, 1)

    def string(self) -> None:
        self.skip(self.count(1))

    def value(self, kind: int) -> None:
        if kind == _STRING:
            self.string()
        elif kind == _ARRAY:
            kind = self.number(4)
            if kind == _ARRAY:  # no model has any, and they could be nested without end
                raise CorruptError(f"{self._name}: a GGUF file with arrays of arrays")
            count = self.count(8 if kind == _STRING else _SIZES.get(kind, 1))
            if kind == _STRING:
                for _ in range(count):
                    self.string()
            else:
                self.skip(count * self._bytes(kind))
        else:
            self.skip(self._bytes(kind))

    def _bytes(self, kind: int) -> int:
        if kind not in _SIZES:
            raise CorruptError(f"{self._name}: a GGUF file with values of unknown type {kind}")
        return _SIZES[kind]


def require_bounds(path: Path) -> None:
    """Raise CorruptError for a file that is no little-endian GGUF file of version 2 or 3, or whose
    counts and lengths lead beyond its end; OSError.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        if len(head) < 8 or head[:4] != b"GGUF" or struct.unpack("<I", head[4:])[0] not in (2, 3):
            raise CorruptError(f"{path.name}: not a GGUF file of version 2 or 3, little-endian")
        walk = _Walk(file, size, path.name)
        tensors, fields = walk.count(24), walk.count(13)
        for _ in range(fields):
            walk.string()
            walk.value(walk.number(4))
        for _ in range(tensors):
            walk.string()
            dimensions = walk.number(4)
            if dimensions > _MAX_DIMENSIONS:
                raise walk.fail()
            walk.skip(8 * dimensions + 12)
