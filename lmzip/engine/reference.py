"""The reference engine: NUMERICS.md in PyTorch, on a CPU or any other device.

It is written to be read beside the specification. Shapes: B streams, T tokens, D = width, H query
and K key/value heads of E elements, N cache slots, V tokens.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import EngineError, UsageError
from .arithmetic import (
    DENOMINATOR_BITS,
    HIDDEN,
    INT8_MAX,
    LOG2E,
    PLANE,
    RADIX,
    SUPPRESSED_LOGIT,
    WEIGHT_BITS,
    rope_table,
)
from .exact import (
    IntMatmul,
    exp2,
    exponent,
    hadamard,
    head_norm,
    ngram_index,
    norm_quantize,
    power_of_two,
    project,
    quantize,
    require_ieee,
    rotate,
    silu_gate,
)
from .frequencies import frequencies
from .interface import Cache, Engine
from .weights import Pack

__all__ = ["ReferenceCache", "ReferenceEngine", "ReferencePredictions"]

_CHUNK_TOKENS = 64
"""Tokens of one stream that pass through the layers at once when the window slides."""

_HEAD_ROWS = 64
"""Tokens whose logits exist at once."""

_POSITIONS_EXACT = (1 << 24) // (INT8_MAX * INT8_MAX)
"""Positions over which products of two 7-bit numbers sum exactly in binary32."""


class ReferenceCache:
    """Keys and values, int8 with a step a head and position, in a ring behind the sinks.

    Position p lives in slot p while p < sinks, then in slot sinks + (p - sinks) mod ring. The ring
    is longer than the window by a chunk, so that a chunk can be written before it is attended to.
    """

    def __init__(
        self, engine: ReferenceEngine, streams: int, window: int, sinks: int, length: int
    ) -> None:
        assert streams >= 1 and window >= 1 and sinks >= 0 and length >= 1
        config, device = engine.config, engine.device
        self.position = 0
        self.streams, self.window, self.sinks, self.length = streams, window, sinks, length
        self._made_for = streams
        slots = min(length, sinks + window + _CHUNK_TOKENS - 1)
        self.ring = max(1, slots - sinks)
        shape = (config.layers, streams, config.kv_heads, slots)
        wide = (*shape, config.head_width)
        self.keys = torch.zeros(wide, dtype=torch.int8, device=device)
        self.values = torch.zeros(wide, dtype=torch.int8, device=device)
        self.key_steps = torch.zeros(shape, device=device)
        self.value_steps = torch.zeros(shape, device=device)
        self.slot_position = torch.full((slots,), -1, dtype=torch.int64, device=device)
        self.before = torch.full((streams, config.memory), config.bos, device=device)
        """The last tokens of every stream that n-grams look at."""

    def keep(self, rows: NDArray[np.int64]) -> None:
        index = torch.from_numpy(rows).to(self.keys.device)
        self.streams = len(rows)
        self.before = self.before[index]
        for name in ("keys", "values", "key_steps", "value_steps"):
            setattr(self, name, getattr(self, name).index_select(1, index))

    def spread(self) -> None:
        assert self.streams == 1, "only a single stream can be spread"
        self.keep(np.zeros(self._made_for, np.int64))

    def chunk(self, tokens: int) -> int:
        """How many of the next `tokens` may be fed in one go."""
        free = self.keys.shape[3] - self.sinks - self.window + 1
        return tokens if self.length <= self.keys.shape[3] else min(tokens, free)

    def slots(self, positions: Tensor) -> Tensor:
        wrapped = self.sinks + (positions - self.sinks) % self.ring
        return torch.where(positions < self.sinks, positions, wrapped)


class ReferencePredictions:
    """Quantised final states [B * T, D]; weights of all tokens are made once, when asked for."""

    def __init__(self, engine: ReferenceEngine, q: Tensor, step: Tensor, shape: tuple[int, int]):
        self._engine, self._q, self._step, self._shape = engine, q, step, shape
        self._weights: Tensor | None = None

    def token_weights(self) -> Tensor:
        """Integer weights, int32 [B * T, padded V]."""
        if self._weights is None:
            parts = [
                self._engine.token_weights(q, step)
                for q, step in zip(
                    torch.split(self._q, _HEAD_ROWS),
                    torch.split(self._step, _HEAD_ROWS),
                    strict=True,
                )
            ]
            self._weights = torch.cat(parts) if len(parts) > 1 else parts[0]
        return self._weights

    def high(self) -> NDArray[np.int32]:
        weights = self.token_weights()
        sums = weights.view(weights.shape[0], -1, RADIX).sum(dim=-1, dtype=torch.int32)
        return frequencies(sums.cpu().numpy()).reshape(*self._shape, -1)

    def low(self, high: NDArray[np.int64]) -> NDArray[np.int32]:
        assert high.shape == self._shape
        weights = self.token_weights()
        index = torch.from_numpy(high.reshape(-1)).to(weights.device)
        blocks = weights.view(weights.shape[0], -1, RADIX)
        rows = blocks[torch.arange(len(index), device=weights.device), index]
        return frequencies(rows.cpu().numpy()).reshape(*self._shape, RADIX)


class ReferenceEngine:
    """NUMERICS.md, line by line."""

    name = "reference"
    slice_tokens, lockstep_streams = 512, 64
    lanes: tuple[Engine, ...] = ()

    def __init__(self, pack: Pack, *, device: str = "cpu", threads: int | None = None) -> None:
        try:
            self.device = torch.device(device)
            torch.zeros(1, device=self.device).cpu()
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise EngineError(f"device {device!r}: {str(error).splitlines()[0]}") from None
        if threads is not None:
            if not 1 <= threads <= 1024:
                raise UsageError(f"threads must be between 1 and 1024, not {threads}")
            torch.set_num_threads(threads)
        self.config = pack.config
        require_ieee(self.device)
        self.matmul = IntMatmul(self.device)
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
        pad = -self.config.vocab % RADIX
        pad_rows = torch.nn.functional.pad
        self._head = pad_rows(self._weights[f"{head}.weight"], (0, 0, 0, pad))
        self._head_scale = pad_rows(self._weights[f"{head}.scale"], (0, pad))
        self._suppressed = torch.tensor(
            self.config.suppressed, dtype=torch.int64, device=self.device
        )

    def cache_memory(self) -> int | None:
        return None

    def new_cache(self, streams: int, window: int, sinks: int, length: int) -> ReferenceCache:
        return ReferenceCache(self, streams, window, sinks, length)

    @torch.inference_mode()
    def forward(self, tokens: NDArray[np.int64], cache: Cache) -> ReferencePredictions:
        assert isinstance(cache, ReferenceCache)
        batch, count = tokens.shape
        assert batch == cache.streams and cache.position + count <= cache.length
        ids = torch.from_numpy(np.ascontiguousarray(tokens)).to(self.device)
        finals = []
        done = 0
        while done < count:
            step = cache.chunk(count - done)
            finals.append(self._layers(ids[:, done : done + step], cache))
            done += step
        x = torch.cat(finals, dim=1) if len(finals) > 1 else finals[0]
        x = x.reshape(batch * count, -1)
        q, scale = norm_quantize(x, self._weights["norm"], self.config.norm_eps)
        return ReferencePredictions(self, q, scale, (batch, count))

    def _layers(self, ids: Tensor, cache: ReferenceCache) -> Tensor:
        """Residual stream [B, T, D] after the last layer; section 1 of NUMERICS.md."""
        config, weights = self.config, self._weights
        batch, count = ids.shape
        rows = batch * count
        x = hadamard(weights["embed.weight"][ids.reshape(-1)].to(torch.float32))
        x = x * weights["embed.scale"][ids.reshape(-1), None]
        if config.ngrams:
            x = self._add_ngrams(x, ids, cache)
        plan = _AttentionPlan(self, cache, count)
        for layer in range(config.layers):
            prefix = f"layers.{layer}."
            q, step = norm_quantize(x, weights[prefix + "attention_norm"], config.norm_eps)
            qkv = self._project(q, step, prefix + "qkv")
            if config.qkv_bias:
                qkv = qkv + weights[prefix + "qkv.bias"]
            attended = self._attend(qkv.view(batch, count, -1), layer, cache, plan)
            q, step = quantize(hadamard(attended.view(rows, -1)))
            x = x + self._project(q, step, prefix + "o")
            q, step = norm_quantize(x, weights[prefix + "ffn_norm"], config.norm_eps)
            hidden = silu_gate(self._project(q, step, prefix + "gate_up"))
            q, step = quantize(hadamard(hidden))
            x = x + self._project(q, step, prefix + "down")
        cache.position += count
        return x.view(batch, count, -1)

    def _add_ngrams(self, x: Tensor, ids: Tensor, cache: ReferenceCache) -> Tensor:
        """x [B T, D] and what the rows of the tokens' n-grams say; section 4 of NUMERICS.md."""
        config = self.config
        tokens = torch.cat((cache.before, ids), dim=1)
        for order in config.ngrams:
            known = tokens[:, config.memory - order + 1 :]
            index = ngram_index(known, order, config.ngram_rows).reshape(-1)
            q = self._weights[f"ngrams.{order}.rows"][index]
            step = self._weights[f"ngrams.{order}.steps"][index, None]
            x = x + self._project(q, step, f"ngrams.{order}.proj")
        cache.before = tokens[:, tokens.shape[1] - config.memory :]
        return x

    def _project(self, q: Tensor, step: Tensor, name: str) -> Tensor:
        return project(
            self.matmul, q, step, self._weights[f"{name}.weight"], self._weights[f"{name}.scale"]
        )

    def _attend(
        self, qkv: Tensor, layer: int, cache: ReferenceCache, plan: _AttentionPlan
    ) -> Tensor:
        """Attention of the new tokens [B, T, (H + 2K) E] -> [B, T, H E]; sections 6 and 7."""
        config = self.config
        batch, count, _ = qkv.shape
        heads, kv, width = config.heads, config.kv_heads, config.head_width
        queries, keys, values = torch.split(
            qkv.view(batch, count, heads + 2 * kv, width), [heads, kv, kv], dim=2
        )
        if config.qk_norm:
            prefix = f"layers.{layer}."
            queries = head_norm(queries, self._weights[prefix + "q_norm"], config.norm_eps)
            keys = head_norm(keys, self._weights[prefix + "k_norm"], config.norm_eps)
        near = quantize(rotate(queries, plan.cosine, plan.sine))
        far = None
        if plan.slides:
            far = quantize(rotate(queries, plan.sink_cosine, plan.sink_sine))
        # Write the new keys and values first: the ring has room for them (ReferenceCache).
        for stored, steps, new in (
            (cache.keys, cache.key_steps, quantize(rotate(keys, plan.cosine, plan.sine))),
            (cache.values, cache.value_steps, quantize(values)),
        ):
            stored[layer][:, :, plan.slots] = new[0].transpose(1, 2)
            steps[layer][:, :, plan.slots] = new[1].squeeze(-1).transpose(1, 2)

        # Every stream's every K/V head attends by itself: P = B K of them.
        near_rows = plan.by_head(near, kv)
        far_rows = None if far is None else plan.by_head(far, kv)
        past = [
            x[layer].flatten(0, 1)[:, : plan.filled]
            for x in (cache.keys, cache.key_steps, cache.values, cache.value_steps)
        ]
        out = torch.empty(batch * kv, config.group * count, width, device=qkv.device)
        for p in range(0, batch * kv, plan.heads_at_once):
            part = slice(p, p + plan.heads_at_once)
            nearby = near_rows[0][part], near_rows[1][part]
            faraway = None if far_rows is None else (far_rows[0][part], far_rows[1][part])
            out[part] = plan.attend(nearby, faraway, *(x[part] for x in past))
        out = out.view(batch, kv, config.group, count, width).permute(0, 3, 1, 2, 4)
        return out.reshape(batch, count, heads * width)

    @torch.inference_mode()
    def token_weights(self, q: Tensor, step: Tensor) -> Tensor:
        """Integer weights [M, padded V] of every token; section 9 of NUMERICS.md."""
        accumulated = self.matmul(q, self._head).to(torch.float32)
        logits = accumulated.mul_((step * float(LOG2E)) * self._head_scale)
        logits[:, self._suppressed] = SUPPRESSED_LOGIT
        logits[:, self.config.vocab :] = SUPPRESSED_LOGIT
        logits.sub_(logits.amax(dim=-1, keepdim=True))
        return torch.round(exp2(logits).mul_(2.0**WEIGHT_BITS)).to(torch.int32)


class _AttentionPlan:
    """What all layers share while T new tokens attend: angles, slots, who sees whom."""

    def __init__(self, engine: ReferenceEngine, cache: ReferenceCache, count: int) -> None:
        config, device = engine.config, engine.device
        start = cache.position
        positions = torch.arange(start, start + count, device=device)
        self.group, self.sinks = config.group, cache.sinks
        self.slots = cache.slots(positions)
        cache.slot_position[self.slots] = positions
        self.filled = min(start + count, cache.keys.shape[3])
        self.cosine, self.sine = self._angles(engine, start, count, None)
        last = start + count - 1
        self.slides = last > cache.window and cache.sinks > 0
        if self.slides:
            self.sink_cosine, self.sink_sine = self._angles(engine, start, count, cache.window)
        at = cache.slot_position[None, : self.filled]
        now = positions[:, None]
        seen = (at <= now) & ((at > now - cache.window) | (at < cache.sinks))
        # What is added to the scores [G T, N]: 0 changes nothing, HIDDEN drowns everything.
        self.hidden = None
        if not bool(seen.all()):
            hidden = torch.zeros(seen.shape, device=device).masked_fill_(~seen, HIDDEN)
            self.hidden = hidden.repeat(self.group, 1)
        self.score_scale = float(np.float32(config.score_scale))
        # Large intermediates are cheaper when they stay in the processor's cache.
        tile = 1 << (18 if device.type == "cpu" else 28)
        self.heads_at_once = max(1, tile // (config.group * count * self.filled))

    @staticmethod
    def _angles(
        engine: ReferenceEngine, start: int, count: int, cap: int | None
    ) -> tuple[Tensor, Tensor]:
        """Cosines and sines [T, E / 2] for the positions, at most `cap`."""
        cosine, sine = rope_table(engine._turns, start, count)
        if cap is not None and start + count > cap:
            last_cosine, last_sine = rope_table(engine._turns, cap, 1)
            first = max(0, cap - start)
            cosine[first:], sine[first:] = last_cosine, last_sine
        return (
            torch.from_numpy(cosine).to(engine.device),
            torch.from_numpy(sine).to(engine.device),
        )

    def by_head(self, queries: tuple[Tensor, Tensor], kv: int) -> tuple[Tensor, Tensor]:
        """Queries [B, T, H, E] and steps as [P, G T, ...]: rows are (group member, token)."""

        def rows(x: Tensor) -> Tensor:
            batch, count, _, width = x.shape
            x = x.view(batch, count, kv, self.group, width).permute(0, 2, 3, 1, 4)
            return x.reshape(batch * kv, self.group * count, width)

        return rows(queries[0]).to(torch.float32), rows(queries[1]) * self.score_scale

    def attend(
        self,
        near: tuple[Tensor, Tensor],
        far: tuple[Tensor, Tensor] | None,
        keys: Tensor,
        key_steps: Tensor,
        values: Tensor,
        value_steps: Tensor,
    ) -> Tensor:
        """Outputs [P, G T, E] of query rows over keys and values [P, N, E]."""
        scores = self._scores(near, keys, key_steps)
        if far is not None:
            sinks = self.sinks
            scores[..., :sinks] = self._scores(far, keys[:, :sinks], key_steps[:, :sinks])
        if self.hidden is not None:
            scores.add_(self.hidden)
        top = scores.amax(dim=-1, keepdim=True)
        reach = (scores + exponent(value_steps)[:, None, :]).amax(dim=-1, keepdim=True)
        shift = torch.ceil(reach - top)
        weight = exp2(scores.sub_(top))
        denominator = torch.round(weight * 2.0**DENOMINATOR_BITS)
        denominator = denominator.sum(dim=-1, keepdim=True, dtype=torch.float64)
        weight.mul_(value_steps[:, None, :]).mul_(power_of_two(14 - shift))
        weight.round_().clamp_(max=16383.0)
        high = torch.floor(weight * (1.0 / PLANE))
        planes = torch.cat((high, weight.sub_(high * PLANE)), dim=1)
        total = torch.zeros(
            *planes.shape[:2], values.shape[2], dtype=torch.float64, device=keys.device
        )
        for n in range(0, keys.shape[1], _POSITIONS_EXACT):
            part = slice(n, n + _POSITIONS_EXACT)
            total += planes[..., part] @ values[:, part].to(torch.float32)
        upper, lower = total.chunk(2, dim=1)
        numerator = (upper * PLANE + lower).to(torch.float32)
        return numerator * (power_of_two(shift + 6) / denominator.to(torch.float32))

    def _scores(self, rows: tuple[Tensor, Tensor], keys: Tensor, key_steps: Tensor) -> Tensor:
        """Scores in units of one bit (base-2 logarithm), [P, G T, N]."""
        products = rows[0] @ keys.to(torch.float32).transpose(1, 2)
        return products.mul_(key_steps[:, None, :]).mul_(rows[1])
