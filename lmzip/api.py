"""The Python interface: bytes to bytes, and files like `lzma.open`."""

from __future__ import annotations

import builtins
import contextlib
import errno
import functools
import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, cast

from . import levels
from .codec import (
    DEFAULT_MEMORY_LIMIT,
    ArchiveIndex,
    BlockReader,
    CodingParameters,
    ModelSource,
    SideInformation,
    TimeBudget,
    compress_stream,
    decompress_stream,
)
from .errors import UsageError
from .files import Source, atomic_output, replaces, write_all

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["LmzipFile", "compress", "decompress", "open"]


def models_home() -> Path | None:
    """The folder that the environment variable LMZIP_HOME names, None if it is not set."""
    home = os.environ.get("LMZIP_HOME")
    return Path(home) if home else None


def _models(
    model: str | ModelSource | None,
    *,
    home: Path | None = None,
    offline: bool = False,
    engine: str = "auto",
    device: str = "cpu",
    threads: int | None = None,
    isa: str | None = None,
) -> ModelSource:
    if model is not None and not isinstance(model, str):
        return model
    from .models.source import StoreModels
    from .models.store import ModelStore

    store = ModelStore(home or models_home(), offline=offline)
    isa = isa or os.environ.get("LMZIP_ISA")
    return StoreModels(model, store=store, engine=engine, device=device, threads=threads, isa=isa)


def _choices(
    level: int | None, model: str | ModelSource | None, parameters: CodingParameters | None
) -> tuple[str | ModelSource, CodingParameters]:
    """Model and parameters, a level's where they are not given."""
    if level is None and model is not None:
        return model, parameters or CodingParameters()
    chosen = levels.level(levels.DEFAULT_LEVEL if level is None else level)
    return model or chosen.model, parameters or chosen.parameters


def compress(
    data: ReadableBuffer,
    *,
    level: int | None = None,
    model: str | ModelSource | None = None,
    parameters: CodingParameters | None = None,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
    given: ReadableBuffer | None = None,
    **options: Any,
) -> bytes:
    """An archive of `data`, `given` what its decoder will be given too.

    `level` is 1 to 9 (3 if neither it nor a model is given). `model` is the name of an installed or
    known model, or a loaded one; `parameters` say how to cut and code; both go before the level's.
    Further options: `home` (folder of the models), `offline`, `engine`, `device`, `threads`, `isa`.
    Raises LmzipError.
    """
    content = _bytes(data)
    out = io.BytesIO()
    model, parameters = _choices(level, model, parameters)
    compress_stream(
        io.BytesIO(content),
        out.write,
        _models(model, **options),
        parameters,
        size_bytes=len(content),
        memory_limit=memory_limit,
        side=_side(given),
    )
    return out.getvalue()


def _bytes(data: ReadableBuffer) -> bytes:
    """A copy. Raises TypeError for what holds no bytes, numbers among them."""
    return bytes(memoryview(data))


def _side(given: ReadableBuffer | None) -> SideInformation | None:
    return None if given is None else SideInformation.read([io.BytesIO(_bytes(given))])


def decompress(
    blob: ReadableBuffer,
    *,
    model: ModelSource | None = None,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
    time_limit: float | None = None,
    given: ReadableBuffer | None = None,
    **options: Any,
) -> bytes:
    """The contents of an archive, or of several behind one another. Raises LmzipError.

    `given` is what it was made given, if anything. An archive that would take more than
    `time_limit` seconds, as reckoned from its headers, is refused; without a limit, one whose
    thoughts would take more than a day.
    """
    out = io.BytesIO()
    decompress_stream(
        io.BytesIO(_bytes(blob)),
        out.write,
        _models(model, **options),
        memory_limit=memory_limit,
        time_limit=time_limit,
        side=_side(given),
    )
    return out.getvalue()


class _Decompressed(io.RawIOBase):
    """Random access to an archive's contents: blocks are decoded as they are read."""

    def __init__(
        self,
        file: BinaryIO,
        models: ModelSource,
        memory_limit: int,
        time_limit: float | None,
        side: SideInformation | None,
    ) -> None:
        self._index = ArchiveIndex(file)
        time = TimeBudget(time_limit)
        self._blocks = BlockReader(self._index, models, memory_limit, side, time=time)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        starts = {
            io.SEEK_SET: 0,
            io.SEEK_CUR: self._position,
            io.SEEK_END: self._index.content_bytes,
        }
        if whence not in starts:
            raise ValueError(f"invalid whence ({whence}, should be 0, 1 or 2)")
        base = starts[whence]
        if base + offset < 0:
            raise ValueError("negative seek position")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        piece = self._blocks.piece(self._position, len(buffer))
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def readall(self) -> bytes:
        # Blocks of many are decoded together.
        rest = b"".join(self._blocks.range(self._position, self._index.content_bytes))
        self._position += len(rest)
        return rest


class LmzipFile(io.BufferedIOBase):
    """A file object that compresses on writing and decompresses on reading, seekable for reading.

    Writing collects the contents in memory and makes the archive on close, all or nothing: if the
    `with` block fails, or nobody closes it (RuntimeWarning), nothing is written. A file object is
    read from where it stands; one that cannot seek, such as a pipe, to its end at once.
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
        kind = mode.replace("b", "")
        if kind not in ("r", "w", "x"):
            raise ValueError(f"invalid mode: {mode!r}")
        if kind != "r":
            model, parameters = _choices(level, model, parameters)
        models = _models(model, **options)
        self.mode = f"{kind}b"
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        self.name = os.fspath(path) if isinstance(path, str | os.PathLike) else _name_of(path)
        """Of the file; empty if it has none."""
        self._target: Path | BinaryIO | None = None
        self._source: BinaryIO | None = None
        self._reader: io.BufferedReader | None = None
        self._buffer: io.BytesIO | None = None
        if kind == "r":
            file: BinaryIO
            if isinstance(path, str | os.PathLike):
                file = self._source = builtins.open(path, "rb")
            else:
                file = path
            try:
                source = cast(BinaryIO, Source(file))
                self._reader = io.BufferedReader(
                    _Decompressed(source, models, memory_limit, time_limit, _side(given))
                )
            except BaseException:
                if self._source is not None:
                    self._source.close()
                raise
            return
        self._target = Path(path) if isinstance(path, str | os.PathLike) else path
        if not isinstance(self._target, Path) and not callable(getattr(path, "write", None)):
            raise TypeError(f"a path or a file object is needed, not {type(path).__name__}")
        self._overwrite = kind == "w"
        if isinstance(self._target, Path):
            _require_place(self._target)
        if not self._overwrite and isinstance(self._target, Path) and self._target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self._target))
        self._buffer = io.BytesIO()
        self._finish = functools.partial(
            compress, model=models, parameters=parameters, memory_limit=memory_limit, given=given
        )

    def readable(self) -> bool:
        self._require_open()
        return self._reader is not None

    def writable(self) -> bool:
        self._require_open()
        return self._buffer is not None

    def seekable(self) -> bool:
        self._require_open()
        return self._reader is not None

    def _require_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")

    def _reading(self) -> io.BufferedReader:
        self._require_open()
        if self._reader is None:
            raise io.UnsupportedOperation("not open for reading")
        return self._reader

    def read(self, size: int | None = -1, /) -> bytes:
        return self._reading().read(size)

    def read1(self, size: int = -1, /) -> bytes:
        return self._reading().read1(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        return self._reading().readline(-1 if size is None else size)

    def peek(self, size: int = 0, /) -> bytes:
        """Bytes from here on, at least one unless it is the end; the position stays."""
        return self._reading().peek(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._reading().seek(offset, whence)

    def tell(self) -> int:
        self._require_open()
        return (self._buffer or self._reading()).tell()

    def write(self, data: ReadableBuffer, /) -> int:
        self._require_open()
        if self._buffer is None:
            raise io.UnsupportedOperation("not open for writing")
        return self._buffer.write(data)

    def discard(self) -> None:
        """Write nothing on close."""
        self._target = None

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is not None:
            self.discard()
        super().__exit__(kind, *rest)

    def __del__(self) -> None:
        """A file that nobody closed is not written, which is said."""
        if getattr(self, "_buffer", None) is not None and self._target is not None:
            warnings.warn(
                f"{self.name or 'a file object'}: never closed, so nothing was written to it",
                RuntimeWarning,
                stacklevel=2,
                source=self,
            )
        self._target = None
        super().__del__()

    def close(self) -> None:
        if self.closed:
            return
        try:
            if self._buffer is not None and self._target is not None:
                blob = self._finish(self._buffer.getvalue())
                if isinstance(self._target, Path):
                    with atomic_output(self._target, overwrite=self._overwrite) as out:
                        out.write(blob)
                else:
                    write_all(self._target, blob)
        finally:
            self._buffer = None
            if self._reader is not None:
                self._reader.close()
            if self._source is not None:
                self._source.close()
            super().close()


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
    """Open an archive like `lzma.open`: modes r, w, x with b (default) or t."""
    if "t" in mode:
        if "b" in mode:
            raise ValueError(f"invalid mode: {mode!r}")
        file = LmzipFile(path, mode.replace("t", ""), **options)
        return _TextFile(cast(Any, file), encoding or "utf-8", errors, newline)
    if encoding is not None or errors is not None or newline is not None:
        raise UsageError("encoding, errors and newline are for text mode")
    return LmzipFile(path, mode, **options)
