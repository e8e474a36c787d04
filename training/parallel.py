"""Gradients by several processes of one thread each, which share the weights' memory.

On a CPU this beats threads: nothing waits for another before the step's end. The sum of the
gradients is always taken in the same order, so the result does not depend on who is first.
"""

from __future__ import annotations

import signal
from typing import Any

import torch
from torch import Tensor

from . import model as models
from .config import Shape
from .model import Model, head_loss
from .optimizer import orthogonal


def compile_model(model: Model) -> Any:
    """The compiled forward pass; compiles the head's loss, too."""
    models.chunk_loss = torch.compile(models._chunk_loss, dynamic=False)
    return torch.compile(model, dynamic=False)


def accumulate(
    forward: Any, model: Model, inputs: Tensor, targets: Tensor, each: int, total: int
) -> Tensor:
    """Add the gradient of the mean loss over `total` tokens; returns the summed loss in nats.

    `inputs` and `targets` are [sequences, length]; `each` sequences are done at a time.
    """
    loss_sum = torch.zeros((), device=inputs.device)
    for x, y in zip(inputs.split(each), targets.split(each), strict=True):
        loss = head_loss(forward(x), model.embed_tokens.weight, y)
        (loss / total).backward()
        loss_sum += loss.detach()
    return loss_sum


def _serve(
    shape: Shape, compute: torch.dtype, weights: list[Tensor], sums: list[Tensor],
    compiled: bool, pipe: Any,
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
    pairs = zip(model.parameters(), sums, strict=True)
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
        inputs, targets, each, total = task
        loss = accumulate(forward, model, inputs, targets, each, total)
        for mine, shared in zip(model.parameters(), sums, strict=True):
            assert mine.grad is not None
            shared.copy_(mine.grad)
            mine.grad = None
        pipe.send(float(loss))


class Team:
    """This process and `workers - 1` others."""

    def __init__(self, model: Model, forward: Any, workers: int, compiled: bool) -> None:
        self.model, self.forward, self.workers = model, forward, workers
        self.pipes: list[Any] = []
        self.sums: list[list[Tensor]] = []
        if workers == 1:
            return
        context = torch.multiprocessing.get_context("spawn")
        torch.multiprocessing.set_sharing_strategy("file_system")
        weights = list(model.parameters())
        for p in weights:
            p.data = p.data.share_memory_()
        for _ in range(workers - 1):
            mine, theirs = context.Pipe()
            sums = [torch.zeros_like(p).share_memory_() for p in weights]
            task = (model.shape, model.compute, [p.data for p in weights], sums, compiled, theirs)
            context.Process(target=_serve, args=task, daemon=True).start()
            theirs.close()
            self.pipes.append(mine)
            self.sums.append(sums)

    def gradients(self, inputs: Tensor, targets: Tensor, each: int) -> float:
        """Leave the gradient of the mean loss in the parameters; returns that loss, in nats."""
        total = targets.numel()
        parts = list(zip(inputs.chunk(self.workers), targets.chunk(self.workers), strict=True))
        for pipe, (x, y) in zip(self.pipes, parts[1:], strict=True):
            pipe.send((x.clone(), y.clone(), each, total))
        loss = float(accumulate(self.forward, self.model, *parts[0], each, total))
        for pipe, sums in zip(self.pipes, self.sums, strict=True):
            loss += pipe.recv()
            for p, more in zip(self.model.parameters(), sums, strict=True):
                assert p.grad is not None
                p.grad += more
        return loss / total

    def orthogonals(self, found: list[Tensor]) -> list[Tensor]:
        """`orthogonal` of all hidden matrices' directions, a share in every process."""
        out = list(found)
        matrices = {id(p) for p in self.model.matrices()}
        for rank, (pipe, sums) in enumerate(zip(self.pipes, self.sums, strict=True), 1):
            pairs = zip(self.model.parameters(), sums, strict=True)
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
