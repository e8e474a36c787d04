"""A file object of somebody else's, read from where it stands."""

from __future__ import annotations

import io
from typing import Any

from .checked import read_up_to

__all__ = ["Source"]


class Source:
    """Whole reads of a seekable file object; positions count from where it stood at first."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._start = int(file.tell())

    def read(self, size: int = -1, /) -> bytes:
        """`size` bytes, fewer only at the end."""
        return read_up_to(self._file, size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """The new position."""
        shift = self._start if whence == io.SEEK_SET else 0
        return int(self._file.seek(offset + shift, whence)) - self._start

    def tell(self) -> int:
        """The position."""
        return int(self._file.tell()) - self._start
