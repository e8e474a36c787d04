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
    number: int, model: str, window: int, stream_tokens: int, block_kib: int, mixing_bits: int = 18
) -> Level:
    parameters = CodingParameters(
        window=window,
        stream_tokens=stream_tokens,
        block_bytes=block_kib << 10,
        mixing_bits=mixing_bits,
    )
    return Level(number, model, parameters)


LEVELS = (
    _level(1, _SMALL, 128, 1024, 2048, 17),
    _level(2, _SMALL, 256, 2048, 4096),
    _level(3, _SMALL, 512, 4096, 8192, 19),
    _level(4, _LARGE, 512, 1024, 128),
    _level(5, _LARGE, 1024, 2048, 256),
    _level(6, _LARGE, 1024, 4096, 512),
    _level(7, _LARGE, 2048, 8192, 1024),
    _level(8, _LARGE, 2048, 32768, 4096),
    _level(9, _LARGE, 2048, 1 << 24, 16384, 20),
)
"""The embedded model with growing windows and blocks, then a large one, from short streams (fast to
decode: they advance together) to a single one per block."""


def level(number: int) -> Level:
    """The level of that number. Raises UsageError if there is none."""
    if not 1 <= number <= len(LEVELS):
        raise UsageError(f"level must be between 1 and {len(LEVELS)}, not {number}")
    return LEVELS[number - 1]
