"""Classical compressors at their highest usual levels, for tables beside lmzip."""

from __future__ import annotations

from lmzip.measure.classical import installed_compressors

__all__ = ["classical_sizes"]


def classical_sizes(data: bytes) -> dict[str, int]:
    """Compressed bytes by compressor, of those installed."""
    return {c.name: len(c.compress(data)) for c in installed_compressors()}
