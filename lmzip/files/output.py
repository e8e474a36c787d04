"""Files written whole or not at all, no more public than what they are made from."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

from .checked import write_all
from .standard import STANDARD_OUTPUT, StandardOutput

__all__ = ["append_line", "atomic_output", "replaces", "shared_mode"]

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_LOG = logging.getLogger("lmzip.files")

_NO_SYNC = frozenset(
    getattr(errno, name, errno.EINVAL)
    for name in ("EINVAL", "ENOSYS", "ENOTSUP", "EOPNOTSUPP", "EPERM", "EACCES", "EROFS")
)
"""What file systems say that cannot write to the disk on demand; EIO and ENOSPC are losses."""

_DESCRIPTOR = re.compile(r"/dev/fd/(\d{1,4})|/proc/self/fd/(\d{1,4})|/dev/(stdout|stderr)")


def _descriptor(target: Path) -> int | None:
    """The open file descriptor that this path names, None if it names a file."""
    match = _DESCRIPTOR.fullmatch(os.fspath(target))
    if match is None or os.name != "posix":
        return None
    numbers = {"stdout": 1, "stderr": 2}
    return numbers[match[3]] if match[3] else int(match[1] or match[2])


def replaces(target: Path) -> bool:
    """Whether an output of this name becomes a file of its own, or takes an ordinary file's place.

    Devices, pipes and open descriptors (/dev/stdout) are written to instead.
    """
    return _descriptor(target) is None and (target.is_file() or not target.exists())


def shared_mode(statuses: Iterable[os.stat_result]) -> int:
    """The permission bits that may be given to something made from all these files.

    Only regular files count: the mode of a pipe or a device says nothing of what comes out of it.
    """
    mode = 0o777
    for status in statuses:
        if stat.S_ISREG(status.st_mode):
            mode &= _for_group(status, os.getegid() if hasattr(os, "getegid") else status.st_gid)
    return mode | 0o600


def _for_group(status: os.stat_result, group: int) -> int:
    """The file's permissions; what another group would get is what everybody gets."""
    mode = status.st_mode & 0o777
    return mode if status.st_gid == group else mode & (0o707 | (mode & 0o007) << 3)


@contextlib.contextmanager
def atomic_output(
    target: Path,
    *,
    overwrite: bool,
    like: os.stat_result | None = None,
    within: int = 0o777,
) -> Iterator[BinaryIO]:
    """A temporary file beside `target` that takes its name when the block ends well.

    Behind a link it is the file that the link names. What is no ordinary file (a device, a pipe, an
    open descriptor) is written to. Permissions, modification time and, where allowed, the owner are
    those of `like` if that is a regular file; else those of the file that is replaced; else the
    umask's; and at most `within`, and at most those of the file that is replaced. What a file
    system refuses of these is logged as a warning. Raises FileExistsError if the target exists and
    `overwrite` is false; on any error nothing is left behind, but for one: where the disk fails to
    keep the new name, the file is there and OSError says that it may not last.
    """
    if not replaces(target):
        with _open_as_it_is(target) as file:
            yield file
        return
    if not overwrite and target.exists():
        raise FileExistsError(errno.EEXIST, "already exists", str(target))
    shown, target = target, Path(os.path.realpath(target))
    if like is not None and not stat.S_ISREG(like.st_mode):
        like = None
    old = None
    with contextlib.suppress(OSError):
        old = os.stat(target)
    handle, temporary = _new_file(target, shown, within if like is old is None else 0o600)
    try:
        with io.BufferedRandom(_Named(handle, "w+b", shown)) as file:
            yield file
            file.flush()
            _sync(file, shown)
        _dress(temporary, shown, like, old, within)
        _rename(temporary, target, overwrite=overwrite)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename, error.filename2 = str(shown), None  # not a name that nobody knows
        raise
    _sync_folder(target.parent, shown)


class _Named(io.FileIO):
    """A file whose failures are about the name that the user knows."""

    def __init__(self, file: str | int, mode: str, shown: Path) -> None:
        super().__init__(file, mode)
        self._shown = str(shown)

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._shown) from None


@contextlib.contextmanager
def _open_as_it_is(target: Path) -> Iterator[BinaryIO]:
    number = _descriptor(target)
    if number is None:
        with io.BufferedWriter(_Named(os.fspath(target), "wb", target)) as plain:
            yield plain
        return
    raw = STANDARD_OUTPUT if number == 1 else StandardOutput(number, str(target))
    os.fstat(number)  # raises where there is none
    if STANDARD_OUTPUT.used and number == 1:
        raise FileExistsError(errno.EEXIST, "is written to already", str(target))
    buffered = io.BufferedWriter(raw)
    try:
        yield buffered
        buffered.flush()
    finally:
        if raw is not STANDARD_OUTPUT:
            raw.give_up()
        with contextlib.suppress(OSError, ValueError):
            buffered.detach()


def _new_file(target: Path, shown: Path, mode: int) -> tuple[int, Path]:
    """A new file beside the target, open for reading and writing; the umask applies to the mode."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
    flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    while True:
        path = target.parent / f".lmzip-{secrets.token_hex(6)}.tmp"
        try:
            return os.open(path, flags, 0o666 & mode), path
        except FileExistsError:
            continue
        except OSError as error:  # about the target, not about a name that nobody knows
            error.filename = str(shown)
            raise


def _sync(file: IO[bytes], shown: Path) -> None:
    """To the disk, as far as the file system can. Raises OSError if something may be lost."""
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in _NO_SYNC:
            error.filename = str(shown)
            raise
        _LOG.warning("%s: was written, but may not be on the disk yet: %s", shown, error.strerror)


def _sync_folder(folder: Path, shown: Path) -> None:
    """Names are on the disk, too, where that can be asked for.

    Raises OSError if the name `shown` may be lost, though the file is there: nothing that it was
    made from may go.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if os.name != "posix" or error.errno in _NO_SYNC:
            return
        error.filename = str(shown)
        raise


def _dress(
    temporary: Path,
    shown: Path,
    like: os.stat_result | None,
    old: os.stat_result | None,
    within: int,
) -> None:
    """Owner, permissions and time; what cannot be set is said, and the contents kept."""
    model = like or old
    if model is None:
        return
    try:
        if hasattr(os, "chown"):
            with contextlib.suppress(OSError):
                os.chown(temporary, model.st_uid, model.st_gid)
        group = temporary.stat().st_gid
        mode = _for_group(model, group) & within
        if old is not None:
            mode &= _for_group(old, group)
        os.chmod(temporary, mode)
        if like is not None:
            os.utime(temporary, ns=(like.st_atime_ns, like.st_mtime_ns))
    except OSError as error:
        _LOG.warning(
            "%s: was written, but permissions or time could not be set: %s", shown, error.strerror
        )


def _rename(temporary: Path, target: Path, *, overwrite: bool) -> None:
    if overwrite:
        os.replace(temporary, target)
        return
    try:  # a link fails where the target has appeared meanwhile; a rename would replace it
        os.link(temporary, target)
    except FileExistsError:
        raise FileExistsError(errno.EEXIST, "already exists", str(target)) from None
    except OSError:
        if target.exists():
            raise FileExistsError(errno.EEXIST, "already exists", str(target)) from None
        os.rename(temporary, target)
    else:
        temporary.unlink()


def append_line(path: Path, line: bytes) -> None:
    """Append a line, on the disk when this returns; on an error the file is as long as before."""
    with open(path, "ab", buffering=0) as file:
        before = os.fstat(file.fileno()).st_size
        try:
            write_all(file, line)
            _sync(file, path)
        except BaseException:
            with contextlib.suppress(OSError):
                if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    os.ftruncate(file.fileno(), before)
            raise
    if not before:  # perhaps a new file
        _sync_folder(Path(os.path.realpath(path)).parent, path)
