"""Bytes to tokens, total on all bytes, checked by turning them back.

Valid UTF-8 goes through the model's tokenizer, everything else through byte tokens. The decoder
never runs any of this: any token sequence whose bytes concatenate to the text is a right answer, so
another version of the tokenizer library may cost bits, never correctness.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError
from .vocabulary import Vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer as _Backend

__all__ = ["Tokenizer", "utf8_stretches"]

_SMALLEST_SPLIT = 16
"""Characters below which a stretch that does not round-trip becomes byte tokens."""

_LONGEST_STRETCH = 1 << 16
"""Characters handed to the tokenizer at once."""


def utf8_stretches(data: bytes) -> list[tuple[bool, int, int]]:
    """Cut `data` into maximal stretches (valid UTF-8 or not, first byte, end)."""
    stretches: list[tuple[bool, int, int]] = []

    def add(valid: bool, start: int, end: int) -> None:
        if start == end:
            return
        if stretches and stretches[-1][0] == valid:
            stretches[-1] = (valid, stretches[-1][1], end)
        else:
            stretches.append((valid, start, end))

    position = 0
    view = memoryview(data)
    while position < len(data):
        # A window at a time: each error restarts the decoder, which must not rescan the rest.
        window = view[position : position + _LONGEST_STRETCH]
        final = position + len(window) == len(data)
        try:
            _, used = codecs.utf_8_decode(window, "strict", final)
            if used == 0:  # cannot happen: a window is longer than any character
                raise AssertionError("no progress")
            add(True, position, position + used)
            position += used
        except UnicodeDecodeError as error:
            add(True, position, position + error.start)
            add(False, position + error.start, position + error.end)
            position += error.end
    return stretches


def _of_the_library(error: BaseException) -> bool:
    """Whether the tokenizers library has failed: it raises bare Exceptions, and its Rust panics."""
    return not isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit | MemoryError)


class Tokenizer:
    """A model's tokenizer and its token table."""

    def __init__(self, vocabulary: Vocabulary, tokenizer_json: str) -> None:
        self.vocabulary = vocabulary
        self._json = tokenizer_json
        self._backend: _Backend | None = None
        self._byte_ids = np.array([vocabulary.byte_tokens[b] for b in range(256)], np.int64)

    def load(self) -> _Backend:
        """The library's tokenizer; only tokenizing needs it, and making it takes a while."""
        if self._backend is None:
            from tokenizers import Tokenizer as Backend

            try:
                self._backend = Backend.from_str(self._json)
            except BaseException as error:
                if not _of_the_library(error):
                    raise
                raise CorruptError(f"the model's tokenizer cannot be loaded: {error}") from None
        return self._backend

    def tokenize(self, data: bytes) -> NDArray[np.int64]:
        """Tokens whose bytes concatenate to exactly `data`."""
        parts: list[NDArray[np.int64]] = []
        for valid, start, end in utf8_stretches(data):
            if not valid:
                parts.append(self._bytes(data[start:end]))
                continue
            text = data[start:end].decode()
            for first in range(0, len(text), _LONGEST_STRETCH):
                self._stretch(text[first : first + _LONGEST_STRETCH], parts)
        ids = np.concatenate(parts) if parts else np.empty(0, np.int64)
        assert self.vocabulary.detokenize(ids) == data
        return ids

    def _bytes(self, data: bytes) -> NDArray[np.int64]:
        return self._byte_ids[np.frombuffer(data, np.uint8)]

    def _stretch(self, text: str, parts: list[NDArray[np.int64]]) -> None:
        """Append tokens for `text`; halve what does not round-trip until bytes are cheaper."""
        ids = self._encode(text)
        if ids is not None:
            parts.append(ids)
        elif len(text) <= _SMALLEST_SPLIT:
            parts.append(self._bytes(text.encode()))
        else:
            middle = len(text) // 2
            self._stretch(text[:middle], parts)
            self._stretch(text[middle:], parts)

    def _encode(self, text: str) -> NDArray[np.int64] | None:
        """The tokenizer's answer if its bytes are exactly the text's, else None."""
        backend = self.load()
        try:
            ids = backend.encode(text, add_special_tokens=False).ids
        except BaseException as error:  # bytes are tokens in any case
            if not _of_the_library(error):
                raise
            return None
        table = self.vocabulary.tokens
        if any(i >= len(table) or not table[i] for i in ids):
            return None
        if b"".join([table[i] for i in ids]) != text.encode():
            return None
        return np.array(ids, np.int64)
