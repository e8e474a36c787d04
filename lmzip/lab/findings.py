"""What an experiment finds: expectations with their tolerances, controls, curves and a meaning."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

__all__ = ["BROKEN", "HOLDS", "MET", "OPEN", "REFUTED", "Check", "Curve", "Finding", "Plot",
           "control", "expect", "expect_range", "log_slope", "quadratic"]  # fmt: skip

MET, REFUTED = "met", "refuted"
"""Of expectations: either is a result."""
HOLDS, BROKEN = "holds", "BROKEN"
"""Of controls: a broken one means that the experiment itself cannot be trusted."""
OPEN = "not reached"
"""What was not measured in this run."""


@dataclasses.dataclass(frozen=True)
class Check:
    """A line of the table expected / tolerance / measured / verdict."""

    what: str
    expected: str
    tolerance: str
    measured: str
    verdict: str

    @property
    def is_control(self) -> bool:
        return self.verdict in (HOLDS, BROKEN)


def _shown(value: float) -> str:
    if value != value:
        return "none"
    size = abs(value)
    return f"{value:,.0f}" if size >= 1000 else f"{value:.3g}" if size < 0.1 else f"{value:.3f}"


def expect(
    what: str, expected: float, measured: float, tolerance: float, *, relative: bool = False
) -> Check:
    """Met if `measured` is within the tolerance, of `expected` itself if relative."""
    allowed = tolerance * abs(expected) if relative else tolerance
    met = math.isfinite(measured) and abs(measured - expected) <= allowed
    shown = f"± {100 * tolerance:.0f} %" if relative else f"± {_shown(tolerance)}"
    return Check(what, _shown(expected), shown, _shown(measured), MET if met else REFUTED)


def expect_range(what: str, low: float, high: float, measured: float, tolerance: str = "") -> Check:
    """Met if `measured` lies between (either end may be infinite)."""
    met = low <= measured <= high
    if math.isinf(high):
        expected = f"at least {_shown(low)}"
    elif math.isinf(low):
        expected = f"at most {_shown(high)}"
    else:
        expected = f"{_shown(low)} to {_shown(high)}"
    return Check(what, expected, tolerance or "none", _shown(measured), MET if met else REFUTED)


def control(what: str, expected: str, measured: float | str, holds: bool) -> Check:
    """A check that must hold, or the run has failed."""
    shown = measured if isinstance(measured, str) else _shown(measured)
    return Check(what, expected, "control", shown, HOLDS if holds else BROKEN)


@dataclasses.dataclass(frozen=True)
class Curve:
    """Points of a plot; theory is dashed and has no marks."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    theory: bool = False
    colour: int = 0


@dataclasses.dataclass(frozen=True)
class Plot:
    """Curves, the names of both axes, and which are logarithmic."""

    name: str
    """Of its file, without the ending."""
    title: str
    labels: tuple[str, str]
    curves: tuple[Curve, ...]
    log_x: bool = True
    log_y: bool = True
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Finding:
    """All that an experiment found."""

    experiment: str
    """E1 to E10."""
    title: str
    claim: str
    """What is tested, and whose claim it is."""
    checks: tuple[Check, ...]
    plots: tuple[Plot, ...] = ()
    meaning: str = ""
    """Two or three sentences."""

    @property
    def broken(self) -> list[Check]:
        return [check for check in self.checks if check.verdict == BROKEN]


def log_slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The slope of the least-squares line through the logarithms; NaN where y is not positive."""
    import numpy as np

    if min(y) <= 0:
        return math.nan
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def quadratic(x: Sequence[float], y: Sequence[float]) -> float:
    """The quadratic coefficient through the logarithms: 0 for a power law."""
    import numpy as np

    if min(y) <= 0:
        return math.nan
    return float(np.polyfit(np.log(x), np.log(y), 2)[0])
