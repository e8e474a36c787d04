"""What the two look-up tasks (`homes.py`, `orbits.py`) share: words in tokens, rows, batches.

In both, y lists where each word leads and says where to start, and x follows from it by steps: H(x
given y) = 0. A scratchpad `( ant fox)` holds the first T of the steps; what is not on it has to be
done in the head.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lmzip.models.vocabulary import byte_alphabet

from .tokenizer import PATTERN, START

OPEN, CLOSE, FILLER = "(", ")", "."

Tokens = NDArray[np.int64]


class Puzzle(Protocol):
    """One y and its x."""

    @property
    def y(self) -> str: ...

    @property
    def x(self) -> str: ...


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows of one length to train on; the start token comes first."""

    tokens: Tokens
    """[rows, length]"""
    wanted: NDArray[np.bool_]
    """[rows, length]: tokens that are to be predicted from those before them."""


@dataclasses.dataclass(frozen=True)
class Task:
    """Texts, and how to train on them."""

    name: str
    words: tuple[str, ...]
    hops: int
    """A scratchpad holds fewer steps than that."""
    answers: int
    """Words of x; the model thinks before each of them."""
    puzzles: Callable[[int, int], Sequence[Puzzle]]
    """So many random ones, of that seed."""
    practice_batch: Callable[[np.random.Generator, int], Batch]
    """So many rows of short walks from anywhere: single steps, which are all there is to learn."""
    training_batch: Callable[..., Batch]
    """So many rows with scratchpads of that length; more questions than one if asked for."""
    practice: int
    """Steps of training on walks alone, at the start."""
    questions: int
    """In each row after that."""
    chances: tuple[float, ...]
    """How often a step is on scratchpads of each length."""

    @property
    def lengths(self) -> tuple[int, ...]:
        """Steps that a scratchpad may hold."""
        return tuple(range(self.hops))


def vocabulary_size(words: tuple[str, ...]) -> int:
    """The start token, the bytes, and what the words are merged from."""
    return 257 + sum(len(word) for word in words)


def word_tokens(words: tuple[str, ...]) -> Tokens:
    """The tokens of all words, [words]."""
    return 256 + np.cumsum([len(word) for word in words])


def byte_token(text: str) -> int:
    """The token of one character."""
    return ord(text) + 1


class Rows:
    """Rows of tokens that grow to the right."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._tokens: list[Tokens] = []
        self._wanted: list[NDArray[np.bool_]] = []
        self.add(0)

    def add_table(self, words: Tokens, targets: Tokens) -> None:
        """What leads where, both [rows, n], as y lists it."""
        table = np.stack([words, targets, np.full(words.shape, byte_token(","))], axis=2)
        self.add(table.reshape(self._rows, -1)[:, :-1])

    def add(self, tokens: Tokens | int, wanted: NDArray[np.bool_] | bool = False) -> None:
        """More tokens, [rows, n] or one for all rows, and whether they are to be predicted."""
        found = np.full((self._rows, 1), tokens) if isinstance(tokens, int) else tokens
        self._tokens.append(found)
        self._wanted.append(np.broadcast_to(np.asarray(wanted).reshape(-1, 1), found.shape))

    def batch(self) -> Batch:
        """All of it."""
        return Batch(np.concatenate(self._tokens, axis=1), np.concatenate(self._wanted, axis=1))


@functools.cache
def tokenizer_json(words: tuple[str, ...]) -> str:
    """A tokenizer with a token for each word and the blank before it, and one for each byte."""
    letters = {byte: letter for letter, byte in byte_alphabet().items()}
    vocab = {START: 0} | {letters[byte]: byte + 1 for byte in range(256)}
    merges = []
    for word in words:
        joined = letters[ord(" ")]
        for letter in word:
            merges.append([joined, letter])
            joined += letter
            vocab[joined] = len(vocab)
    byte_level = {"add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    split = {
        "type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False
    }  # fmt: skip
    special = {
        "id": 0, "content": START, "single_word": False, "lstrip": False, "rstrip": False,
        "normalized": False, "special": True,
    }  # fmt: skip
    return json.dumps(
        {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": [special],
            "normalizer": None, "post_processor": None,
            "pre_tokenizer": {
                "type": "Sequence", "pretokenizers": [split, {"type": "ByteLevel", **byte_level}]
            },
            "decoder": {"type": "ByteLevel", **byte_level},
            "model": {"type": "BPE", "vocab": vocab, "merges": merges},
        }
    )  # fmt: skip
