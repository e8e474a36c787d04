"""Blocks: as they follow the header of an ordinary archive, and as a short archive has one."""

from __future__ import annotations

import dataclasses
import enum
import zlib

from ..errors import CorruptError
from .fields import ByteSource, Reader, pack_varint

__all__ = [
    "MAX_BLOCK_BYTES",
    "MAX_SHORT_BYTES",
    "Block",
    "BlockHead",
    "BlockKind",
    "block_kind",
    "content_crc",
]

MAX_BLOCK_BYTES = 1 << 24
MAX_SHORT_BYTES = 1 << 16
"""Contents up to which an archive may be a short one."""
CRC_BYTES = 4
_GIVEN = 8


class BlockKind(enum.IntEnum):
    """How a block's payload holds its bytes; 0 marks the trailer."""

    STORED = 1
    ZSTD = 2
    LM = 3
    MIXED = 4
    """By the language model, with adaptive mixing."""
    GIVEN_ZSTD = _GIVEN | ZSTD
    """As the three before, given the side information."""
    GIVEN_LM = _GIVEN | LM
    GIVEN_MIXED = _GIVEN | MIXED

    @property
    def modelled(self) -> bool:
        """Whether it takes the model to decode it."""
        return self & ~_GIVEN in (BlockKind.LM, BlockKind.MIXED)

    @property
    def mixed(self) -> bool:
        """Whether the model's predictions are mixed with what the block has said."""
        return self & ~_GIVEN == BlockKind.MIXED

    @property
    def given(self) -> bool:
        """Whether it takes the side information to decode it."""
        return self & _GIVEN > 0


def block_kind(number: int) -> BlockKind:
    """The kind of that number. Raises CorruptError."""
    try:
        return BlockKind(number)
    except ValueError:
        raise CorruptError(f"a block has the unknown kind {number}") from None


def content_crc(data: bytes, seed: int = 0) -> int:
    """CRC-32 (the one of zlib) of a block's decoded bytes, behind others that `seed` is that of."""
    return zlib.crc32(data, seed)


@dataclasses.dataclass(frozen=True)
class BlockHead:
    """The kind of a block and its lengths."""

    kind: BlockKind
    content_bytes: int
    payload_bytes: int
    tokens: int = 0
    """Tokens in a block coded by a model; 0 otherwise."""

    def lengths(self) -> bytes:
        """The lengths as they are written."""
        data = pack_varint(self.content_bytes)
        if self.kind != BlockKind.STORED:
            data += pack_varint(self.payload_bytes)
        return data + (pack_varint(self.tokens) if self.kind.modelled else b"")

    @classmethod
    def unpack(cls, reader: Reader, kind: BlockKind, *, short: bool = False) -> BlockHead:
        """The lengths at the reader's position, of a short archive or not. Raises CorruptError."""
        content = reader.varint(MAX_SHORT_BYTES if short else MAX_BLOCK_BYTES, "block length")
        if content == 0 and not (short and kind == BlockKind.STORED):
            raise CorruptError("a block is empty")
        if kind == BlockKind.STORED:
            return cls(kind, content, content)
        # A block is never longer than its contents: stored is always an alternative.
        payload = reader.varint(content, "payload length")
        tokens = reader.varint(content, "number of tokens") if kind.modelled else 0
        if kind.modelled and tokens == 0:
            raise CorruptError("a block has no tokens")
        return cls(kind, content, payload, tokens)


@dataclasses.dataclass(frozen=True)
class Block:
    """One block: it decodes without any other, unless the archive is solid."""

    kind: BlockKind
    content_bytes: int
    content_crc: int
    payload: bytes
    tokens: int = 0
    """Tokens in a block coded by a model; 0 otherwise."""
    crc_seed: int = 0
    """What the checksum of the decoded bytes goes on from, in a short archive."""

    @property
    def head(self) -> BlockHead:
        """Kind and lengths."""
        return BlockHead(self.kind, self.content_bytes, len(self.payload), self.tokens)

    def pack(self) -> bytes:
        """The block as it stands in an ordinary archive."""
        data = bytes([self.kind]) + self.head.lengths()
        data += self.content_crc.to_bytes(CRC_BYTES, "little")
        crc = zlib.crc32(self.payload, zlib.crc32(data))
        return data + crc.to_bytes(CRC_BYTES, "little") + self.payload


def read_block_behind(reader: Reader, kind: BlockKind) -> Block:
    """A block of an ordinary archive, whose first byte the reader has taken; it is verified."""
    head = BlockHead.unpack(reader, kind)
    crc = reader.integer(CRC_BYTES)
    before = zlib.crc32(reader.taken)
    expected = reader.integer(CRC_BYTES)
    payload = reader.bytes(head.payload_bytes)
    if zlib.crc32(payload, before) != expected:
        raise CorruptError("a block is damaged (checksum mismatch)")
    return Block(kind, head.content_bytes, crc, payload, head.tokens)


def read_short_block(source: ByteSource, kind: BlockKind, header: bytes) -> tuple[Block, int]:
    """The rest of a short archive behind its header, and how many bytes that is.

    Its checksum speaks once it is decoded. Raises CorruptError and others.
    """
    reader = Reader(source)
    head = BlockHead.unpack(reader, kind, short=True)
    payload = reader.bytes(head.payload_bytes)
    seed = zlib.crc32(reader.taken, zlib.crc32(header))
    crc = reader.integer(CRC_BYTES)
    return Block(kind, head.content_bytes, crc, payload, head.tokens, seed), len(reader.taken)
