"""Figures by matplotlib, as SVG. Text and axes take the colour of the page that they stand on."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..extras import require_packages
from ..files import atomic_output
from ..measure import Comparison, Measurement, fit_power_law
from ..measure.comparison import sized_methods
from ..measure.tokens import Bin
from .html import Figure

__all__ = ["comparison_figures", "position_figure", "require_matplotlib", "save_figures"]

INK = "#010203"
"""Stands for the colour of the text; `html_report` puts it in."""
_COLOURS = ("#3b7dd8", "#d9822b", "#2ca37b", "#b4559c", "#8a7f2f", "#c14b4b", "#6b6fd1", "#5f8f9e")
"""Told apart by the colour-blind, and seen on white and on black."""


def require_matplotlib() -> None:
    """Raises MissingPackageError if it is not installed: better before hours of measuring."""
    require_packages("plots", "matplotlib")


@contextlib.contextmanager
def _axes(x_label: str, y_label: str) -> Iterator[tuple[Any, list[str]]]:
    """Axes to draw on, and a list into which the finished SVG comes."""
    require_matplotlib()
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    style: Any = {
        "svg.fonttype": "none", "svg.hashsalt": "lmzip", "font.family": "sans-serif",
        "text.color": INK, "axes.edgecolor": INK, "axes.labelcolor": INK, "xtick.color": INK,
        "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False,
        "legend.frameon": False, "savefig.transparent": True,
    }  # fmt: skip
    drawn: list[str] = []
    with matplotlib.rc_context(style):
        figure = Canvas(figsize=(7.2, 4.4), layout="constrained")
        axes = figure.add_subplot()
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.grid(alpha=0.15, color=INK)
        yield axes, drawn
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    drawn.append(svg[svg.index("<svg") :])


_LABEL_POINTS = 8
_LONGEST_LABEL = 40
_PLACES = ((7, 4), (7, -11), (-7, 4), (-7, -11), (7, 15), (7, -22), (-7, 15), (-7, -22))
"""Where a label may stand from its point, in points of print, the best first."""


def _label(text: str) -> str:
    """A name as it can be printed: one line, not too long, no formula."""
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    text = text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"
    return text.replace("$", "\\$")


def _write_labels(axes: Any, points: list[tuple[float, float]], names: list[str]) -> None:
    """Names beside their points, each where it covers no point and no other name if it can."""
    figure = axes.figure
    figure.draw_without_rendering()  # which settles what is where
    scale = 72 / figure.dpi
    spots = axes.transData.transform(points) * scale
    height = 1.3 * _LABEL_POINTS
    taken = [(x - 4, y - 4, x + 4, y + 4) for x, y in spots]
    for point, (x, y), name in zip(points, spots, map(_label, names), strict=True):
        width = 0.55 * _LABEL_POINTS * len(name)
        boxes = []
        for right, up in _PLACES:
            left = x + right if right > 0 else x + right - width
            boxes.append((left, y + up - 2, left + width, y + up - 2 + height))
        covered = [sum(_overlap(box, other) for other in taken) for box in boxes]
        best = covered.index(min(covered))
        taken.append(boxes[best])
        axes.annotate(
            name, point, xytext=_PLACES[best], textcoords="offset points", fontsize=_LABEL_POINTS,
            ha="left" if _PLACES[best][0] > 0 else "right",
        )  # fmt: skip


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """The area that two boxes (left, bottom, right, top) share."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(wide, 0) * max(high, 0)


def _draw_methods(axes: Any, methods: list[Measurement], points: list[tuple[float, float]]) -> None:
    """A mark for each method: hollow where nothing was coded."""
    for i, (m, point) in enumerate(zip(methods, points, strict=True)):
        axes.plot(
            *point, "o" if m.kind != "ideal" else "D", color=_COLOURS[i % len(_COLOURS)],
            markersize=8, markerfacecolor="none" if m.kind == "ideal" else None,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.margins(x=0.18, y=0.12)


def _ratio_against_speed(comparison: Comparison) -> Figure:
    methods = list(comparison.methods[: comparison.ranked] or comparison.methods)
    points = [(m.content_bytes / m.compress_s / 1e3, m.bits_per_byte) for m in methods]
    with _axes("compression, kB/s", "bits per byte") as (axes, drawn):
        _draw_methods(axes, methods, points)
        if comparison.front:
            front = sorted(points[i] for i in comparison.front)
            axes.plot(*zip(*front, strict=True), ":", color=INK, alpha=0.5, zorder=0)
        _write_labels(axes, points, [m.model for m in methods])
    note = "Filled: sizes of files. Hollow: ideal bits. Dotted: the Pareto front. "
    note += "Lower right is better."
    return Figure("Ratio against speed", drawn[0], note)


def _scaling(comparison: Comparison) -> Figure | None:
    law = fit_power_law(comparison)
    if law is None:
        return None
    methods = [comparison.methods[i] for i in sized_methods(comparison)]
    points = [(float(m.parameters), m.bits_per_byte) for m in methods]
    with _axes("parameters", "bits per byte") as (axes, drawn):
        _draw_methods(axes, methods, points)
        sizes = [x for x, _ in points]
        line = np.geomspace(min(sizes), max(sizes), 100)
        axes.plot(line, law(line), "--", color=INK, alpha=0.6, zorder=0)
        _write_labels(axes, points, [m.model for m in methods])
    note = f"Fitted L = {law.entropy:.3f} + {law.factor:.3g} / N^{law.exponent:.3f}"
    if law.interval is not None:
        low, high = law.interval
        note += f"; 95 % bootstrap interval of the exponent over documents: {low:.3f} to {high:.3f}"
    note += f". Only {'file sizes' if law.kind == 'archive' else 'ideal bits'} are in it."
    if law.doubtful:
        note += f" This is no power law: {law.doubtful}."
    if law.saturated:
        note += (
            " There are as many coefficients as sizes: the curve goes through, it tests nothing."
        )
    return Figure("Bits per byte against parameters", drawn[0], note)


def comparison_figures(comparison: Comparison) -> list[Figure]:
    """Ratio against speed and, if there are three sizes of models, the scaling plot.

    Raises MissingPackageError if matplotlib is not installed.
    """
    return [f for f in (_ratio_against_speed(comparison), _scaling(comparison)) if f is not None]


def position_figure(bins: dict[str, list[Bin]]) -> Figure:
    """Bits per token against how much the model had read, a line a method."""
    with _axes("tokens read before (0 drawn at 1/2)", "bits per token") as (axes, drawn):
        for i, (name, found) in enumerate(bins.items()):
            middles = [np.sqrt(max(b.low, 0.5) * max(b.high, 0.5)) for b in found]
            axes.plot(middles, [b.bits_per_token for b in found], "o-", label=_label(name),
                      color=_COLOURS[i % len(_COLOURS)], markersize=4)  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.legend(fontsize=8)
    note = "Where tokenizers differ, heights cannot be compared, only shapes."
    return Figure("Bits by position", drawn[0], note)


def save_figures(figures: list[Figure], folder: Path) -> list[Path]:
    """The figures as SVG files in a folder, made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for figure in figures:
        name = figure.title.lower().replace(" ", "-")
        path = folder / f"{name}.svg"
        style = f"<style>svg {{ background: #fff; color: {INK} }}</style>"
        head, rest = figure.svg.split(">", 1)
        with atomic_output(path, overwrite=True) as out:
            out.write(f"{head}>{style}{rest}".encode())
        paths.append(path)
    return paths
