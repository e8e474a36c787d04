"""The model section of a header: which model, and how it was run."""

from __future__ import annotations

import dataclasses

from ..errors import CorruptError, VersionError
from .fields import Reader, pack_varint

__all__ = [
    "MAX_MIXING_BITS",
    "MAX_SINKS",
    "MAX_STREAMS",
    "MAX_STREAM_TOKENS",
    "MAX_WINDOW",
    "MIN_MIXING_BITS",
    "PARAMETER_SETS",
    "ModelReference",
]

MAX_WINDOW = 1 << 20
MAX_SINKS = 1 << 10
MAX_STREAM_TOKENS = 1 << 24
MAX_STREAMS = 1 << 16
MIN_MIXING_BITS, MAX_MIXING_BITS = 8, 24
_MAX_VERSION = (1 << 30) - 1

PARAMETER_SETS = (
    (1, 128, 4, 1024, 64, 1, 18),
    (1, 256, 4, 2048, 32, 1, 18),
    (1, 512, 4, 2048, 32, 1, 19),
    (1, 512, 4, 1024, 64, 1, 18),
    (1, 1024, 4, 2048, 32, 1, 18),
    (1, 1024, 4, 4096, 16, 1, 18),
    (1, 2048, 4, 8192, 16, 1, 18),
    (1, 2048, 4, 32768, 8, 1, 18),
    (1, 2048, 4, 1 << 24, 1, 1, 20),
    (1, 1024, 4, 4096, 0, 1, 18),
)
"""The fields of a ModelReference from `numerics` to `mixing_bits`, which archives name by a number
from 1: those of the levels, then those of a model without a level. Once an archive with a number is
out in the world, its set stays as it is, and sets are only added."""

_NAMED = 0x80
"""In the byte of the parameter set: a name follows."""


@dataclasses.dataclass(frozen=True)
class ModelReference:
    """The model that an archive's language-model blocks need, and how it was run."""

    identity: bytes
    """The first bytes of the pack's identity."""
    name: str
    """What people call it, or nothing if every lmzip knows; decoding goes by the identity."""
    numerics: int
    window: int
    sinks: int
    stream_tokens: int
    streams_at_once: int = 0
    """Streams that advance in lockstep, 0 for all of a block's."""
    mixing: int = 0
    """Version of adaptive mixing, 0 for none."""
    mixing_bits: int = 0
    """Logarithm of the greatest size of its tables, 0 without mixing."""
    solid: bool = False
    """What one block has said is mixed into the next: blocks decode one behind the other. A flag
    of the header."""

    IDENTITY_BYTES = 4

    def streams(self, tokens: int) -> int:
        """Streams in lockstep, for a block of so many tokens."""
        streams = -(-tokens // self.stream_tokens)
        return min(streams, self.streams_at_once) if self.streams_at_once else streams

    def pack(self) -> bytes:
        """The section; `solid` is not in it."""
        use = dataclasses.astuple(self)[2:-1]
        number = PARAMETER_SETS.index(use) + 1 if use in PARAMETER_SETS else 0
        name = self.name.encode()[:255]
        data = bytes([number | _NAMED * bool(name)]) + self.identity[: self.IDENTITY_BYTES]
        if name:
            data += bytes([len(name)]) + name
        if not number:
            data += b"".join(map(pack_varint, use[:-1]))
            data += bytes([self.mixing_bits]) if self.mixing else b""
        return data

    @classmethod
    def unpack(cls, reader: Reader, *, solid: bool) -> ModelReference:
        """The section at the reader's position. Raises CorruptError, VersionError."""
        first = reader.integer(1)
        identity = reader.bytes(cls.IDENTITY_BYTES)
        name = ""
        if first & _NAMED:
            name = reader.bytes(reader.integer(1)).decode("utf-8", "replace")
        number = first & ~_NAMED
        if number > len(PARAMETER_SETS):
            raise VersionError(
                f"the archive uses parameter set {number}; this program knows 1 to "
                f"{len(PARAMETER_SETS)}"
            )
        use = PARAMETER_SETS[number - 1] if number else _unpack_use(reader)
        model = cls(identity, name, *use, solid=solid)
        if solid and not (model.streams_at_once and model.mixing):
            raise CorruptError("the header of a solid archive lacks mixing or a number of streams")
        return model


def _unpack_use(reader: Reader) -> tuple[int, int, int, int, int, int, int]:
    """The fields that stand for themselves."""
    numerics = reader.varint(_MAX_VERSION, "arithmetic version")
    window = reader.varint(MAX_WINDOW, "window")
    sinks = reader.varint(MAX_SINKS, "sinks")
    stream_tokens = reader.varint(MAX_STREAM_TOKENS, "stream length")
    at_once = reader.varint(MAX_STREAMS, "number of streams")
    mixing = reader.varint(_MAX_VERSION, "mixing version")
    bits = reader.integer(1) if mixing else 0
    if window < 1 or stream_tokens < 1:
        raise CorruptError("the header's window or stream length is zero")
    if mixing and not MIN_MIXING_BITS <= bits <= MAX_MIXING_BITS:
        raise CorruptError("the header's mixing tables have an impossible size")
    return numerics, window, sinks, stream_tokens, at_once, mixing, bits
