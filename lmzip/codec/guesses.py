"""Guesses of what a stream says next: what followed the longest earlier context of its last tokens.

A wrong guess costs time and nothing else: the model has been fed it in vain, and it is dropped.
"""

from __future__ import annotations

import dataclasses
from array import array

__all__ = ["Guess", "Guesser"]

_ORDERS = (2, 3, 4, 6, 8, 12, 16)
"""Lengths in tokens of the contexts that the tables hold."""

_TABLE_BITS, _KEPT_BITS = 18, 18

_LONGEST = 32
"""Equal tokens that are counted, at most."""

_CLASS = (0, 0, 0, 1, 2, 3, 3, 4, 4, *[5] * 4, *[6] * 8, *[7] * 11, 8)
"""The class of a context by how many of its tokens are equal."""


@dataclasses.dataclass(frozen=True)
class Guess:
    """Tokens that a stream may go on with."""

    tokens: list[int]
    equal: int
    """Tokens of the context before the first one, up to 32."""
    chances: list[float]
    """Of each token to be right if those before it are."""


class Guesser:
    """Guesses for some streams, and how often guesses after such contexts have been right.

    Its size is bounded: of every stream it keeps the last 2**18 tokens.
    """

    def __init__(self, streams: int, length: int) -> None:
        """For so many streams of at most `length` tokens each."""
        self._mask = (1 << _KEPT_BITS) - 1
        self._past = [array("i") for _ in range(streams)]
        self._count = [0] * streams
        self._keys: list[list[int]] = [[] for _ in range(streams)]
        """The places of each stream's present contexts in the tables, the shortest first."""
        self._table_mask = (1 << min(_TABLE_BITS, (streams * length).bit_length())) - 1
        self._tables = [array("i", bytes(4 * (self._table_mask + 1))) for _ in _ORDERS]
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
                keys.append(h & self._table_mask)
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

    def guess(self, stream: int, most: int) -> Guess:
        """At most `most` tokens that the stream may go on with; none after an unknown context."""
        best, source, start = 1, 0, 0
        for table, key in zip(self._tables, self._keys[stream], strict=False):
            index, other = divmod(table[key], len(self._past))
            if index and (equal := self._equal(stream, other, index - 1)) > best:
                best, source, start = equal, other, index - 1
        tokens: list[int] = []
        if best < 2:
            return Guess(tokens, 0, [])
        past, count = self._past[source], self._count[source]
        for index in range(start, start + most):
            # What reaches the stream's end goes on with its own guesses.
            tokens.append(past[index & self._mask] if index < count else tokens[index - count])
        kinds = [_CLASS[min(best + i, _LONGEST)] for i in range(most)]
        return Guess(tokens, best, [self._right[kind] / self._tried[kind] for kind in kinds])

    def learn(self, guess: Guess, token: int) -> Guess:
        """What is left of a guess once its first token has come or not; notes which it was."""
        if not guess.tokens:
            return guess
        kind, right = _CLASS[min(guess.equal, _LONGEST)], guess.tokens[0] == token
        self._right[kind] += right
        self._tried[kind] += 1
        if self._tried[kind] > 200:
            self._right[kind] /= 2
            self._tried[kind] /= 2
        if not right:
            return Guess([], 0, [])
        return Guess(guess.tokens[1:], guess.equal + 1, guess.chances[1:])
