"""A checkpoint read from a GGUF file (llama.cpp's format), dequantised exactly."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError, UnsupportedModelError
from .checkpoint import SUPPORTED, Architecture, Checkpoint
from .gguf_bounds import require_bounds

__all__ = ["read_gguf"]

_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}

_CONTROL, _BYTE = 3, 6
"""Values of tokenizer.ggml.token_type."""

_PRE_TOKENIZERS: dict[str, list[dict[str, Any]]] = {
    # Digits one by one, then GPT-2's pattern.
    "smollm": [
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    ],
    "gpt-2": [
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    ],
}


def _gguf_name(name: str) -> str:
    stem, _, suffix = name.rpartition(".")
    if stem.startswith("model.layers."):
        _, _, layer, rest = stem.split(".", 3)
        return f"blk.{layer}.{_NAMES[rest]}.{suffix}"
    return f"{_NAMES[stem]}.{suffix}"


def _interleaved_to_halves(rows: NDArray[np.float64], heads: int) -> NDArray[np.float64]:
    """Undo GGUF's reordering of llama's q and k rows (rotary pairs side by side -> halves)."""
    width = rows.shape[0] // heads
    return rows.reshape(heads, width // 2, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


@contextlib.contextmanager
def _well_formed(path: Path) -> Iterator[None]:
    """What the gguf library raises where a file is not as it expects becomes a CorruptError."""
    try:
        yield
    except (
        ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError,
        RecursionError, NotImplementedError,
    ) as error:  # fmt: skip
        what = f"{error}".splitlines()[:1] or [type(error).__name__]
        raise CorruptError(f"{path.name}: not a readable GGUF file: {what[0]}") from None


def read_gguf(path: Path, name: str) -> Checkpoint:
    """The checkpoint in a GGUF file with a byte-level BPE tokenizer.

    Raises CorruptError or UnsupportedModelError.
    """
    with _well_formed(path):
        require_bounds(path)
        return _read_gguf(path, name)


def _read_gguf(path: Path, name: str) -> Checkpoint:
    import gguf
    from gguf.quants import dequantize

    reader = gguf.GGUFReader(path)

    def field(key: str, default: Any = None) -> Any:
        entry = reader.fields.get(key)
        if entry is not None:
            return entry.contents()
        if default is None:
            raise CorruptError(f"{path.name}: field {key} is missing")
        return default

    kind = field("general.architecture")
    if kind not in SUPPORTED:
        raise UnsupportedModelError(f"{path.name}: architecture {kind!r} is not supported")
    stored = {tensor.name: tensor for tensor in reader.tensors}
    heads = int(field(f"{kind}.attention.head_count"))
    width = int(field(f"{kind}.embedding_length"))
    kv_heads = int(field(f"{kind}.attention.head_count_kv", heads))
    if "rope_freqs.weight" in stored or f"{kind}.rope.scaling.type" in reader.fields:
        raise UnsupportedModelError(f"{path.name}: scaled rotary positions are not supported")
    tokens = field("tokenizer.ggml.tokens")
    architecture = Architecture(
        model_type=kind,
        layers=int(field(f"{kind}.block_count")),
        width=width,
        heads=heads,
        kv_heads=kv_heads,
        head_width=int(field(f"{kind}.attention.key_length", width // heads)),
        ffn_width=int(field(f"{kind}.feed_forward_length")),
        vocab=len(tokens),
        context=int(field(f"{kind}.context_length")),
        norm_eps=float(field(f"{kind}.attention.layer_norm_rms_epsilon")),
        rope_theta=float(field(f"{kind}.rope.freq_base", 10000.0)),
        rope_scaling=None,
        tied="output.weight" not in stored,
        qkv_bias="blk.0.attn_q.bias" in stored,
        qk_norm="blk.0.attn_q_norm.weight" in stored,
    )

    used: set[str] = set()

    def tensor(key: str) -> NDArray[np.float64]:
        entry = stored.get(_gguf_name(key))
        if entry is None:
            raise CorruptError(f"{path.name}: tensor {_gguf_name(key)} is missing")
        used.add(entry.name)
        with _well_formed(path):
            values = dequantize(entry.data, entry.tensor_type).astype(np.float64)
            if kind == "llama" and ".q_proj." in key:
                return _interleaved_to_halves(values, heads)
            if kind == "llama" and ".k_proj." in key:
                return _interleaved_to_halves(values, kv_heads)
            return values

    return Checkpoint(
        architecture=architecture,
        tensor=tensor,
        tokenizer_json=_tokenizer_json(path, field, tokens),
        bos=int(field("tokenizer.ggml.bos_token_id")),
        name=name,
        notes={"source": path.name, "licence": str(field("general.license", "unknown"))},
        left_over=lambda: sorted(stored.keys() - used),
    )


def _tokenizer_json(path: Path, field: Any, tokens: list[str]) -> str:
    """The `tokenizers` library's JSON of the byte-level BPE that the file describes."""
    kind, pre = field("tokenizer.ggml.model"), field("tokenizer.ggml.pre", "gpt-2")
    if kind != "gpt2" or pre not in _PRE_TOKENIZERS:
        raise UnsupportedModelError(f"{path.name}: tokenizer {kind}/{pre} is not supported")
    types = field("tokenizer.ggml.token_type")
    added = [
        {"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True}
        for i, (token, type_) in enumerate(zip(tokens, types, strict=True))
        if type_ == _CONTROL
    ]  # fmt: skip
    return json.dumps(
        {
            "version": "1.0",
            "added_tokens": added,
            "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": _PRE_TOKENIZERS[pre]},
            "post_processor": None,
            "decoder": {
                "type": "ByteLevel",
                "add_prefix_space": False,
                "trim_offsets": True,
                "use_regex": True,
            },
            "model": {
                "type": "BPE",
                "vocab": {token: i for i, token in enumerate(tokens)},
                "merges": [merge.split(" ") for merge in field("tokenizer.ggml.merges")],
            },
        },
        ensure_ascii=False,
    )
