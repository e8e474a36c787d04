"""Any part of the contents without the rest: for listings, for seeking, for ranges."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import BinaryIO

from ..errors import CorruptError
from ..format import (
    ArchiveMap,
    Block,
    BlockHead,
    BlockKind,
    SideSource,
    map_archives,
    read_block_or_trailer,
    read_head,
    read_short,
)
from .decompressor import BlockDecoder
from .model import ModelSource
from .side import MAX_DICTIONARY_BYTES, SideInformation
from .work import TimeBudget, block_work

__all__ = ["ArchiveIndex", "BlockReader"]


def _given_before(archive: ArchiveMap) -> bool:
    """Whether it takes the contents of those before to decode it."""
    side = archive.header.side
    return side is not None and side.source == SideSource.BEFORE


class ArchiveIndex:
    """The archives of a seekable file, without decoding. Raises FormatError if damaged."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.archives = tuple(map_archives(file))
        self.content_bytes = sum(a.content_bytes for a in self.archives)
        self.archive_bytes = sum(a.archive_bytes for a in self.archives)
        self._content_starts: list[int] = []
        """Of archives."""
        self._starts: list[int] = []
        """Of blocks, in the contents."""
        self._places: list[tuple[int, int, int]] = []
        """Of every block: its archive's number, its own in that, its place in the file."""
        position = 0
        for number, archive in enumerate(self.archives):
            self._content_starts.append(position)
            for i, start in enumerate(archive.block_starts()):
                self._starts.append(position)
                self._places.append((number, i, start))
                position += archive.blocks[i][0]

    def read_block(self, position: int) -> tuple[int, Block, int]:
        """The block that holds content byte `position`: its archive's number, the block, and the
        position of its first byte.

        The position is below `content_bytes`, or it is that of a block without contents.
        """
        at = bisect.bisect_right(self._starts, position) - 1
        number, i, place = self._places[at]
        archive = self.archives[number]
        self._file.seek(place)
        block, size = (
            read_short(self._file, archive.header, archive.header_data)
            if archive.header.short
            else read_block_or_trailer(self._file, 0)
        )
        if not isinstance(block, Block) or archive.blocks[i] != (block.content_bytes, size):
            raise CorruptError("the index does not match the blocks")
        return number, block, self._starts[at]

    def content_start(self, number: int) -> int:
        """The content position of the first byte of the archive of that number."""
        return self._content_starts[number]

    def heads(self, number: int) -> list[BlockHead]:
        """Kinds and lengths of the blocks of one archive; reads some bytes of each."""
        archive, heads = self.archives[number], []
        for start in archive.block_starts():
            self._file.seek(start)
            heads.append(read_head(self._file, archive.header)[0])
        return heads

    def work(self, number: int) -> tuple[int, int]:
        """Tokens in the blocks of one archive, and how many the model reads to decode them."""
        header, tokens, work = self.archives[number].header, 0, 0
        for head in self.heads(number):
            if head.kind.modelled and header.model is not None:
                tokens += head.tokens
                side = header.side if head.kind.given else None
                work += block_work(header.model, side, head.tokens)
        return tokens, work

    def kinds(self) -> dict[BlockKind, int]:
        """How many blocks with contents there are of each kind."""
        counts = dict.fromkeys(BlockKind, 0)
        for number in range(len(self.archives)):
            for head in self.heads(number):
                counts[head.kind] += head.content_bytes > 0
        return counts


class BlockReader:
    """Decodes the block at any position; of a solid archive, those before it too."""

    def __init__(
        self,
        index: ArchiveIndex,
        models: ModelSource,
        memory_limit: int,
        side: SideInformation | None = None,
        history: bytearray | None = None,
        time: TimeBudget | None = None,
    ) -> None:
        """`history`: the contents up to what will be read, for one who reads from front to back."""
        self._index, self._models, self._memory_limit = index, models, memory_limit
        self._side, self._history = side, history
        self._time = time or TimeBudget()
        self._archive: int | None = None
        """Number of the archive that the decoder is of."""
        self._decoder: BlockDecoder
        self._next = 0
        """The content position where a solid archive's decoder stands."""
        self._block = (0, b"")
        """The last block that `piece` was of: where it begins, and its contents."""

    def piece(self, position: int, size: int) -> bytes:
        """Up to `size` bytes of the contents from a position on, none at their end.

        They are of one block, which is remembered: whoever reads on does not decode it again.
        """
        if not size or position >= self._index.content_bytes:
            return b""
        start, data = self._block
        if not start <= position < start + len(data):
            start, data = self._block = self._read(position, position + 1)[0]
        return data[position - start :][:size]

    def range(self, start: int, end: int) -> Iterator[bytes]:
        """The contents from `start` to `end`, in pieces, as far as there are any.

        Only the blocks that hold them are decoded, as many together as the model likes.
        """
        end = min(end, self._index.content_bytes)
        while start < end:
            for first, data in self._read(start, end):
                piece = data[start - first : end - first]
                yield piece
                start += len(piece)

    def _read(self, position: int, end: int) -> list[tuple[int, bytes]]:
        """The block that holds content byte `position`, and some of those behind it up to `end`:
        where each begins, and its contents."""
        number, block, start = self._index.read_block(position)
        self._open(number)
        if self._decoder.solid:
            return [(start, self._read_solid(number, block, start))]
        starts, blocks = [start], [block]
        position = start + block.content_bytes
        while position < end:
            other, block, start = self._index.read_block(position)
            if other != number or not self._decoder.suits(blocks, block):
                break
            starts.append(start)
            blocks.append(block)
            position += block.content_bytes
        return list(zip(starts, self._decoder.decode(blocks), strict=True))

    def _open(self, number: int) -> None:
        """Have the decoder of the archive of that number."""
        if self._archive == number:
            return
        self._decoder = BlockDecoder(
            self._index.archives[number].header,
            self._models,
            memory_limit=self._memory_limit,
            time=self._time,
            side=self._side,
            before=self._before(number),
        )
        self._archive = number
        self._next = self._index.content_start(number)

    def _read_solid(self, number: int, block: Block, start: int) -> bytes:
        """The contents of a block of a solid archive, those before it decoded first."""
        if self._next > start:
            self._decoder.restart()
            self._next = self._index.content_start(number)
        try:
            while self._next < start:
                _, before, _ = self._index.read_block(self._next)
                self._next += len(self._decoder.decode([before])[0])
            (data,) = self._decoder.decode([block])
            self._next += len(data)
        except BaseException:
            self._archive = None  # half-way through a block: the next one begins from the start
            raise
        return data

    def _before(self, number: int) -> bytes:
        """The end of what the archives before this one hold, if it is coded given that."""
        archives = self._index.archives
        if not _given_before(archives[number]):
            return b""
        if self._history is not None:
            return bytes(self._history[-MAX_DICTIONARY_BYTES:])
        end = self._index.content_start(number)
        position = max(0, end - MAX_DICTIONARY_BYTES)
        # Those archives may need others before them; then one pass from the first of all.
        for other in reversed(range(number)):
            start = self._index.content_start(other)
            if start + archives[other].content_bytes <= position:
                break
            if _given_before(archives[other]):
                position = max(0, min(position, start - MAX_DICTIONARY_BYTES))
        history = bytearray()
        reader = BlockReader(
            self._index, self._models, self._memory_limit, self._side, history, self._time
        )
        for piece in reader.range(position, end):
            history += piece
            if len(history) > 2 * MAX_DICTIONARY_BYTES:
                del history[:-MAX_DICTIONARY_BYTES]
        return bytes(history[-MAX_DICTIONARY_BYTES:])
