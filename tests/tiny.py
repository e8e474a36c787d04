"""Small seeded checkpoints, made on the spot: every architecture, no download."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from lmzip.models.vocabulary import byte_alphabet

SPECIALS = ("<|endoftext|>", "<extra_0>", "<extra_1>")
WORDS = (
    "the", " the", " of", " and", "in", "er", "on", "re", "at", " a", "th", "he", " t", "ing",
    " an", " be", "ou", "\n\n", "  ", "    ", "der", "é", "中", "👍",
)  # fmt: skip


def tokenizer_json(missing: tuple[int, ...] = ()) -> str:
    """A byte-level BPE tokenizer; `missing` bytes have no token of their own."""
    letters = {byte: letter for letter, byte in byte_alphabet().items()}
    vocab = {token: i for i, token in enumerate(SPECIALS)}
    for byte in range(256):
        if byte not in missing:
            vocab[letters[byte]] = len(vocab)
    merges: list[list[str]] = []
    for word in WORDS:
        parts = [letters[byte] for byte in word.encode()]
        while len(parts) > 1 and parts[0] in vocab and parts[1] in vocab:
            pair, joined = parts[:2], parts[0] + parts[1]
            if joined not in vocab:
                vocab[joined] = len(vocab)
                merges.append(pair)
            parts[:2] = [joined]
    added = [
        {"id": vocab[token], "content": token, "single_word": False, "lstrip": False,
         "rstrip": False, "normalized": False, "special": True}
        for token in SPECIALS
    ]  # fmt: skip
    byte_level = {"add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return json.dumps(
        {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
            "normalizer": None, "pre_tokenizer": {"type": "ByteLevel", **byte_level},
            "post_processor": None, "decoder": {"type": "ByteLevel", **byte_level},
            "model": {"type": "BPE", "vocab": vocab, "merges": merges},
        }
    )  # fmt: skip


def config_json(kind: str = "llama", vocab: int = 290, **changes: Any) -> dict[str, Any]:
    """A config.json of that model type, small."""
    config: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": kind,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "vocab_size": vocab,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    return config | changes


def tensors(config: dict[str, Any], seed: int) -> dict[str, np.ndarray]:
    """Seeded weights by their Hugging Face names."""
    rng = np.random.default_rng(seed)
    width, ffn = config["hidden_size"], config["intermediate_size"]
    head = config["head_dim"]
    q, kv = config["num_attention_heads"] * head, config["num_key_value_heads"] * head

    def matrix(rows: int, columns: int, gain: float = 1.0) -> np.ndarray:
        return (rng.standard_normal((rows, columns)) * gain / math.sqrt(columns)).astype(np.float32)

    def gains(count: int) -> np.ndarray:
        return (1 + 0.3 * rng.standard_normal(count)).astype(np.float32)

    found = {"model.embed_tokens.weight": matrix(config["vocab_size"], width, 4.0)}
    if not config["tie_word_embeddings"]:
        found["lm_head.weight"] = matrix(config["vocab_size"], width, 4.0)
    found["model.norm.weight"] = gains(width)
    orders = len(config.get("ngrams", ()))
    for i in range(orders):
        rows = (config["ngram_rows"], config["ngram_width"])
        found[f"model.ngrams.tables.{i}"] = matrix(*rows, 4.0)
    if orders:
        found["model.ngrams.proj.weight"] = matrix(width, orders * config["ngram_width"], 2.0)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        for name, rows, columns in (
            ("self_attn.q_proj", q, width),
            ("self_attn.k_proj", kv, width),
            ("self_attn.v_proj", kv, width),
            ("self_attn.o_proj", width, q),
            ("mlp.gate_proj", ffn, width),
            ("mlp.up_proj", ffn, width),
            ("mlp.down_proj", width, ffn),
        ):
            found[f"{prefix}{name}.weight"] = matrix(rows, columns, 2.0)
        found[f"{prefix}input_layernorm.weight"] = gains(width)
        found[f"{prefix}post_attention_layernorm.weight"] = gains(width)
        if config["model_type"] == "qwen2":
            for name, rows in (("q", q), ("k", kv), ("v", kv)):
                bias = rng.standard_normal(rows).astype(np.float32)
                found[f"{prefix}self_attn.{name}_proj.bias"] = bias
        if config["model_type"] in ("qwen3", "lmzip"):
            for name in "qk":
                found[f"{prefix}self_attn.{name}_norm.weight"] = gains(head)
    return found


def write_folder(
    folder: Path,
    kind: str = "llama",
    seed: int = 0,
    missing: tuple[int, ...] = (),
    bfloat16: bool = False,
    **changes: Any,
) -> Path:
    """A checkpoint folder as Hugging Face lays it out."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizer_json(missing)
    vocab = len(json.loads(tokenizer)["model"]["vocab"])
    config = config_json(kind, vocab, **changes)
    weights = tensors(config, seed)
    if bfloat16:
        import torch
        from safetensors.torch import save_file as save_torch

        save_torch(
            {key: torch.from_numpy(value).to(torch.bfloat16) for key, value in weights.items()},
            str(folder / "model.safetensors"),
        )
    else:
        save_file(weights, str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(tokenizer)
    return folder
