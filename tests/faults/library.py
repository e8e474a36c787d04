"""The preloaded library: built with the system's C compiler, and spoken to from Python."""

from __future__ import annotations

import ctypes
import errno
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("inject.c")
SHORT = -1
"""Instead of an error number: a read or write transfers half."""

ERRORS: dict[str, tuple[int, ...]] = {
    "open": (errno.EIO, errno.EACCES, errno.EMFILE),
    "read": (errno.EIO, errno.EINTR, SHORT),
    "write": (errno.ENOSPC, errno.EIO, errno.EINTR, SHORT),
    "pwrite": (errno.ENOSPC,),
    "fsync": (errno.EIO, errno.EINVAL, errno.ENOSPC),
    "fdatasync": (errno.EIO,),
    "rename": (errno.EIO, errno.EACCES),
    "link": (errno.EPERM, errno.EIO, errno.ENOSPC),
    "unlink": (errno.EACCES, errno.EIO),
    "chmod": (errno.EPERM,),
    "chown": (errno.EPERM,),
    "utimensat": (errno.EPERM,),
    "close": (errno.EIO,),
    "mmap": (errno.ENOMEM,),
    "ftruncate": (errno.EIO,),
    "fstat": (errno.EIO,),
    "stat": (errno.EACCES, errno.EIO),
    "lseek": (errno.EIO,),
    "mkdir": (errno.ENOSPC,),
    "opendir": (errno.EACCES,),
}


def build(folder: Path) -> Path | None:
    """The library in that folder, None where there is no compiler or no glibc to build it for."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or not sys.platform.startswith("linux"):
        return None
    target = folder / "inject.so"
    words = [compiler, "-O1", "-shared", "-fPIC", "-o", str(target), str(SOURCE), "-ldl"]
    result = subprocess.run(words, capture_output=True, check=False)
    return target if result.returncode == 0 else None


class Injector:
    """The library in this process, which must have been started with it."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._library.faults_name.restype = ctypes.c_char_p
        count = self._library.faults_kinds()
        self.kinds = [self._library.faults_name(i).decode() for i in range(count)]

    def arm(
        self, kind: str | None, number: int, error: int, trace: int = -1, written: int = -1
    ) -> None:
        """From now on count, and let the `number`-th call (from 1) of that kind fail.

        Calls that change files are written to the descriptor `trace`, their bytes to `written`.
        """
        index = -1 if kind is None else self.kinds.index(kind)
        self._library.faults_arm(index, number, error, trace, written)

    def disarm(self) -> tuple[bool, dict[str, int]]:
        """Whether the call has failed, and how many calls of each kind there were."""
        self._library.faults_disarm()
        counts = {kind: self._library.faults_count(i) for i, kind in enumerate(self.kinds)}
        return bool(self._library.faults_failed()), counts
