"""What is learned of how far to trust whom: maps, two layers of weights, curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .cells import Cell
from .shape import FOLLOWER_CELLS, INPUTS, SETS, Shape
from .tables import LOGIT_LIMIT, squash

if TYPE_CHECKING:
    from .interface import MixingStart

__all__ = ["GENERAL_WEIGHTS", "Maps", "Network"]

GENERAL_WEIGHTS = (
    3577, 118, 245, 169,
    72, 17, -45, 133, 105, -109, 8, 256, -93, -10, 242, -57,
    -13, 229, -51, -12, 202, -34, -9, 240, -12, 127, 71, -96,
    94, 144, -101, 84, 327, -88, 8, 251, -40, 108, 244, -76,
    6, 79, -50, 0, 132, -6, -1, 113, -6, 85, 80, -69,
    17, 138, -35, 228, 243, -56, 117, 28, -20, 9, 116, -60,
)  # fmt: skip
"""Of every row where a model's pack has no start of its own: those of
native/mix/general_weights.inl. 4096 is a weight of 1."""

ONE = 1 << 24
_WEIGHT_LIMIT = (1 << 14) - 1
_FINAL_LIMIT = (1 << 19) - 1
_START_COUNT = 10
_FINAL_RATE = 16


def _part(numerator: int, denominator: int) -> int:
    """A quotient in units of a cell's probability."""
    return ((1 << 22) - 1) * numerator // denominator


def _limited(values: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    return np.minimum(np.maximum(values, -limit), limit)


class Maps:
    """Adaptive probabilities by what a node, a follower or the match looks like."""

    def __init__(self, shape: Shape, start: MixingStart | None) -> None:
        self._shape, self._start = shape, start
        self._made: dict[int, Cell] = {}
        """Cells that were asked for; the others are as at the start."""

    def _cell(self, number: int) -> Cell:
        """The cell of that number: histories, then followers, then matches."""
        if number not in self._made:
            self._made[number] = self._first(number)
        return self._made[number]

    def _first(self, number: int) -> Cell:
        """The cell of that number as mixing starts."""
        shape = self._shape
        if self._start is not None:
            return Cell(int(self._start.maps[number]) << 6, _START_COUNT)
        if number < shape.history_cells:
            history = number % 256
            seen = max(history.bit_length() - 1, 0)
            ones = max(history.bit_count() - 1, 0)
            return Cell(_part(5 * ones + 2, 5 * seen + 4), 0)
        number -= shape.history_cells
        if number < shape.follower_cells:
            run = number % 16
            return Cell(_part(2 * run + 1, 2 * run + 2), 2)
        return Cell(_part(4, 5), 1)

    def cells(self) -> list[Cell]:
        """All of them, in the order of a start."""
        shape = self._shape
        count = shape.history_cells + shape.follower_cells + shape.match_cells
        return [self._cell(number) for number in range(count)]

    def history(self, context: int, low: bool, history: int) -> Cell:
        """That of a context's node with these last bits, in a group of the low digit or not."""
        return self._cell((2 * context + low) * 256 + history)

    def follower(self, context: int, branched: bool, place: int, agrees: int, run: int) -> Cell:
        """How often the token that followed a context does so again; `place` of the decision."""
        cell = ((8 * branched + place) * 3 + agrees) * 16 + min(run, 15)
        return self._cell(self._shape.history_cells + FOLLOWER_CELLS * context + cell)

    def match(self, length: int, decision: int, agrees: int) -> Cell:
        """How often a match of that length is right."""
        cell = (min(length, 31) * self._shape.bits + decision) * 3 + agrees
        return self._cell(self._shape.history_cells + self._shape.follower_cells + cell)


class Network:
    """Two layers of weights and three curves: inputs to a probability, and what it taught."""

    def __init__(self, shape: Shape, start: MixingStart | None) -> None:
        self._set_starts = np.array(shape.set_starts[:SETS], np.int64)
        rows = (shape.weight_rows, INPUTS)
        if start is None:
            self.weights = np.tile(np.array(GENERAL_WEIGHTS, np.int64), (rows[0], 1))
            self.finals = np.full((shape.finals, 8), 65536 // SETS, np.int64)
        else:
            self.weights = start.weights.reshape(rows).astype(np.int64) * 128
            self.finals = start.finals.reshape(shape.finals, 8).astype(np.int64) * 16
        curve = np.array([squash(128 * (j - 16)) for j in range(33)])
        kinds = shape.node_curves, shape.token_curves, shape.model_curves
        self._curves = [np.tile(curve, (n, 1)) for n in kinds]

    def predict(
        self, x: NDArray[np.int64], rows: Sequence[int], final: int, curves: Sequence[int]
    ) -> int:
        """The probability of a 1 in units of 2**-24, of inputs [INPUTS].

        `rows` [SETS] are the rows of each set of weights, `final` that of the second layer,
        `curves` those of each kind; all of them are remembered for `learn`.
        """
        self._x, self._final = x.copy(), final
        self._rows = self._set_starts + np.array(rows, np.int64)
        dots = (self.weights[self._rows] * x).sum(axis=1) >> 12
        self._mixed = _limited(dots, LOGIT_LIMIT)
        self._mixed_p = np.array([squash(m) >> 8 for m in self._mixed.tolist()])
        dot = int((self.finals[final, :SETS] * self._mixed >> 8).sum()) >> 8
        mix = min(max(dot, -LOGIT_LIMIT), LOGIT_LIMIT)
        self._p = squash(mix)
        place, weight = divmod(mix + 2048, 128)
        self._nearest = place + (weight >= 64)
        self._used = [kind[i] for kind, i in zip(self._curves, curves, strict=True)]
        total = self._p
        for curve in self._used:
            total += int(curve[place] * (128 - weight) + curve[place + 1] * weight) >> 7
        return min(max(total >> 2, 32), ONE - 32)

    def learn(self, bit: int, rate: int) -> None:
        """The bit that was predicted last has come; the rate is in units of 2**-14."""
        for curve in self._used:
            curve[self._nearest] += (bit * (ONE - 1) - curve[self._nearest]) >> 6
        target = bit * 65535
        steps = (target - self._mixed_p) * rate >> 10
        for row, e in zip(self._rows, steps.tolist(), strict=True):
            if e:  # a start's -128 stays beyond the limit until its row learns
                moved = self.weights[row] + (self._x * e + (1 << 14) >> 15)
                self.weights[row] = _limited(moved, _WEIGHT_LIMIT)
        step = (target - (self._p >> 8)) * _FINAL_RATE >> 10
        finals = self.finals[self._final, :SETS] + (self._mixed * step + (1 << 10) >> 11)
        self.finals[self._final, :SETS] = _limited(finals, _FINAL_LIMIT)
