"""Figures by matplotlib, as SVG. Text and axes take the colour of the page that they stand on."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from ..measure import Comparison, fit_power_law
from ..measure.tokens import Bin
from .html import Figure

__all__ = ["comparison_figures", "position_figure", "save_figures"]

INK = "#010203"
"""Stands for the colour of the text; `html_report` puts it in."""
_COLOURS = ("#3b7dd8", "#d9822b", "#2ca37b", "#b4559c", "#8a7f2f", "#c14b4b", "#6b6fd1", "#5f8f9e")
"""Told apart by the colour-blind, and seen on white and on black."""


@contextlib.contextmanager
def _axes(x_label: str, y_label: str) -> Iterator[tuple[Any, list[str]]]:
    """Axes to draw on, and a list into which the finished SVG comes."""
    try:
        import matplotlib
    except ImportError:
        raise UsageError("plots need the package matplotlib") from None
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


def _ratio_against_speed(comparison: Comparison) -> Figure:
    with _axes("compression, kB/s", "bits per byte") as (axes, drawn):
        points = []
        for i, m in enumerate(comparison.methods):
            speed = m.content_bytes / m.compress_s / 1e3
            points.append((speed, m.bits_per_byte))
            axes.plot(
                speed, m.bits_per_byte, "o" if m.kind != "ideal" else "D",
                color=_COLOURS[i % len(_COLOURS)], markersize=8,
                markerfacecolor="none" if m.kind == "ideal" else None,
            )  # fmt: skip
            axes.annotate(
                m.model, points[-1], xytext=(7, 4), textcoords="offset points", fontsize=8
            )
        front = sorted(points[i] for i in comparison.front)
        axes.plot(*zip(*front, strict=True), ":", color=INK, alpha=0.5, zorder=0)
        axes.set_xscale("log")
        axes.margins(x=0.18, y=0.12)
    note = "Filled: sizes of files. Hollow: ideal bits. Dotted: the Pareto front. "
    note += "Lower right is better."
    return Figure("Ratio against speed", drawn[0], note)


def _scaling(comparison: Comparison) -> Figure | None:
    sized = [i for i, m in enumerate(comparison.methods) if m.parameters]
    law = fit_power_law(comparison, sized)
    if law is None:
        return None
    with _axes("parameters", "bits per byte") as (axes, drawn):
        for i in sized:
            m = comparison.methods[i]
            axes.plot(m.parameters, m.bits_per_byte, "o" if m.kind != "ideal" else "D",
                      color=_COLOURS[i % len(_COLOURS)], markersize=8,
                      markerfacecolor="none" if m.kind == "ideal" else None)  # fmt: skip
            axes.annotate(m.model, (m.parameters, m.bits_per_byte), xytext=(7, 4),
                          textcoords="offset points", fontsize=8)  # fmt: skip
        sizes = [comparison.methods[i].parameters for i in sized]
        line = np.geomspace(min(sizes), max(sizes), 100)
        axes.plot(line, law(line), "--", color=INK, alpha=0.6, zorder=0)
        axes.set_xscale("log")
        axes.margins(x=0.18, y=0.12)
    low, high = law.interval
    note = (
        f"Fitted L = {law.entropy:.3f} + {law.factor:.3g} / N^{law.exponent:.3f}; 95 % bootstrap "
        f"interval of the exponent over documents: {low:.3f} to {high:.3f}."
    )
    if law.saturated:
        note += (
            " There are as many coefficients as sizes: the curve goes through, it tests nothing."
        )
    return Figure("Bits per byte against parameters", drawn[0], note)


def comparison_figures(comparison: Comparison) -> list[Figure]:
    """Ratio against speed and, if there are three sizes of models, the scaling plot.

    Raises UsageError if matplotlib is not installed.
    """
    return [f for f in (_ratio_against_speed(comparison), _scaling(comparison)) if f is not None]


def position_figure(bins: dict[str, list[Bin]]) -> Figure:
    """Bits per token against how much the model had read, a line a method."""
    with _axes("tokens read before (0 drawn at 1/2)", "bits per token") as (axes, drawn):
        for i, (name, found) in enumerate(bins.items()):
            middles = [np.sqrt(max(b.low, 0.5) * max(b.high, 0.5)) for b in found]
            axes.plot(middles, [b.bits_per_token for b in found], "o-", label=name,
                      color=_COLOURS[i % len(_COLOURS)], markersize=4)  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.legend(fontsize=8)
    note = "Tokenizers differ: compare shapes between models, heights only within one."
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
        path.write_text(f"{head}>{style}{rest}", "utf-8")
        paths.append(path)
    return paths
