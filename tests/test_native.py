"""The native engine: the reference engine's bits on every instruction set this machine has."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import lmzip as api
from lmzip.codec import CodecModel, CodingParameters, OneModel
from lmzip.engine import Pack
from lmzip.engine import cores as cores_module
from lmzip.engine.cores import available_cores
from lmzip.engine.native import NativeEngine, instruction_sets
from lmzip.engine.reference import ReferenceEngine
from lmzip.engine.selftest import require_selftest
from lmzip.errors import EngineError, UsageError
from lmzip.models import cpu
from lmzip.models.checkpoint import read_folder
from lmzip.models.convert import build_pack
from lmzip.models.source import load_model

from . import tiny
from .test_engine import KINDS, frequencies

SETS = instruction_sets()

FLAGS = {  # of /proc/cpuinfo
    "amx": {"amx_int8", "avx512_vnni"},
    "avx512vnni": {"avx512_vnni", "avx512f", "avx512bw", "avx512dq", "avx512vl"},
    "avxvnni": {"avx_vnni", "avx2"},
    "avx2": {"avx2"},
    "neon": {"asimddp"},
}


def expected_sets() -> set[str]:
    """What the kernel says of this processor."""
    text = Path("/proc/cpuinfo").read_text()
    line = next(x for x in text.splitlines() if x.startswith(("flags", "Features")))
    flags = set(line.split())
    return {"scalar"} | {name for name, needed in FLAGS.items() if needed <= flags}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/cpuinfo")
def test_no_instruction_set_is_forgotten():
    """Every variant this processor can run is tested below, the fastest one first."""
    assert set(SETS) == expected_sets()
    assert SETS[-1] == "scalar"
    if platform.machine() == "x86_64":
        assert len(SETS) > 1


@pytest.fixture(scope="module", params=KINDS)
def pack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pack:
    kind = request.param
    folder = tmp_path_factory.mktemp("native") / kind
    tiny.write_folder(folder, kind.split("-")[0], seed=4, **KINDS[kind])
    return build_pack(read_folder(folder, kind))


def random_tokens(pack: Pack, streams: int, count: int, seed: int = 0):
    return np.random.default_rng(seed).integers(0, pack.config.vocab, (streams, count))


def assert_same(expected, got):
    for one, other in zip(expected, got, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("count", "window", "sinks"), [(1, 9, 4), (7, 3, 1), (64, 20, 4)])
def test_every_instruction_set_gives_the_reference_bits(pack, count, window, sinks):
    reference = ReferenceEngine(pack)
    for streams in (1, 2, 3, 8, 16, 17, 33):
        tokens = random_tokens(pack, streams, count)
        expected = frequencies(reference, tokens, [count], window, sinks)
        for isa in SETS:
            engine = NativeEngine(pack, threads=2, isa=isa)
            assert engine.isa == isa
            assert_same(expected, frequencies(engine, tokens, [count], window, sinks))


@pytest.mark.parametrize(("window", "sinks"), [(2000, 4), (300, 4), (64, 0)])
def test_a_thousand_tokens(pack, window, sinks):
    tokens = random_tokens(pack, 2, 1000)
    expected = frequencies(ReferenceEngine(pack), tokens, [1000], window, sinks)
    for isa in SETS:
        engine = NativeEngine(pack, threads=2, isa=isa)
        for parts in ([1000], [1, 7, 64, 500, 428]):
            assert_same(expected, frequencies(engine, tokens, parts, window, sinks))


@pytest.mark.parametrize(
    ("window", "sinks"), [(16, 4), (7, 0), (5, 2), (1, 1), (2, 6), (20, 40), (2, 1000)]
)
def test_splits_threads_and_dropped_streams(pack, window, sinks):
    tokens = random_tokens(pack, 4, 90)
    expected = frequencies(ReferenceEngine(pack), tokens, [90], window, sinks)
    for threads in (1, 2, 5):
        engine = NativeEngine(pack, threads=threads)
        for parts in ([1] * 90, [89, 1], [1, 2, 3, 70, 14]):
            assert_same(expected, frequencies(engine, tokens, parts, window, sinks))
    cache = engine.new_cache(4, window, sinks, 90)
    engine.forward(tokens[:, :40], cache)
    assert cache.position == 40
    kept = np.array([3, 1])
    cache.keep(kept)
    got = engine.forward(tokens[kept, 40:], cache).high()
    np.testing.assert_array_equal(got, expected[0][kept, 40:])


@pytest.mark.parametrize(("window", "sinks"), [(64, 4), (7, 0), (5, 2)])
def test_a_common_beginning_is_read_once(pack, window, sinks):
    tokens = random_tokens(pack, 5, 50)
    tokens[:, :33] = tokens[2, :33]
    expected = frequencies(ReferenceEngine(pack), tokens, [50], window, sinks)
    engine = NativeEngine(pack, threads=2)
    cache = engine.new_cache(5, window, sinks, 50)
    with pytest.raises(RuntimeError, match="single"):
        cache.spread()
    cache.keep(np.array([2]))
    engine.forward(tokens[2:3, :20], cache)
    engine.forward(tokens[2:3, 20:33], cache)
    cache.spread()
    cache.keep(np.array([0, 2, 3]))
    got = engine.forward(tokens[[0, 2, 3], 33:], cache).high()
    np.testing.assert_array_equal(got, expected[0][[0, 2, 3], 33:])


def test_low_digits_may_be_asked_for_first(tiny_pack):
    tokens = random_tokens(tiny_pack, 2, 5)
    expected = ReferenceEngine(tiny_pack)
    native = NativeEngine(tiny_pack)
    high = np.ones((2, 5), np.int64)
    a = expected.forward(tokens, expected.new_cache(2, 9, 1, 5)).low(high)
    b = native.forward(tokens, native.new_cache(2, 9, 1, 5)).low(high)
    np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def smollm2() -> Pack:
    """SmolLM2-135M-Instruct, where it is installed already (`make demo` installs it)."""
    from lmzip.models.store import ModelStore

    home = os.environ.get("LMZIP_HOME")
    try:
        return ModelStore(Path(home) if home else None, offline=True).open("smollm2-135m-instruct")
    except api.ModelNotFoundError:
        pytest.skip("smollm2-135m-instruct is not installed: lmzip models pull gets it")


@pytest.mark.smollm2
def test_smollm2_on_real_text(smollm2):
    """The README's own prose: the reference once, every instruction set against it."""
    text = (Path(__file__).parent.parent / "README.md").read_bytes()
    model = load_model(smollm2, tokenizing=True)
    ids = model.tokenizer.tokenize(text)[:999]
    tokens = np.concatenate(([smollm2.config.bos], ids))[None]
    reference = ReferenceEngine(smollm2)
    for streams, count, window in ((1, 1000, 400), (33, 7, 4), (3, 64, 2048)):
        if streams > 1:
            tokens = np.resize(tokens, streams * count).reshape(streams, count)
        expected = frequencies(reference, tokens, [count], window)
        for isa in SETS:
            if isa == "scalar" and count == 1000:
                continue  # minutes; the kernels are the same for 64 tokens
            engine = NativeEngine(smollm2, isa=isa)
            parts = [count] if count < 1000 else [936, 1, 63]
            assert_same(expected, frequencies(engine, tokens, parts, window))


def test_archives_of_both_engines_are_identical(tiny_pack: Pack, tiny_model: CodecModel):
    text = ("Sphinx of black quartz, judge my vow. " * 60).encode() + bytes(range(256))
    parameters = CodingParameters(window=64, stream_tokens=300)
    reference = OneModel(load_model(tiny_pack, engine="reference", threads=1))
    archive = api.compress(text, model=reference, parameters=parameters)
    for isa in SETS:
        native = OneModel(load_model(tiny_pack, engine="native", isa=isa, threads=2))
        assert native.model.engine.isa == isa
        assert api.compress(text, model=native, parameters=parameters) == archive
        assert api.decompress(archive, model=native) == text
    assert api.decompress(archive, model=reference) == text


def test_the_native_engine_is_the_default_on_a_cpu(tiny_pack: Pack, tiny_model: CodecModel):
    assert tiny_model.engine.name == "native"
    assert load_model(tiny_pack, engine="reference").engine.name == "reference"


def test_without_the_extension_pytorch_runs_and_says_so(tiny_pack: Pack, monkeypatch):
    monkeypatch.setattr(cpu, "extension", None)
    monkeypatch.setattr(cpu, "load_error", "no module named _native")
    notices: list[str] = []
    model = load_model(tiny_pack, threads=1, notice=notices.append)
    assert model.engine.name == "reference"
    assert len(notices) == 1
    assert "no native engine" in notices[0]
    assert "slower" in notices[0]


def test_wrong_requests(tiny_pack: Pack):
    with pytest.raises(EngineError, match="instruction set"):
        NativeEngine(tiny_pack, isa="mmx")
    with pytest.raises(UsageError, match="threads"):
        NativeEngine(tiny_pack, threads=5000)
    with pytest.raises(EngineError, match="cuda"):
        load_model(tiny_pack, engine="native", device="cuda")
    with pytest.raises(EngineError, match="no engine"):
        load_model(tiny_pack, engine="abacus")


def test_what_the_binding_refuses(tiny_pack: Pack):
    engine = NativeEngine(tiny_pack)
    cache = engine.new_cache(2, 4, 1, 3)
    good = np.zeros((2, 2), np.int64)
    with pytest.raises(ValueError, match="vocabulary"):
        engine.forward(good + tiny_pack.config.vocab, cache)
    with pytest.raises(ValueError, match="vocabulary"):
        engine.forward(good - 1, cache)
    with pytest.raises(ValueError, match="streams"):
        engine.forward(good[:1], cache)
    predictions = engine.forward(good, cache)
    with pytest.raises(ValueError, match="full"):
        engine.forward(good, cache)
    with pytest.raises(ValueError, match="high digit"):
        predictions.low(good + -(-tiny_pack.config.vocab // 256))
    with pytest.raises(IndexError):
        cache.keep(np.array([2]))


def test_a_wrong_weight_fails_the_selftest(tiny_pack: Pack):
    import dataclasses

    tensors = dict(tiny_pack.tensors)
    changed = np.array(tensors["layers.1.down.weight"])
    changed[0, 3] ^= 0x11
    tensors["layers.1.down.weight"] = changed
    engine = NativeEngine(dataclasses.replace(tiny_pack, tensors=tensors))
    with pytest.raises(EngineError, match="wrong numbers"):
        require_selftest(engine, tiny_pack)


def test_lmzip_isa_chooses(lmzip):
    archive = lmzip("-c", stdin=b"hello, hello, hello " * 9).stdout
    for isa in SETS:
        assert lmzip("-c", stdin=b"hello, hello, hello " * 9, LMZIP_ISA=isa).stdout == archive
    wrong = lmzip("-c", stdin=b"hello", LMZIP_ISA="mmx")
    assert wrong.returncode != 0
    assert b"mmx" in wrong.stderr
    assert wrong.stderr.count(b"\n") == 1


def test_the_native_engine_loads_no_torch(tiny_home: Path, tmp_path: Path):
    """Both directions, as the command runs them."""
    program = (
        "import sys\n"
        "from lmzip.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "open('modules', 'w').write(' '.join(sys.modules))\n"
    )
    (tmp_path / "x.txt").write_text("It was the best of times. " * 40)
    environment = os.environ | {"LMZIP_HOME": str(tiny_home), "LMZIP_MODEL": "tiny"}
    modules: set[str] = set()
    for words in (["-k", "x.txt"], ["-t", "x.txt.lmz"]):
        subprocess.run(
            [sys.executable, "-c", program, *words],
            cwd=tmp_path, env=environment, capture_output=True, check=True,
        )  # fmt: skip
        modules |= set((tmp_path / "modules").read_text().split())
    assert "lmzip.engine.native" in modules
    assert not {"torch", "transformers", "safetensors", "gguf"} & modules


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"/sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2),
        ({"/sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
        ({"/sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({}, 8),
        (
            {
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
        (
            {
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000\n",
                "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
    ],
)
def test_control_groups_limit_the_cores(files, cores, monkeypatch, tmp_path):
    def fake_open(path, **options):
        if path not in files:
            raise FileNotFoundError(path)
        (tmp_path / "file").write_text(files[path])
        return open(tmp_path / "file", **options)

    monkeypatch.setattr(cores_module, "open", fake_open, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert available_cores() == cores


def test_threads_take_turns_with_a_model(tiny_pack):
    texts = [
        f"Text {i}: what one thread says, no other hears.\n".encode() * (i + 3) for i in range(6)
    ]
    for threads in (1, 2):
        models = OneModel(load_model(tiny_pack, engine="native", threads=threads))
        compress = functools.partial(api.compress, model=models)
        alone = list(map(compress, texts))
        with ThreadPoolExecutor(4) as pool:
            for _ in range(5):
                assert list(pool.map(compress, texts)) == alone


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_starts_threads_of_its_own(pack):
    engine, tokens = NativeEngine(pack, threads=3), random_tokens(pack, 2, 20)
    expected = frequencies(engine, tokens, [20], 8, 2)
    child = os.fork()
    if child == 0:
        got = frequencies(engine, tokens, [20], 8, 2)
        os._exit(0 if all(map(np.array_equal, expected, got)) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert_same(expected, frequencies(engine, tokens, [20], 8, 2))
