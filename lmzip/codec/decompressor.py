"""An archive back to its bytes, in bounded memory, every checksum verified."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from ..engine import NUMERICS_VERSION, Engine
from ..errors import (
    CorruptError,
    FormatError,
    ModelMismatchError,
    SideInformationError,
    TruncatedError,
    VersionError,
)
from ..format import (
    Block,
    BlockKind,
    Header,
    ModelReference,
    SideReference,
    SideSource,
    Trailer,
    content_crc,
    read_block_or_trailer,
    read_header,
    read_short,
)
from ..format.fields import ByteSource
from ..mix import MIXING_VERSION, Mixer
from .classical import decode_classical
from .compressor import DEFAULT_MEMORY_LIMIT
from .job import decode_job
from .lanes import code_in_lanes
from .model import CodecModel, Mixers, ModelSource, cache_bytes, require_memory
from .side import MAX_DICTIONARY_BYTES, Conditioning, SideInformation
from .work import TimeBudget, require_work

__all__ = ["ArchiveReader", "BlockDecoder", "decompress_stream"]

_GROUP_BYTES = 1 << 30
"""Blocks are decoded together up to so many bytes of cache."""


class BlockDecoder:
    """Decodes the blocks of one archive."""

    def __init__(
        self,
        header: Header,
        models: ModelSource,
        *,
        memory_limit: int = DEFAULT_MEMORY_LIMIT,
        time: TimeBudget | None = None,
        side: SideInformation | None = None,
        before: bytes | bytearray = b"",
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """`side` is what the caller has, `before` the end of what the archives before hold.

        Raises SideInformationError if the header names other side information.
        """
        self._header, self._models = header, models
        self._side = _required_side(header.side, side, before)
        self._conditioning: Conditioning | None = None
        self._memory_limit = memory_limit
        self._time = time or TimeBudget()
        self._progress = progress or (lambda done: None)
        self._model: CodecModel | None = None
        self._mixers = Mixers()
        self._group_bytes: int | None = None

    @property
    def lockstep_streams(self) -> int:
        """Streams that the engine likes to advance together; loads the model."""
        return self.model.engine.lockstep_streams

    @property
    def group_bytes(self) -> int:
        """Bytes of cache up to which blocks are decoded together; loads the model."""
        if self._group_bytes is None:
            own = self.model.engine.cache_memory()
            self._group_bytes = min(_GROUP_BYTES, self._memory_limit) if own is None else own
        return self._group_bytes

    @property
    def solid(self) -> bool:
        """Whether blocks decode one behind the other only, from the first one on."""
        return self._header.model is not None and self._header.model.solid

    def restart(self) -> None:
        """The next block is the first one."""
        self._mixers.keep(None)

    @property
    def reference(self) -> ModelReference:
        if self._header.model is None:
            raise CorruptError("a block needs a language model, but the header does not name one")
        return self._header.model

    @property
    def model(self) -> CodecModel:
        """The model the header names, loaded at first use."""
        if self._model is None:
            reference = self.reference
            if reference.numerics != NUMERICS_VERSION:
                raise VersionError(
                    f"the archive uses arithmetic version {reference.numerics}; "
                    f"this program has {NUMERICS_VERSION}"
                )
            model = self._models.for_reference(reference)
            if reference.mixing > MIXING_VERSION:
                raise VersionError(
                    f"the archive uses mixing version {reference.mixing}; "
                    f"this program has {MIXING_VERSION}"
                )
            if not model.identity.startswith(reference.identity):
                raise ModelMismatchError(
                    f"the archive needs the model {reference.name or 'with identity'} "
                    f"{reference.identity.hex()}, not {model.name} {model.identity[:8].hex()}"
                )
            if reference.window > model.engine.config.context:
                raise CorruptError("the header's window is longer than the model's context")
            self._model = model
        return self._model

    @property
    def conditioning(self) -> Conditioning:
        """The side information as the model reads it."""
        if self._conditioning is None:
            if self._side is None or self._header.side is None:
                raise CorruptError("a block needs side information but the header names none")
            conditioning = Conditioning(self._side, self._header.side, self.model)
            conditioning.require_thoughts(self.reference, self._memory_limit)
            self._conditioning = conditioning
        return self._conditioning

    def cache_bytes(self, block: Block) -> int:
        """Bytes of cache that decoding this block takes."""
        if not block.kind.modelled:
            return 0
        self._require_work(block)
        if block.kind.given:
            return self.conditioning.cache_bytes(self.reference, block.tokens)
        return cache_bytes(self.model.engine.config, self.reference, block.tokens)

    def _require_work(self, block: Block) -> float:
        """Seconds that the block takes, before the model reads or thinks.

        Raises CorruptError and TimeLimitError.
        """
        side = self._header.side if block.kind.given else None
        require_work(self.reference, side, block.tokens, CorruptError)
        weights = self.model.engine.config.parameters()
        seconds = self._time.seconds(self.reference, side, block.tokens, weights)
        self._time.require(seconds)
        return seconds

    def streams(self, block: Block) -> int:
        """Streams that decoding this block advances together."""
        if not block.kind.modelled:
            return 0
        return self.reference.streams(block.tokens)

    def load(self, block: Block) -> tuple[int, int]:
        """Streams and bytes of cache that decoding this block takes."""
        return self.streams(block), self.cache_bytes(block)

    def suits(self, group: list[Block], block: Block, most: int | None = None) -> bool:
        """Whether to decode a block together with those before it; `most` blocks if that is given.

        Raises CorruptError, and what loading a model does.
        """
        if self.solid:
            return False
        if most is not None:
            return len(group) < most
        if not self.streams(block):
            return False
        loads = [self.load(b) for b in (*group, block)]
        streams, memory = sum(s for s, _ in loads), sum(m for _, m in loads)
        return streams <= self.lockstep_streams and memory <= self.group_bytes

    def _mixer(self, block: Block) -> Mixer | None:
        if not block.kind.mixed:
            return None
        if not self.reference.mixing:
            raise CorruptError("a block uses mixing, but the header does not")
        if block.kind.given:
            side = self.conditioning.tokens
            return self._mixers.primed(self.model, self.reference, block.tokens, side)
        return self._mixers.next(self.model, self.reference, block.tokens)

    def decode(self, blocks: list[Block]) -> list[bytes]:
        """The contents of these blocks, decoded in lockstep. Raises CorruptError and others.

        Of a solid archive, one block at a time, in order.
        """
        assert len(blocks) == 1 or not self.solid
        if self.solid and blocks[0].kind != BlockKind.MIXED:
            self._mixers.keep(None)
        lm = [block for block in blocks if block.kind.modelled]
        seconds = sum(self._require_work(block) for block in lm)
        self._time.require(seconds)
        if lm and self.model.engine.cache_memory() is None:
            require_memory(sum(self.cache_bytes(block) for block in lm), self._memory_limit)
        self._time.spend(seconds)
        contents = self._decode_modelled([b for b in lm if not b.kind.given], given=False)
        contents |= self._decode_modelled([b for b in lm if b.kind.given], given=True)
        result = []
        for block in blocks:
            data = contents[id(block)] if block.kind.modelled else self._decode_classical(block)
            if len(data) != block.content_bytes or content_crc(data, block.crc_seed) != (
                block.content_crc
            ):
                raise CorruptError("a block is damaged: it does not decode to what was compressed")
            result.append(data)
        return result

    def _decode_modelled(self, blocks: list[Block], *, given: bool) -> dict[int, bytes]:
        """The contents of blocks by their `id`, all given side information or none."""
        if not blocks:
            return {}
        reference = self.reference
        jobs = [
            decode_job(
                block.payload,
                block.tokens,
                reference.stream_tokens,
                reference.streams_at_once,
                mixer=self._mixer(block),
            )
            for block in blocks
        ]
        scale = sum(b.content_bytes for b in blocks) / sum(b.tokens for b in blocks)
        engine: Engine = self.conditioning.engine if given else self.model.engine
        for group in self.conditioning.groups(jobs) if given else [jobs]:
            code_in_lanes(
                engine,
                group,
                window=reference.window,
                sinks=reference.sinks,
                progress=lambda done: self._progress(int(done * scale)),
            )
        if self.solid:
            self._mixers.keep(jobs[0].mixer)
        vocabulary = self.model.tokenizer.vocabulary
        return {
            id(block): vocabulary.detokenize(job.decoded(), block.content_bytes)
            for block, job in zip(blocks, jobs, strict=True)
        }

    def _decode_classical(self, block: Block) -> bytes:
        if not block.kind.given:
            return decode_classical(block)
        if self._side is None:
            raise CorruptError("a block needs side information but the header names none")
        return decode_classical(block, self._side.tail)


def _required_side(
    reference: SideReference | None, side: SideInformation | None, before: bytes | bytearray
) -> SideInformation | None:
    """The side information that a header names. Raises SideInformationError."""
    if reference is None:
        return None
    if reference.source == SideSource.NOWHERE:
        return SideInformation.nothing()
    if reference.source == SideSource.BEFORE:
        if not before:
            raise SideInformationError("the archives before this one, which it needs, are missing")
        return SideInformation.before(bytes(before[-MAX_DICTIONARY_BYTES:]))
    if side is None:
        raise SideInformationError(
            f"the archive was made given {reference.length_bytes:,} bytes with hash "
            f"{reference.digest.hex()}; decoding needs them (--given)"
        )
    side.require(reference)
    return side


class ArchiveReader:
    """The contents of all archives that a source holds one behind the other, block by block."""

    def __init__(
        self,
        source: ByteSource,
        models: ModelSource,
        *,
        blocks_in_flight: int | None = None,
        memory_limit: int = DEFAULT_MEMORY_LIMIT,
        time_limit: float | None = None,
        side: SideInformation | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """`side` is what archives were made given, if any was; `progress(bytes)` hears totals."""
        self._time = TimeBudget(time_limit)
        self._source, self._models = source, models
        self._blocks_in_flight, self._memory_limit = blocks_in_flight, memory_limit
        self._side, self._progress = side, progress
        self._before = bytearray()
        """The end of what was decoded."""
        self._total = self._estimate = 0
        self.whole_archives = 0
        """So many have been read to their ends."""

    def __iter__(self) -> Iterator[bytes]:
        """Contents, each piece after its own checksum. Raises FormatError and others."""
        count = 0
        while (found := read_header(self._source, behind_another=count > 0)) is not None:
            count += 1
            yield from self._archive(*found)
            self.whole_archives = count
        if not count:
            raise TruncatedError("the input is empty, not an lmzip archive")

    def _archive(self, header: Header, header_data: bytes) -> Iterator[bytes]:
        decoder = BlockDecoder(
            header,
            self._models,
            memory_limit=self._memory_limit,
            time=self._time,
            side=self._side,
            before=self._before,
            progress=self._advance,
        )
        if header.short:
            block, _size = read_short(self._source, header, header_data)
            yield from self._decoded(decoder, [block])
            return
        digest = hashlib.blake2b(digest_size=Trailer.HASH_BYTES)
        index: list[tuple[int, int]] = []
        size = 0
        for item in self._groups(decoder, index):
            if isinstance(item, Trailer):
                if item.blocks != tuple(index) or item.header_bytes != len(header_data):
                    raise CorruptError("the index does not match the blocks")
                if item.content_hash != digest.digest():
                    raise CorruptError("the contents do not match their checksum")
                continue
            for data in self._decoded(decoder, item):
                digest.update(data)
                size += len(data)
                yield data
        if header.size_bytes is not None and header.size_bytes != size:
            raise CorruptError("the contents are not as long as the header says")

    def _groups(
        self, decoder: BlockDecoder, index: list[tuple[int, int]]
    ) -> Iterator[list[Block] | Trailer]:
        """Blocks in groups to decode together, then the trailer. Appends to `index` what was
        read."""
        group: list[Block] = []
        while True:
            try:
                item, size = read_block_or_trailer(self._source, len(index))
            except FormatError:
                if group:  # what stands before the damage is whole
                    yield group
                raise
            if isinstance(item, Trailer):
                if group:
                    yield group
                yield item
                return
            index.append((item.content_bytes, size))
            if group and not decoder.suits(group, item, self._blocks_in_flight):
                yield group
                group = []
            group.append(item)

    def _decoded(self, decoder: BlockDecoder, blocks: list[Block]) -> Iterator[bytes]:
        for data in decoder.decode(blocks):
            self._before += data
            if len(self._before) > 2 * MAX_DICTIONARY_BYTES:
                del self._before[:-MAX_DICTIONARY_BYTES]
            self._total += len(data)
            yield data
        self._estimate = 0
        self._advance(0)

    def _advance(self, done: int) -> None:
        self._estimate += done
        if self._progress is not None:
            self._progress(self._total + self._estimate)


def decompress_stream(
    source: ByteSource,
    write: Callable[[bytes], object],
    models: ModelSource,
    *,
    blocks_in_flight: int | None = None,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
    time_limit: float | None = None,
    side: SideInformation | None = None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write the contents of all archives that `source` holds one behind the other; bytes written.

    `side` is what archives were made given, if any was; `time_limit`, in seconds, is what decoding
    may take as reckoned from headers (None: thoughts may take a day). Raises SideInformationError,
    FormatError if there is no archive at all, TruncatedError, CorruptError, MemoryLimitError,
    TimeLimitError, ModelError... Contents are written block by block, each after its own checksum:
    on an error the caller discards them.
    """
    total = 0
    for data in ArchiveReader(
        source,
        models,
        blocks_in_flight=blocks_in_flight,
        memory_limit=memory_limit,
        time_limit=time_limit,
        side=side,
        progress=progress,
    ):
        write(data)
        total += len(data)
    return total
