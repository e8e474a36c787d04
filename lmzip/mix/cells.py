"""Adaptive probabilities of single bits (NUMERICS.md, section 13, "Cells and nodes")."""

from __future__ import annotations

from .tables import RATES

__all__ = ["Cell", "node_count", "node_history", "node_learned", "node_p"]

_CELL_LIMIT = 1023
_NODE_LIMIT = 255


class Cell:
    """A probability, and how many bits it has learned from."""

    __slots__ = ("count", "value")

    def __init__(self, value: int, count: int) -> None:
        self.value = value
        """The probability of a 1 in units of 2**-22."""
        self.count = count

    @property
    def p(self) -> int:
        """The probability of a 1 in units of 2**-16."""
        return self.value >> 6

    def learn(self, bit: int) -> None:
        """The bit has come."""
        target = (1 << 22) - 1 if bit else 0
        self.value += (target - self.value) * RATES[self.count] >> 16
        self.count = min(self.count + 1, _CELL_LIMIT)


# A node is a word of 32 bits: a probability in units of 2**-16, then how many bits it has learned
# from, then the last seven of them behind a leading 1.


def node_p(node: int) -> int:
    """The probability of a 1 in units of 2**-16."""
    return node >> 16


def node_count(node: int) -> int:
    """How many bits the node has learned from, up to 255; 0 if it knows nothing."""
    return node >> 8 & 255


def node_history(node: int) -> int:
    """The last bits, up to seven, the last one lowest, behind a leading 1."""
    return node & 255


def node_learned(node: int, bit: int) -> int:
    """The node after one more bit."""
    p, count, history = node_p(node), node_count(node), node_history(node)
    if count == 0:
        p, history = 1 << 15, 1
    p += ((65535 if bit else 0) - p) * RATES[count] >> 16
    count = min(count + 1, _NODE_LIMIT)
    longer = 2 * history + bit
    history = longer if history < 128 else 128 | longer & 127
    return p << 16 | count << 8 | history
