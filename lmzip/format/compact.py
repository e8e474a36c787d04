"""Short archives: one block with as little around it as can be."""

from __future__ import annotations

import zlib

from ..errors import CorruptError
from .archive import (
    COMPACT_END_MAGIC,
    MAX_BLOCK_BYTES,
    Block,
    BlockKind,
    Trailer,
    block_kind,
    content_crc,
)
from .fields import ByteSource, Reader, pack_varint

__all__ = [
    "COMPACT_END_MAGIC",
    "COMPACT_TAIL_BYTES",
    "compact_cost",
    "pack_compact",
    "read_compact",
]

COMPACT_TAIL_BYTES = 4
MAX_COMPACT_BYTES = (1 << 16) - 1
"""Of all but the tail."""


def _fields(block: Block) -> bytes:
    fields = bytes([block.kind]) + pack_varint(block.content_bytes)
    fields += pack_varint(len(block.payload))
    return fields + (pack_varint(block.tokens) if block.kind.modelled else b"")


def pack_compact(header: bytes, block: Block, data: bytes) -> bytes | None:
    """What stands behind the header of the short archive of `data`; None if that is too long."""
    fields = _fields(block)
    crc = content_crc(data, zlib.crc32(header + fields + block.payload)).to_bytes(4, "little")
    body = fields + crc + block.payload
    if len(header) + len(body) > MAX_COMPACT_BYTES:
        return None
    return body + _trailer(header, block, len(body)).pack()


def compact_cost(block: Block) -> int:
    """Bytes of a short archive's block, without its payload."""
    return len(_fields(block)) + 4


def _trailer(header: bytes, block: Block, size: int) -> Trailer:
    return Trailer(len(header), ((block.content_bytes, size),), b"", compact=True)


def read_compact(source: ByteSource, header: bytes) -> tuple[Block, Trailer]:
    """The block and the end of a short archive with this header, at the source's position.

    Its checksum speaks once it is decoded. Raises CorruptError and others.
    """
    reader = Reader(source)
    kind = block_kind(reader.integer(1))
    content_bytes = reader.varint(MAX_BLOCK_BYTES, "block length")
    payload_bytes = reader.varint(content_bytes, "payload length")
    tokens = reader.varint(content_bytes, "number of tokens") if kind.modelled else 0
    before = zlib.crc32(bytes(reader.taken), zlib.crc32(header))
    crc = reader.integer(4)
    payload = reader.bytes(payload_bytes)
    seed = zlib.crc32(payload, before)
    if content_bytes == 0 or (kind.modelled and tokens == 0):
        raise CorruptError("a block is empty")
    if kind == BlockKind.STORED and payload_bytes != content_bytes:
        raise CorruptError("a stored block has a wrong length")
    block = Block(kind, content_bytes, crc, payload, tokens, seed)
    size = len(reader.taken)
    if reader.integer(2) != len(header) + size or reader.bytes(2) != COMPACT_END_MAGIC:
        raise CorruptError("the end of the archive is damaged")
    return block, _trailer(header, block, size)
