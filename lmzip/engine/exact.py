"""The exact operations of NUMERICS.md in PyTorch, for any device.

Every function is elementwise IEEE-754 binary32 (one operation a kernel, so nothing is contracted to
a fused multiply-add) or a sum of integers. Shapes: B streams, T tokens, D features.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import EngineError
from .arithmetic import (
    EXP2_COEFFICIENTS,
    EXP2_LIMIT,
    FLOOR,
    INT8_MAX,
    INT8_STEP,
    NGRAM_FACTORS,
    NGRAM_MIX,
    WIDE_MAX,
    WIDE_STEP,
    hadamard_block,
)

__all__ = [
    "IntMatmul",
    "exp2",
    "exponent",
    "hadamard",
    "head_norm",
    "ngram_index",
    "norm_quantize",
    "power_of_two",
    "project",
    "quantize",
    "require_ieee",
    "root_mean_square",
    "rotate",
    "silu_gate",
    "square_root",
]

_F32_EXACT_COLUMNS = (1 << 24) // (INT8_MAX * INT8_MAX)
"""Columns of int8 products (1,040) whose sum is below 2**24: exact in binary32 in any order."""


_PROBES = 1 << 16

_CACHED_ROWS = 64
"""Rows whose intermediate results stay in a processor's cache."""


def exp2(y: Tensor) -> Tensor:
    """2**y in binary32 for |y| <= 125 (beyond, clamped). NUMERICS.md, section 3."""
    y = y.clamp(-EXP2_LIMIT, EXP2_LIMIT)
    whole = torch.round(y)
    y = y - whole
    total = torch.full_like(y, EXP2_COEFFICIENTS[-1])
    for coefficient in reversed(EXP2_COEFFICIENTS[:-1]):
        total.mul_(y).add_(coefficient)
    return total.mul_(power_of_two(whole))


def exponent(x: Tensor) -> Tensor:
    """The least integer e, as binary32, with x < 2**e; x normal and positive."""
    return ((x.view(torch.int32) >> 23) - 126).to(torch.float32)


def power_of_two(whole: Tensor) -> Tensor:
    """2**whole in binary32, whole an integer in -126..127 held in any type."""
    return whole.to(torch.int32).add_(127).bitwise_left_shift_(23).view(torch.float32)


def _absmax(x: Tensor) -> Tensor:
    return x.abs().amax(dim=-1, keepdim=True).clamp_min(FLOOR)


def _over(numerator: float, x: Tensor) -> Tensor:
    """numerator / x, one correctly rounded division.

    Neither `numerator / x` (a reciprocal times a number in PyTorch) nor `x / number` (the same on
    CUDA) is a division: every quotient here has a tensor on both sides.
    """
    return torch.full_like(x, numerator) / x


def quantize(x: Tensor) -> tuple[Tensor, Tensor]:
    """Int8 values [..., D] and the binary32 step [..., 1]. NUMERICS.md, section 4."""
    a = _absmax(x)
    return torch.round(x * _over(INT8_MAX, a)).to(torch.int8), a * INT8_STEP


def hadamard(x: Tensor) -> Tensor:
    """x [M, D] with every block of b features multiplied by the b x b Hadamard matrix.

    b = hadamard_block(D). Additions only, in the order of the fast transform; not divided by
    sqrt(b). NUMERICS.md, section 4.
    """
    rows, width = x.shape
    block = hadamard_block(width)
    out = torch.empty_like(x)
    for start in range(0, rows, _CACHED_ROWS):
        part = x[start : start + _CACHED_ROWS]
        half = 1
        while half < block:
            pairs = part.view(len(part), width // (2 * half), 2, half)
            part = torch.empty_like(part)
            target = part.view(pairs.shape)
            torch.add(pairs[:, :, 0], pairs[:, :, 1], out=target[:, :, 0])
            torch.sub(pairs[:, :, 0], pairs[:, :, 1], out=target[:, :, 1])
            half *= 2
        out[start : start + _CACHED_ROWS] = part
    return out


def square_root(x: Tensor) -> Tensor:
    """The correctly rounded square root.

    On a CPU torch.sqrt may go to a vector library that rounds differently from processor to
    processor (MKL's is off by one in 0.6 % of cases); numpy uses the processor's instruction.
    """
    if x.device.type == "cpu":
        return torch.from_numpy(np.sqrt(x.numpy()))
    return torch.sqrt(x)


def require_ieee(device: torch.device) -> None:
    """Raise EngineError unless this device's elementwise operations round as IEEE-754 says.

    Compared with numpy on numbers of all magnitudes that inference meets.
    """
    rng = np.random.default_rng(0)
    a, b = (
        (rng.uniform(1, 4, _PROBES) * 2.0 ** rng.integers(-40, 40, _PROBES)).astype(np.float32)
        for _ in range(2)
    )
    x, y = torch.from_numpy(a).to(device), torch.from_numpy(b).to(device)
    halves = np.arange(-_PROBES, _PROBES, dtype=np.float32) / 2
    for what, got, expected in (
        ("division", x / y, a / b),
        ("multiplication", x * y, a * b),
        ("addition", x + y, a + b),
        ("the square root", square_root(x), np.sqrt(a)),
        ("rounding", torch.round(torch.from_numpy(halves).to(device)), np.rint(halves)),
        (
            "conversion",
            (x.to(torch.int64) * 3).to(torch.float32),
            (a.astype(np.int64) * 3).astype(np.float32),
        ),
    ):
        if not np.array_equal(got.cpu().numpy(), expected):
            raise EngineError(
                f"{what} on {device} does not round as IEEE-754 says; refusing to run"
            )


def root_mean_square(x: Tensor, eps: float) -> Tensor:
    """sqrt(mean(x**2) + eps) over the last axis, kept as 1. NUMERICS.md, section 5.

    The squares are those of 15-bit integers: their sum is exact in any order.
    """
    a = _absmax(x)
    u = a * WIDE_STEP
    r = torch.round(x * _over(WIDE_MAX, a)).to(torch.int64)
    total = r.square_().sum(dim=-1, keepdim=True).to(torch.float32)
    return square_root(total * (1.0 / x.shape[-1]) * (u * u) + eps)


def norm_quantize(x: Tensor, gain: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """RMSNorm(x) with its gain, rotated and quantised: int8 [M, D], step [M, 1]. Section 5."""
    q, step = quantize(hadamard(x * gain))
    return q, step / root_mean_square(x, eps)


def head_norm(x: Tensor, gain: Tensor, eps: float) -> Tensor:
    """RMSNorm over the last axis with its gain, of queries or keys. NUMERICS.md, section 5."""
    return x / root_mean_square(x, eps) * gain


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary positions: x [B, T, heads, width] by angles [T, width / 2]; halves are pairs."""
    cosine, sine = cosine[:, None, :], sine[:, None, :]
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


def silu_gate(gate_up: Tensor) -> Tensor:
    """silu(gate) * up, of the stacked [..., 2F]. NUMERICS.md, section 8."""
    gate, up = gate_up.chunk(2, dim=-1)
    return gate / (exp2(gate * -1.4426950408889634) + 1.0) * up


class IntMatmul:
    """Exact int8 x int8 -> int32 products [M, K] x [N, K], by the fastest way that proves exact."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.native = self._int_mm_is_exact()

    def _int_mm_is_exact(self) -> bool:
        """Whether torch._int_mm exists here and survives the largest magnitudes.

        Some libraries sum pairs of products in 16 bits, which saturates: they are caught here.
        """
        try:
            for k in (64, 256, 1024):
                a = torch.full((32, k), INT8_MAX, dtype=torch.int8, device=self.device)
                a[1::2] = -INT8_MAX
                b = a.clone()
                got = self._int_mm(a, b)
                if not torch.equal(got, (a.double() @ b.double().T).to(torch.int32)):
                    return False
                if not torch.equal(self._int_mm(a[:1], b), got[:1]):
                    return False
        except (RuntimeError, AttributeError, NotImplementedError):
            return False
        return True

    def _int_mm(self, a: Tensor, b: Tensor) -> Tensor:
        rows = a.shape[0]
        if self.device.type == "cuda" and (rows < 32 or rows % 8):
            # cuBLASLt wants more than 16 rows, a multiple of 8.
            a = torch.nn.functional.pad(a, (0, 0, 0, max(32, -(-rows // 8) * 8) - rows))
        return torch._int_mm(a, b.t())[:rows]

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        assert a.dtype == b.dtype == torch.int8 and a.shape[1] == b.shape[1]
        if self.native and a.shape[1] % 8 == 0 and b.shape[0] % 8 == 0:
            return self._int_mm(a, b)
        total = torch.zeros(a.shape[0], b.shape[0], dtype=torch.int32, device=a.device)
        for k in range(0, a.shape[1], _F32_EXACT_COLUMNS):
            part = (
                a[:, k : k + _F32_EXACT_COLUMNS].float()
                @ b[:, k : k + _F32_EXACT_COLUMNS].float().t()
            )
            total += part.to(torch.int32)
        return total


def ngram_index(tokens: Tensor, order: int, rows: int) -> Tensor:
    """The row [B, T] of each token's n-gram: NUMERICS.md, section 4.

    `tokens` [B, order - 1 + T] begins with the tokens before the first of them.
    """
    count = tokens.shape[1] - order + 1
    key = torch.zeros_like(tokens[:, :count])
    for back, factor in enumerate(NGRAM_FACTORS[:order]):
        first = order - 1 - back
        key = (key + tokens[:, first : first + count] * factor) & 0xFFFFFFFF
    key = ((key ^ (key >> 15)) * NGRAM_MIX) & 0xFFFFFFFF
    return (key * rows) >> 32


def project(matmul: IntMatmul, q: Tensor, step: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """Binary32 [M, N] of int8 activations [M, K], steps [M, 1]. NUMERICS.md, section 4."""
    return matmul(q, weight).to(torch.float32).mul_(step * scale)
