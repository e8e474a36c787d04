"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["atomic_output"]


@contextlib.contextmanager
def atomic_output(
    target: Path, *, overwrite: bool, like: os.stat_result | None = None
) -> Iterator[BinaryIO]:
    """A temporary file beside `target` that takes its name when the block ends well.

    Behind a link it is the file that the link names. What is no ordinary file (a device, a pipe) is
    written to, if it may be overwritten. With `like`, permissions and modification time (and, where
    allowed, the owner) are those. Raises FileExistsError if the target exists and `overwrite` is
    false; on any error nothing is left behind.
    """
    if not overwrite and target.exists():
        raise FileExistsError(f"{target} exists already")
    if target.exists() and not target.is_file():
        with open(target, "wb") as file:
            yield file
        return
    target = Path(os.path.realpath(target))
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".lmzip-", suffix=".tmp")
    except OSError as error:  # about the target, not about a name that nobody knows
        error.filename = str(target)
        raise
    temporary = Path(name)
    try:
        with open(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if like is not None:
            mode = like.st_mode & 0o777
            try:
                os.chown(temporary, like.st_uid, like.st_gid)
            except OSError:  # another group may do what everybody may
                if temporary.stat().st_gid != like.st_gid:
                    mode &= 0o707 | (mode & 0o007) << 3
            os.chmod(temporary, mode)
            os.utime(temporary, ns=(like.st_atime_ns, like.st_mtime_ns))
        else:
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)
        if overwrite:
            os.replace(temporary, target)
        else:
            try:  # a link fails where the target has appeared meanwhile; a rename would replace it
                os.link(temporary, target)
            except FileExistsError:
                raise
            except OSError:
                os.rename(temporary, target)
            else:
                temporary.unlink()
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
