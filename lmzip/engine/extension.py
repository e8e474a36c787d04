"""The C++ extension, or None where it could not be built or loaded."""

from __future__ import annotations

from typing import Any

__all__ = ["extension"]

extension: Any
try:
    from .. import _native as extension
except ImportError:  # pragma: no cover - depends on how the package was built
    extension = None
