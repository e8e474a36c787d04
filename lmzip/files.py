"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["atomic_output"]


@contextlib.contextmanager
def atomic_output(target: Path, *, overwrite: bool, like: Path | None = None) -> Iterator[BinaryIO]:
    """A temporary file beside `target` that takes its name when the block ends well.

    With `like`, permissions and modification time (and, where allowed, the owner) are copied from
    that file. Raises FileExistsError if the target exists and `overwrite` is false; on any error
    nothing is left behind.
    """
    if not overwrite and target.exists():
        raise FileExistsError(f"{target} exists already")
    handle, name = tempfile.mkstemp(
        dir=target.parent, prefix=f".{target.name[:100]}.", suffix=".tmp"
    )
    temporary = Path(name)
    try:
        with open(handle, "wb") as file:
            yield file
        if like is not None:
            info = like.stat()
            with contextlib.suppress(OSError):
                os.chown(temporary, info.st_uid, info.st_gid)
            os.chmod(temporary, stat.S_IMODE(info.st_mode))
            os.utime(temporary, ns=(info.st_atime_ns, info.st_mtime_ns))
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
