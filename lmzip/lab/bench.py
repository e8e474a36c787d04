"""Where experiments are done: rows that are kept, nets that are trained once, progress."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .rows import LabRow, LabStore

if TYPE_CHECKING:
    from .nets import NetShape, TinyNet

__all__ = ["Bench", "task_name"]


def task_name(**settings: Any) -> str:
    """A canonical name of a task by all that its rows depend on."""
    return json.dumps(settings, sort_keys=True, separators=(",", ":"))


@dataclasses.dataclass
class Bench:
    """A place to work at."""

    store: LabStore = dataclasses.field(default_factory=LabStore)
    quick: bool = False
    """Smaller sizes, in minutes."""
    work: Path | None = None
    """Keeps trained nets and packs; without one, a temporary folder does."""
    threads: int = 1
    say: Callable[[str], None] = lambda message: None
    _temporary: Any = None

    @property
    def folder(self) -> Path:
        """Where nets and packs lie."""
        if self.work is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="lmzip-lab-")
            self.work = Path(self._temporary.name)
        self.work.mkdir(parents=True, exist_ok=True)
        return self.work

    def rows(
        self, experiment: str, task: str, make: Callable[[], Sequence[LabRow]], about: str = ""
    ) -> list[LabRow]:
        """The rows of a task: those that are kept, or what `make` returns, with its CPU time."""
        known = self.store.find(experiment, task)
        if known is not None:
            return known
        began = time.process_time()
        made = list(make())
        seconds = round(time.process_time() - began, 2)
        done = [dataclasses.replace(row, seconds=seconds) for row in made]
        self.store.add(done)
        self.say(f"{experiment}: {about or task} ({seconds:.0f} s of CPU)")
        return done

    def net(
        self, task: str, shape: NetShape, alphabet: bytes, make: Callable[[TinyNet], dict[str, Any]]
    ) -> tuple[TinyNet, dict[str, Any]]:
        """A net that `make` has trained in place, and the notes that it returned; trained once,
        then read from the folder."""
        import torch

        from .nets import TinyNet

        name = hashlib.sha256(task.encode()).hexdigest()[:24]
        path = self.folder / f"net-{name}.npz"
        net = TinyNet(shape, alphabet)
        if path.exists():
            with np.load(path, allow_pickle=False) as kept:
                if str(kept["task"]) == task and kept["flat"].shape == tuple(net.flat.shape):
                    net.flat = torch.from_numpy(kept["flat"]).requires_grad_()
                    return net, json.loads(str(kept["notes"]))
        began = time.process_time()
        notes = make(net) | {"cpu_s": round(time.process_time() - began, 2)}
        partial = path.with_suffix(".tmp")
        with partial.open("wb") as file:
            np.savez(
                file, flat=net.flat.detach().numpy(), task=np.array(task),
                notes=np.array(json.dumps(notes)),
            )  # fmt: skip
        partial.replace(path)
        return net, notes
