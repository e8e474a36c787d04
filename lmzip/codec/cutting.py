"""Where contents are cut into blocks: by length, or by what the text itself says."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..format.fields import ByteSource, read_some
from .parameters import CodingParameters

__all__ = ["next_block_bytes", "split_blocks"]

_CUT_SEARCH = 4096
"""Bytes before a block's end in which a line end is looked for."""
_SHORTEST = 4
"""A block that the text cuts is at least this part of the longest."""
_WINDOW_BITS = 5
"""Logarithm of the bytes that decide about a cut."""


def _gear() -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    """A number for every byte, by multiplication and shifting (the finalizer of MurmurHash3)."""
    x = np.arange(1, 257, dtype=np.uint64)
    for factor in (0x85EBCA6B, 0xC2B2AE35):
        x = (x ^ (x >> np.uint64(16))) * np.uint64(factor) & np.uint64(0xFFFFFFFF)
    return (x ^ (x >> np.uint64(16))).astype(np.uint32)


_GEAR = _gear()


def _marks(data: bytes, one_in: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Positions behind 32 bytes whose hash is small: about one in `one_in` of all, a power of 2.

    Whether a position is one depends on those 32 bytes alone.
    """
    hashes = _GEAR[np.frombuffer(data, np.uint8)]
    for bit in range(_WINDOW_BITS):  # the sum of the last 2, 4, 8, ... shifted numbers
        step = 1 << bit
        hashes = hashes[step:] + (hashes[:-step] << np.uint32(step))
    found = np.nonzero(hashes < (1 << 32) // one_in)[0]
    return found + (1 << _WINDOW_BITS)


def _by_text(data: bytes, longest: int) -> int | None:
    """The length of a block that ends where the text says so; None if it says nothing.

    The end is the first line end behind a mark, or the mark itself where no line end follows soon.
    """
    first = longest // _SHORTEST
    if len(data) <= first:
        return None
    one_in = 1 << max(0, first.bit_length() - 1)
    for mark in _marks(data[:longest], one_in):
        if mark <= first:
            continue
        at = data.find(b"\n", int(mark), min(int(mark) + _CUT_SEARCH, longest))
        end = at + 1 if at >= 0 else _between_characters(data, int(mark))
        if end > first:
            return end
    return None


def _between_characters(data: bytes, end: int) -> int:
    """The last place at or before `end` that is not inside a UTF-8 character."""
    for back in range(4):
        if end - back > 0 and (end == len(data) or data[end - back] & 0xC0 != 0x80):
            return end - back
    return end


def next_block_bytes(data: bytes, parameters: CodingParameters, *, ended: bool) -> int:
    """How many of the bytes `data` are the next block; all of them only if they are the last.

    `data` is all that is left if `ended`, else longer than a block may be.
    """
    longest = parameters.block_bytes
    if parameters.rsyncable and (found := _by_text(data, longest)) is not None:
        return found
    if ended and len(data) <= longest:
        return len(data)
    newline = data.rfind(b"\n", longest - min(_CUT_SEARCH, longest), longest)
    return newline + 1 if newline >= 0 else _between_characters(data, longest)


def split_blocks(source: ByteSource, parameters: CodingParameters) -> Iterator[tuple[bytes, bool]]:
    """The contents block by block, each with whether it is the last."""
    longest = parameters.block_bytes
    buffer = b""
    while True:
        parts = [buffer]
        length = len(buffer)
        while length <= longest:
            part = read_some(source, longest + 1 - length)
            if not part:
                break
            parts.append(part)
            length += len(part)
        buffer = b"".join(parts)
        if not buffer:
            return
        size = next_block_bytes(buffer, parameters, ended=len(buffer) <= longest)
        last = size == len(buffer)
        yield buffer[:size], last
        if last:
            return
        buffer = buffer[size:]
