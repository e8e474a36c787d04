"""What one stream has said, as far as contexts ask.

NUMERICS.md, section 13, "The stream's text" and "Contexts".
"""

from __future__ import annotations

from .tables import finish, fold

__all__ = ["CONTEXTS", "TOKEN_CONTEXTS", "TextState"]

CONTEXTS = 20
TOKEN_CONTEXTS = 7
"""The first ones: no token, then ever more of the last tokens."""

_KEPT = 1 << 16
"""Bytes that `above` can look back."""
_FIELDS = 1024
_DEPTH = 64
_SEPARATORS = b",\t;|\n"


def _is_letter(byte: int) -> bool:
    return chr(byte).isalpha() if byte < 128 else True


def _is_digit(byte: int) -> bool:
    return byte in b"0123456789"


class _Words:
    """The hashes of a word that has begun and of the ones before it; 0 where there is none."""

    def __init__(self) -> None:
        self.now, self.last, self.before = 0, 0, 0

    def add(self, byte: int, inside: bool) -> None:
        """A byte, which is a part of words or not."""
        if inside:
            self.now = fold(self.now, byte)
        elif self.now:
            self.now, self.last, self.before = 0, self.now, self.last


class TextState:
    """The last tokens and bytes of a stream; a new one knows nothing."""

    def __init__(self) -> None:
        self.count = 0
        """Tokens so far."""
        self.last = [0] * 8
        """The last tokens, the latest first."""
        self.bytes = bytearray()
        self.line = self.line_before = 0
        """Where in `bytes` this line begins, and the one before."""
        self.has_line_before = False
        self.first = 0
        """The first token behind the one that ended the line before, plus 1; 0: not yet."""
        self.tokens_in_line = 0
        self.words, self.names = _Words(), _Words()
        self.shape = 0
        """Kinds of the last eight bytes, the last one lowest; a run of letters is one."""
        self.field = 0
        """The hash of the field so far."""
        self.record: list[int] = []
        self.record_before: list[int] = []
        """The hashes of a line's fields that have ended."""
        self.brackets: list[int] = []
        """The hashes of what opened brackets."""

    def byte(self, back: int) -> int:
        """The last byte, or the one `back` before it; 0 where there is none."""
        return self.bytes[-1 - back] if back < len(self.bytes) else 0

    def add(self, token: int, spelling: bytes) -> None:
        """The stream goes on with this token, whose bytes these are."""
        line = self.line
        for byte in spelling:
            self._add_byte(byte)
        self.last = [token, *self.last[:-1]]
        self.count += 1
        if self.line != line:
            self.tokens_in_line = 0
        else:
            self.tokens_in_line += 1
            if self.tokens_in_line == 1:
                self.first = token + 1

    def _add_byte(self, byte: int) -> None:
        self.bytes.append(byte)
        letter, digit = _is_letter(byte), _is_digit(byte)
        self.words.add(byte + 32 if 65 <= byte <= 90 else byte, letter)
        self.names.add(byte, letter or digit or byte == ord("_"))
        kind = 1 if digit else 2 if letter else byte
        if kind != 2 or self.shape & 255 != 2:
            self.shape = (self.shape << 8 | kind) & (1 << 64) - 1
        if byte in _SEPARATORS:
            if len(self.record) < _FIELDS:
                self.record.append(self.field)
            self.field = 0
        else:
            self.field = fold(self.field, byte)
        if byte in b"([{":
            if len(self.brackets) < _DEPTH:
                self.brackets.append(fold(0, byte, self.names.last, self.names.now))
        elif byte in b")]}" and self.brackets:
            self.brackets.pop()
        if byte == ord("\n"):
            self.record_before, self.record = self.record, []
            self.line_before, self.line = self.line, len(self.bytes)
            self.has_line_before = True
            self.first = 0

    def _above(self) -> int:
        """Up to four bytes that stand above the next one in the line before, the first lowest."""
        found = 0
        start = self.line_before + len(self.bytes) - self.line
        for i, at in enumerate(range(start, start + 4)):
            if at >= self.line or at + _KEPT < len(self.bytes):
                break
            found |= self.bytes[at] << (8 * i)
        return found

    def context_keys(self) -> list[int]:
        """The keys of all contexts; 0 where the stream has none. Others are odd."""
        found: list[int] = []

        def put(there: bool, h: int) -> None:
            found.append(finish(fold(h, len(found))) | 1 if there else 0)

        last, words, names = self.last, self.words, self.names
        for tokens in (0, 1, 2, 3, 4, 6, 8):
            put(self.count >= tokens, fold(0, *last[:tokens]))
        put(self.count >= 2, fold(0, last[1]))
        put(self.count >= 3, fold(0, last[1], last[2]))
        begun = self.count > 0
        put(begun, fold(0, words.now or words.last, last[0]))
        put(begun, fold(0, words.last, words.now or words.before, last[0]))
        put(begun, fold(0, self.byte(2) << 16 | self.byte(1) << 8 | self.byte(0)))
        above = self._above() if self.has_line_before else 0
        put(self.has_line_before, fold(0, above, last[0]))
        column = len(self.record)
        over = self.record_before[column] if column < len(self.record_before) else 0
        put(begun, fold(0, column, over, self.field))
        put(begun, fold(0, column, self.field))
        bracket = self.brackets[-1] if self.brackets else 0
        put(begun, fold(0, bracket, last[0]))
        pair = (names.now, names.last) if names.now else (names.last, names.before)
        put(begun, fold(0, *pair))
        put(begun, fold(0, self.shape & (1 << 48) - 1))
        put(begun, fold(0, bracket, len(self.brackets), above & 255))
        put(self.has_line_before, fold(0, above, self.first, last[0]))
        return found
