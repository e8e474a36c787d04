"""Headers, blocks and trailer of an archive, packed and unpacked as FORMAT.md says."""

from __future__ import annotations

import dataclasses
import enum
import zlib

from ..errors import CorruptError, FormatError, VersionError
from .fields import ByteSource, Reader, pack_varint, read_some
from .side import SideReference

__all__ = [
    "END_MAGIC",
    "FORMAT_VERSION",
    "MAGIC",
    "MAX_BLOCK_BYTES",
    "MAX_MIXING_BITS",
    "MAX_STREAMS",
    "MAX_STREAM_TOKENS",
    "MAX_WINDOW",
    "MIN_MIXING_BITS",
    "Block",
    "BlockKind",
    "Header",
    "ModelReference",
    "Trailer",
    "content_crc",
    "read_block_or_trailer",
    "read_header",
]

MAGIC = b"\x89LMZ"
END_MAGIC = b"ZML\x89"
SHORT_END_MAGIC = b"M\x89"
COMPACT_END_MAGIC = b"Z\x89"
FORMAT_VERSION = 2
"""What is written but for archives with a side section; those of version 1 are read too."""
LATEST_FORMAT_VERSION = 3
"""Of archives with a side section, and of short ones."""

MAX_BLOCK_BYTES = 1 << 24
MAX_SHORT_BYTES = 1 << 16
"""Contents up to which an archive may be a short one."""
MAX_WINDOW = 1 << 20
MAX_SINKS = 1 << 10
MAX_STREAM_TOKENS = 1 << 24
MAX_STREAMS = 1 << 16
_MAX_SIZE = (1 << 62) - 1
_MAX_HEADER_BYTES = 1 << 16
MIN_MIXING_BITS, MAX_MIXING_BITS = 8, 24
MAX_BLOCKS = 1 << 40
_MAX_BLOCK_TOTAL = MAX_BLOCK_BYTES + 64

_FLAG_MODEL, _FLAG_SIZE, _FLAG_SHORT, _FLAG_SIDE = 1, 2, 4, 8
_FLAGS = {
    1: _FLAG_MODEL | _FLAG_SIZE,
    2: _FLAG_MODEL | _FLAG_SIZE | _FLAG_SHORT,
    3: _FLAG_MODEL | _FLAG_SIZE | _FLAG_SHORT | _FLAG_SIDE,
}
"""Those that each version knows."""
_SOLID = 0x80
"""In the byte of the mixing bits."""


class BlockKind(enum.IntEnum):
    """How a block's payload holds its bytes; 0 marks the trailer."""

    STORED = 1
    ZSTD = 2
    LM = 3
    MIXED = 4
    """By the language model, with adaptive mixing."""
    GIVEN_ZSTD = 5
    """As the three before, given the side information."""
    GIVEN_LM = 6
    GIVEN_MIXED = 7

    @property
    def modelled(self) -> bool:
        """Whether it takes the model to decode it."""
        return self in (
            BlockKind.LM, BlockKind.MIXED, BlockKind.GIVEN_LM, BlockKind.GIVEN_MIXED
        )  # fmt: skip

    @property
    def mixed(self) -> bool:
        """Whether the model's predictions are mixed with what the block has said."""
        return self in (BlockKind.MIXED, BlockKind.GIVEN_MIXED)

    @property
    def given(self) -> bool:
        """Whether it takes the side information to decode it."""
        return self >= BlockKind.GIVEN_ZSTD


def block_kind(number: int) -> BlockKind:
    """The kind of that number. Raises CorruptError."""
    try:
        return BlockKind(number)
    except ValueError:
        raise CorruptError(f"block of unknown kind {number}") from None


_TRAILER_KIND, _SHORT_TRAILER_KIND = 0, 0x80


def content_crc(data: bytes, seed: int = 0) -> int:
    """CRC-32 (the one of zlib) of a block's decoded bytes, behind others that `seed` is that of."""
    return zlib.crc32(data, seed)


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
    """Logarithm of the greatest number of nodes in its tables."""
    solid: bool = False
    """What one block has said is mixed into the next: blocks decode one behind the other."""

    IDENTITY_BYTES = 8
    SHORT_IDENTITY_BYTES = 4

    def pack(self) -> bytes:
        """As it stands in an archive that is not a short one."""
        name = self.name.encode()[:255]
        named = self.identity[: self.IDENTITY_BYTES] + bytes([len(name)]) + name
        numerics, rest = self._fields()
        return numerics + named + rest

    def pack_short(self) -> bytes:
        """As it stands in a short archive."""
        name = self.name.encode()[:255]
        named = self.identity[: self.SHORT_IDENTITY_BYTES] + bytes([len(name)]) + name
        profile = dataclasses.astuple(self)[2:]
        if profile in PROFILES:
            return bytes([PROFILES.index(profile) + 1]) + named
        return b"\0" + named + b"".join(self._fields())

    def _fields(self) -> tuple[bytes, bytes]:
        """The version of the arithmetic, and all the other fields."""
        mixing = pack_varint(self.mixing)
        if self.mixing:
            mixing += bytes([self.mixing_bits | (_SOLID if self.solid else 0)])
        rest = self.window, self.sinks, self.stream_tokens, self.streams_at_once
        return pack_varint(self.numerics), b"".join(map(pack_varint, rest)) + mixing

    def streams(self, tokens: int) -> int:
        """Streams in lockstep, for a block of so many tokens."""
        streams = -(-tokens // self.stream_tokens)
        return min(streams, self.streams_at_once) if self.streams_at_once else streams

    @classmethod
    def unpack(cls, reader: Reader, version: int) -> ModelReference:
        numerics = reader.varint(1 << 30, "arithmetic version")
        # Version 1 had twice as many, and the beginning of the token table's hash.
        identity = reader.bytes(cls.IDENTITY_BYTES if version > 1 else 24)[:16]
        name = reader.bytes(reader.integer(1)).decode("utf-8", "replace")
        return cls(identity, name, numerics, *_unpack_use(reader, version))

    @classmethod
    def unpack_short(cls, reader: Reader) -> ModelReference:
        profile = reader.integer(1)
        identity = reader.bytes(cls.SHORT_IDENTITY_BYTES)
        name = reader.bytes(reader.integer(1)).decode("utf-8", "replace")
        if profile > len(PROFILES):
            raise VersionError("the archive uses a profile that this program does not know")
        if profile:
            return cls(identity, name, *PROFILES[profile - 1])
        numerics = reader.varint(1 << 30, "arithmetic version")
        return cls(identity, name, numerics, *_unpack_use(reader, LATEST_FORMAT_VERSION))


def _unpack_use(reader: Reader, version: int) -> tuple[int, int, int, int, int, int, bool]:
    """The fields from the window on."""
    window = reader.varint(MAX_WINDOW, "window")
    sinks = reader.varint(MAX_SINKS, "sinks")
    stream_tokens = reader.varint(MAX_STREAM_TOKENS, "stream length")
    at_once = reader.varint(MAX_STREAMS, "number of streams") if version > 1 else 0
    mixing = reader.varint(1 << 30, "mixing version") if version > 1 else 0
    bits = reader.integer(1) if mixing else 0
    return window, sinks, stream_tokens, at_once, mixing, bits & ~_SOLID, bits & _SOLID > 0


PROFILES = (
    (1, 128, 4, 1024, 64, 1, 18, False),
    (1, 256, 4, 2048, 32, 1, 18, False),
    (1, 512, 4, 2048, 32, 1, 19, False),
    (1, 512, 4, 1024, 64, 1, 18, False),
    (1, 1024, 4, 2048, 32, 1, 18, False),
    (1, 1024, 4, 4096, 16, 1, 18, False),
    (1, 2048, 4, 8192, 16, 1, 18, False),
    (1, 2048, 4, 32768, 8, 1, 18, False),
    (1, 2048, 4, 1 << 24, 1, 1, 20, False),
)
"""From `numerics` on, what short archives name by a number, from 1. Only ever added to."""


@dataclasses.dataclass(frozen=True)
class Header:
    """What stands before the blocks."""

    model: ModelReference | None = None
    size_bytes: int | None = None
    short: bool = False
    """All that follows is one block and a few bytes; see `compact`."""
    side: SideReference | None = None
    """What blocks are coded given, if any are."""
    version: int = dataclasses.field(default=LATEST_FORMAT_VERSION, compare=False)
    """That it was read from."""

    @property
    def compact(self) -> bool:
        """Whether it is a short archive of the latest kind."""
        return self.short and self.version == LATEST_FORMAT_VERSION

    def pack(self) -> bytes:
        assert not (self.short and self.size_bytes is not None)
        flags = _FLAG_MODEL * (self.model is not None) | _FLAG_SIZE * (self.size_bytes is not None)
        flags |= _FLAG_SHORT * self.short | _FLAG_SIDE * (self.side is not None)
        version = LATEST_FORMAT_VERSION if self.side or self.short else FORMAT_VERSION
        data = MAGIC + bytes([version, flags])
        if self.size_bytes is not None:
            data += pack_varint(self.size_bytes)
        if self.model is not None:
            data += self.model.pack_short() if self.short else self.model.pack()
        if self.side is not None:
            data += self.side.pack(model=self.model is not None, short=self.short)
        if self.short:
            return data
        return data + zlib.crc32(data).to_bytes(4, "little")


@dataclasses.dataclass(frozen=True)
class Block:
    """One block: it decodes without any other, unless the archive is solid."""

    kind: BlockKind
    content_bytes: int
    content_crc: int
    payload: bytes
    tokens: int = 0
    """Tokens in a block coded by a model; 0 otherwise."""
    crc_seed: int = 0
    """What the checksum of the decoded bytes goes on from."""

    def pack(self, header: bytes = b"") -> bytes:
        """`header`: that of a short archive, whose only block this is."""
        data = bytes([self.kind]) + pack_varint(self.content_bytes)
        data += pack_varint(len(self.payload))
        if self.kind.modelled:
            data += pack_varint(self.tokens)
        data += self.content_crc.to_bytes(4, "little")
        crc = zlib.crc32(self.payload, zlib.crc32(data, zlib.crc32(header)))
        return data + crc.to_bytes(4, "little") + self.payload


@dataclasses.dataclass(frozen=True)
class Trailer:
    """The index and the checksum of the whole contents, behind the blocks."""

    header_bytes: int
    blocks: tuple[tuple[int, int], ...]
    """(decoded bytes, bytes in the archive) of every block."""
    content_hash: bytes
    """BLAKE2b of all decoded bytes, 8 bytes long; empty in a short archive."""
    compact: bool = False
    """A short archive of the latest kind: the index is not written, but what follows from it."""

    HASH_BYTES = 8
    TAIL_BYTES = 8
    SHORT_TAIL_BYTES = 3

    @property
    def short(self) -> bool:
        return not self.content_hash

    @property
    def content_bytes(self) -> int:
        return sum(content for content, _ in self.blocks)

    @property
    def frame_bytes(self) -> int:
        """Bytes of the whole archive that this trailer ends."""
        return self.header_bytes + sum(total for _, total in self.blocks) + len(self.pack())

    def pack(self) -> bytes:
        if self.compact:
            (_content, total), mark = self.blocks[0], COMPACT_END_MAGIC
            return (self.header_bytes + total).to_bytes(2, "little") + mark
        if self.short:
            ((content, total),) = self.blocks
            data = bytes([_SHORT_TRAILER_KIND]) + pack_varint(self.header_bytes)
            data += pack_varint(content) + pack_varint(total)
            data += (zlib.crc32(data) & 0xFFFF).to_bytes(2, "little")
            return data + bytes([len(data)]) + SHORT_END_MAGIC
        data = bytes([_TRAILER_KIND]) + pack_varint(self.header_bytes)
        data += pack_varint(len(self.blocks))
        for content, total in self.blocks:
            data += pack_varint(content) + pack_varint(total)
        data += self.content_hash
        data += zlib.crc32(data).to_bytes(4, "little")
        return data + len(data).to_bytes(4, "little") + END_MAGIC

    @classmethod
    def unpack_short(cls, reader: Reader) -> Trailer:
        """A short archive's trailer behind its kind byte, which `reader` has taken already."""
        header_bytes = reader.varint(_MAX_HEADER_BYTES, "header length")
        content = reader.varint(MAX_SHORT_BYTES, "block length")
        total = reader.varint(_MAX_BLOCK_TOTAL, "block length")
        expected = zlib.crc32(reader.taken) & 0xFFFF
        if reader.integer(2) != expected:
            raise CorruptError("the index is damaged (checksum mismatch)")
        length = len(reader.taken)
        if reader.integer(1) != length or reader.bytes(2) != SHORT_END_MAGIC:
            raise CorruptError("the end mark is damaged")
        return cls(header_bytes, ((content, total),), b"")

    @classmethod
    def unpack(cls, reader: Reader, max_blocks: int) -> Trailer:
        """The trailer behind its kind byte, which `reader` has taken already."""
        header_bytes = reader.varint(_MAX_HEADER_BYTES, "header length")
        count = reader.varint(max_blocks, "number of blocks")
        blocks = []
        for _ in range(count):
            content = reader.varint(MAX_BLOCK_BYTES, "block length")
            blocks.append((content, reader.varint(_MAX_BLOCK_TOTAL, "block length")))
        content_hash = reader.bytes(cls.HASH_BYTES)
        _check_crc(reader, "the index")
        length = len(reader.taken)
        if reader.integer(4) != length or reader.bytes(4) != END_MAGIC:
            raise CorruptError("the end mark is damaged")
        return cls(header_bytes, tuple(blocks), content_hash)


def _check_crc(reader: Reader, what: str) -> None:
    expected = zlib.crc32(reader.taken)
    if reader.integer(4) != expected:
        raise CorruptError(f"{what} is damaged (checksum mismatch)")


def read_header(source: ByteSource, *, behind_another: bool = False) -> tuple[Header, bytes] | None:
    """The header at the source's position and its bytes, or None if the source is at its end.

    A short archive's header is verified with its block. `behind_another` is for the message.

    Raises FormatError if it is no archive, VersionError for a newer one, CorruptError if damaged.
    """
    first = read_some(source, 1)
    if not first:
        return None
    reader = Reader(source, first)
    if first != MAGIC[:1] or reader.bytes(len(MAGIC) - 1) != MAGIC[1:]:
        if behind_another:
            raise FormatError("what stands behind the archive's end is not an lmzip archive")
        raise FormatError("not an lmzip archive")
    version, flags = reader.integer(1), reader.integer(1)
    if version not in _FLAGS:
        raise VersionError(
            f"the archive is of format version {version}; this program reads 1 to {max(_FLAGS)}"
        )
    short = bool(flags & _FLAG_SHORT)
    if flags & ~_FLAGS[version] or (short and flags & _FLAG_SIZE):
        raise VersionError("the archive uses a feature that this program does not know")
    size = reader.varint(_MAX_SIZE, "original size") if flags & _FLAG_SIZE else None
    model, side = None, None
    if flags & _FLAG_MODEL:
        compact = short and version == LATEST_FORMAT_VERSION
        model = ModelReference.unpack_short(reader) if compact else None
        model = model or ModelReference.unpack(reader, version)
    if flags & _FLAG_SIDE:
        side = SideReference.unpack(reader, model=model is not None, short=short)
    if not short:
        _check_crc(reader, "the header")
    if model is not None and (model.window < 1 or model.stream_tokens < 1):
        raise CorruptError("the header's window or stream length is zero")
    if (
        model is not None
        and model.mixing
        and not MIN_MIXING_BITS <= model.mixing_bits <= MAX_MIXING_BITS
    ):
        raise CorruptError("the header's mixing tables have an impossible size")
    if model is not None and model.solid and not model.streams_at_once:
        raise CorruptError("the header of a solid archive has no number of streams")
    if model is not None and model.solid and side is not None:
        raise CorruptError("the header is of a solid archive with side information")
    return Header(model, size, short, side, version), bytes(reader.taken)


def read_block_or_trailer(
    source: ByteSource, max_blocks: int = MAX_BLOCKS, header: bytes = b""
) -> tuple[Block, int] | tuple[Trailer, int]:
    """The next block or the trailer, and how many bytes it took; checksums are verified.

    The block's decoded bytes are not: that is for whoever decodes it. A trailer that claims more
    than `max_blocks` blocks is refused before its index is read. `header`: that of a short archive,
    which its block's checksum covers.
    """
    reader = Reader(source)
    first = reader.integer(1)
    if first == _TRAILER_KIND:
        return Trailer.unpack(reader, max_blocks), len(reader.taken)
    if first == _SHORT_TRAILER_KIND:
        return Trailer.unpack_short(reader), len(reader.taken)
    kind = block_kind(first)
    content_bytes = reader.varint(MAX_BLOCK_BYTES, "block length")
    # A block is never longer than its contents: stored is always an alternative.
    payload_bytes = reader.varint(content_bytes, "payload length")
    tokens = 0
    if kind.modelled:
        tokens = reader.varint(content_bytes, "number of tokens")
    crc = reader.integer(4)
    expected = zlib.crc32(reader.taken, zlib.crc32(header))
    stored = reader.integer(4)
    before = len(reader.taken)
    payload = reader.bytes(payload_bytes)
    if zlib.crc32(payload, expected) != stored:
        raise CorruptError("a block is damaged (checksum mismatch)")
    if content_bytes == 0 or (kind.modelled and tokens == 0):
        raise CorruptError("a block is empty")
    if kind == BlockKind.STORED and payload_bytes != content_bytes:
        raise CorruptError("a stored block has a wrong length")
    return Block(kind, content_bytes, crc, payload, tokens), before + payload_bytes
