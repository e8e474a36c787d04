"""Starts of mixing that come with lmzip, for the vocabularies of other people's models.

A start (NUMERICS.md, section 13) is learned with one model, but it fits every model that has the
same tokens: it says how far contexts are to be trusted beside a model. `python -m training.mixing`
makes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["embedded_start", "start_name"]

_FOLDER = resources.files(__package__) / "embedded"


def start_name(offsets: NDArray[np.uint32], data: NDArray[np.uint8]) -> str:
    """The name of the file with the start for a vocabulary, a pack's `tokens.offsets` and
    `tokens.bytes`."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(np.ascontiguousarray(offsets, "<u4").tobytes())
    digest.update(np.ascontiguousarray(data).tobytes())
    return f"mixing-{digest.hexdigest()}.safetensors"


def embedded_start(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The tensors `mixing.*` for a pack of these tensors; none if its vocabulary is unknown."""
    from safetensors.numpy import load

    file = _FOLDER / start_name(tensors["tokens.offsets"], tensors["tokens.bytes"])
    if not file.is_file():
        return {}
    return dict(load(file.read_bytes()))
