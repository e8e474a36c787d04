"""A model's configuration file: TOML, one a model, with the data mix in a file of its own."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

from lmzip.training.shape import Schedule, Shape


@dataclasses.dataclass(frozen=True)
class Group:
    """Files sampled together: `share` is their part of all sampled bytes (any unit)."""

    name: str
    share: float
    files: tuple[str, ...]
    wrap: float = 0.0
    """Probability that a text with one line a paragraph is re-wrapped."""
    crlf: float = 0.03
    """Probability of CRLF line ends."""
    ascii_quotes: float = 0.0
    """Probability that typographic quotes and dashes become ASCII."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """How corpora become shards. Sizes are in millions of bytes of text."""

    groups: tuple[Group, ...]
    seed: int = 1
    shards: int = 2
    shard_mb: float = 240.0
    tokenizer_mb: float = 60.0
    vocab: int = 8192
    row: int = 2048
    held_out: float = 0.005
    held_out_kb: float = 64.0
    """Kilobytes of every file's held-out part that the evaluation looks at."""
    avoid: tuple[str, ...] = ("eval", "pairs")
    """Folders beside the training texts that no training text may share a passage with."""
    skip_titles: tuple[str, ...] = ()
    titled: tuple[str, ...] = ()
    """Files whose documents are works with a title."""


@dataclasses.dataclass(frozen=True)
class Config:
    """All of it."""

    name: str
    shape: Shape
    schedule: Schedule
    data: DataConfig
    card: dict[str, str] = dataclasses.field(default_factory=dict)
    """What people should know of the model; becomes the pack's notes."""


def _data(table: dict[str, Any]) -> DataConfig:
    groups = tuple(Group(**{**g, "files": tuple(g["files"])}) for g in table.pop("group"))
    rest = {key: tuple(v) if isinstance(v, list) else v for key, v in table.items()}
    return DataConfig(groups=groups, **rest)


def load(path: Path) -> Config:
    """Read a configuration; `data` names the data file beside it."""
    table = tomllib.loads(path.read_text("utf-8"))
    data = tomllib.loads((path.parent / table["data"]).read_text("utf-8"))
    return Config(
        name=table["name"],
        shape=Shape(
            **{k: tuple(v) if isinstance(v, list) else v for k, v in table["shape"].items()}
        ),
        schedule=Schedule(**table.get("schedule", {})),
        data=_data(data),
        card=table.get("card", {}),
    )
