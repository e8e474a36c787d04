"""The GPU engine: NUMERICS.md in Triton, equal to the reference engine bit for bit.

It runs on a CUDA device and, where TRITON_INTERPRET=1 is set before Triton is first imported, in
Triton's interpreter on a CPU: that is how the test suite proves the kernels. Shapes as in
`reference`: B streams, T tokens, D = width, H query and K key/value heads of E elements.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from triton.runtime.interpreter import InterpretedFunction

from ..errors import DeviceMemoryError, EngineError
from .arithmetic import INT8_MAX, RADIX, rope_table
from .exact import ngram_index
from .interface import Cache, Engine
from .triton.launch import CacheView, Kernels, Tiles
from .triton.probe import probe_kernel, require_exact
from .weights import Pack

__all__ = ["TritonCache", "TritonEngine", "TritonPredictions"]

_CHUNK_TOKENS = 256
"""Tokens of one stream that pass through the layers at once when the window slides."""

_SLICE_ROWS = 1 << 14
"""Tokens, over all streams, that pass through the layers at once: bounds the activations."""

_POSITIONS_MOST = ((1 << 31) - 1) // (INT8_MAX * INT8_MAX)
"""Positions over which attention's int32 sums of int8 products cannot overflow."""

_GRID_MOST = (1 << 16) - 1
"""Programs along the second axis of a CUDA grid."""

_STEPS, _COPIES = 6, 256
"""Tokens of each of two streams, and copies of those, that an engine tries at start."""

_TABLE_PART = 1 << 16
"""Positions whose angles are computed at once."""

_RESERVE_BYTES = 1 << 29
"""Device memory that stays free for the heads' results, CUDA graphs and the driver, for a lane."""

_LANES = 2
"""While one lane's tokens are being coded, the device computes for another."""

_LOCKSTEP_STREAMS = 1024
"""Of one lane."""

_log = logging.getLogger(__name__)


def running(on: torch.cuda.Stream | None) -> contextlib.AbstractContextManager[object]:
    """What this thread asks of a GPU goes to that CUDA stream."""
    return contextlib.nullcontext() if on is None else torch.cuda.stream(on)


class TritonCache:
    """Keys and values, int8 with a step a head and position, in a ring behind the sinks.

    Position p lives in slot p while p < sinks, then in slot sinks + (p - sinks) mod ring. The ring
    is longer than the window by a chunk, so that a chunk can be written before it is attended to.
    The memory is taken once; a dropped stream's part of it lies idle. Each cache runs on a CUDA
    stream of its own.
    """

    def __init__(
        self, engine: TritonEngine, streams: int, window: int, sinks: int, length: int
    ) -> None:
        assert streams >= 1 and window >= 1 and sinks >= 0 and length >= 1
        config, device = engine.config, engine.device
        if min(length, window + sinks) > _POSITIONS_MOST:
            raise EngineError(f"the Triton engine attends to at most {_POSITIONS_MOST} positions")
        if streams * config.kv_heads > _GRID_MOST:
            most = _GRID_MOST // config.kv_heads
            raise DeviceMemoryError(f"{streams} streams; the Triton engine takes at most {most}")
        self.position = 0
        self.window, self.sinks, self.length = window, sinks, length
        self._made_for = streams
        self.slots = min(length, sinks + window + engine.chunk_tokens - 1)
        self.ring = max(1, self.slots - sinks)
        self.engine = engine
        self.on = engine.new_stream()
        self.slice_rows = _SLICE_ROWS
        """Tokens that pass through the layers at once: fewer once they have not fitted."""
        with engine.launching(self.on):
            engine.require_memory(streams, self.slots)
            shape = (config.layers, streams, config.kv_heads, self.slots)
            try:
                self.keys = torch.zeros(
                    (*shape, config.head_width), dtype=torch.int8, device=device
                )
                self.values = torch.zeros_like(self.keys)
                self.key_steps = torch.zeros(shape, device=device)
                self.value_steps = torch.zeros(shape, device=device)
            except torch.cuda.OutOfMemoryError:
                raise DeviceMemoryError(
                    f"{streams} streams of {self.slots} positions do not fit into {device}'s memory"
                ) from None
            self.angles = engine.angles(length)
            self.rows = torch.arange(streams, dtype=torch.int32, device=device)
            self.start = torch.zeros(1, dtype=torch.int32, device=device)
            self.before = torch.full((streams, config.memory), config.bos, device=device)
        self.warm = False
        """Whether a single token has been fed since the streams last changed."""
        self.graph: _Graph | None = None

    @property
    def streams(self) -> int:
        return len(self.rows)

    def keep(self, rows: NDArray[np.int64]) -> None:
        assert len(set(rows.tolist())) == len(rows), "a stream can be kept once"
        with self.engine.launching(self.on):
            index = torch.from_numpy(rows).to(self.rows.device)
            self.rows, self.before = self.rows[index], self.before[index]
        self.warm, self.graph = False, None

    def spread(self) -> None:
        assert self.streams == 1, "only a single stream can be spread"
        with self.engine.launching(self.on):
            row = int(self.rows[0])
            for stored in (self.keys, self.values, self.key_steps, self.value_steps):
                stored.copy_(stored[:, row : row + 1].clone().expand_as(stored))
            self.rows = torch.arange(self._made_for, dtype=torch.int32, device=self.rows.device)
            self.before = self.before.repeat(self._made_for, 1)
        self.warm, self.graph = False, None

    def chunk(self, tokens: int) -> int:
        """How many of the next `tokens` of each stream may be fed in one go."""
        free = self.slots - self.sinks - self.window + 1
        fits = tokens if self.length <= self.slots else min(tokens, free)
        return max(1, min(fits, self.slice_rows // self.streams))

    def view(self, layer: int) -> CacheView:
        return CacheView(
            self.keys[layer], self.key_steps[layer], self.values[layer], self.value_steps[layer],
            self.rows, self.start, self.window, self.sinks, self.ring,
        )  # fmt: skip


class TritonPredictions:
    """Quantised final states [B * T, D]; the head runs when it is asked.

    Logits never reach the device's memory: what does are each row's greatest and the digits'
    frequencies.
    """

    def __init__(
        self,
        engine: TritonEngine,
        on: torch.cuda.Stream | None,
        q: Tensor,
        steps: Tensor,
        shape: tuple[int, int],
        high: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """`on`: the CUDA stream that computes q and steps."""
        self._engine, self._on, self._shape = engine, on, shape
        self._q, self._steps = q, steps
        self._high = high

    def _head(self) -> tuple[Tensor, Tensor]:
        """Frequencies of the high digits, and each row's greatest logit."""
        if self._high is None:
            self._high = self._engine.high(self._q, self._steps)
        return self._high

    def high(self) -> NDArray[np.int32]:
        with self._engine.launching(self._on):
            freqs, _ = self._head()
        return self._fetch(freqs).reshape(*self._shape, -1)

    def low(self, high: NDArray[np.int64]) -> NDArray[np.int32]:
        assert high.shape == self._shape
        with self._engine.launching(self._on):
            _, top = self._head()
            freqs = self._engine.low(self._q, self._steps, top, high.reshape(-1))
        return self._fetch(freqs).reshape(*self._shape, RADIX)

    def _fetch(self, freqs: Tensor) -> NDArray[np.int32]:
        """To the host; meanwhile others may launch."""
        with running(self._on):
            found: NDArray[np.int32] = freqs.cpu().numpy()
        return found


class TritonEngine:
    """NUMERICS.md on a GPU; several threads may use it, each with caches of its own.

    Not yet run on one: proven bit-equal in Triton's interpreter only. So at start it checks its
    operations on this device (`triton.probe`), then slices against single tokens, besides the
    pack's self-test.
    """

    name = "triton"
    slice_tokens = _SLICE_ROWS
    lanes: tuple[Engine, ...]

    def __init__(
        self,
        pack: Pack,
        *,
        device: str = "cuda",
        graphs: bool = True,
        chunk_tokens: int = _CHUNK_TOKENS,
        tiles: Tiles | None = None,
    ) -> None:
        """`graphs`: from the third single token on, replay the step as a CUDA graph; the first
        replay is compared with the same step launched kernel by kernel, and an unequal bit is an
        EngineError. Never in the interpreter. `tiles` and `chunk_tokens` never change a bit.

        Raises EngineError if the device is not there or does not compute as it must.
        """
        try:
            self.device = torch.device(device)
            torch.zeros(1, device=self.device).cpu()
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise EngineError(f"device {device!r}: {str(error).splitlines()[0]}") from None
        interpreted = isinstance(probe_kernel, InterpretedFunction)
        if self.device.type != "cuda" and not interpreted:
            raise EngineError(
                f"the Triton engine runs on CUDA devices, not on {device!r} (there only with "
                "Triton's interpreter, for tests: TRITON_INTERPRET=1)"
            )
        if self.device.type == "cuda" and self.device.index is None:
            self.device = torch.device("cuda", torch.cuda.current_device())
        self.config = pack.config
        self.graphs = graphs and not interpreted
        self.chunk_tokens = chunk_tokens
        self._turns = np.ascontiguousarray(pack.tensors["rope.turns"])
        self._weights = {
            name: torch.from_numpy(
                pack.matrix(name.removesuffix(".weight"))
                if name.endswith(".weight")
                else np.array(tensor)
            ).to(self.device)
            for name, tensor in pack.tensors.items()
            if not name.startswith(("tokens.", "rope."))
        }
        head = "embed" if self.config.tied else "head"
        coded = np.zeros(-(-self.config.vocab // RADIX) * RADIX, np.uint8)
        coded[: self.config.vocab] = 1
        coded[list(self.config.suppressed)] = 0
        self._head = (
            self._weights[f"{head}.weight"],
            self._weights[f"{head}.scale"],
            torch.from_numpy(coded).to(self.device),
        )
        self._angles = self._table(0)
        self._score_scale = float(np.float32(self.config.score_scale))
        self.kernels = Kernels(self.device, tiles)
        self._lock = threading.RLock()
        self.join([self])
        with self.launching(self.new_stream()):
            require_exact(self.kernels)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)  # caches have streams of their own
        if not interpreted:
            self.require_same_bits(copies=_COPIES)

    def require_same_bits(self, copies: int) -> None:
        """Raise EngineError unless a few tokens give the same bits one by one as all at once.

        One by one means split attention, small tiles and CUDA graphs; at once, with each stream
        `copies` times, large tiles. The packs' own question, a few tokens at once, asks neither.
        """
        tokens = (np.arange(2 * _STEPS).reshape(2, _STEPS) * 7919 + 13) % self.config.vocab
        many = np.tile(tokens, (copies, 1))
        expected = self.forward(many, self.new_cache(len(many), 3, 1, _STEPS)).high()
        cache = self.new_cache(2, 3, 1, _STEPS)
        for t in range(_STEPS):
            found = self.forward(tokens[:, t : t + 1], cache).high()
            if not np.array_equal(np.tile(found[:, 0], (copies, 1)), expected[:, t]):
                raise EngineError(
                    f"single tokens and slices differ on {self.device}; refusing to run"
                )

    def join(self, engines: Sequence[TritonEngine]) -> None:
        """Work is dealt to all these engines, this one among them, each on a device of its own."""
        self.lanes = tuple(engine for _ in range(_LANES) for engine in engines)
        self.lockstep_streams = _LOCKSTEP_STREAMS * len(self.lanes)

    def new_stream(self) -> torch.cuda.Stream | None:
        """A CUDA stream of this device; None in the interpreter."""
        if self.device.type != "cuda":
            return None
        return torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]

    @contextlib.contextmanager
    def launching(self, on: torch.cuda.Stream | None) -> Iterator[None]:
        """One thread at a time launches kernels, on its own CUDA stream of this device.

        Captures of CUDA graphs do not like company, nor does Triton's interpreter.
        """
        with self._lock, torch.cuda.device(-1 if on is None else self.device), running(on):
            yield

    def cache_memory(self) -> int | None:
        """Device memory for caches, beside the activations, on all devices together."""
        if self.device.type != "cuda":
            return None
        engines = [lane for lane in dict.fromkeys(self.lanes) if isinstance(lane, TritonEngine)]
        return sum(engine.free_bytes() - _LANES * engine.working_bytes() for engine in engines)

    def free_bytes(self) -> int:
        """Of the device's memory."""
        torch.cuda.empty_cache()
        return int(torch.cuda.mem_get_info(self.device)[0])

    def working_bytes(self) -> int:
        """Device memory that a lane takes beside its cache."""
        config = self.config
        row = 8 * config.width + 4 * config.qkv_rows + 10 * config.ffn_width
        row += 7 * config.heads * config.head_width
        return _SLICE_ROWS * row + _RESERVE_BYTES

    def require_memory(self, streams: int, slots: int) -> None:
        """Raise DeviceMemoryError if such a cache and the activations do not fit the device."""
        if self.device.type != "cuda":
            return
        scores = 4 * streams * self.config.heads * slots
        needed = self.config.cache_bytes(streams, slots) + scores + self.working_bytes()
        free = self.free_bytes()
        if needed > free:
            raise DeviceMemoryError(
                f"{streams} streams of {slots} positions need {needed / 1e9:.1f} GB of device "
                f"memory, but only {free / 1e9:.1f} GB are free"
            )

    def angles(self, length: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines, binary32 [at least `length`, E / 2]; section 6."""
        if len(self._angles[0]) < length:
            self._angles = self._table(length)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
        return self._angles

    def _table(self, length: int) -> tuple[Tensor, Tensor]:
        table = torch.empty(2, length, len(self._turns), device=self.device)
        for start in range(0, length, _TABLE_PART):
            count = min(_TABLE_PART, length - start)
            for part, values in zip(table, rope_table(self._turns, start, count), strict=True):
                part[start : start + count] = torch.from_numpy(values)
        return table[0], table[1]

    def new_cache(self, streams: int, window: int, sinks: int, length: int) -> TritonCache:
        return TritonCache(self, streams, window, sinks, length)

    @torch.inference_mode()
    def forward(self, tokens: NDArray[np.int64], cache: Cache) -> TritonPredictions:
        assert isinstance(cache, TritonCache)
        batch, count = tokens.shape
        assert batch == cache.streams and cache.position + count <= cache.length
        if tokens.min() < 0 or tokens.max() >= self.config.vocab:
            raise ValueError("a token beyond the vocabulary")
        with self.launching(cache.on):
            new = torch.from_numpy(np.ascontiguousarray(tokens)).to(self.device)
            ids = torch.cat((cache.before, new), dim=1)
            cache.before = ids[:, count:]
            try:
                if count == 1 and self.graphs:
                    return self._step(ids, cache)
                finals = self._slices(ids, cache)
                x = torch.cat(finals, dim=1) if len(finals) > 1 else finals[0]
                q, steps = self._final(x.reshape(batch * count, -1))
            except torch.cuda.OutOfMemoryError:
                raise EngineError(
                    f"{self.device} has not enough memory for {batch} streams; use fewer"
                ) from None
        return TritonPredictions(self, cache.on, q, steps, (batch, count))

    def _slices(self, ids: Tensor, cache: TritonCache) -> list[Tensor]:
        """Residual streams [B, T', D], one behind the other, of tokens [B, T].

        `ids` [B, memory + T] begins with the tokens before them that n-grams look at.
        """
        batch, memory = len(ids), self.config.memory
        count = ids.shape[1] - memory
        finals: list[Tensor] = []
        done = 0
        while done < count:
            part = cache.chunk(count - done)
            cache.start.fill_(cache.position)
            try:
                x = self._layers(ids[:, done : done + memory + part], cache)
            except torch.cuda.OutOfMemoryError:
                if part == 1:
                    raise
                cache.slice_rows = batch * (part // 2)  # what was written is written again
                _log.warning("%s is short of memory; slices are now half as long", self.device)
                continue
            finals.append(x.view(batch, part, -1))
            cache.position += part
            done += part
        return finals

    def _layers(self, ids: Tensor, cache: TritonCache) -> Tensor:
        """Residual stream [B T, D] after the last layer of ids [B, memory + T] (`_slices`)."""
        config, weights, kernels = self.config, self._weights, self.kernels
        flat = ids[:, config.memory :].reshape(-1).contiguous()
        x = kernels.embed(flat, weights["embed.weight"], weights["embed.scale"])
        for order in config.ngrams:
            known = ids[:, config.memory - order + 1 :]
            index = ngram_index(known, order, config.ngram_rows).reshape(-1)
            name = f"ngrams.{order}."
            q, steps = weights[name + "rows"][index], weights[name + "steps"][index]
            kernels.product(q, steps, *self._matrix(name + "proj"), residual=x)
        for layer in range(config.layers):
            prefix = f"layers.{layer}."
            view = cache.view(layer)
            norms = None
            if config.qk_norm:
                norms = weights[prefix + "q_norm"], weights[prefix + "k_norm"]
            q, steps = kernels.norm(x, weights[prefix + "attention_norm"], config.norm_eps)
            qkv = kernels.product(
                q, steps, *self._matrix(prefix + "qkv"), bias=weights.get(prefix + "qkv.bias")
            )
            queries = kernels.heads(
                qkv, cache.angles, norms, view,
                heads=config.heads, eps=config.norm_eps, scale=self._score_scale,
            )  # fmt: skip
            q, steps = kernels.rotate(kernels.attend(queries, view, cache.length))
            kernels.product(q, steps, *self._matrix(prefix + "o"), residual=x)
            q, steps = kernels.norm(x, weights[prefix + "ffn_norm"], config.norm_eps)
            q, steps = kernels.gate(kernels.product(q, steps, *self._matrix(prefix + "gate_up")))
            kernels.product(q, steps, *self._matrix(prefix + "down"), residual=x)
        return x

    def _matrix(self, name: str) -> tuple[Tensor, Tensor]:
        return self._weights[f"{name}.weight"], self._weights[f"{name}.scale"]

    def _final(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.kernels.norm(x, self._weights["norm"], self.config.norm_eps)

    @torch.inference_mode()
    def high(self, q: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Frequencies int32 [M, digits] of the high digits, greatest logits [M]; section 9."""
        sums, top = self.kernels.high(q, steps, *self._head)
        return self.kernels.frequencies(sums), top

    @torch.inference_mode()
    def low(self, q: Tensor, steps: Tensor, top: Tensor, high: NDArray[np.int64]) -> Tensor:
        """Frequencies int32 [M, 256] of the low digits, given the high ones [M]."""
        if high.min() < 0 or high.max() >= len(self._head[2]) // RADIX:
            raise ValueError("a high digit beyond the vocabulary")
        digits = torch.from_numpy(np.ascontiguousarray(high)).to(self.device)
        return self.kernels.frequencies(self.kernels.low(q, steps, *self._head, top, digits))

    def whole_step(self, ids: Tensor, cache: TritonCache) -> tuple[Tensor, ...]:
        """q, steps, frequencies of the high digits, greatest logits, after ids [B, memory + 1].

        Nothing in it depends on the host's knowledge of the position, so it can be replayed.
        """
        q, steps = self._final(self._layers(ids, cache))
        return q, steps, *self.high(q, steps)

    def _step(self, ids: Tensor, cache: TritonCache) -> TritonPredictions:
        """One token a stream, after ids' others: launched twice, then captured, then replayed."""
        cache.start.fill_(cache.position)
        if cache.graph is not None:
            result = cache.graph.replay(ids)
        else:
            result = self.whole_step(ids, cache)
            if cache.warm:  # every kernel is compiled and loaded by now
                cache.graph = _Graph(self, cache)
                for launched, replayed in zip(result, cache.graph.replay(ids), strict=True):
                    if not torch.equal(launched, replayed):
                        raise EngineError(
                            f"a CUDA graph on {self.device} computes wrong numbers; refusing to run"
                        )
            cache.warm = True
        cache.position += 1
        q, steps, *high = result
        return TritonPredictions(self, cache.on, q, steps, (len(ids), 1), (high[0], high[1]))


class _Graph:
    """`TritonEngine.whole_step` captured as a CUDA graph for a cache and its present streams."""

    def __init__(self, engine: TritonEngine, cache: TritonCache) -> None:
        self._tokens = cache.before.new_zeros(cache.streams, engine.config.memory + 1)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=cache.on, capture_error_mode="thread_local"):
            self._result = engine.whole_step(self._tokens, cache)

    def replay(self, ids: Tensor) -> tuple[Tensor, ...]:
        """The step for tokens [B, memory + 1] at cache.start; the result is the caller's own."""
        self._tokens.copy_(ids)
        self._graph.replay()
        return tuple(part.clone() for part in self._result)
