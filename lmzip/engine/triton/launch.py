"""The kernels as functions of tensors: sizes, grids, tiles.

Tiles never change a bit, so they are chosen for speed alone: larger ones where there is work for
every processor of the GPU, and in Triton's interpreter (which runs one program after another) as
few programs as possible.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from ..arithmetic import RADIX, hadamard_block
from .attention import attend_kernel, split_end_kernel, split_max_kernel, split_sum_kernel
from .frequencies import frequencies_kernel
from .heads import heads_kernel
from .products import head_max_kernel, head_sum_kernel, low_kernel, product_kernel
from .rows import embed_kernel, gate_kernel, norm_kernel, rotate_kernel

__all__ = ["CacheView", "Kernels", "Queries", "Tiles", "power_above"]

_FUSION_OFF = {"enable_fp_fusion": False}

_PROGRAMS_A_PROCESSOR = 8
"""So many splits of attention are wanted for each of the GPU's processors."""

_LEAST_SPAN = 256
"""A split has at least so many positions, or its sums cost more than its reading."""


def power_above(count: int, least: int = 1, most: int = 1 << 30) -> int:
    """The least power of two from `count` on, kept within those bounds."""
    return max(least, min(most, 1 << (count - 1).bit_length()))


@dataclasses.dataclass(frozen=True)
class Tiles:
    """Sizes of what one program takes; None is chosen for the shape. All are powers of two."""

    rows: int | None = None
    """Whole rows."""
    product: tuple[int, int, int] | None = None
    """Rows (>= 16), columns (>= 16) and depth (>= 32) of a product's tile."""
    queries: int | None = None
    """Query rows of attention, >= 16."""
    positions: int = 64
    """Positions that attention takes at once, >= 32."""
    span: int | None = None
    """Positions of a split when single tokens attend."""


@dataclasses.dataclass(frozen=True)
class CacheView:
    """One layer of a cache, and where the new tokens go."""

    keys: Tensor
    """int8 [streams made for, KV, slots, E], and their steps binary32 without E; then values."""
    key_steps: Tensor
    values: Tensor
    value_steps: Tensor
    streams: Tensor
    """int32 [B]: each stream's row in those."""
    position: Tensor
    """int32 [1]: position of the first new token."""
    window: int
    sinks: int
    ring: int


@dataclasses.dataclass(frozen=True)
class Queries:
    """Rotated, quantised queries [M, H, E] and their steps [M, H], times the score scale."""

    near: Tensor
    near_steps: Tensor
    far: Tensor
    """For sinks; the near ones themselves where there are no sinks."""
    far_steps: Tensor


class Kernels:
    """Launches kernels on one device."""

    def __init__(self, device: torch.device, tiles: Tiles | None = None) -> None:
        self.device = device
        self.tiles = tiles or Tiles()
        self.interpreted = device.type != "cuda"
        self.processors = 1
        if not self.interpreted:
            self.processors = torch.cuda.get_device_properties(device).multi_processor_count

    def embed(self, tokens: Tensor, table: Tensor, scales: Tensor) -> Tensor:
        """Binary32 [M, D] of tokens int64 [M]."""
        assert tokens.is_contiguous()
        width = table.shape[1]
        out = self._floats(len(tokens), width)
        self._by_rows(embed_kernel, len(tokens), width, tokens, table, scales, out)
        return out

    def norm(self, x: Tensor, gain: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        """`exact.norm_quantize`: int8 [M, D], steps [M]."""
        rows, width = x.shape
        q, steps = self._quantized(rows, width)
        self._by_rows(norm_kernel, rows, width, x, gain, q, steps, extra=(eps,))
        return q, steps

    def rotate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """`exact.quantize(exact.hadamard(x))`: int8 [M, D], steps [M]."""
        rows, width = x.shape
        q, steps = self._quantized(rows, width)
        self._by_rows(rotate_kernel, rows, width, x, q, steps)
        return q, steps

    def gate(self, gate_up: Tensor) -> tuple[Tensor, Tensor]:
        """`rotate` of `exact.silu_gate(gate_up)` [M, 2 F]: int8 [M, F], steps [M]."""
        rows, width = gate_up.shape[0], gate_up.shape[1] // 2
        q, steps = self._quantized(rows, width)
        self._by_rows(gate_kernel, rows, width, gate_up, q, steps)
        return q, steps

    def product(
        self,
        q: Tensor,
        steps: Tensor,
        weight: Tensor,
        scales: Tensor,
        *,
        bias: Tensor | None = None,
        residual: Tensor | None = None,
    ) -> Tensor:
        """`exact.project` of q [M, K] with weight [N, K]; plus the bias, if any.

        With `residual` [M, N] the result is added to that, in place.
        """
        rows, depth = q.shape
        columns = len(weight)
        out = self._floats(rows, columns) if residual is None else residual
        tile = self.tiles.product or self._tile(rows, columns, depth)
        product_kernel[(-(-columns // tile[1]), -(-rows // tile[0]))](
            q, steps, weight, scales, scales if bias is None else bias, out, out, rows, columns,
            K=depth, BIAS=bias is not None, RESIDUAL=residual is not None,
            BM=tile[0], BN=tile[1], BK=tile[2], **self._warps(tile[0] * tile[1]),
        )  # fmt: skip
        return out

    def heads(
        self,
        qkv: Tensor,
        angles: tuple[Tensor, Tensor],
        norms: tuple[Tensor, Tensor] | None,
        cache: CacheView,
        *,
        heads: int,
        eps: float,
        scale: float,
    ) -> Queries:
        """Sections 5 and 6: queries of qkv [M, (H + 2 KV) E]; keys and values go to the cache.

        `angles` are cosines and sines [positions, E / 2], `norms` the gains of queries and keys.
        """
        rows = len(qkv)
        kv, slots, width = cache.keys.shape[1:]
        near = torch.empty(rows, heads, width, dtype=torch.int8, device=self.device)
        near_steps = self._floats(rows, heads)
        queries = Queries(near, near_steps, near, near_steps)
        if cache.sinks:
            queries = Queries(near, near_steps, torch.empty_like(near), self._floats(rows, heads))
        gains = norms or (near_steps, near_steps)  # the latter are not read
        laid_out = power_above(heads + 2 * kv) * power_above(width // 2)
        at_once = self._rows_at_once(rows, 2 * laid_out)
        heads_kernel[(-(-rows // at_once),)](
            qkv, *angles, *gains, near, near_steps, queries.far, queries.far_steps,
            cache.keys, cache.key_steps, cache.values, cache.value_steps,
            cache.streams, cache.position, rows, rows // len(cache.streams), eps, scale,
            cache.window, cache.sinks, cache.ring, slots,
            H=heads, KV=kv, E=width, QK_NORM=norms is not None, FAR=cache.sinks > 0,
            HEADS=power_above(heads + 2 * kv), HALF=power_above(width // 2), ROWS=at_once,
            **self._warps(0),
        )  # fmt: skip
        return queries

    def attend(self, queries: Queries, cache: CacheView, longest: int) -> Tensor:
        """Section 7: [M, H E] for the tokens just placed in the cache, whose streams have at most
        `longest` positions."""
        rows, heads, width = queries.near.shape
        kv = cache.keys.shape[1]
        pairs = len(cache.streams) * kv
        if rows == len(cache.streams):
            return self._attend_split(queries, cache, min(longest, cache.window))
        count = rows // len(cache.streams)
        group = heads // kv
        tile = self.tiles.queries or power_above(group * count, 16, 64)
        out = self._floats(rows, heads * width)
        attend_kernel[(-(-group * count // tile), pairs)](
            queries.near, queries.near_steps, queries.far, queries.far_steps,
            cache.keys, cache.key_steps, cache.values, cache.value_steps, out,
            cache.streams, cache.position, count, cache.window, cache.sinks, cache.ring,
            cache.keys.shape[2],
            H=heads, KV=kv, G=group, E=width, EP=power_above(width, 32),
            BM=tile, BN=self.tiles.positions, **self._warps(0),
        )  # fmt: skip
        return out

    def _attend_split(self, queries: Queries, cache: CacheView, visible: int) -> Tensor:
        """`attend` for one token a stream that sees at most `visible` positions besides sinks."""
        rows, heads, width = queries.near.shape
        kv = cache.keys.shape[1]
        pairs, group = rows * kv, heads // kv
        shared_by = _PROGRAMS_A_PROCESSOR * self.processors
        span = self.tiles.span or power_above(-(-visible * pairs // shared_by), _LEAST_SPAN)
        splits, stride = -(-visible // span), cache.sinks + visible
        tops, reaches = self._floats(splits, pairs, group), self._floats(splits, pairs, group)
        kept = self._floats(pairs, group, stride)
        belows = torch.empty(splits, pairs, group, dtype=torch.int64, device=self.device)
        numerators = torch.empty(splits, pairs, group, width, dtype=torch.int64, device=self.device)
        out = self._floats(rows, heads * width)
        place = (
            cache.streams, cache.position, stride, cache.window, cache.sinks, cache.ring,
            cache.keys.shape[2],
        )  # fmt: skip
        sizes = {
            "G": group, "E": width, "EP": power_above(width, 32), "BM": power_above(group, 16)
        }  # fmt: skip
        more = sizes | {"KV": kv, "BN": self.tiles.positions, "SPAN": span}
        split_max_kernel[(splits, pairs)](
            queries.near, queries.near_steps, queries.far, queries.far_steps,
            cache.keys, cache.key_steps, cache.value_steps, tops, reaches, kept, *place,
            H=heads, **more, **self._warps(0),
        )  # fmt: skip
        split_sum_kernel[(splits, pairs)](
            cache.values, cache.value_steps, tops, reaches, kept, belows, numerators, *place,
            **more, **self._warps(0),
        )  # fmt: skip
        split_end_kernel[(pairs,)](
            tops, reaches, belows, numerators, out, splits, pairs, **sizes, **self._warps(0)
        )
        return out

    def high(
        self, q: Tensor, steps: Tensor, weight: Tensor, scales: Tensor, coded: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Integer weights of the high digits, int32 [M, digits], and each row's greatest logit [M].

        `coded` uint8 [256 digits] is 0 for tokens that get no weight.
        """
        rows, depth = q.shape
        digits = len(coded) // RADIX
        tile = self.tiles.product or (power_above(rows, 16, 64), 0, power_above(depth, 32, 64))
        grid = digits, -(-rows // tile[0])
        size = {"K": depth, "BM": tile[0], "BK": tile[2], **self._warps(1 << 14)}
        tops = self._floats(rows, digits)
        head = q, steps, weight, scales, coded
        head_max_kernel[grid](*head, tops, rows, len(weight), digits, **size)
        top = tops.amax(dim=1)
        sums = torch.empty(rows, digits, dtype=torch.int32, device=self.device)
        head_sum_kernel[grid](*head, top, sums, rows, len(weight), digits, **size)
        return sums, top

    def low(
        self,
        q: Tensor,
        steps: Tensor,
        weight: Tensor,
        scales: Tensor,
        coded: Tensor,
        top: Tensor,
        high: Tensor,
    ) -> Tensor:
        """Integer weights int32 [M, 256] of the tokens with high digits `high` int64 [M].

        `top` [M] is each row's greatest logit, as `high` returned it.
        """
        rows, depth = q.shape
        out = torch.empty(rows, RADIX, dtype=torch.int32, device=self.device)
        low_kernel[(rows,)](
            q, steps, weight, scales, coded, top, high, out, len(weight),
            K=depth, BK=power_above(depth, 32, 64), **self._warps(0),
        )  # fmt: skip
        return out

    def frequencies(self, weights: Tensor) -> Tensor:
        """`arithmetic.frequencies` of integer weights int32 [M, n]."""
        rows, digits = weights.shape
        out = torch.empty_like(weights)
        laid_out = power_above(digits)
        at_once = self._rows_at_once(rows, 2 * laid_out)
        frequencies_kernel[(-(-rows // at_once),)](
            weights, out, rows, N=digits, SIZE=laid_out, ROWS=at_once, **self._warps(0)
        )
        return out

    def _by_rows(
        self, kernel: Any, rows: int, width: int, *tensors: Tensor, extra: tuple[float, ...] = ()
    ) -> None:
        """Launch a kernel that takes whole rows of `width` values."""
        laid_out = power_above(width)
        at_once = self._rows_at_once(rows, laid_out)
        kernel[(-(-rows // at_once),)](
            *tensors, rows, *extra, D=width, WIDTH=laid_out, BLOCK=hadamard_block(width),
            ROWS=at_once, **self._warps(laid_out * 4),
        )  # fmt: skip

    def _rows_at_once(self, rows: int, width: int) -> int:
        if self.tiles.rows:
            return self.tiles.rows
        if self.interpreted:
            return power_above(rows, 1, max(1, (1 << 16) // width))
        return power_above(rows, 1, max(1, 1024 // width))

    def _tile(self, rows: int, columns: int, depth: int) -> tuple[int, int, int]:
        deep = power_above(depth, 32, 128)
        most = power_above(rows, 16, 128)
        if self.interpreted:
            return most, power_above(columns, 16, 256), deep
        for tile in ((128, 128), (128, 64), (64, 64), (32, 64), (16, 64)):
            programs = -(-rows // tile[0]) * -(-columns // tile[1])
            if tile[0] <= most and programs >= self.processors:
                return *tile, deep
        return min(most, 16), 32, deep

    def _warps(self, tile: int) -> dict[str, Any]:
        """Launch options for programs that hold `tile` accumulators (0: few)."""
        warps = 16 if tile >= 1 << 16 else 8 if tile >= 1 << 14 else 4
        return {"num_warps": warps, **_FUSION_OFF}

    def _floats(self, *shape: int) -> Tensor:
        return torch.empty(shape, device=self.device)

    def _quantized(self, rows: int, width: int) -> tuple[Tensor, Tensor]:
        return torch.empty(rows, width, dtype=torch.int8, device=self.device), self._floats(rows)
