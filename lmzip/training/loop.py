"""The training loop: warm-up, stable, decay; stops, resumes and goes on bit for bit."""

from __future__ import annotations

import dataclasses
import math
import signal
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ..files import atomic_output
from . import model as models
from .model import Model
from .optimizer import Optimizer
from .parallel import Team, compile_model
from .shape import Schedule, Shape

__all__ = ["Loop", "Place", "Progress", "Source", "generator", "rate"]

_KEPT = 2

_ALL_ROWS_BELOW = 0.15
"""Below this part of the learning rate the head is trained on all its rows."""


def generator(*key: int | str) -> np.random.Generator:
    """A generator of its own for every key: nothing depends on the order of work."""
    return np.random.default_rng([zlib.crc32(str(k).encode()) for k in key])


@dataclasses.dataclass
class Place:
    """Where in its source training is: everything before it was trained on."""

    epoch: int = 0
    shard: int = 0
    group: int = 0
    index: int = 0
    """Sequences of the group already used."""


class Source(Protocol):
    """Where training sequences come from. What it gives depends on its arguments alone."""

    def next(self, place: Place, count: int, length: int) -> NDArray[np.int64]:
        """The next sequences [count, length], without start tokens; moves `place` on."""

    def skip_group(self, place: Place) -> None:
        """Move to the next group, as the sequences' length is about to change."""


@dataclasses.dataclass
class Progress:
    """Where a run is. All lengths are in tokens."""

    step: int = 0
    tokens: int = 0
    decay_start: int = -1
    """Tokens at which the decay began; -1 before."""
    decay_tokens: int = 0
    place: Place = dataclasses.field(default_factory=Place)


def rate(schedule: Schedule, progress: Progress) -> float:
    """The learning rate as a part of the plateau's: linear up, flat, linear down to 0."""
    up = min(1.0, (progress.tokens + schedule.batch) / max(schedule.warmup_tokens, 1))
    if progress.decay_start < 0:
        return up
    done = progress.tokens - progress.decay_start
    return min(up, max(0.0, 1 - done / progress.decay_tokens))


class Loop:
    """One model in training on one source, with a folder of checkpoints.

    `measure(model, length, whole)` gives held-out bits per byte by name, "all" among them: quickly,
    or, at the end, `whole`. Workers are processes of one thread each, for CPUs.
    """

    def __init__(
        self,
        shape: Shape,
        schedule: Schedule,
        source: Source,
        folder: Path,
        *,
        measure: Callable[[Model, int, bool], dict[str, float]] | None = None,
        device: str = "cpu",
        workers: int = 1,
        compiled: bool = False,
        bytes_a_token: float = 1.0,
    ) -> None:
        self.shape, self.schedule, self.source, self.folder = shape, schedule, source, folder
        self.measure, self.bytes_a_token = measure, bytes_a_token
        self.report: Callable[[Progress, float], None] = lambda progress, bits: None
        """Called after every step, with its bits a token."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.device = torch.device(device)
        torch.manual_seed(schedule.seed)
        self.model = Model(shape).to(self.device)
        self.model.compute = models.best_type(self.device)
        self.optimizer = Optimizer(self.model, schedule)
        self.progress = Progress()
        self.stop = False
        self.verbose = True
        """Whether the log goes to the standard output, too."""
        forward = compile_model(self.model) if compiled else self.model
        self.team = Team(self.model, forward, workers, compiled, self.schedule.batch)
        self.optimizer.orthogonals = self.team.orthogonals

    @property
    def length(self) -> int:
        """The sequences' length now, in tokens."""
        decaying = self.progress.decay_start >= 0
        return self.schedule.decay_length if decaying else self.schedule.stable_length

    def candidates(self, targets: torch.Tensor, part: int) -> torch.Tensor | None:
        """Rows of the head for these targets: theirs, and others by chance; None: all rows.

        All at the decay's end, and where the targets are too many to leave room for others.
        """
        wanted, vocab = self.schedule.candidates, self.shape.vocab
        decaying = self.progress.decay_start >= 0
        if not wanted or (decaying and rate(self.schedule, self.progress) < _ALL_ROWS_BELOW):
            return None
        certain = np.unique(targets.numpy())
        others = np.setdiff1d(np.arange(vocab), certain, assume_unique=True)
        if wanted - len(certain) < wanted // 8:
            return None
        rng = generator("candidates", self.schedule.seed, self.progress.step, part)
        drawn = rng.choice(others, wanted - len(certain), replace=False)
        return torch.from_numpy(np.sort(np.concatenate([certain, drawn])))

    def step(self) -> tuple[float, float]:
        """One step; returns (bits a token, the gradient's norm)."""
        schedule, length = self.schedule, self.length
        count = schedule.batch // length
        sequences = self.source.next(self.progress.place, count, length)
        targets = torch.from_numpy(sequences).to(self.device)
        inputs = F.pad(targets[:, :-1], (1, 0), value=self.shape.bos)
        each = max(1, schedule.micro_batch // length)
        loss = self.team.gradients(inputs, targets, each, self.candidates)
        norm = self.optimizer.step(rate(schedule, self.progress))
        self.progress.step += 1
        self.progress.tokens += targets.numel()
        return loss / math.log(2), norm

    def maybe_decay(self) -> None:
        """Begin the decay when it is due or asked for."""
        progress, schedule = self.progress, self.schedule
        if progress.decay_start >= 0:
            return
        asked = self.folder / "decay"
        tokens = 0
        if asked.exists():
            words = asked.read_text().split()
            share = schedule.decay_fraction / (1 - schedule.decay_fraction)
            tokens = int(float(words[0])) if words else int(progress.tokens * share)
        elif schedule.total_tokens:
            planned = int(schedule.total_tokens * schedule.decay_fraction)
            if progress.tokens >= schedule.total_tokens - planned:
                tokens = planned
        if tokens:
            if progress.step:
                self.save(f"stable-{progress.step:07}.pt")
            progress.decay_start, progress.decay_tokens = progress.tokens, tokens
            if progress.place.index:
                self.source.skip_group(progress.place)
            self.log(f"decay: {tokens} tokens from step {progress.step}")

    @property
    def done(self) -> bool:
        """Whether the decay is complete."""
        progress = self.progress
        return 0 <= progress.decay_start <= progress.tokens - progress.decay_tokens

    def save(self, name: str) -> Path:
        """Write a checkpoint, whole or not at all."""
        target = self.folder / name
        state = {
            "config": dataclasses.asdict(self.shape),
            "progress": dataclasses.asdict(self.progress),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with atomic_output(target, overwrite=True) as file:
            torch.save(state, file)
        if name.startswith("step-"):
            for old in sorted(self.folder.glob("step-*.pt"))[:-_KEPT]:
                old.unlink()
        return target

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        if "progress" not in state:  # weights alone, as `training.restore` writes them
            self.model.load_state_dict(state["model"])
            return
        if Shape(**state["config"]) != self.shape:
            raise ValueError(f"{path.name} is of another shape")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        saved = dict(state["progress"])
        self.progress = Progress(**{**saved, "place": Place(**saved["place"])})

    def log(self, line: str) -> None:
        """A line to the standard output and to the run's log."""
        line = f"{time.strftime('%H:%M:%S')} {line}"
        if self.verbose:
            print(line, flush=True)
        with (self.folder / "train.log").open("a") as file:
            file.write(line + "\n")

    def evaluate(self) -> float:
        """Log and return the held-out bits per byte; NaN if nothing measures them."""
        if self.measure is None:
            return math.nan
        bits = self.measure(self.model, self.length, self.done)
        groups = " ".join(f"{name} {value:.3f}" for name, value in bits.items())
        self.log(f"step {self.progress.step} held-out bits/byte: {groups}")
        return bits["all"]

    def resume(self, start: Path | None = None) -> bool:
        """Go on from the folder's last checkpoint, else from `start`; whether there was one."""
        found = sorted(self.folder.glob("step-*.pt")) or ([start] if start else [])
        if found:
            self.load(found[-1])
            self.log(f"goes on at step {self.progress.step}")
        return bool(found)

    def train(self, steps: int = 0) -> None:
        """Until the decay is complete, SIGTERM or SIGINT comes, or `steps` steps are done.

        Ends with a checkpoint. Only the main thread hears signals.
        """

        def stop(*_: object) -> None:
            self.stop = True

        numbers = (signal.SIGTERM, signal.SIGINT)
        main = threading.current_thread() is threading.main_thread()
        before = [signal.signal(number, stop) for number in numbers if main]
        try:
            self._train(steps)
        finally:
            for number, handler in zip(numbers, before, strict=False):
                signal.signal(number, handler)

    def close(self) -> None:
        """Let the other processes end."""
        self.team.close()

    def _train(self, steps: int) -> None:
        schedule, progress = self.schedule, self.progress
        first, saved, began = progress.step, time.monotonic(), time.monotonic()
        bits, count = 0.0, 0
        while not (self.stop or self.done or (steps and progress.step - first >= steps)):
            self.maybe_decay()
            now = rate(schedule, progress)
            loss, norm = self.step()
            if not math.isfinite(loss):
                raise FloatingPointError(f"step {progress.step}: the loss is {loss}")
            bits, count = bits + loss, count + 1
            self.report(progress, loss)
            if progress.step % schedule.log_steps == 0:
                speed = count * schedule.batch / (time.monotonic() - began)
                self.log(
                    f"step {progress.step} tokens {progress.tokens / 1e6:.2f}M "
                    f"bits/token {bits / count:.4f} "
                    f"bits/byte~ {bits / count / self.bytes_a_token:.4f} "
                    f"lr {now:.3f} norm {norm:.2f} tokens/s {speed:.0f}"
                )
                bits, count, began = 0.0, 0, time.monotonic()
            if progress.step % schedule.evaluate_steps == 0 and not self.done:
                self.evaluate()
                began, bits, count = time.monotonic(), 0.0, 0
            if time.monotonic() - saved > 60 * schedule.checkpoint_minutes:
                self.save(f"step-{progress.step:07}.pt")
                saved = time.monotonic()
        if self.done:
            self.evaluate()
        self.save(f"step-{progress.step:07}.pt")
        if self.done:
            self.save("final.pt")
            self.log("done")
