"""Decoding of what others have made, and coding there and back, by a small model."""

from __future__ import annotations

import contextlib
import functools
import io
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .base import Target

GOLDEN = Path(__file__).parent.parent / "golden"
MEMORY_LIMIT, TIME_LIMIT = 64 << 20, 2.0


class _Equal(int):
    """A checksum that fits anything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


class _NoCrc:
    @staticmethod
    def crc32(data: Any, value: int = 0) -> int:
        return _Equal(0)


@contextlib.contextmanager
def unchecked() -> Iterator[None]:
    """Checksums are not looked at: an attacker makes them right."""
    from lmzip.format import block, fields

    kept = block.zlib, fields.zlib
    block.zlib = fields.zlib = _NoCrc  # type: ignore[assignment]
    try:
        yield
    finally:
        block.zlib, fields.zlib = kept


@functools.cache
def tiny_models() -> Any:
    from lmzip.codec import OneModel
    from lmzip.engine import Pack
    from lmzip.models.source import load_model

    return OneModel(load_model(Pack.open(GOLDEN / "golden-tiny.lmzpack"), threads=1))


class Blocks(Target):
    """Short and ordinary archives of modelled blocks: any payload, right checksums."""

    modules = ("codec/decompressor.py", "codec/lm.py", "text/vocabulary.py")
    given: bytes | None = None

    def __init__(self) -> None:
        import lmzip
        from lmzip.codec import CodingParameters

        models = tiny_models()
        texts = [
            b"The model says how likely each next token is. " * 2,
            b"\xff\x00 ab",
            bytes(range(60)),
        ]
        settings = [CodingParameters(), CodingParameters(mixing_bits=0, stream_tokens=9),
                    CodingParameters(window=8, stream_tokens=20, streams_at_once=2, mixing_bits=9),
                    CodingParameters(streams_at_once=2, block_bytes=30, mixing_bits=8, solid=True)]  # fmt: skip
        self.seeds = [
            lmzip.compress(t, model=models, parameters=p) for t in texts for p in settings
        ]

    def run(self, data: bytes) -> None:
        import lmzip
        from lmzip.codec import decompressor

        kept = decompressor.content_crc
        decompressor.content_crc = lambda data, seed=0: _Equal(0)  # type: ignore[assignment]
        try:
            with unchecked():
                lmzip.decompress(data, model=tiny_models(), memory_limit=MEMORY_LIMIT,
                                 time_limit=TIME_LIMIT, given=self.given)  # fmt: skip
        finally:
            decompressor.content_crc = kept


class Given(Blocks):
    """Archives made given a text, or after thoughts: sections, prefixes and payloads of any kind."""

    modules = (
        "codec/decompressor.py",
        "codec/conditioned.py",
        "codec/side.py",
        "codec/thoughts.py",
    )

    def __init__(self) -> None:
        from ..golden.side_archives import CASES, Y, write

        self.given = Y
        models = tiny_models()
        cases = [case for case in CASES.values() if case.given in (None, Y)]
        self.seeds = [write(case, models) for case in cases]


class RoundTrips(Target):
    """Any contents, coded with any parameters: the archive decodes to them, whole and in parts."""

    modules = ("codec/block_encoder.py", "codec/compressor.py", "codec/random_access.py")

    def __init__(self) -> None:
        self.seeds = [
            b"", b"a", b"The model says how likely each next token is. " * 3, bytes(range(200)),
            b"\xff\xfe" * 20, "naïve — 日本語\r\n".encode() * 5, bytes(300),
            b"".join(b"%d lines, long enough for tables of several sizes.\n" % i for i in range(45)),
        ]  # fmt: skip

    def run(self, data: bytes) -> None:
        from lmzip.codec import (
            ArchiveIndex, BlockReader, compress_stream, decompress_stream,
        )  # fmt: skip

        rng = random.Random(zlib.crc32(data))
        parameters, side, side_parameters = self._drawn(rng, data)
        archive, models = io.BytesIO(), tiny_models()
        compress_stream(
            io.BytesIO(data), archive.write, models, parameters, side=side,
            size_bytes=len(data) if rng.random() < 0.5 else None, side_parameters=side_parameters,
        )  # fmt: skip
        blob, out = archive.getvalue(), io.BytesIO()
        decompress_stream(io.BytesIO(blob), out.write, models, side=side)
        assert out.getvalue() == data, parameters
        index = ArchiveIndex(io.BytesIO(blob))
        assert index.content_bytes == len(data)
        reader = BlockReader(index, models, 1 << 30, side)
        for _ in range(3):
            start = rng.randrange(len(data) + 1)
            end = rng.randrange(start, len(data) + 1)
            assert b"".join(reader.range(start, end)) == data[start:end], parameters

    @staticmethod
    def _drawn(rng: random.Random, data: bytes) -> tuple[Any, Any, Any]:
        """Parameters, and side information or None."""
        from lmzip.codec import CodingParameters, SideInformation, SideParameters
        from lmzip.format import Thoughts

        at_once = rng.choice((0, 1, 2, 5))
        mixing = rng.choice((0, 8, 9, 14))
        side = None
        if rng.random() < 0.3:
            side = rng.choice(
                (SideInformation.nothing(), SideInformation.of(data[:80][::-1] + b"x"))
            )
        parameters = CodingParameters(
            window=rng.choice((None, 1, 7, 40)),
            stream_tokens=rng.choice((1, 8, 30, 4096)),
            streams_at_once=at_once,
            sinks=rng.choice((0, 1, 4)),
            block_bytes=rng.choice((1 + len(data) // 7, 100 + len(data) // 3, 1 << 18)),
            mixing_bits=mixing,
            solid=bool(at_once and mixing and side is None and rng.random() < 0.5),
        )
        thoughts = Thoughts(rng.randrange(1, 4), rng.randrange(1, 3), every=rng.choice((0, 25)))
        return parameters, side, SideParameters(
            rng.choice((None, 0, 5)), thoughts if side and rng.random() < 0.3 else None,
            always=rng.random() < 0.5,
        )  # fmt: skip
