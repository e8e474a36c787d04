"""Compressor and decompressor objects, fed piece by piece like those of `lzma` and `bz2`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from .api import level_choices, side_information, source_of_models
from .codec import (
    DEFAULT_MEMORY_LIMIT,
    ArchiveDecoder,
    ArchiveEncoder,
    CodingParameters,
    ModelSource,
)

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["LmzipCompressor", "LmzipDecompressor"]


class LmzipCompressor:
    """Makes one archive from contents that come in pieces; memory holds a block of them."""

    def __init__(
        self,
        *,
        level: int | None = None,
        model: str | ModelSource | None = None,
        parameters: CodingParameters | None = None,
        memory_limit: int = DEFAULT_MEMORY_LIMIT,
        given: ReadableBuffer | None = None,
        **options: Any,
    ) -> None:
        """The options are those of `lmzip.compress`. The model is loaded when a block is coded."""
        model, parameters = level_choices(level, model, parameters)
        self._encoder: ArchiveEncoder | None = ArchiveEncoder(
            source_of_models(model, **options),
            parameters,
            memory_limit=memory_limit,
            side=side_information(given),
        )

    def compress(self, data: ReadableBuffer, /) -> bytes:
        """The next bytes of the archive, often none: a block is coded once it is complete.

        Raises ValueError after `flush`, LmzipError.
        """
        return self._going_on().add(memoryview(data).cast("B"))

    def flush(self) -> bytes:
        """The rest of the archive. Raises ValueError if it was called before, LmzipError."""
        encoder = self._going_on()
        self._encoder = None
        return encoder.finish()

    def _going_on(self) -> ArchiveEncoder:
        if self._encoder is None:
            raise ValueError("the compressor has been flushed")
        return self._encoder

    def __getstate__(self) -> NoReturn:
        raise TypeError(f"cannot pickle {type(self).__name__} object")


class LmzipDecompressor:
    """Gives back the contents of one archive whose bytes come in pieces.

    Contents come block by block, each after its own checksum. What is wrong with an archive may be
    known only at its end, so nobody should trust them before `eof`.
    """

    def __init__(
        self,
        *,
        model: ModelSource | None = None,
        memory_limit: int = DEFAULT_MEMORY_LIMIT,
        time_limit: float | None = None,
        given: ReadableBuffer | None = None,
        **options: Any,
    ) -> None:
        """The options are those of `lmzip.decompress`."""
        self._decoder = ArchiveDecoder(
            source_of_models(model, **options),
            memory_limit=memory_limit,
            time_limit=time_limit,
            side=side_information(given),
        )
        self._ready = bytearray()

    def decompress(self, data: ReadableBuffer, max_length: int = -1) -> bytes:
        """The contents that `data` completes, at most `max_length` bytes if that is not negative.

        What is beyond that is kept for the next call, which may hand over no bytes at all. Raises
        EOFError behind the end of the archive, LmzipError.
        """
        if self.eof:
            raise EOFError("the archive has already ended")
        self._decoder.add(memoryview(data).cast("B"))
        while max_length < 0 or len(self._ready) < max_length:
            piece = self._decoder.next()
            if piece is None:
                break
            self._ready += piece
        size = len(self._ready) if max_length < 0 else min(max_length, len(self._ready))
        found = bytes(self._ready[:size])
        del self._ready[:size]
        if not self._ready and not self._decoder.ended:
            # The end of the archive may be here already; a block may be too, and then waits.
            piece = self._decoder.next()
            self._ready += piece or b""
        return found

    @property
    def eof(self) -> bool:
        """Whether the end of the archive was reached, its checksum was right, and all was given."""
        return self._decoder.ended and not self._ready

    @property
    def needs_input(self) -> bool:
        """Whether it takes more bytes to go on."""
        return not self._ready and not self._decoder.ended

    @property
    def unused_data(self) -> bytes:
        """What was handed over behind the end of the archive; nothing before `eof`."""
        return self._decoder.left_over if self.eof else b""

    def __getstate__(self) -> NoReturn:
        raise TypeError(f"cannot pickle {type(self).__name__} object")
