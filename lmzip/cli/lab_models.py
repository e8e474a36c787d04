"""Models for the laboratory's commands: by a pack's file or an installed model's name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..codec import CodecModel

__all__ = ["opened_model", "opened_pack"]


def opened_pack(name: str) -> Any:
    """An open pack."""
    from ..models.store import open_pack_file
    from .models import _store

    path = Path(name)
    return open_pack_file(path) if path.is_file() else _store(True).open(name)


def opened_model(name: str, threads: int | None = None) -> CodecModel:
    """The model, ready to code with."""
    from ..models.source import load_model

    return load_model(opened_pack(name), threads=threads, tokenizing=True)
