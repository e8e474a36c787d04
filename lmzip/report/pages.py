"""The HTML pages of `lmzip measure` and `lmzip compare`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

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
    """The tokens of a document's beginning, coloured by what they cost."""
    entropy = table.entropy_bits
    tokens = [
        Token(
            text,
            round(float(bits), 3),
            None if entropy is None or math.isnan(entropy[i]) else round(float(entropy[i]), 3),
            table.alternatives[i] if table.alternatives else (),
        )
        for i, (text, bits) in enumerate(zip(table.texts, table.bits.tolist(), strict=True))
        if not math.isnan(bits)
    ]
    note = "" if whole else f"The first {shown_bytes:,} bytes, as a document of its own. "
    note += "Alternatives and entropy are the model's, before mixing with what the text repeats."
    return HeatMap(table.document, table.model, tuple(tokens), note)


def _by_method(tables: Iterable[TokenTable]) -> dict[str, list[TokenTable]]:
    found: dict[str, list[TokenTable]] = {}
    for table in tables:
        found.setdefault(table.model, []).append(table)
    return found


def _token_tables(tables: Sequence[TokenTable]) -> list[Table]:
    methods = _by_method(tables)
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
    return [*comparison_figures(comparison), *_position_figures(tables)]


def compare_page(
    comparison: Comparison,
    tables: Sequence[TokenTable],
    figures: Sequence[Figure],
    heat_maps: Sequence[HeatMap],
    *,
    command: str,
) -> str:
    """What `lmzip compare` found."""
    total = comparison.methods[0]
    best = total.model
    shown = comparison_tables(comparison)
    return html_report(
        "Compressors compared",
        f"{len(comparison.methods)} methods on {len(comparison.documents)} documents of "
        f"{total.content_bytes:,} bytes together. Smallest: {best}, "
        f"{total.bits_per_byte:.4f} bits per byte.",
        tables=[*shown[:3], *(_token_tables(tables) if tables else []), *shown[3:]],
        figures=figures,
        heat_maps=heat_maps,
        footer=f"Made by: {command}",
    )
