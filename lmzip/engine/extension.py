"""The C++ extension, or None where it could not be built or loaded."""

from __future__ import annotations

from typing import Any

__all__ = ["extension"]


def _load() -> Any:
    try:
        from .. import _native
    except ImportError:  # pragma: no cover - depends on how the package was built
        return None
    return _native


extension = _load()
