"""Tokens of side information, by the token table alone: FORMAT.md, "Side information".

A decoder has to find the very tokens that the encoder found, years later and without the library
that the model's tokenizer was written for. Pieces by a fixed rule and merging by ascending id are
what byte-pair encodings do, but for rare characters.
"""

from __future__ import annotations

import functools
import itertools
import re

import numpy as np
from numpy.typing import NDArray

from .vocabulary import Vocabulary

__all__ = ["MAX_SIDE_BYTES", "MAX_SIDE_TOKENS", "SPLITTINGS", "best_splitting", "side_tokens"]

MAX_SIDE_BYTES = 1 << 20
"""Of side information, its last bytes are turned into tokens."""
MAX_SIDE_TOKENS = 1 << 18
"""Of those, so many last ones are used."""

_LETTER = rb"[A-Za-z\x80-\xff]"
_OTHER = rb"[^\sA-Za-z0-9\x80-\xff]"
_BLANK = rb"[^\S\r\n]"

SPLITTINGS = {
    1: re.compile(
        rb"'(?:s|t|re|ve|m|ll|d)| ?%(letter)s{1,64}|[0-9]| ?%(other)s{1,64}"
        rb"|\s{1,64}(?=[0-9])|\s{1,64}(?!\S)|\s{1,64}" % {b"letter": _LETTER, b"other": _OTHER}
    ),
    2: re.compile(
        rb"'(?i:[sdmt]|ll|ve|re)(?!%(letter)s)|[^\r\nA-Za-z0-9\x80-\xff]?%(letter)s{1,64}"
        rb"| ?[0-9]{1,2}| ?%(other)s{1,64}[\r\n]{0,64}|%(blank)s{0,64}(?:\r?\n){1,64}"
        rb"|%(blank)s{1,64}(?=%(blank)s\S)|\s{1,64}"
        % {b"letter": _LETTER, b"other": _OTHER, b"blank": _BLANK}
    ),
}
"""Rules of splitting into pieces: GPT-2's with single digits, and that of lmzip's own models. No
repetition is unbounded, so that no text takes longer than others."""

_NO_TOKEN = 1 << 32
"""Above all ids."""


def _merge(piece: bytes, ids: dict[bytes, int]) -> list[int]:
    """A piece's tokens: the neighbours that make the token of the smallest id join first."""
    parts = [piece[i : i + 1] for i in range(len(piece))]
    pairs = [ids.get(a + b, _NO_TOKEN) for a, b in itertools.pairwise(parts)]
    while pairs and (token := min(pairs)) < _NO_TOKEN:
        i = pairs.index(token)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
        del pairs[i]
        if i > 0:
            pairs[i - 1] = ids.get(parts[i - 1] + parts[i], _NO_TOKEN)
        if i < len(pairs):
            pairs[i] = ids.get(parts[i] + parts[i + 1], _NO_TOKEN)
    return [ids[part] for part in parts]


def side_tokens(vocabulary: Vocabulary, text: bytes, splitting: int) -> NDArray[np.int64]:
    """The side tokens [n] of a text, by the rule of that number."""
    ids = vocabulary.ids
    merged = functools.cache(lambda piece: _merge(piece, ids))
    found: list[int] = []
    for match in SPLITTINGS[splitting].finditer(text[-MAX_SIDE_BYTES:]):
        found += merged(match[0])
    return np.array(found[-MAX_SIDE_TOKENS:], np.int64)


def best_splitting(vocabulary: Vocabulary, text: bytes, tokens: NDArray[np.int64]) -> int:
    """The rule whose tokens of `text` are most like these, the ones of the model's tokenizer."""

    def starts(ids: NDArray[np.int64]) -> set[int]:
        """Counted from the end: side tokens may begin behind the text's beginning."""
        return set(np.cumsum([len(vocabulary.tokens[i]) for i in ids[::-1].tolist()]).tolist())

    wanted = starts(tokens)
    return min(
        SPLITTINGS, key=lambda rule: len(wanted ^ starts(side_tokens(vocabulary, text, rule)))
    )
