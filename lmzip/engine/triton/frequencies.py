"""Section 10: integer weights to frequencies, on the device, so that the host only codes."""

from __future__ import annotations

import triton
import triton.language as tl

from .. import arithmetic as exact

TOTAL = tl.constexpr(1 << exact.PRECISION)


@triton.jit
def frequencies_kernel(
    weights, out, rows, N: tl.constexpr, SIZE: tl.constexpr, ROWS: tl.constexpr
):  # fmt: skip
    """out [M, N]: F(i) = i + floor(C(i) R) of section 10, differences of it, in ROWS x SIZE blocks.

    weights [M, N] >= 0; a row of zeros counts as a row of ones.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    digit = tl.arange(0, SIZE)
    inside = (row < rows)[:, None] & (digit < N)[None, :]
    place = row.to(tl.int64)[:, None] * N + digit[None, :]
    wide = tl.load(weights + place, mask=inside, other=0).to(tl.int64)
    ones = (tl.zeros_like(wide) + 1) * (digit < N)[None, :]
    wide = tl.where((tl.sum(wide, axis=1) == 0)[:, None], ones, wide)
    ratio = (tl.zeros((ROWS,), tl.float64) + (TOTAL - N)) / tl.sum(wide, axis=1).to(tl.float64)
    end = tl.cumsum(wide, axis=1)
    above = (end.to(tl.float64) * ratio[:, None]).to(tl.int64)
    below = ((end - wide).to(tl.float64) * ratio[:, None]).to(tl.int64)
    above = tl.where((digit == N - 1)[None, :], TOTAL - N, above)
    tl.store(out + place, (1 + above - below).to(tl.int32), mask=inside)
