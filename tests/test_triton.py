"""The Triton engine: every kernel gives the reference's bits, in Triton's interpreter on the CPU.

LMZIP_TEST_DEVICE=cuda runs the same tests on a GPU; the one marked `gpu` does so.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import lmzip as api
from lmzip.codec import CodingParameters, OneModel
from lmzip.engine import RADIX, Pack, devices, exact
from lmzip.engine.arithmetic import EXP2_LIMIT, SUPPRESSED_LOGIT, rope_table
from lmzip.engine.reference import ReferenceEngine
from lmzip.engine.selftest import require_selftest
from lmzip.errors import EngineError
from lmzip.models import source
from lmzip.models.checkpoint import read_folder
from lmzip.models.convert import build_pack
from lmzip.models.source import load_model

from . import tiny
from .test_engine import KINDS, frequencies, random_tokens

DEVICE = os.environ.get("LMZIP_TEST_DEVICE", "cpu")

with pytest.MonkeyPatch.context() as patch:  # Triton asks once, when it is first imported
    patch.setenv("TRITON_INTERPRET", "1" if DEVICE == "cpu" else "0")
    triton = pytest.importorskip(
        "triton", reason="Triton is not installed (there is the extra gpu)"
    )
    import triton.language as tl

    from lmzip.engine import triton_engine
    from lmzip.engine.triton import arithmetic as functions
    from lmzip.engine.triton import probe
    from lmzip.engine.triton.launch import CacheView, Kernels, Queries, Tiles
    from lmzip.engine.triton_engine import TritonEngine

    @triton.jit
    def elementwise_kernel(x, out, count, WHAT: tl.constexpr, SIZE: tl.constexpr):
        place = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
        y = tl.load(x + place, mask=place < count, other=1.0)
        if WHAT == "rint":
            y = functions.rint(y)
        if WHAT == "ceiling":
            y = functions.ceiling(y)
        if WHAT == "exponent":
            y = functions.exponent(y)
        if WHAT == "exp2":
            y = functions.exp2(y)
        tl.store(out + place, y, mask=place < count)


interpreted = pytest.mark.skipif(DEVICE != "cpu", reason="about the interpreter")


@pytest.fixture(autouse=True)
def interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton asks again when the first kernel runs."""
    if DEVICE == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", "1")


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


@pytest.fixture(scope="module", params=KINDS)
def pack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """Every architecture, one layer each."""
    kind = request.param
    folder = tmp_path_factory.mktemp("triton") / kind
    changes = {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    if kind == "llama":
        changes = {"num_hidden_layers": 2}
    tiny.write_folder(folder, kind.split("-")[0], seed=5, **(KINDS[kind] | changes))
    return build_pack(read_folder(folder, kind))


TILES = Tiles(positions=32, span=32)


def assert_same(expected, got):
    for one, other in zip(expected, got, strict=True):
        np.testing.assert_array_equal(one, other)


def test_any_split_gives_the_reference_bits(pack):
    reference = ReferenceEngine(pack)
    engine = TritonEngine(pack, device=DEVICE, chunk_tokens=5, tiles=TILES)
    tokens = random_tokens(reference, 2, 12)
    cuts = [([6, 1, 5], 5, 2), ([11, 1], 90, 3)]
    for parts, window, sinks in cuts if pack.config.layers > 1 else cuts[:1]:
        expected = frequencies(reference, tokens, [12], window, sinks)
        assert_same(expected, frequencies(engine, tokens, parts, window, sinks))


@pytest.fixture(scope="module")
def small_pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """One layer, untied, as little as will do for whole runs."""
    folder = tiny.write_folder(
        tmp_path_factory.mktemp("triton") / "small", "mistral", seed=6, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=False,
    )  # fmt: skip
    return build_pack(read_folder(folder, "small"))


def test_dropped_streams_and_a_common_beginning(small_pack):
    reference = ReferenceEngine(small_pack)
    engine = TritonEngine(small_pack, device=DEVICE, chunk_tokens=4, tiles=TILES)
    tokens = random_tokens(reference, 4, 17)
    tokens[:, :9] = tokens[2, :9]
    high, low = frequencies(reference, tokens, [17], 6, 2)
    cache = engine.new_cache(4, 6, 2, 17)
    cache.keep(np.array([2]))
    engine.forward(tokens[2:3, :9], cache)
    cache.spread()
    assert (cache.position, cache.streams) == (9, 4)
    for kept, first, end in (([0, 1, 2, 3], 9, 12), ([3, 0, 1], 12, 13), ([1, 3], 13, 17)):
        if len(kept) == 3:
            cache.keep(np.array([3, 0, 1]))
        if len(kept) == 2:
            cache.keep(np.array([2, 0]))
        part = tokens[kept, first:end]
        predictions = engine.forward(part, cache)
        asked = part * 7 % small_pack.config.vocab // RADIX
        np.testing.assert_array_equal(predictions.low(asked), low[kept, first:end])
        np.testing.assert_array_equal(predictions.high(), high[kept, first:end])


def test_archives_are_the_native_engines(small_pack):
    text = ("Sphinx of black quartz, judge my vow. " * 6).encode() + bytes(range(0, 256, 9))
    parameters = CodingParameters(window=24, stream_tokens=70)
    native = OneModel(load_model(small_pack, engine="native", threads=1))
    engine = TritonEngine(small_pack, device=DEVICE)
    require_selftest(engine, small_pack)
    model = OneModel(dataclasses.replace(native.model, engine=engine))
    archive = api.compress(text, model=model, parameters=parameters)
    assert archive == api.compress(text, model=native, parameters=parameters)
    assert api.decompress(archive, model=native) == text
    short = api.compress(text[:16], model=native, parameters=parameters)
    assert api.decompress(short, model=model) == text[:16]


class FakeGraph:
    """Launches again what a CUDA graph would replay."""

    spoiled = False
    replays = 0

    def __init__(self, engine, cache):
        self.engine, self.cache = engine, cache

    def replay(self, ids):
        FakeGraph.replays += 1
        result = self.engine.whole_step(ids, self.cache)
        if FakeGraph.spoiled:
            result[2][0, 0] += 1
        return result


@interpreted
def test_steps_are_replayed_once_they_have_run(small_pack, monkeypatch):
    """The bookkeeping around CUDA graphs; a capture itself needs a GPU."""
    monkeypatch.setattr(triton_engine, "_Graph", FakeGraph)
    monkeypatch.setattr(FakeGraph, "replays", 0)
    reference = ReferenceEngine(small_pack)
    engine = TritonEngine(small_pack, device=DEVICE, tiles=TILES)
    assert not engine.graphs
    engine.graphs = True
    tokens = random_tokens(reference, 2, 9)
    high, _ = frequencies(reference, tokens, [9], 4, 1)
    cache = engine.new_cache(2, 4, 1, 9)
    engine.forward(tokens[:, :3], cache).high()
    for t in range(3, 6):
        np.testing.assert_array_equal(engine.forward(tokens[:, t : t + 1], cache).high()[:, 0],
                                      high[:, t])  # fmt: skip
    assert FakeGraph.replays == 2
    cache.keep(np.array([1]))
    engine.forward(tokens[1:, 6:7], cache)
    assert cache.graph is None
    monkeypatch.setattr(FakeGraph, "spoiled", True)
    with pytest.raises(EngineError, match="CUDA graph"):
        engine.forward(tokens[1:, 7:8], cache)


def test_single_tokens_and_slices_are_compared(small_pack, monkeypatch):
    engine = TritonEngine(small_pack, device=DEVICE)
    monkeypatch.setattr(triton_engine, "_STEPS", 4)
    engine.require_same_bits(copies=2)
    right = Kernels._attend_split
    wrong = lambda self, *given: right(self, *given) * 1.5  # noqa: E731
    monkeypatch.setattr(Kernels, "_attend_split", wrong)
    with pytest.raises(EngineError, match="differ"):
        engine.require_same_bits(copies=1)


def test_a_device_that_rounds_otherwise_is_refused(monkeypatch):
    run = kernels()
    probe.require_exact(run)
    monkeypatch.setattr(probe.np, "rint", np.ceil)
    with pytest.raises(EngineError, match="rounding"):
        probe.require_exact(run)


@interpreted
def test_every_launch_switches_fusion_off(small_pack, monkeypatch):
    """Triton's default is to fuse products and sums, which its interpreter does not show."""
    launched = {}
    run = type(probe.probe_kernel).run

    def noted(self, *arguments, **options):
        launched[self.fn.__name__] = options.get("enable_fp_fusion")
        return run(self, *arguments, **options)

    monkeypatch.setattr(type(probe.probe_kernel), "run", noted)
    engine = TritonEngine(small_pack, device=DEVICE)
    cache = engine.new_cache(1, 4, 0, 3)
    for count in (2, 1):
        engine.forward(np.ones((1, count), np.int64), cache).low(np.zeros((1, count), np.int64))
    assert len(launched) == 14
    assert set(launched.values()) == {False}


def test_wrong_tokens_and_digits(small_pack):
    engine = TritonEngine(small_pack, device=DEVICE)
    cache = engine.new_cache(1, 4, 0, 3)
    for wrong in (-1, small_pack.config.vocab):
        with pytest.raises(ValueError, match="vocabulary"):
            engine.forward(np.array([[wrong]]), cache)
    predictions = engine.forward(np.array([[1]]), cache)
    with pytest.raises(ValueError, match="digit"):
        predictions.low(np.array([[2]]))
    with pytest.raises(EngineError, match="positions"):
        engine.new_cache(1, 200_000, 0, 200_000)
    with pytest.raises(EngineError, match="streams"):
        engine.new_cache(70_000, 4, 0, 3)


def in_a_new_process(code: str, **environment: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | environment
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_choosing_a_device_loads_no_torch_without_a_driver():
    code = (
        "import sys, os.path\n"
        "from lmzip.engine import devices\n"
        "devices._nvidia_driver = lambda: False\n"
        "assert devices.choose_device('auto') == 'cpu'\n"
        "assert devices.choose_device('cuda:1') == 'cuda:1'\n"
        "assert not {'torch', 'triton'} & set(sys.modules)\n"
    )
    in_a_new_process(code)


def test_auto_is_cuda_where_torch_has_it(monkeypatch):
    monkeypatch.setattr(devices, "_nvidia_driver", lambda: True)
    monkeypatch.setattr(devices, "_torch_for_cpus", lambda: False)
    for there_is, chosen in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there_is=there_is: there_is)
        assert devices.choose_device("auto") == chosen
    monkeypatch.setattr(devices, "_torch_for_cpus", lambda: True)
    assert devices.choose_device("auto") == "cpu"


@interpreted
def test_what_runs_where(small_pack, monkeypatch):
    """Engine and device as asked for, on a machine where CUDA seems to be and then fails."""
    if torch.cuda.is_available():
        pytest.skip("a CUDA device is there")
    notices: list[str] = []
    assert load_model(small_pack, device="auto", notice=notices.append).engine.name == "native"
    monkeypatch.setattr(source, "choose_device", lambda device: device.replace("auto", "cuda"))
    model = load_model(small_pack, device="auto", notice=notices.append)
    assert model.engine.name == "native"
    assert [notice.partition(":")[0] for notice in notices] == ["the GPU stays unused"]
    for engine in ("auto", "triton", "reference"):
        with pytest.raises(EngineError, match=r"device 'cuda:0'"):
            load_model(small_pack, engine=engine, device="cuda:0")
    with pytest.raises(EngineError, match="cuda"):
        load_model(small_pack, engine="triton", device="auto")
    assert load_model(small_pack, engine="triton", device="cpu").engine.name == "triton"
    monkeypatch.setitem(sys.modules, "lmzip.engine.triton_engine", None)
    with pytest.raises(EngineError, match=r"lmzip\[gpu\]"):
        load_model(small_pack, engine="triton")


def test_on_a_cpu_triton_refuses_without_its_interpreter(lmzip):
    words = ("--engine", "triton", "--device", "cpu", "-c")
    result = lmzip(*words, stdin=b"hello", TRITON_INTERPRET="0")
    assert result.returncode == 1
    assert b"the Triton engine runs on CUDA devices" in result.stderr
    assert result.stderr.count(b"\n") == 1


@interpreted
def test_kernels_compile_for_hopper_with_separate_rounding(tmp_path):
    """The instructions that an H200 would run: no fused or approximate arithmetic, no flushing of
    subnormal numbers, and int8 tensor cores for every product."""
    if sys.platform != "linux":
        pytest.skip("Triton compiles on Linux")
    out = in_a_new_process(
        "from tests.triton_instructions import main; main()",
        TRITON_CACHE_DIR=str(tmp_path), PYTHONPATH=str(Path(__file__).parent.parent),
    )  # fmt: skip
    found = json.loads(out)
    assert len(found) == 15
    for name, instructions in found.items():
        floating = [x for x in instructions if ".f32" in x]
        assert floating, name
        for instruction in floating:
            parts = instruction.split(".")
            assert parts[0] != "fma", (name, instruction)
            assert not {"approx", "ftz", "full"} & set(parts), (name, instruction)
        if name.startswith(("product", "head_", "attend", "split_max", "split_sum")):
            assert any("mma" in x and "s32.s8.s8" in x for x in instructions), name


@pytest.mark.gpu
@interpreted
def test_the_same_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", __file__],
        check=True, cwd=Path(__file__).parent.parent,
        env=environment | {"LMZIP_TEST_DEVICE": "cuda"},
    )  # fmt: skip
