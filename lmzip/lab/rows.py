"""The laboratory's rows: what was measured of which learner, kept as soon as a task is done."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..rowfile import RowFile

__all__ = ["LabRow", "LabStore"]

_LINE_START = b'{"experiment": '
"""How every line begins."""


@dataclasses.dataclass(frozen=True)
class LabRow:
    """One number of bits, or one score, with all that it depends on."""

    experiment: str
    task: str
    """What was done at once: a corpus coded, a net trained. Its rows are kept all or none."""
    learner: str
    """`py`, `mix`, `net`, `table`, or what else made the bits."""
    source: str = ""
    """SHA-256 of the source's recipe."""
    parameters: int = 0
    """That training reaches; 0 for learners without."""
    n: int = 0
    """Sentences (or items) that were learned from."""
    seed: int = 0
    role: str = "all"
    """`syntax`, `name`, `value` or `all` of them."""
    klass: str = "all"
    """Which facts: a frequency class, most frequent first, `1` to `4`."""
    ideal_bits: float | None = None
    """Information under the predictions."""
    payload_bits: int | None = None
    """Of a stream that decodes."""
    file_bits: int | None = None
    """The whole file."""
    correct: float | None = None
    """Part of the values that are the likeliest ones."""
    seconds: float = 0.0
    """Of CPU, for the task."""
    decoded: bool | None = None
    """Whether the stream was decoded and compared; None where there is none."""
    extra: dict[str, float | str] = dataclasses.field(default_factory=dict)
    """What this experiment alone has."""


_FIELDS = {field.name for field in dataclasses.fields(LabRow)}


class LabStore:
    """Rows in a file of JSON lines, or in memory alone."""

    def __init__(self, path: Path | None = None) -> None:
        """Raises CorruptError if the file holds something else, OSError if it cannot be written."""
        self._tasks: dict[tuple[str, str], dict[int, LabRow]] = {}
        self._sizes: dict[tuple[str, str], int] = {}
        self._rows = None
        if path is not None:
            self._rows = RowFile(
                path, one="a row of the laboratory", many="rows of the laboratory",
                line_start=_LINE_START, load=self._load,
            )  # fmt: skip

    def _load(self, fields: dict[str, Any]) -> None:
        part, parts = fields.pop("part"), fields.pop("parts")
        if not (type(part) is int and type(parts) is int and 0 <= part < parts):
            raise ValueError
        row = LabRow(**{k: v for k, v in fields.items() if k in _FIELDS})
        if not all(isinstance(v, str) for v in (row.experiment, row.task, row.learner)):
            raise ValueError
        key = row.experiment, row.task
        if not part or self._sizes.get(key) != parts:
            self._tasks[key] = {}
        self._sizes[key] = parts
        self._tasks[key][part] = row

    def find(self, experiment: str, task: str) -> list[LabRow] | None:
        """The rows of a task, if all of them are there."""
        key = experiment, task
        if key not in self._tasks or len(self._tasks[key]) != self._sizes[key]:
            return None
        return [self._tasks[key][i] for i in range(self._sizes[key])]

    def add(self, rows: Sequence[LabRow]) -> None:
        """Keep a task's rows."""
        assert rows and len({(row.experiment, row.task) for row in rows}) == 1
        key = rows[0].experiment, rows[0].task
        self._tasks[key], self._sizes[key] = dict(enumerate(rows)), len(rows)
        if self._rows is not None:
            for part, row in enumerate(rows):
                self._rows.append(dataclasses.asdict(row) | {"part": part, "parts": len(rows)})
