"""Weights to frequencies: the native kernel where it could be built, else its readable twin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..extension import extension
from . import arithmetic

__all__ = ["frequencies"]


def frequencies(weights: NDArray[np.int32]) -> NDArray[np.int32]:
    """Frequencies [..., n] of integer weights [..., n]; see `arithmetic.frequencies`."""
    if extension is None:  # pragma: no cover - depends on how the package was built
        return arithmetic.frequencies(weights)
    flat = np.ascontiguousarray(weights).reshape(-1, weights.shape[-1])
    out = np.empty_like(flat)
    extension.frequencies(flat, out)
    return out.reshape(weights.shape)
