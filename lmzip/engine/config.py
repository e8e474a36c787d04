"""The shape of a model: what an engine must know besides the weights."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from ..errors import CorruptError

__all__ = ["NGRAM_ORDERS", "ModelConfig"]

NGRAM_ORDERS = 4
"""The longest n-grams that have a hash."""


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A Llama-family decoder: RMSNorm, rotary positions, grouped queries, SwiGLU.

    All sizes are counts of elements; `context` is the length (in tokens) that the model was trained
    on, `bos` the token every stream starts from, `suppressed` the tokens that text never yields and
    that get no probability (NUMERICS.md, section 9).
    """

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    ffn_width: int
    vocab: int
    context: int
    norm_eps: float
    bos: int
    suppressed: tuple[int, ...] = ()
    qkv_bias: bool = False
    qk_norm: bool = False
    tied: bool = False
    ngrams: tuple[int, ...] = ()
    """Orders of the hashed n-grams that have rows beside the embedding (NUMERICS.md, section 4)."""
    ngram_rows: int = 0
    ngram_width: int = 0
    """Rows of each order's table, and elements of a row; 0 without n-grams."""

    def __post_init__(self) -> None:
        limits = {
            "layers": 1 << 10,
            "width": 1 << 16,
            "heads": 1 << 10,
            "kv_heads": 1 << 10,
            "head_width": 1 << 10,
            "ffn_width": 1 << 17,
            "vocab": 1 << 20,
            "context": 1 << 24,
        }
        for name, limit in limits.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= limit:
                raise CorruptError(f"model config: {name}={value!r} is outside 1..{limit}")
        if self.heads % self.kv_heads:
            raise CorruptError("model config: heads is not a multiple of kv_heads")
        if self.head_width % 2:
            raise CorruptError("model config: head_width must be even for rotary positions")
        if not (isinstance(self.norm_eps, float) and 0.0 < self.norm_eps < 1.0):
            raise CorruptError(f"model config: norm_eps={self.norm_eps!r} is outside (0, 1)")
        sizes = self.ngram_rows, self.ngram_width
        if self.ngrams:
            if list(self.ngrams) != sorted(set(self.ngrams)) or not all(
                isinstance(n, int) and 2 <= n <= NGRAM_ORDERS for n in self.ngrams
            ):
                raise CorruptError(
                    f"model config: ngrams={self.ngrams!r} are not in ascending order"
                )
            if not all(isinstance(n, int) for n in sizes) or not (
                1 <= sizes[0] <= 1 << 24 and 1 <= sizes[1] <= 1 << 10
            ):
                raise CorruptError(f"model config: n-gram table sizes {sizes!r} are out of range")
        elif sizes != (0, 0):
            raise CorruptError("model config: there are n-gram tables, but no n-grams")
        if not all(0 <= t < self.vocab for t in (self.bos, *self.suppressed)):
            raise CorruptError("model config: a special token lies outside the vocabulary")

    @property
    def group(self) -> int:
        """Query heads that share one key/value head."""
        return self.heads // self.kv_heads

    @property
    def qkv_rows(self) -> int:
        """Rows of the stacked q, k, v matrix."""
        return (self.heads + 2 * self.kv_heads) * self.head_width

    @property
    def score_scale(self) -> float:
        """log2(e) / sqrt(head_width) in binary64; engines round it to binary32."""
        return 1.4426950408889634 / math.sqrt(self.head_width)

    def cache_bytes(self, streams: int, positions: int) -> int:
        """Bytes of an int8 key/value cache of that size, scales included."""
        per_head = 2 * (self.head_width + 4)
        return streams * positions * self.layers * self.kv_heads * per_head

    def parameters(self) -> int:
        """Number of weights in the matrices (scales and biases not counted)."""
        layer = self.width * (self.qkv_rows + self.heads * self.head_width + 3 * self.ffn_width)
        ngrams = len(self.ngrams) * self.ngram_width * (self.ngram_rows + self.width)
        return self.layers * layer + self.vocab * self.width * (1 if self.tied else 2) + ngrams

    @property
    def memory(self) -> int:
        """Tokens before the current one that its n-grams look at."""
        return max(self.ngrams, default=1) - 1

    def to_json(self) -> str:
        """The canonical JSON: sorted keys, no blanks, so that equal configs are equal bytes.

        A model without n-grams has no fields for them.
        """
        fields = dataclasses.asdict(self)
        if not self.ngrams:
            for name in ("ngrams", "ngram_rows", "ngram_width"):
                del fields[name]
        return json.dumps(fields, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """Parse what `to_json` wrote. Raises CorruptError on anything else."""
        try:
            fields: dict[str, Any] = json.loads(text)
            for name in ("suppressed", "ngrams"):
                fields[name] = tuple(fields.get(name, ()))
            return cls(**fields)
        except (ValueError, TypeError, AttributeError, ArithmeticError) as error:
            raise CorruptError(f"model config: {error}") from None
        except RecursionError:
            raise CorruptError("model config: nested too deeply") from None
