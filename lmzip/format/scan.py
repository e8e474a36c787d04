"""Where everything is in a file of archives, without decoding.

An ordinary archive ends with an index, which is found from its end. A short one has none: whoever
needs to know where it begins goes from header to header by the lengths, from the file's beginning.
"""

from __future__ import annotations

import dataclasses
import io
from typing import BinaryIO

from ..errors import CorruptError, FormatError, TruncatedError
from ..files import read_up_to
from .block import CRC_BYTES, BlockHead, block_kind
from .fields import Reader
from .header import Header, read_header
from .trailer import END_MARK, MIN_BLOCK_BYTES, Trailer

__all__ = ["ArchiveMap", "map_archives", "read_head"]

_MAX_ARCHIVES = 1 << 20
"""In a file that is mapped; more are decoded all the same, one after the other."""


@dataclasses.dataclass(frozen=True)
class ArchiveMap:
    """One of the archives in a file, and where it is there."""

    start: int
    header: Header
    header_data: bytes
    """The header's bytes."""
    blocks: tuple[tuple[int, int], ...]
    """(decoded bytes, bytes in the archive) of every block; a short archive's is all behind its
    header."""
    end: int
    trailer: Trailer | None = None
    """Of an ordinary archive."""

    @property
    def content_bytes(self) -> int:
        """Of all blocks."""
        return sum(content for content, _ in self.blocks)

    @property
    def archive_bytes(self) -> int:
        """Of the whole archive."""
        return self.end - self.start

    def block_starts(self) -> list[int]:
        """File positions of the blocks; in a short archive, of its lengths."""
        position = self.start + len(self.header_data)
        starts = []
        for _, size in self.blocks:
            starts.append(position)
            position += size
        return starts


def map_archives(file: BinaryIO) -> list[ArchiveMap]:
    """The archives of a seekable file. Raises FormatError if it is damaged, as far as can be seen.

    From the file's end on, of ordinary archives only the index and the header are read; once a
    short one comes, the lengths of all blocks that stand before.
    """
    end = file.seek(0, io.SEEK_END)
    if end == 0:
        raise TruncatedError("the input is empty, not an lmzip archive")
    found: list[ArchiveMap] = []
    while end > 0:
        file.seek(max(0, end - Trailer.TAIL_BYTES))
        tail = read_up_to(file, Trailer.TAIL_BYTES)
        if tail[-len(END_MARK) :] != END_MARK:
            return _forward(file, end, _MAX_ARCHIVES - len(found)) + found[::-1]
        found.append(_ordinary_before(file, end, tail))
        end = found[-1].start
        _check_count(len(found), _MAX_ARCHIVES)
    return found[::-1]


def _check_count(count: int, most: int) -> None:
    if count > most:
        raise FormatError(f"the file holds more than {_MAX_ARCHIVES:,} archives")


def _ordinary_before(file: BinaryIO, end: int, tail: bytes) -> ArchiveMap:
    """The archive that ends at file position `end`, with these last bytes."""
    start = end - len(tail) - int.from_bytes(tail[:4], "little")
    if start < 0 or len(tail) < Trailer.TAIL_BYTES:
        raise CorruptError("the index is longer than the archive")
    file.seek(start)
    reader = Reader(file)
    if reader.integer(1) != 0:
        raise CorruptError("the index is damaged")
    trailer = Trailer.unpack(reader, start // MIN_BLOCK_BYTES)
    first = end - trailer.archive_bytes
    if len(reader.taken) != end - start or first < 0:
        raise CorruptError("the index is damaged")
    file.seek(first)
    found = read_header(file)
    if found is None or found[0].short or len(found[1]) != trailer.header_bytes:
        raise CorruptError("the header does not match the index")
    return ArchiveMap(first, *found, trailer.blocks, end, trailer)


def _forward(file: BinaryIO, end: int, most: int) -> list[ArchiveMap]:
    """The archives from the file's beginning to position `end`."""
    found: list[ArchiveMap] = []
    position = 0
    while position < end:
        file.seek(position)
        header = read_header(file, behind_another=bool(found))
        if header is None:
            raise TruncatedError("the archive is cut short")
        found.append(_from_header(file, position, *header))
        position = found[-1].end
        _check_count(len(found), most)
    if position > end or position > file.seek(0, io.SEEK_END):
        raise TruncatedError("the archive is cut short")
    return found


def _from_header(file: BinaryIO, start: int, header: Header, data: bytes) -> ArchiveMap:
    """The archive with this header, its end found by the lengths of its blocks."""
    position = start + len(data)
    if header.only is not None:
        head, taken = read_head(file, header)
        size = taken + head.payload_bytes + CRC_BYTES
        return ArchiveMap(start, header, data, ((head.content_bytes, size),), position + size)
    blocks: list[tuple[int, int]] = []
    while True:
        file.seek(position)
        reader = Reader(file)
        kind = reader.integer(1)
        if kind == 0:
            trailer = Trailer.unpack(reader, len(blocks))
            if trailer.blocks != tuple(blocks) or trailer.header_bytes != len(data):
                raise CorruptError("the index does not match the blocks")
            end = position + len(reader.taken)
            return ArchiveMap(start, header, data, trailer.blocks, end, trailer)
        head = BlockHead.unpack(reader, block_kind(kind))
        size = len(reader.taken) + 2 * CRC_BYTES + head.payload_bytes
        blocks.append((head.content_bytes, size))
        position += size


def read_head(file: BinaryIO, header: Header) -> tuple[BlockHead, int]:
    """Kind and lengths of the block at the file's position, and the bytes that they take there.

    Nothing is verified. `header` is the archive's. Raises CorruptError.
    """
    reader = Reader(file)
    if header.only is not None:
        head = BlockHead.unpack(reader, header.only, short=True)
    else:
        head = BlockHead.unpack(reader, block_kind(reader.integer(1)))
    return head, len(reader.taken)
