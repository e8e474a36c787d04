"""The functions of mixing that are tables, and the hash (NUMERICS.md, section 13, "Tables")."""

from __future__ import annotations

import math

__all__ = [
    "LOGIT_LIMIT",
    "RATES",
    "SQUASH",
    "STRETCH",
    "finish",
    "fold",
    "hash_token",
    "squash",
    "stretch",
]

LOGIT_LIMIT = 2047
"""Of numbers in the logistic domain, in units of 1/128."""

_UNIT = 128
_MASK64 = (1 << 64) - 1

# No entry is near the middle between two integers (tests/test_mix.py looks), so that the last bit
# of a library's logarithm does not matter.
STRETCH = [round(_UNIT * math.log((i + 0.5) / (4095.5 - i))) for i in range(4096)]
SQUASH = [
    min(max(round((1 << 24) / (1 + math.exp((2048 - i) / _UNIT))), 64), (1 << 24) - 64)
    for i in range(4096)
]
RATES = [131072 // (2 * n + 3) for n in range(1024)]
"""How far a probability that has learned n bits moves towards the next one, in units of 2**-16."""


def stretch(p: int) -> int:
    """ln(p / (1 - p)) in units of 1/128, of a probability in units of 2**-16."""
    return STRETCH[p >> 4]


def squash(x: int) -> int:
    """The probability of x, in units of 2**-24; `stretch` undone."""
    return SQUASH[min(max(x, -LOGIT_LIMIT), LOGIT_LIMIT) + 2048]


def fold(h: int, *values: int) -> int:
    """The hash `h` with values added to what was hashed; 64 bits."""
    for value in values:
        h = (h + value + 1) * 0x9E3779B97F4A7C15 & _MASK64
        h ^= h >> 29
    return h


def finish(h: int) -> int:
    """The hash whose upper bits are good; 64 bits."""
    return h * 0xD6E8FEB86659FD93 & _MASK64


def hash_token(value: int, bits: int) -> int:
    """A hash of so many bits, of a number of 32 bits."""
    return (value * 0x9E3779B1 & 0xFFFFFFFF) >> (32 - bits)
