"""An engine whose streams have read something before their first token, and may think.

FORMAT.md, "Side information": a stream begins with the start token, a prefix of side tokens and a
thought; more thoughts may follow. What codes tokens notices nothing: it feeds a start token at the
first position, as ever, and that stands for whatever comes before.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ..engine import RADIX, Cache, Engine, Predictions
from .thoughts import ChainMixture, Generator, draw_thoughts

__all__ = ["ConditionedEngine", "ThoughtPlan"]

Tokens = NDArray[np.int64]
Freqs = NDArray[np.int32]

_FED_AT_ONCE = 512
"""Tokens over all rows in one forward pass."""


@dataclasses.dataclass(frozen=True)
class ThoughtPlan:
    """How to think, in tokens. See `lmzip.format.Thoughts`."""

    tokens: int
    chains: int
    temperature: int
    seed: int
    every: int
    before: Tokens
    behind: Tokens

    def generators(self, streams: int) -> list[Generator]:
        """Those of the later thoughts of all streams' chains."""
        return [
            Generator(256 * (stream + 1) + chain, self.seed)
            for stream in range(streams)
            for chain in range(self.chains)
        ]


class ConditionedEngine:
    """See `Engine`; positions count from a stream's first own token. It works alone."""

    lanes: tuple[Engine, ...] = ()

    def __init__(self, engine: Engine, prefix: Tokens, thoughts: ThoughtPlan | None = None) -> None:
        """`prefix` [P]: the tokens behind the start token."""
        self.engine, self.config, self.name = engine, engine.config, engine.name
        self.thoughts = thoughts
        self.chains = thoughts.chains if thoughts else 1
        self.slice_tokens = max(1, engine.slice_tokens // self.chains)
        self.lockstep_streams = max(1, engine.lockstep_streams // self.chains)
        before = thoughts.before if thoughts else np.empty(0, np.int64)
        self._common = np.concatenate([[engine.config.bos], prefix, before]).astype(np.int64)
        self._first: dict[tuple[int, int], Tokens] = {}

    def first_thoughts(self, window: int, sinks: int) -> Tokens:
        """What all chains think before anything is coded, [k, T]; drawn once."""
        plan = self.thoughts
        if plan is None:
            return np.empty((1, 0), np.int64)
        if (window, sinks) not in self._first:
            length = len(self._common) + plan.tokens
            cache = self._read_common(plan.chains, window, sinks, length)
            last = np.full(plan.chains, self._common[-1])
            generators = [Generator(chain, plan.seed) for chain in range(plan.chains)]
            self._first[window, sinks] = draw_thoughts(
                self.engine, cache, last, plan.tokens, plan.temperature, generators
            )
        return self._first[window, sinks]

    def thoughts_crc(self, window: int, sinks: int) -> int:
        """CRC-32 of the first thoughts."""
        return zlib.crc32(self.first_thoughts(window, sinks).astype("<u4").tobytes())

    def lead_tokens(self) -> int:
        """Tokens before a stream's first own one, the start token included."""
        plan = self.thoughts
        return len(self._common) + (plan.tokens + len(plan.behind) if plan else 0)

    def length(self, tokens: int) -> int:
        """Positions that a stream of so many own tokens takes."""
        plan = self.thoughts
        again = (tokens - 1) // plan.every if plan and plan.every else 0
        thought = len(plan.before) + plan.tokens + len(plan.behind) if plan else 0
        return self.lead_tokens() - 1 + tokens + again * thought

    def _read_common(self, rows: int, window: int, sinks: int, length: int) -> Cache:
        """A cache of so many rows that have read all but the last of the common tokens."""
        cache = self.engine.new_cache(rows, window, sinks, length)
        if len(self._common) > 1:
            cache.keep(np.zeros(1, np.int64))
            self._feed(self._common[None, :-1], cache)
            cache.spread()
        return cache

    def _feed(self, rows: Tokens, cache: Cache) -> None:
        count = max(1, _FED_AT_ONCE // len(rows))
        for first in range(0, rows.shape[1], count):
            self.engine.forward(rows[:, first : first + count], cache)

    def cache_memory(self) -> int | None:
        return self.engine.cache_memory()

    def new_cache(self, streams: int, window: int, sinks: int, length: int) -> _Cache:
        """A cache that has read the prefix and thought for the first time."""
        plan, chains = self.thoughts, self.chains
        inner = self._read_common(streams * chains, window, sinks, self.length(length))
        last = np.full(streams * chains, self._common[-1])
        if plan is not None:
            first = self.first_thoughts(window, sinks)
            lead = np.concatenate([first, np.tile(plan.behind, (chains, 1))], axis=1)
            lead = np.tile(lead, (streams, 1))
            self._feed(np.concatenate([last[:, None], lead[:, :-1]], axis=1), inner)
            last = lead[:, -1]
        generators = plan.generators(streams) if plan and plan.every else []
        return _Cache(inner, last, chains, generators)

    def forward(self, tokens: Tokens, cache: Cache) -> Predictions:
        assert isinstance(cache, _Cache)
        chains = self.chains
        cache.tell(tokens[:, 0])
        rows = np.repeat(tokens, chains, axis=0)
        if cache.position == 0:
            rows[:, 0] = cache.last
        parts: list[Predictions] = []
        for first, end in self._stretches(cache.position, tokens.shape[1]):
            part = rows[:, first:end].copy()
            if self._thinks_at(cache.position):
                part[:, 0] = self._think(rows[:, first], cache)
            predictions = self.engine.forward(part, cache.inner)
            cache.position += end - first
            if cache.mixture is not None:
                known = tokens[:, first + 1 : end + 1]
                predictions = _MixedChains(predictions, cache, (len(tokens), end - first), known)
            parts.append(predictions)
        return parts[0] if len(parts) == 1 else _Joined(parts)

    def _thinks_at(self, position: int) -> bool:
        plan = self.thoughts
        return plan is not None and plan.every > 0 and position > 0 and position % plan.every == 0

    def _stretches(self, position: int, count: int) -> Iterator[tuple[int, int]]:
        """The next `count` places, cut where there is a thought."""
        every = self.thoughts.every if self.thoughts else 0
        first = 0
        while first < count:
            end = min(count, first + every - (position + first) % every) if every else count
            yield first, end
            first = end

    def _think(self, last: Tokens, cache: _Cache) -> Tokens:
        """Inputs [rows], not fed yet, that stand behind a thought behind inputs `last` [rows]."""
        plan = self.thoughts
        assert plan is not None
        before = np.tile(plan.before, (len(last), 1))
        fed = np.concatenate([last[:, None], before], axis=1)
        self._feed(fed[:, :-1], cache.inner)
        drawn = draw_thoughts(
            self.engine, cache.inner, fed[:, -1], plan.tokens, plan.temperature, cache.generators
        )
        fed = np.concatenate([drawn[:, -1:], np.tile(plan.behind, (len(last), 1))], axis=1)
        self._feed(fed[:, :-1], cache.inner)
        return fed[:, -1]


class _Cache:
    """See `Cache`; rows of the inner one are streams times chains."""

    def __init__(
        self,
        inner: Cache,
        last: Tokens,
        chains: int,
        generators: Sequence[Generator],
    ) -> None:
        self.inner, self.last, self._chains = inner, last, chains
        self.mixture = ChainMixture(len(last) // chains, chains) if chains > 1 else None
        self.generators = list(generators)
        self.position = 0
        self.asked: _MixedChains | None = None
        """Predictions whose last token is not known yet."""

    def keep(self, rows: Tokens) -> None:
        inner_rows = (rows[:, None] * self._chains + np.arange(self._chains)).reshape(-1)
        self.inner.keep(inner_rows)
        self.last = self.last[inner_rows]
        if self.generators:
            self.generators = [self.generators[i] for i in inner_rows.tolist()]
        if self.asked is not None:
            self.asked.keep(rows)
        if self.mixture is not None:
            self.mixture.keep(rows)

    def spread(self) -> None:
        raise NotImplementedError("what streams have in common is read by `new_cache`")

    def tell(self, tokens: Tokens) -> None:
        """The tokens [S] that the last predictions were of."""
        if self.asked is not None:
            self.asked.tell(tokens)
            self.asked = None


class _MixedChains:
    """Predictions [S, T] out of those of k chains for each stream."""

    def __init__(
        self, inner: Predictions, cache: _Cache, shape: tuple[int, int], known: Tokens
    ) -> None:
        """`known` [S, T or T - 1]: the tokens that came; the last may be told later."""
        assert cache.mixture is not None
        self._inner, self._mixture, self._shape = inner, cache.mixture, shape
        self._rows = np.arange(shape[0])
        freqs = inner.high()
        self._high = freqs.reshape(shape[0], -1, shape[1], freqs.shape[-1])
        self._mixed_high = np.empty((*shape, freqs.shape[-1]), np.int32)
        self._mixtures: list[ChainMixture] = []
        """Those before each token."""
        low = self._inner_low(np.pad(known, ((0, 0), (0, shape[1] - known.shape[1]))))
        for t in range(shape[1]):
            self._mixed_high[:, t] = self._mixture.mix(self._high[:, :, t])
            self._mixtures.append(self._mixture.copy())
            if t < known.shape[1]:
                self._mixture.learn(self._high[:, :, t], known[:, t] // RADIX)
                self._mixture.learn(low[:, :, t], known[:, t] % RADIX)
        if known.shape[1] < shape[1]:
            cache.asked = self

    def _inner_low(self, tokens: Tokens) -> Freqs:
        """The chains' frequencies [S, k, T, 256] for the low digits of these tokens [S, T]."""
        chains = self._high.shape[1]
        low = self._inner.low(np.repeat(tokens // RADIX, chains, axis=0))
        return low.reshape(self._shape[0], chains, -1, RADIX)

    def keep(self, rows: Tokens) -> None:
        """Only these streams go on."""
        self._rows = self._rows[rows]

    def tell(self, tokens: Tokens) -> None:
        """The last token of each stream that goes on is known now."""
        full = np.zeros(self._shape, np.int64)
        full[self._rows, -1] = tokens
        low = self._inner_low(full)[self._rows, :, -1]
        self._mixture.learn(self._high[self._rows, :, -1], tokens // RADIX)
        self._mixture.learn(low, tokens % RADIX)

    def high(self) -> Freqs:
        return self._mixed_high

    def low(self, high: Tokens) -> Freqs:
        freqs = self._inner_low(high * RADIX)
        mixed = np.empty((*self._shape, RADIX), np.int32)
        for t, before in enumerate(self._mixtures):
            mixture = before.copy()
            mixture.learn(self._high[:, :, t], high[:, t])
            mixed[:, t] = mixture.mix(freqs[:, :, t])
        return mixed


class _Joined:
    """Predictions one behind the other."""

    def __init__(self, parts: list[Predictions]) -> None:
        self._parts = parts

    def high(self) -> Freqs:
        freqs = [part.high() for part in self._parts]
        self._ends = np.cumsum([f.shape[1] for f in freqs])[:-1]
        return np.concatenate(freqs, axis=1)

    def low(self, high: Tokens) -> Freqs:
        parts = zip(self._parts, np.split(high, self._ends, axis=1), strict=True)
        return np.concatenate([part.low(digits) for part, digits in parts], axis=1)
