"""The bytes of an archive (FORMAT.md): headers, blocks, index."""

from .archive import (
    FORMAT_VERSION,
    MAGIC,
    MAX_BLOCK_BYTES,
    MAX_SHORT_BYTES,
    MAX_STREAM_TOKENS,
    MAX_STREAMS,
    MAX_WINDOW,
    Block,
    BlockKind,
    Header,
    ModelReference,
    Trailer,
    content_crc,
    read_block_or_trailer,
    read_header,
)

__all__ = [
    "FORMAT_VERSION",
    "MAGIC",
    "MAX_BLOCK_BYTES",
    "MAX_SHORT_BYTES",
    "MAX_STREAMS",
    "MAX_STREAM_TOKENS",
    "MAX_WINDOW",
    "Block",
    "BlockKind",
    "Header",
    "ModelReference",
    "Trailer",
    "content_crc",
    "read_block_or_trailer",
    "read_header",
]
