"""The HTML pages of `lmzip measure` and `lmzip compare`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from ..measure import (
    Comparison,
    Measurement,
    TokenTable,
    bits_by_frequency,
    bits_by_position,
)
from .content import bin_table, comparison_tables, measurement_tables
from .html import Figure, HeatMap, Table, Token, html_report
from .plots import comparison_figures, position_figure

__all__ = ["compare_figures", "compare_page", "heat_map", "measure_page"]

_POSITION_NOTE = "Bits per token against how many tokens the model had read before it."
_FREQUENCY_NOTE = "Bits per token against how often the token occurs in all documents together."


def heat_map(table: TokenTable, shown_bytes: int, whole: bool) -> HeatMap:
    """The tokens of a document's beginning, coloured by what they cost.

    Those of blocks that the model did not code show what it would have charged.
    """
    entropy = table.entropy_bits
    tokens = []
    for i, text in enumerate(table.texts):
        bits, own = float(table.bits[i]), float(table.model_bits[i])
        if math.isnan(own):  # a protocol leaves it out
            continue
        bits, own = round(own if math.isnan(bits) else bits, 3), round(own, 3)
        expected = (
            None if entropy is None or math.isnan(entropy[i]) else round(float(entropy[i]), 3)
        )
        guesses = table.alternatives[i] if table.alternatives else ()
        tokens.append(Token(text, bits, expected, guesses, None if own == bits else own))
    note = "" if whole else f"The first {shown_bytes:,} bytes, as a document of its own. "
    note += "Alternatives and entropy are the model's, before mixing with what the text repeats, "
    note += "and surprise is against them."
    if np.isnan(table.bits[~np.isnan(table.model_bits)]).any():
        note += " Some blocks were smaller without the model: there, bits are what it would charge."
    return HeatMap(table.document, table.model, tuple(tokens), note)


def _by_method(tables: Iterable[TokenTable]) -> dict[str, list[TokenTable]]:
    found: dict[str, list[TokenTable]] = {}
    for table in tables:
        found.setdefault(table.model, []).append(table)
    return found


def _token_tables(tables: Sequence[TokenTable]) -> list[Table]:
    methods = _by_method(tables)
    if not methods:
        return []
    positions = {name: bits_by_position(mine) for name, mine in methods.items()}
    frequencies = {name: bits_by_frequency(mine) for name, mine in methods.items()}
    return [
        bin_table("Bits by position", "tokens read", positions, _POSITION_NOTE),
        bin_table("Bits by frequency", "occurrences", frequencies, _FREQUENCY_NOTE),
    ]


def _position_figures(tables: Sequence[TokenTable]) -> list[Figure]:
    if not tables:
        return []
    return [position_figure({n: bits_by_position(t) for n, t in _by_method(tables).items()})]


def measure_page(
    measurements: Sequence[Measurement],
    tables: Sequence[TokenTable],
    heat_maps: Sequence[HeatMap],
    *,
    command: str,
) -> str:
    """What `lmzip measure` found. Raises UsageError if matplotlib is not installed."""
    return html_report(
        "Bits per byte",
        f"{len({m.document for m in measurements})} documents. Sizes are those of archives, with "
        "headers and checksums; ideal bits are the information under a model's predictions.",
        tables=[*measurement_tables(measurements), *_token_tables(tables)],
        figures=_position_figures(tables),
        heat_maps=heat_maps,
        footer=f"Made by: {command}",
    )


def compare_figures(comparison: Comparison, tables: Sequence[TokenTable]) -> list[Figure]:
    """All plots of a comparison. Raises UsageError if matplotlib is not installed."""
    return [
        *comparison_figures(comparison),
        *_position_figures(_compared(comparison, tables)),
    ]


def _compared(comparison: Comparison, tables: Sequence[TokenTable]) -> list[TokenTable]:
    """Those of the documents that all methods have measured."""
    return [table for table in tables if table.document in comparison.documents]


def compare_page(
    comparison: Comparison,
    tables: Sequence[TokenTable],
    figures: Sequence[Figure],
    heat_maps: Sequence[HeatMap],
    *,
    command: str,
) -> str:
    """What `lmzip compare` found; of `tables`, those of documents that are compared."""
    total = comparison.methods[0]
    best = total.model
    shown = comparison_tables(comparison)
    return html_report(
        "Compressors compared",
        f"{len(comparison.methods)} methods on {len(comparison.documents)} documents of "
        f"{total.content_bytes:,} bytes together. Smallest: {best}, "
        f"{total.bits_per_byte:.4f} bits per byte.",
        tables=[*shown[:3], *_token_tables(_compared(comparison, tables)), *shown[3:]],
        figures=figures,
        heat_maps=heat_maps,
        footer=f"Made by: {command}",
    )
