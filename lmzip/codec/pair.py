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

__all__ = ["read_pair", "split_pair", "write_pair"]


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


def split_pair(
    archive: bytes,
    write_first: Callable[[bytes], object],
    write_second: Callable[[bytes], object],
    models: ModelSource,
    *,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
    time_limit: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[int, int]:
    """Write both contents of a file of two archives; their lengths in bytes.

    `progress` is called with the bytes decoded so far, and those that there will be. Raises
    FormatError if it is no such file, and all that `decompress_stream` does: on an error the caller
    discards what was written.
    """
    index = ArchiveIndex(io.BytesIO(archive))
    if len(index.archives) != 2:
        raise FormatError(f"not a pair: the file holds {len(index.archives)} archive(s)")
    left = index.archives[0].content_bytes

    def write(data: bytes) -> None:
        nonlocal left
        first = data[:left]
        left -= len(first)
        write_first(first)
        write_second(data[len(first) :])

    total = index.content_bytes
    decompress_stream(
        io.BytesIO(archive),
        write,
        models,
        memory_limit=memory_limit,
        time_limit=time_limit,
        progress=None if progress is None else lambda done: progress(done, total),
    )
    return index.archives[0].content_bytes, index.archives[1].content_bytes


def read_pair(
    archive: bytes,
    models: ModelSource,
    *,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
    time_limit: float | None = None,
) -> tuple[bytes, bytes]:
    """Both contents of a file of two archives. Raises FormatError if it is no such file."""
    first, second = io.BytesIO(), io.BytesIO()
    split_pair(
        archive, first.write, second.write, models,
        memory_limit=memory_limit, time_limit=time_limit,
    )  # fmt: skip
    return first.getvalue(), second.getvalue()
