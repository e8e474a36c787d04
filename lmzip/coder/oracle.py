"""The range coder, in plain integers: the definition of the bits, and the tests' oracle.

FORMAT.md ("Range coder") says the same in words. The fast coders (`native`, `constriction`) must
produce and read exactly these bytes. The algorithm is Martin's range coder (1979) with a 64-bit
state and 32-bit words, in the form that the constriction library implements; only the end of a
payload is shorter than there.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["OracleDecoder", "OracleEncoder", "shortest_payload"]

_STATE_BITS, _WORD_BITS, _PRECISION = 64, 32, 24
_STATE, _WORD = 1 << _STATE_BITS, 1 << _WORD_BITS
_SMALLEST_RANGE = 1 << (_STATE_BITS - _WORD_BITS)


def _sum_before(freqs: Sequence[int], symbol: int) -> int:
    return sum(int(f) for f in freqs[:symbol])


def shortest_payload(bottom: int, size: int, bits: int) -> bytes:
    """The fewest bytes that name a number from `bottom` to below `bottom + size`.

    All numbers are binary fractions, in units of 2**-bits; `bits` is a multiple of 8. Bytes are the
    fraction's digits, without zeros at the end; of several numbers they name the smallest.
    """
    for count in range(bits // 8 + 1):
        unit = 1 << (bits - 8 * count)
        digits = -(-bottom // unit)
        if digits * unit < bottom + size:
            return digits.to_bytes(count, "big").rstrip(b"\0")
    raise AssertionError("the bottom itself is such a number")


class OracleEncoder:
    """Encodes symbols; `finish` returns the bytes."""

    def __init__(self) -> None:
        self._words = 0
        """Words already left behind, as one number: a carry simply adds one to it."""
        self._count = 0
        self._low = 0
        self._range = _STATE - 1
        self._empty = True

    def encode(self, symbol: int, freqs: Sequence[int]) -> None:
        """Encode one symbol; `freqs` are at least 1 and sum to 2**24."""
        scale = self._range >> _PRECISION
        low = self._low + scale * _sum_before(freqs, symbol)
        self._words += low >> _STATE_BITS
        self._low = low % _STATE
        self._range = scale * int(freqs[symbol])
        self._empty = False
        if self._range < _SMALLEST_RANGE:
            self._words = (self._words << _WORD_BITS) | (self._low >> (_STATE_BITS - _WORD_BITS))
            self._count += 1
            self._low = (self._low << _WORD_BITS) % _STATE
            self._range <<= _WORD_BITS

    def encode_bit(self, bit: int, p1: int) -> None:
        """Encode a bit that is 1 with probability p1 / 2**24, from 1 to 2**24 - 1."""
        self.encode(bit, ((1 << _PRECISION) - p1, p1))

    def finish(self) -> bytes:
        """The payload."""
        if self._empty:
            return b""
        bottom = self._words << _STATE_BITS | self._low
        return shortest_payload(bottom, self._range, self._count * _WORD_BITS + _STATE_BITS)


class OracleDecoder:
    """Decodes what OracleEncoder wrote; past the end it reads zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._low = 0
        self._range = _STATE - 1
        self._point = (self._word() << _WORD_BITS) | self._word()

    def _word(self) -> int:
        word = self._data[self._position : self._position + _WORD_BITS // 8]
        self._position += _WORD_BITS // 8
        return int.from_bytes(word.ljust(_WORD_BITS // 8, b"\0"), "big")

    def decode(self, freqs: Sequence[int]) -> int:
        """The next symbol under those frequencies."""
        scale = self._range >> _PRECISION
        quantile = ((self._point - self._low) % _STATE) // scale
        symbol, before = 0, 0
        while before + int(freqs[symbol]) <= quantile:
            before += int(freqs[symbol])
            symbol += 1
            if symbol == len(freqs):
                raise ValueError("not a stream of this coder")
        self._low = (self._low + scale * before) % _STATE
        self._range = scale * int(freqs[symbol])
        if self._range < _SMALLEST_RANGE:
            self._low = (self._low << _WORD_BITS) % _STATE
            self._range <<= _WORD_BITS
            self._point = ((self._point << _WORD_BITS) % _STATE) | self._word()
        return symbol

    def decode_bit(self, p1: int) -> int:
        """The next bit, which is 1 with probability p1 / 2**24."""
        return self.decode(((1 << _PRECISION) - p1, p1))
