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
_SPLITTING_SHIFT, _THOUGHTS = 2, 0x10
"""In the first byte: where from, the rule of splitting, whether there are thoughts."""


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
        numbers = self.tokens, self.chains, self.temperature, self.seed, self.every
        return b"".join(
            (
                *map(pack_varint, numbers),
                pack_varint(len(self.before)) + self.before,
                pack_varint(len(self.behind)) + self.behind,
                self.crc.to_bytes(4, "little"),
            )
        )

    @classmethod
    def unpack(cls, reader: Reader) -> Thoughts:
        tokens = reader.varint(MAX_THOUGHT_TOKENS, "number of generated tokens")
        chains = reader.varint(MAX_CHAINS, "number of chains")
        temperature = reader.varint(MAX_TEMPERATURE, "temperature")
        seed = reader.varint(MAX_SEED, "seed")
        every = reader.varint(MAX_EVERY, "interval between generated tokens")
        before = reader.bytes(reader.varint(MAX_PROMPT_BYTES, "length of a prompt"))
        behind = reader.bytes(reader.varint(MAX_PROMPT_BYTES, "length of a prompt"))
        if tokens < 1 or chains < 1:
            raise CorruptError("the header's number of generated tokens or of chains is zero")
        crc = reader.integer(4)
        return cls(tokens, chains, temperature, seed, every, before, behind, crc)


@dataclasses.dataclass(frozen=True)
class SideReference:
    """What a header says of side information. Without a model only dictionaries use it."""

    source: SideSource
    length_bytes: int = 0
    """Of what is given."""
    digest: bytes = b""
    """Its BLAKE2b hash, of 4 bytes."""
    splitting: int = 0
    """The rule by which it is cut into pieces."""
    prefix_tokens: int = 0
    """How many of its last tokens streams begin with, at most."""
    thoughts: Thoughts | None = None

    DIGEST_BYTES = 4

    def parts(self, *, model: bool) -> dict[str, bytes]:
        """The section's bytes in order, by what they are for; `model`: there is a model section."""
        first = self.source | (self.splitting << _SPLITTING_SHIFT if model else 0)
        thoughts = self.thoughts if model else None
        data = bytes([first | _THOUGHTS * (thoughts is not None)])
        if self.source == SideSource.GIVEN:
            data += pack_varint(self.length_bytes) + self.digest
        parts = {"side information: where from, length, hash": data}
        if model:
            parts["side information: prefix"] = pack_varint(self.prefix_tokens)
        if thoughts is not None:
            parts["generated tokens: recipe and checksum"] = thoughts.pack()
        return parts

    def pack(self, *, model: bool) -> bytes:
        """The section."""
        return b"".join(self.parts(model=model).values())

    @classmethod
    def unpack(cls, reader: Reader, *, model: bool) -> SideReference:
        """The section at the reader's position. Raises CorruptError."""
        first = reader.integer(1)
        source = first & ((1 << _SPLITTING_SHIFT) - 1)
        splitting = (first & (_THOUGHTS - 1)) >> _SPLITTING_SHIFT
        if source not in set(SideSource) or first >= 2 * _THOUGHTS:
            raise CorruptError(f"side information has the unknown kind {first}")
        length, digest = 0, b""
        if source == SideSource.GIVEN:
            length = reader.varint(_MAX_LENGTH, "length of the side information")
            if length < 1:
                raise CorruptError("the header's side information is empty")
            digest = reader.bytes(cls.DIGEST_BYTES)
        if not model:
            if first != source:
                raise CorruptError("side information without a model has a splitting rule")
            return cls(SideSource(source), length, digest)
        if not 1 <= splitting <= MAX_SPLITTING:
            raise CorruptError(f"the header's splitting rule {splitting} is unknown")
        prefix = reader.varint(MAX_PREFIX_TOKENS, "prefix length")
        thoughts = Thoughts.unpack(reader) if first & _THOUGHTS else None
        return cls(SideSource(source), length, digest, splitting, prefix, thoughts)
