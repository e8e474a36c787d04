"""The C++ extension, or None where it could not be built or loaded, and then why."""

from __future__ import annotations

from typing import Any

__all__ = ["extension", "load_error"]


def _load() -> tuple[Any, str]:
    try:
        from . import _native
    except ImportError as error:  # pragma: no cover - depends on how the package was built
        return None, str(error)
    return _native, ""


extension, load_error = _load()
