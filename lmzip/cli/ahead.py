"""Small files among many are coded in lockstep, ahead of their turn."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from ..errors import LmzipError

__all__ = ["Ahead"]

T = TypeVar("T")

_MOST_BYTES = 1 << 22
"""Of files that are read at once."""
_MOST_FILES = 1 << 10
"""Of the same: what archives hold is larger than they are."""


class Ahead(Generic[T]):
    """What becomes of files, by their number; None for those that are better coded alone."""

    def __init__(
        self,
        names: Sequence[str],
        *,
        largest: int,
        wanted: Callable[[str], bool],
        code: Callable[[list[bytes]], Sequence[T]],
        suits: Callable[[bytes], bool] = lambda data: True,
    ) -> None:
        """`wanted`: whether a regular file of at most `largest` bytes will be coded at all;
        `suits`: whether these contents gain by company."""
        self._names, self._largest = names, largest
        self._wanted, self._code, self._suits = wanted, code, suits
        self._looked = 0 if len(names) > 1 else len(names)
        """Files before this have been looked at."""
        self._ready: dict[int, tuple[bytes, T]] = {}

    def take(self, number: int) -> tuple[bytes, T] | None:
        """What was read from that file, and what came of it; numbers must grow."""
        if number >= self._looked:
            self._look(number)
        return self._ready.pop(number, None)

    def _look(self, first: int) -> None:
        found: dict[int, bytes] = {}
        size = 0
        number = first
        while number < len(self._names) and size < _MOST_BYTES and len(found) < _MOST_FILES:
            data = self._read(self._names[number])
            if data is not None and self._suits(data):
                found[number] = data
                size += len(data)
            number += 1
        self._looked = number
        if len(found) < 2:
            return
        try:
            results = self._code(list(found.values()))
        except LmzipError:
            return  # one by one they will say what is wrong
        self._ready = {
            i: (data, result) for (i, data), result in zip(found.items(), results, strict=True)
        }

    def _read(self, name: str) -> bytes | None:
        try:
            status = os.stat(name)
            if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= self._largest:
                return None
            if not self._wanted(name):
                return None
            with open(name, "rb") as file:
                return file.read(self._largest)
        except OSError:
            return None
