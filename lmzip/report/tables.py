"""Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .html import Cell, Table

__all__ = ["markdown"]


_WIDEST = 60
"""Characters to which a column is filled up with blanks; longer texts stick out."""
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def _line(text: str) -> str:
    """What a name may hold besides letters, as Python writes it: one line, in any encoding."""
    return _UNSEEN.sub(lambda match: ascii(match[0])[1:-1], text)


def _word(text: str) -> str:
    return _line(text).replace("|", "\\|")


def _text(cell: Cell, decimals: int) -> str:
    if cell is None or cell != cell:
        return "-"
    if isinstance(cell, float):
        return f"{cell:,.{decimals}f}"
    return f"{cell:,}" if isinstance(cell, int) else _word(cell)


def _aligned(rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    """A table that reads well as it is: words to the left, numbers to the right."""
    widths = [min(max(len(row[i]) for row in rows), _WIDEST) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if flush else cell.ljust(width)
            for cell, width, flush in zip(row, widths, right, strict=True)
        ]
        lines.append(f"| {' | '.join(cells)} |")
    rule = ["-" * (width - 1) + ":" if flush else "-" * width
            for width, flush in zip(widths, right, strict=True)]  # fmt: skip
    lines.insert(1, f"| {' | '.join(rule)} |")
    return lines


def markdown(tables: Iterable[Table], *, headings: bool = False) -> str:
    """The tables below one another, each with its title before and its note behind it."""
    parts = []
    for table in tables:
        if not table.rows:
            continue
        numeric = [
            not any(isinstance(row[i], str) for row in table.rows)
            for i in range(len(table.columns))
        ]
        rows = [[_word(c) for c in table.columns]]
        rows += [
            [_text(cell, d) for cell, d in zip(row, table.column_decimals, strict=True)]
            for row in table.rows
        ]
        parts.append(("## " if headings else "") + _line(table.title))
        parts.append("\n".join(_aligned(rows, numeric)))
        if table.note:
            parts += [_line(paragraph) for paragraph in table.note.split("\n\n")]
    return "\n\n".join(parts)
