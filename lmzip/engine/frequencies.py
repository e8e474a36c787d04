"""Weights to frequencies: the native kernel where it could be built, else its readable twin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import arithmetic

try:
    from .. import _native
except ImportError:  # pragma: no cover - depends on how the package was built
    _native = None  # type: ignore[assignment]

__all__ = ["frequencies", "native_available"]


def native_available() -> bool:
    """Whether the C++ extension could be loaded."""
    return _native is not None


def frequencies(weights: NDArray[np.int32]) -> NDArray[np.int32]:
    """Frequencies [..., n] of integer weights [..., n]; see `arithmetic.frequencies`."""
    if _native is None:  # pragma: no cover - depends on how the package was built
        return arithmetic.frequencies(weights)
    flat = np.ascontiguousarray(weights).reshape(-1, weights.shape[-1])
    out = np.empty_like(flat)
    _native.frequencies(flat, out)
    return out.reshape(weights.shape)
