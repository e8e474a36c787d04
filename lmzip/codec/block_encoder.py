"""Contents to blocks, each the smallest of what the model and zstd make of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ..engine import Engine
from ..errors import UsageError
from ..format import (
    MAX_SHORT_BYTES,
    Block,
    BlockKind,
    Header,
    ModelReference,
    SideReference,
    content_crc,
    short_bytes,
)
from ..mix import Mixer
from .classical import best_classical, looks_incompressible
from .job import LmJob, Tokens, encode_job
from .lanes import code_in_lanes
from .model import (
    CodecModel,
    Mixers,
    ModelSource,
    cache_bytes,
    model_reference,
    require_memory,
)
from .parameters import CodingParameters
from .side import Conditioning, SideInformation, SideParameters
from .work import require_work

__all__ = ["BlockEncoder"]

_KINDS = {
    (False, False): BlockKind.LM,
    (False, True): BlockKind.MIXED,
    (True, False): BlockKind.GIVEN_LM,
    (True, True): BlockKind.GIVEN_MIXED,
}
"""Of modelled blocks: given side information or not, with mixing or not."""


_NO_BUDGET = 1 << 40

_BYTES_A_TOKEN = 3.0
"""For estimates, rather too few."""


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
        self._side: SideInformation | None = None
        self._side_parameters = SideParameters()
        self._conditioning: Conditioning | None = None

    def condition(self, side: SideInformation, parameters: SideParameters) -> None:
        """From now on blocks may be coded given this; each is if it is smaller for it."""
        self._side, self._side_parameters = side, parameters

    @property
    def model(self) -> CodecModel:
        if self._model is None:
            self._model = self._models.for_compression()
        return self._model

    @property
    def reference(self) -> ModelReference:
        """What the header says of the model; raises UsageError if the window does not suit it."""
        return model_reference(self.model, self.parameters)

    @property
    def conditioning(self) -> Conditioning | None:
        """The side information as the model reads it."""
        if self._conditioning is None and self._side is not None:
            self._conditioning = Conditioning.for_encoding(
                self._side, self._side_parameters, self.model, self.reference, self._memory_limit
            )
        return self._conditioning

    @property
    def side_tokens_read(self) -> tuple[int, int]:
        """How many side tokens mixing and the model have read so far."""
        side = self._conditioning
        return (0, 0) if side is None else (len(side.tokens), side.prefix_tokens)

    def header_side(self, *, model: bool) -> SideReference | None:
        """What a header says of the side information, one with a model section or without."""
        if self._side is None or not model:
            return None if self._side is None else self._side.reference()
        assert self.conditioning is not None
        return self.conditioning.reference

    def single_header(self, block: Block, *, short: bool, size_bytes: int | None = None) -> Header:
        """The header of an archive of this block alone: it names what the block needs."""
        modelled = block.kind.modelled
        reference = self.reference if modelled else None
        given = self.header_side(model=modelled) if block.kind.given else None
        if short:
            return Header(reference, side=given, only=block.kind)
        return Header(reference, size_bytes, given)

    def _header_side_bytes(self, *, model: bool) -> int:
        """Bytes of the side section of an archive."""
        side = self.header_side(model=model)
        return 0 if side is None else len(side.pack(model=model))

    def encode(self, contents: list[bytes], *, single: bool) -> list[tuple[Block, float]]:
        """Blocks for these contents, made in lockstep unless the archive is solid.

        Beside each block stands the information in it, in bits.

        A `single` block of an archive also pays for what it needs in the header. It is not solid,
        whatever the parameters say: there is no block to go on with, and a short archive has no
        flag for it.
        """
        if single and self.parameters.solid:
            self.parameters = dataclasses.replace(self.parameters, solid=False)
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
        """Blocks, and the jobs of those that are modelled."""
        dictionary = b"" if self._side is None else self._side.tail
        blocks = [
            best_classical(
                data,
                dictionary,
                self._header_side_bytes(model=False) if single else 0,
            )
            for data in contents
        ]
        tokens = {
            i: self.model.tokenizer.tokenize(data)
            for i, data in enumerate(contents)
            if not looks_incompressible(data, blocks[i])
        }
        if not tokens:
            return blocks, {}
        always = self._side_parameters.always
        attempts = (True, False) if self.conditioning is not None else (False,)
        attempts = (True,) if always else attempts
        scale = sum(len(contents[i]) for i in tokens) / sum(map(len, tokens.values()))
        winners: dict[int, LmJob] = {}
        for given in attempts:
            budgets = {
                i: _NO_BUDGET if always else self._budget(blocks[i], single, given) for i in tokens
            }
            kinds, jobs = self._attempt(tokens, budgets, scale / len(attempts), given=given)
            for i, job in jobs.items():
                if job.abandoned:
                    continue
                data, payload = contents[i], job.encoder.finish()
                block = Block(kinds[i], len(data), content_crc(data), payload, len(tokens[i]))
                smaller = self._cost(block, single) < self._cost(blocks[i], single)
                if len(payload) <= len(data) and (smaller or always):
                    blocks[i], winners[i] = block, job
        return blocks, winners

    def _budget(self, best: Block, single: bool, given: bool) -> int:
        """Payload bytes at which an attempt to undercut the best block so far is given up."""
        budget = len(best.payload)
        if single and best.kind.given and not given:
            budget += self._header_side_bytes(model=best.kind.modelled)
        return budget

    def _cost(self, block: Block, single: bool) -> int:
        """Bytes of a block, a single one with what the header says for its sake."""
        if not single:
            return len(block.pack())
        if block.content_bytes <= MAX_SHORT_BYTES:
            return short_bytes(self.single_header(block, short=True), block)
        return len(self.single_header(block, short=False).pack()) + len(block.pack())

    def _attempt(
        self, tokens: dict[int, Tokens], budgets: dict[int, int], scale: float, *, given: bool
    ) -> tuple[dict[int, BlockKind], dict[int, LmJob]]:
        """Jobs that have coded these blocks' tokens, mixed if that does not hurt."""
        self._require_memory(tokens, given)
        mixing = self.reference.mixing > 0
        jobs = self._code(tokens, budgets, scale, mixing=mixing, given=given)
        # What the block has said is no help to a model that knows it all.
        alone = {i: tokens[i] for i, job in jobs.items() if job.mixing_hurts()}
        if self._side is not None:  # it may have been given up for the sake of the other attempt
            alone |= {i: tokens[i] for i, job in jobs.items() if job.mixing_has_hurt()}
        kinds = dict.fromkeys(jobs, _KINDS[given, mixing])
        if alone:
            jobs |= self._code(alone, budgets, 0, mixing=False, given=given)
            kinds |= dict.fromkeys(alone, _KINDS[given, False])
        return kinds, jobs

    def room(self) -> tuple[int, int]:
        """Streams that the engine likes in lockstep, and bytes of cache there may be. Loads it."""
        engine = self.model.engine
        own = engine.cache_memory()
        return engine.lockstep_streams, self._memory_limit if own is None else own

    def load(self, data: bytes) -> tuple[int, int]:
        """About how many streams, and bytes of cache, a block of these contents takes."""
        tokens = max(1, round(len(data) / _BYTES_A_TOKEN))
        return self.reference.streams(tokens), self._cache_bytes(tokens, self._side is not None)

    def blocks_at_once(self, first: bytes) -> int:
        """How many blocks like the first to encode in lockstep: one, but for engines with memory of
        their own as many as that has room for and they like. Loads the model."""
        if self.parameters.solid or self.model.engine.cache_memory() is None:
            return 1
        return max(1, min(m // n for m, n in zip(self.room(), self.load(first), strict=True)))

    def _cache_bytes(self, tokens: int, given: bool) -> int:
        if given and self.conditioning is not None:
            return self.conditioning.cache_bytes(self.reference, tokens)
        return cache_bytes(self.model.engine.config, self.reference, tokens)

    def _require_memory(self, tokens: dict[int, Tokens], given: bool) -> None:
        side = self.conditioning.reference if given and self.conditioning is not None else None
        for ids in tokens.values():
            require_work(self.reference, side, len(ids), UsageError)
        if self.model.engine.cache_memory() is not None:
            return
        needed = sum(self._cache_bytes(len(ids), given) for ids in tokens.values())
        require_memory(needed, self._memory_limit)

    def new_job(self, ids: Tokens, budget: int, mixer: Mixer | None) -> LmJob:
        """A job for a block of these tokens."""
        cut = self.parameters.stream_tokens, self.parameters.streams_at_once
        return encode_job(ids, *cut, budget=budget, mixer=mixer)

    def _mixer(self, tokens: int, given: bool) -> Mixer:
        side = self.conditioning
        if given and side is not None:
            return self._mixers.primed(self.model, self.reference, tokens, side.tokens)
        return self._mixers.next(self.model, self.reference, tokens)

    def _code(
        self,
        tokens: dict[int, Tokens],
        budgets: dict[int, int],
        scale: float,
        *,
        mixing: bool,
        given: bool,
    ) -> dict[int, LmJob]:
        """Jobs that have coded these blocks' tokens; progress counts `scale` bytes a token."""
        jobs = {
            i: self.new_job(ids, budgets[i], self._mixer(len(ids), given) if mixing else None)
            for i, ids in tokens.items()
        }
        engine: Engine = self.model.engine
        groups = [list(jobs.values())]
        if given and self.conditioning is not None:
            engine, groups = self.conditioning.engine, self.conditioning.groups(groups[0])
        for group in groups:
            code_in_lanes(
                engine,
                group,
                window=self.reference.window,
                sinks=self.reference.sinks,
                slice_rows=self._slice_rows,
                progress=lambda done: self._progress(int(done * scale)),
            )
        return jobs
