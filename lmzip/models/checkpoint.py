"""A floating-point checkpoint, read from a Hugging Face folder: no pickle, no remote code."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.weights import read_safetensors
from ..errors import CorruptError, UnsupportedModelError

__all__ = ["Architecture", "Checkpoint", "read_folder", "rope_turns"]

_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
_BUFFERS = (".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias")
"""Endings of names that are no weights: they follow from the configuration."""

SUPPORTED = ("llama", "mistral", "qwen2", "qwen3", "lmzip")
"""The last is Qwen3 with rows for hashed n-grams: what `training` makes."""


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What a checkpoint says of its own shape, in the field's usual terms."""

    model_type: str
    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    ffn_width: int
    vocab: int
    context: int
    norm_eps: float
    rope_theta: float
    rope_scaling: dict[str, Any] | None
    tied: bool
    qkv_bias: bool
    qk_norm: bool
    ngrams: tuple[int, ...] = ()
    ngram_rows: int = 0
    ngram_width: int = 0


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Weights by their Hugging Face names, as float64, and the tokenizer's JSON."""

    architecture: Architecture
    tensor: Callable[[str], NDArray[np.float64]]
    tokenizer_json: str
    bos: int
    name: str
    notes: dict[str, str]
    left_over: Callable[[], list[str]] = list
    """Names of stored weights that nobody has asked for so far."""

    def require_all_used(self) -> None:
        """Raise UnsupportedModelError if some of the weights were not asked for.

        A model that is run without some of its weights is another one.
        """
        names = self.left_over()
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise UnsupportedModelError(
                f"{self.name}: the checkpoint has weights that would be ignored: {names[0]}{more}"
            )


def rope_turns(head_width: int, theta: float, scaling: dict[str, Any] | None) -> NDArray[np.uint64]:
    """Angle a position of every rotary pair, in units of 2**-64 turn, uint64 [head_width / 2].

    Computed with 60 decimal digits, so that every machine gets the same integers. `scaling` is the
    checkpoint's rope_scaling: none, "default", "linear" or "llama3".
    """
    context = Context(prec=60)
    two_pi = Decimal("6.28318530717958647692528676655900576839433879875021164194988918462")
    log_theta = context.ln(Decimal(theta))
    scaling = dict(scaling or {})
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind not in ("default", "linear", "llama3"):
        raise UnsupportedModelError(f"rotary scaling {kind!r} is not supported")
    turns = []
    for pair in range(head_width // 2):
        exponent = context.divide(Decimal(-2 * pair), Decimal(head_width))
        angle = context.exp(context.multiply(exponent, log_theta))
        if kind == "linear":
            angle = context.divide(angle, Decimal(float(scaling["factor"])))
        elif kind == "llama3":
            factor = Decimal(float(scaling["factor"]))
            low = Decimal(float(scaling["low_freq_factor"]))
            high = Decimal(float(scaling["high_freq_factor"]))
            length = Decimal(int(scaling["original_max_position_embeddings"]))
            rotations = context.divide(context.multiply(length, angle), two_pi)
            slow = context.divide(angle, factor)
            if rotations < low:
                angle = slow
            elif rotations <= high:
                blend = context.divide(
                    context.subtract(rotations, low), context.subtract(high, low)
                )
                angle = context.add(
                    context.multiply(context.subtract(Decimal(1), blend), slow),
                    context.multiply(blend, angle),
                )
        turn = context.multiply(context.divide(angle, two_pi), Decimal(1 << 64))
        turns.append(int(context.to_integral_value(turn)) % (1 << 64))
    return np.array(turns, np.uint64)


def _number(config: dict[str, Any], key: str, default: Any = None) -> Any:
    value = config.get(key, default)
    if value is None:
        raise CorruptError(f"config.json has no {key!r}")
    return value


def architecture_from_config(config: dict[str, Any]) -> Architecture:
    """The architecture that a Hugging Face config.json describes.

    Raises UnsupportedModelError for anything outside the Llama family.
    """
    kind = config.get("model_type")
    if kind not in SUPPORTED:
        raise UnsupportedModelError(
            f"model type {kind!r} is not supported (supported: {', '.join(SUPPORTED)})"
        )
    if config.get("hidden_act", "silu") != "silu":
        raise UnsupportedModelError(f"activation {config['hidden_act']!r} is not supported")
    if config.get("mlp_bias") or (kind == "llama" and config.get("attention_bias")):
        raise UnsupportedModelError("biases outside q, k and v are not supported")
    heads, width = int(_number(config, "num_attention_heads")), int(_number(config, "hidden_size"))
    # transformers 5 moved rope_theta into rope_parameters.
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if "partial_rotary_factor" in rope and rope["partial_rotary_factor"] != 1.0:
        raise UnsupportedModelError("partial rotary positions are not supported")
    theta = config.get("rope_theta", rope.get("rope_theta", 10000.0))
    own = kind == "lmzip"
    return Architecture(
        model_type=kind,
        layers=int(_number(config, "num_hidden_layers")),
        width=width,
        heads=heads,
        kv_heads=int(_number(config, "num_key_value_heads", heads)),
        head_width=int(config.get("head_dim") or width // heads),
        ffn_width=int(_number(config, "intermediate_size")),
        vocab=int(_number(config, "vocab_size")),
        context=int(_number(config, "max_position_embeddings")),
        norm_eps=float(config.get("rms_norm_eps", 1e-6)),
        rope_theta=float(theta),
        rope_scaling=dict(rope) or None,
        tied=bool(config.get("tie_word_embeddings", False)),
        qkv_bias=kind == "qwen2",
        qk_norm=kind in ("qwen3", "lmzip"),
        ngrams=tuple(int(order) for order in config.get("ngrams", ())) if own else (),
        ngram_rows=int(_number(config, "ngram_rows")) if own else 0,
        ngram_width=int(_number(config, "ngram_width")) if own else 0,
    )


def _widen(array: NDArray[Any], bfloat16: bool) -> NDArray[np.float64]:
    if bfloat16:
        array = (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return array.astype(np.float64)


def _start_token(folder: Path, config: dict[str, Any], tokenizer: dict[str, Any]) -> int:
    """The id a stream starts from: the tokenizer's or the config's BOS, else its EOS."""
    ids = {entry["content"]: entry["id"] for entry in tokenizer.get("added_tokens", ())}
    path = folder / "tokenizer_config.json"
    extra = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for key in ("bos_token", "eos_token"):
        token = extra.get(key)
        token = token.get("content") if isinstance(token, dict) else token
        if token in ids:
            return int(ids[token])
        value = config.get(f"{key}_id")
        value = value[0] if isinstance(value, list) else value
        if isinstance(value, int):
            return value
    raise UnsupportedModelError("the checkpoint names neither a BOS nor an EOS token")


def read_folder(folder: Path, name: str) -> Checkpoint:
    """The checkpoint in a folder with config.json, tokenizer.json and *.safetensors.

    Raises CorruptError or UnsupportedModelError; nothing is unpickled or executed.
    """
    try:
        return _read_folder(folder, name)
    except (
        TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError,
    ) as error:  # fmt: skip
        raise CorruptError(f"{folder}: a field is missing or of a wrong type: {error}") from None


def _read_folder(folder: Path, name: str) -> Checkpoint:
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        tokenizer_json = (folder / "tokenizer.json").read_text("utf-8")
        tokenizer = json.loads(tokenizer_json)
    except FileNotFoundError as error:
        raise CorruptError(f"{folder}: {Path(error.filename).name} is missing") from None
    except ValueError as error:
        raise CorruptError(f"{folder}: bad JSON: {error}") from None
    architecture = architecture_from_config(config)
    tensors: dict[str, tuple[NDArray[Any], bool]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        found, _, bfloat16 = read_safetensors(path)
        tensors |= {key: (array, key in bfloat16) for key, array in found.items()}
    if not tensors:
        raise CorruptError(f"{folder}: has no .safetensors file (pickled weights are never read)")
    if _HEAD not in tensors and not architecture.tied:
        raise CorruptError(
            f"{folder}: tensor {_HEAD} is missing, and config.json does not say that it is tied"
        )
    used: set[str] = set()

    def tensor(key: str) -> NDArray[np.float64]:
        if key not in tensors:
            raise CorruptError(f"{folder}: tensor {key} is missing")
        used.add(key)
        return _widen(*tensors[key])

    def left_over() -> list[str]:
        names = {name for name in tensors if not name.endswith(_BUFFERS)} - used
        if architecture.tied and _HEAD in names and _EMBEDDING in tensors:
            head, embedding = tensors[_HEAD][0], tensors[_EMBEDDING][0]
            if np.array_equal(head, embedding):
                names.remove(_HEAD)
        return sorted(names)

    return Checkpoint(
        architecture=architecture,
        tensor=tensor,
        tokenizer_json=tokenizer_json,
        bos=_start_token(folder, config, tokenizer),
        name=name,
        notes={"source": f"folder {folder.name}"},
        left_over=left_over,
    )
