"""Short archives: one block with as little around it as can be."""

from __future__ import annotations

import zlib

from ..errors import CorruptError
from .block import CRC_BYTES, MAX_SHORT_BYTES, Block, content_crc, read_short_block
from .fields import ByteSource
from .header import Header
from .trailer import END_MARK

__all__ = ["pack_short", "read_short", "short_bytes"]


def short_bytes(header: Header, block: Block) -> int:
    """Bytes of the short archive of a block."""
    return len(header.pack()) + len(block.head.lengths()) + len(block.payload) + CRC_BYTES


def pack_short(header: Header, block: Block, data: bytes) -> bytes | None:
    """The short archive of a block whose contents are `data`; None where there can be none.

    That is if there are too many contents, or if the archive would end like an ordinary one.
    """
    assert header.only == block.kind
    if len(data) > MAX_SHORT_BYTES:
        return None
    archive = header.pack() + block.head.lengths() + block.payload
    crc = content_crc(data, zlib.crc32(archive)).to_bytes(CRC_BYTES, "little")
    return None if crc == END_MARK else archive + crc


def read_short(source: ByteSource, header: Header, header_data: bytes) -> tuple[Block, int]:
    """The block of the short archive with this header, at the source's position behind it.

    Its checksum speaks once it is decoded. Also returns how many bytes it took. Raises CorruptError
    and others.
    """
    assert header.only is not None
    block, size = read_short_block(source, header.only, header_data)
    if block.content_crc == int.from_bytes(END_MARK, "little"):
        raise CorruptError("a short archive ends like an ordinary one")
    return block, size
