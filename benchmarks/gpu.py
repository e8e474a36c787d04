"""The GPU engine in one run of some minutes: right bits first, then speeds, then where time goes.

    python benchmarks/gpu.py [--streams N] [--device cuda:N]     on a machine with a GPU
    TRITON_INTERPRET=1 python benchmarks/gpu.py --smoke          anywhere: the same code, tiny sizes

It downloads nothing. Texts are those of $LMZIP_CORPORA/eval or, without that, Python's own manual
over and over. Where SmolLM2's pack is not installed, seeded weights of exactly its shape
stand in for it (speed does not depend on their values); the tables say which was used. Speeds are
those of the codec's loop with its coder, in memory, blocks dealt to lanes as when files are coded:
no files, no mixing, no tokenizer.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from lmzip.api import models_home
from lmzip.codec.job import decode_job, encode_job
from lmzip.codec.lanes import code_in_lanes
from lmzip.engine import RADIX, Engine, ModelConfig, Pack
from lmzip.engine.reference import ReferenceEngine
from lmzip.engine.triton_engine import TritonEngine
from lmzip.engine.weights import expected_tensors
from lmzip.errors import ModelNotFoundError
from lmzip.extension import extension
from lmzip.models.store import ModelStore
from lmzip.text import Tokenizer, Vocabulary

SMOLLM2 = ModelConfig(
    layers=30, width=576, heads=9, kv_heads=3, head_width=64, ffn_width=1536, vocab=49159,
    context=8192, norm_eps=9.999999747378752e-06, bos=1, suppressed=(0, 1, 2), tied=True,
)  # fmt: skip
SMALL = ModelConfig(
    layers=1, width=64, heads=2, kv_heads=1, head_width=32, ffn_width=96, vocab=300,
    context=64, norm_eps=1e-5, bos=0, suppressed=(0,), tied=True,
)  # fmt: skip
BYTES_A_TOKEN = 3.63
"""Of SmolLM2 on alice29.txt (152,089 bytes, 41,935 tokens), for models without a tokenizer."""
SINKS = 4
BLOCK_STREAMS = 64


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model to measure, and what it reads."""

    name: str
    pack: Pack
    ids: np.ndarray
    bytes_a_token: float


@dataclasses.dataclass(frozen=True)
class Ceilings:
    """What this device reached in this run."""

    bytes_a_second: float
    int8_a_second: float
    """Multiplications and additions of 8-bit integers, counted apart."""


def seeded_pack(config: ModelConfig, name: str) -> Pack:
    """Random weights of that shape; scales keep activations near 1."""
    rng = np.random.default_rng(0)
    tensors = {}
    for key, (dtype, shape) in expected_tensors(config).items():
        if key.endswith(".weight"):
            tensors[key] = rng.integers(1, 256, shape, dtype=np.uint8)
        elif key.endswith(".scale"):
            tensors[key] = np.full(shape, 1 / (73 * math.sqrt(config.width)), dtype)
        elif key == "rope.turns":
            exponents = np.arange(shape[0]) / shape[0]
            tensors[key] = (2.0**64 / (2 * math.pi) * 1e5**-exponents).astype(np.uint64)
        else:
            tensors[key] = np.ones(shape, dtype)
    return Pack(config, tensors, bytes(32), name, "", {}, "")


def text() -> bytes:
    """The evaluation texts or, where they are not at hand, Python's language reference: some
    hundred kilobytes of English that are on every machine."""
    if corpora := os.environ.get("LMZIP_CORPORA"):
        return b"\n".join(file.read_bytes() for file in sorted(Path(corpora, "eval").glob("*.*")))
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics)).encode()


def with_text(pack: Pack, limit: int) -> Subject:
    """A model with a tokenizer reads real text."""
    vocabulary = Vocabulary(pack.tensors["tokens.offsets"], pack.tensors["tokens.bytes"])
    data = text()[:limit]
    ids = Tokenizer(vocabulary, pack.tokenizer_json).tokenize(data)
    return Subject(pack.name, pack, ids, len(data) / len(ids))


def with_noise(pack: Pack) -> Subject:
    rng = np.random.default_rng(1)
    ids = rng.integers(pack.config.bos + 1, pack.config.vocab, 1 << 16)
    return Subject(pack.name, pack, ids, BYTES_A_TOKEN)


def subjects(smoke: bool) -> list[Subject]:
    store = ModelStore(models_home(), offline=True)
    embedded = with_text(store.open("lmzip-3m"), 3000 if smoke else 1 << 25)
    if smoke:
        return [embedded, with_noise(seeded_pack(SMALL, "seeded, small"))]
    try:
        return [embedded, with_text(store.open("smollm2-135m-instruct"), 1 << 25)]
    except ModelNotFoundError:
        return [embedded, with_noise(seeded_pack(SMOLLM2, "seeded, SmolLM2-135M's shape"))]


def check(subject: Subject, engine: Engine, streams: int, count: int, window: int) -> None:
    """Exit unless this engine's frequencies are the reference engine's, slices and steps alike."""
    tokens = np.resize(subject.ids, streams * count).reshape(streams, count).astype(np.int64)
    results = []
    steps = min(3, count - 1)
    for one in (ReferenceEngine(subject.pack), engine):
        cache = one.new_cache(streams, window, SINKS, count)
        parts = []
        for part in np.split(tokens, range(count - steps, count), axis=1):
            predictions = one.forward(part, cache)
            parts += [predictions.high(), predictions.low(part // RADIX)]
        results.append(parts)
    if not all(np.array_equal(a, b) for a, b in zip(*results, strict=True)):
        sys.exit(f"{subject.name}: the engines differ")
    print(f"- {subject.name}: equal bits, {streams} x {count} tokens, window {window}, "
          f"the last {steps} one by one", flush=True)  # fmt: skip


def check_archives(subject: Subject, engine: Engine, streams: int, count: int) -> None:
    """Exit unless a payload is the native engine's, and decodes."""
    if extension is None:
        print(f"- {subject.name}: no native engine here to compare payloads with", flush=True)
        return
    from lmzip.engine.native import NativeEngine

    ids = np.resize(subject.ids, streams * count).astype(np.int64)
    payloads = []
    for one in (NativeEngine(subject.pack), engine):
        job = encode_job(ids, count)
        code_in_lanes(one, [job], window=count, sinks=SINKS)
        payloads.append(job.encoder.finish())
    back = decode_job(payloads[0], len(ids), count)
    code_in_lanes(engine, [back], window=count, sinks=SINKS)
    if payloads[0] != payloads[1] or not np.array_equal(back.decoded(), ids):
        sys.exit(f"{subject.name}: the payloads differ")
    print(f"- {subject.name}: {len(ids)} tokens, a payload of {len(payloads[0])} bytes equal to "
          "the native engine's, and decoded", flush=True)  # fmt: skip


def timed(device: str, function: Callable[[], object], repeats: int = 1) -> float:
    """Seconds of one call, after one that is not counted."""
    function()
    if device != "cpu":
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    for _ in range(repeats):
        function()
    if device != "cpu":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - started) / repeats


def ceilings(device: str, smoke: bool) -> Ceilings:
    """A large copy, read and written, and the library's int8 product."""
    size = 1 << (10 if smoke else 30)
    source = torch.zeros(size, dtype=torch.int8, device=device)
    target = torch.empty_like(source)
    copied = 2 * size / timed(device, lambda: target.copy_(source), 10)
    n = 64 if smoke else 8192
    a = torch.ones(n, n, dtype=torch.int8, device=device)
    products = 2 * n**3 / timed(device, lambda: torch._int_mm(a, a.t()), 10)
    return Ceilings(copied, products)


def step_bytes(config: ModelConfig, streams: int, position: int) -> int:
    """Bytes that one token of each stream must read: matrices once, every stream's cache."""
    weights = config.parameters() - (0 if config.tied else config.vocab * config.width)
    return weights + config.cache_bytes(streams, position)


def token_operations(config: ModelConfig, position: int) -> int:
    """int8 multiplications and additions for one token: matrices, the head a second time, and
    attention with its scores and both planes of its weights, the scores a second time."""
    matrices = config.parameters() + config.vocab * config.width
    if not config.tied:
        matrices -= config.vocab * config.width
    attention = 4 * config.layers * config.heads * config.head_width * position
    return 2 * (matrices + attention)


def speeds(
    subject: Subject, engine: Engine, device: str, window: int, streams: int, ceiling: Ceilings
) -> list[str]:
    """A row of the table: both directions with their coder, and the engine by itself."""
    config = subject.pack.config
    lanes = len(engine.lanes) or 1
    blocks = [
        np.resize(subject.ids[start:], min(BLOCK_STREAMS, streams) * window).astype(np.int64)
        for start in np.linspace(0, len(subject.ids) - 1, lanes * streams // BLOCK_STREAMS or 1)
        .astype(int)
    ]  # fmt: skip
    count = sum(map(len, blocks))
    slice_rows = 1 << 14

    def engine_alone(tokens: np.ndarray) -> None:
        cache = engine.new_cache(len(tokens), window, SINKS, window)
        width = max(1, slice_rows // len(tokens))
        for start in range(0, window, width):
            part = tokens[:, start : start + width]
            predictions = engine.forward(part, cache)
            predictions.high()
            predictions.low(part // RADIX)

    def code(blocks: list[np.ndarray], stream_tokens: int) -> tuple[float, float, list[np.ndarray]]:
        """Seconds of encoding and of decoding, and what was decoded."""
        started = time.perf_counter()
        jobs = [encode_job(ids, stream_tokens) for ids in blocks]
        code_in_lanes(engine, jobs, window=window, sinks=SINKS)
        payloads = [job.encoder.finish() for job in jobs]
        encoded = time.perf_counter()
        back = [decode_job(p, len(i), stream_tokens) for p, i in zip(payloads, blocks, strict=True)]
        code_in_lanes(engine, back, window=window, sinks=SINKS)
        seconds = encoded - started, time.perf_counter() - encoded
        return *seconds, [job.decoded() for job in back]

    alone = np.resize(blocks[0], (streams, window))
    alone_s = timed(device, lambda: engine_alone(alone)) * count / alone.size
    code([ids[: 4 * BLOCK_STREAMS] for ids in blocks], 4)  # compiles what steps are made of
    compress_s, decompress_s, decoded = code(blocks, window)
    if not all(map(np.array_equal, decoded, blocks)):
        sys.exit(f"{subject.name}: decoding failed")

    megabytes = count * subject.bytes_a_token / 1e6
    operations = token_operations(config, window // 2) * count / alone_s
    read = lanes * step_bytes(config, streams, window // 2) * window / decompress_s
    return [
        subject.name, f"{window:,}", f"{lanes} x {streams}", f"{megabytes:.1f}",
        f"{megabytes / compress_s:.3f}",
        f"{megabytes / alone_s:.3f}", f"{megabytes / decompress_s:.3f}",
        f"{1e3 * decompress_s / window / lanes:.2f}",
        f"{100 * operations / ceiling.int8_a_second:.1f} %",
        f"{100 * read / ceiling.bytes_a_second:.1f} %",
    ]  # fmt: skip


def kernel_times(subject: Subject, engine: Engine, window: int, streams: int) -> list[list[str]]:
    """Rows (kernel, share of a slice, share of a step), from PyTorch's profiler."""
    from torch.profiler import ProfilerActivity, profile

    tokens = np.resize(subject.ids, streams * window).reshape(streams, window).astype(np.int64)
    width = max(1, min(window - 1, (1 << 14) // streams))
    shares: list[dict[str, float]] = []
    for last in (tokens[:, -width:], tokens[:, -1:]):
        cache = engine.new_cache(streams, window, SINKS, window)
        before = window - last.shape[1]
        for start in range(0, before, width):
            engine.forward(tokens[:, start : min(before, start + width)], cache).high()
        with profile(activities=[ProfilerActivity.CUDA]) as found:
            predictions = engine.forward(last, cache)
            predictions.high()
            predictions.low(last // RADIX)
            torch.cuda.synchronize()
        spent = {e.key: float(e.self_device_time_total) for e in found.key_averages()}
        total = sum(spent.values()) or 1.0
        shares.append({key: 100 * value / total for key, value in spent.items() if value})
    names = sorted(set(shares[0]) | set(shares[1]), key=lambda n: -shares[0].get(n, 0.0))
    return [[n[:60], *(f"{part.get(n, 0.0):.1f} %" for part in shares)] for n in names[:16]]


def table(heads: Sequence[str], rows: list[list[str]]) -> None:
    print("\n| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    sys.stdout.flush()


def hardware(device: str) -> str:
    """Machine, driver and versions in a line."""
    import triton

    parts = [f"torch {torch.__version__}", f"triton {triton.__version__}"]
    if device == "cpu":
        return ", ".join(["Triton's interpreter", platform.machine(), *parts])
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        driver = "unknown"
    return ", ".join([torch.cuda.get_device_name(device), f"driver {driver}", *parts])


@click.command()
@click.option("--streams", default=1024, show_default=True, help="In lockstep, in each lane.")
@click.option("--windows", default="512,1024,2048", show_default=True)
@click.option("--device", default="cuda", show_default=True)
@click.option("--graphs/--no-graphs", default=True, show_default=True, help="CUDA graphs.")
@click.option("--smoke", is_flag=True, help="Tiny sizes in Triton's interpreter, on a CPU.")
def main(streams: int, windows: str, device: str, graphs: bool, smoke: bool) -> None:
    """Print the checks, then Markdown tables."""
    if smoke:
        device, streams, windows = "cpu", 2, "6"
    print(f"{datetime.date.today()}, {hardware(device)}\n")
    chosen = subjects(smoke)
    engines = [TritonEngine(subject.pack, device=device, graphs=graphs) for subject in chosen]
    for subject, engine in zip(chosen, engines, strict=True):
        if smoke:
            check(subject, engine, 2, 4, 3)
            check_archives(subject, engine, 2, 3)
            continue
        for shape in ((1, 300, 100), (9, 70, 1000)):
            check(subject, engine, *shape)
        check_archives(subject, engine, 32, 128)
    ceiling = ceilings(device, smoke)
    print(f"\nCeilings: {ceiling.bytes_a_second / 1e12:.2f} TB/s copied, "
          f"{ceiling.int8_a_second / 1e12:.0f} int8 TOPS (torch._int_mm).")  # fmt: skip
    rows = []
    for subject, engine in list(zip(chosen, engines, strict=True))[smoke:]:
        for window in map(int, windows.split(",")):
            rows.append(speeds(subject, engine, device, window, streams, ceiling))
    table(
        (
            "model", "window", "streams", "MB", "compress, MB/s", "engine alone, MB/s",
            "decompress, MB/s", "ms a lane's step", "int8 ceiling (engine alone)",
            "bandwidth ceiling (decompress)",
        ),
        rows,
    )  # fmt: skip
    if smoke:
        print("\nTimes by kernel need a GPU.")
        return
    for subject, engine in zip(chosen, engines, strict=True):
        print(f"\n{subject.name}, window 1,024: time by kernel")
        found = kernel_times(subject, engine, 1024, streams)
        table(("kernel", "slice of 16,384 tokens", "one token a stream"), found)


if __name__ == "__main__":
    main()
