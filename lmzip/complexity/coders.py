"""Upper bounds on conditional complexity that are lengths of files somebody can decode."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import lzma
import math
from typing import Protocol

from ..codec import (
    DEFAULT_MEMORY_LIMIT,
    CodecModel,
    CodingParameters,
    OneModel,
    SideInformation,
    SideParameters,
    compress_stream,
    decompress_stream,
    model_reference,
    read_pair,
    write_pair,
)
from ..errors import CorruptError
from ..format import FORMAT_VERSION
from ..format.fields import pack_varint

__all__ = ["Coder", "LmzipCoder", "XzCoder", "ZstdCoder"]

_ZSTD_LEVEL = 22
_ZSTD_MAX_WINDOW_LOG = 27


class Coder(Protocol):
    """A program that codes x alone, x given y, and both; all lengths are in bits."""

    name: str

    @property
    def identity(self) -> str:
        """Of all that its lengths depend on, to know kept ones by."""

    def alone(self, x: bytes) -> int:
        """C(x)."""

    def given(self, x: bytes, y: bytes) -> int:
        """C(x given y): the decoder has y."""

    def joint(self, x: bytes, y: bytes) -> int:
        """C(x, y): a file from which both come back, x coded first."""


def _require(same: bool, what: str) -> None:
    if not same:
        raise CorruptError(f"{what} does not decode to what was compressed")


class LmzipCoder:
    """lmzip with a model, files as it writes them. What was measured once is remembered."""

    def __init__(
        self,
        model: CodecModel,
        parameters: CodingParameters,
        *,
        side_parameters: SideParameters | None = None,
        memory_limit: int = DEFAULT_MEMORY_LIMIT,
        decode: bool = True,
    ) -> None:
        """With `decode`, every file is decoded and compared."""
        self.name = model.name
        self._models, self._parameters = OneModel(model), parameters
        self._side_parameters = side_parameters
        self._memory_limit, self._decode = memory_limit, decode
        self.alone = functools.cache(self._alone)
        self.given = functools.cache(self._given)
        self.joint = functools.cache(self._joint)

    @property
    def identity(self) -> str:
        """See `Coder`; whether files were decoded is part of it. UsageError for a bad window."""
        model, side = self._models.model, self._side_parameters
        reference = dataclasses.asdict(model_reference(model, self._parameters))
        settings = reference | {
            "identity": model.identity.hex(),
            "block_bytes": self._parameters.block_bytes,
            "side": None if side is None else repr(side),
            "format": FORMAT_VERSION,
            "decoded": self._decode,
        }
        return json.dumps(settings, sort_keys=True)

    def _archive(self, x: bytes, side: SideInformation | None) -> int:
        out = io.BytesIO()
        summary = compress_stream(
            io.BytesIO(x),
            out.write,
            self._models,
            self._parameters,
            size_bytes=len(x),
            memory_limit=self._memory_limit,
            side=side,
            side_parameters=None if side is None else self._side_parameters,
        )
        if self._decode:
            back = io.BytesIO()
            out.seek(0)
            decompress_stream(
                out,
                back.write,
                self._models,
                memory_limit=self._memory_limit,
                time_limit=math.inf,
                side=side,
            )
            _require(back.getvalue() == x, "an archive")
        return 8 * summary.archive_bytes

    def _alone(self, x: bytes) -> int:
        return self._archive(x, None)

    def _given(self, x: bytes, y: bytes) -> int:
        return self._archive(x, SideInformation.of(y) if y else None)

    def _joint(self, x: bytes, y: bytes) -> int:
        out = io.BytesIO()
        first, second = write_pair(
            x,
            y,
            out.write,
            self._models,
            self._parameters,
            memory_limit=self._memory_limit,
            side_parameters=self._side_parameters,
        )
        if self._decode:
            both = read_pair(out.getvalue(), self._models, memory_limit=self._memory_limit)
            _require(both == (x, y), "a pair")
        return 8 * (first.archive_bytes + second.archive_bytes)


class ZstdCoder:
    """zstd at its greatest level, y as a raw dictionary (as `zstd --patch-from`)."""

    name = "zstd -22"

    @property
    def identity(self) -> str:
        import zstandard

        return f"{self.name} {'.'.join(map(str, zstandard.ZSTD_VERSION))}"

    def _code(self, x: bytes, y: bytes) -> int:
        import zstandard

        window_log = min(_ZSTD_MAX_WINDOW_LOG, max(10, (len(x) + len(y)).bit_length()))
        dictionary = zstandard.ZstdCompressionDict(y, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
        parameters = zstandard.ZstdCompressionParameters.from_level(
            _ZSTD_LEVEL, source_size=len(x) + len(y), window_log=window_log, enable_ldm=True
        )
        known = dictionary if y else None
        packed = zstandard.ZstdCompressor(compression_params=parameters, dict_data=known).compress(
            x
        )
        back = zstandard.ZstdDecompressor(dict_data=known, max_window_size=1 << window_log)
        _require(back.decompress(packed, max_output_size=len(x) + 1) == x, "a zstd frame")
        return 8 * len(packed)

    def alone(self, x: bytes) -> int:
        return self._code(x, b"")

    def given(self, x: bytes, y: bytes) -> int:
        return self._code(x, y)

    def joint(self, x: bytes, y: bytes) -> int:
        """One frame of both, and where the first ends."""
        return self._code(x + y, b"") + 8 * len(pack_varint(len(x)))


class XzCoder:
    """xz -9e. It knows no dictionaries: x given y is what x adds behind y, no file by itself."""

    name = identity = "xz -9e"

    @staticmethod
    def _bytes(data: bytes) -> int:
        return len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))

    def alone(self, x: bytes) -> int:
        return 8 * self._bytes(x)

    def given(self, x: bytes, y: bytes) -> int:
        return 8 * (self._bytes(y + x) - self._bytes(y))

    def joint(self, x: bytes, y: bytes) -> int:
        return 8 * (self._bytes(x + y) + len(pack_varint(len(x))))
