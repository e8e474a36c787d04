"""A floating-point checkpoint becomes an exact pack (NUMERICS.md, section 11).

Every matrix is rotated along its inputs (a block Hadamard transform, which spreads the outliers
that make 8 bits lossy: QuaRot, arXiv 2404.00456) and its rows are rounded to int8. All of it in
binary64, elementwise, in a fixed order: every machine makes the same bytes, hence the same model
identity.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..engine.arithmetic import FLOOR, INT8_MAX, NUMERICS_VERSION, hadamard_block
from ..engine.config import ModelConfig
from ..engine.weights import (
    PACK_VERSION,
    Pack,
    Tensors,
    expected_tensors,
    pack_identity,
    tile_matrix,
)
from ..errors import CorruptError, UnsupportedModelError
from ..files import atomic_output
from .checkpoint import Architecture, Checkpoint, rope_turns
from .starts import embedded_start
from .vocabulary import TokenTable, token_table

__all__ = ["build_pack", "rebuild_pack", "with_tensors", "write_pack"]

Progress = Callable[[str, int, int], None]

_CHUNK_ROWS = 1024


def _quantize_rows(rows: NDArray[np.float64]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Int8 rows and their binary32 scales: absmax / 127, at least 2**-60."""
    if not np.isfinite(rows).all():
        raise UnsupportedModelError("the checkpoint has weights that are not finite")
    scale = np.maximum(np.abs(rows).max(axis=1) / INT8_MAX, FLOOR).astype(np.float32)
    q = np.rint(rows / scale[:, None].astype(np.float64))
    return np.clip(q, -INT8_MAX, INT8_MAX).astype(np.int8), scale


def _rotate_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """rows [N, K] times the block Hadamard matrix, divided by the block length.

    The engine multiplies the other operand by the unnormalised matrix: together they cancel. The
    butterflies are additions in a fixed order, the division is by a power of two.
    """
    count, width = rows.shape
    block = hadamard_block(width)
    out = np.empty_like(rows)
    for start in range(0, count, _CHUNK_ROWS):
        x = rows[start : start + _CHUNK_ROWS]
        half = 1
        while half < block:
            pairs = x.reshape(len(x), width // (2 * half), 2, half)
            first, second = pairs[:, :, 0], pairs[:, :, 1]
            x = np.stack((first + second, first - second), axis=2).reshape(len(x), width)
            half *= 2
        out[start : start + _CHUNK_ROWS] = x * (1.0 / block)
    return out


def _config(arch: Architecture, table: TokenTable, bos: int) -> ModelConfig:
    return ModelConfig(
        layers=arch.layers,
        width=arch.width,
        heads=arch.heads,
        kv_heads=arch.kv_heads,
        head_width=arch.head_width,
        ffn_width=arch.ffn_width,
        vocab=len(table.token_bytes),
        context=arch.context,
        norm_eps=float(np.float32(arch.norm_eps)),
        bos=bos,
        suppressed=table.suppressed,
        qkv_bias=arch.qkv_bias,
        qk_norm=arch.qk_norm,
        tied=arch.tied,
        ngrams=arch.ngrams,
        ngram_rows=arch.ngram_rows,
        ngram_width=arch.ngram_width,
    )


class _Builder:
    """Collects the tensors of one pack."""

    def __init__(self, get: Callable[[str], NDArray[np.float64]]) -> None:
        self.get = get
        self.tensors: Tensors = {}

    def matrix(self, name: str, rows: NDArray[np.float64]) -> None:
        """Rotate, round and keep a matrix [N, K]."""
        weight, scale = _quantize_rows(_rotate_rows(rows))
        self.tensors[f"{name}.weight"] = tile_matrix(weight)
        self.tensors[f"{name}.scale"] = scale

    def vector(self, name: str, source: str) -> None:
        self.tensors[name] = self.get(source).astype(np.float32)

    def ngrams(self, arch: Architecture | ModelConfig) -> None:
        """The rows of n-grams, rotated, and each order's columns of the projection."""
        for i, order in enumerate(arch.ngrams):
            rows = self.get(f"model.ngrams.tables.{i}")
            block = hadamard_block(rows.shape[1])
            name = f"ngrams.{order}"
            rounded, steps = _quantize_rows(_rotate_rows(rows) * block)
            self.tensors[f"{name}.rows"], self.tensors[f"{name}.steps"] = rounded, steps
            proj = self.get("model.ngrams.proj.weight")
            first = i * arch.ngram_width
            self.matrix(f"{name}.proj", proj[:, first : first + arch.ngram_width])

    def layer(self, index: int, arch: Architecture | ModelConfig) -> None:
        source, target = f"model.layers.{index}.", f"layers.{index}."
        get = self.get
        self.vector(f"{target}attention_norm", f"{source}input_layernorm.weight")
        qkv = [get(f"{source}self_attn.{x}_proj.weight") for x in "qkv"]
        self.matrix(f"{target}qkv", np.concatenate(qkv))
        if arch.qkv_bias:
            bias = [get(f"{source}self_attn.{x}_proj.bias") for x in "qkv"]
            self.tensors[f"{target}qkv.bias"] = np.concatenate(bias).astype(np.float32)
        if arch.qk_norm:
            for x in "qk":
                self.vector(f"{target}{x}_norm", f"{source}self_attn.{x}_norm.weight")
        self.matrix(f"{target}o", get(f"{source}self_attn.o_proj.weight"))
        self.vector(f"{target}ffn_norm", f"{source}post_attention_layernorm.weight")
        gate_up = [get(f"{source}mlp.{x}_proj.weight") for x in ("gate", "up")]
        self.matrix(f"{target}gate_up", np.concatenate(gate_up))
        self.matrix(f"{target}down", get(f"{source}mlp.down_proj.weight"))


def _turns(arch: Architecture) -> NDArray[np.uint64]:
    try:
        return rope_turns(arch.head_width, arch.rope_theta, arch.rope_scaling)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise UnsupportedModelError(f"bad rotary scaling: {error!r}") from None


def build_pack(checkpoint: Checkpoint, *, progress: Progress | None = None) -> Pack:
    """The exact pack of a checkpoint, in memory, without its self-test answer.

    `progress(what, done, total)` is called after every layer. Raises UnsupportedModelError or
    CorruptError.
    """
    arch = checkpoint.architecture
    turns = _turns(arch)
    try:
        table = token_table(checkpoint.tokenizer_json, arch.vocab, checkpoint.bos)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptError(f"{checkpoint.name}: bad tokenizer: {error!r}") from None
    builder = _Builder(checkpoint.tensor)
    total = arch.layers + 2
    report = progress or (lambda what, done, total: None)

    def extended(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.concatenate((rows, rows[list(table.copied_rows)])) if table.copied_rows else rows

    builder.matrix("embed", extended(checkpoint.tensor("model.embed_tokens.weight")))
    report("converting", 1, total)
    if not arch.tied:
        builder.matrix("head", extended(checkpoint.tensor("lm_head.weight")))
    builder.vector("norm", "model.norm.weight")
    builder.ngrams(arch)
    report("converting", 2, total)
    for index in range(arch.layers):
        builder.layer(index, arch)
        report("converting", index + 3, total)

    checkpoint.require_all_used()

    lengths = np.array([0, *(len(text) for text in table.token_bytes)], np.int64)
    builder.tensors["tokens.offsets"] = np.cumsum(lengths).astype(np.uint32)
    builder.tensors["tokens.bytes"] = np.frombuffer(b"".join(table.token_bytes), np.uint8)
    builder.tensors["rope.turns"] = turns
    builder.tensors |= embedded_start(builder.tensors)
    config = _config(arch, table, checkpoint.bos)
    for name, (dtype, shape) in expected_tensors(config).items():
        found = builder.tensors.get(name)
        if found is None or found.shape != shape or found.dtype != dtype:
            raise UnsupportedModelError(
                f"tensor {name}: {None if found is None else found.shape}, expected {shape}"
            )
    return Pack(
        config=config,
        tensors=builder.tensors,
        identity=pack_identity(config, builder.tensors),
        name=checkpoint.name,
        tokenizer_json=table.tokenizer_json,
        notes=dict(checkpoint.notes),
        selftest="",
    )


def rebuild_pack(
    base: Pack, tensor: Callable[[str], NDArray[np.float64]], name: str, notes: dict[str, str]
) -> Pack:
    """A pack of the shape and the tokens of `base` with other weights, without a self-test answer.

    `tensor` gives weights by their Hugging Face names, as in a checkpoint.
    """
    builder, config = _Builder(tensor), base.config
    builder.matrix("embed", tensor("model.embed_tokens.weight"))
    if not config.tied:
        builder.matrix("head", tensor("lm_head.weight"))
    builder.vector("norm", "model.norm.weight")
    builder.ngrams(config)
    for index in range(config.layers):
        builder.layer(index, config)
    for key, value in base.tensors.items():
        if key.startswith(("tokens.", "rope.", "mixing.")):
            builder.tensors[key] = np.array(value)
    identity = pack_identity(config, builder.tensors)
    return Pack(config, builder.tensors, identity, name, base.tokenizer_json, notes, "")


def with_tensors(pack: Pack, tensors: Tensors) -> Pack:
    """The pack with this start of mixing (`mixing.*`) instead of its own, newly identified."""
    kept = {name: t for name, t in pack.tensors.items() if not name.startswith("mixing.")}
    everything = {**kept, **tensors}
    identity = pack_identity(pack.config, everything)
    return dataclasses.replace(pack, tensors=everything, identity=identity, path=None)


def write_pack(pack: Pack, path: Path, *, within: int = 0o777) -> None:
    """Write a pack as one safetensors file, which appears whole or not at all.

    Its permissions are at most `within`.
    """
    metadata: dict[str, Any] = {
        "lmzip.pack": str(PACK_VERSION),
        "lmzip.numerics": str(NUMERICS_VERSION),
        "lmzip.identity": pack.identity.hex(),
        "lmzip.config": pack.config.to_json(),
        "lmzip.name": pack.name,
        "lmzip.tokenizer": pack.tokenizer_json,
        "lmzip.selftest": pack.selftest,
        "lmzip.notes": json.dumps(pack.notes, sort_keys=True),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_output(path, overwrite=True, within=within) as file:
        _write_safetensors(pack.tensors, metadata, file)


_DTYPE_NAMES = {
    "|u1": "U8", "|i1": "I8", "<i2": "I16", "<u2": "U16", "<u4": "U32", "<f4": "F32", "<u8": "U64",
}  # fmt: skip


def _write_safetensors(tensors: Tensors, metadata: dict[str, str], file: BinaryIO) -> None:
    """The tiled matrices first and on multiples of 64 bytes, where vector loads want them.

    The format leaves no room between tensors, but the sizes of tiled matrices are multiples of 64,
    and its header may end in blanks. Then the rows of n-grams: one of 64 bytes is one cache line.
    """

    def order(name: str) -> tuple[int, str]:
        tiled, rows = tensors[name].ndim == 4, tensors[name].dtype == np.int8
        return (0 if tiled else 1 if rows else 10 - tensors[name].itemsize, name)

    names = sorted(tensors, key=order)
    header: dict[str, Any] = {"__metadata__": metadata}
    offset = 0
    for name in names:
        tensor = tensors[name]
        end = offset + tensor.nbytes
        header[name] = {
            "dtype": _DTYPE_NAMES[tensor.dtype.str],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(len(text) + 8) % 64)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in names:
        file.write(np.ascontiguousarray(tensors[name]).data)
