"""The alternatives to the language model: zstd, and the bytes as they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import CorruptError
from ..format import Block, BlockKind, content_crc

__all__ = ["best_classical", "decode_classical", "looks_incompressible"]

_ZSTD_LEVEL = 19
_MAX_WINDOW_LOG = 25
"""Of zstd frames: the longest block and the longest dictionary."""
_SURE_BYTES = 1024
_RANDOM_BITS = 7.5
_GAIN = 0.98


def best_classical(data: bytes, dictionary: bytes = b"", dictionary_cost: int = 0) -> Block:
    """The smallest of a zstd block, one given a dictionary (if there is any), and a stored block.

    The one given a dictionary has to be `dictionary_cost` bytes smaller than the others.
    """
    import zstandard

    compressor = zstandard.ZstdCompressor(
        level=_ZSTD_LEVEL, write_checksum=False, write_content_size=False
    )
    kind, payload = BlockKind.ZSTD, compressor.compress(data)
    if len(payload) >= len(data):
        kind, payload = BlockKind.STORED, data
    if dictionary:
        given = _compress_given(data, dictionary)
        if len(given) + dictionary_cost < len(payload):
            kind, payload = BlockKind.GIVEN_ZSTD, given
    return Block(kind, len(data), content_crc(data), payload)


def _dictionary(contents: bytes) -> Any:
    import zstandard

    return zstandard.ZstdCompressionDict(contents, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def _compress_given(data: bytes, dictionary: bytes) -> bytes:
    import zstandard

    total = len(data) + len(dictionary)
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _ZSTD_LEVEL,
        source_size=total,
        window_log=max(10, (total - 1).bit_length()),
        enable_ldm=True,
        write_checksum=False,
        write_content_size=False,
        write_dict_id=False,
    )
    compressor = zstandard.ZstdCompressor(
        compression_params=parameters, dict_data=_dictionary(dictionary)
    )
    return bytes(compressor.compress(data))


def decode_classical(block: Block, dictionary: bytes = b"") -> bytes:
    """The bytes of a zstd or stored block. Raises CorruptError."""
    if block.kind == BlockKind.STORED:
        return block.payload
    import zstandard

    given = {"dict_data": _dictionary(dictionary)} if block.kind.given else {}
    try:
        # One byte more than promised at the most, whatever the payload says of itself.
        decompressor = zstandard.ZstdDecompressor(max_window_size=1 << _MAX_WINDOW_LOG, **given)
        with decompressor.stream_reader(block.payload) as reader:
            data = reader.read(block.content_bytes + 1)
    except zstandard.ZstdError as error:
        raise CorruptError(f"a zstd block does not decode: {error}") from None
    return data


def looks_incompressible(data: bytes, classical: Block) -> bool:
    """Whether running a language model over `data` is pointless: zstd gains nothing and its byte
    histogram is that of random data. A property of the bytes alone, so that it never depends on
    where or how fast the program runs.
    """
    if len(data) < _SURE_BYTES or len(classical.payload) < _GAIN * len(data):
        return False
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    shares = counts[counts > 0] / len(data)
    entropy_bits = float(-(shares * np.log2(shares)).sum())
    # A short random sample shows fewer distinct bytes: at n bytes about 255 / (2 n ln 2) bits less.
    bias_bits = 255 / (2 * len(data) * math.log(2))
    return entropy_bits + bias_bits > _RANDOM_BITS
