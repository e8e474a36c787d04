"""Kernels that take whole rows: embedding, norm, gate, and the quantiser behind each.

A program takes ROWS rows of D values, laid out WIDTH wide.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .arithmetic import exp2, hadamard, quantize, root_mean_square

NEGATIVE_LOG2E = tl.constexpr(-1.4426950408889634)


@triton.jit
def embed_kernel(
    tokens, table, scales, out, rows,
    D: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """out [M, D]: the embeddings of tokens [M]; section 4."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    feature = tl.arange(0, WIDTH)
    inside = (row < rows)[:, None] & (feature < D)[None, :]
    token = tl.load(tokens + row, mask=row < rows, other=0).to(tl.int64)
    stored = tl.load(table + token[:, None] * D + feature[None, :], mask=inside, other=0)
    x = hadamard(stored.to(tl.float32), ROWS, WIDTH, BLOCK) * tl.load(scales + token)[:, None]
    tl.store(out + row.to(tl.int64)[:, None] * D + feature[None, :], x, mask=inside)


@triton.jit
def norm_kernel(
    x, gain, q, steps, rows, eps,
    D: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """q [M, D], steps [M]: NORM of x [M, D]; section 5."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    feature = tl.arange(0, WIDTH)
    inside = (row < rows)[:, None] & (feature < D)[None, :]
    place = row.to(tl.int64)[:, None] * D + feature[None, :]
    values = tl.load(x + place, mask=inside, other=0.0)
    gains = tl.load(gain + feature, mask=feature < D, other=0.0)
    integers, step = quantize(hadamard(values * gains[None, :], ROWS, WIDTH, BLOCK))
    tl.store(q + place, integers, mask=inside)
    step = tl.div_rn(step, root_mean_square(values, eps, D))
    tl.store(steps + row, step, mask=row < rows)


@triton.jit
def rotate_kernel(
    x, q, steps, rows,
    D: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """q [M, D], steps [M]: QUANTISE(ROTATE(x)); section 4."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    feature = tl.arange(0, WIDTH)
    inside = (row < rows)[:, None] & (feature < D)[None, :]
    place = row.to(tl.int64)[:, None] * D + feature[None, :]
    values = tl.load(x + place, mask=inside, other=0.0)
    integers, step = quantize(hadamard(values, ROWS, WIDTH, BLOCK))
    tl.store(q + place, integers, mask=inside)
    tl.store(steps + row, step, mask=row < rows)


@triton.jit
def gate_kernel(
    gate_up, q, steps, rows,
    D: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """q [M, D], steps [M]: QUANTISE(ROTATE(GATE)) of gate_up [M, 2 D]; section 8."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    feature = tl.arange(0, WIDTH)
    inside = (row < rows)[:, None] & (feature < D)[None, :]
    place = row.to(tl.int64)[:, None] * (2 * D) + feature[None, :]
    gate = tl.load(gate_up + place, mask=inside, other=0.0)
    up = tl.load(gate_up + place + D, mask=inside, other=0.0)
    hidden = tl.div_rn(gate, exp2(gate * NEGATIVE_LOG2E) + 1.0) * up
    integers, step = quantize(hadamard(hidden, ROWS, WIDTH, BLOCK))
    tl.store(q + row.to(tl.int64)[:, None] * D + feature[None, :], integers, mask=inside)
    tl.store(steps + row, step, mask=row < rows)
