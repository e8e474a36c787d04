"""A distance matrix drawn: a heat map in the order of its tree, and the tree beside it."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

from ..report.plots import INK, _axes, _label

if TYPE_CHECKING:
    from ..complexity.distance import DistanceMatrix, Tree

__all__ = ["heat_map_svg"]

_WIDTH, _ROW, _TALLEST, _REST = 8.5, 0.2, 36.0, 1.6
"""Inches: of the figure, of a row, of all rows, and what else is below them."""
_FONT_POINTS = 8.0
_MOST_NUMBERS = 12
"""Documents up to which distances are written into the cells."""
_MOST_PATHS = 64
"""Documents up to which cells are drawn one by one."""


def _short_names(names: tuple[str, ...]) -> list[str]:
    """Names without the folder that they share."""
    folders = [os.path.dirname(name) for name in names]
    if len({os.path.isabs(folder) for folder in folders}) > 1 or "" in folders:
        return list(names)
    return [os.path.relpath(name, os.path.commonpath(folders)) for name in names]


def heat_map_svg(matrix: DistanceMatrix, tree: Tree) -> str:
    """An SVG file. Raises UsageError if matplotlib is not installed.

    Colours span the distances off the diagonal; on it they may be off the scale.
    """
    import numpy as np

    values = np.array(matrix.rows)[np.ix_(tree.order, tree.order)]
    names = _short_names(matrix.names)
    labels = [_label(names[i]) for i in tree.order]
    with warnings.catch_warnings(), _axes("", "") as (first, drawn):
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the reader's fonts count
        figure = first.figure
        figure.clear()
        rows = min(_TALLEST, max(1.2, _ROW * len(labels)))
        figure.set_size_inches(_WIDTH, rows + _REST)
        left, right = figure.subplots(1, 2, width_ratios=(1, 2), sharey=True)
        _draw_tree(left, tree)
        _draw_cells(right, values, labels, min(_FONT_POINTS, 0.75 * 72 * rows / len(labels)))
        figure.suptitle(_title(matrix), fontsize=10)
    style = f"<style>svg {{ background: #fff; color: {INK} }}</style>"
    head, rest = drawn[0].split(">", 1)
    return f"{head}>{style}{rest}"


def _title(matrix: DistanceMatrix) -> str:
    rows = ", rows given columns" if matrix.metric == "cond" else ""
    return _label(f"{matrix.metric.upper()} by {matrix.coder}{rows}")


def _draw_tree(axes: Any, tree: Tree) -> None:
    for places, heights in tree.branches:
        axes.plot(heights, places, color=INK, linewidth=1)
    # Junctions are often far from zero and close to each other: the axis shows where they are.
    joints = [max(heights) for _, heights in tree.branches]
    low, high = min(joints), max(joints)
    room = (high - low or abs(high) or 1.0) / 8
    axes.set_xlim(high + room, low - room)
    axes.set_xlabel("mean distance where clusters join")
    axes.tick_params(axis="y", left=False, labelleft=False)
    axes.spines["left"].set_visible(False)


def _draw_cells(axes: Any, values: Any, labels: list[str], font_points: float) -> None:
    import numpy as np

    count = len(labels)
    others = values[~np.eye(count, dtype=bool)]
    low, high = float(others.min()), float(others.max())
    below, above = values.min() < low, values.max() > high
    edges = np.arange(count + 1) - 0.5
    cells = axes.pcolormesh(
        edges, edges, values, cmap="viridis", vmin=low, vmax=high, rasterized=count > _MOST_PATHS
    )
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_xlabel("the same order")
    axes.yaxis.tick_right()
    axes.tick_params(axis="y", right=False, labelright=True, labelleft=False)
    axes.set_yticks(range(count), labels, fontsize=font_points)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}
    axes.figure.colorbar(
        cells, ax=axes, location="bottom", extend=extend[int(below), int(above)], aspect=40
    )
    if count > _MOST_NUMBERS:
        return
    for (row, column), value in np.ndenumerate(values):
        light = value > (low + high) / 2
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6.5,
                  color="#000" if light else "#fff")  # fmt: skip
