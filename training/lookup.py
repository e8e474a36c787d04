"""k-hop look-up: texts y from which x follows by steps, and a scratchpad on which to take them.

y lists where each word leads and says where to start: ` ant fox, bee cow, ...; hen`. x is where one
is after HOPS steps, after HOPS more, and so on. A scratchpad before each of these answers holds the
first T of the steps to it: `( fox owl) yak`. So x follows from y, H(x given y) = 0, and what is not
on the scratchpad has to be done in the head.

The words are on one cycle, too long for a walk to come back to where it has been.
"""

from __future__ import annotations

import dataclasses
import functools
import json

import numpy as np
from numpy.typing import NDArray

from lmzip.models.vocabulary import byte_alphabet

from .tokenizer import PATTERN, START

WORDS = (
    "ant", "bee", "cow", "dog", "eel", "fox", "gnu", "hen",
    "jay", "koi", "moa", "owl", "pig", "rat", "sow", "yak",
)  # fmt: skip
HOPS = 4
"""From one answer to the next."""
ANSWERS = 3
LENGTHS = tuple(range(HOPS))
"""Steps that a scratchpad may hold: all but the last."""
OPEN, CLOSE, FILLER = "(", ")", "."

Tokens = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Puzzle:
    """One y and its x."""

    order: tuple[int, ...]
    """The cycle, as words' numbers, from the start on."""
    listed: tuple[int, ...]
    """In which order y lists the words, as places on the cycle."""

    @property
    def walk(self) -> tuple[int, ...]:
        """Where one is after 0, 1, 2, ... steps, up to the last answer."""
        return self.order[: HOPS * ANSWERS + 1]

    @property
    def y(self) -> str:
        size = len(self.order)
        pairs = [(self.order[i], self.order[(i + 1) % size]) for i in self.listed]
        table = ",".join(f" {WORDS[a]} {WORDS[b]}" for a, b in pairs)
        return f"{table}; {WORDS[self.order[0]]}"

    @property
    def x(self) -> str:
        return "".join(f" {WORDS[a]}" for a in self.walk[HOPS::HOPS])


def puzzles(count: int, seed: int) -> list[Puzzle]:
    """Random ones."""
    rng = np.random.default_rng(seed)
    size = len(WORDS)
    return [
        Puzzle(tuple(rng.permutation(size).tolist()), tuple(rng.permutation(size).tolist()))
        for _ in range(count)
    ]


def solve(y: str) -> str:
    """x, from y alone: the proof that nothing else is needed."""
    table, start = y.split(";")
    leads = dict(pair.split() for pair in table.split(","))
    word, found = start.strip(), ""
    for step in range(1, HOPS * ANSWERS + 1):
        word = leads[word]
        found += f" {word}" if step % HOPS == 0 else ""
    return found


@functools.cache
def tokenizer_json() -> str:
    """A tokenizer with a token for each word and the blank before it, and one for each byte."""
    letters = {byte: letter for letter, byte in byte_alphabet().items()}
    vocab = {START: 0} | {letters[byte]: byte + 1 for byte in range(256)}
    merges = []
    for word in WORDS:
        joined = letters[ord(" ")]
        for letter in word:
            merges.append([joined, letter])
            joined += letter
            vocab[joined] = len(vocab)
    byte_level = {"add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    split = {
        "type": "Split",
        "pattern": {"Regex": PATTERN},
        "behavior": "Isolated",
        "invert": False,
    }
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


VOCAB = 257 + sum(len(word) for word in WORDS)


def word_tokens() -> Tokens:
    """The tokens of all words, [WORDS]."""
    ends = np.cumsum([len(word) for word in WORDS])
    return 256 + ends


def byte_token(text: str) -> int:
    """The token of one character."""
    return ord(text) + 1


@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows of one length to train on; the start token comes first."""

    tokens: Tokens
    """[rows, length]"""
    wanted: NDArray[np.bool_]
    """[rows, length]: tokens that are to be predicted from those before them."""


def training_batch(
    rng: np.random.Generator, rows: int, length: int, fillers: float, misleading: float
) -> Batch:
    """Texts with scratchpads of `length` steps; 0: with none at all.

    A part of the scratchpads holds only dots, another wrong words: nobody is to learn to write
    these, only not to rely on them.
    """
    size, words = len(WORDS), word_tokens()
    order = np.argsort(rng.random((rows, size)), axis=1)
    listed = np.argsort(rng.random((rows, size)), axis=1)

    def at(places: Tokens) -> Tokens:
        return words[np.take_along_axis(order, places % size, axis=1)]

    def all_rows(token: int) -> Tokens:
        return np.full((rows, 1), token)

    commas = np.full((rows, size), byte_token(","))
    commas[:, -1] = byte_token(";")
    table = np.stack([at(listed), at(listed + 1), commas], axis=2).reshape(rows, 3 * size)
    walk = at(np.tile(np.arange(HOPS * ANSWERS + 1), (rows, 1)))
    kind = rng.random(rows)
    parts, wanted = [all_rows(0), table, walk[:, :1]], [np.zeros((rows, 3 * size + 2), bool)]
    for answer in range(ANSWERS):
        if length:
            steps = walk[:, answer * HOPS + 1 : answer * HOPS + 1 + length].copy()
            dots, wrong = kind < fillers, kind > 1 - misleading
            steps[dots] = byte_token(FILLER)
            steps[wrong] = words[np.argsort(rng.random((rows, size)), axis=1)[wrong, :length]]
            parts += [all_rows(byte_token(OPEN)), steps, all_rows(byte_token(CLOSE))]
            learned = np.zeros((rows, length + 2), bool)
            learned[~dots & ~wrong, 1:-1] = True
            wanted.append(learned)
        parts.append(walk[:, (answer + 1) * HOPS, None])
        wanted.append(np.ones((rows, 1), bool))
    return Batch(np.concatenate(parts, axis=1), np.concatenate(wanted, axis=1))
