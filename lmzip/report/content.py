"""What reports show, as plain tables: Markdown and HTML are drawn from the same."""

from __future__ import annotations

from collections.abc import Sequence

from ..measure import Comparison, Measurement, pool
from ..measure.tokens import Bin
from .html import Cell, Table

__all__ = [
    "bin_table",
    "comparison_tables",
    "describe_method",
    "measurement_tables",
]

_KINDS = {"archive": "file", "classical": "file", "ideal": "ideal"}


def _rate(content_bytes: int, seconds: float | None) -> float | None:
    """Kilobytes a second."""
    return None if not seconds else content_bytes / seconds / 1e3


def describe_method(m: Measurement) -> str:
    """A line that says what stands behind a method's numbers."""
    s = m.settings
    if m.kind == "classical":
        return f"{m.identity}"
    if m.kind == "ideal":
        extra = ", ".join(f"{k} {v}" for k, v in s.items() if k not in ("protocol", "window"))
        text = f"{m.model} ({m.identity[:16]}), ideal bits, nothing is coded; protocol "
        text += f"{s['protocol']}, window {s['window']}" + (f", {extra}" if extra else "")
        if m.unscored_tokens:
            text += f"; {m.unscored_tokens:,} tokens are not scored"
        return text
    mixing = f"mixing of {s['mixing_bits']} bits" if s["mixing"] else "no mixing"
    at_once = f"{s['streams_at_once']} at once" if s["streams_at_once"] else "all at once"
    return (
        f"{m.model} ({m.identity[:16]}), window {s['window']}, streams of {s['stream_tokens']} "
        f"tokens, {at_once}, blocks of {s['block_bytes']:,} bytes"
        f"{' (solid)' if s['solid'] else ''}, {mixing}"
    )


def measurement_tables(measurements: Sequence[Measurement]) -> list[Table]:
    """A table a method: its documents, and their sum."""
    tables = []
    methods: dict[tuple[str, str], list[Measurement]] = {}
    for m in measurements:
        methods.setdefault((m.model, m.identity), []).append(m)
    for mine in methods.values():
        total = pool(mine)
        rows = [_row(m, m.document) for m in mine]
        if len(mine) > 1:
            rows.append(_row(total, f"all {len(mine)}"))
        tables.append(
            Table(
                describe_method(total),
                ("document", "bytes", "tokens", "archive", "bits/byte", "ideal", "bits/token",
                 "kB/s in", "kB/s out"),
                tuple(rows),
                f"With the model's own {total.model_bytes:,} bytes, once: "
                f"{total.two_part_bits_per_byte:.4f} bits/byte.",
                (0, 0, 0, 0, 4, 4, 3, 1, 1),
            )
        )  # fmt: skip
    return tables


def _row(m: Measurement, name: str) -> tuple[Cell, ...]:
    coded = m.archive_bytes is not None
    return (
        name,
        m.content_bytes,
        m.tokens,
        m.archive_bytes,
        m.bits_per_byte if coded else None,
        m.ideal_bits_per_byte,
        m.bits_per_token,
        _rate(m.content_bytes, m.compress_s),
        _rate(m.content_bytes, m.decompress_s),
    )


def comparison_tables(comparison: Comparison, *, all_pairs: bool = True) -> list[Table]:
    """The ranking, the documents, and the differences with their intervals.

    Without `all_pairs`, differences between neighbours of the ranking only.
    """
    rank = Table(
        "Ranking",
        ("rank", "method", "number is", "bits/byte", "with model", "kB/s in", "kB/s out",
         "parameters", "kFLOP/byte", "model bytes", "Pareto"),
        tuple(
            (
                i + 1, m.model, _KINDS[m.kind], m.bits_per_byte, m.two_part_bits_per_byte,
                _rate(m.content_bytes, m.compress_s), _rate(m.content_bytes, m.decompress_s),
                m.parameters or None,
                m.flops_per_byte / 1e3 if m.flops_per_token else None,
                m.model_bytes or None, "yes" if i in comparison.front else "",
            )
            for i, m in enumerate(comparison.methods)
        ),
        "Pooled: all bits over all bytes. `file`: the size of what was written; `ideal`: the "
        "information under the model's predictions, nothing was coded. `with model`: the model's "
        "own bytes added once. FLOPs are two for every weight of a matrix that a token goes "
        "through. Pareto: no other method is both smaller and faster to compress.",
        (0, 0, 0, 4, 4, 1, 1, 0, 1, 0, 0),
    )  # fmt: skip
    names = tuple(m.model for m in comparison.methods)
    by_document = Table(
        "Bits per byte by document",
        ("document", "bytes", *names),
        tuple(
            (
                document,
                comparison.by_document[0][d].content_bytes,
                *(row[d].bits_per_byte for row in comparison.by_document),
            )
            for d, document in enumerate(comparison.documents)
        ),
    )
    count = len(comparison.documents)
    differences = Table(
        "Differences in bits per byte",
        ("smaller", "larger", "difference", "low", "high", "documents won", "clear"),
        tuple(
            (d.first, d.second, d.bits_per_byte, d.low, d.high, f"{d.documents_won} of {count}",
             "yes" if d.clear else "no")
            for d in comparison.differences[: None if all_pairs else len(comparison.methods) - 1]
        ),
        "Pooled differences; low to high is the 95 % bootstrap interval over the documents, "
        "clear if it excludes zero. "
        + ("Neighbours of the ranking come first." if all_pairs else
           "Neighbours of the ranking; --html and --json have all pairs."),
    )  # fmt: skip
    methods = Table(
        "Methods",
        ("method", "what it is"),
        tuple((m.model, describe_method(m)) for m in comparison.methods),
    )
    return [rank, by_document, differences, methods]


def bin_table(title: str, what: str, bins: dict[str, list[Bin]], note: str) -> Table:
    """Bits per token in each bin, a column a method."""
    edges = sorted({(b.low, b.high) for found in bins.values() for b in found})
    cells = {
        name: {(b.low, b.high): b.bits_per_token for b in found} for name, found in bins.items()
    }
    rows = tuple(
        (
            f"{low:,}" if low == high else f"{low:,} to {high:,}",
            *(cells[name].get((low, high)) for name in bins),
        )
        for low, high in edges
    )
    return Table(title, (what, *bins), rows, note, decimals=3)
