"""The files that the command reads, and their removal after a finished output."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from ..errors import LmzipError, UsageError
from ..files import read_up_to

if TYPE_CHECKING:
    from typing import Protocol

    from ..format.fields import ByteSource

    class Writer(Protocol):
        def write(self, data: bytes, /) -> int: ...


__all__ = [
    "STDIN",
    "Skip",
    "content_size",
    "contents_inside",
    "contents_unpacker",
    "copy_all",
    "has_changed",
    "look_ahead",
    "open_input",
    "read_first_block",
    "remove_input",
    "require_removable",
    "with_suffix",
]

STDIN = "-"


def contents_unpacker(*, offline: bool) -> Callable[[Path], bytes]:
    """What reads the whole contents of an archive, and names it in what it raises."""

    def unpack(path: Path) -> bytes:
        from ..fileobject import open as open_archive

        try:
            with open_archive(path, offline=offline) as file:
                return cast(bytes, file.read())
        except LmzipError as error:
            raise type(error)(f"{path}: {error}") from None

    return unpack


class Skip(LmzipError):
    """This file cannot be done; the others can."""


def open_input(name: str, *, archive: bool, force: bool) -> BinaryIO:
    """The file of that name, or standard input, to be read from here on.

    Raises Skip for a folder, UsageError for a terminal that archives would be read from, OSError.
    """
    if name == STDIN:
        if sys.stdin is None:
            raise UsageError("standard input is closed")
        if sys.stdin.isatty() and archive and not force:
            raise UsageError("an archive is not read from a terminal (-f reads it anyway)")
        return sys.stdin.buffer
    if not name:
        raise Skip("a file name is empty")
    if os.path.isdir(name):
        raise Skip("is a directory (use -r for its files, or tar -I lmzip -cf DIR.tar.lmz DIR)")
    return open(name, "rb")


def content_size(source: BinaryIO) -> int | None:
    """Bytes from here to the end of a regular file, as far as the system knows; None for others.

    Files of /proc and /sys say what they like, and logs grow: only good enough to show progress.
    """
    try:
        info = os.fstat(source.fileno())
        if not stat.S_ISREG(info.st_mode):
            return None
        return max(0, info.st_size - source.tell()) or None
    except (OSError, ValueError, io.UnsupportedOperation):
        return None


def has_changed(before: os.stat_result, source: BinaryIO) -> bool:
    """Whether a file is not what it was."""
    after = os.fstat(source.fileno())
    return (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns)


class _Behind:
    """What was read of a source already, and then the rest of it."""

    def __init__(self, first: bytes, source: ByteSource) -> None:
        self._first, self._source = first, source

    def read(self, size: int, /) -> bytes | None:
        if not self._first:
            return self._source.read(size)
        part, self._first = self._first[:size], self._first[size:]
        return part


def read_first_block(
    source: BinaryIO, expected: int | None, block_bytes: int
) -> tuple[ByteSource, int | None]:
    """The source to compress, and its exact size if that can be known before it is compressed.

    The system's word (`expected`) is not enough: a header cannot be changed behind minutes of work,
    and the bytes that were read are the file.
    """
    if expected is None or expected > block_bytes:
        return source, None
    first = read_up_to(source, block_bytes + 1)
    if len(first) > block_bytes:  # it has grown
        return _Behind(first, source), None
    return io.BytesIO(first), len(first)


def look_ahead(source: ByteSource, magic: bytes) -> tuple[ByteSource, bool]:
    """The source from where it stands, and whether it begins with those bytes."""
    first = read_up_to(source, len(magic))
    return _Behind(first, source), first == magic


def copy_all(source: ByteSource, out: Writer) -> int:
    """The number of bytes of the source, all of them written."""
    size = 0
    while data := read_up_to(source, 1 << 20):
        out.write(data)
        size += len(data)
    return size


def with_suffix(name: str, suffix: str) -> str:
    """The archive's name, also where only what it was made from is named, and is not there."""
    if name in ("", STDIN) or name.endswith(suffix) or os.path.lexists(name):
        return name
    return name + suffix if os.path.lexists(name + suffix) else name


def contents_inside(source: BinaryIO) -> int | None:
    """Bytes of contents that an archive's index speaks of; None for pipes and damaged archives."""
    from ..codec import ArchiveIndex

    try:
        if not source.seekable() or not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
            return None
        start = source.tell()
    except (OSError, ValueError):
        return None
    if start:
        return None
    try:
        return ArchiveIndex(source).content_bytes
    except (LmzipError, OSError):
        return None
    finally:
        source.seek(start)


def require_removable(name: str, source: BinaryIO, *, force: bool) -> None:
    """Raise Skip if --rm must not remove this file: found out before any work.

    As gzip and xz have it: only regular files; without force neither through a symbolic link nor a
    file that has other names, too.
    """
    info = os.fstat(source.fileno())
    if not stat.S_ISREG(info.st_mode):
        raise Skip("is not a regular file, so --rm does not remove it")
    if force:
        return
    if os.path.islink(name):
        raise Skip("is a symbolic link (--rm -f removes the link)")
    if info.st_nlink > 1:
        raise Skip("has more than one hard link (--rm -f removes this one)")


def remove_input(name: str, before: os.stat_result, source: BinaryIO) -> None:
    """Remove a file that was read, unless it has changed or another has its name. Raises Skip."""
    named = os.stat(name)
    if (named.st_dev, named.st_ino) != (before.st_dev, before.st_ino):
        raise Skip("was replaced by another file, so it is not removed")
    if has_changed(before, source):
        raise Skip("changed while it was read, so it is not removed")
    os.unlink(name)
