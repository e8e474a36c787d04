"""Lines with their intervals: any number against any other."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from .html import Figure
from .plots import _COLOURS, INK, _axes, _label

__all__ = ["Curve", "curves_figure", "standalone_svg"]


@dataclasses.dataclass(frozen=True)
class Curve:
    """Points by ascending x."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    """Ends of the intervals about y."""
    high: Sequence[float]
    colour: int = 0
    dashed: bool = False


def curves_figure(
    title: str,
    labels: tuple[str, str],
    curves: Sequence[Curve],
    note: str = "",
    *,
    logarithmic: bool = False,
    log_y: bool = False,
    bare_dashes: bool = False,
) -> Figure:
    """A figure of them all; `labels` are those of x and y. With `bare_dashes`, dashed lines have no
    marks.

    Raises UsageError if matplotlib is not installed.
    """
    with _axes(*labels) as (axes, drawn):
        for curve in curves:
            colour = _COLOURS[curve.colour % len(_COLOURS)]
            style, alpha = ("o--", 0.7) if curve.dashed else ("o-", 1.0)
            style = "--" if curve.dashed and bare_dashes else style
            label = _label(curve.name)
            axes.plot(curve.x, curve.y, style, color=colour, label=label, markersize=4, alpha=alpha)
            axes.vlines(curve.x, curve.low, curve.high, color=colour, alpha=0.5)
        if logarithmic:
            axes.set_xscale("log")
        elif all(x == int(x) for curve in curves for x in curve.x):
            axes.xaxis.get_major_locator().set_params(integer=True)
        if log_y:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
        axes.legend(fontsize=8)
    return Figure(title, drawn[0], note)


def standalone_svg(figure: Figure) -> str:
    """The figure as a file's contents, on white."""
    head, rest = figure.svg.split(">", 1)
    return f"{head}><style>svg {{ background: #fff; color: {INK} }}</style>{rest}"
