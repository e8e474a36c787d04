"""Long runs of zeros become holes, which take no room on the disk."""

from __future__ import annotations

from typing import BinaryIO

__all__ = ["SparseWriter"]

_BLOCK = 4096
_ZEROS = bytes(_BLOCK)


class SparseWriter:
    """Writes to a new regular file; whole blocks of zeros are skipped. `finish` sets the length."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._position = 0
        """Where the next byte belongs."""
        self._written = 0
        """Where the file object stands."""

    def write(self, data: bytes) -> int:
        """The number of bytes, all of them."""
        view = memoryview(data)
        if _ZEROS not in data:
            self._put(view)
            return len(data)
        start = 0
        while start < len(data):
            end = start
            while data[end : end + _BLOCK] != _ZEROS and end < len(data):
                end += _BLOCK - (self._position + end - start) % _BLOCK
            self._put(view[start : min(end, len(data))])
            start = min(end, len(data))
            while data[start : start + _BLOCK] == _ZEROS:
                start += _BLOCK
                self._position += _BLOCK
        return len(data)

    def _put(self, part: memoryview) -> None:
        if not part:
            return
        if self._written != self._position:
            self._file.seek(self._position)
        self._file.write(part)
        self._position += len(part)
        self._written = self._position

    def flush(self) -> None:
        """Hand everything to the system."""
        self._file.flush()

    def finish(self) -> None:
        """Give the file its length, should it end in a hole."""
        if self._written != self._position:
            self._file.flush()
            self._file.truncate(self._position)
