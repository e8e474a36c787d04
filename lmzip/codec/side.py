"""Side information: a text that encoder and decoder both have, and what the codec makes of it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..errors import SideInformationError, UsageError
from ..format import ModelReference, SideReference, SideSource, Thoughts
from ..format.fields import ByteSource, read_some
from ..format.side import (
    MAX_CHAINS,
    MAX_EVERY,
    MAX_PREFIX_TOKENS,
    MAX_PROMPT_BYTES,
    MAX_SEED,
    MAX_TEMPERATURE,
    MAX_THOUGHT_TOKENS,
)
from ..text import MAX_SIDE_BYTES, best_splitting, side_tokens
from .conditioned import ConditionedEngine, ThoughtPlan
from .job import LmJob
from .model import CodecModel, cache_bytes, require_memory

__all__ = ["MAX_DICTIONARY_BYTES", "Conditioning", "SideInformation", "SideParameters"]

MAX_DICTIONARY_BYTES = 1 << 24
"""Of side information, its last bytes are zstd's dictionary."""

_CHUNK = 1 << 20


@dataclasses.dataclass(frozen=True)
class SideInformation:
    """A text by its length, its hash and its end: more is never used."""

    length_bytes: int
    digest: bytes
    tail: bytes
    source: SideSource = SideSource.GIVEN

    def __post_init__(self) -> None:
        if not self.length_bytes and self.source != SideSource.NOWHERE:
            raise UsageError("the side information is empty")

    @classmethod
    def read(cls, sources: Iterable[ByteSource]) -> SideInformation:
        """Of all that these sources yield, one behind the other. Raises UsageError if empty."""
        digest = hashlib.blake2b(digest_size=SideReference.DIGEST_BYTES)
        length, tail = 0, b""
        for source in sources:
            while part := read_some(source, _CHUNK):
                digest.update(part)
                length += len(part)
                tail = (tail + part)[-MAX_DICTIONARY_BYTES:]
        return cls(length, digest.digest(), tail)

    @classmethod
    def of(cls, data: bytes) -> SideInformation:
        """Of bytes at hand."""
        digest = hashlib.blake2b(data, digest_size=SideReference.DIGEST_BYTES).digest()
        return cls(len(data), digest, data[-MAX_DICTIONARY_BYTES:])

    @classmethod
    def before(cls, contents: bytes) -> SideInformation:
        """The end of what the archives before this one in the file hold."""
        return cls(len(contents), b"", contents[-MAX_DICTIONARY_BYTES:], SideSource.BEFORE)

    @classmethod
    def nothing(cls) -> SideInformation:
        """For those who think without any."""
        return cls(0, b"", b"", SideSource.NOWHERE)

    def reference(self) -> SideReference:
        """What a header without a model section says of it."""
        given = self.source == SideSource.GIVEN
        return SideReference(self.source, self.length_bytes if given else 0, self.digest)

    def require(self, reference: SideReference) -> None:
        """Raise SideInformationError unless it is what an archive's header names."""
        if self.length_bytes != reference.length_bytes or self.digest != reference.digest:
            raise SideInformationError(
                f"the archive was made given {reference.length_bytes:,} bytes with hash "
                f"{reference.digest.hex()}, not {self.length_bytes:,} bytes with hash "
                f"{self.digest.hex()} "
                "(--given)"
            )


@dataclasses.dataclass(frozen=True)
class SideParameters:
    """How an encoder uses side information."""

    prefix_tokens: int | None = None
    """Tokens of it that streams begin with, at most; None: as many as the window holds."""
    thoughts: Thoughts | None = None
    always: bool = False
    """Code every block so, even where it would be smaller without: for experiments."""

    def __post_init__(self) -> None:
        checks = [("prefix length", self.prefix_tokens or 0, 0, MAX_PREFIX_TOKENS)]
        if (t := self.thoughts) is not None:
            checks += [
                ("number of generated tokens", t.tokens, 1, MAX_THOUGHT_TOKENS),
                ("number of chains", t.chains, 1, MAX_CHAINS),
                ("inverse of the temperature", t.temperature, 0, MAX_TEMPERATURE),
                ("seed", t.seed, 0, MAX_SEED),
                ("interval between generated tokens", t.every, 0, MAX_EVERY),
                ("length of a prompt", max(len(t.before), len(t.behind)), 0, MAX_PROMPT_BYTES),
            ]
        for name, value, low, high in checks:
            if not low <= value <= high:
                raise UsageError(f"the {name} must be between {low} and {high}, not {value}")


class Conditioning:
    """Side information as one model reads it."""

    def __init__(self, side: SideInformation, reference: SideReference, model: CodecModel) -> None:
        vocabulary = model.tokenizer.vocabulary

        def tokens(text: bytes) -> NDArray[np.int64]:
            return side_tokens(vocabulary, text, reference.splitting)

        self.reference = reference
        self.tokens = tokens(side.tail)
        """All side tokens, [n]."""
        plan = None
        if (t := reference.thoughts) is not None:
            plan = ThoughtPlan(
                t.tokens, t.chains, t.temperature, t.seed, t.every,
                tokens(t.before), tokens(t.behind),
            )  # fmt: skip
        self.prefix_tokens = min(reference.prefix_tokens, len(self.tokens))
        prefix = self.tokens[len(self.tokens) - self.prefix_tokens :]
        self.engine = ConditionedEngine(model.engine, prefix, plan)

    @classmethod
    def for_encoding(
        cls,
        side: SideInformation,
        parameters: SideParameters,
        model: CodecModel,
        coding: ModelReference,
        memory_limit: int,
    ) -> Conditioning:
        """With what the header is to say of it; a first thought is thought for that."""
        text = side.tail[-MAX_SIDE_BYTES:]
        splitting = best_splitting(model.tokenizer.vocabulary, text, model.tokenizer.tokenize(text))
        prefix = parameters.prefix_tokens
        reference = dataclasses.replace(
            side.reference(),
            splitting=splitting,
            prefix_tokens=coding.window - 1 if prefix is None else prefix,
            thoughts=parameters.thoughts,
        )
        found = cls(side, reference, model)
        if parameters.thoughts is not None:
            crc = found._thoughts_crc(coding, memory_limit)
            thoughts = dataclasses.replace(parameters.thoughts, crc=crc)
            found.reference = dataclasses.replace(reference, thoughts=thoughts)
        return found

    def groups(self, jobs: list[LmJob]) -> list[list[LmJob]]:
        """Jobs that may run in lockstep: later thoughts go by a stream's number in its block."""
        thoughts = self.reference.thoughts
        return [[job] for job in jobs] if thoughts and thoughts.every else [jobs]

    def cache_bytes(self, reference: ModelReference, tokens: int) -> int:
        """Bytes that coding a block of so many tokens takes."""
        return cache_bytes(
            self.engine.config,
            reference,
            tokens,
            primed=len(self.tokens),
            chains=self.engine.chains,
            positions=self.engine.length,
        )

    def _thoughts_crc(self, coding: ModelReference, memory_limit: int) -> int:
        """Think, if there is memory enough for a block at all."""
        if self.engine.cache_memory() is None:
            require_memory(self.cache_bytes(coding, 1), memory_limit)
        return self.engine.thoughts_crc(coding.window, coding.sinks)

    def require_thoughts(self, coding: ModelReference, memory_limit: int) -> None:
        """Raise SideInformationError unless the first thoughts are those of the encoder."""
        thoughts = self.reference.thoughts
        if thoughts is not None and self._thoughts_crc(coding, memory_limit) != thoughts.crc:
            raise SideInformationError(
                "the model did not generate the same tokens as when the archive was made, or the "
                "archive is damaged"
            )
