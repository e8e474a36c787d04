"""What followed the contexts, in tables of bounded size (NUMERICS.md, section 13)."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

__all__ = ["Follower", "Followers", "Slot", "Slots"]

Slot = NDArray[np.uint32]
"""A place in the table of slots: word 0 is its head, word n its node n."""


def _check(key: int) -> int:
    """Which of a row's keys it is, 16 bits, never 0."""
    return key >> 48 | 1


@dataclasses.dataclass(slots=True)
class Follower:
    """The last token that followed a context, and how often in a row."""

    check: int = 0
    token: int = 0
    run: int = 0
    """Up to 255; 0 if the context has never been seen."""
    branched: bool = False
    """Whether any other token has followed the context."""


class Followers:
    """Followers by context, in rows of eight."""

    def __init__(self, bits: int) -> None:
        self._mask = (1 << bits) - 1
        self._rows: dict[int, list[Follower]] = {}

    def _row(self, key: int) -> list[Follower]:
        number = key >> 20 & self._mask
        if number not in self._rows:
            self._rows[number] = [Follower() for _ in range(8)]
        return self._rows[number]

    def find(self, key: int) -> Follower | None:
        """A copy of the context's follower, None if it has none."""
        for follower in self._row(key):
            if follower.check == _check(key):
                return dataclasses.replace(follower)
        return None

    def place(self, key: int) -> Follower:
        """The context's follower, to be changed; an empty one where that of the least use was."""
        row = self._row(key)
        for follower in row:
            if follower.check == _check(key):
                return follower
        least = min(range(8), key=lambda i: (row[i].run, row[i].branched))
        row[least] = Follower(_check(key))
        return row[least]


class Slots:
    """Slots of nodes, the decisions of one group of bits after one context.

    The table is lines of 16 words. A slot is a line, or two for groups of five bits; a line that
    was half of a large slot may become a small one, and the other way round.
    """

    _LINE = 16

    def __init__(self, bits: int) -> None:
        self._mask = (8 << bits) - 1
        self._words = np.zeros((8 << bits) * self._LINE, np.uint32)

    def find(self, key: int, group_bits: int) -> Slot:
        """The slot of that key, for a group of so many bits; an empty one if there was none."""
        lines = 2 if group_bits > 4 else 1
        line = (key >> 20 & self._mask) // lines * lines
        both = [self._slot(line, lines), self._slot(line ^ lines, lines)]
        for slot in both:
            if int(slot[0]) >> 16 == _check(key):
                return slot
        # The less used of the two makes room; the other one grows older.
        kept, loser = both if self._uses(both[1]) < self._uses(both[0]) else both[::-1]
        if self._uses(kept):
            kept[0] -= 1
        loser[:] = 0
        loser[0] = _check(key) << 16
        return loser

    @staticmethod
    def use(slot: Slot) -> None:
        """The slot has been asked, or has learned."""
        if Slots._uses(slot) < 0xFFFF:
            slot[0] += 1

    @staticmethod
    def _uses(slot: Slot) -> int:
        return int(slot[0]) & 0xFFFF

    def _slot(self, line: int, lines: int) -> Slot:
        return self._words[line * self._LINE : (line + lines) * self._LINE]
