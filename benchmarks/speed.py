"""Tokens a second of the reference engine, both ways, beside transformers in float32.

`python benchmarks/speed.py [FILE]`: all in one run, so that ratios mean something on a noisy
machine. Without a file: alice29.txt of LMZIP_CORPORA, or Python's own reference.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.demo import demo_text
from lmzip.codec.lm import code_jobs, decode_job, decoded_tokens, encode_job
from lmzip.models.source import load_model
from lmzip.models.store import ModelStore


def float_tokens_per_s(pack, ids: np.ndarray, window: int) -> float | None:
    """transformers' float32 teacher-forced forward on windows of the same shape.

    The weights are seeded random ones: speed does not depend on their values.
    """
    try:
        import torch
        import transformers
    except ImportError:
        return None
    c = pack.config
    config = transformers.LlamaConfig(
        vocab_size=c.vocab, hidden_size=c.width, intermediate_size=c.ffn_width,
        num_hidden_layers=c.layers, num_attention_heads=c.heads, num_key_value_heads=c.kv_heads,
        head_dim=c.head_width, max_position_embeddings=c.context, tie_word_embeddings=c.tied,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config).eval()
    rows = ids[: len(ids) // window * window].reshape(-1, window)
    with torch.inference_mode():
        model(torch.from_numpy(rows[:1, :64]))
        started = time.perf_counter()
        for row in rows:
            torch.log_softmax(model(torch.from_numpy(row[None])).logits.float(), -1)
        return rows.size / (time.perf_counter() - started)


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("-m", "--model", default="smollm2-135m-instruct", show_default=True)
@click.option("--tokens", default=4096, show_default=True, help="Tokens to code.")
@click.option("--window", default=1024, show_default=True)
@click.option("--streams", default=16, show_default=True)
def main(file: Path | None, model: str, tokens: int, window: int, streams: int) -> None:
    """Print a small table."""
    home = os.environ.get("LMZIP_HOME")
    pack = ModelStore(Path(home) if home else None).pull(model)
    loaded = load_model(pack)
    data = file.read_bytes() if file else demo_text()[1]
    ids = loaded.tokenizer.tokenize(data)[:tokens]
    size = len(loaded.tokenizer.vocabulary.detokenize(ids))
    stream_tokens = -(-len(ids) // streams)
    job = encode_job(ids, stream_tokens)
    started = time.perf_counter()
    code_jobs(loaded.engine, [job], window=window, sinks=4)
    encode_s = time.perf_counter() - started
    payload = job.coder.finish()  # type: ignore[attr-defined]
    back = decode_job(payload, len(ids), stream_tokens)
    started = time.perf_counter()
    code_jobs(loaded.engine, [back], window=window, sinks=4)
    decode_s = time.perf_counter() - started
    if not np.array_equal(decoded_tokens(back, len(ids), stream_tokens), ids):
        sys.exit("the round trip failed")
    base = float_tokens_per_s(pack, ids, min(window, stream_tokens))
    print(f"{model}, {len(ids)} tokens ({size} bytes), window {window}, {streams} streams")
    rows = [
        ("reference, compress", len(ids) / encode_s),
        ("reference, decompress", len(ids) / decode_s),
    ]
    if base is not None:
        rows.append(("transformers float32, forward only", base))
    for label, rate in rows:
        share = "" if base is None else f"{rate / base:6.2f}x"
        print(f"{label:36} {rate:8.0f} tokens/s {rate * size / len(ids) / 1000:7.2f} kB/s {share}")


if __name__ == "__main__":
    main()
