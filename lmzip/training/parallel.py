"""Gradients by several processes of one thread each, which share the weights' memory.

On a CPU this beats threads: nothing waits for another before the step's end. The sum of the
gradients is always taken in the same order, so the result does not depend on who is first.
"""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from . import model as models
from .model import Model, head_loss
from .optimizer import orthogonal
from .shape import Shape


@dataclasses.dataclass
class Task:
    """What one process does of a step: `inputs` and `targets` are [sequences, length]."""

    inputs: Tensor
    targets: Tensor
    each: int
    """Sequences that are done at a time."""
    total: int
    """Tokens of the whole step, all processes together."""
    candidates: Tensor | None = None
    """Rows of the head that are multiplied; None: all."""


@dataclasses.dataclass
class RowGradients:
    """Gradients of n-grams' rows, a token each: `values` [tokens, orders, width] at `index`."""

    index: Tensor
    values: Tensor
    count: Tensor

    @classmethod
    def of(cls, shape: Shape, tokens: int) -> RowGradients:
        """Room for `tokens` tokens, in memory that processes share."""
        orders = len(shape.ngrams)
        return cls(
            torch.zeros(tokens, orders, dtype=torch.int64).share_memory_(),
            torch.zeros(tokens, orders, shape.ngram_width).share_memory_(),
            torch.zeros(1, dtype=torch.int64).share_memory_(),
        )

    def add_to(self, gradient: Tensor) -> None:
        """Add them to the gradient of the tables, [orders, rows, width]."""
        count = int(self.count)
        flat = gradient.view(-1, gradient.shape[-1])
        flat.index_add_(0, self.index[:count].flatten(), self.values[:count].flatten(0, 1))


def compile_model(model: Model) -> Any:
    """The compiled forward pass; compiles the head's loss, too."""
    models.chunk_loss = torch.compile(models._chunk_loss, dynamic=False)
    return torch.compile(model, dynamic=False)


def accumulate(
    forward: Any, model: Model, task: Task, report: RowGradients | None = None
) -> Tensor:
    """Add the gradient of the mean loss over `task.total` tokens; returns the summed loss in nats.

    The gradients of the n-grams' rows go to `report`.
    """
    loss_sum = torch.zeros((), device=task.inputs.device)
    done = 0
    for x, y in zip(task.inputs.split(task.each), task.targets.split(task.each), strict=True):
        rows = model.rows(x)
        if rows is not None:
            rows.requires_grad_()
        hidden = forward(x, rows)
        loss = head_loss(hidden, model.embed_tokens.weight, y, task.candidates)
        (loss / task.total).backward()
        loss_sum += loss.detach()
        if rows is not None and report is not None:
            assert model.ngrams is not None and rows.grad is not None
            part = slice(done, done + x.numel())
            report.index[part] = model.ngrams.index(x).flatten(0, 1)
            report.values[part] = rows.grad.view(x.numel(), len(model.ngrams.orders), -1)
            done = part.stop
    if report is not None:
        report.count.fill_(done)
    return loss_sum


def _serve(
    shape: Shape, compute: torch.dtype, weights: list[Tensor], sums: list[Tensor],
    report: RowGradients | None, compiled: bool, pipe: Any,
) -> None:  # fmt: skip
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    model = Model(shape)
    model.compute = compute
    for mine, shared in zip(model.parameters(), weights, strict=True):
        mine.data = shared
    forward = compile_model(model) if compiled else model
    is_matrix = {id(p) for p in model.matrices()}
    pairs = zip(model.dense(), sums, strict=True)
    shared_matrices = [shared for mine, shared in pairs if id(mine) in is_matrix]
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        if isinstance(task, list):
            for i in task:
                with torch.no_grad():
                    shared_matrices[i].copy_(orthogonal(shared_matrices[i], compute))
            pipe.send(None)
            continue
        loss = accumulate(forward, model, task, report)
        for mine, shared in zip(model.dense(), sums, strict=True):
            assert mine.grad is not None
            shared.copy_(mine.grad)
            mine.grad = None
        pipe.send(float(loss))


class Team:
    """This process and `workers - 1` others. `tokens` is the most a step has."""

    def __init__(
        self, model: Model, forward: Any, workers: int, compiled: bool, tokens: int
    ) -> None:
        self.model, self.forward, self.workers = model, forward, workers
        self.pipes: list[Any] = []
        self.sums: list[list[Tensor]] = []
        self.reports: list[RowGradients | None] = []
        for _ in range(workers):
            room = RowGradients.of(model.shape, tokens) if model.ngrams else None
            self.reports.append(room)
        if workers == 1:
            return
        context = torch.multiprocessing.get_context("spawn")
        torch.multiprocessing.set_sharing_strategy("file_system")
        weights = list(model.parameters())
        for p in weights:
            p.data = p.data.share_memory_()
        for report in self.reports[1:]:
            mine, theirs = context.Pipe()
            sums = [torch.zeros_like(p).share_memory_() for p in model.dense()]
            shared = [p.data for p in weights]
            task = (model.shape, model.compute, shared, sums, report, compiled, theirs)
            context.Process(target=_serve, args=task, daemon=True).start()
            theirs.close()
            self.pipes.append(mine)
            self.sums.append(sums)

    def gradients(
        self,
        inputs: Tensor,
        targets: Tensor,
        each: int,
        choose: Callable[[Tensor, int], Tensor | None] = lambda targets, part: None,
    ) -> float:
        """Leave the gradient of the mean loss in the parameters; returns that loss, in nats.

        `choose(targets, part)` gives the rows of the head for a process's part.
        """
        parts = zip(inputs.chunk(self.workers), targets.chunk(self.workers), strict=True)
        tasks = [
            Task(x.clone(), y.clone(), each, targets.numel(), choose(y, i))
            for i, (x, y) in enumerate(parts)
        ]
        for pipe, task in zip(self.pipes, tasks[1:], strict=True):
            pipe.send(task)
        loss = float(accumulate(self.forward, self.model, tasks[0], self.reports[0]))
        for pipe, sums in zip(self.pipes, self.sums, strict=True):
            loss += pipe.recv()
            for p, more in zip(self.model.dense(), sums, strict=True):
                assert p.grad is not None
                p.grad += more
        if self.model.ngrams is not None:
            tables = self.model.ngrams.tables
            if tables.grad is None:
                tables.grad = torch.zeros_like(tables)
            for report in self.reports:
                assert report is not None
                report.add_to(tables.grad)
        return loss / targets.numel()

    def orthogonals(self, found: list[Tensor]) -> list[Tensor]:
        """`orthogonal` of all hidden matrices' directions, a share in every process."""
        out = list(found)
        matrices = {id(p) for p in self.model.matrices()}
        for rank, (pipe, sums) in enumerate(zip(self.pipes, self.sums, strict=True), 1):
            pairs = zip(self.model.dense(), sums, strict=True)
            shared = [s for p, s in pairs if id(p) in matrices]
            mine = list(range(rank, len(found), self.workers))
            for i in mine:
                out[i] = shared[i].copy_(found[i])
            pipe.send(mine)
        for i in range(0, len(found), self.workers):
            out[i] = orthogonal(found[i], self.model.compute)
        for pipe in self.pipes:
            pipe.recv()
        return out

    def close(self) -> None:
        """Let the other processes end."""
        for pipe in self.pipes:
            pipe.close()
