"""Compression levels 1 to 9: a model and how to use it. Decoding needs no level."""

from __future__ import annotations

import dataclasses

from .codec import CodingParameters
from .errors import UsageError

__all__ = ["DEFAULT_LEVEL", "LEVELS", "Level", "level"]

DEFAULT_LEVEL = 3

_SMALL, _LARGE = "lmzip-3m", "smollm2-135m-instruct"


@dataclasses.dataclass(frozen=True)
class Level:
    """What a level stands for."""

    number: int
    model: str
    parameters: CodingParameters


def _level(
    number: int,
    model: str,
    *,
    window: int,
    stream: int,
    at_once: int,
    block_mib: int,
    mixing_bits: int = 18,
) -> Level:
    parameters = CodingParameters(
        window=window,
        stream_tokens=stream,
        streams_at_once=at_once,
        block_bytes=block_mib << 20,
        mixing_bits=mixing_bits,
    )
    return Level(number, model, parameters)


LEVELS = (
    _level(1, _SMALL, window=128, stream=1024, at_once=64, block_mib=4),
    _level(2, _SMALL, window=256, stream=2048, at_once=32, block_mib=8),
    _level(3, _SMALL, window=512, stream=2048, at_once=32, block_mib=16, mixing_bits=19),
    _level(4, _LARGE, window=512, stream=1024, at_once=64, block_mib=2),
    _level(5, _LARGE, window=1024, stream=2048, at_once=32, block_mib=4),
    _level(6, _LARGE, window=1024, stream=4096, at_once=16, block_mib=4),
    _level(7, _LARGE, window=2048, stream=8192, at_once=16, block_mib=8),
    _level(8, _LARGE, window=2048, stream=32768, at_once=8, block_mib=16),
    _level(9, _LARGE, window=2048, stream=1 << 24, at_once=1, block_mib=16, mixing_bits=20),
)
"""The embedded model with growing windows and blocks, then a large one, from many short streams at
once (fast to decode) to a single one per block."""


def level(number: int) -> Level:
    """The level of that number. Raises UsageError if there is none."""
    if not 1 <= number <= len(LEVELS):
        raise UsageError(f"level must be between 1 and {len(LEVELS)}, not {number}")
    return LEVELS[number - 1]
