"""The constants of the exact arithmetic (NUMERICS.md), shared by every engine, and its numpy forms.

Nothing here depends on a library's exp, sin or cos: every value comes from IEEE-754 elementwise
operations in a fixed order, so that it is the same on every machine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DENOMINATOR_BITS",
    "EXP2_COEFFICIENTS",
    "EXP2_LIMIT",
    "FLOOR",
    "HADAMARD_LIMIT",
    "HIDDEN",
    "INT8_MAX",
    "INT8_STEP",
    "LOG2E",
    "NGRAM_FACTORS",
    "NGRAM_MIX",
    "NUMERICS_VERSION",
    "PLANE",
    "PRECISION",
    "RADIX",
    "SUPPRESSED_LOGIT",
    "WEIGHT_BITS",
    "WIDE_MAX",
    "WIDE_STEP",
    "frequencies",
    "hadamard_block",
    "rope_table",
    "sincos_turns",
]

NUMERICS_VERSION = 1

INT8_MAX = 127
"""Largest magnitude of any 8-bit operand; -128 never occurs (NUMERICS.md, section 2)."""

PLANE = 128
"""An attention weight is PLANE * hi + lo, both planes 7-bit."""

WIDE_MAX = INT8_MAX * PLANE
"""Largest magnitude of the 15-bit integers whose squares a norm sums: 16,256."""

HADAMARD_LIMIT = 64
"""Largest block of features that is mixed before quantising."""

INT8_STEP = float(np.float32(1 / INT8_MAX))
"""The binary32 number nearest to 1/127: constants are multiplied by, never divided by."""

WIDE_STEP = float(np.float32(1 / WIDE_MAX))

FLOOR = 2.0**-60
"""Smallest absolute maximum a quantiser divides by: keeps every scale far from subnormals."""

HIDDEN = -1.0e30
"""The score of a position that a query cannot see (any score below -1e29 acts alike)."""

SUPPRESSED_LOGIT = -1.0e30

LOG2E = np.float32(1.4426950408889634)

EXP2_LIMIT = 125.0

EXP2_COEFFICIENTS: tuple[float, ...] = (
    1.0,
    0.6931470036506653,
    0.24022242426872253,
    0.05550733581185341,
    0.009671512991189957,
    0.001326472614891827,
)
"""2**f on [-0.5, 0.5], lowest degree first; each is exactly a binary32 number."""

DENOMINATOR_BITS = 20
"""Fraction bits of a softmax weight in the attention denominator."""

WEIGHT_BITS = 22
"""Fraction bits of a token's weight: 256 of them still fit int32."""

PRECISION = 24
"""The frequencies of a digit sum to 2**PRECISION."""

RADIX = 256
"""A token is two digits, high = token // RADIX and low = token % RADIX."""

NGRAM_FACTORS = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F)
NGRAM_MIX = 0x2C1B3C6D
"""The hash of the last tokens, the latest first (NUMERICS.md, section 4)."""

_SIN = [1.0, -1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800, 1 / 6227020800]
_COS = [1.0, -1 / 2, 1 / 24, -1 / 720, 1 / 40320, -1 / 3628800, 1 / 479001600, -1 / 87178291200]


def hadamard_block(width: int) -> int:
    """The block length for a matrix with `width` columns: the largest power of two up to 64 that
    divides it."""
    return min(width & -width, HADAMARD_LIMIT)


def _horner(x: NDArray[np.float64], coefficients: list[float]) -> NDArray[np.float64]:
    """The polynomial with those coefficients (lowest first), multiply then add, never fused."""
    total = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = total * x
        total = total + coefficient
    return total


def sincos_turns(phase: NDArray[np.uint64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sine and cosine, binary64, of angles in units of 2**-64 turn. NUMERICS.md, section 6."""
    quadrant = (phase + np.uint64(1 << 61)) >> np.uint64(62)
    rest = (phase - (quadrant << np.uint64(62))).view(np.int64)
    angle = rest.astype(np.float64) * 2.0**-64
    angle = angle * 6.283185307179586
    square = angle * angle
    sine = _horner(square, _SIN) * angle
    cosine = _horner(square, _COS)
    odd = (quadrant & np.uint64(1)).astype(bool)
    first, second = np.where(odd, cosine, sine), np.where(odd, sine, cosine)
    sin_sign = np.where(quadrant & np.uint64(2), -1.0, 1.0)
    cos_sign = np.where((quadrant + np.uint64(1)) & np.uint64(2), -1.0, 1.0)
    return first * sin_sign, second * cos_sign


def rope_table(
    turns: NDArray[np.uint64], start: int, count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosines and sines, each binary32 [count, head_width / 2], for positions start, start + 1, ...

    `turns` [head_width / 2] is each pair's angle a position in units of 2**-64 turn: phases are
    exact integers modulo one turn, whatever the position.
    """
    positions = np.arange(start, start + count, dtype=np.uint64)
    sine, cosine = sincos_turns(positions[:, None] * turns[None, :])
    return cosine.astype(np.float32), sine.astype(np.float32)


def frequencies(weights: NDArray[np.int32]) -> NDArray[np.int32]:
    """Frequencies [..., n], each >= 1 and summing to 2**24, from integer weights [..., n] >= 0.

    NUMERICS.md, section 10: F(i) = i + floor(C(i) * R) with R = (2**24 - n) / W in binary64. A row
    of zeros counts as a row of ones. This is the readable twin of native/frequencies.cpp.
    """
    n = weights.shape[-1]
    assert weights.dtype == np.int32 and 1 <= n <= 1 << 16
    wide = weights.astype(np.int64)
    wide[wide.sum(axis=-1) == 0] = 1
    cumulative = np.zeros((*wide.shape[:-1], n + 1), np.int64)
    np.cumsum(wide, axis=-1, out=cumulative[..., 1:])
    ratio = np.float64((1 << PRECISION) - n) / cumulative[..., -1:].astype(np.float64)
    scaled = np.floor(cumulative.astype(np.float64) * ratio).astype(np.int64)
    scaled += np.arange(n + 1)
    scaled[..., -1] = 1 << PRECISION
    return np.diff(scaled, axis=-1).astype(np.int32)
