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

    def code_bits(self, p1: Freqs, bits: Symbols | None) -> Symbols:
        assert bits is not None
        self.native.encode_bits(p1, bits)
        chosen = np.where(bits == 1, p1, (1 << 24) - p1)
        self.native.add_ideal_bits(float((24 - np.log2(chosen)).sum()))
        return bits

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

    def code_bits(self, p1: Freqs, bits: Symbols | None = None) -> Symbols:
        assert bits is None
        decoded = np.zeros(len(p1), np.int64)
        if not self.native.decode_bits(p1, decoded):
            raise CorruptError("the payload does not decode")
        return decoded
