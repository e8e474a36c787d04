"""Tiny nets: trained on rows of bytes on one core, exported as packs of the exact engine.

The model is the engine's (RMSNorm, rotary positions, grouped queries, SwiGLU, tied head) over 257
tokens without merges: the start token and the bytes. Only the bytes that rows may hold are trained;
all others share one row of the embedding. All parameters lie in one vector, a step is one compiled
function (where there is a compiler; eager PyTorch otherwise), and a run takes one thread.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["NetShape", "Schedule", "TinyNet", "Trained", "shape_for", "train"]

Rows = NDArray[np.uint8]
Batches = Callable[[int], Rows]
"""From a step's number, 0 first, to rows of bytes [batch, length], always of one shape."""

_EVALUATED = 2048
"""Rows that are evaluated at once."""
_NORM_EPS = 1e-6
_ROPE_THETA = 10000.0


@dataclasses.dataclass(frozen=True)
class NetShape:
    """Sizes in elements; rows have at most `length` bytes."""

    width: int
    layers: int = 2
    heads: int = 2
    kv_heads: int = 1
    ffn_width: int = 0
    """0: twice the width."""
    length: int = 8

    @property
    def head_width(self) -> int:
        return 2 * max(1, self.width // self.heads // 2)

    @property
    def ffn(self) -> int:
        return self.ffn_width or 2 * self.width

    def tensors(self, rows: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes, with so many rows in the embedding."""
        width, head = self.width, self.head_width
        found: dict[str, tuple[int, ...]] = {"embed": (rows, width), "norm": (width,)}
        for layer in range(self.layers):
            found |= {
                f"{layer}.attention_norm": (width,),
                f"{layer}.qkv": ((self.heads + 2 * self.kv_heads) * head, width),
                f"{layer}.o": (width, self.heads * head),
                f"{layer}.ffn_norm": (width,),
                f"{layer}.gate_up": (2 * self.ffn, width),
                f"{layer}.down": (width, self.ffn),
            }
        return found


def shape_for(width: int, *, length: int = 8, layers: int = 2) -> NetShape:
    """The shape of that width in the laboratory's ladder."""
    return NetShape(width, layers=layers, length=length)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How to train. Rates rise over `warm_up` steps and fall to zero over the last `decay` part."""

    steps: int
    rate: float = 0.01
    matrix_rate: float = 0.02
    """Of hidden matrices, whose steps are orthogonal (Muon)."""
    warm_up: int = 50
    decay: float = 0.5
    seed: int = 1

    def factor(self, step: int) -> float:
        """Of the rates, at a step from 0 on."""
        left = (self.steps - step) / max(1.0, self.decay * self.steps)
        return min(1.0, (step + 1) / self.warm_up, left)


class TinyNet:
    """Parameters, and what they predict."""

    def __init__(self, shape: NetShape, alphabet: bytes, *, seed: int = 1) -> None:
        """`alphabet`: the bytes that rows may hold, ascending."""
        self.shape, self.alphabet = shape, bytes(alphabet)
        self.seed = seed
        self.tensors = shape.tensors(len(alphabet) + 2)
        """The embedding's rows: start, the alphabet, and the one of all other bytes."""
        self._ids = np.full(256, len(alphabet) + 1, np.int64)
        self._ids[np.frombuffer(self.alphabet, np.uint8)] = np.arange(1, len(alphabet) + 1)
        generator = torch.Generator().manual_seed(seed)
        parts = []
        for name, size in self.tensors.items():
            if len(size) == 1:
                part = torch.ones(size)
            else:
                part = torch.randn(size, generator=generator) / math.sqrt(size[1])
                part *= 0.5 if name.endswith((".o", ".down")) else 1.0
            parts.append(part.reshape(-1))
        self.flat = torch.cat(parts).requires_grad_()
        self._constants = self._make_constants()

    @property
    def parameters(self) -> int:
        """How many there are that training reaches."""
        return int(self.flat.numel())

    def named(self, flat: Tensor) -> dict[str, Tensor]:
        """Views of a vector of all parameters."""
        found, start = {}, 0
        for name, size in self.tensors.items():
            end = start + math.prod(size)
            found[name] = flat[start:end].view(size)
            start = end
        return found

    def ids(self, rows: Rows) -> Tensor:
        """Numbers of embedding rows [n, length] of bytes."""
        return torch.from_numpy(self._ids[rows])

    def _make_constants(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        length, head = self.shape.length, self.shape.head_width
        pairs = torch.arange(0, head, 2, dtype=torch.float64) / head
        angles = torch.outer(torch.arange(length, dtype=torch.float64), _ROPE_THETA**-pairs)
        hidden = torch.full((length, length), -1e9).triu(1)
        weight = torch.zeros(len(self.alphabet) + 1)
        weight[-1] = math.log(max(1, 256 - len(self.alphabet)))
        return angles.cos().float(), angles.sin().float(), hidden, weight

    def logits(self, flat: Tensor, ids: Tensor) -> Tensor:
        """[n, length, symbols + 1]: of each next byte, the last of any other one."""
        shape, tensors = self.shape, self.named(flat)
        cosine, sine, hidden, weight = self._constants
        count, length = ids.shape
        heads, kv, head = shape.heads, shape.kv_heads, shape.head_width
        cosine, sine = cosine[:length, None], sine[:length, None]
        start = torch.zeros_like(ids[:, :1])
        x = tensors["embed"][torch.cat([start, ids[:, :-1]], 1)]
        for layer in range(shape.layers):
            q = _norm(x, tensors[f"{layer}.attention_norm"])
            qkv = F.linear(q, tensors[f"{layer}.qkv"]).view(count, length, heads + 2 * kv, head)
            q = _rotate(qkv[:, :, :heads], cosine, sine)
            k = _rotate(qkv[:, :, heads : heads + kv], cosine, sine)
            v = qkv[:, :, heads + kv :]
            # Queries that share keys stand behind one another: [n * kv, length * group, head].
            group = heads // kv
            q = q.reshape(count, length, kv, group, head).transpose(1, 2)
            q = q.reshape(count * kv, length * group, head)
            k, v = (t.transpose(1, 2).reshape(count * kv, length, head) for t in (k, v))
            scores = torch.bmm(q, k.transpose(1, 2)).view(count * kv, length, group, length)
            seen = torch.softmax(scores * head**-0.5 + hidden[:length, None, :length], -1)
            mixed = torch.bmm(seen.view(count * kv, length * group, length), v)
            mixed = mixed.view(count, kv, length, group, head).transpose(1, 2)
            mixed = mixed.reshape(count, length, heads * head)
            x = x + F.linear(mixed, tensors[f"{layer}.o"])
            h = F.linear(_norm(x, tensors[f"{layer}.ffn_norm"]), tensors[f"{layer}.gate_up"])
            gate, up = h.chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, tensors[f"{layer}.down"])
        return F.linear(_norm(x, tensors["norm"]), tensors["embed"][1:]) + weight

    def loss(self, flat: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
        """Mean cross-entropy in nats of a row, weighted by column or by row and column."""
        logits = self.logits(flat, ids)
        losses = torch.logsumexp(logits, -1) - logits.gather(2, ids[..., None] - 1)[..., 0]
        return (losses * weights).sum() / len(ids)

    @torch.no_grad()
    def bits(self, rows: Rows) -> NDArray[np.float64]:
        """What each byte of rows [n, length] costs in floating point."""
        parts = [np.empty((0, rows.shape[1]))]
        for first in range(0, len(rows), _EVALUATED):
            ids = self.ids(rows[first : first + _EVALUATED])
            logits = self.logits(self.flat, ids)
            losses = torch.logsumexp(logits, -1) - logits.gather(2, ids[..., None] - 1)[..., 0]
            parts.append(losses.double().numpy() / math.log(2))
        return np.concatenate(parts)

    def copy(self) -> TinyNet:
        """One that can be trained on by itself."""
        other = TinyNet(self.shape, self.alphabet, seed=self.seed)
        other.flat = self.flat.detach().clone().requires_grad_()
        return other


def _norm(x: Tensor, gain: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + _NORM_EPS) * gain


def _rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


class _Optimizer:
    """Muon for hidden matrices, Adam for the rest, over one vector."""

    def __init__(self, net: TinyNet, schedule: Schedule) -> None:
        self._net, self._schedule = net, schedule
        self._first = torch.zeros_like(net.flat)
        self._second = torch.zeros_like(net.flat)
        self._momentum = torch.zeros_like(net.flat)
        self._matrices = torch.zeros_like(net.flat)
        self._groups: dict[tuple[int, ...], list[str]] = {}
        for name, view in net.named(self._matrices).items():
            if view.ndim == 2 and name != "embed" and schedule.matrix_rate:
                view.fill_(1)
                self._groups.setdefault(tuple(view.shape), []).append(name)

    @torch.no_grad()
    def step(self, gradient: Tensor, number: int) -> None:
        flat, schedule = self._net.flat, self._schedule
        factor = schedule.factor(number)
        gradient *= torch.clamp(4.0 / (gradient.norm() + 1e-12), max=1.0)
        self._first.lerp_(gradient, 0.1)
        self._second.lerp_(gradient.square(), 0.02)
        scale = (1 - 0.98 ** (number + 1)) ** 0.5 / (1 - 0.9 ** (number + 1))
        update = self._first / (self._second.sqrt() + 1e-10) * (scale * schedule.rate * factor)
        if self._groups:
            self._momentum.lerp_(gradient, 0.05)
            nesterov = self._net.named(gradient.lerp(self._momentum, 0.95))
            mine = self._net.named(update)
            for (rows, columns), names in self._groups.items():
                found = _orthogonal(torch.stack([nesterov[name] for name in names]))
                found *= schedule.matrix_rate * factor * max(1.0, rows / columns) ** 0.5
                for name, direction in zip(names, found, strict=True):
                    mine[name].copy_(direction)
        flat -= update


def _orthogonal(g: Tensor) -> Tensor:
    """Of each matrix [n, rows, columns], about the nearest one with singular values 1."""
    tall = g.shape[1] > g.shape[2]
    x = g.transpose(1, 2) if tall else g
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.transpose(1, 2)
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    found: Tensor = x.transpose(1, 2) if tall else x
    return found


@dataclasses.dataclass
class Trained:
    """What came of a run."""

    net: TinyNet
    losses: NDArray[np.float64]
    """[steps]: bits a row in each step's batch, before the step."""
    cpu_s: float


torch._dynamo.config.recompile_limit = 64
"""A ladder has as many shapes."""

_compiled: dict[tuple[Any, ...], Any] = {}


def _value_and_gradient(net: TinyNet, batch: tuple[int, ...]) -> Any:
    """A function of the parameters, ids and weights: loss and gradient, compiled if that works.

    LMZIP_LAB_EAGER=1 leaves the compiler out.
    """
    key = (net.shape, len(net.alphabet), batch)
    if key not in _compiled:
        loss = net.loss
        compiler = shutil.which("g++") or shutil.which("clang++") or shutil.which("cl")
        if compiler and not os.environ.get("LMZIP_LAB_EAGER"):
            loss = torch.compile(net.loss, dynamic=False, fullgraph=True)
        _compiled[key] = loss
    return _compiled[key]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Products this small are slower on several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(
    net: TinyNet,
    batches: Batches,
    schedule: Schedule,
    *,
    weights: NDArray[np.float32] | None = None,
    watch: Callable[[int, TinyNet], bool] | None = None,
) -> Trained:
    """Train the net in place. `weights` [length] or [batch, length]: of the losses, else 1.

    `watch(step, net)` is called before every step and behind the last; True ends the run.
    """
    losses = []
    length = net.shape.length
    columns = torch.ones(length) if weights is None else torch.from_numpy(weights)
    optimizer = _Optimizer(net, schedule)
    with _one_thread():
        loss_of, began = None, time.process_time()
        for step in range(schedule.steps):
            if watch is not None and watch(step, net):
                break
            ids = net.ids(batches(step))
            if loss_of is None:
                loss_of = _value_and_gradient(net, tuple(ids.shape))
            loss = loss_of(net.flat, ids, columns)
            loss.backward()
            gradient = net.flat.grad
            assert gradient is not None
            losses.append(float(loss.detach()) / math.log(2))
            optimizer.step(gradient, step)
            net.flat.grad = None
        else:
            if watch is not None:
                watch(schedule.steps, net)
    return Trained(net, np.array(losses), time.process_time() - began)
