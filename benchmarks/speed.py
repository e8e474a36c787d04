"""Tokens a second, both ways, beside other programs on the same text and windows, in one run.

`python benchmarks/speed.py [FILE]`. transformers' float32 forward pass is timed before, between and
after, because machines change their pace; llama.cpp joins if llama-cpp-python is installed and
--gguf names a file. Without FILE: alice29.txt of LMZIP_CORPORA, or Python's own reference.
"""

from __future__ import annotations

import io
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.demo import demo_text
from lmzip.codec import CodingParameters, OneModel, compress_stream, decompress_stream
from lmzip.engine import Pack
from lmzip.engine.cores import available_cores
from lmzip.models.source import load_model
from lmzip.models.store import ModelStore


def float_windows(pack: Pack, ids: np.ndarray, window: int, threads: int) -> Iterator[float]:
    """Seconds of transformers' float32 teacher-forced forward pass for one window after another.

    The weights are seeded random ones: speed does not depend on their values.
    """
    import torch
    import transformers

    torch.set_num_threads(threads)
    c = pack.config
    config = transformers.LlamaConfig(
        vocab_size=c.vocab, hidden_size=c.width, intermediate_size=c.ffn_width,
        num_hidden_layers=c.layers, num_attention_heads=c.heads, num_key_value_heads=c.kv_heads,
        head_dim=c.head_width, max_position_embeddings=c.context, tie_word_embeddings=c.tied,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).eval()
    rows = np.resize(ids, (max(1, len(ids) // window), window))
    with torch.inference_mode():
        model(torch.from_numpy(rows[:1, :64]))
        while True:
            for row in rows:
                started = time.perf_counter()
                torch.log_softmax(model(torch.from_numpy(row[None])).logits.float(), -1)
                yield time.perf_counter() - started


def llama_tokens_per_s(gguf: Path, ids: np.ndarray, window: int, threads: int) -> float | None:
    """llama.cpp fed token by token, as compressors that use it decode."""
    try:
        import llama_cpp
    except ImportError:
        return None
    model = llama_cpp.Llama(
        str(gguf), n_ctx=window, n_threads=threads, n_threads_batch=threads, n_batch=1,
        logits_all=False, verbose=False,
    )  # fmt: skip
    model.eval([int(ids[0])])
    count = min(len(ids) - 1, 400)
    started = time.perf_counter()
    for token in ids[1 : 1 + count]:
        model.eval([int(token)])
    return count / (time.perf_counter() - started)


def stolen_s() -> float:
    """Seconds that processors here wanted and a hypervisor gave to others; 0 if unknown."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    except OSError:
        return 0.0
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("-m", "--model", default="smollm2-135m-instruct", show_default=True)
@click.option("--bytes", "limit", default=1 << 20, show_default=True, help="Bytes of the file.")
@click.option("--window", default=2048, show_default=True)
@click.option("--stream-length", default=2048, show_default=True)
@click.option("--engine", default="native", show_default=True)
@click.option("--isa", help="Instruction set of the native engine.")
@click.option("-T", "--threads", default=available_cores(), show_default=True)
@click.option("--float-windows", "per_turn", default=3, show_default=True, help="A turn; 3 turns.")
@click.option("--gguf", type=click.Path(exists=True, path_type=Path), help="For llama.cpp.")
def main(
    file: Path | None, model: str, limit: int, window: int, stream_length: int, engine: str,
    isa: str | None, threads: int, per_turn: int, gguf: Path | None,
) -> None:  # fmt: skip
    """Print a small table."""
    home = os.environ.get("LMZIP_HOME")
    pack = ModelStore(Path(home) if home else None).pull(model)
    loaded = load_model(pack, engine=engine, threads=threads, isa=isa, tokenizing=True)
    data = (file.read_bytes() if file else demo_text()[1])[:limit]
    ids = loaded.tokenizer.tokenize(data)
    source = OneModel(loaded)
    parameters = CodingParameters(window=window, stream_tokens=stream_length)
    base = (
        float_windows(pack, ids, min(window, stream_length, len(ids)), threads)
        if per_turn
        else None
    )
    base_s: list[float] = []

    def turn() -> None:
        if base is not None:
            base_s.extend(next(base) for _ in range(per_turn))

    turn()
    archive = io.BytesIO()
    started, stolen = time.perf_counter(), stolen_s()
    compress_stream(io.BytesIO(data), archive.write, source, parameters)
    compress_s, compress_stolen = time.perf_counter() - started, stolen_s() - stolen
    turn()
    archive.seek(0)
    back = io.BytesIO()
    started, stolen = time.perf_counter(), stolen_s()
    decompress_stream(archive, back.write, source)
    decompress_s, decompress_stolen = time.perf_counter() - started, stolen_s() - stolen
    if back.getvalue() != data:
        sys.exit("the round trip failed")
    turn()

    name = f"{loaded.engine.name} engine" + (
        f" ({loaded.engine.isa})" if engine == "native" else ""
    )
    rows = [
        (f"{name}, compress", len(ids) / compress_s),
        (f"{name}, decompress", len(ids) / decompress_s),
    ]
    reference = None
    if base_s:
        reference = min(window, stream_length, len(ids)) / float(np.mean(base_s))
        rows.append(("transformers float32, forward only", reference))
    if gguf is not None:
        rate = llama_tokens_per_s(gguf, ids, window, threads)
        if rate is not None:
            rows.append(("llama.cpp, token by token", rate))
    print(f"{model}, {len(data)} bytes, {len(ids)} tokens -> {len(archive.getvalue())} bytes")
    print(f"window {window}, streams of {stream_length}, {threads} threads, {platform.machine()}")
    kilobytes = len(data) / len(ids) / 1000
    for label, rate in rows:
        share = "" if reference is None else f"{rate / reference:6.2f}x"
        print(f"{label:36} {rate:8.0f} tokens/s {rate * kilobytes:7.2f} kB/s {share}")
    for label, seconds, stolen in (
        ("compressing", compress_s, compress_stolen),
        ("decompressing", decompress_s, decompress_stolen),
    ):
        print(f"{label}: {seconds:.0f} s; a hypervisor kept {stolen:.0f} s of the processors' time")


if __name__ == "__main__":
    main()
