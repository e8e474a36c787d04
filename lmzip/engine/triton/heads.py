"""Queries, keys and values on their way to attention: norms, rotary positions, the int8 cache."""

from __future__ import annotations

import triton
import triton.language as tl

from .arithmetic import FLOOR, INT8_MAX, INT8_STEP, WIDE_MAX, WIDE_STEP, rint


@triton.jit
def largest(first, second):
    """Per head, the largest magnitude of both halves [ROWS, HEADS, HALF], at least FLOOR."""
    found = tl.max(tl.maximum(tl.abs(first), tl.abs(second)), axis=2)
    return tl.maximum(found, FLOOR)


@triton.jit
def quantize_halves(first, second):
    """QUANTISE of heads that are held as two halves: two int8 blocks, steps [ROWS, HEADS]."""
    a = largest(first, second)
    c = tl.div_rn(INT8_MAX, a)[:, :, None]
    first = rint(first * c).to(tl.int32).to(tl.int8)
    return first, rint(second * c).to(tl.int32).to(tl.int8), a * INT8_STEP


@triton.jit
def squares(x, c):
    """int64 [ROWS, HEADS]: sums of rint(x c)**2."""
    r = rint(x * c[:, :, None]).to(tl.int32)
    return tl.sum((r * r).to(tl.int64), axis=2)


@triton.jit
def heads_rms(first, second, eps, E: tl.constexpr):
    """RMS of section 5 of every head of E values: [ROWS, HEADS]."""
    a = largest(first, second)
    u = a * WIDE_STEP
    c = tl.div_rn(WIDE_MAX, a)
    total = (squares(first, c) + squares(second, c)).to(tl.float32)
    return tl.sqrt_rn(total * (1.0 / E) * (u * u) + eps)


@triton.jit
def heads_kernel(
    qkv, cosines, sines, q_norm, k_norm,
    near, near_steps, far, far_steps, keys, key_steps, values, value_steps,
    streams, position, rows, count, eps, scale, window, sinks, ring, slots,
    H: tl.constexpr, KV: tl.constexpr, E: tl.constexpr, QK_NORM: tl.constexpr, FAR: tl.constexpr,
    HEADS: tl.constexpr, HALF: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Sections 5 and 6 for qkv [M, (H + 2 KV) E], the M = B * count new tokens at positions
    position[0] onwards, in HEADS x HALF blocks.

    Queries go to near [M, H, E], rotated by t, and with FAR to far, rotated by min(t, window);
    their steps [M, H] are those of section 7 times `scale`. Keys and values go to their slots of
    the cache of one layer: keys, values [streams made for, KV, slots, E], steps without E. Stream
    b has row streams[b] of it. cosines, sines [positions, E / 2].
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    head = tl.arange(0, HEADS)
    pair = tl.arange(0, HALF)
    there = row < rows
    now = tl.load(position) + row % count
    here = there[:, None] & (head < H + 2 * KV)[None, :]
    inside = here[:, :, None] & (pair < E // 2)[None, None, :]
    wide = row.to(tl.int64)[:, None]
    place = (wide * ((H + 2 * KV) * E) + head[None, :] * E)[:, :, None] + pair[None, None, :]
    first = tl.load(qkv + place, mask=inside, other=0.0)
    second = tl.load(qkv + place + E // 2, mask=inside, other=0.0)

    is_query = (head < H)[None, :, None]
    is_value = (head >= H + KV)[None, :, None]
    if QK_NORM:
        root = heads_rms(first, second, eps, E)[:, :, None]
        of_pair = (pair < E // 2)[None, None, :]
        gain = q_norm + pair[None, None, :]
        gain_k = k_norm + pair[None, None, :]
        first_gain = tl.where(is_query, tl.load(gain, of_pair, 0.0), tl.load(gain_k, of_pair, 0.0))
        gain += E // 2
        gain_k += E // 2
        second_gain = tl.where(is_query, tl.load(gain, of_pair, 0.0), tl.load(gain_k, of_pair, 0.0))
        first = tl.where(is_value, first, tl.div_rn(first, root) * first_gain)
        second = tl.where(is_value, second, tl.div_rn(second, root) * second_gain)

    angle_mask = there[:, None] & (pair < E // 2)[None, :]
    angle = now.to(tl.int64)[:, None] * (E // 2) + pair[None, :]
    cosine = tl.load(cosines + angle, mask=angle_mask, other=0.0)[:, None, :]
    sine = tl.load(sines + angle, mask=angle_mask, other=0.0)[:, None, :]
    near_first = tl.where(is_value, first, first * cosine - second * sine)
    near_second = tl.where(is_value, second, second * cosine + first * sine)
    q_first, q_second, step = quantize_halves(near_first, near_second)
    query_mask = here & (head < H)[None, :]
    query = wide * H + head[None, :]
    elements = query_mask[:, :, None] & (pair < E // 2)[None, None, :]
    target = query[:, :, None] * E + pair[None, None, :]
    tl.store(near + target, q_first, mask=elements)
    tl.store(near + target + E // 2, q_second, mask=elements)
    tl.store(near_steps + query, step * scale, mask=query_mask)

    slot = tl.where(now < sinks, now, sinks + tl.maximum(now - sinks, 0) % ring)
    stream = tl.load(streams + row // count, mask=there, other=0).to(tl.int64)
    kv = tl.where(head >= H + KV, head - (H + KV), head - H)
    cell = (stream[:, None] * KV + kv[None, :]) * slots + slot[:, None]
    cells = cell[:, :, None] * E + pair[None, None, :]
    key_mask = here & ((head >= H) & (head < H + KV))[None, :]
    elements = key_mask[:, :, None] & (pair < E // 2)[None, None, :]
    tl.store(keys + cells, q_first, mask=elements)
    tl.store(keys + cells + E // 2, q_second, mask=elements)
    tl.store(key_steps + cell, step, mask=key_mask)
    value_mask = here & (head >= H + KV)[None, :]
    elements = value_mask[:, :, None] & (pair < E // 2)[None, None, :]
    tl.store(values + cells, q_first, mask=elements)
    tl.store(values + cells + E // 2, q_second, mask=elements)
    tl.store(value_steps + cell, step, mask=value_mask)

    if FAR:
        angle = tl.minimum(now, window).to(tl.int64)[:, None] * (E // 2) + pair[None, :]
        cosine = tl.load(cosines + angle, mask=angle_mask, other=0.0)[:, None, :]
        sine = tl.load(sines + angle, mask=angle_mask, other=0.0)[:, None, :]
        q_first, q_second, step = quantize_halves(
            first * cosine - second * sine, second * cosine + first * sine
        )
        elements = query_mask[:, :, None] & (pair < E // 2)[None, None, :]
        tl.store(far + target, q_first, mask=elements)
        tl.store(far + target + E // 2, q_second, mask=elements)
        tl.store(far_steps + query, step * scale, mask=query_mask)
