"""The bytes of an archive (FORMAT.md): headers, blocks, index."""

from .block import (
    MAX_BLOCK_BYTES,
    MAX_SHORT_BYTES,
    Block,
    BlockHead,
    BlockKind,
    block_kind,
    content_crc,
)
from .header import FORMAT_VERSION, MAGIC, Header, read_header
from .reference import (
    MAX_MIXING_BITS,
    MAX_SINKS,
    MAX_STREAM_TOKENS,
    MAX_STREAMS,
    MAX_WINDOW,
    MIN_MIXING_BITS,
    PARAMETER_SETS,
    ModelReference,
)
from .scan import ArchiveMap, map_archives, read_head
from .short import pack_short, read_short, short_bytes
from .side import MAX_PROMPT_BYTES, SideReference, SideSource, Thoughts
from .trailer import Trailer, read_block_or_trailer

__all__ = [
    "FORMAT_VERSION",
    "MAGIC",
    "MAX_BLOCK_BYTES",
    "MAX_MIXING_BITS",
    "MAX_PROMPT_BYTES",
    "MAX_SHORT_BYTES",
    "MAX_SINKS",
    "MAX_STREAMS",
    "MAX_STREAM_TOKENS",
    "MAX_WINDOW",
    "MIN_MIXING_BITS",
    "PARAMETER_SETS",
    "ArchiveMap",
    "Block",
    "BlockHead",
    "BlockKind",
    "Header",
    "ModelReference",
    "SideReference",
    "SideSource",
    "Thoughts",
    "Trailer",
    "block_kind",
    "content_crc",
    "map_archives",
    "pack_short",
    "read_block_or_trailer",
    "read_head",
    "read_header",
    "read_short",
    "short_bytes",
]
