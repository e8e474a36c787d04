"""NUMERICS.md, sections 3 to 5, as functions that kernels call."""

from __future__ import annotations

import triton
import triton.language as tl

from .. import arithmetic as exact

C1 = tl.constexpr(exact.EXP2_COEFFICIENTS[1])
C2 = tl.constexpr(exact.EXP2_COEFFICIENTS[2])
C3 = tl.constexpr(exact.EXP2_COEFFICIENTS[3])
C4 = tl.constexpr(exact.EXP2_COEFFICIENTS[4])
C5 = tl.constexpr(exact.EXP2_COEFFICIENTS[5])
LIMIT = tl.constexpr(exact.EXP2_LIMIT)
FLOOR = tl.constexpr(exact.FLOOR)
INT8_MAX = tl.constexpr(float(exact.INT8_MAX))
INT8_STEP = tl.constexpr(exact.INT8_STEP)
WIDE_MAX = tl.constexpr(float(exact.WIDE_MAX))
WIDE_STEP = tl.constexpr(exact.WIDE_STEP)
ROUNDER = tl.constexpr(1.5 * 2.0**23)


@triton.jit
def rint(x):
    """x rounded half to even, |x| <= 2**22.

    There the sum has no fraction bits left, and the difference is exact. Triton has no such
    rounding of its own that its interpreter knows too.
    """
    return (x + ROUNDER) - ROUNDER


@triton.jit
def ceiling(x):
    """The least integer not below x, |x| <= 2**22; Triton's own takes subnormal x for 0."""
    whole = rint(x)
    return tl.where(whole < x, whole + 1.0, whole)


@triton.jit
def power_of_two(whole):
    """2**whole, whole an integer in -126..127 held in binary32."""
    return ((whole.to(tl.int32) + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def exponent(x):
    """The least integer e, as binary32, with x < 2**e; x normal and positive."""
    return ((x.to(tl.int32, bitcast=True) >> 23) - 126).to(tl.float32)


@triton.jit
def exp2(y):
    """2**y as section 3 defines it."""
    y = tl.minimum(tl.maximum(y, -LIMIT), LIMIT)
    whole = rint(y)
    f = y - whole
    p = ((((C5 * f + C4) * f + C3) * f + C2) * f + C1) * f + 1.0
    return p * power_of_two(whole)


@triton.jit
def butterfly(x, ROWS: tl.constexpr, WIDTH: tl.constexpr, HALF: tl.constexpr):
    """One step of the fast Hadamard transform of x [ROWS, WIDTH]: pairs HALF apart."""
    pairs = tl.reshape(x, (ROWS, WIDTH // (2 * HALF), 2, HALF))
    first, second = tl.split(tl.permute(pairs, (0, 1, 3, 2)))
    pairs = tl.join(first + second, first - second)
    return tl.reshape(tl.permute(pairs, (0, 1, 3, 2)), (ROWS, WIDTH))


@triton.jit
def hadamard(x, ROWS: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    """ROTATE of section 4: x [ROWS, WIDTH] in blocks of BLOCK <= 64 values."""
    if BLOCK >= 2:
        x = butterfly(x, ROWS, WIDTH, 1)
    if BLOCK >= 4:
        x = butterfly(x, ROWS, WIDTH, 2)
    if BLOCK >= 8:
        x = butterfly(x, ROWS, WIDTH, 4)
    if BLOCK >= 16:
        x = butterfly(x, ROWS, WIDTH, 8)
    if BLOCK >= 32:
        x = butterfly(x, ROWS, WIDTH, 16)
    if BLOCK >= 64:
        x = butterfly(x, ROWS, WIDTH, 32)
    return x


@triton.jit
def quantize(x):
    """QUANTISE of section 4 along the last axis of x [M, D]: int8 [M, D], steps [M]."""
    a = tl.maximum(tl.max(tl.abs(x), axis=1), FLOOR)
    q = rint(x * tl.div_rn(INT8_MAX, a)[:, None])
    return q.to(tl.int32).to(tl.int8), a * INT8_STEP


@triton.jit
def root_mean_square(x, eps, D: tl.constexpr):
    """RMS of section 5 of the D values in each row of x, the rest being 0: [M]."""
    a = tl.maximum(tl.max(tl.abs(x), axis=1), FLOOR)
    u = a * WIDE_STEP
    r = rint(x * tl.div_rn(WIDE_MAX, a)[:, None]).to(tl.int32)
    total = tl.sum((r * r).to(tl.int64), axis=1).to(tl.float32)
    return tl.sqrt_rn(total * (1.0 / D) * (u * u) + eps)
