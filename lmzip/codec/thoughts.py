"""Tokens that a model draws for itself, and the mixture of what chains of them predict.

NUMERICS.md, section 14, in integers: every engine thinks the same thoughts, so that they cost
nothing to send.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..engine import PRECISION, RADIX, Cache, Engine
from ..engine.arithmetic import frequencies

__all__ = ["ChainMixture", "Generator", "draw_digit", "draw_thoughts"]

Tokens = NDArray[np.int64]
Freqs = NDArray[np.int32]

_MASK = (1 << 64) - 1
_WEIGHT_BITS = 32


class Generator:
    """SplitMix64, of which there are as many as one likes for a seed."""

    def __init__(self, number: int, seed: int) -> None:
        self._state = seed ^ (number + 1) * 0xD1B54A32D192ED03 & _MASK

    def draw(self) -> int:
        """The next 32 bits."""
        self._state = a = (self._state + 0x9E3779B97F4A7C15) & _MASK
        a = (a ^ a >> 30) * 0xBF58476D1CE4E5B9 & _MASK
        a = (a ^ a >> 27) * 0x94D049BB133111EB & _MASK
        return (a ^ a >> 31) >> 32


def draw_digit(freqs: Freqs, temperature: int, generator: Generator) -> int:
    """A digit from frequencies [n], at a temperature of 1 / `temperature`; 0: the likeliest."""
    if temperature == 0:
        return int(freqs.argmax())
    most = int(freqs.max()) ** temperature
    weights = [(f**temperature << PRECISION) // most for f in freqs.tolist()]
    target = generator.draw() * sum(weights) >> 32
    for digit, weight in enumerate(weights):
        target -= weight
        if target < 0:
            return digit
    raise AssertionError("the target lies below the sum")


def draw_thoughts(
    engine: Engine,
    cache: Cache,
    last: Tokens,
    count: int,
    temperature: int,
    generators: list[Generator],
) -> Tokens:
    """Thoughts [rows, count] behind inputs `last` [rows], which have not been fed yet.

    The last token of each has not been fed when this returns.
    """
    drawn = np.empty((len(last), count), np.int64)
    vocab = engine.config.vocab
    for t in range(count):
        predictions = engine.forward(last[:, None], cache)
        high = np.array(
            [draw_digit(row, temperature, g)
             for row, g in zip(predictions.high()[:, 0], generators, strict=True)]
        )  # fmt: skip
        low = predictions.low(high[:, None])[:, 0]
        drawn[:, t] = last = high * RADIX + [
            draw_digit(row[: vocab - h * RADIX], temperature, g)
            for row, h, g in zip(low, high.tolist(), generators, strict=True)
        ]
    return drawn


class ChainMixture:
    """Weights of k chains for each of S streams, by how well they have predicted it."""

    def __init__(self, streams: int, chains: int) -> None:
        self._weights = np.full((streams, chains), (1 << _WEIGHT_BITS) // chains, np.uint64)

    def copy(self) -> ChainMixture:
        """The same, from now on by itself."""
        other = ChainMixture(1, 1)
        other._weights = self._weights.copy()
        return other

    def keep(self, rows: Tokens) -> None:
        """Go on with these streams only."""
        self._weights = self._weights[rows]

    def mix(self, freqs: Freqs) -> Freqs:
        """The streams' frequencies [S, n] of those of their chains [S, k, n]."""
        sums = (self._weights[..., None] * freqs.astype(np.uint64)).sum(axis=1)
        return frequencies((sums >> np.uint64(_WEIGHT_BITS)).astype(np.int32))

    def learn(self, freqs: Freqs, digits: Tokens) -> None:
        """The streams' digits [S], which chains gave frequencies [S, k, n], are known."""
        for stream, digit in enumerate(digits.tolist()):
            shares = [
                int(w) * int(f)
                for w, f in zip(self._weights[stream], freqs[stream, :, digit], strict=True)
            ]
            total = sum(shares)
            self._weights[stream] = [max(1, (u << _WEIGHT_BITS) // total) for u in shares]
