"""Bytes to an archive, in bounded memory."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator

from ..errors import UsageError
from ..format import Block, BlockKind, Header, Trailer, pack_compact
from ..format.fields import ByteSource, read_some
from .block_encoder import BlockEncoder
from .model import ModelSource
from .parameters import CodingParameters
from .side import SideInformation, SideParameters

__all__ = [
    "DEFAULT_MEMORY_LIMIT",
    "CompressionSummary",
    "compress_stream",
    "single_archive",
    "split_blocks",
]

DEFAULT_MEMORY_LIMIT = 4 << 30
"""Bytes of key/value cache that coding may take."""

_CUT_SEARCH = 4096
"""Bytes before a block's end in which a line end is looked for."""


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
    reference = encoder.reference if block.kind.modelled else None
    given = encoder.header_side(model=block.kind.modelled) if block.kind.given else None
    short = Header(reference, short=True, side=given).pack()
    rest = pack_compact(short, block, data)
    if rest is not None:
        return short + rest
    header = Header(reference, size_bytes, side=given).pack()
    packed = block.pack()
    digest = hashlib.blake2b(data, digest_size=Trailer.HASH_BYTES).digest()
    return header + packed + Trailer(len(header), ((len(data), len(packed)),), digest).pack()


def _cut(buffer: bytes, size: int) -> int:
    """Where to end a block of at most `size` bytes: behind a line end, else between characters."""
    newline = buffer.rfind(b"\n", size - min(_CUT_SEARCH, size), size)
    if newline >= 0:
        return newline + 1
    for back in range(4):
        # Not in front of a continuation byte.
        if size - back > 0 and buffer[size - back] & 0xC0 != 0x80:
            return size - back
    return size


def split_blocks(source: ByteSource, block_bytes: int) -> Iterator[tuple[bytes, bool]]:
    """The contents block by block, each with whether it is the last."""
    buffer = b""
    while True:
        parts = [buffer]
        length = len(buffer)
        while length <= block_bytes:
            part = read_some(source, block_bytes + 1 - length)
            if not part:
                break
            parts.append(part)
            length += len(part)
        buffer = b"".join(parts)
        if len(buffer) <= block_bytes:
            if buffer:
                yield buffer, True
            return
        cut = _cut(buffer, block_bytes)
        yield buffer[:cut], False
        buffer = buffer[cut:]


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
        raise UsageError("solid archives take neither side information nor thoughts")
    summary = CompressionSummary()
    estimate = 0

    def advance(content_bytes: int) -> None:
        nonlocal estimate
        estimate += content_bytes
        if progress is not None:
            progress(summary.content_bytes + estimate, summary.archive_bytes)

    encoder = BlockEncoder(models, parameters, memory_limit, slice_rows, advance)
    if side is not None:
        encoder.condition(side, side_parameters or SideParameters())
    digest = hashlib.blake2b(digest_size=Trailer.HASH_BYTES)
    index: list[tuple[int, int]] = []
    header_bytes, finished = 0, False

    def emit(data: bytes) -> int:
        write(data)
        summary.archive_bytes += len(data)
        return len(data)

    def flush(contents: list[bytes], single: bool) -> None:
        nonlocal header_bytes, finished, estimate
        coded = encoder.encode(contents, single=single)
        for data, (block, ideal_bits) in zip(contents, coded, strict=True):
            summary.count(data, block, ideal_bits)
        if single:
            header_bytes = emit(single_archive(encoder, contents[0], coded[0][0], size_bytes))
            finished = True
        elif not header_bytes:
            given = encoder.header_side(model=True)
            header_bytes = emit(Header(encoder.reference, size_bytes, side=given).pack())
        if not single:
            for data, (block, _ideal_bits) in zip(contents, coded, strict=True):
                digest.update(data)
                index.append((len(data), emit(block.pack())))
        estimate = 0
        if progress is not None:
            progress(summary.content_bytes, summary.archive_bytes)

    pending: list[bytes] = []
    for number, (data, last) in enumerate(split_blocks(source, parameters.block_bytes)):
        pending.append(data)
        if blocks_in_flight is None and not last:
            blocks_in_flight = encoder.blocks_at_once(data)
        if last or len(pending) >= max(1, blocks_in_flight or 1):
            flush(pending, single=last and number == 0)
            pending = []
    if not header_bytes:
        header_bytes = emit(Header(None, size_bytes).pack())
    if size_bytes is not None and size_bytes != summary.content_bytes:
        raise UsageError(
            f"the input has {summary.content_bytes} bytes, not the {size_bytes} it was said to "
            "have: it changed while it was read"
        )
    if not finished:
        emit(Trailer(header_bytes, tuple(index), digest.digest()).pack())
    summary.side_tokens, summary.prefix_tokens = encoder.side_tokens_read
    return summary
