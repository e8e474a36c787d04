"""Muon for hidden matrices, Adam for the embedding and the gains; one object, one state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .model import Model
from .shape import Schedule

_STEPS = 5
_BETA1, _BETA2 = 0.9, 0.98
_A, _B, _C = 3.4445, -4.7750, 2.0315


Map = Callable[[list[Tensor]], list[Tensor]]


def orthogonal(g: Tensor, dtype: torch.dtype) -> Tensor:
    """About the nearest matrix with singular values 1: a quintic Newton-Schulz iteration.

    The coefficients are those of K. Jordan's Muon (2024), which leave the values in 0.7..1.2.
    """
    x = g.to(dtype)
    wide = x.shape[0] <= x.shape[1]
    if not wide:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(_STEPS):
        a = x @ x.T
        x = _A * x + (_B * a + _C * (a @ a)) @ x
    return (x if wide else x.T).float()


class Optimizer:
    """Decoupled weight decay on the matrices only. `rates` scales all learning rates."""

    def __init__(self, model: Model, schedule: Schedule) -> None:
        self.orthogonals: Map = lambda found: [orthogonal(g, self.dtype) for g in found]
        """May be replaced by what does the same in parallel."""
        self.schedule = schedule
        self.muon = model.matrices()
        self.adam = [
            (model.embed_tokens.weight, schedule.adam_lr),
            *((gain, schedule.gain_lr) for gain in model.gains()),
        ]
        self.momentum = [torch.zeros_like(p) for p in self.muon]
        self.first = [torch.zeros_like(p) for p, _ in self.adam]
        self.second = [torch.zeros_like(p) for p, _ in self.adam]
        self.tables = [model.ngrams.tables] if model.ngrams is not None else []
        self.table_moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.tables]
        self.count = 0
        self.dtype = model.compute

    @torch.no_grad()
    def step(self, rate: float) -> float:
        """One step at `rate` times the plateau's learning rates; returns the gradient's norm."""
        everything = [*self.muon, *(p for p, _ in self.adam)]
        norm = torch.nn.utils.clip_grad_norm_(everything, self.schedule.clip)
        self.count += 1
        self._muon_step(rate * self.schedule.muon_lr)
        for (p, lr), first, second in zip(self.adam, self.first, self.second, strict=True):
            assert p.grad is not None
            first.lerp_(p.grad, 1 - _BETA1)
            second.lerp_(p.grad.square(), 1 - _BETA2)
            scale = (1 - _BETA2**self.count) ** 0.5 / (1 - _BETA1**self.count)
            p.sub_(first / (second.sqrt() + 1e-10), alpha=rate * lr * scale)
        for p in everything:
            p.grad = None
        for p, (first, second) in zip(self.tables, self.table_moments, strict=True):
            self._table_step(p, first, second, rate * self.schedule.table_lr)
        return float(norm)

    def _table_step(self, p: Tensor, first: Tensor, second: Tensor, lr: float) -> None:
        """Adam in one pass over memory, on all rows; leaves a gradient of zeros."""
        assert p.grad is not None
        torch._fused_adamw_(
            [p], [p.grad], [first], [second], [], [torch.tensor(float(self.count))],
            lr=lr, beta1=_BETA1, beta2=_BETA2, weight_decay=0.0, eps=1e-10,
            amsgrad=False, maximize=False,
        )  # fmt: skip
        p.grad.zero_()

    def _muon_step(self, lr: float) -> None:
        beta = self.schedule.muon_momentum
        directions = []
        for p, momentum in zip(self.muon, self.momentum, strict=True):
            assert p.grad is not None
            momentum.lerp_(p.grad, 1 - beta)
            directions.append(p.grad.lerp(momentum, beta))
        for p, update in zip(self.muon, self.orthogonals(directions), strict=True):
            p.mul_(1 - lr * self.schedule.muon_decay)
            p.sub_(update, alpha=lr * max(1.0, p.shape[0] / p.shape[1]) ** 0.5)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        lists = {"momentum": self.momentum, "first": self.first, "second": self.second}
        moments = {"tables": [list(pair) for pair in self.table_moments]}
        return {**lists, **moments, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        for name in ("momentum", "first", "second"):
            for mine, saved in zip(getattr(self, name), state[name], strict=True):
                mine.copy_(saved)
        for mine, saved in zip(self.table_moments, state.get("tables", []), strict=True):
            for a, b in zip(mine, saved, strict=True):
                a.copy_(b)
        self.count = state["count"]
