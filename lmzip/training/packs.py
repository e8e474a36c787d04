"""Packs as weights in floating point, and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..engine.arithmetic import hadamard_block
from ..engine.reference import ReferenceEngine
from ..engine.selftest import selftest_digest
from ..engine.weights import Pack
from ..errors import UnsupportedModelError
from ..models.convert import rebuild_pack
from .shape import Shape

__all__ = ["float_weights", "pack_of", "shape_of"]


def shape_of(pack: Pack) -> Shape:
    """The shape of a pack's model in training.

    Raises UnsupportedModelError for models that `Model` is not.
    """
    config = pack.config
    if not (config.qk_norm and config.tied) or config.qkv_bias:
        raise UnsupportedModelError(
            f"model {pack.name!r} cannot be trained here (only lmzip's own models can)"
        )
    turns = pack.tensors["rope.turns"].astype(np.float64) / 2.0**64 * 2 * np.pi
    theta = float(np.round((turns[0] / turns[1]) ** (config.head_width / 2)))
    return Shape(
        width=config.width,
        layers=config.layers,
        heads=config.heads,
        kv_heads=config.kv_heads,
        ffn_width=config.ffn_width,
        head_width=config.head_width,
        vocab=config.vocab,
        context=config.context,
        norm_eps=config.norm_eps,
        rope_theta=theta,
        bos=config.bos,
        ngrams=config.ngrams,
        ngram_rows=config.ngram_rows or Shape.ngram_rows,
        ngram_width=config.ngram_width or Shape.ngram_width,
    )


def _unrotated(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of the conversion's rotation: rows [N, K] times the block Hadamard matrix."""
    block = hadamard_block(rows.shape[1])
    matrix = np.ones((1, 1))
    while len(matrix) < block:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return (rows.reshape(len(rows), -1, block) @ matrix).reshape(rows.shape)


def _matrix(pack: Pack, name: str) -> Tensor:
    scale = pack.tensors[f"{name}.scale"].astype(np.float64)
    rows = _unrotated(pack.matrix(name).astype(np.float64) * scale[:, None])
    return torch.from_numpy(rows.astype(np.float32))


def float_weights(pack: Pack) -> dict[str, Tensor]:
    """The pack's weights in binary32, by the names that `Model` has for them.

    Rounding to 8 bits is all that was lost.
    """
    config = pack.config

    def vector(name: str) -> Tensor:
        return torch.from_numpy(np.array(pack.tensors[name], np.float32))

    out = {"embed_tokens.weight": _matrix(pack, "embed"), "norm.weight": vector("norm")}
    kv = config.kv_heads * config.head_width
    sizes = [config.heads * config.head_width, kv, kv]
    if config.ngrams:
        tables, parts = [], []
        for order in config.ngrams:
            name = f"ngrams.{order}"
            steps = pack.tensors[f"{name}.steps"].astype(np.float64)
            rows = _unrotated(pack.tensors[f"{name}.rows"] * steps[:, None])
            tables.append(torch.from_numpy((rows / hadamard_block(rows.shape[1])).astype("f4")))
            parts.append(_matrix(pack, f"{name}.proj"))
        out["ngrams.tables"], out["ngrams.proj.weight"] = torch.stack(tables), torch.cat(parts, 1)
    for i in range(config.layers):
        source, target = f"layers.{i}", f"layers.{i}"
        out[f"{target}.input_layernorm.weight"] = vector(f"{source}.attention_norm")
        out[f"{target}.post_attention_layernorm.weight"] = vector(f"{source}.ffn_norm")
        for x, part in zip("qkv", _matrix(pack, f"{source}.qkv").split(sizes), strict=True):
            out[f"{target}.self_attn.{x}_proj.weight"] = part.contiguous()
        for x in "qk":
            out[f"{target}.self_attn.{x}_norm.weight"] = vector(f"{source}.{x}_norm")
        out[f"{target}.self_attn.o_proj.weight"] = _matrix(pack, f"{source}.o")
        gate, up = _matrix(pack, f"{source}.gate_up").chunk(2)
        out[f"{target}.mlp.gate_proj.weight"] = gate.contiguous()
        out[f"{target}.mlp.up_proj.weight"] = up.contiguous()
        out[f"{target}.mlp.down_proj.weight"] = _matrix(pack, f"{source}.down")
    return out


def pack_of(base: Pack, state: Mapping[str, Tensor], name: str, notes: dict[str, str]) -> Pack:
    """A pack with the shape and the tokens of `base`, the weights of a `Model`, and its answer to
    the self-test."""

    def tensor(key: str) -> NDArray[np.float64]:
        key = key.removeprefix("model.")
        if key.startswith("ngrams.tables."):
            found = state["ngrams.tables"][int(key.rpartition(".")[2])]
        else:
            found = state[key]
        return found.detach().cpu().double().numpy()

    pack = rebuild_pack(base, tensor, name, notes)
    return dataclasses.replace(pack, selftest=selftest_digest(ReferenceEngine(pack)))
