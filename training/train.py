"""The training loop: warm-up, stable, decay; stops, resumes and goes on bit for bit."""

from __future__ import annotations

import dataclasses
import math
import os
import signal
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from . import model as models
from .config import Config, Schedule, Shape
from .data import Place, Rows
from .evaluate import held_out_bits
from .model import Model
from .optimizer import Optimizer
from .parallel import Team, compile_model
from .text import generator

_KEPT = 2

_ALL_ROWS_BELOW = 0.15
"""Below this part of the learning rate the head is trained on all its rows."""


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


class Run:
    """One model in training, with its folder of checkpoints."""

    def __init__(
        self, config: Config, work: Path, device: str, workers: int, compiled: bool
    ) -> None:
        self.config, self.schedule, self.work = config, config.schedule, work
        self.folder = work / config.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.device = torch.device(device)
        torch.manual_seed(self.schedule.seed)
        self.model = Model(config.shape).to(self.device)
        self.model.compute = models.best_type(self.device)
        self.optimizer = Optimizer(self.model, self.schedule)
        self.rows = Rows(work, self.schedule.seed, config.data.row)
        self.progress = Progress()
        self.stop = False
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
        wanted, vocab = self.schedule.candidates, self.config.shape.vocab
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
        sequences = self.rows.next(self.progress.place, count, length)
        targets = torch.from_numpy(sequences).to(self.device)
        inputs = F.pad(targets[:, :-1], (1, 0))  # the start token is 0
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
            self.save(f"stable-{progress.step:07}.pt")
            progress.decay_start, progress.decay_tokens = progress.tokens, tokens
            if progress.place.index:
                self.rows.skip_group(progress.place)
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
            "config": dataclasses.asdict(self.config.shape),
            "progress": dataclasses.asdict(self.progress),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        temporary = target.with_suffix(".tmp")
        torch.save(state, temporary)
        os.replace(temporary, target)
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
        if Shape(**state["config"]) != self.config.shape:
            raise ValueError(f"{path.name} is of another shape")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        saved = dict(state["progress"])
        self.progress = Progress(**{**saved, "place": Place(**saved["place"])})

    def log(self, line: str) -> None:
        """A line to the standard output and to the run's log."""
        line = f"{time.strftime('%H:%M:%S')} {line}"
        print(line, flush=True)
        with (self.folder / "train.log").open("a") as file:
            file.write(line + "\n")

    def evaluate(self) -> float:
        """Log and return the held-out bits per byte."""
        limit = 0 if self.done else self.schedule.evaluate_tokens
        bits = held_out_bits(self.model, self.work, self.length, limit)
        groups = " ".join(f"{name} {value:.3f}" for name, value in bits.items())
        self.log(f"step {self.progress.step} held-out bits/byte: {groups}")
        return bits["all"]

    def train(self, steps: int = 0) -> None:
        """Until the decay is complete, SIGTERM comes, or `steps` steps are done."""
        schedule, progress = self.schedule, self.progress
        first, saved, began = progress.step, time.monotonic(), time.monotonic()
        bits, count = 0.0, 0
        ratio = bytes_a_token(self.work)
        while not (self.stop or self.done or (steps and progress.step - first >= steps)):
            self.maybe_decay()
            now = rate(schedule, progress)
            loss, norm = self.step()
            if not math.isfinite(loss):
                raise FloatingPointError(f"step {progress.step}: the loss is {loss}")
            bits, count = bits + loss, count + 1
            if progress.step % schedule.log_steps == 0:
                speed = count * schedule.batch / (time.monotonic() - began)
                self.log(
                    f"step {progress.step} tokens {progress.tokens / 1e6:.2f}M "
                    f"bits/token {bits / count:.4f} bits/byte~ {bits / count / ratio:.4f} "
                    f"lr {now:.3f} norm {norm:.2f} tokens/s {speed:.0f}"
                )
                bits, count, began = 0.0, 0, time.monotonic()
            if progress.step % schedule.evaluate_steps == 0:
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


def bytes_a_token(work: Path) -> float:
    """Mean bytes of a training token, for the estimate in the log."""
    import json

    size = tokens = 0
    for path in work.glob("shard-*.json"):
        for file in json.loads(path.read_text())["files"].values():
            size, tokens = size + file["bytes"], tokens + file["tokens"]
    return size / max(tokens, 1) if tokens else 1.0


def run(
    config: Config,
    work: Path,
    *,
    threads: int = 0,
    steps: int = 0,
    device: str | None = None,
    workers: int = 1,
    compiled: bool = True,
    start: Path | None = None,
) -> Run:
    """Train `config` in `work`, from its last checkpoint if there is one (or from `start`)."""
    if threads:
        torch.set_num_threads(threads)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    this = Run(config, work, device, workers, compiled)
    found = sorted(this.folder.glob("step-*.pt")) or sorted(this.folder.glob("start.pt"))
    if found or start:
        this.load(found[-1] if found else start)  # type: ignore[arg-type]
        this.log(f"goes on at step {this.progress.step}")

    def stop(*_: object) -> None:
        this.stop = True

    before = signal.signal(signal.SIGTERM, stop)
    try:
        this.train(steps)
    finally:
        signal.signal(signal.SIGTERM, before)
        this.team.close()
    return this
