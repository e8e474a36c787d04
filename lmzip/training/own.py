"""A model of one's own: an installed model goes on learning from some texts, or one from nothing.

What is left of a stopped run is in its folder: a plan, the texts' tokens, checkpoints. Whoever asks
for the same again goes on there, and gets the same model as without the stop.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ..engine.cores import available_cores
from ..engine.weights import Pack
from ..errors import UsageError
from ..files import atomic_output
from ..text import Tokenizer, Vocabulary
from .loop import Loop, Progress
from .model import Model, token_loss
from .packs import float_weights, pack_of, shape_of
from .rows import Rows
from .shape import Schedule, Shape

__all__ = ["Order", "Texts", "Training", "default_workers", "split"]

ROW = 1024
"""Tokens of a training row; sequences are rows or halves of them."""

_PART = 64 << 10
_HELD_OUT, _HELD_OUT_MOST = 0.02, 256 << 10
_SMALLEST = 64 << 10
_QUICK = 64 << 10
"""Bytes of held-out text that are measured again and again."""

_TRIAL_STEPS = 3
_SMALL_BATCH, _LARGE_BATCH, _LARGE_FROM = 4096, 8192, 4_000_000


@dataclasses.dataclass(frozen=True)
class Order:
    """What is asked for."""

    name: str
    minutes: float = 10.0
    tokens: int = 0
    """Instead of minutes, if not 0."""
    from_scratch: bool = False
    workers: int = 1
    compiled: bool = False
    seed: int = 1
    rate: float = 0.5
    """The first learning rate, as a part of that of a model from nothing."""


@dataclasses.dataclass(frozen=True)
class Texts:
    """Parts to train on and parts held out, bytes each."""

    training: list[bytes]
    held_out: list[bytes]

    def digest(self) -> str:
        """What names them, 16 hex digits."""
        total = hashlib.sha256()
        for part in (*self.training, b"", *self.held_out):
            total.update(len(part).to_bytes(8, "little") + part)
        return total.hexdigest()[:16]


def default_workers() -> int:
    """As many processes as a batch can be divided among and cores there are: 1, 2 or 4."""
    return max(count for count in (1, 2, 4) if count <= max(available_cores(), 1))


def _cut(document: bytes) -> list[bytes]:
    """Parts of at most 64 KiB, at line ends where there are any."""
    parts, start = [], 0
    while len(document) - start > _PART:
        end = document.rfind(b"\n", start + _PART // 2, start + _PART) + 1 or start + _PART
        parts.append(document[start:end])
        start = end
    return [*parts, document[start:]]


def split(documents: Sequence[bytes]) -> Texts:
    """The last parts with 2 % of the bytes (256 KiB at most) are held out, none twice.

    Raises UsageError if there is less than 64 KiB in all.
    """
    parts = [part for document in dict.fromkeys(documents) for part in _cut(document) if part]
    size = sum(map(len, parts))
    if size < _SMALLEST or len(parts) < 2:
        raise UsageError(f"{size:,} bytes of text are too few to train on; the minimum is 65,536")
    want, first, held = min(int(size * _HELD_OUT), _HELD_OUT_MOST), len(parts), 0
    while first > 1 and held < want:
        first -= 1
        held += len(parts[first])
    return Texts(parts[:first], parts[first:])


def _table(parts: Sequence[NDArray[np.int64]], join: NDArray[np.int64]) -> NDArray[np.uint32]:
    """[rows, ROW] tokens of all parts, with `join` between them; the last row is filled up."""
    pieces = [x for part in parts for x in (part, join)]
    tokens = np.concatenate(pieces)
    if len(tokens) % ROW or len(tokens) < ROW:
        tokens = np.resize(tokens, -(-len(tokens) // ROW) * ROW)
    return tokens.reshape(-1, ROW).astype(np.uint32)


class Training:
    """A run in a folder of its own; `report(progress, bits a token)` hears of every step.

    `notice(line)` hears what a user should. Raises UsageError if the folder's run is another.
    """

    def __init__(
        self,
        base: Pack,
        texts: Texts,
        order: Order,
        folder: Path,
        *,
        device: str = "cpu",
        notice: Callable[[str], None] = lambda line: None,
    ) -> None:
        if device == "cpu":
            torch.set_num_threads(1)  # what works at the same time are processes
        self.base, self.texts, self.order = base, texts, order
        self.folder, self.device, self.notice = folder, device, notice
        self.shape = shape_of(base)
        vocabulary = Vocabulary(base.tensors["tokens.offsets"], base.tensors["tokens.bytes"])
        self._tokenizer = Tokenizer(vocabulary, base.tokenizer_json)
        self.held_out = [self._tokenizer.tokenize(part) for part in texts.held_out]
        self.held_out_bytes = sum(map(len, texts.held_out))
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # the texts are in it, as tokens
        self.rows = Rows([self._rows()], order.seed)
        self.plan = self._plan()

    @property
    def total_tokens(self) -> int:
        """Of the whole training."""
        return int(self.plan["tokens"])

    def _rows(self) -> NDArray[np.uint32]:
        path = self.folder / f"tokens-{self.texts.digest()}-{self.base.identity.hex()[:8]}.npy"
        if not path.exists():
            parts = [self._tokenizer.tokenize(part) for part in self.texts.training]
            with atomic_output(path, overwrite=True, within=0o600) as file:
                np.save(file, _table(parts, self._tokenizer.tokenize(b"\n")))
        found: NDArray[np.uint32] = np.load(path, mmap_mode="r")
        return found

    def _asked(self) -> dict[str, Any]:
        order = dataclasses.asdict(self.order)
        return {**order, "texts": self.texts.digest(), "base": self.base.identity.hex()}

    def _plan(self) -> dict[str, Any]:
        """How many tokens in what batches: once, since how fast it goes is no constant."""
        path, asked = self.folder / "plan.json", self._asked()
        if path.exists():
            found: dict[str, Any] = json.loads(path.read_text("utf-8"))
            if found["asked"] != json.loads(json.dumps(asked)):
                raise UsageError(
                    f"a training run of {self.order.name!r} with other texts or options was left "
                    "unfinished; --restart discards it"
                )
            return found
        tokens = self.order.tokens or self._tokens_in(60 * self.order.minutes)
        batch = _LARGE_BATCH if tokens >= _LARGE_FROM else _SMALL_BATCH
        plan = {"asked": asked, "batch": batch, "tokens": max(1, round(tokens / batch)) * batch}
        with atomic_output(path, overwrite=True, within=0o600) as file:
            file.write(json.dumps(plan, indent=1).encode())
        return plan

    def _tokens_in(self, seconds: float) -> int:
        """Tokens that this machine does in a time, by a short trial."""
        began = time.monotonic()
        loop = self._loop(self._schedule(1 << 40, _SMALL_BATCH), self.folder / "run")
        try:
            loop.step()
            first = time.monotonic()
            for _ in range(_TRIAL_STEPS):
                loop.step()
            now = time.monotonic()
        finally:
            loop.close()
        speed = _TRIAL_STEPS * _SMALL_BATCH / (now - first)
        return int(speed * max(seconds - (now - began), seconds / 10))

    def _schedule(self, tokens: int, batch: int) -> Schedule:
        scratch = self.order.from_scratch
        rate = 1.0 if scratch else self.order.rate
        plain = Schedule()
        return Schedule(
            seed=self.order.seed,
            batch=batch,
            micro_batch=4096,
            candidates=self.shape.vocab * 5 // 16 if self.shape.vocab >= 4096 else 0,
            stable_length=ROW // 2,
            decay_length=ROW,
            warmup_tokens=min(tokens // 20, 200_000),
            total_tokens=tokens,
            decay_fraction=0.3 if scratch else 1.0,
            muon_lr=plain.muon_lr * rate,
            adam_lr=plain.adam_lr * rate,
            gain_lr=plain.gain_lr * rate,
            table_lr=plain.table_lr * rate,
            checkpoint_minutes=1.0,
            evaluate_steps=max(1, tokens // batch // 8),
        )

    def _loop(self, schedule: Schedule, folder: Path) -> Loop:
        loop = Loop(
            self.shape,
            schedule,
            self.rows,
            folder,
            measure=self._measure,
            device=self.device,
            workers=self.order.workers,
            compiled=self.order.compiled,
        )
        loop.verbose = False
        if not self.order.from_scratch:
            loop.model.load_state_dict(float_weights(self.base))
        return loop

    def _measure(self, model: Model, length: int, whole: bool) -> dict[str, float]:
        parts = list(zip(self.held_out, self.texts.held_out, strict=True))
        parts = parts if whole else parts[: max(1, _QUICK // _PART)]
        bits = held_out_bits(model, self.shape, [tokens for tokens, _ in parts])
        bits /= sum(len(text) for _, text in parts)
        what = "all held-out text" if whole else "the first held-out text"
        self.notice(f"bits per byte of {what}: {bits:.4f}")
        return {"all": bits}

    def run(self, report: Callable[[Progress, float], None], steps: int = 0) -> Pack | None:
        """Train to the end: the finished pack. None if a signal, or `steps`, ended it before."""
        schedule = self._schedule(self.total_tokens, int(self.plan["batch"]))
        loop = self._loop(schedule, self.folder / "run")
        loop.report = report
        try:
            if not loop.resume() and not self.order.from_scratch:
                loop.evaluate()
            loop.train(steps)
        finally:
            loop.close()
        if not loop.done:
            return None
        notes = {
            "licence": "that of the texts it was trained on",
            "source": "trained here"
            if self.order.from_scratch
            else f"trained from {self.base.name}",
            "tokens": f"{loop.progress.tokens:,}",
        }
        return pack_of(self.base, loop.model.state_dict(), self.order.name, notes)

    def forget(self) -> None:
        """Remove the folder and what the run left there."""
        self.forget_folder(self.folder)

    @staticmethod
    def forget_folder(whole: Path) -> None:
        """Remove a run's folder, if it is there."""
        for folder in (whole / "run", whole):
            if folder.is_dir():
                for path in folder.iterdir():
                    path.unlink()
                folder.rmdir()


@torch.no_grad()
def held_out_bits(model: Model, shape: Shape, parts: Sequence[NDArray[np.int64]]) -> float:
    """Bits of the parts' tokens in windows of ROW tokens, the start token before each."""
    device, bits = model.embed_tokens.weight.device, 0.0
    for part in parts:
        for start in range(0, len(part), ROW):
            targets = torch.from_numpy(part[None, start : start + ROW]).to(device)
            hidden = model(F.pad(targets[:, :-1], (1, 0), value=shape.bos))
            losses = token_loss(hidden, model.embed_tokens.weight, targets)
            bits += float(losses.double().sum()) / math.log(2)
    return bits
