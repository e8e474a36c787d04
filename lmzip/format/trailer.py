"""The end of an ordinary archive: the index and the checksum of all contents."""

from __future__ import annotations

import dataclasses
import zlib

from ..errors import CorruptError
from .block import MAX_BLOCK_BYTES, Block, block_kind, read_block_behind
from .fields import ByteSource, Reader, pack_varint

__all__ = ["END_MARK", "MIN_BLOCK_BYTES", "Trailer", "read_block_or_trailer"]

END_MARK = b"ZML\x89"
"""The last bytes of an ordinary archive, and never those of a short one."""
MIN_BLOCK_BYTES = 11
"""A stored block of one byte."""
_TRAILER = 0
"""Where a block's kind would stand."""
_MAX_BLOCKS = 1 << 40
_MAX_HEADER_BYTES = 1 << 16
_MAX_BLOCK_TOTAL = MAX_BLOCK_BYTES + 64


@dataclasses.dataclass(frozen=True)
class Trailer:
    """The index and the checksum of the whole contents, behind the blocks."""

    header_bytes: int
    blocks: tuple[tuple[int, int], ...]
    """(decoded bytes, bytes in the archive) of every block."""
    content_hash: bytes
    """BLAKE2b of all decoded bytes, 8 bytes long."""

    HASH_BYTES = 8
    TAIL_BYTES = 8
    """Its length and the end mark."""

    @property
    def archive_bytes(self) -> int:
        """Bytes of the whole archive that this trailer ends."""
        return self.header_bytes + sum(total for _, total in self.blocks) + len(self.pack())

    def parts(self) -> dict[str, bytes]:
        """The trailer's bytes in order, by what they are for."""
        index = bytes([_TRAILER]) + pack_varint(self.header_bytes) + pack_varint(len(self.blocks))
        index += b"".join(pack_varint(n) for block in self.blocks for n in block)
        data = index + self.content_hash
        data += zlib.crc32(data).to_bytes(4, "little")
        end = data[-4:] + len(data).to_bytes(4, "little") + END_MARK
        return {
            "index": index,
            "hash of the contents": self.content_hash,
            "checksum, length and end mark of the index": end,
        }

    def pack(self) -> bytes:
        """The trailer."""
        return b"".join(self.parts().values())

    @classmethod
    def unpack(cls, reader: Reader, max_blocks: int) -> Trailer:
        """The trailer behind its first byte, which `reader` has taken already."""
        header_bytes = reader.varint(_MAX_HEADER_BYTES, "header length")
        count = reader.varint(max_blocks, "number of blocks")
        blocks = []
        for _ in range(count):
            content = reader.varint(MAX_BLOCK_BYTES, "block length")
            blocks.append((content, reader.varint(_MAX_BLOCK_TOTAL, "block length")))
        content_hash = reader.bytes(cls.HASH_BYTES)
        reader.check_crc("the index")
        length = len(reader.taken)
        if reader.integer(4) != length or reader.bytes(len(END_MARK)) != END_MARK:
            raise CorruptError("the end mark is damaged")
        return cls(header_bytes, tuple(blocks), content_hash)


def read_block_or_trailer(
    source: ByteSource, max_blocks: int = _MAX_BLOCKS
) -> tuple[Block, int] | tuple[Trailer, int]:
    """The next block or the trailer, and how many bytes it took; checksums are verified.

    The block's decoded bytes are not: that is for whoever decodes it. A trailer that claims more
    than `max_blocks` blocks is refused before its index is read.
    """
    reader = Reader(source)
    first = reader.integer(1)
    if first == _TRAILER:
        return Trailer.unpack(reader, max_blocks), len(reader.taken)
    return read_block_behind(reader, block_kind(first)), len(reader.taken)
