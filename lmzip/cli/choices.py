"""From the options of a command to a model and the parameters of coding."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .progress import ModelBar
from .say import say

if TYPE_CHECKING:
    from ..codec import CodecModel, CodingParameters
    from ..models.source import StoreModels

__all__ = ["chosen_model", "chosen_models", "chosen_parameters", "open_models"]

_OVERRIDES = {
    "window": "window",
    "stream_tokens": "stream_length",
    "block_bytes": "block_size",
}
"""Coding parameters, and the options that set them."""

RSYNCABLE_BLOCK_BYTES = 1 << 18
"""The longest blocks of --rsyncable, unless --block-size says more."""


def chosen_parameters(given: dict[str, Any], model: str | None) -> tuple[str, CodingParameters]:
    """The model's name and the parameters, the level's where nothing else is said."""
    from ..codec import CodingParameters
    from ..levels import DEFAULT_LEVEL, level

    chosen = level(given["level"] or DEFAULT_LEVEL)
    # A model of one's own comes without a level's choices, unless one asks for them.
    named = model not in (None, chosen.model) and not given["level"]
    base = CodingParameters() if named else chosen.parameters
    overrides = {
        name: given[option] for name, option in _OVERRIDES.items() if given[option] is not None
    }
    if given["no_mix"]:
        overrides["mixing_bits"] = 0
    if given["solid"]:
        overrides |= {"solid": True, "streams_at_once": base.streams_at_once or 32}
    if given.get("rsyncable"):
        overrides |= {"rsyncable": True}
        if given["block_size"] is None:
            overrides["block_bytes"] = min(base.block_bytes, RSYNCABLE_BLOCK_BYTES)
    return model or chosen.model, dataclasses.replace(base, **overrides)


def open_models(
    given: dict[str, Any], model: str, *, progress: Any, notice: Callable[[str], None]
) -> StoreModels:
    """The models of the user's store; what their engines log goes to `notice`, too."""
    from ..api import models_home
    from ..models.source import StoreModels
    from ..models.store import ModelStore
    from .notices import show_log

    show_log(notice)
    return StoreModels(
        model,
        store=ModelStore(models_home(), offline=given["offline"]),
        engine=given["engine"],
        device=given["device"],
        threads=given["threads"],
        isa=given["isa"],
        progress=progress,
        notice=notice,
    )


def chosen_models(given: dict[str, Any]) -> tuple[StoreModels, CodingParameters]:
    """The models that the options name, and the parameters; notices unless all is to be quiet."""
    name, parameters = chosen_parameters(given, given["model"])

    def notice(message: str) -> None:
        if not given["quiet"]:
            say(f"{message}")

    progress = ModelBar(show=not given["quiet"])
    return open_models(given, name, progress=progress, notice=notice), parameters


def chosen_model(given: dict[str, Any]) -> tuple[CodecModel, CodingParameters]:
    """The model to compress with, loaded, and the parameters."""
    models, parameters = chosen_models(given)
    return models.for_compression(), parameters
