"""What a range coder does, and the fastest one there is."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..extension import extension

__all__ = ["Encoder", "Freqs", "SymbolCoder", "Symbols", "new_decoder", "new_encoder"]

Symbols = NDArray[np.int64]
Freqs = NDArray[np.int32]


class SymbolCoder(Protocol):
    """One direction of coding. Encoder and decoder have the same face, so one loop serves both."""

    def code(self, freqs: Freqs, symbols: Symbols | None) -> Symbols:
        """Code n symbols in order under freqs [n, K]; return them.

        An encoder is given the symbols, a decoder None. Raises CorruptError when decoding what no
        encoder wrote; lengths are the caller's, a payload has no end.
        """

    def code_bits(self, p1: Freqs, bits: Symbols | None) -> Symbols:
        """Code n bits in order, bit i being 1 with probability p1[i] / 2**24; return them.

        `p1` [n] are from 1 to 2**24 - 1. The same as symbols under the frequencies 2**24 - p1, p1.
        """


class Encoder(SymbolCoder, Protocol):
    """A coder that collects symbols."""

    @property
    def ideal_bits(self) -> float:
        """The information of the symbols so far: what no code could go below on average."""

    def size_bytes(self) -> int:
        """Bytes so far in whole words, about two words more than `finish` would return."""

    def finish(self) -> bytes:
        """The payload: the fewest bytes that stand for these symbols."""


def new_encoder() -> Encoder:
    """An encoder with nothing in it."""
    if extension is not None:
        from .native import NativeEncoder

        return NativeEncoder()
    from .constriction import ConstrictionEncoder

    return ConstrictionEncoder()


def new_decoder(payload: bytes) -> SymbolCoder:
    """A decoder of that payload."""
    if extension is not None:
        from .native import NativeDecoder

        return NativeDecoder(payload)
    from .constriction import ConstrictionDecoder

    return ConstrictionDecoder(payload)
