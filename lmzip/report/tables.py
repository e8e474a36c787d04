"""Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from ..measure import Measurement, pool

__all__ = ["markdown_table"]

_COLUMNS = ("document", "bytes", "tokens", "archive", "bits/byte", "ideal", "bits/token", "kB/s")


def _rate(content_bytes: int, seconds: float | None) -> str:
    return f"{content_bytes / seconds / 1e3:.1f}" if seconds else "-"


def _row(m: Measurement, name: str) -> list[str]:
    rates = _rate(m.content_bytes, m.compress_s)
    if m.decompress_s is not None:
        rates += f" / {_rate(m.content_bytes, m.decompress_s)}"
    per_token = m.bits_per_token
    return [
        name,
        f"{m.content_bytes:,}",
        f"{m.tokens:,}",
        f"{m.archive_bytes:,}",
        f"{m.bits_per_byte:.4f}",
        f"{m.ideal_bits_per_byte:.4f}",
        "-" if per_token is None else f"{per_token:.3f}",
        rates,
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table that reads well as it is: names to the left, numbers to the right."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        first, *others = row
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append(f"| {' | '.join(cells)} |")
    rule = [f":{'-' * widths[0]}-", *(f"-{'-' * width}:" for width in widths[1:])]
    return [lines[0], f"|{'|'.join(rule)}|", *lines[1:]]


def markdown_table(measurements: Sequence[Measurement]) -> str:
    """A table a model, each with the sum of its documents and the sum with the model's own size."""
    parts = []
    for identity in dict.fromkeys((m.model, m.identity) for m in measurements):
        mine = [m for m in measurements if (m.model, m.identity) == identity]
        rows = [list(_COLUMNS), *(_row(m, m.document) for m in mine)]
        total = pool(mine)
        if len(mine) > 1:
            rows.append(_row(total, f"all {len(mine)}"))
        s = total.settings
        mixing = f"mixing of {s['mixing_bits']} bits" if s["mixing"] else "no mixing"
        at_once = f"{s['streams_at_once']} at once" if s["streams_at_once"] else "all at once"
        parts.append(
            f"{total.model} ({identity[1][:16]}), window {s['window']}, streams of "
            f"{s['stream_tokens']} tokens, {at_once}, blocks of {s['block_bytes']:,} bytes"
            f"{' (solid)' if s['solid'] else ''}, {mixing}\n\n"
            + "\n".join(_aligned(rows))
            + f"\n\nWith the model's own {total.model_bytes:,} bytes, once: "
            f"{total.two_part_bits_per_byte:.4f} bits/byte."
        )
    return "\n\n".join(parts)
