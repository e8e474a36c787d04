"""The native engine: NUMERICS.md in C++ (native/), for any processor. Needs neither torch nor more.

It returns the reference engine's bits, several times faster. Weights stay where the pack's file is
mapped, so that processes share them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EngineError, UsageError
from ..extension import extension, load_error
from .arithmetic import RADIX
from .cores import MAX_THREADS, available_cores
from .interface import Cache, Engine
from .weights import Pack

_CACHED_WEIGHTS = 32_000_000
"""Weights that stay in a processor's caches: a pass waits for those of larger models."""

_GUESSING_STREAMS = 2

_ROW_COSTS = 0.32, 0.13
"""Of one thread and of more: measured with SmolLM2, one stream, 2,048 positions, two cores."""

__all__ = ["NativeCache", "NativeEngine", "NativePredictions", "instruction_sets"]


def instruction_sets() -> list[str]:
    """The instruction sets this machine can run, the fastest first; empty without the extension."""
    return [] if extension is None else list(extension.instruction_sets())


class NativeCache:
    """Keys and values of some streams; the layout is that of native/cache.h."""

    def __init__(self, native: Any, guessing_streams: int, row_cost: float) -> None:
        self._native = native
        self.guessing_streams, self.row_cost = guessing_streams, row_cost

    @property
    def position(self) -> int:
        return int(self._native.position)

    def keep(self, rows: NDArray[np.int64]) -> None:
        self._native.keep(np.ascontiguousarray(rows, np.int64))

    def spread(self) -> None:
        self._native.spread()

    @property
    def lead(self) -> int:
        return int(self._native.lead)

    def choose(self, rows: NDArray[np.int64], position: int) -> None:
        self._native.choose(np.ascontiguousarray(rows, np.int64), position)


class NativePredictions:
    """Quantised final states of the tokens just fed; the head runs when it is asked."""

    def __init__(self, model: Any, states: Any, shape: tuple[int, int], digits: int) -> None:
        self._model, self._states, self._shape, self._digits = model, states, shape, digits
        self._seen_high = False

    def high(self) -> NDArray[np.int32]:
        freqs = np.empty((self._shape[0] * self._shape[1], self._digits), np.int32)
        self._model.high(self._states, freqs)
        self._seen_high = True
        return freqs.reshape(*self._shape, self._digits)

    def low(self, high: NDArray[np.int64]) -> NDArray[np.int32]:
        assert high.shape == self._shape
        if not self._seen_high:  # the greatest logit comes from there
            self.high()
        freqs = np.empty((high.size, RADIX), np.int32)
        self._model.low(self._states, np.ascontiguousarray(high, np.int64).reshape(-1), freqs)
        return freqs.reshape(*self._shape, RADIX)


class NativeEngine:
    """NUMERICS.md on this processor's vector instructions."""

    name = "native"
    slice_tokens, lockstep_streams = 512, 64
    lanes: tuple[Engine, ...] = ()

    def __init__(self, pack: Pack, *, threads: int | None = None, isa: str | None = None) -> None:
        """`isa` names an instruction set; by default it is the fastest there is.

        Raises EngineError if the extension or the instruction set is not there.
        """
        if extension is None:
            raise EngineError(f"the native engine is not available: {load_error}")
        threads = available_cores() if threads is None else threads
        if not 1 <= threads <= MAX_THREADS:
            raise UsageError(f"threads must be between 1 and {MAX_THREADS}, not {threads}")
        self.config = pack.config
        self.works_ahead = threads > 1
        """Whether it likes to compute what is encoded next while its caller codes."""
        large = pack.config.parameters() > _CACHED_WEIGHTS
        self.guessing_streams = _GUESSING_STREAMS if large else 0
        config = dataclasses.asdict(pack.config)
        config["score_scale"] = pack.config.score_scale
        config["memory"] = pack.config.memory
        try:
            self._model = extension.Model(config, dict(pack.tensors), threads, isa or "")
        except ValueError as error:
            raise EngineError(str(error)) from None
        self.isa = str(self._model.isa)
        self._digits = -(-pack.config.vocab // RADIX)

    def cache_memory(self) -> int | None:
        return None

    def new_cache(self, streams: int, window: int, sinks: int, length: int) -> NativeCache:
        native = self._model.new_cache(streams, window, sinks, length)
        return NativeCache(native, self.guessing_streams, _ROW_COSTS[self.works_ahead])

    def forward(self, tokens: NDArray[np.int64], cache: Cache) -> NativePredictions:
        assert isinstance(cache, NativeCache)
        states = extension.States()
        self._model.forward(np.ascontiguousarray(tokens, np.int64), cache._native, states)
        batch, count = tokens.shape
        return NativePredictions(self._model, states, (batch, count), self._digits)
