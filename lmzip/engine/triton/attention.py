"""Attention over the int8 cache, section 7: maxima first, then sums of integers.

The queries of one key/value head of one stream are rows (token, member of the group). Sinks are met
by the far queries, all else by the near ones: each is one *segment* of positions. Every sum is of
integers, so any cut of the positions into tiles and splits gives the same bits.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .arithmetic import ceiling, exp2, exponent, power_of_two, rint

NOTHING = tl.constexpr(-1.0e30)
UNIT = tl.constexpr(2.0**20)
LARGEST = tl.constexpr(16383.0)


@triton.jit
def load_queries(queries, steps, token, member, kv, H: tl.constexpr, G: tl.constexpr,
                 E: tl.constexpr, EP: tl.constexpr):  # fmt: skip
    """int8 [BM, EP] and steps [BM] of the rows token [BM] (of all streams), member [BM]."""
    feature = tl.arange(0, EP)
    row = token.to(tl.int64) * H + kv * G + member
    found = tl.load(
        queries + row[:, None] * E + feature[None, :], mask=(feature < E)[None, :], other=0
    )
    return found, tl.load(steps + row)


@triton.jit
def scores(query, step, keys, key_steps, position, slot, end, now, window, sinks,
           E: tl.constexpr, EP: tl.constexpr):  # fmt: skip
    """z [BM, BN] of queries at `now` [BM] for the keys at `position` [BN], and who sees whom."""
    feature = tl.arange(0, EP)
    inside = position < end
    key = tl.load(
        keys + slot[None, :] * E + feature[:, None],
        mask=inside[None, :] & (feature < E)[:, None],
        other=0,
    )
    products = tl.dot(query, key, out_dtype=tl.int32).to(tl.float32)
    key_step = tl.load(key_steps + slot, mask=inside, other=0.0)
    seen = (position[None, :] > now[:, None] - window) | (position < sinks)[None, :]
    seen = seen & (position[None, :] <= now[:, None]) & inside[None, :]
    return products * key_step[None, :] * step[:, None], seen


@triton.jit
def slots_of(position, sinks, ring):
    """Where the cache holds those positions."""
    return tl.where(position < sinks, position, sinks + tl.maximum(position - sinks, 0) % ring)


@triton.jit
def maxima(top, reach, query, step, keys, key_steps, value_steps, kept, stride, first, end,
           now, window, sinks, ring,
           E: tl.constexpr, EP: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr,
           KEEP: tl.constexpr):  # fmt: skip
    """`top` and `reach` [BM] of section 7, taken on over the positions first .. end - 1.

    The scores of the first KEEP rows i and positions p go to kept[i * stride + p].
    """
    for start in range(first, end, BN):
        position = start + tl.arange(0, BN)
        slot = slots_of(position, sinks, ring)
        z, seen = scores(query, step, keys, key_steps, position, slot, end, now, window, sinks,
                         E, EP)  # fmt: skip
        value_step = tl.load(value_steps + slot, mask=position < end, other=1.0)
        top = tl.maximum(top, tl.max(tl.where(seen, z, NOTHING), axis=1))
        above = tl.where(seen, z + exponent(value_step)[None, :], NOTHING)
        reach = tl.maximum(reach, tl.max(above, axis=1))
        if KEEP:
            row = tl.arange(0, BM)
            place = row[:, None] * stride + position[None, :]
            tl.store(kept + place, z, mask=(row < KEEP)[:, None] & seen)
    return top, reach


@triton.jit
def weigh(below, upper, lower, z, seen, top, power, values, value_steps, slot, inside,
          E: tl.constexpr, EP: tl.constexpr):  # fmt: skip
    """D [BM] int64 and N [BM, EP] = 128 upper + lower of section 7, with BN positions more.

    `power` is 2**(14 - m). The planes' sums stay within int32 over 133,143 positions.
    """
    feature = tl.arange(0, EP)
    value_step = tl.load(value_steps + slot, mask=inside, other=0.0)
    w = tl.where(seen, exp2(z - top[:, None]), 0.0)
    below += tl.sum(rint(w * UNIT).to(tl.int32), axis=1).to(tl.int64)
    n = rint((w * value_step[None, :]) * power[:, None])
    n = tl.minimum(n, LARGEST).to(tl.int32)
    value = tl.load(
        values + slot[:, None] * E + feature[None, :],
        mask=inside[:, None] & (feature < E)[None, :],
        other=0,
    )
    upper = tl.dot((n >> 7).to(tl.int8), value, upper, out_dtype=tl.int32)
    lower = tl.dot((n & 127).to(tl.int8), value, lower, out_dtype=tl.int32)
    return below, upper, lower


@triton.jit
def sums(below, upper, lower, top, power, query, step, keys, key_steps, values, value_steps,
         first, end, now, window, sinks, ring,
         E: tl.constexpr, EP: tl.constexpr, BN: tl.constexpr):  # fmt: skip
    """`weigh` over the positions first .. end - 1, their scores computed again."""
    for start in range(first, end, BN):
        position = start + tl.arange(0, BN)
        slot = slots_of(position, sinks, ring)
        z, seen = scores(query, step, keys, key_steps, position, slot, end, now, window, sinks,
                         E, EP)  # fmt: skip
        below, upper, lower = weigh(below, upper, lower, z, seen, top, power, values, value_steps,
                                    slot, position < end, E, EP)  # fmt: skip
    return below, upper, lower


@triton.jit
def sums_kept(below, upper, lower, top, power, kept, values, value_steps, first, end, sinks, ring,
              E: tl.constexpr, EP: tl.constexpr, BN: tl.constexpr):  # fmt: skip
    """`weigh` over the positions first .. end - 1, their scores at kept [BM] + position; all of
    them are seen."""
    for start in range(first, end, BN):
        position = start + tl.arange(0, BN)
        inside = position < end
        z = tl.load(kept[:, None] + position[None, :], mask=inside[None, :], other=NOTHING)
        below, upper, lower = weigh(below, upper, lower, z, inside[None, :], top, power, values,
                                    value_steps, slots_of(position, sinks, ring), inside,
                                    E, EP)  # fmt: skip
    return below, upper, lower


@triton.jit
def finish(numerator, below, shift):
    """out [BM, EP] of section 7 from the integers N and D; `shift` is m."""
    factor = tl.div_rn(power_of_two(shift + 6.0), below.to(tl.float32))
    return numerator.to(tl.float32) * factor[:, None]


@triton.jit
def attend_kernel(
    near, near_steps, far, far_steps, keys, key_steps, values, value_steps, out,
    streams, position, count, window, sinks, ring, slots,
    H: tl.constexpr, KV: tl.constexpr, G: tl.constexpr, E: tl.constexpr, EP: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr,
):  # fmt: skip
    """out [M, H, E] for all new tokens of a stream; a program takes BM rows of one K/V head."""
    stream = tl.program_id(1) // KV
    kv = tl.program_id(1) % KV
    row = tl.program_id(0) * BM + tl.arange(0, BM)
    last = G * count - 1
    kept = tl.minimum(row, last)  # rows beyond the last repeat it
    member = kept % G
    token = stream * count + kept // G
    start = tl.load(position)
    now = start + kept // G
    earliest = start + tl.program_id(0) * BM // G
    end = start + tl.minimum(tl.program_id(0) * BM + BM - 1, last) // G + 1
    first = tl.maximum(sinks, earliest - window + 1)
    sink_end = tl.minimum(sinks, end)
    near_q, near_s = load_queries(near, near_steps, token, member, kv, H, G, E, EP)
    far_q, far_s = load_queries(far, far_steps, token, member, kv, H, G, E, EP)
    cell = (tl.load(streams + stream).to(tl.int64) * KV + kv) * slots
    keys += cell * E
    values += cell * E
    key_steps += cell
    value_steps += cell

    top = tl.full((BM,), NOTHING, tl.float32)
    reach = tl.full((BM,), NOTHING, tl.float32)
    top, reach = maxima(top, reach, far_q, far_s, keys, key_steps, value_steps, out, 0,
                        0, sink_end, now, window, sinks, ring, E, EP, BM, BN, 0)  # fmt: skip
    top, reach = maxima(top, reach, near_q, near_s, keys, key_steps, value_steps, out, 0,
                        first, end, now, window, sinks, ring, E, EP, BM, BN, 0)  # fmt: skip
    shift = ceiling(reach - top)
    power = power_of_two(14.0 - shift)
    below = tl.zeros((BM,), tl.int64)
    upper = tl.zeros((BM, EP), tl.int32)
    lower = tl.zeros((BM, EP), tl.int32)
    below, upper, lower = sums(
        below, upper, lower, top, power, far_q, far_s, keys, key_steps, values, value_steps,
        0, sink_end, now, window, sinks, ring, E, EP, BN,
    )  # fmt: skip
    below, upper, lower = sums(
        below, upper, lower, top, power, near_q, near_s, keys, key_steps, values, value_steps,
        first, end, now, window, sinks, ring, E, EP, BN,
    )  # fmt: skip
    attended = finish(upper.to(tl.int64) * 128 + lower, below, shift)
    feature = tl.arange(0, EP)
    place = (token.to(tl.int64) * H + kv * G + member)[:, None] * E + feature[None, :]
    tl.store(out + place, attended, mask=(row <= last)[:, None] & (feature < E)[None, :])


@triton.jit
def split_range(position, sinks, window, SPAN: tl.constexpr):
    """What this program's split (grid axis 0) of one token's positions covers: the token's
    position, the end of the sinks, how many positions behind them are out of sight, and the first
    and end of the rest.

    Split 0 has the sinks; split s of the rest those s SPAN .. (s + 1) SPAN - 1.
    """
    at = tl.load(position)
    passed = tl.maximum(at - window + 1 - sinks, 0)
    first = sinks + passed + tl.program_id(0) * SPAN
    sink_end = tl.where(tl.program_id(0) == 0, tl.minimum(sinks, at + 1), 0)
    return at, sink_end, passed, first, tl.minimum(first + SPAN, at + 1)


@triton.jit
def whole_maxima(tops, reaches, member, pair, pairs, splits, G: tl.constexpr, BM: tl.constexpr):
    """`top` and `reach` [BM] of one K/V head of one stream over all splits."""
    top = tl.full((BM,), NOTHING, tl.float32)
    reach = tl.full((BM,), NOTHING, tl.float32)
    for split in range(0, splits):
        place = (split * pairs + pair) * G + member
        top = tl.maximum(top, tl.load(tops + place))
        reach = tl.maximum(reach, tl.load(reaches + place))
    return top, reach


@triton.jit
def split_max_kernel(
    near, near_steps, far, far_steps, keys, key_steps, value_steps, tops, reaches, kept,
    streams, position, stride, window, sinks, ring, slots,
    H: tl.constexpr, KV: tl.constexpr, G: tl.constexpr, E: tl.constexpr, EP: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """tops, reaches [splits, B KV, G] for one new token a stream, and its scores, so that keys are
    read once: kept [B KV, G, stride], the sinks' first, then those of the positions in sight."""
    pair = tl.program_id(1)
    stream = pair // KV
    kv = pair % KV
    row = tl.arange(0, BM)
    member = tl.minimum(row, G - 1)
    token = tl.full((BM,), 0, tl.int32) + stream
    at, sink_end, passed, first, end = split_range(position, sinks, window, SPAN)
    now = tl.full((BM,), 0, tl.int32) + at
    near_q, near_s = load_queries(near, near_steps, token, member, kv, H, G, E, EP)
    far_q, far_s = load_queries(far, far_steps, token, member, kv, H, G, E, EP)
    cell = (tl.load(streams + stream).to(tl.int64) * KV + kv) * slots
    keys += cell * E
    key_steps += cell
    value_steps += cell
    kept += pair.to(tl.int64) * G * stride
    top = tl.full((BM,), NOTHING, tl.float32)
    reach = tl.full((BM,), NOTHING, tl.float32)
    top, reach = maxima(top, reach, far_q, far_s, keys, key_steps, value_steps, kept, stride,
                        0, sink_end, now, window, sinks, ring, E, EP, BM, BN, G)  # fmt: skip
    top, reach = maxima(top, reach, near_q, near_s, keys, key_steps, value_steps, kept - passed,
                        stride, first, end, now, window, sinks, ring, E, EP, BM, BN, G)  # fmt: skip
    place = (tl.program_id(0) * tl.num_programs(1) + pair) * G + row
    tl.store(tops + place, top, mask=row < G)
    tl.store(reaches + place, reach, mask=row < G)


@triton.jit
def split_sum_kernel(
    values, value_steps, tops, reaches, kept, belows, numerators,
    streams, position, stride, window, sinks, ring, slots,
    KV: tl.constexpr, G: tl.constexpr, E: tl.constexpr, EP: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, SPAN: tl.constexpr,
):  # fmt: skip
    """D: belows int64 [splits, B KV, G], N: numerators int64 [splits, B KV, G, E]; tops, reaches
    and kept are those of `split_max_kernel`."""
    pair = tl.program_id(1)
    stream = pair // KV
    kv = pair % KV
    row = tl.arange(0, BM)
    member = tl.minimum(row, G - 1)
    _, sink_end, passed, first, end = split_range(position, sinks, window, SPAN)
    cell = (tl.load(streams + stream).to(tl.int64) * KV + kv) * slots
    values += cell * E
    value_steps += cell
    row_kept = kept + (pair.to(tl.int64) * G + member) * stride
    top, reach = whole_maxima(
        tops, reaches, member, pair, tl.num_programs(1), tl.num_programs(0), G, BM
    )
    power = power_of_two(14.0 - ceiling(reach - top))
    below = tl.zeros((BM,), tl.int64)
    upper = tl.zeros((BM, EP), tl.int32)
    lower = tl.zeros((BM, EP), tl.int32)
    below, upper, lower = sums_kept(below, upper, lower, top, power, row_kept, values, value_steps,
                                    0, sink_end, sinks, ring, E, EP, BN)  # fmt: skip
    below, upper, lower = sums_kept(below, upper, lower, top, power, row_kept - passed, values,
                                    value_steps, first, end, sinks, ring, E, EP, BN)  # fmt: skip
    feature = tl.arange(0, EP)
    place = (tl.program_id(0) * tl.num_programs(1) + pair).to(tl.int64) * G + row
    tl.store(belows + place, below, mask=row < G)
    tl.store(
        numerators + place[:, None] * E + feature[None, :],
        upper.to(tl.int64) * 128 + lower,
        mask=(row < G)[:, None] & (feature < E)[None, :],
    )


@triton.jit
def split_end_kernel(
    tops, reaches, belows, numerators, out, splits, pairs,
    G: tl.constexpr, E: tl.constexpr, EP: tl.constexpr, BM: tl.constexpr,
):  # fmt: skip
    """out [B KV, G, E] (which is [B, H, E]) from the splits' integers; `pairs` is B KV."""
    pair = tl.program_id(0)
    row = tl.arange(0, BM)
    member = tl.minimum(row, G - 1)
    feature = tl.arange(0, EP)
    top, reach = whole_maxima(tops, reaches, member, pair, pairs, splits, G, BM)
    below = tl.zeros((BM,), tl.int64)
    numerator = tl.zeros((BM, EP), tl.int64)
    for split in range(0, splits):
        place = (split * pairs + pair).to(tl.int64) * G + member
        below += tl.load(belows + place)
        part = numerators + place[:, None] * E + feature[None, :]
        numerator += tl.load(part, mask=(feature < E)[None, :], other=0)
    attended = finish(numerator, below, ceiling(reach - top))
    place = (pair.to(tl.int64) * G + row)[:, None] * E + feature[None, :]
    tl.store(out + place, attended, mask=(row < G)[:, None] & (feature < E)[None, :])
