"""Where everything is in an archive, without decoding: for listings and for seeking."""

from __future__ import annotations

import bisect
import dataclasses
import io
from typing import BinaryIO

from ..errors import CorruptError, FormatError, TruncatedError
from ..files import read_up_to
from ..format import (
    Block,
    BlockKind,
    Header,
    SideSource,
    Trailer,
    read_block_or_trailer,
    read_compact,
    read_header,
)
from ..format.archive import COMPACT_END_MAGIC, END_MAGIC, SHORT_END_MAGIC
from ..format.compact import COMPACT_TAIL_BYTES
from .decompressor import BlockDecoder
from .model import ModelSource
from .side import MAX_DICTIONARY_BYTES, SideInformation

__all__ = ["ArchiveIndex", "BlockReader", "Frame"]


@dataclasses.dataclass(frozen=True)
class Frame:
    """One of the archives in a file, and where it starts there."""

    start: int
    header: Header
    trailer: Trailer
    covered: bytes = b""
    """The header's bytes, where the block's checksum covers them."""

    @property
    def given_before(self) -> bool:
        """Whether it takes the contents of those before to decode it."""
        side = self.header.side
        return side is not None and side.source == SideSource.BEFORE

    def block_starts(self) -> list[int]:
        """File positions of the blocks."""
        position = self.start + self.trailer.header_bytes
        starts = []
        for _, size in self.trailer.blocks:
            starts.append(position)
            position += size
        return starts


class ArchiveIndex:
    """The frames of a seekable file, read from its end. Raises FormatError if damaged."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        end = file.seek(0, io.SEEK_END)
        if end == 0:
            raise FormatError("the input is empty, not an lmzip archive")
        frames = []
        while end > 0:
            frame = self._frame_before(end)
            frames.append(frame)
            end = frame.start
        self.frames = tuple(reversed(frames))
        self.content_bytes = sum(f.trailer.content_bytes for f in self.frames)
        self.archive_bytes = sum(f.trailer.frame_bytes for f in self.frames)
        self._starts: list[int] = []
        self._places: list[tuple[Frame, int]] = []
        position = 0
        for frame in self.frames:
            for (size, _), start in zip(frame.trailer.blocks, frame.block_starts(), strict=True):
                self._starts.append(position)
                self._places.append((frame, start))
                position += size

    def _frame_before(self, end: int) -> Frame:
        """The frame that ends at file position `end`."""
        file = self._file
        file.seek(0)
        if read_up_to(file, 4) and end < Trailer.TAIL_BYTES:
            raise TruncatedError("the archive is cut short")
        file.seek(end - Trailer.TAIL_BYTES)
        tail = read_up_to(file, Trailer.TAIL_BYTES)
        if tail[4:] == END_MAGIC:
            start = end - Trailer.TAIL_BYTES - int.from_bytes(tail[:4], "little")
        elif tail[6:] == COMPACT_END_MAGIC:
            return self._compact_frame(end, int.from_bytes(tail[4:6], "little"))
        elif tail[6:] == SHORT_END_MAGIC:
            start = end - Trailer.SHORT_TAIL_BYTES - tail[5]
        else:
            file.seek(0)
            read_header(file)  # a better message where this is no archive at all
            raise TruncatedError("the archive is cut short or has bytes behind its end")
        if start < 0:
            raise CorruptError("the index is longer than the archive")
        file.seek(start)
        trailer, _ = read_block_or_trailer(file, (end - start) // 2)
        if not isinstance(trailer, Trailer) or trailer.frame_bytes > end:
            raise CorruptError("the index is damaged")
        first = end - trailer.frame_bytes
        file.seek(first)
        found = read_header(file)
        if found is None or len(found[1]) != trailer.header_bytes:
            raise CorruptError("the header does not match the index")
        header, data = found
        if header.short != trailer.short:
            raise CorruptError("the header and the index are of different forms")
        if header.short:
            read_block_or_trailer(file, 0, data)  # its checksum is the header's too
        return Frame(first, header, trailer, data if header.short else b"")

    def _compact_frame(self, end: int, size: int) -> Frame:
        """The short archive of so many bytes, and its end mark, that ends at `end`."""
        start = end - COMPACT_TAIL_BYTES - size
        if start < 0:
            raise CorruptError("the end of the archive is damaged")
        self._file.seek(start)
        found = read_header(self._file)
        if found is None or not found[0].compact:
            raise CorruptError("the header and the end of the archive are of different forms")
        header, data = found
        _block, trailer = read_compact(self._file, data)
        return Frame(start, header, trailer, data)

    def read_block(self, position: int) -> tuple[Frame, Block, int]:
        """The block that holds content byte `position`, with the position of its first byte."""
        at = bisect.bisect_right(self._starts, position) - 1
        frame, start = self._places[at]
        self._file.seek(start)
        if frame.header.compact:
            return frame, read_compact(self._file, frame.covered)[0], self._starts[at]
        block, size = read_block_or_trailer(self._file, 0, frame.covered)
        number = frame.block_starts().index(start)
        if not isinstance(block, Block) or frame.trailer.blocks[number] != (
            block.content_bytes,
            size,
        ):
            raise CorruptError("the index does not match the blocks")
        return frame, block, self._starts[at]

    def content_start(self, frame: Frame) -> int:
        """The content position of a frame's first byte."""
        before = self.frames[: self.frames.index(frame)]
        return sum(f.trailer.content_bytes for f in before)

    def kinds(self) -> dict[BlockKind, int]:
        """How many blocks there are of each kind (reads one byte a block)."""
        counts = dict.fromkeys(BlockKind, 0)
        for _, start in self._places:
            self._file.seek(start)
            kind = read_up_to(self._file, 1)
            if not kind or kind[0] not in set(BlockKind):
                raise CorruptError("a block is of unknown kind or missing")
            counts[BlockKind(kind[0])] += 1
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
    ) -> None:
        """`history`: the contents up to what will be read, for one who reads from front to back."""
        self._index, self._models, self._memory_limit = index, models, memory_limit
        self._side, self._history = side, history
        self._frame: Frame | None = None
        self._decoder: BlockDecoder
        self._next = 0
        """The content position where a solid archive's decoder stands."""

    def read(self, position: int) -> tuple[int, bytes]:
        """Where the block that holds content byte `position` begins, and its contents."""
        frame, block, start = self._index.read_block(position)
        if self._frame != frame:
            self._decoder = BlockDecoder(
                frame.header,
                self._models,
                memory_limit=self._memory_limit,
                side=self._side,
                before=self._before(frame),
            )
            self._frame = frame
            self._next = self._index.content_start(frame)
        if not self._decoder.solid:
            return start, self._decoder.decode([block])[0]
        if self._next > start:
            self._decoder.restart()
            self._next = self._index.content_start(frame)
        try:
            while self._next < start:
                _, before, _ = self._index.read_block(self._next)
                self._next += len(self._decoder.decode([before])[0])
            (data,) = self._decoder.decode([block])
            self._next += len(data)
        except BaseException:
            self._frame = None  # half-way through a block: the next one begins from the start
            raise
        return start, data

    def _before(self, frame: Frame) -> bytes:
        """The end of what the archives before a frame hold, if it is coded given that."""
        if not frame.given_before:
            return b""
        if self._history is not None:
            return bytes(self._history[-MAX_DICTIONARY_BYTES:])
        end = self._index.content_start(frame)
        position = max(0, end - MAX_DICTIONARY_BYTES)
        # Those archives may need others before them; then one pass from the first of all.
        for other in reversed(self._index.frames[: self._index.frames.index(frame)]):
            start = self._index.content_start(other)
            if start + other.trailer.content_bytes <= position:
                break
            if other.given_before:
                position = max(0, min(position, start - MAX_DICTIONARY_BYTES))
        history = bytearray()
        reader = BlockReader(self._index, self._models, self._memory_limit, self._side, history)
        while position < end:
            start, data = reader.read(position)
            history += data
            if len(history) > 2 * MAX_DICTIONARY_BYTES:
                del history[:-MAX_DICTIONARY_BYTES]
            position = start + len(data)
        return bytes(history[-MAX_DICTIONARY_BYTES:])
