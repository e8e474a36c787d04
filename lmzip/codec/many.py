"""Many small files at once: archives as `compress_stream` makes them one by one, in lockstep.

A file of a few kilobytes is one stream, and for one stream alone an engine reads all its weights
for every token.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence

from ..errors import LmzipError, MemoryLimitError
from ..format import MAX_SHORT_BYTES, Block, Header, read_header, read_short
from .block_encoder import BlockEncoder
from .classical import best_classical, looks_incompressible
from .compressor import (
    DEFAULT_MEMORY_LIMIT,
    CompressionSummary,
    compress_stream,
    single_archive,
)
from .decompressor import BlockDecoder, decompress_stream
from .model import ModelSource
from .parameters import CodingParameters
from .side import SideInformation, SideParameters
from .work import TimeBudget

__all__ = ["MANY_BYTES", "compress_many", "decompress_many", "gains_by_company"]

MANY_BYTES = MAX_SHORT_BYTES
"""A file of more bytes, or an archive, gains nothing in company."""


def compress_many(
    contents: Sequence[bytes],
    models: ModelSource,
    parameters: CodingParameters | None = None,
    *,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
    side: SideInformation | None = None,
    side_parameters: SideParameters | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[tuple[bytes, CompressionSummary]]:
    """An archive of each of these contents, and what was written.

    `progress(content_bytes)` is called with totals so far. Raises what `compress_stream` does.
    """
    parameters = parameters or CodingParameters()
    done = 0.0

    def advance(content_bytes: float) -> None:
        nonlocal done
        done += content_bytes
        if progress is not None:
            progress(int(done))

    encoder = BlockEncoder(models, parameters, memory_limit, None, advance)
    if side is not None:
        encoder.condition(side, side_parameters or SideParameters())
    made: dict[int, tuple[bytes, CompressionSummary]] = {}
    small = {
        i: data for i, data in enumerate(contents)
        if 0 < len(data) <= min(MANY_BYTES, parameters.block_bytes) and not parameters.solid
        and not parameters.rsyncable
        and not looks_incompressible(data, best_classical(data))  # that needs no model
    }  # fmt: skip
    loads = {i: encoder.load(data) for i, data in small.items()}
    for group in _groups(loads, encoder.room() if small else (0, 0)):
        parts = [small[i] for i in group]
        try:
            coded = encoder.encode(parts, single=True)
        except MemoryLimitError:
            if len(parts) == 1:
                raise
            continue  # too large together: each by itself, below
        for i, data, (block, ideal_bits) in zip(group, parts, coded, strict=True):
            archive = single_archive(encoder, data, block, len(data))
            summary = CompressionSummary(archive_bytes=len(archive))
            summary.count(data, block, ideal_bits)
            summary.side_tokens, summary.prefix_tokens = encoder.side_tokens_read
            made[i] = archive, summary
    for i, data in enumerate(contents):
        if i not in made:
            out = io.BytesIO()
            summary = compress_stream(
                io.BytesIO(data),
                out.write,
                models,
                parameters,
                size_bytes=len(data),
                memory_limit=memory_limit,
                side=side,
                side_parameters=side_parameters,
            )
            made[i] = out.getvalue(), summary
            advance(len(data))
    return [made[i] for i in range(len(contents))]


def _groups(loads: dict[int, tuple[int, int]], most: tuple[int, int]) -> Iterator[list[int]]:
    """Numbers of items whose streams and bytes of cache together are at most those; a greater one
    alone."""
    group: list[int] = []
    streams = memory = 0
    for i, (more, bytes_more) in loads.items():
        if group and (streams + more > most[0] or memory + bytes_more > most[1]):
            yield group
            group, streams, memory = [], 0, 0
        group.append(i)
        streams, memory = streams + more, memory + bytes_more
    if group:
        yield group


def decompress_many(
    archives: Sequence[bytes],
    models: ModelSource,
    *,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
    time_limit: float | None = None,
    side: SideInformation | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[bytes | LmzipError]:
    """The contents of each archive, or what is wrong with it; all in memory.

    `time_limit`, of each, is as in `decompress_stream`. `progress(content_bytes)` is called with
    totals so far.
    """
    done = 0

    def advance(content_bytes: int) -> None:
        nonlocal done
        done += content_bytes
        if progress is not None:
            progress(done)

    alike: dict[bytes, tuple[Header, dict[int, Block]]] = {}
    for i, archive in enumerate(archives):
        found = _single_block(archive)
        if found is not None:
            header, packed, block = found
            alike.setdefault(packed, (header, {}))[1][i] = block
    results: dict[int, bytes | LmzipError] = {}
    for header, blocks in alike.values():
        try:
            decoder = BlockDecoder(
                header,
                models,
                memory_limit=memory_limit,
                time=TimeBudget(time_limit),
                side=side,
                progress=advance,
            )
            loads = {i: decoder.load(block) for i, block in blocks.items()}
            for group in _groups(loads, (decoder.lockstep_streams, decoder.group_bytes)):
                results |= zip(group, decoder.decode([blocks[i] for i in group]), strict=True)
        except LmzipError:
            continue  # one by one, to see whose fault it is
    for i, archive in enumerate(archives):
        if i not in results:
            out = io.BytesIO()
            try:
                decompress_stream(
                    io.BytesIO(archive),
                    out.write,
                    models,
                    memory_limit=memory_limit,
                    time_limit=time_limit,
                    side=side,
                )
                results[i] = out.getvalue()
            except LmzipError as error:
                results[i] = error
            advance(len(out.getvalue()))
    return [results[i] for i in range(len(archives))]


def gains_by_company(archive: bytes) -> bool:
    """Whether an archive decodes faster with others, in bounded memory: it is a short one."""
    return _single_block(archive) is not None


def _single_block(archive: bytes) -> tuple[Header, bytes, Block] | None:
    """The header and the block of a short modelled archive, else None."""
    source = io.BytesIO(archive)
    try:
        found = read_header(source)
        if found is None or found[0].only is None or not found[0].only.modelled:
            return None
        block, _size = read_short(source, *found)
    except LmzipError:
        return None
    return None if source.read(1) else (*found, block)
