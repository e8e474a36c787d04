"""Speculative decoding: guesses of a stream's next tokens go through the model with the known one.

An engine's predictions are the same bits however a sequence is cut, so that those after a guess
hold if the bitstream then says what was guessed. For few streams of a large model a pass of several
tokens takes hardly longer than one of a single token: both read all weights once.
"""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
from numpy.typing import NDArray

from ..engine import RADIX, Cache, Engine, Predictions, RewindingCache
from .guesses import Guess, Guesser

__all__ = ["LookAhead", "new_look_ahead"]

_log = logging.getLogger(__name__)

Tokens = NDArray[np.int64]
Freqs = NDArray[np.int32]

MOST_GUESSES = 8
"""Tokens that are guessed at once, at most."""


@dataclasses.dataclass
class _Pass:
    """The predictions of one forward pass, and the frequencies of all its high digits."""

    predictions: Predictions
    high: Freqs


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where the prediction after a token lies."""

    token: int
    found: _Pass
    row: int
    column: int


class LookAhead:
    """What an engine predicts for streams that are decoded in lockstep, one step after another."""

    def __init__(self, engine: Engine, cache: RewindingCache, streams: int, length: int) -> None:
        """The cache is empty and of so many streams, each of `length` tokens at most."""
        self._engine, self._cache, self._length = engine, cache, length
        self._most = min(MOST_GUESSES, cache.lead - 1)
        self._guesser = new_guesser(streams, length)
        self._streams = list(range(streams))
        self._ahead: list[list[_Place]] = [[] for _ in range(streams)]
        """Predictions after guesses, which the next tokens may make true."""
        self._guesses = [Guess([], 0, []) for _ in range(streams)]
        """The last ones, fed or not, and not yet proved wrong."""
        self._position = 0
        self.passes = self.fed = self.steps = 0
        """Forward passes, tokens fed in them, and steps times streams so far."""

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Only these streams go on."""
        self._cache.keep(rows)
        self._streams = [self._streams[i] for i in rows.tolist()]
        self._ahead = [self._ahead[i] for i in rows.tolist()]
        self._guesses = [self._guesses[i] for i in rows.tolist()]

    def forward(self, tokens: Tokens) -> Predictions:
        """Predictions [S, 1] of the tokens after these [S, 1], which are known now."""
        assert tokens.shape == (len(self._streams), 1)
        known: list[int] = tokens[:, 0].tolist()
        current: list[_Place | None] = []
        for i, token in enumerate(known):
            place = self._ahead[i].pop(0) if self._ahead[i] else None
            if place is not None and place.token != token:
                place, self._ahead[i] = None, []
            current.append(place)
            self._guesses[i] = self._guesser.learn(self._guesses[i], token)
            self._guesser.add(self._streams[i], token)
        asked = [i for i, place in enumerate(current) if place is None]
        if asked:
            self._pass(asked, known, current)
        self._position += 1
        self.steps += len(known)
        return _Step([place for place in current if place is not None])

    def _pass(self, asked: list[int], known: list[int], current: list[_Place | None]) -> None:
        """Feed the streams `asked` what is known and what is guessed."""
        most = min(self._most, self._length - self._position - 1)
        guesses = [self._guesser.guess(self._streams[i], most) for i in asked]
        others = [len(a) for i, a in enumerate(self._ahead) if i not in asked]
        count = 1 + self._worth(guesses, most, others, self._cache.row_cost)
        rows = np.zeros((len(asked), count), np.int64)
        for row, (i, guess) in enumerate(zip(asked, guesses, strict=True)):
            fed = [known[i], *guess.tokens][:count]
            rows[row, : len(fed)] = fed
        self._cache.choose(np.array(asked), self._position)
        predictions = self._engine.forward(rows, self._cache)
        found = _Pass(predictions, predictions.high())
        for row, (i, guess) in enumerate(zip(asked, guesses, strict=True)):
            current[i] = _Place(known[i], found, row, 0)
            self._ahead[i] = [
                _Place(token, found, row, 1 + j)
                for j, token in enumerate(guess.tokens[: count - 1])
            ]
            self._guesses[i] = guess
        self.passes += 1
        self.fed += rows.size

    @staticmethod
    def _worth(guesses: list[Guess], most: int, others: list[int], row_cost: float) -> int:
        """How many tokens to feed of each stream's guess, so that a step takes the least time.

        A later pass is saved only where all streams' guesses are right; `others` are ahead by so
        many tokens already.
        """
        chance = expected = cost = 1.0
        for column in range(most):
            if others and min(others) <= column:
                return column
            for guess in guesses:
                chance *= guess.chances[column] if column < len(guess.chances) else 0.0
            if chance * cost <= row_cost * len(guesses) * expected:
                return column
            expected += chance
            cost += row_cost * len(guesses)
        return most

    def log(self) -> None:
        """Say how it went, to whoever listens."""
        _log.debug(
            "%d tokens in %d passes of %.2f tokens", self.steps, self.passes,
            self.fed / max(1, self.passes),
        )  # fmt: skip


class _Step:
    """Predictions [S, 1], each out of some pass."""

    def __init__(self, places: list[_Place]) -> None:
        self._places = places

    def high(self) -> Freqs:
        return np.stack([p.found.high[p.row, p.column] for p in self._places])[:, None]

    def low(self, high: Tokens) -> Freqs:
        digits = high[:, 0]
        freqs = np.empty((len(digits), 1, RADIX), np.int32)
        for found in {id(p.found): p.found for p in self._places}.values():
            wanted = np.zeros(found.high.shape[:2], np.int64)
            for digit, p in zip(digits.tolist(), self._places, strict=True):
                if p.found is found:
                    wanted[p.row, p.column] = digit
            low = found.predictions.low(wanted)
            for i, p in enumerate(self._places):
                if p.found is found:
                    freqs[i, 0] = low[p.row, p.column]
        return freqs


def new_guesser(streams: int, length: int) -> Guesser:
    """What guesses for so many streams of so many tokens at most."""
    return Guesser(streams, length)


def new_look_ahead(engine: Engine, cache: Cache, streams: int, length: int) -> LookAhead | None:
    """A way to decode these streams with guesses, where that is faster; else None."""
    if not isinstance(cache, RewindingCache):
        return None
    if not 1 <= streams <= cache.guessing_streams or cache.lead < 2:
        return None
    return LookAhead(engine, cache, streams, length)
