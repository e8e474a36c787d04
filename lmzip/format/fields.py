"""The fields that headers are made of: little-endian integers, varints, a bounded reader."""

from __future__ import annotations

import zlib
from typing import Protocol

from ..errors import CorruptError, TruncatedError
from ..files import read_up_to

__all__ = ["ByteSource", "Reader", "pack_varint", "read_some"]

_MAX_VARINT_BYTES = 9


class ByteSource(Protocol):
    """Anything with a file's `read`."""

    def read(self, size: int, /) -> bytes | None: ...


def read_some(source: ByteSource, size: int) -> bytes:
    """`size` bytes, fewer only at the end. A source that does not block is waited for."""
    return read_up_to(source, size)


def pack_varint(value: int) -> bytes:
    """Seven bits a byte, lowest first, the top bit set on all but the last (LEB128)."""
    assert 0 <= value < 1 << (7 * _MAX_VARINT_BYTES)
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Reader:
    """Reads fields from a source and keeps the bytes, so that a checksum can be taken of them."""

    def __init__(self, source: ByteSource, taken: bytes = b"") -> None:
        self._source = source
        self.taken = bytearray(taken)

    def bytes(self, count: int) -> bytes:
        """Exactly `count` bytes; raises TruncatedError if the source ends before."""
        parts = bytearray()
        while len(parts) < count:
            # At most a megabyte at a time: a false length must not allocate before it is missed.
            part = read_some(self._source, min(count - len(parts), 1 << 20))
            if not part:
                raise TruncatedError("the archive is cut short")
            parts += part
        self.taken += parts
        return bytes(parts)

    def integer(self, size: int) -> int:
        """An unsigned little-endian integer of `size` bytes."""
        return int.from_bytes(self.bytes(size), "little")

    def varint(self, limit: int, what: str) -> int:
        """A varint of at most `limit`; raises CorruptError beyond, or if it is overlong."""
        value = 0
        for position in range(_MAX_VARINT_BYTES):
            byte = self.bytes(1)[0]
            value |= (byte & 0x7F) << (7 * position)
            if byte < 0x80:
                if position and not byte:
                    break
                if value > limit:
                    raise CorruptError(f"{what} is {value}, the limit is {limit}")
                return value
        raise CorruptError(f"{what} is not a valid variable-length integer")

    def check_crc(self, what: str) -> None:
        """Take four bytes. Raises CorruptError unless they are the CRC-32 of all taken before."""
        expected = zlib.crc32(self.taken)
        if self.integer(4) != expected:
            raise CorruptError(f"{what} is damaged (checksum mismatch)")
