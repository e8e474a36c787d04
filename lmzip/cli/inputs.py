"""The files that the command reads, and what becomes of them behind a finished output."""

from __future__ import annotations

import io
import os
import stat
import sys
from typing import BinaryIO

from ..errors import LmzipError, UsageError

__all__ = ["STDIN", "Skip", "content_size", "open_input", "remove_input", "require_removable"]

STDIN = "-"


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
            raise UsageError("an archive is not read from a terminal (-f does it all the same)")
        return sys.stdin.buffer
    if not name:
        raise Skip("a file name is empty")
    if os.path.isdir(name):
        raise Skip("is a directory (tar packs directories: tar -I lmzip -cf DIR.tar.lmz DIR)")
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


def require_removable(name: str, source: BinaryIO, *, force: bool) -> None:
    """Raise Skip if --rm must not remove this file: found out before any work.

    As gzip and xz have it: only regular files; without force neither through a symbolic link nor a
    file that has other names, too.
    """
    info = os.fstat(source.fileno())
    if not stat.S_ISREG(info.st_mode):
        raise Skip("is no regular file, so --rm does not remove it")
    if force:
        return
    if os.path.islink(name):
        raise Skip("is a symbolic link (with --rm -f, the link is removed)")
    if info.st_nlink > 1:
        raise Skip("has more than one hard link (with --rm -f, this one is removed)")


def remove_input(name: str, before: os.stat_result, source: BinaryIO) -> None:
    """Remove a file that was read, unless it has changed or another has its name. Raises Skip."""
    after, named = os.fstat(source.fileno()), os.stat(name)
    if (named.st_dev, named.st_ino) != (before.st_dev, before.st_ino):
        raise Skip("is another file now, so it is not removed")
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise Skip("has changed while it was read, so it is not removed")
    os.unlink(name)
