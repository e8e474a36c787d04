"""Bytes to an archive, in bounded memory."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Callable

from ..errors import UsageError
from ..format import Block, BlockKind, Header, Trailer, pack_short
from ..format.fields import ByteSource
from .block_encoder import BlockEncoder
from .cutting import split_blocks
from .model import ModelSource
from .parameters import CodingParameters
from .side import SideInformation, SideParameters

__all__ = [
    "DEFAULT_MEMORY_LIMIT",
    "ArchiveWriter",
    "CompressionSummary",
    "compress_stream",
    "empty_archive",
    "single_archive",
]

DEFAULT_MEMORY_LIMIT = 4 << 30
"""Bytes of key/value cache that coding may take."""


@dataclasses.dataclass
class CompressionSummary:
    """What was written."""

    content_bytes: int = 0
    archive_bytes: int = 0
    tokens: int = 0
    """Tokens in the language-model blocks."""
    modelled_bytes: int = 0
    """Contents of those blocks."""
    payload_bytes: int = 0
    """Of all blocks: the archive without what the container takes."""
    ideal_bits: float = 0.0
    """The information of the tokens under the model's predictions (those of classical blocks: their
    payloads)."""
    side_tokens: int = 0
    """Of the side information, all that mixing knows."""
    prefix_tokens: int = 0
    """Of those, how many last ones every stream begins with."""
    blocks: dict[BlockKind, int] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(BlockKind, 0)
    )

    def count(self, data: bytes, block: Block, ideal_bits: float) -> None:
        """One more block, of these contents; the archive's own bytes are counted elsewhere."""
        self.content_bytes += len(data)
        self.tokens += block.tokens
        self.modelled_bytes += len(data) if block.kind.modelled else 0
        self.payload_bytes += len(block.payload)
        self.ideal_bits += ideal_bits
        self.blocks[block.kind] += 1


def single_archive(
    encoder: BlockEncoder, data: bytes, block: Block, size_bytes: int | None
) -> bytes:
    """The archive of the contents of a `single` block; it names a model only if it needs one."""
    archive = pack_short(encoder.single_header(block, short=True), block, data)
    if archive is not None:
        return archive
    out = io.BytesIO()
    writer = ArchiveWriter(out.write)
    writer.header(encoder.single_header(block, short=False, size_bytes=size_bytes))
    writer.block(block, data)
    writer.finish()
    return out.getvalue()


def empty_archive() -> bytes:
    """The archive of nothing."""
    nothing = Block(BlockKind.STORED, 0, 0, b"")
    archive = pack_short(Header(only=nothing.kind), nothing, b"")
    assert archive is not None
    return archive


class ArchiveWriter:
    """Writes an ordinary archive: its header, its blocks, its index."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._digest = hashlib.blake2b(digest_size=Trailer.HASH_BYTES)
        self._index: list[tuple[int, int]] = []
        self._header_bytes = 0

    @property
    def begun(self) -> bool:
        """Whether the header is written."""
        return self._header_bytes > 0

    def header(self, header: Header) -> None:
        """Write the header."""
        assert not self.begun
        self._header_bytes = self._put(header.pack())

    def block(self, block: Block, data: bytes) -> None:
        """Write a block of these contents."""
        self._digest.update(data)
        self._index.append((len(data), self._put(block.pack())))

    def finish(self) -> None:
        """Write the index."""
        index = tuple(self._index)
        self._put(Trailer(self._header_bytes, index, self._digest.digest()).pack())

    def _put(self, data: bytes) -> int:
        self._write(data)
        return len(data)


def compress_stream(
    source: ByteSource,
    write: Callable[[bytes], object],
    models: ModelSource,
    parameters: CodingParameters | None = None,
    *,
    size_bytes: int | None = None,
    blocks_in_flight: int | None = None,
    slice_rows: int | None = None,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
    side: SideInformation | None = None,
    side_parameters: SideParameters | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CompressionSummary:
    """Write the archive of everything that `source` yields.

    Memory is bounded by `blocks_in_flight` blocks: one, or as many as a GPU likes. `size_bytes`
    goes into the header if given.
    Who decodes needs the same `side` information, unless no block was better for it.
    `progress(content_bytes, archive_bytes)` is called with totals so far. Neither
    `blocks_in_flight` nor `slice_rows` changes a byte of the output.
    """
    parameters = parameters or CodingParameters()
    if parameters.solid and side is not None:
        raise UsageError("solid archives cannot use side information or generated tokens")
    made = _Progress(write, progress)
    encoder = BlockEncoder(models, parameters, memory_limit, slice_rows, made.advance)
    if side is not None:
        encoder.condition(side, side_parameters or SideParameters())
    writer = ArchiveWriter(made.write)
    pending: list[bytes] = []
    for number, (data, last) in enumerate(split_blocks(source, parameters)):
        pending.append(data)
        if blocks_in_flight is None and not last:
            blocks_in_flight = encoder.blocks_at_once(data)
        if not last and len(pending) < max(1, blocks_in_flight or 1):
            continue
        single = last and number == 0
        coded = encoder.encode(pending, single=single)
        if single:
            made.write(single_archive(encoder, data, coded[0][0], size_bytes))
        elif not writer.begun:
            given = encoder.header_side(model=True)
            writer.header(Header(encoder.reference, size_bytes, given))
        for contents, (block, ideal_bits) in zip(pending, coded, strict=True):
            made.summary.count(contents, block, ideal_bits)
            if not single:
                writer.block(block, contents)
        made.report()
        pending = []
    summary = made.summary
    if size_bytes is not None and size_bytes != summary.content_bytes:
        raise UsageError(
            f"the input has {summary.content_bytes} bytes, not the {size_bytes} it was said to "
            "have: it changed while it was read"
        )
    if writer.begun:
        writer.finish()
    elif not summary.content_bytes:
        made.write(empty_archive())
    summary.side_tokens, summary.prefix_tokens = encoder.side_tokens_read
    return summary


class _Progress:
    """What has been written so far, and who wants to know."""

    def __init__(
        self, write: Callable[[bytes], object], progress: Callable[[int, int], None] | None
    ) -> None:
        self.summary = CompressionSummary()
        self._write, self._progress = write, progress
        self._estimate = 0

    def write(self, data: bytes) -> None:
        """Write bytes of the archive."""
        self._write(data)
        self.summary.archive_bytes += len(data)

    def advance(self, content_bytes: int) -> None:
        """About so many more bytes of the contents are coded, but not counted yet."""
        self._estimate += content_bytes
        self._call()

    def report(self) -> None:
        """All that is coded is counted."""
        self._estimate = 0
        self._call()

    def _call(self) -> None:
        if self._progress is not None:
            summary = self.summary
            self._progress(summary.content_bytes + self._estimate, summary.archive_bytes)
