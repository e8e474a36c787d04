"""Whether a text shares a passage with the texts that are measured on.

A passage is 50 consecutive bytes of the text reduced to lower-case letters, digits and non-ASCII
bytes (about ten English words), so that neither line breaks nor punctuation hide it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WINDOW = 50
_BASE = 0x9E3779B97F4A7C15
_BITMAP_BITS = 28

_LOWER = np.arange(256, dtype=np.uint8)
_LOWER[ord("A") : ord("Z") + 1] += 32
_KEPT = np.array([chr(b).isalnum() if b < 128 else True for b in range(256)])


def _powers(count: int) -> NDArray[np.uint64]:
    out = np.full(count, _BASE, np.uint64)
    out[0] = 1
    return np.multiply.accumulate(out)


_POWERS = _powers(1 << 16)
_VALUES = np.random.default_rng(50).integers(1, 1 << 63, 256, dtype=np.uint64)


def hashes(text: bytes) -> NDArray[np.uint64]:
    """One hash for every passage of `text`, in order; uint64, exact modulo 2**64."""
    raw = _LOWER[np.frombuffer(text, np.uint8)]
    kept = _VALUES[raw[_KEPT[raw]]]
    out = []
    step = len(_POWERS) - WINDOW
    for start in range(0, max(len(kept) - WINDOW + 1, 0), step):
        piece = kept[start : start + step + WINDOW - 1]
        sums = np.zeros(len(piece) + 1, np.uint64)
        np.cumsum(piece * _POWERS[: len(piece)], out=sums[1:])
        windows = sums[WINDOW:] - sums[:-WINDOW]
        # Bring every window to the same power, then mix.
        windows = windows * _POWERS[: len(windows)][::-1] * _shift(len(windows))
        out.append(windows ^ (windows >> np.uint64(31)))
    return np.concatenate(out) if out else np.empty(0, np.uint64)


def _shift(count: int) -> np.uint64:
    return np.uint64(pow(_BASE, len(_POWERS) - count, 1 << 64))


class Forbidden:
    """The passages of a set of texts."""

    def __init__(self, texts: list[bytes]) -> None:
        found = [hashes(text) for text in texts]
        self.sorted = np.unique(np.concatenate(found)) if found else np.empty(0, np.uint64)
        self.bitmap = np.zeros(1 << (_BITMAP_BITS - 3), np.uint8)
        slots = self._slots(self.sorted)
        np.bitwise_or.at(self.bitmap, slots >> 3, np.uint8(1) << (slots & 7).astype(np.uint8))

    @classmethod
    def read(cls, folders: list[Path]) -> Forbidden:
        """The passages of all files in these folders."""
        return cls([p.read_bytes() for f in folders for p in sorted(f.iterdir()) if p.is_file()])

    @staticmethod
    def _slots(values: NDArray[np.uint64]) -> NDArray[np.int64]:
        return (values >> np.uint64(64 - _BITMAP_BITS)).astype(np.int64)

    def hits(self, text: bytes) -> int:
        """Number of passages of `text` that are forbidden."""
        if not len(self.sorted):
            return 0
        values = hashes(text)
        slots = self._slots(values)
        maybe = values[(self.bitmap[slots >> 3] >> (slots & 7).astype(np.uint8)) & 1 > 0]
        at = np.minimum(np.searchsorted(self.sorted, maybe), len(self.sorted) - 1)
        return int((self.sorted[at] == maybe).sum())
