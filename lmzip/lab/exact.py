"""From a trained net to a pack of the exact engine, and to archives that decode on any machine."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..codec import (
    CodecModel,
    CodingParameters,
    OneModel,
    compress_stream,
    decompress_stream,
    token_costs,
)
from ..engine import Pack
from ..models.source import load_model

if TYPE_CHECKING:
    from .nets import TinyNet

__all__ = ["Archived", "archive_rows", "byte_tokenizer_json", "exact_bits", "export_net",
           "open_model", "row_parameters", "uniform_pack"]  # fmt: skip

START = "<|start|>"
_BLOCK_BYTES = 16 << 20
"""All rows in one block: cuts between blocks know nothing of rows."""
_EXACT_ROWS = 8192
"""Rows whose bits are asked for at once."""


def byte_tokenizer_json() -> str:
    """A tokenizer of the start token and the 256 bytes, without merges."""
    from ..models.vocabulary import byte_alphabet

    letters = {byte: letter for letter, byte in byte_alphabet().items()}
    vocab = {START: 0} | {letters[byte]: byte + 1 for byte in range(256)}
    byte_level = {
        "type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False
    }  # fmt: skip
    special = {
        "id": 0, "content": START, "single_word": False, "lstrip": False, "rstrip": False,
        "normalized": False, "special": True,
    }  # fmt: skip
    return json.dumps(
        {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": [special],
            "normalizer": None, "pre_tokenizer": byte_level, "post_processor": None,
            "decoder": byte_level,
            "model": {"type": "BPE", "vocab": vocab, "merges": []},
        }
    )  # fmt: skip


def export_net(net: TinyNet, name: str, path: Path) -> Pack:
    """The exact pack of a net, written to `path`; bytes outside its alphabet share a row."""
    from ..engine.reference import ReferenceEngine
    from ..engine.selftest import selftest_digest
    from ..models.checkpoint import Architecture, Checkpoint
    from ..models.convert import build_pack, write_pack

    shape = net.shape
    weights = {
        name: tensor.detach().double().numpy() for name, tensor in net.named(net.flat).items()
    }
    rows = np.full(257, len(net.alphabet) + 1)
    rows[0] = 0
    rows[1 + np.frombuffer(net.alphabet, np.uint8)] = np.arange(1, len(net.alphabet) + 1)
    head, heads, kv = shape.head_width, shape.heads, shape.kv_heads
    tensors = {
        "model.embed_tokens.weight": weights["embed"][rows], "model.norm.weight": weights["norm"]
    }  # fmt: skip
    for layer in range(shape.layers):
        target = f"model.layers.{layer}."
        q, k, v = np.split(weights[f"{layer}.qkv"], [heads * head, (heads + kv) * head])
        gate, up = np.split(weights[f"{layer}.gate_up"], 2)
        tensors |= {
            f"{target}self_attn.q_proj.weight": q, f"{target}self_attn.k_proj.weight": k,
            f"{target}self_attn.v_proj.weight": v,
            f"{target}self_attn.o_proj.weight": weights[f"{layer}.o"],
            f"{target}mlp.gate_proj.weight": gate, f"{target}mlp.up_proj.weight": up,
            f"{target}mlp.down_proj.weight": weights[f"{layer}.down"],
            f"{target}input_layernorm.weight": weights[f"{layer}.attention_norm"],
            f"{target}post_attention_layernorm.weight": weights[f"{layer}.ffn_norm"],
        }  # fmt: skip
    architecture = Architecture(
        model_type="llama", layers=shape.layers, width=shape.width, heads=heads, kv_heads=kv,
        head_width=head, ffn_width=shape.ffn, vocab=257, context=_context(shape.length),
        norm_eps=1e-6, rope_theta=10000.0, rope_scaling=None, tied=True, qkv_bias=False,
        qk_norm=False,
    )  # fmt: skip
    checkpoint = Checkpoint(
        architecture, tensors.__getitem__, byte_tokenizer_json(), 0, name,
        {"source": "the laboratory"},
    )  # fmt: skip
    pack = build_pack(checkpoint)
    answered = dataclasses.replace(pack, selftest=selftest_digest(ReferenceEngine(pack)))
    write_pack(answered, path)
    return Pack.open(path)


def _context(length: int) -> int:
    return max(16, length)


def open_model(pack: Pack, threads: int = 1) -> CodecModel:
    """The pack ready to code with."""
    return load_model(pack, threads=threads, tokenizing=True)


def row_parameters(length: int) -> CodingParameters:
    """Every row of `length` bytes is a stream of its own: nothing is copied from another, and none
    pays for a beginning."""
    return CodingParameters(
        window=_context(length), stream_tokens=length, sinks=0, mixing_bits=0,
        block_bytes=_BLOCK_BYTES,
    )  # fmt: skip


def exact_bits(model: CodecModel, rows: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What each byte of rows [n, length] costs under the exact engine's frequencies."""
    length = rows.shape[1]
    parts: list[NDArray[np.float64]] = [np.empty((0, length))]
    for first in range(0, len(rows), _EXACT_ROWS):
        part = rows[first : first + _EXACT_ROWS]
        costs = token_costs(model, part.tobytes(), row_parameters(length))
        parts.append(costs.model_bits.reshape(part.shape))
    return np.concatenate(parts)


@dataclasses.dataclass(frozen=True)
class Archived:
    """An archive of rows, decoded and compared."""

    ideal_bits: float
    payload_bits: int
    file_bits: int
    decoded: bool


def archive_rows(model: CodecModel, rows: NDArray[np.uint8]) -> Archived:
    """The archive that the ordinary encoder writes, read by the ordinary decoder."""
    text, archive, back = rows.tobytes(), io.BytesIO(), io.BytesIO()
    models = OneModel(model)
    summary = compress_stream(
        io.BytesIO(text), archive.write, models, row_parameters(rows.shape[1]),
        size_bytes=len(text),
    )  # fmt: skip
    archive.seek(0)
    decompress_stream(archive, back.write, models)
    return Archived(
        float(summary.ideal_bits), 8 * summary.payload_bytes, 8 * summary.archive_bytes,
        back.getvalue() == text,
    )  # fmt: skip


def uniform_pack() -> Pack:
    """A model that knows nothing: every byte alike. Adaptive mixing over it learns alone."""
    from ..models.checkpoint import Architecture, Checkpoint
    from ..models.convert import build_pack

    width = 4
    shapes = {
        "self_attn.q_proj": (2, width), "self_attn.k_proj": (2, width),
        "self_attn.v_proj": (2, width), "self_attn.o_proj": (width, 2),
        "mlp.gate_proj": (4, width), "mlp.up_proj": (4, width), "mlp.down_proj": (width, 4),
    }  # fmt: skip
    tensors = {
        "model.embed_tokens.weight": np.zeros((257, width)),
        "model.norm.weight": np.ones(width),
    }
    for name, shape in shapes.items():
        tensors[f"model.layers.0.{name}.weight"] = np.zeros(shape)
    for name in ("input_layernorm", "post_attention_layernorm"):
        tensors[f"model.layers.0.{name}.weight"] = np.ones(width)
    architecture = Architecture(
        model_type="llama", layers=1, width=width, heads=1, kv_heads=1, head_width=2, ffn_width=4,
        vocab=257, context=16, norm_eps=1e-6, rope_theta=10000.0, rope_scaling=None, tied=True,
        qkv_bias=False, qk_norm=False,
    )  # fmt: skip
    return build_pack(Checkpoint(
        architecture, tensors.__getitem__, byte_tokenizer_json(), 0, "uniform", {}
    ))  # fmt: skip
