"""What a mixer does, how large it is, and the fastest one there is."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..extension import extension
from .reference import CONTEXTS, ReferenceMixer

__all__ = ["MIXING_VERSION", "Mixer", "NativeMixer", "mixer_bytes", "new_mixer", "table_bits"]

MIXING_VERSION = 1
"""Of NUMERICS.md, section 13."""

MIN_BITS = 8

MAX_VOCAB = 1 << 19
"""Of a row of high digits every digit must keep a frequency when the likeliest gets all others."""

_STREAM_BYTES = 1 << 14
"""History, candidates and the like."""

Freqs = NDArray[np.int32]
Tokens = NDArray[np.int64]


class Mixer(Protocol):
    """The streams of a block, from their first token on. R: the first R streams, those that run.

    A step is `high`, `low`, `update`. Frequencies are at least 1 and sum to 2**24 a row.
    """

    @property
    def model_bits(self) -> float:
        """What the tokens so far would have cost without mixing, about."""

    def high(self, freqs: Freqs) -> Freqs:
        """The model's frequencies of the high digits [R, digits], mixed."""

    def low(self, high: Tokens, freqs: Freqs) -> Freqs:
        """The model's frequencies of the low digits [R, 256] behind the high ones [R], mixed."""

    def update(self, tokens: Tokens) -> None:
        """Learn from the tokens [R] that came."""

    def prime(self, tokens: Tokens) -> None:
        """Count tokens [n] that nobody predicts, as one stream's; then all streams begin anew."""

    def restart(self) -> None:
        """All streams begin anew; what they said stays known."""


class NativeMixer:
    """native/mix/mixer.h, which is `native`."""

    def __init__(self, words: NDArray[np.bool_], streams: int, bits: int) -> None:
        self.native: Any = extension.Mixer(words.astype(np.uint8), streams, bits)

    @property
    def model_bits(self) -> float:
        return float(self.native.model_bits)

    def high(self, freqs: Freqs) -> Freqs:
        mixed = np.empty_like(freqs)
        self.native.high(freqs, mixed)
        return mixed

    def low(self, high: Tokens, freqs: Freqs) -> Freqs:
        mixed = np.empty_like(freqs)
        self.native.low(high, freqs, mixed)
        return mixed

    def update(self, tokens: Tokens) -> None:
        self.native.update(tokens)

    def prime(self, tokens: Tokens) -> None:
        self.native.prime(tokens)

    def restart(self) -> None:
        self.native.restart()


def table_bits(tokens: int, limit: int) -> int:
    """Bits of a table's size for a block of so many tokens, `limit` at most."""
    return min(limit, max(MIN_BITS, (tokens - 1).bit_length()))


def mixer_bytes(bits: int, vocab: int, streams: int) -> int:
    """Bytes of the tables and of what is kept for every stream, at most."""
    return len(CONTEXTS) * (64 << bits) + streams * (_STREAM_BYTES + vocab // 64)


def new_mixer(
    words: NDArray[np.bool_], streams: int, bits: int, *, reference: bool = False
) -> Mixer:
    """A mixer that has seen nothing; `words` [vocab] says which tokens are words.

    Raises UsageError if there are too many tokens to name.
    """
    if not 0 < len(words) <= MAX_VOCAB:
        raise UsageError(f"a vocabulary of {len(words)} tokens is too large to mix")
    mixer = ReferenceMixer if extension is None or reference else NativeMixer
    return mixer(words, streams, bits)
