"""The side section of a header: what a decoder knows besides the archive, and how it is used."""

from __future__ import annotations

import dataclasses
import enum

from ..errors import CorruptError
from .fields import Reader, pack_varint

__all__ = [
    "MAX_CHAINS",
    "MAX_PREFIX_TOKENS",
    "MAX_PROMPT_BYTES",
    "MAX_SEED",
    "MAX_TEMPERATURE",
    "MAX_THOUGHT_TOKENS",
    "SideReference",
    "SideSource",
    "Thoughts",
]

MAX_PREFIX_TOKENS = 1 << 20
MAX_THOUGHT_TOKENS = 1 << 16
MAX_CHAINS = 256
MAX_TEMPERATURE = 16
MAX_SEED = (1 << 62) - 1
MAX_EVERY = 1 << 24
MAX_PROMPT_BYTES = 1 << 14
MAX_SPLITTING = 2
_MAX_LENGTH = (1 << 62) - 1


class SideSource(enum.IntEnum):
    """Where side information comes from."""

    NOWHERE = 0
    """There is none; the model thinks all the same."""
    BEFORE = 1
    """The contents of the archives before this one in the file."""
    GIVEN = 2
    """Whoever decodes has it."""


@dataclasses.dataclass(frozen=True)
class Thoughts:
    """Tokens that the model draws for itself before it reads on, and that nobody codes."""

    tokens: int
    """Of each thought."""
    chains: int = 1
    """Each thinks for itself; their predictions are mixed."""
    temperature: int = 1
    """m: at a temperature of 1/m; 0: the likeliest digit, always."""
    seed: int = 0
    every: int = 0
    """Think again behind so many tokens; 0: only before the first."""
    before: bytes = b""
    """The text before a thought."""
    behind: bytes = b""
    """The text behind it."""
    crc: int = 0
    """CRC-32 of the first thoughts of all chains."""

    def pack(self) -> bytes:
        numbers = self.chains, self.temperature, self.seed, self.every
        return b"".join(
            (
                *map(pack_varint, numbers),
                pack_varint(len(self.before)) + self.before,
                pack_varint(len(self.behind)) + self.behind,
                self.crc.to_bytes(4, "little"),
            )
        )

    @classmethod
    def unpack(cls, reader: Reader, tokens: int) -> Thoughts:
        chains = reader.varint(MAX_CHAINS, "number of chains")
        temperature = reader.varint(MAX_TEMPERATURE, "temperature")
        seed = reader.varint(MAX_SEED, "seed")
        every = reader.varint(MAX_EVERY, "distance of thoughts")
        before = reader.bytes(reader.varint(MAX_PROMPT_BYTES, "length of a prompt"))
        behind = reader.bytes(reader.varint(MAX_PROMPT_BYTES, "length of a prompt"))
        if chains < 1:
            raise CorruptError("the header's number of chains is zero")
        crc = reader.integer(4)
        return cls(tokens, chains, temperature, seed, every, before, behind, crc)


@dataclasses.dataclass(frozen=True)
class SideReference:
    """What a header says of side information. Without a model only dictionaries use it."""

    source: SideSource
    length_bytes: int = 0
    """Of what is given."""
    digest: bytes = b""
    """The first bytes of its BLAKE2b hash (of 8 bytes)."""
    splitting: int = 0
    """The rule by which it is cut into pieces."""
    prefix_tokens: int = 0
    """How many of its last tokens streams begin with, at most."""
    thoughts: Thoughts | None = None

    DIGEST_BYTES = 8
    SHORT_DIGEST_BYTES = 2

    def pack(self, *, model: bool, short: bool) -> bytes:
        data = bytes([self.source])
        if self.source == SideSource.GIVEN:
            size = self.SHORT_DIGEST_BYTES if short else self.DIGEST_BYTES
            data += pack_varint(self.length_bytes) + self.digest[:size]
        if model:
            data += pack_varint(self.splitting) + pack_varint(self.prefix_tokens)
            data += pack_varint(self.thoughts.tokens if self.thoughts else 0)
            data += self.thoughts.pack() if self.thoughts else b""
        return data

    @classmethod
    def unpack(cls, reader: Reader, *, model: bool, short: bool) -> SideReference:
        source = reader.integer(1)
        if source not in set(SideSource):
            raise CorruptError(f"side information of unknown kind {source}")
        length, digest = 0, b""
        if source == SideSource.GIVEN:
            length = reader.varint(_MAX_LENGTH, "length of the side information")
            if length < 1:
                raise CorruptError("the header's side information is empty")
            digest = reader.bytes(cls.SHORT_DIGEST_BYTES if short else cls.DIGEST_BYTES)
        if not model:
            return cls(SideSource(source), length, digest)
        splitting = reader.varint(MAX_SPLITTING, "rule of splitting")
        if splitting < 1:
            raise CorruptError("the header's rule of splitting is zero")
        prefix = reader.varint(MAX_PREFIX_TOKENS, "prefix length")
        tokens = reader.varint(MAX_THOUGHT_TOKENS, "length of a thought")
        thoughts = Thoughts.unpack(reader, tokens) if tokens else None
        return cls(SideSource(source), length, digest, splitting, prefix, thoughts)
