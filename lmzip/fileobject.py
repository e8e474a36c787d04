"""Archives as file objects, like `lzma.LZMAFile` and `lzma.open`."""

from __future__ import annotations

import builtins
import contextlib
import errno
import functools
import io
import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, TextIO, cast

from .api import compress, level_choices, side_information, source_of_models
from .codec import (
    DEFAULT_MEMORY_LIMIT,
    ArchiveIndex,
    ArchiveReader,
    BlockReader,
    CodingParameters,
    ModelSource,
    SideInformation,
    TimeBudget,
)
from .errors import FormatError, LmzipError
from .files import Source, atomic_output, replaces, write_all

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["LmzipFile", "open", "register_fsspec"]

_LOG = logging.getLogger("lmzip.fileobject")
_MODES = {"r": "r", "rb": "r", "w": "w", "wb": "w", "x": "x", "xb": "x", "a": "a", "ab": "a"}


class _Indexed:
    """Contents by the archives' indexes: any block without the others."""

    def __init__(self, index: ArchiveIndex, blocks: BlockReader) -> None:
        self._index, self._blocks = index, blocks

    def within(self, position: int) -> int:
        """The position, at most the end."""
        return min(position, self._index.content_bytes)

    def piece(self, position: int, size: int) -> bytes:
        """Up to `size` bytes from a position on, none at the end."""
        return self._blocks.piece(position, size)

    def rest(self, position: int) -> Iterator[bytes]:
        """All bytes from a position on."""
        return self._blocks.range(position, self._index.content_bytes)


class _FrontToBack:
    """Contents of a file whose index is damaged, or that has something else behind the archives.

    What stands before the damage is read; reading on raises what is wrong. Bytes behind whole
    archives that begin no archive are passed over, with a warning in the log.
    """

    def __init__(self, source: BinaryIO, options: dict[str, Any]) -> None:
        self._source, self._options = source, options
        self._restart()

    def _restart(self) -> None:
        self._source.seek(0)
        self._reader = ArchiveReader(self._source, **self._options)
        self._pieces = iter(self._reader)
        self._start, self._data = 0, b""
        self._ended = False
        self._damage: LmzipError | None = None
        """What was found, and is found again."""

    def _advance(self) -> bool:
        """Have the next piece; whether there is one. Raises FormatError at the damage."""
        if self._ended:
            return False
        if self._damage is not None:
            raise self._damage
        try:
            data = next(self._pieces, None)
        except LmzipError as error:
            # No subclass: what stands there begins no archive.
            if type(error) is not FormatError or not self._reader.whole_archives:
                self._damage = error
                raise
            _LOG.warning("%s; it was ignored", error)
            data = None
        if data is None:
            self._ended = True
            return False
        self._start, self._data = self._start + len(self._data), data
        return True

    def _reach(self, position: int) -> bool:
        """Have the piece that holds a position; whether there is one."""
        if position < self._start:
            self._restart()
        while position >= self._start + len(self._data):
            if not self._advance():
                return False
        return True

    def within(self, position: int) -> int:
        """The position, at most the end."""
        return position if self._reach(position) else self._start + len(self._data)

    def piece(self, position: int, size: int) -> bytes:
        """Up to `size` bytes from a position on, none at the end."""
        if not size or not self._reach(position):
            return b""
        return self._data[position - self._start :][:size]

    def rest(self, position: int) -> Iterator[bytes]:
        """All bytes from a position on."""
        while part := self.piece(position, 1 << 30):
            yield part
            position += len(part)


class _Contents(io.RawIOBase):
    """Random access to an archive's contents: the index is read, and blocks are decoded, when
    somebody reads."""

    def __init__(
        self,
        source: BinaryIO,
        models: ModelSource,
        memory_limit: int,
        time_limit: float | None,
        side: SideInformation | None,
    ) -> None:
        self._source, self._models, self._side = source, models, side
        self._memory_limit, self._time_limit = memory_limit, time_limit
        self._opened: _Indexed | _FrontToBack | None = None
        self._position = 0

    @property
    def _contents(self) -> _Indexed | _FrontToBack:
        if self._opened is None:
            try:
                index = ArchiveIndex(self._source)
            except FormatError:
                options = {
                    "models": self._models, "memory_limit": self._memory_limit,
                    "time_limit": self._time_limit, "side": self._side,
                }  # fmt: skip
                self._opened = _FrontToBack(self._source, options)
            else:
                time = TimeBudget(self._time_limit)
                blocks = BlockReader(index, self._models, self._memory_limit, self._side, time=time)
                self._opened = _Indexed(index, blocks)
        return self._opened

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """The new position, which is never before the beginning or behind the end."""
        if whence not in (io.SEEK_SET, io.SEEK_CUR, io.SEEK_END):
            raise ValueError(f"invalid whence ({whence}, should be 0, 1 or 2)")
        base = 0
        if whence == io.SEEK_CUR:
            base = self._position
        elif whence == io.SEEK_END:
            base = self._contents.within(1 << 62)
        target = max(0, base + offset)
        self._position = self._contents.within(target) if target else 0
        return self._position

    def readinto(self, buffer: Any) -> int:
        piece = self._contents.piece(self._position, len(buffer))
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def readall(self) -> bytes:
        # Blocks of many are decoded together.
        rest = b"".join(self._contents.rest(self._position))
        self._position += len(rest)
        return rest


class LmzipFile(io.BufferedIOBase):
    """A file object that compresses on writing and decompresses on reading, seekable for reading.

    Modes are r, w, x (a new file) and a (one more archive behind what is there), with or without b.
    Writing collects the contents in memory and makes the archive on close, all or nothing: if the
    `with` block fails, or nobody closes it (RuntimeWarning), nothing is written. A file object is
    read from where it stands; one that cannot seek, such as a pipe, to its end at once: then
    `seekable` says no, though `seek` works. Positions before the beginning or behind the end become
    those. Reading raises LmzipError; TruncatedError is an EOFError, too.
    """

    def __init__(
        self,
        path: str | bytes | os.PathLike[str] | BinaryIO,
        mode: str = "rb",
        *,
        level: int | None = None,
        model: str | ModelSource | None = None,
        parameters: CodingParameters | None = None,
        memory_limit: int = DEFAULT_MEMORY_LIMIT,
        time_limit: float | None = None,
        given: ReadableBuffer | None = None,
        **options: Any,
    ) -> None:
        """Raises ValueError for a mode that there is not, TypeError for what is no file, OSError.

        `level`, `model`, `parameters`, `given` and further options are those of `lmzip.compress`.
        """
        if not isinstance(mode, str) or mode not in _MODES:
            raise ValueError(f"invalid mode: {mode!r}")
        kind = _MODES[mode]
        if kind != "r":
            model, parameters = level_choices(level, model, parameters)
        models = source_of_models(model, **options)
        self.mode = f"{kind}b"
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        self.name = os.fspath(path) if isinstance(path, str | os.PathLike) else _name_of(path)
        """Of the file; empty if it has none."""
        self._kind = kind
        self._target: Path | BinaryIO | None = None
        self._file: BinaryIO | None = None
        """What is read or written; None where `close` makes a file."""
        self._owned = False
        """Whether `close` closes that."""
        self._reader: io.BufferedReader | None = None
        self._pending: io.BytesIO | None = None
        if kind == "r":
            if isinstance(path, str | os.PathLike):
                self._file, self._owned = builtins.open(path, "rb"), True
            else:
                self._file = path
            try:
                self._can_seek = _can_seek(self._file)
                source = cast(BinaryIO, Source(self._file))
                side = side_information(given)
                self._reader = io.BufferedReader(
                    _Contents(source, models, memory_limit, time_limit, side)
                )
            except BaseException:
                if self._owned:
                    self._file.close()
                raise
            return
        self._target = Path(path) if isinstance(path, str | os.PathLike) else path
        if isinstance(self._target, Path):
            _require_place(self._target)
            if kind == "x" and self._target.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self._target))
        elif not callable(getattr(path, "write", None)):
            raise TypeError(f"a path or a file object is needed, not {type(path).__name__}")
        else:
            self._file = self._target
        self._pending = io.BytesIO()
        self._finish = functools.partial(
            compress, model=models, parameters=parameters, memory_limit=memory_limit, given=given
        )

    def readable(self) -> bool:
        """Whether it was opened for reading. This and all below: ValueError if it is closed."""
        self._require_open()
        return self._reader is not None

    def writable(self) -> bool:
        """Whether it was opened for writing."""
        self._require_open()
        return self._pending is not None

    def seekable(self) -> bool:
        """Whether it was opened for reading from a file that can seek."""
        self._require_open()
        return self._reader is not None and self._can_seek

    def fileno(self) -> int:
        """The descriptor of the file. Raises UnsupportedOperation if it has none (yet)."""
        self._require_open()
        if self._file is None:
            raise io.UnsupportedOperation("the file is made when this is closed")
        return self._file.fileno()

    def _require_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def _reading(self) -> io.BufferedReader:
        self._require_open()
        if self._reader is None:
            raise io.UnsupportedOperation("not open for reading")
        return self._reader

    def read(self, size: int | None = -1, /) -> bytes:
        """`size` bytes, fewer only at the end; all that are left without a size."""
        return self._reading().read(size)

    def read1(self, size: int = -1, /) -> bytes:
        """Some bytes, at most `size`; none only at the end."""
        return self._reading().read1(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        """A line with its end, at most `size` bytes of it."""
        return self._reading().readline(-1 if size is None else size)

    def peek(self, size: int = 0, /) -> bytes:
        """Bytes from here on, at least one unless it is the end; the position stays."""
        return self._reading().peek(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """The new position in the contents."""
        return self._reading().seek(offset, whence)

    def tell(self) -> int:
        """The position in the contents."""
        self._require_open()
        return (self._pending or self._reading()).tell()

    def write(self, data: ReadableBuffer, /) -> int:
        """The number of bytes of `data`, all of them kept."""
        self._require_open()
        if self._pending is None:
            raise io.UnsupportedOperation("not open for writing")
        return self._pending.write(data)

    def discard(self) -> None:
        """Write nothing on close."""
        self._target = None

    def __getstate__(self) -> NoReturn:
        raise TypeError(f"cannot pickle {type(self).__name__} object")

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is not None:
            self.discard()
        super().__exit__(kind, *rest)

    def __del__(self) -> None:
        """A file that nobody closed is not written, which is said."""
        if getattr(self, "_pending", None) is not None and self._target is not None:
            warnings.warn(
                f"{self.name or 'a file object'}: never closed, so nothing was written to it",
                RuntimeWarning,
                stacklevel=2,
                source=self,
            )
        self._target = None
        super().__del__()

    def close(self) -> None:
        """Write the archive, if this was opened for writing; a file object stays open."""
        if self.closed:
            return
        try:
            if self._pending is not None and self._target is not None:
                self._write(self._finish(self._pending.getvalue()))
        finally:
            self._pending = None
            if self._reader is not None:
                self._reader.close()
            if self._owned and self._file is not None:
                self._file.close()
            super().close()

    def _write(self, archive: bytes) -> None:
        if not isinstance(self._target, Path):
            write_all(self._target, archive)
            return
        appending = self._kind == "a"
        with atomic_output(self._target, overwrite=self._kind != "x") as out:
            if appending and self._target.exists() and replaces(self._target):
                with builtins.open(self._target, "rb") as before:
                    shutil.copyfileobj(before, out)
            out.write(archive)


def _can_seek(file: Any) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable()) if callable(seekable) else hasattr(file, "seek")


def _name_of(file: object) -> str:
    name = getattr(file, "name", "")
    return os.fsdecode(name) if isinstance(name, str | bytes) else ""


def _require_place(target: Path) -> None:
    """Raise OSError if no file can be made there: known at once, not behind all the work."""
    folder = target.resolve().parent if replaces(target) else target.parent
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(target))
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if replaces(target) and not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))


class _TextFile(io.TextIOWrapper):
    """Text over an LmzipFile; discarded if the `with` block fails, or if nobody closes it."""

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is not None and isinstance(self.buffer, LmzipFile):
            self.buffer.discard()
        super().__exit__(kind, *rest)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, ValueError):  # never begun, or detached
            buffer = cast(Any, self.buffer)
            if not buffer.closed:
                buffer.__del__()
        super().__del__()


def open(
    path: str | bytes | os.PathLike[str] | BinaryIO,
    mode: str = "rb",
    *,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    **options: Any,
) -> LmzipFile | TextIO:
    """Open an archive like `lzma.open`: modes r, w, x, a with b (default) or t.

    `encoding` (UTF-8 if not given), `errors` and `newline` are for text. Further options are those
    of LmzipFile. Raises ValueError for a mode that there is not.
    """
    if "t" in mode:
        if "b" in mode:
            raise ValueError(f"invalid mode: {mode!r}")
        file = LmzipFile(path, mode.replace("t", ""), **options)
        return _TextFile(cast(Any, file), encoding or "utf-8", errors, newline)
    if encoding is not None or errors is not None or newline is not None:
        raise ValueError("encoding, errors and newline are for text mode")
    return LmzipFile(path, mode, **options)


def register_fsspec() -> None:
    """Tell fsspec of the compression "lmzip" and the ending .lmz, for `fsspec.open` and its users.

    Raises ModuleNotFoundError where fsspec is not installed.
    """
    from fsspec.compression import register_compression

    def opened(file: BinaryIO, mode: str = "rb", **options: Any) -> LmzipFile:
        return LmzipFile(file, mode, **options)

    register_compression("lmzip", opened, "lmz", force=True)
