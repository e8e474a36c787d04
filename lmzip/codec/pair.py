"""Two contents in one file: the second coded given the first."""

from __future__ import annotations

import io
from collections.abc import Callable

from ..errors import FormatError
from .compressor import DEFAULT_MEMORY_LIMIT, CompressionSummary, compress_stream
from .decompressor import decompress_stream
from .model import ModelSource
from .parameters import CodingParameters
from .random_access import ArchiveIndex
from .side import SideInformation, SideParameters

__all__ = ["read_pair", "write_pair"]


def write_pair(
    first: bytes,
    second: bytes,
    write: Callable[[bytes], object],
    models: ModelSource,
    parameters: CodingParameters | None = None,
    *,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
    side_parameters: SideParameters | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[CompressionSummary, CompressionSummary]:
    """Write two archives one behind the other; what was written of each.

    `progress` is called as by `compress_stream`, for one after the other.
    """
    summaries = []
    for data, side in ((first, None), (second, SideInformation.before(first) if first else None)):
        summaries.append(
            compress_stream(
                io.BytesIO(data),
                write,
                models,
                parameters,
                size_bytes=len(data),
                memory_limit=memory_limit,
                side=side,
                side_parameters=side_parameters,
                progress=progress,
            )
        )
    return summaries[0], summaries[1]


def read_pair(
    archive: bytes,
    models: ModelSource,
    *,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
    time_limit: float | None = None,
) -> tuple[bytes, bytes]:
    """Both contents of a file of two archives. Raises FormatError if it is no such file."""
    index = ArchiveIndex(io.BytesIO(archive))
    if len(index.archives) != 2:
        raise FormatError(f"not a pair: the file holds {len(index.archives)} archive(s)")
    out = io.BytesIO()
    decompress_stream(
        io.BytesIO(archive), out.write, models, memory_limit=memory_limit, time_limit=time_limit
    )
    data, cut = out.getvalue(), index.archives[0].content_bytes
    return data[:cut], data[cut:]
