"""What every engine offers: feed tokens, get the exact frequencies of the next ones."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .config import ModelConfig

__all__ = ["Cache", "Engine", "Predictions", "RewindingCache"]

Tokens = NDArray[np.int64]
Freqs = NDArray[np.int32]


class Cache(Protocol):
    """The keys and values of some streams in lockstep. Made by `Engine.new_cache`."""

    @property
    def position(self) -> int:
        """How many tokens every stream has been fed."""

    def keep(self, rows: NDArray[np.int64]) -> None:
        """Drop all streams but `rows`, in that order."""

    def spread(self) -> None:
        """Go on as all the streams that the cache was made for; the only one kept has read for all.

        So what all streams begin with is computed once.
        """


@runtime_checkable
class RewindingCache(Cache, Protocol):
    """A cache that can drop the last tokens again, of some streams and not of others."""

    @property
    def guessing_streams(self) -> int:
        """Up to so many streams, a pass of several tokens each takes about as long as one of a
        single token, so that feeding guesses pays; 0 if it never does."""

    @property
    def row_cost(self) -> float:
        """What one more token costs in such a pass, about, as a part of a pass of one token."""

    @property
    def lead(self) -> int:
        """Tokens that a stream may be fed beyond the position of another, or of its own return."""

    def choose(self, rows: NDArray[np.int64], position: int) -> None:
        """Feed only the streams `rows` next, of those kept, from `position` on.

        What they were fed there and after is dropped; other streams keep what they have. Raises
        IndexError if the position lies further back than `lead`, or ahead. `keep` ends the choice.
        """


class Predictions(Protocol):
    """The distributions of the tokens after those just fed, [B, T] of them.

    Frequencies are int32, at least 1, and sum to 2**24 along the last axis.
    """

    def high(self) -> Freqs:
        """Frequencies of the high digit, [B, T, ceil(V / 256)]."""

    def low(self, high: Tokens) -> Freqs:
        """Frequencies [B, T, 256] of the low digit, given each token's high digit [B, T]."""


class Engine(Protocol):
    """An implementation of NUMERICS.md. Equal inputs give equal bits on every engine."""

    name: str
    config: ModelConfig
    slice_tokens: int
    """Tokens, over all streams, that it likes to be fed at once."""
    lockstep_streams: int
    """Streams that it likes to advance together, where there are so many; of all lanes."""
    lanes: tuple[Engine, ...]
    """Engines equal to this one, itself among them, that work at the same time if each is called
    by a thread of its own; the same one twice if it likes to. None: it works alone."""

    def cache_memory(self) -> int | None:
        """Bytes of caches that its own memory has room for; None if it uses the host's."""

    def new_cache(self, streams: int, window: int, sinks: int, length: int) -> Cache:
        """An empty cache for `streams` streams of at most `length` tokens each.

        A token attends to the last `window` positions, itself included, and to the stream's first
        `sinks` positions. Raises DeviceMemoryError if it does not fit the engine's own memory.
        """

    def forward(self, tokens: Tokens, cache: Cache) -> Predictions:
        """Feed tokens [B, T] at positions cache.position onwards; the cache grows by T.

        However a sequence is cut into calls, and whatever else is in the batch, the predictions
        are the same bits.
        """
