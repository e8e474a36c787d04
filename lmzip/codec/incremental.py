"""An archive made, or read, from pieces that somebody hands over: nothing is asked for."""

from __future__ import annotations

import hashlib

from ..errors import CorruptError, TruncatedError
from ..format import (
    BlockHead,
    Header,
    Trailer,
    block_kind,
    read_block_or_trailer,
    read_header,
    read_short,
)
from ..format.fields import Reader
from .block_encoder import BlockEncoder
from .compressor import DEFAULT_MEMORY_LIMIT, ArchiveWriter, empty_archive, single_archive
from .cutting import next_block_bytes
from .decompressor import BlockDecoder
from .model import ModelSource
from .parameters import CodingParameters
from .side import SideInformation, SideParameters
from .work import TimeBudget

__all__ = ["ArchiveDecoder", "ArchiveEncoder"]


class ArchiveEncoder:
    """One archive, block by block, as its contents come: what `compress_stream` would write."""

    def __init__(
        self,
        models: ModelSource,
        parameters: CodingParameters | None = None,
        *,
        memory_limit: int = DEFAULT_MEMORY_LIMIT,
        side: SideInformation | None = None,
    ) -> None:
        self._parameters = parameters or CodingParameters()
        self._encoder = BlockEncoder(models, self._parameters, memory_limit, None, lambda n: None)
        if side is not None:
            self._encoder.condition(side, SideParameters())
        self._pending = bytearray()
        self._out = bytearray()
        self._writer = ArchiveWriter(self._out.extend)

    def add(self, data: bytes | bytearray | memoryview) -> bytes:
        """The next bytes of the archive, where `data` completes blocks; often none."""
        self._pending += data
        longest = self._parameters.block_bytes
        while len(self._pending) > longest:
            head = bytes(self._pending[: longest + 1])
            end = next_block_bytes(head, self._parameters, ended=False)
            del self._pending[:end]
            self._block(head[:end])
        return self._taken()

    def finish(self) -> bytes:
        """The rest of the archive."""
        data = bytes(self._pending)
        self._pending.clear()
        end = next_block_bytes(data, self._parameters, ended=True)
        while end < len(data):  # only where the text cuts
            self._block(data[:end])
            data = data[end:]
            end = next_block_bytes(data, self._parameters, ended=True)
        if self._writer.begun:
            self._block(data)
            self._writer.finish()
        elif not data:
            self._out += empty_archive()
        else:
            ((block, _bits),) = self._encoder.encode([data], single=True)
            self._out += single_archive(self._encoder, data, block, None)
        return self._taken()

    def _block(self, data: bytes) -> None:
        ((block, _bits),) = self._encoder.encode([data], single=False)
        if not self._writer.begun:
            encoder = self._encoder
            self._writer.header(Header(encoder.reference, None, encoder.header_side(model=True)))
        self._writer.block(block, data)

    def _taken(self) -> bytes:
        data = bytes(self._out)
        self._out.clear()
        return data


class _Buffered:
    """A source of what has come so far; it never ends, it only has no more for now."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.position = 0

    def read(self, size: int, /) -> bytes:
        part = bytes(self.data[self.position : self.position + size])
        self.position += len(part)
        return part

    def drop(self) -> None:
        """Forget what was read."""
        del self.data[: self.position]
        self.position = 0


class ArchiveDecoder:
    """The contents of one archive, as its bytes come; what stands behind it is left over.

    Every piece is given out after its block's own checksum, and the end only after the whole
    archive's.
    """

    def __init__(
        self,
        models: ModelSource,
        *,
        memory_limit: int = DEFAULT_MEMORY_LIMIT,
        time_limit: float | None = None,
        side: SideInformation | None = None,
    ) -> None:
        self._models, self._memory_limit, self._side = models, memory_limit, side
        self._time = TimeBudget(time_limit)
        self._source = _Buffered()
        self._header: Header | None = None
        self._header_data = b""
        self._decoder: BlockDecoder
        self._index: list[tuple[int, int]] = []
        self._digest = hashlib.blake2b(digest_size=Trailer.HASH_BYTES)
        self._size = 0
        self._wanted = 0
        """Bytes without which the next step cannot be taken."""
        self.ended = False

    @property
    def left_over(self) -> bytes:
        """What has come behind the end; once `ended`."""
        return bytes(self._source.data) if self.ended else b""

    def add(self, data: bytes | bytearray | memoryview) -> None:
        """Hand over the next bytes."""
        self._source.data += data

    def next(self) -> bytes | None:
        """The contents of the next block; None if it takes more bytes, or if the archive has ended.

        Raises FormatError and what decoding raises.
        """
        while not self.ended and len(self._source.data) >= self._wanted:
            try:
                found = self._step()
            except TruncatedError:
                self._wanted = max(self._wanted, len(self._source.data) + 1)
                self._source.position = 0
                return None
            self._source.drop()
            self._wanted = 0
            if found is not None:
                return found
        return None

    def _step(self) -> bytes | None:
        """Read a header, a block or the trailer. Raises TruncatedError if it is not all here."""
        if self._header is None:
            found = read_header(self._source)
            if found is None:
                raise TruncatedError("the archive is cut short")
            if found[0].short:
                self._expect(len(found[1]), found[0])
                data = self._open(*found).decode([read_short(self._source, *found)[0]])[0]
                self.ended = True
                return data
            self._header, self._header_data = found
            self._decoder = self._open(*found)
            return None
        self._expect(0, self._header)
        item, size = read_block_or_trailer(self._source, len(self._index))
        if isinstance(item, Trailer):
            self._end(item)
            return None
        self._index.append((item.content_bytes, size))
        data = self._decoder.decode([item])[0]
        self._digest.update(data)
        self._size += len(data)
        return data

    def _open(self, header: Header, header_data: bytes) -> BlockDecoder:
        return BlockDecoder(
            header,
            self._models,
            memory_limit=self._memory_limit,
            time=self._time,
            side=self._side,
        )

    def _expect(self, before: int, header: Header) -> None:
        """Note how many bytes the next block takes, so that it is not tried again and again."""
        start = self._source.position
        reader = Reader(self._source)
        if header.only is not None:
            head = BlockHead.unpack(reader, header.only, short=True)
            size = before + len(reader.taken) + head.payload_bytes + 4
        else:
            kind = reader.integer(1)
            if kind == 0:
                self._source.position = start
                return
            head = BlockHead.unpack(reader, block_kind(kind))
            size = before + len(reader.taken) + head.payload_bytes + 8
        self._source.position = start
        if len(self._source.data) < size:
            self._wanted = size
            raise TruncatedError("the archive is cut short")

    def _end(self, trailer: Trailer) -> None:
        assert self._header is not None
        if trailer.blocks != tuple(self._index) or trailer.header_bytes != len(self._header_data):
            raise CorruptError("the index does not match the blocks")
        if trailer.content_hash != self._digest.digest():
            raise CorruptError("the contents do not match their checksum")
        if self._header.size_bytes not in (None, self._size):
            raise CorruptError("the contents are not as long as the header says")
        self.ended = True
