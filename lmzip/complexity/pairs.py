"""What two texts say of each other, by the lengths of files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from .coders import Coder

__all__ = ["PairComplexity", "pair_complexity"]


@dataclasses.dataclass(frozen=True)
class PairComplexity:
    """Complexities of x and y by one coder, in bits. Upper bounds, up to the coder's own length.

    Nothing is clipped: information below zero means that what was given misled.
    """

    coder: str
    x: int
    """C(x)."""
    y: int
    x_given_y: int
    y_given_x: int
    x_then_y: int
    """C(x, y), x coded first."""
    y_then_x: int

    @property
    def joint(self) -> int:
        """The smaller of both orders; which one it is costs a bit that a file name carries."""
        return min(self.x_then_y, self.y_then_x)

    @property
    def information_about_x(self) -> int:
        """I(x : y) = C(x) - C(x given y)."""
        return self.x - self.x_given_y

    @property
    def information_about_y(self) -> int:
        return self.y - self.y_given_x

    @property
    def order_bias(self) -> int:
        """|C(x) + C(y given x) - C(y) - C(x given y)|: 0 for the true complexity, up to a log."""
        return abs(self.x + self.y_given_x - self.y - self.x_given_y)

    @property
    def ncd(self) -> float:
        """Normalised compression distance (Cilibrasi and Vitanyi, 2005)."""
        return (self.joint - min(self.x, self.y)) / max(self.x, self.y)

    @property
    def nid(self) -> float:
        """What bounds the normalised information distance (Li et al., 2004) suggest: the greater
        conditional complexity over the greater complexity."""
        return max(self.x_given_y, self.y_given_x) / max(self.x, self.y)


CODINGS_OF_EACH = 4
"""How often each of the two files is coded: alone, given the other, and with it in both orders."""


def pair_complexity(
    coder: Coder, x: bytes, y: bytes, *, progress: Callable[[int], object] | None = None
) -> PairComplexity:
    """All of it. Raises LmzipError.

    `progress` is called with the bytes coded so far, of `CODINGS_OF_EACH * (len(x) + len(y))`.
    """
    codings: tuple[tuple[str, Callable[[], int], int], ...] = (
        ("x", lambda: coder.alone(x), len(x)),
        ("y", lambda: coder.alone(y), len(y)),
        ("x_given_y", lambda: coder.given(x, y), len(x)),
        ("y_given_x", lambda: coder.given(y, x), len(y)),
        ("x_then_y", lambda: coder.joint(x, y), len(x) + len(y)),
        ("y_then_x", lambda: coder.joint(y, x), len(x) + len(y)),
    )
    found: dict[str, int] = {}
    done = 0
    for name, code, size in codings:
        found[name] = code()
        done += size
        if progress is not None:
            progress(done)
    return PairComplexity(coder=coder.name, **found)
