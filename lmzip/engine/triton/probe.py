"""Whether kernels on a device round as NUMERICS.md needs; an engine asks before it runs."""

from __future__ import annotations

import numpy as np
import torch
import triton
import triton.language as tl

from ...errors import EngineError
from ..arithmetic import INT8_MAX, frequencies
from .arithmetic import rint
from .launch import Kernels

_PROBES = 1 << 13

_OPERATIONS = (
    "division", "multiplication", "addition", "the square root", "a product and a sum",
    "rounding", "conversion",
)  # fmt: skip


@triton.jit
def probe_kernel(a, b, halves, out, count, SIZE: tl.constexpr):
    """out [7, count]: what `require_exact` compares, in that order."""
    place = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
    x = tl.load(a + place)
    y = tl.load(b + place)
    tl.store(out + place, tl.div_rn(x, y))
    tl.store(out + count + place, x * y)
    tl.store(out + 2 * count + place, x + y)
    tl.store(out + 3 * count + place, tl.sqrt_rn(x))
    tl.store(out + 4 * count + place, x * y + x)
    tl.store(out + 5 * count + place, rint(tl.load(halves + place)))
    tl.store(out + 6 * count + place, (x.to(tl.int64) * 3).to(tl.float32))


def require_exact(kernels: Kernels) -> None:
    """Raise EngineError unless elementwise operations round as IEEE-754 says, products and sums
    stay apart, and integer products of the largest magnitudes are exact."""
    rng = np.random.default_rng(0)
    a, b = (
        (rng.uniform(1, 4, _PROBES) * 2.0 ** rng.integers(-40, 40, _PROBES)).astype(np.float32)
        for _ in range(2)
    )
    halves = np.arange(-_PROBES // 2, _PROBES // 2, dtype=np.float32) / 2
    x, y, h = (torch.from_numpy(part).to(kernels.device) for part in (a, b, halves))
    out = torch.empty(len(_OPERATIONS), _PROBES, device=kernels.device)
    probe_kernel[(_PROBES // 1024,)](x, y, h, out, _PROBES, SIZE=1024, enable_fp_fusion=False)
    expected = (
        a / b, a * b, a + b, np.sqrt(a), a * b + a, np.rint(halves),
        (a.astype(np.int64) * 3).astype(np.float32),
    )  # fmt: skip
    for what, got, wanted in zip(_OPERATIONS, out.cpu().numpy(), expected, strict=True):
        if not np.array_equal(got, wanted):
            raise EngineError(
                f"{what} on {kernels.device} does not round as NUMERICS.md says; refusing to run"
            )
    weights = rng.integers(0, 1 << 22, (64, 193), dtype=np.int32)
    found = kernels.frequencies(torch.from_numpy(weights).to(kernels.device)).cpu().numpy()
    if not np.array_equal(found, frequencies(weights)):
        raise EngineError(f"binary64 on {kernels.device} is not exact; refusing to run")
    q = torch.full((17, 1100), INT8_MAX, dtype=torch.int8, device=kernels.device)
    q[1::2] = -INT8_MAX
    ones = torch.ones(17, device=kernels.device)
    signs = np.where(np.arange(17) % 2, -1, 1)
    exact = INT8_MAX * INT8_MAX * 1100 * np.outer(signs, signs)
    if not np.array_equal(kernels.product(q, ones, q, ones).cpu().numpy(), exact):
        raise EngineError(f"integer products on {kernels.device} are not exact; refusing to run")
