"""The Triton engine: whole models, archives, the choice of a device, what a GPU would run.

Like test_triton.py in the interpreter, or with LMZIP_TEST_DEVICE=cuda on a GPU.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import lmzip as api
from lmzip.codec import CodingParameters, OneModel, compress_stream
from lmzip.engine import RADIX, Pack, devices
from lmzip.engine.reference import ReferenceEngine
from lmzip.engine.selftest import require_selftest
from lmzip.errors import EngineError
from lmzip.models import source
from lmzip.models.checkpoint import read_folder
from lmzip.models.convert import build_pack
from lmzip.models.source import load_model

from . import tiny
from .test_engine import KINDS, frequencies, random_tokens
from .triton_device import DEVICE, interpreted, interpreter, probe  # noqa: F401

from lmzip.engine import triton_engine  # isort: skip
from lmzip.engine.triton.launch import Kernels, Tiles  # isort: skip
from lmzip.engine.triton_engine import TritonEngine  # isort: skip


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
    text = ("Sphinx of black quartz, judge my vow. " * 4).encode() + bytes(range(0, 256, 9))
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


def test_two_lanes_use_one_engine(small_pack):
    """Three short blocks in lockstep, two of them in one thread and one in another."""
    text = b"Pack my box with five dozen liquor jugs. " * 3
    parameters = CodingParameters(window=9, stream_tokens=14, block_bytes=41)
    native = OneModel(load_model(small_pack, engine="native", threads=1))
    model = dataclasses.replace(native.model, engine=TritonEngine(small_pack, device=DEVICE))
    expected = api.compress(text, model=native, parameters=parameters)
    out = io.BytesIO()
    compress_stream(
        io.BytesIO(text), out.write, OneModel(model), parameters, size_bytes=len(text),
        blocks_in_flight=3,
    )  # fmt: skip
    assert out.getvalue() == expected
    assert api.decompress(expected, model=OneModel(model)) == text


@interpreted
def test_short_memory_shortens_slices(small_pack, monkeypatch, caplog):
    reference = ReferenceEngine(small_pack)
    engine = TritonEngine(small_pack, device=DEVICE, tiles=TILES)
    tokens = random_tokens(reference, 2, 11)
    enough, layers = 6, TritonEngine._layers

    def short_of_memory(self, ids, cache):
        if ids.numel() > enough:
            raise torch.cuda.OutOfMemoryError("too much was asked for")
        return layers(self, ids, cache)

    monkeypatch.setattr(TritonEngine, "_layers", short_of_memory)
    expected = frequencies(reference, tokens, [11], 90, 3)
    assert_same(expected, frequencies(engine, tokens, [11], 90, 3))
    assert any("half as long" in message for message in caplog.messages)
    enough = 1
    with pytest.raises(EngineError, match="use fewer"):
        engine.forward(tokens, engine.new_cache(2, 9, 0, 11))


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
    monkeypatch.setattr(triton_engine, "_STEPS", 3)
    engine.require_same_bits(copies=2)
    right = Kernels._attend_split
    wrong = lambda self, *given: right(self, *given) * 1.5  # noqa: E731
    monkeypatch.setattr(Kernels, "_attend_split", wrong)
    with pytest.raises(EngineError, match="differ"):
        engine.require_same_bits(copies=1)


def test_a_device_that_rounds_otherwise_is_refused(monkeypatch):
    run = Kernels(torch.device(DEVICE))
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
    assert len(launched) == 15
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
    assert [notice.partition(":")[0] for notice in notices] == ["the GPU is not used"]
    for engine in ("auto", "triton", "reference"):
        with pytest.raises(EngineError, match=r"device 'cuda:0'"):
            load_model(small_pack, engine=engine, device="cuda:0")
    with pytest.raises(EngineError, match="cuda"):
        load_model(small_pack, engine="triton", device="auto")
    assert load_model(small_pack, engine="triton", device="cpu").engine.name == "triton"
    monkeypatch.setitem(sys.modules, "lmzip.engine.triton_engine", None)
    with pytest.raises(EngineError, match=r"lmzip\[gpu\]"):
        load_model(small_pack, engine="triton")


def test_cuda_means_every_gpu(small_pack, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert devices.each_device("cuda") == ["cuda:0", "cuda:1", "cuda:2"]
    assert devices.each_device("cuda:1") == ["cuda:1"]
    assert devices.each_device("cpu") == ["cpu"]
    monkeypatch.setattr(source, "each_device", lambda device: [DEVICE] * 3)
    first = load_model(small_pack, engine="triton", device=DEVICE).engine
    assert len(set(first.lanes)) == 3
    assert first.lanes[0] is first
    assert len(first.lanes) == 6
    assert {lane.lockstep_streams for lane in first.lanes} == {6 * 1024}


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
    assert len(found) == 16
    for name, instructions in found.items():
        floating = [x for x in instructions if ".f32" in x or ".f64" in x]
        assert floating, name
        for instruction in floating:
            parts = instruction.split(".")
            assert parts[0] != "fma", (name, instruction)
            assert not {"approx", "ftz", "full"} & set(parts), (name, instruction)
        if name.startswith(("product", "head_", "attend", "split_max", "split_sum")):
            assert any("mma" in x and "s32.s8.s8" in x for x in instructions), name
