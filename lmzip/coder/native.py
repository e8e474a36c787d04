"""The range coder in C++ (native/coder/): integers in, no floats, no copies."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import CorruptError
from ..extension import extension
from .interface import Freqs, Symbols

__all__ = ["NativeDecoder", "NativeEncoder"]


class NativeEncoder:
    """See `Encoder`."""

    def __init__(self) -> None:
        self.native: Any = extension.RangeEncoder()

    def code(self, freqs: Freqs, symbols: Symbols | None) -> Symbols:
        assert symbols is not None
        if freqs.shape[1] > 1:
            self.native.encode(freqs, symbols)
        return symbols

    @property
    def ideal_bits(self) -> float:
        return float(self.native.ideal_bits)

    def size_bytes(self) -> int:
        return int(self.native.words) * 4

    def finish(self) -> bytes:
        return bytes(self.native.finish())


class NativeDecoder:
    """See `SymbolCoder`; past the payload's end it reads zeros."""

    def __init__(self, payload: bytes) -> None:
        self.native: Any = extension.RangeDecoder(payload)

    def code(self, freqs: Freqs, symbols: Symbols | None = None) -> Symbols:
        assert symbols is None
        decoded = np.zeros(len(freqs), np.int64)
        if freqs.shape[1] > 1 and not self.native.decode(freqs, decoded):
            raise CorruptError("the payload does not decode")
        return decoded
