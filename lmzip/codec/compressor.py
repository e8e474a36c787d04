"""Bytes to an archive, in bounded memory."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator

from ..errors import UsageError
from ..format import MAX_SHORT_BYTES, Block, BlockKind, Header, ModelReference, Trailer, content_crc
from ..format.fields import ByteSource, read_some
from ..mix import Mixer
from .classical import best_classical, looks_incompressible
from .lm import LmJob, Tokens, code_jobs, encode_job
from .model import (
    CodecModel,
    Mixers,
    ModelSource,
    cache_bytes,
    model_reference,
    require_memory,
)
from .parameters import CodingParameters

__all__ = ["DEFAULT_MEMORY_LIMIT", "CompressionSummary", "compress_stream", "split_blocks"]

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
    blocks: dict[BlockKind, int] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(BlockKind, 0)
    )


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


class BlockEncoder:
    """Turns contents into blocks, each the smallest of language model, zstd and stored."""

    def __init__(
        self,
        models: ModelSource,
        parameters: CodingParameters,
        memory_limit: int,
        slice_rows: int | None,
        progress: Callable[[int], None],
    ) -> None:
        self._models, self.parameters = models, parameters
        self._memory_limit, self._slice_rows, self._progress = memory_limit, slice_rows, progress
        self._model: CodecModel | None = None
        self._mixers = Mixers()

    @property
    def model(self) -> CodecModel:
        if self._model is None:
            self._model = self._models.for_compression()
        return self._model

    @property
    def reference(self) -> ModelReference:
        """What the header says of the model; raises UsageError if the window does not suit it."""
        return model_reference(self.model, self.parameters)

    def encode(self, contents: list[bytes], *, single: bool) -> list[tuple[Block, float]]:
        """Blocks for these contents, made in lockstep unless the archive is solid.

        Beside each block stands the information in it, in bits.

        A `single` block of an archive also pays for the model's place in the header.
        """
        if not self.parameters.solid:
            return self._coded(*self._encode(contents, single))
        coded = []
        for data in contents:
            (block,), jobs = self._encode([data], single)
            self._mixers.keep(jobs[0].mixer if block.kind == BlockKind.MIXED else None)
            coded += self._coded([block], jobs)
        return coded

    @staticmethod
    def _coded(blocks: list[Block], jobs: dict[int, LmJob]) -> list[tuple[Block, float]]:
        return [
            (block, jobs[i].encoder.ideal_bits if block.kind.modelled else 8.0 * len(block.payload))
            for i, block in enumerate(blocks)
        ]

    def _encode(self, contents: list[bytes], single: bool) -> tuple[list[Block], dict[int, LmJob]]:
        """Blocks, and the jobs of those that went through the model."""
        classical = [best_classical(data) for data in contents]
        tokens = {
            i: self.model.tokenizer.tokenize(data)
            for i, data in enumerate(contents)
            if not looks_incompressible(data, classical[i])
        }
        if not tokens:
            return classical, {}
        config = self.model.engine.config
        needed = sum(cache_bytes(config, self.reference, len(ids)) for ids in tokens.values())
        require_memory(needed, self._memory_limit)
        scale = sum(len(contents[i]) for i in tokens) / sum(map(len, tokens.values()))
        budgets = {i: len(classical[i].payload) for i in tokens}
        jobs = self._code(tokens, budgets, scale, mixing=self.reference.mixing > 0)
        # What the block has said is no help to a model that knows it all.
        alone = {i: tokens[i] for i, job in jobs.items() if job.mixing_hurts()}
        kinds = dict.fromkeys(jobs, BlockKind.MIXED if self.reference.mixing else BlockKind.LM)
        if alone:
            jobs |= self._code(alone, budgets, 0, mixing=False)
            kinds |= dict.fromkeys(alone, BlockKind.LM)
        extra_bytes = len(self.reference.pack()) if single else 0
        blocks = list(classical)
        for i, job in jobs.items():
            if job.abandoned:
                continue
            data, payload = contents[i], job.encoder.finish()
            block = Block(kinds[i], len(data), content_crc(data), payload, len(tokens[i]))
            packed_bytes = len(block.pack()) + extra_bytes
            if len(payload) <= len(data) and packed_bytes < len(classical[i].pack()):
                blocks[i] = block
        return blocks, jobs

    def new_job(self, ids: Tokens, budget: int, mixer: Mixer | None) -> LmJob:
        """A job for a block of these tokens."""
        cut = self.parameters.stream_tokens, self.parameters.streams_at_once
        return encode_job(ids, *cut, budget=budget, mixer=mixer)

    def _code(
        self, tokens: dict[int, Tokens], budgets: dict[int, int], scale: float, *, mixing: bool
    ) -> dict[int, LmJob]:
        """Jobs that have coded these blocks' tokens; progress counts `scale` bytes a token."""
        jobs = {
            i: self.new_job(
                ids,
                budgets[i],
                self._mixers.next(self.model, self.reference, len(ids)) if mixing else None,
            )
            for i, ids in tokens.items()
        }
        code_jobs(
            self.model.engine,
            list(jobs.values()),
            window=self.reference.window,
            sinks=self.reference.sinks,
            slice_rows=self._slice_rows,
            progress=lambda done: self._progress(int(done * scale)),
        )
        return jobs


def compress_stream(
    source: ByteSource,
    write: Callable[[bytes], object],
    models: ModelSource,
    parameters: CodingParameters | None = None,
    *,
    size_bytes: int | None = None,
    blocks_in_flight: int = 1,
    slice_rows: int | None = None,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
    progress: Callable[[int, int], None] | None = None,
) -> CompressionSummary:
    """Write the archive of everything that `source` yields.

    Memory is bounded by `blocks_in_flight` blocks. `size_bytes` goes into the header if given.
    `progress(content_bytes, archive_bytes)` is called with totals so far. Neither
    `blocks_in_flight` nor `slice_rows` changes a byte of the output.
    """
    parameters = parameters or CodingParameters()
    summary = CompressionSummary()
    estimate = 0

    def advance(content_bytes: int) -> None:
        nonlocal estimate
        estimate += content_bytes
        if progress is not None:
            progress(summary.content_bytes + estimate, summary.archive_bytes)

    encoder = BlockEncoder(models, parameters, memory_limit, slice_rows, advance)
    digest = hashlib.blake2b(digest_size=Trailer.HASH_BYTES)
    index: list[tuple[int, int]] = []
    header_bytes, header, short = 0, b"", False

    def emit(data: bytes) -> int:
        write(data)
        summary.archive_bytes += len(data)
        return len(data)

    def flush(contents: list[bytes], single: bool) -> None:
        nonlocal header_bytes, header, short, estimate
        coded = encoder.encode(contents, single=single)
        blocks = [block for block, _ideal_bits in coded]
        if not header_bytes:
            # An archive of one block names a model only if it needs one.
            named = not single or any(block.kind.modelled for block in blocks)
            reference = encoder.reference if named else None
            short = single and len(contents[0]) <= MAX_SHORT_BYTES
            header = Header(reference, None if short else size_bytes, short).pack()
            header_bytes = emit(header)
        for data, (block, ideal_bits) in zip(contents, coded, strict=True):
            digest.update(data)
            index.append((len(data), emit(block.pack(header if short else b""))))
            summary.content_bytes += len(data)
            summary.tokens += block.tokens
            summary.modelled_bytes += len(data) if block.kind.modelled else 0
            summary.payload_bytes += len(block.payload)
            summary.ideal_bits += ideal_bits
            summary.blocks[block.kind] += 1
        estimate = 0
        if progress is not None:
            progress(summary.content_bytes, summary.archive_bytes)

    pending: list[bytes] = []
    for number, (data, last) in enumerate(split_blocks(source, parameters.block_bytes)):
        pending.append(data)
        if last or len(pending) >= max(1, blocks_in_flight):
            flush(pending, single=last and number == 0)
            pending = []
    if not header_bytes:
        header_bytes = emit(Header(None, size_bytes).pack())
    if size_bytes is not None and size_bytes != summary.content_bytes:
        raise UsageError(
            f"the input has {summary.content_bytes} bytes, not the {size_bytes} it was said to "
            "have: it changed while it was read"
        )
    emit(Trailer(header_bytes, tuple(index), b"" if short else digest.digest()).pack())
    return summary
