"""Guesses of what a stream says next: what followed the longest earlier context of its last tokens.

A wrong guess costs time and nothing else: the model has been fed it in vain, and it is dropped.
"""

from __future__ import annotations

from array import array

__all__ = ["Guesser"]

_ORDERS = (2, 3, 4, 6, 8, 12, 16)
"""Lengths in tokens of the contexts that the tables hold."""

_TABLE_BITS, _KEPT_BITS = 16, 18

_LONGEST = 32
"""Equal tokens that are counted, at most."""

_CLASS = (0, 0, 0, 1, 2, 3, 3, 4, 4, *[5] * 4, *[6] * 8, *[7] * 11, 8)
"""The class of a context by how many of its tokens are equal."""

_ROW_COST = 0.13
"""What one more token costs in a pass of few tokens, as a part of the pass (SmolLM2, two cores)."""


class Guesser:
    """Guesses for some streams, and how often guesses after such contexts have been right.

    Its size is bounded: of every stream it keeps the last 2**18 tokens.
    """

    def __init__(self, streams: int, *, row_cost: float = _ROW_COST) -> None:
        self._row_cost = row_cost
        self._mask = (1 << _KEPT_BITS) - 1
        self._past = [array("i") for _ in range(streams)]
        self._count = [0] * streams
        self._keys: list[list[int]] = [[] for _ in range(streams)]
        """The places of each stream's present contexts in the tables, the shortest first."""
        self._tables = [array("q", bytes(8 << _TABLE_BITS)) for _ in _ORDERS]
        self._right, self._tried = [1.0] * (_CLASS[-1] + 1), [2.0] * (_CLASS[-1] + 1)

    def add(self, stream: int, token: int) -> None:
        """The stream goes on with a token."""
        past, count = self._past[stream], self._count[stream]
        here = (count + 1) * len(self._past) + stream
        for table, key in zip(self._tables, self._keys[stream], strict=False):
            table[key] = here
        if count <= self._mask:
            past.append(token)
        else:
            past[count & self._mask] = token
        self._count[stream] = count + 1
        self._keys[stream] = self._contexts(stream)

    def _contexts(self, stream: int) -> list[int]:
        past, last, mask = self._past[stream], self._count[stream] - 1, self._mask
        keys: list[int] = []
        h = 0
        for back in range(min(last + 1, _ORDERS[-1])):
            h = (h + past[last - back & mask] + 1) * 0x9E3779B1 & 0xFFFFFFFF
            h ^= h >> 15
            if back + 1 == _ORDERS[len(keys)]:
                keys.append(h & ((1 << _TABLE_BITS) - 1))
        return keys

    def _equal(self, stream: int, other: int, index: int) -> int:
        """How many tokens before the other stream's index are the last ones of the stream."""
        mine, theirs, count = self._past[stream], self._past[other], self._count[stream]
        most = min(_LONGEST, index, count, self._mask + 1 - (self._count[other] - index))
        equal = 0
        while (
            equal < most
            and theirs[index - 1 - equal & self._mask] == mine[count - 1 - equal & self._mask]
        ):
            equal += 1
        return equal

    def guess(self, stream: int, most: int) -> tuple[list[int], int]:
        """At most `most` tokens that the stream may go on with, and the length of the context.

        There are as many as are worth feeding, by how often such guesses have been right.
        """
        best, source, start = 1, 0, 0
        for table, key in zip(self._tables, self._keys[stream], strict=False):
            index, other = divmod(table[key], len(self._past))
            if index and (equal := self._equal(stream, other, index - 1)) > best:
                best, source, start = equal, other, index - 1
        tokens: list[int] = []
        if best < 2:
            return tokens, 0
        past, count = self._past[source], self._count[source]
        chance, expected, cost = 1.0, 1.0, 1.0
        while len(tokens) < most:
            kind = _CLASS[min(best + len(tokens), _LONGEST)]
            chance *= self._right[kind] / self._tried[kind]
            if chance * cost < self._row_cost * expected:
                break
            expected += chance
            cost += self._row_cost
            index = start + len(tokens)
            # What reaches the stream's end goes on with its own guesses.
            tokens.append(past[index & self._mask] if index < count else tokens[index - count])
        return tokens, best

    def learn(self, equal: int, right: bool) -> None:
        """A guess after a context of so many equal tokens was right or not."""
        kind = _CLASS[min(equal, _LONGEST)]
        self._right[kind] += right
        self._tried[kind] += 1
        if self._tried[kind] > 200:
            self._right[kind] /= 2
            self._tried[kind] /= 2
