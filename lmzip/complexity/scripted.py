"""An engine that is told what to think: controls for reasoning, which no decoder can find."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..engine import PRECISION, RADIX, Cache, Engine, Predictions

__all__ = ["ScriptedEngine", "ThoughtPlaces"]

Tokens = NDArray[np.int64]
Freqs = NDArray[np.int32]


@dataclasses.dataclass(frozen=True)
class ThoughtPlaces:
    """Where the thoughts of a stream stand, in positions from the start token on."""

    first: int
    """Of the first thought's first token."""
    tokens: int
    """Of each thought."""
    step: int
    """From one thought's first token to that of the next; 0: there is one only."""
    count: int

    def positions(self) -> list[int]:
        """Of all tokens that are thought, in order."""
        starts = [self.first + i * self.step for i in range(self.count)]
        return [start + t for start in starts for t in range(self.tokens)]


class ScriptedEngine:
    """See `Engine`; notes which tokens are thought, and may be told which ones.

    The archive is like any other and decodes with this engine alone: who has not got the script
    does not think so. Its size says what x costs to somebody who does.
    """

    lanes: tuple[Engine, ...] = ()

    def __init__(self, engine: Engine, places: ThoughtPlaces, script: Sequence[int] = ()) -> None:
        """`script` is repeated if it is too short; without one, the engine thinks for itself."""
        self.engine, self.config, self.name = engine, engine.config, engine.name
        self.slice_tokens = engine.slice_tokens
        self.lockstep_streams = engine.lockstep_streams
        positions = places.positions()
        self._wanted: dict[int, int] = {}
        if script:
            self._wanted = {p: script[i % len(script)] for i, p in enumerate(positions)}
        self._noted = dict.fromkeys(positions, -1)

    def chain(self) -> list[int]:
        """The tokens that were thought, in order."""
        return list(self._noted.values())

    def cache_memory(self) -> int | None:
        return self.engine.cache_memory()

    def new_cache(self, streams: int, window: int, sinks: int, length: int) -> Cache:
        return self.engine.new_cache(streams, window, sinks, length)

    def forward(self, tokens: Tokens, cache: Cache) -> Predictions:
        start = cache.position
        for position, token in enumerate(tokens[0].tolist(), start):
            if position in self._noted:
                self._noted[position] = token
        predictions = self.engine.forward(tokens, cache)
        wanted = self._wanted.get(start + tokens.shape[1])
        rows, count = tokens.shape
        return predictions if wanted is None else _Forced(wanted, rows, count, self.config.vocab)


class _Forced:
    """Predictions [rows, count] of one token, as sure as frequencies can be."""

    def __init__(self, token: int, rows: int, count: int, vocab: int) -> None:
        self._token, self._shape, self._vocab = token, (rows, count), vocab

    def _sure(self, size: int, digit: int) -> Freqs:
        freqs = np.ones((*self._shape, size), np.int32)
        freqs[..., digit] = (1 << PRECISION) - size + 1
        return freqs

    def high(self) -> Freqs:
        return self._sure(-(-self._vocab // RADIX), self._token // RADIX)

    def low(self, high: Tokens) -> Freqs:
        return self._sure(RADIX, self._token % RADIX)
