"""Training sequences from tables of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .loop import Place, generator

__all__ = ["Rows"]


class Rows:
    """Training sequences from rows of tokens: a `Source`.

    Rows come in groups of 64 in a random order, anew every epoch; a group's rows are cut into
    sequences of the wanted length, which are shuffled.
    """

    GROUP = 64

    def __init__(self, shards: Sequence[NDArray[np.unsignedinteger[Any]]], seed: int) -> None:
        """`shards` are [rows, row] tokens each."""
        self.shards, self.seed = shards, seed
        self._cached: tuple[tuple[int, ...], NDArray[np.int64]] | None = None

    def _group(self, place: Place, length: int) -> NDArray[np.int64]:
        """The sequences [count, length] of the group at `place`."""
        key = (place.epoch, place.shard, place.group, length)
        if self._cached is None or self._cached[0] != key:
            shard = self.shards[place.shard]
            order = generator("order", self.seed, place.epoch, place.shard)
            first = place.group * self.GROUP
            rows = order.permutation(len(shard))[first : first + self.GROUP]
            sequences = shard[np.sort(rows)].astype(np.int64).reshape(-1, length)
            shuffle = generator("sequences", self.seed, *key)
            self._cached = key, sequences[shuffle.permutation(len(sequences))]
        return self._cached[1]

    def next(self, place: Place, count: int, length: int) -> NDArray[np.int64]:
        """The next sequences [count, length]; moves `place` on."""
        out: list[NDArray[np.int64]] = []
        while count:
            group = self._group(place, length)
            taken = group[place.index : place.index + count]
            out.append(taken)
            count -= len(taken)
            place.index += len(taken)
            if place.index >= len(group):
                self.skip_group(place)
        return np.concatenate(out)

    def skip_group(self, place: Place) -> None:
        """Move to the next group, shard or epoch."""
        place.group, place.index = place.group + 1, 0
        if place.group * self.GROUP >= len(self.shards[place.shard]):
            place.shard, place.group = place.shard + 1, 0
        if place.shard >= len(self.shards):
            place.epoch, place.shard = place.epoch + 1, 0
