"""How a vocabulary's tokens are cut into decisions, and how many situations there are."""

from __future__ import annotations

import itertools

from .text_state import CONTEXTS

__all__ = ["FOLLOWER_CELLS", "INPUTS", "LEVELS", "SETS", "Shape"]

INPUTS = 4 + 3 * CONTEXTS
"""The model's, a constant, two of the match, three of every context."""
SETS = 6
"""Of weights, each of which mixes all inputs."""
LEVELS = 24
"""Of how sure the model is."""
FOLLOWER_CELLS = 2 * 8 * 3 * 16
"""Of a context."""


class Shape:
    """NUMERICS.md, section 13, "Decisions and groups" and "Sets"."""

    def __init__(self, vocab: int) -> None:
        self.vocab = vocab
        self.digits = (vocab + 255) // 256
        self.high_bits = (self.digits - 1).bit_length()
        self.bits = self.high_bits + 8
        """Decisions of a token."""
        count = (self.high_bits + 4) // 5
        high = [(self.high_bits + count - 1 - i) // count for i in range(count)]
        self.groups = [*high, 4, 4]
        """Decisions of each group."""
        self.high_groups = count
        """The first ones, of the high digit."""
        self.before = [0, *itertools.accumulate(self.groups)]
        """Decisions of a token before each group."""
        self.first_node = [0, *itertools.accumulate(1 << bits for bits in self.groups)]
        nodes = self.first_node[-1]
        sizes = [16 * self.bits, 8 * LEVELS, 4 * nodes, 4096, 256 * self.bits, 2048]
        self.set_starts = [0, *itertools.accumulate(sizes)]
        self.weight_rows = self.set_starts[-1]
        self.finals = self.bits * LEVELS
        self.node_curves, self.token_curves, self.model_curves = 4 * nodes, 1024, self.finals
        self.history_cells = CONTEXTS * 512
        self.follower_cells = CONTEXTS * FOLLOWER_CELLS
        self.match_cells = 32 * self.bits * 3
