"""Triton's kernels: every one gives the reference's bits, in Triton's interpreter on the CPU.

LMZIP_TEST_DEVICE=cuda runs the same tests on a GPU; the one marked `gpu` does so.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lmzip.engine import RADIX, arithmetic, exact
from lmzip.engine.arithmetic import EXP2_LIMIT, SUPPRESSED_LOGIT, rope_table

from .triton_device import DEVICE, elementwise_kernel, interpreted, interpreter  # noqa: F401

from lmzip.engine.triton.launch import CacheView, Kernels, Queries, Tiles  # isort: skip


def kernels(**tiles) -> Kernels:
    return Kernels(torch.device(DEVICE), Tiles(**tiles))


def there(*arrays):
    """Tensors on the device under test."""
    found = [torch.as_tensor(array).to(DEVICE) for array in arrays]
    return found if len(found) > 1 else found[0]


def same(expected, got):
    """Equal bits, except that zeros have no sign."""
    expected, got = (np.asarray(torch.as_tensor(x).cpu()) for x in (expected, got))
    assert expected.dtype == got.dtype
    np.testing.assert_array_equal(expected.reshape(got.shape), got)


def floats(rng, *shape) -> torch.Tensor:
    """Binary32 numbers of many magnitudes; row 0 is 0, row 1 tiny, row 2 large."""
    x = rng.standard_normal(shape) * 2.0 ** rng.integers(-12, 12, shape)
    for row, factor in zip(range(len(x)), (0.0, 2.0**-70, 2.0**40), strict=False):
        x[row] *= factor
    return torch.from_numpy(x.astype(np.float32))


def int8(rng, *shape) -> torch.Tensor:
    """-127..127; the last row takes the largest magnitudes only."""
    x = rng.integers(-127, 128, shape)
    x[-1] = rng.choice([-127, 127], shape[1:])
    return torch.from_numpy(x.astype(np.int8))


def elementwise(what: str, x: torch.Tensor) -> torch.Tensor:
    x = there(x.contiguous())
    out = torch.empty_like(x)
    elementwise_kernel[(-(-len(x) // 4096),)](
        x, out, len(x), WHAT=what, SIZE=4096, enable_fp_fusion=False
    )
    return out


def test_rounding_is_to_even_and_up_to_the_largest_weight():
    rng = np.random.default_rng(0)
    halves = np.arange(-5000, 5000, dtype=np.float32) / 2
    large = np.float32(1 << 22) - np.arange(4000, dtype=np.float32) / 4
    wild = (rng.standard_normal(4000) * 2.0 ** rng.integers(-40, 20, 4000)).astype(np.float32)
    x = np.concatenate([halves, large, -large, wild, np.nextafter(halves, np.float32(9e9))])
    same(np.rint(x), elementwise("rint", torch.from_numpy(x)))
    x = np.concatenate([x, np.float32([1e-45, -1e-45, 2**-126, 1e-39])])
    same(np.ceil(x), elementwise("ceiling", torch.from_numpy(x)))


def test_powers_of_two():
    rng = np.random.default_rng(1)
    x = np.concatenate(
        [
            np.arange(-EXP2_LIMIT - 3, EXP2_LIMIT + 3, 0.25),
            rng.uniform(-130, 130, 5000),
            rng.standard_normal(2000) * 2.0 ** rng.integers(-60, 0, 2000),
            [0.0, -0.0, 0.5, -0.5, 1e30, -1e30, SUPPRESSED_LOGIT],
        ]
    )
    x = torch.from_numpy(x.astype(np.float32))
    same(exact.exp2(x.clone()), elementwise("exp2", x))
    positive = x.abs().clamp_min(2.0**-120)
    same(exact.exponent(positive), elementwise("exponent", positive))


WIDTHS = [64, 40, 7, 1, 192]


@pytest.mark.parametrize("rows", [1, 5, 17])
def test_rows_are_normed_rotated_gated(rows):
    rng = np.random.default_rng(rows)
    for width in WIDTHS:
        x, gain = floats(rng, rows, width), floats(rng, 4, width)[3]
        wide = floats(rng, rows, 2 * width)
        wide[-1, :width] = torch.from_numpy(rng.uniform(-300, 300, width).astype(np.float32))
        for at_once in (None, 4):
            run = kernels(rows=at_once)
            for expected, got in (
                (exact.norm_quantize(x, gain, 1e-5), run.norm(*there(x, gain), 1e-5)),
                (exact.quantize(exact.hadamard(x)), run.rotate(there(x))),
                (exact.quantize(exact.hadamard(exact.silu_gate(wide))), run.gate(there(wide))),
            ):
                same(expected[0], got[0])
                same(expected[1], got[1])


def test_embedding():
    rng = np.random.default_rng(2)
    table, scales = int8(rng, 30, 48), floats(rng, 30)
    tokens = torch.from_numpy(rng.integers(0, 30, 19))
    expected = exact.hadamard(table[tokens].float()) * scales[tokens, None]
    same(expected, kernels(rows=4).embed(*there(tokens, table, scales)))


@pytest.mark.parametrize(
    ("rows", "columns", "depth"),
    [(1, 16, 32), (15, 40, 40), (16, 17, 96), (17, 130, 100), (33, 64, 64), (2, 3, 1100)],
)
def test_products(rows, columns, depth):
    rng = np.random.default_rng(rows * columns)
    q, weight = int8(rng, rows, depth), int8(rng, columns, depth)
    weight[-1] = q[-1]  # the largest sum there is
    steps, scales = floats(rng, rows), floats(rng, columns)
    bias, residual = floats(rng, columns), floats(rng, rows, columns)
    product = exact.project(exact.IntMatmul(q.device), q, steps[:, None], weight, scales)
    for tile in (None, (16, 16, 32), (32, 64, 128)):
        run = kernels(product=tile)
        given = there(q, steps, weight, scales)
        same(product, run.product(*given))
        same(product + bias, run.product(*given, bias=there(bias)))
        total = there(residual.clone())
        run.product(*given, residual=total)
        same(residual + product, total)


@pytest.mark.parametrize("qk_norm", [False, True])
@pytest.mark.parametrize(
    ("start", "count", "window", "sinks"), [(0, 5, 100, 0), (9, 3, 6, 2), (1, 1, 4, 4)]
)
def test_heads_are_rotated_and_cached(qk_norm, start, count, window, sinks):
    rng = np.random.default_rng(start)
    batch, heads, kv, width, slots = 3, 4, 2, 12, 11
    ring = slots - sinks
    qkv = floats(rng, batch * count, (heads + 2 * kv) * width)
    turns = rng.integers(0, 1 << 64, width // 2, dtype=np.uint64)
    angles = [torch.from_numpy(x) for x in rope_table(turns, 0, 40)]
    norms = floats(rng, 5, width)[3:]
    positions = np.arange(start, start + count)
    streams = torch.tensor([2, 0, 3], dtype=torch.int32)

    q, k, v = qkv.view(batch, count, -1, width).split([heads, kv, kv], dim=2)
    if qk_norm:
        q, k = exact.head_norm(q, norms[0], 1e-5), exact.head_norm(k, norms[1], 1e-5)
    near = exact.quantize(exact.rotate(q, *(x[positions] for x in angles)))
    far = exact.quantize(exact.rotate(q, *(x[np.minimum(positions, window)] for x in angles)))
    stored = exact.quantize(exact.rotate(k, *(x[positions] for x in angles))), exact.quantize(v)

    cache = torch.zeros(2, 4, kv, slots, width, dtype=torch.int8), torch.zeros(2, 4, kv, slots)
    (keys, values), (key_steps, value_steps) = cache
    view = CacheView(
        *there(keys, key_steps, values, value_steps, streams),
        there(torch.tensor([start], dtype=torch.int32)), window, sinks, ring,
    )  # fmt: skip
    for at_once in (None, 2):
        view = dataclasses.replace(
            view, **{n: torch.zeros_like(getattr(view, n)) for n in ("keys", "values")}
        )
        got = kernels(rows=at_once).heads(
            there(qkv), tuple(there(*angles)), tuple(there(*norms)) if qk_norm else None, view,
            heads=heads, eps=1e-5, scale=0.3,
        )  # fmt: skip
        same(near[0], got.near)
        same(near[1] * 0.3, got.near_steps)
        same((far if sinks else near)[0], got.far)
        same((far if sinks else near)[1] * 0.3, got.far_steps)
        slot = [p if p < sinks else sinks + (p - sinks) % ring for p in positions]
        for (values, steps), into, step_into in (
            (stored[0], view.keys, view.key_steps),
            (stored[1], view.values, view.value_steps),
        ):
            same(values.transpose(1, 2), into.cpu()[streams.long()][:, :, slot])
            same(steps.squeeze(-1).transpose(1, 2), step_into.cpu()[streams.long()][:, :, slot])
            assert int(into.ne(0).sum()) == int(values.ne(0).sum())


def attended(queries: Queries, view: CacheView, count: int) -> np.ndarray:
    """Section 7 of NUMERICS.md, one query after another: [M, H E]."""
    one = np.float32(1)
    start = int(view.position[0])
    batch, (_, heads, width) = len(view.streams), queries.near.shape
    kv = view.keys.shape[1]
    out = np.zeros((batch * count, heads, width), np.float32)
    for row, head in np.ndindex(batch * count, heads):
        t = start + row % count
        stream, group = int(view.streams[row // count]), head // (heads // kv)
        seen = [p for p in range(t + 1) if p > t - view.window or p < view.sinks]
        z, v, s_v = [], [], []
        for p in seen:
            slot = p if p < view.sinks else view.sinks + (p - view.sinks) % view.ring
            q, step = queries.near[row, head], queries.near_steps[row, head]
            if p < view.sinks:
                q, step = queries.far[row, head], queries.far_steps[row, head]
            k = view.keys[stream, group, slot]
            product = np.float32(int((q.numpy().astype(int) * k.numpy()).sum()))
            z.append(product * view.key_steps[stream, group, slot].numpy() * step.numpy())
            v.append(view.values[stream, group, slot].numpy().astype(int))
            s_v.append(view.value_steps[stream, group, slot].numpy())
        z, s_v = np.float32(z), np.float32(s_v)
        top = z.max()
        e = np.frexp(s_v)[1].astype(np.float32)  # s_v < 2**e, as s_v >= 2**(e - 1)
        m = np.ceil((z + e).max() - top)
        w = exact.exp2(torch.from_numpy(z - top)).numpy()
        below = sum(int(x) for x in np.rint(w * np.float32(2**20)))
        n = np.minimum(np.rint((w * s_v) * np.float32(2.0 ** (14 - m))), 16383).astype(int)
        numerator = (n[:, None] * np.array(v)).sum(0)
        factor = np.float32(2.0 ** (m + 6)) / (np.float32(below) * one)
        out[row, head] = numerator.astype(np.float32) * factor
    return out.reshape(batch * count, -1)


@pytest.mark.parametrize(
    ("start", "count", "window", "sinks", "extreme"),
    [
        (0, 1, 50, 0, False),
        (0, 13, 50, 4, True),
        (60, 3, 33, 2, False),
        (95, 2, 64, 3, True),
        (3, 2, 2, 6, False),
        (99, 1, 70, 4, True),
        (99, 1, 65, 40, False),
        (39, 1, 500, 1, False),
    ],
)
def test_attention(start, count, window, sinks, extreme):
    rng = np.random.default_rng(start)
    batch, kv, group, width = 2, 2, 3, 12
    slots = min(start + count, window + sinks + 7)
    heads, rows = kv * group, batch * count

    def steps(*shape):
        return torch.from_numpy(rng.uniform(0.001, 0.05, shape).astype(np.float32))

    cells = 3, kv, slots
    near = int8(rng, rows, heads, width)
    far = int8(rng, rows, heads, width) if sinks else near
    keys, values = int8(rng, *cells, width), int8(rng, *cells, width)
    key_steps, value_steps = steps(*cells), steps(*cells)
    if extreme:
        near[:], keys[:], values[:] = 127, 127, -127
        near[0, ::2], keys[0, :, ::2], values[1, :, ::2] = -127, -127, 127
        value_steps[:] = torch.from_numpy(2.0 ** rng.integers(-60, 60, cells).astype(np.float32))
    near_steps = steps(rows, heads)
    far_steps = steps(rows, heads) if sinks else near_steps
    queries = Queries(near, near_steps, far, far_steps)
    view = CacheView(
        keys, key_steps, values, value_steps, torch.tensor([2, 0], dtype=torch.int32),
        torch.tensor([start], dtype=torch.int32), window, sinks, slots - sinks,
    )  # fmt: skip
    expected = attended(queries, view, count)

    def moved(found):
        return dataclasses.replace(
            found, **{k: there(v) for k, v in vars(found).items() if isinstance(v, torch.Tensor)}
        )

    for span in (32, None) if count == 1 else (None,):
        run = kernels(queries=16, positions=32, span=span)
        same(expected, run.attend(moved(queries), moved(view), start + count))


@pytest.mark.parametrize(("rows", "vocab"), [(1, 290), (17, 600), (3, 256)])
def test_head_and_digits(rows, vocab):
    rng = np.random.default_rng(vocab)
    width = 40
    q, weight = int8(rng, rows, width), int8(rng, vocab, width)
    steps = torch.from_numpy(rng.uniform(1e-4, 1e-2, rows).astype(np.float32))
    scales = torch.from_numpy(rng.uniform(1e-3, 1e-2, vocab).astype(np.float32))
    digits = -(-vocab // RADIX)
    coded = torch.zeros(digits * RADIX, dtype=torch.uint8)
    coded[:vocab] = 1
    coded[[0, 7, vocab - 1]] = 0
    logits = exact.IntMatmul(q.device)(q, weight).float() * (
        (steps[:, None] * float(np.float32(1.4426950408889634))) * scales
    )
    logits = torch.nn.functional.pad(logits, (0, -vocab % RADIX))
    logits[:, coded == 0] = SUPPRESSED_LOGIT
    top = logits.amax(1, keepdim=True)
    weights = torch.round(exact.exp2(logits - top) * 2.0**22).to(torch.int32)
    high = torch.from_numpy(rng.integers(0, digits, rows))
    head = there(q, steps, weight, scales, coded)
    for tile in (None, (16, 0, 32)):
        run = kernels(product=tile)
        sums, tops = run.high(*head)
        same(top, tops)
        same(weights.view(rows, digits, RADIX).sum(-1, dtype=torch.int32), sums)
        expected = weights.view(rows, digits, RADIX)[torch.arange(rows), high]
        same(expected, run.low(*head, tops, there(high)))


@pytest.mark.parametrize("digits", [1, 2, 7, 193, 256, 1001])
def test_weights_become_frequencies(digits):
    rng = np.random.default_rng(digits)
    weights = (2.0 ** rng.uniform(-1, 22, (37, digits))).astype(np.int32)
    weights[rng.random((37, digits)) < 0.3] = 0
    weights[0] = 0
    weights[1], weights[1, digits // 2] = 0, 1
    weights[2] = 1 << 22
    weights[3], weights[3, -1] = 0, 1 << 30
    weights[4], weights[4, 0] = 0, 1 << 30
    expected = arithmetic.frequencies(weights)
    for at_once in (None, 4):
        same(expected, kernels(rows=at_once).frequencies(there(weights)))


@pytest.mark.gpu
@interpreted
def test_the_same_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    engine_tests = str(Path(__file__).with_name("test_triton_engine.py"))
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", __file__, engine_tests],
        check=True, cwd=Path(__file__).parent.parent,
        env=environment | {"LMZIP_TEST_DEVICE": "cuda"},
    )  # fmt: skip
