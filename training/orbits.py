"""Orbits: x is where one is after HOPS steps, after HOPS more, and so on.

` ant fox, bee cow, ...; hen`: all words are on one cycle, too long for a walk to come back to where
it has been. A scratchpad stands before each answer, `( fox owl yak) pig`, and never holds one.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from .lookup import CLOSE, FILLER, OPEN, Batch, Rows, Task, Tokens, byte_token, word_tokens

WORDS = (
    "ant", "bee", "cow", "dog", "eel", "fox", "gnu", "hen",
    "jay", "koi", "moa", "owl", "pig", "rat", "sow", "yak",
)  # fmt: skip
HOPS = 4
"""From one answer to the next."""
ANSWERS = 3

_TOKENS = word_tokens(WORDS)


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


class _Rows(Rows):
    """Rows about random cycles."""

    def __init__(self, rng: np.random.Generator, rows: int) -> None:
        super().__init__(rows)
        size = len(WORDS)
        self._order = np.argsort(rng.random((rows, size)), axis=1)
        listed = np.argsort(rng.random((rows, size)), axis=1)
        self.add_table(self.at(listed), self.at(listed + 1))

    def at(self, places: Tokens) -> Tokens:
        """The words at these places [rows, n] of each row's cycle."""
        places = np.broadcast_to(places, (self._rows, places.shape[1]))
        return _TOKENS[np.take_along_axis(self._order, places % len(WORDS), axis=1)]

    def walk(self, start: Tokens, steps: int) -> Tokens:
        """The words [rows, steps + 1] from these places [rows, 1] on."""
        return self.at(start + np.arange(steps + 1))


def practice_batch(rng: np.random.Generator, rows: int, walks: int = 8) -> Batch:
    """Texts with short walks from anywhere: single steps, which are all that there is to learn."""
    found = _Rows(rng, rows)
    for _ in range(walks):
        walk = found.walk(rng.integers(len(WORDS), size=(rows, 1)), HOPS - 1)
        found.add(byte_token(OPEN))
        found.add(walk[:, :1])
        found.add(walk[:, 1:], True)
    return found.batch()


def training_batch(
    rng: np.random.Generator,
    rows: int,
    length: int,
    *,
    questions: int = 1,
    fillers: float = 0.0,
    misleading: float = 0.0,
) -> Batch:
    """Texts with scratchpads of `length` steps; 0: with none at all.

    Behind the first question come others about the same words, from anywhere. A part of the rows
    has dots on its scratchpads, another wrong words: nobody is to learn to write these, only not
    to rely on them.
    """
    found, size = _Rows(rng, rows), len(WORDS)
    kind = rng.random(rows)
    dots, wrong = kind < fillers, kind > 1 - misleading
    for _ in range(questions):
        walk = found.walk(rng.integers(size, size=(rows, 1)), HOPS * ANSWERS)
        found.add(byte_token(";"))
        found.add(walk[:, :1])
        for first in range(0, HOPS * ANSWERS, HOPS):
            if length:
                steps = walk[:, first + 1 : first + 1 + length].copy()
                steps[dots] = byte_token(FILLER)
                random = _TOKENS[np.argsort(rng.random((rows, size)), axis=1)]
                steps[wrong] = random[wrong, :length]
                found.add(byte_token(OPEN))
                found.add(steps, ~dots & ~wrong)
                found.add(byte_token(CLOSE))
            found.add(walk[:, first + HOPS, None], True)
    return found.batch()


TASK = Task(
    name="orbits",
    words=WORDS,
    hops=HOPS,
    answers=ANSWERS,
    puzzles=puzzles,
    practice_batch=practice_batch,
    training_batch=training_batch,
    practice=400,
    questions=3,
    chances=(0.1, 0.2, 0.3, 0.4),
)
