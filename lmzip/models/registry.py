"""The models lmzip knows by name: where they come from and what they must hash to."""

from __future__ import annotations

import dataclasses
import functools
import json
from importlib import resources

from ..errors import ModelNotFoundError

__all__ = ["KnownModel", "default_name", "known_model", "known_models", "registered_name"]


@dataclasses.dataclass(frozen=True)
class KnownModel:
    """One entry of registry.json."""

    name: str
    about: str
    licence: str
    download_bytes: int | None
    """Bytes to fetch and bytes of the pack; None where no one has measured them yet."""
    pack_bytes: int | None
    identity: str | None
    """Hex identity its pack must have, None where no one has pinned it yet."""
    selftest: str | None
    """The answer to the self-test question that every engine must give, None likewise."""
    source: dict[str, str]
    parameters: int = 0
    """How many it has, as its makers round it."""
    levels: str = ""
    """The levels whose windows and streams suit it."""


@functools.cache
def _registry() -> tuple[str, tuple[KnownModel, ...]]:
    text = resources.files(__package__).joinpath("registry.json").read_text("utf-8")
    data = json.loads(text)
    return data["default"], tuple(KnownModel(**entry) for entry in data["models"])


def known_models() -> tuple[KnownModel, ...]:
    """All entries, in the registry's order."""
    return _registry()[1]


def default_name() -> str:
    """The model that compresses when none is named."""
    return _registry()[0]


def known_model(name: str) -> KnownModel:
    """The entry of that name. Raises ModelNotFoundError."""
    for model in known_models():
        if model.name == name:
            return model
    names = ", ".join(model.name for model in known_models())
    raise ModelNotFoundError(f"there is no model named {name!r} (known: {names})")


def registered_name(identity: bytes) -> str:
    """The name of the model whose identity starts with those bytes, or nothing."""
    for model in known_models():
        if model.identity is not None and model.identity.startswith(identity.hex()):
            return model.name
    return ""
