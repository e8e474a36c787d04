"""A file object of somebody else's, read from where it stands."""

from __future__ import annotations

import io
from typing import Any

from .checked import read_up_to

__all__ = ["Source"]


def _can_seek(file: Any) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable()) if seekable is not None else hasattr(file, "seek")


class Source:
    """Whole reads of a file object; positions count from where it stood at first.

    One that cannot seek (a pipe, the body of a HTTP response) is read to its end at once.
    """

    def __init__(self, file: Any) -> None:
        """Raises TypeError if it has no `read`, OSError."""
        if not callable(getattr(file, "read", None)):
            raise TypeError(f"a path or a file object is needed, not {type(file).__name__}")
        self._file = file if _can_seek(file) else io.BytesIO(read_up_to(file))
        self._start = int(self._file.tell())

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
