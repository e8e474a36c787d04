"""What an archive begins with: four bytes that say what it is, and the sections of its header."""

from __future__ import annotations

import dataclasses
import zlib

from ..errors import CorruptError, FormatError, VersionError
from .block import BlockKind, block_kind
from .fields import ByteSource, Reader, pack_varint, read_some
from .reference import ModelReference
from .side import SideReference

__all__ = ["FORMAT_VERSION", "MAGIC", "Header", "read_header"]

MAGIC = b"\x89LM"
FORMAT_VERSION = 1
_VERSION_SHIFT = 5
_SHORT = 0x10
_MODEL, _SIZE, _SIDE, _SOLID = 1, 2, 4, 8
"""Of an ordinary archive; a short one has the kind of its block in these bits."""
_MAX_SIZE = (1 << 62) - 1


@dataclasses.dataclass(frozen=True)
class Header:
    """What stands before the blocks, or before the lengths of a short archive."""

    model: ModelReference | None = None
    size_bytes: int | None = None
    """Of the contents, if it is known; None in a short archive."""
    side: SideReference | None = None
    """What blocks are coded given, if any are."""
    only: BlockKind | None = None
    """The kind of a short archive's block."""

    @property
    def short(self) -> bool:
        """Whether it is a short archive: one block with as little around it as can be."""
        return self.only is not None

    def parts(self) -> dict[str, bytes]:
        """The header's bytes in order, by what they are for."""
        form = FORMAT_VERSION << _VERSION_SHIFT
        if self.only is None:
            form |= _MODEL * (self.model is not None) | _SIZE * (self.size_bytes is not None)
            form |= _SIDE * (self.side is not None)
            form |= _SOLID * (self.model is not None and self.model.solid)
        else:
            assert self.size_bytes is None
            assert (self.model is not None) == self.only.modelled
            assert (self.side is not None) == self.only.given
            form |= _SHORT | self.only
        parts = {"magic, version and layout": MAGIC + bytes([form])}
        if self.size_bytes is not None:
            parts["size of the contents"] = pack_varint(self.size_bytes)
        if self.model is not None:
            parts["model and how it is used"] = self.model.pack()
        if self.side is not None:
            parts |= self.side.parts(model=self.model is not None)
        if self.only is None:
            crc = zlib.crc32(b"".join(parts.values()))
            parts["checksum of the header"] = crc.to_bytes(4, "little")
        return parts

    def pack(self) -> bytes:
        """The header."""
        return b"".join(self.parts().values())


def read_header(source: ByteSource, *, behind_another: bool = False) -> tuple[Header, bytes] | None:
    """The header at the source's position and its bytes, or None if the source is at its end.

    A short archive's header is verified with its contents. `behind_another` is for the message.

    Raises FormatError if it is no archive, VersionError for a newer one, CorruptError if damaged.
    """
    first = read_some(source, 1)
    if not first:
        return None
    reader = Reader(source, first)
    if first != MAGIC[:1] or reader.bytes(len(MAGIC) - 1) != MAGIC[1:]:
        if behind_another:
            raise FormatError("the data after the end of the archive is not an lmzip archive")
        raise FormatError("not an lmzip archive")
    form = reader.integer(1)
    version, flags = form >> _VERSION_SHIFT, form & 0xF
    if version != FORMAT_VERSION:
        raise VersionError(
            f"the archive has format version {version}; this program reads version {FORMAT_VERSION}"
        )
    if form & _SHORT:
        kind = block_kind(flags)
        model = ModelReference.unpack(reader, solid=False) if kind.modelled else None
        side = SideReference.unpack(reader, model=kind.modelled) if kind.given else None
        return Header(model, None, side, kind), bytes(reader.taken)
    size = reader.varint(_MAX_SIZE, "size of the contents") if flags & _SIZE else None
    solid = bool(flags & _SOLID)
    model = ModelReference.unpack(reader, solid=solid) if flags & _MODEL else None
    side = SideReference.unpack(reader, model=model is not None) if flags & _SIDE else None
    reader.check_crc("the header")
    if solid and (model is None or side is not None):
        raise CorruptError("a solid archive has no model, or has side information")
    return Header(model, size, side), bytes(reader.taken)
