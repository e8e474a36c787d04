"""Homes: x is the word where one comes to stay.

` ant fox, bee bee, cow ant, ...; cow`: some words lead to themselves, and x is the one of them that
is reached from the start, after one to HOPS steps. The scratchpad `( ant fox fox)` holds the first
of them; who has arrived stays.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from .lookup import CLOSE, FILLER, OPEN, Batch, Rows, Task, Tokens, byte_token, word_tokens

WORDS = (
    "ant", "bee", "cow", "dog", "eel", "fox", "gnu", "hen", "ide", "jay",
    "koi", "moa", "nit", "owl", "pig", "rat", "sow", "tod", "yak", "zho",
)  # fmt: skip
HOMES = 8
"""Words that lead to themselves."""
HOPS = 4
"""Steps from the farthest words to one of them; the others are equally many at each distance."""
_EACH = (len(WORDS) - HOMES) // HOPS
_PRACTICE_STEPS = 3

_TOKENS = word_tokens(WORDS)


def _maps(rng: np.random.Generator, rows: int) -> tuple[Tokens, Tokens]:
    """Where each word leads, [rows, WORDS], and all words by their distance [rows, WORDS]."""
    order = np.argsort(rng.random((rows, len(WORDS))), axis=1)
    leads = np.empty_like(order)
    np.put_along_axis(leads, order[:, :HOMES], order[:, :HOMES], axis=1)
    nearer = order[:, :HOMES]
    for hop in range(HOPS):
        here = order[:, HOMES + hop * _EACH : HOMES + (hop + 1) * _EACH]
        targets = rng.integers(nearer.shape[1], size=here.shape)
        np.put_along_axis(leads, here, np.take_along_axis(nearer, targets, axis=1), axis=1)
        nearer = here
    return leads, order


def _starts(rng: np.random.Generator, order: Tokens, hops: Tokens) -> Tokens:
    """For each row a word so many steps away, [rows, 1]; `hops` [rows, 1] count from 1."""
    places = HOMES + (hops - 1) * _EACH + rng.integers(_EACH, size=hops.shape)
    return np.take_along_axis(order, places, axis=1)


def _cycles(rng: np.random.Generator, rows: int) -> Tokens:
    """Where each word leads, all words on one cycle, [rows, WORDS]."""
    order = np.argsort(rng.random((rows, len(WORDS))), axis=1)
    leads = np.empty_like(order)
    np.put_along_axis(leads, order, np.roll(order, -1, axis=1), axis=1)
    return leads


def _walk(leads: Tokens, start: Tokens, steps: int) -> Tokens:
    """The words on the way from `start` [rows, 1], which comes first; [rows, steps + 1]."""
    way = [start]
    for _ in range(steps):
        way.append(np.take_along_axis(leads, way[-1], axis=1))
    return np.concatenate(way, axis=1)


@dataclasses.dataclass(frozen=True)
class Puzzle:
    """One y and its x, in words' numbers."""

    leads: tuple[int, ...]
    """Where each word leads."""
    listed: tuple[int, ...]
    """In which order y lists the words."""
    start: int

    @property
    def way(self) -> tuple[int, ...]:
        """The words from the start to where x is."""
        found = [self.start]
        while self.leads[found[-1]] != found[-1]:
            found.append(self.leads[found[-1]])
        return tuple(found)

    @property
    def y(self) -> str:
        table = ",".join(f" {WORDS[i]} {WORDS[self.leads[i]]}" for i in self.listed)
        return f"{table}; {WORDS[self.start]}"

    @property
    def x(self) -> str:
        return f" {WORDS[self.way[-1]]}"


def puzzles(count: int, seed: int) -> list[Puzzle]:
    """Random ones: equally many of every number of steps."""
    rng = np.random.default_rng(seed)
    leads, order = _maps(rng, count)
    starts = _starts(rng, order, 1 + np.arange(count)[:, None] % HOPS)
    listed = np.argsort(rng.random(leads.shape), axis=1)
    return [
        Puzzle(tuple(leads[i].tolist()), tuple(listed[i].tolist()), int(starts[i, 0]))
        for i in range(count)
    ]


def solve(y: str) -> str:
    """x, from y alone: the proof that nothing else is needed."""
    table, start = y.split(";")
    leads = dict(pair.split() for pair in table.split(","))
    word = start.strip()
    while leads[word] != word:
        word = leads[word]
    return f" {word}"


def _rows(rng: np.random.Generator, leads: Tokens) -> Rows:
    """Rows that list where words lead [rows, WORDS], in random order."""
    listed = np.argsort(rng.random(leads.shape), axis=1)
    found = Rows(len(leads))
    found.add_table(_TOKENS[listed], _TOKENS[np.take_along_axis(leads, listed, axis=1)])
    return found


def practice_batch(rng: np.random.Generator, rows: int, walks: int = 8) -> Batch:
    """Texts with short walks from anywhere: single steps, which are all that there is to learn."""
    leads = _cycles(rng, rows)
    found = _rows(rng, leads)
    for _ in range(walks):
        way = _walk(leads, rng.integers(len(WORDS), size=(rows, 1)), _PRACTICE_STEPS)
        found.add(byte_token(OPEN))
        found.add(_TOKENS[way[:, :1]])
        found.add(_TOKENS[way[:, 1:]], True)
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

    Behind the first question come others about the same words. A part of the rows has dots on its
    scratchpads, another wrong words: nobody is to learn to write these, only not to rely on them.
    """
    words, size = _TOKENS, len(WORDS)
    leads, order = _maps(rng, rows)
    found = _rows(rng, leads)
    kind = rng.random(rows)
    dots, wrong = kind < fillers, kind > 1 - misleading
    for _ in range(questions):
        start = _starts(rng, order, rng.integers(1, HOPS + 1, size=(rows, 1)))
        way = words[_walk(leads, start, HOPS)]
        found.add(byte_token(";"))
        found.add(way[:, :1])
        if length:
            steps = way[:, 1 : 1 + length].copy()
            steps[dots] = byte_token(FILLER)
            steps[wrong] = words[np.argsort(rng.random((rows, size)), axis=1)[wrong, :length]]
            found.add(byte_token(OPEN))
            found.add(steps, ~dots & ~wrong)
            found.add(byte_token(CLOSE))
        found.add(way[:, -1:], True)
    return found.batch()


TASK = Task(
    name="homes",
    words=WORDS,
    hops=HOPS,
    answers=1,
    puzzles=puzzles,
    practice_batch=practice_batch,
    training_batch=training_batch,
    practice=450,
    questions=4,
    chances=(0.25, 0.25, 0.25, 0.25),
)
