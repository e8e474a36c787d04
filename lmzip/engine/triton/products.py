"""The matrix product of section 4, and the head of section 9 behind one."""

from __future__ import annotations

import triton
import triton.language as tl

from .. import arithmetic as exact
from .arithmetic import exp2, rint

LOG2E = tl.constexpr(1.4426950408889634)
SUPPRESSED = tl.constexpr(exact.SUPPRESSED_LOGIT)
UNIT = tl.constexpr(2.0**exact.WEIGHT_BITS)
RADIX = tl.constexpr(exact.RADIX)


@triton.jit
def accumulate(
    q, weight, row, column, rows, columns,
    K: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """int32 [BM, BN]: products of rows `row` of q [M, K] and rows `column` of weight [N, K]."""
    total = tl.zeros((BM, BN), tl.int32)
    row_place = tl.where(row < rows, row, 0).to(tl.int64)[:, None] * K
    column_place = tl.where(column < columns, column, 0).to(tl.int64)[None, :] * K
    for start in range(0, K, BK):
        k = start + tl.arange(0, BK)
        if K % BK == 0:
            a = tl.load(q + row_place + k[None, :])
            b = tl.load(weight + column_place + k[:, None])
        else:
            a = tl.load(q + row_place + k[None, :], mask=(k < K)[None, :], other=0)
            b = tl.load(weight + column_place + k[:, None], mask=(k < K)[:, None], other=0)
        total = tl.dot(a, b, total, out_dtype=tl.int32)
    return total


@triton.jit
def product_kernel(
    q, steps, weight, scales, bias, residual, out, rows, columns,
    K: tl.constexpr, BIAS: tl.constexpr, RESIDUAL: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """out [M, N]: PRODUCT of q [M, K], steps [M], with weight [N, K], scales [N]; section 4.

    BIAS: then bias [N] is added; RESIDUAL: the product is added to residual [M, N], which may be
    `out` itself.
    """
    row = tl.program_id(1) * BM + tl.arange(0, BM)
    column = tl.program_id(0) * BN + tl.arange(0, BN)
    total = accumulate(q, weight, row, column, rows, columns, K, BM, BN, BK)
    step = tl.load(steps + row, mask=row < rows, other=0.0)
    scale = tl.load(scales + column, mask=column < columns, other=0.0)
    y = total.to(tl.float32) * (step[:, None] * scale[None, :])
    inside = (row < rows)[:, None] & (column < columns)[None, :]
    place = row.to(tl.int64)[:, None] * columns + column[None, :]
    if BIAS:
        y = y + tl.load(bias + column, mask=column < columns, other=0.0)[None, :]
    if RESIDUAL:
        y = tl.load(residual + place, mask=inside, other=0.0) + y
    tl.store(out + place, y, mask=inside)


@triton.jit
def logits(
    q, steps, weight, scales, coded, row, digit, rows, vocab,
    K: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """Binary32 [BM, 256]: logits of the tokens whose high digit is `digit`; section 9."""
    token = digit * RADIX + tl.arange(0, RADIX)
    total = accumulate(q, weight, row, token, rows, vocab, K, BM, RADIX, BK)
    step = tl.load(steps + row, mask=row < rows, other=0.0) * LOG2E
    scale = tl.load(scales + token, mask=token < vocab, other=0.0)
    allowed = tl.load(coded + token)
    found = total.to(tl.float32) * (step[:, None] * scale[None, :])
    return tl.where((allowed != 0)[None, :], found, SUPPRESSED)


@triton.jit
def head_max_kernel(
    q, steps, weight, scales, coded, tops, rows, vocab, digits,
    K: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """tops [M, digits]: the greatest logit of each high digit. `coded` [256 digits] is 0 for
    suppressed tokens and those beyond the vocabulary."""
    row = tl.program_id(1) * BM + tl.arange(0, BM)
    digit = tl.program_id(0)
    found = logits(q, steps, weight, scales, coded, row, digit, rows, vocab, K, BM, BK)
    tl.store(tops + row.to(tl.int64) * digits + digit, tl.max(found, axis=1), mask=row < rows)


@triton.jit
def head_sum_kernel(
    q, steps, weight, scales, coded, top, sums, rows, vocab, digits,
    K: tl.constexpr, BM: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """sums [M, digits]: the integer weights of each high digit's tokens; top [M] the row's
    greatest logit."""
    row = tl.program_id(1) * BM + tl.arange(0, BM)
    digit = tl.program_id(0)
    found = logits(q, steps, weight, scales, coded, row, digit, rows, vocab, K, BM, BK)
    greatest = tl.load(top + row, mask=row < rows, other=0.0)
    weights = rint(exp2(found - greatest[:, None]) * UNIT).to(tl.int32)
    place = row.to(tl.int64) * digits + digit
    tl.store(sums + place, tl.sum(weights, axis=1), mask=row < rows)


@triton.jit
def low_kernel(
    q, steps, weight, scales, coded, top, high, out, vocab,
    K: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """out [M, 256]: weights of the tokens with high digit high[m]; a program takes one row."""
    row = tl.program_id(0).to(tl.int64)
    token = tl.load(high + row) * RADIX + tl.arange(0, RADIX)
    place = tl.where(token < vocab, token, 0).to(tl.int64)[:, None] * K
    total = tl.zeros((RADIX,), tl.int32)
    for start in range(0, K, BK):
        k = start + tl.arange(0, BK)
        a = tl.load(q + row * K + k, mask=k < K, other=0).to(tl.int32)
        b = tl.load(weight + place + k[None, :], mask=(k < K)[None, :], other=0).to(tl.int32)
        total += tl.sum(a[None, :] * b, axis=1)
    step = tl.load(steps + row) * LOG2E
    scale = tl.load(scales + token, mask=token < vocab, other=0.0)
    found = tl.where(tl.load(coded + token) != 0, total.to(tl.float32) * (step * scale), SUPPRESSED)
    weights = rint(exp2(found - tl.load(top + row)) * UNIT).to(tl.int32)
    tl.store(out + row * RADIX + tl.arange(0, RADIX), weights)
