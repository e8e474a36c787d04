"""Classical compressors at their highest usual levels, for tables beside lmzip."""

from __future__ import annotations

import bz2
import gzip
import lzma
from collections.abc import Callable

__all__ = ["COMPRESSORS", "classical_sizes"]


def _zstd(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(level=19).compress(data)


def _brotli(data: bytes) -> bytes:
    import brotli

    return brotli.compress(data, quality=11, lgwin=24)


def _ppmd(data: bytes) -> bytes:
    import pyppmd

    encoder = pyppmd.Ppmd7Encoder(8, 256 << 20)
    return encoder.encode(data) + encoder.flush()


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip -9": lambda data: gzip.compress(data, 9, mtime=0),
    "bzip2 -9": lambda data: bz2.compress(data, 9),
    "xz -9e": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
    "zstd -19": _zstd,
    "brotli -q 11": _brotli,
    "PPMd o8": _ppmd,
}


def classical_sizes(data: bytes) -> dict[str, int | None]:
    """Compressed bytes by compressor; None where its package is not installed."""
    sizes: dict[str, int | None] = {}
    for name, compress in COMPRESSORS.items():
        try:
            sizes[name] = len(compress(data))
        except ImportError:
            sizes[name] = None
    return sizes
