"""Symbols to bytes and back where there is no extension: constriction's range coder on integers.

constriction turns floats into frequencies as f(i) = 1 + (rounded-down growth of the cumulative
sum); given f - 1 as floats its scale is exactly 1, and it uses the integers as they are. FORMAT.md
("Range coder") defines the bytes; `oracle` is that definition as code. Only the end of a payload is
not constriction's: it is shorter, and constriction reads it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError
from .interface import Freqs, Symbols
from .oracle import shortest_payload

__all__ = ["ConstrictionDecoder", "ConstrictionEncoder"]

_PRECISION = 24


def _categorical() -> Any:
    import constriction

    # perfect=False: the documented fast quantisation; without the flag it takes 1 s a token.
    return constriction.stream.model.Categorical(perfect=False)


def _as_probabilities(freqs: Freqs) -> NDArray[np.float32]:
    assert freqs.ndim == 2 and freqs.dtype == np.int32
    return (freqs - 1).astype(np.float32)


def _two_symbols(p1: Freqs) -> Freqs:
    return np.stack([(1 << _PRECISION) - p1, p1], axis=1).astype(np.int32)


class ConstrictionEncoder:
    """See `Encoder`."""

    def __init__(self) -> None:
        import constriction

        self._coder = constriction.stream.queue.RangeEncoder()
        self.ideal_bits = 0.0
        self._model = _categorical()

    def code(self, freqs: Freqs, symbols: Symbols | None) -> Symbols:
        assert symbols is not None and symbols.shape == freqs.shape[:1]
        if freqs.shape[1] > 1 and len(symbols):
            self._coder.encode(symbols.astype(np.int32), self._model, _as_probabilities(freqs))
            chosen = freqs[np.arange(len(symbols)), symbols]
            self.ideal_bits += float((_PRECISION - np.log2(chosen)).sum())
        return symbols

    def code_bits(self, p1: Freqs, bits: Symbols | None) -> Symbols:
        return self.code(_two_symbols(p1), bits)

    def size_bytes(self) -> int:
        return int(self._coder.num_words()) * 4

    def finish(self) -> bytes:
        if self._coder.is_empty():
            return b""
        # constriction ends with whole words; the interval that they lie in names itself shorter.
        count, (low, size) = self._coder.pos()
        words: NDArray[np.uint32] = self._coder.get_compressed()
        before = int.from_bytes(words[:count].astype(">u4").tobytes(), "big")
        before -= low + (1 << 32) - 1 >> 64  # the carry of its last word
        return shortest_payload(before << 64 | low, size, 32 * count + 64)


class ConstrictionDecoder:
    """See `SymbolCoder`; past the payload's end it reads zeros."""

    def __init__(self, payload: bytes) -> None:
        import constriction

        padded = payload + bytes(-len(payload) % 4)
        words = np.frombuffer(padded, ">u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)
        self._model = _categorical()

    def code(self, freqs: Freqs, symbols: Symbols | None = None) -> Symbols:
        assert symbols is None
        if freqs.shape[1] == 1 or not len(freqs):
            return np.zeros(len(freqs), np.int64)
        try:
            decoded = self._coder.decode(self._model, _as_probabilities(freqs))
        except (ValueError, AssertionError) as error:
            raise CorruptError(f"the payload does not decode: {error}") from None
        return np.asarray(decoded, np.int64)

    def code_bits(self, p1: Freqs, bits: Symbols | None = None) -> Symbols:
        return self.code(_two_symbols(p1), bits)
