"""What a model in training looks like, and how it is trained."""

from __future__ import annotations

import dataclasses

__all__ = ["Schedule", "Shape"]


@dataclasses.dataclass(frozen=True)
class Shape:
    """The model's sizes, in elements; the vocabulary is the tokenizer's."""

    width: int
    layers: int
    heads: int
    kv_heads: int
    ffn_width: int
    head_width: int = 64
    vocab: int = 8192
    context: int = 2048
    norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    bos: int = 0
    """The token before every sequence."""
    ngrams: tuple[int, ...] = ()
    """Orders of the hashed n-grams that have rows beside the embedding; 2 is two tokens."""
    ngram_rows: int = 65536
    ngram_width: int = 64


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Warm-up, stable, decay. Lengths are in tokens; learning rates are those of the plateau."""

    seed: int = 1
    batch: int = 16384
    micro_batch: int = 4096
    candidates: int = 0
    """Rows of the head that a micro-batch is trained on until the decay's end; 0: all of them."""
    stable_length: int = 512
    decay_length: int = 2048
    warmup_tokens: int = 3_000_000
    total_tokens: int = 0
    """All tokens, decay included; 0: until a file named `decay` lies in the run's folder."""
    decay_fraction: float = 0.2
    """The decay's part of all tokens."""
    muon_lr: float = 0.02
    muon_momentum: float = 0.95
    muon_decay: float = 0.02
    adam_lr: float = 3e-3
    gain_lr: float = 3e-3
    table_lr: float = 3e-3
    """For the rows of n-grams."""
    clip: float = 1.0
    checkpoint_minutes: float = 5.0
    evaluate_steps: int = 1000
    evaluate_tokens: int = 4096
    """Of every held-out file, in the course of training."""
    log_steps: int = 20
