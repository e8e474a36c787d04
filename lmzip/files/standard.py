"""The three standard streams of the command: nothing of what is printed is lost without a word.

Python's own streams lose data: unbuffered ones ignore short writes, those of a pipe that does not
block throw the rest away, and a closed one is None, into which everything prints well.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING

from .checked import wait_for, write_descriptor

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["STANDARD_OUTPUT", "StandardOutput", "open_standard_streams"]


class _Descriptor(io.RawIOBase):
    """A file descriptor that is never closed."""

    def __init__(self, number: int, name: str) -> None:
        self._number, self.name = number, name

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)


class _Input(_Descriptor):
    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        while True:
            try:
                data = os.read(self._number, len(view))
            except BlockingIOError:
                wait_for(self._number, writing=False)
                continue
            view[: len(data)] = data
            return len(data)


class StandardOutput(_Descriptor):
    """Standard output as a raw file that takes every write whole, or fails and remembers it."""

    def __init__(self, number: int = 1, name: str = "standard output") -> None:
        super().__init__(number, name)
        self.failure: OSError | None = None
        """What went wrong first; every later write fails likewise."""
        self.absent = False
        """Closed from the beginning."""
        self.used = False
        """Whether anything was to be written."""
        self.given_up = False

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        size = memoryview(data).nbytes
        if self.given_up:
            return size
        self.used = True
        if self.failure is None:
            try:
                return write_descriptor(self._number, data)
            except OSError as error:
                self._fail(error.errno or errno.EIO)
        assert self.failure is not None
        raise self.failure

    def _fail(self, number: int) -> None:
        self.failure = OSError(number, os.strerror(number), self.name)

    def close_from_the_start(self) -> None:
        """It was closed when the program began: the first write says so."""
        self.absent = True
        self.failure = OSError(errno.EBADF, "is closed", self.name)

    def give_up(self) -> None:
        """From now on nothing is written and nothing fails: what was wrong has been said."""
        self.given_up = True


class _Messages(StandardOutput):
    """Standard error: where nobody can be told, the work goes on and the exit code tells."""

    def write(self, data: ReadableBuffer) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


STANDARD_OUTPUT = StandardOutput()
"""The command's own, once `open_standard_streams` was called."""


def open_standard_streams() -> None:
    """Replace sys.stdin, sys.stdout and sys.stderr by streams that lose nothing.

    Where one is closed, files opened later would take its number, and what is said would go into
    them: the null device takes the number, and writing to such a standard output fails.
    """
    for number, mode in enumerate((os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)
            if number == 1:
                STANDARD_OUTPUT.close_from_the_start()
    if sys.stdin is not None:
        sys.stdin = io.TextIOWrapper(
            io.BufferedReader(_Input(0, "standard input")),
            encoding=sys.stdin.encoding,
            errors=sys.stdin.errors,
        )
    sys.stdout = _text(sys.stdout, STANDARD_OUTPUT)
    sys.stderr = _text(sys.stderr, _Messages(2, "standard error"), by_line=True)


def _text(old: object, raw: StandardOutput, *, by_line: bool = False) -> io.TextIOWrapper:
    """A text stream over `raw`; names are any bytes, so no character is refused."""
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(old, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=by_line or raw.isatty() or bool(getattr(old, "write_through", False)),
    )
