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

_FEW_DOCUMENTS = 6
"""Below this, a bootstrap over documents is little more than a guess."""
_NAMED = 8
"""Documents left out that are named."""


def _number_is(m: Measurement) -> str:
    """What kind of number a method's is."""
    if m.kind == "command" and m.decompress_s is None:
        return "not decoded"
    if m.kind == "ideal":
        return "ideal" if m.complete else "ideal, partial"
    return "file"


def _marked(m: Measurement) -> str:
    """The method's name, and what its number is if that is no file's size."""
    kind = _number_is(m)
    return m.model if kind == "file" else f"{m.model} ({kind})"


def _speeds(measurements: Sequence[Measurement]) -> str:
    """A warning, if some speeds are not of this run."""
    kept = sum(m.resumed for m in measurements)
    if not kept:
        return ""
    which = "All speeds" if kept == len(measurements) else f"Speeds of {kept}"
    return f" {which} come from the results file: other runs, perhaps another machine."


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
            text += (
                f"; partial: {m.unscored_tokens:,} of {m.tokens:,} tokens are not scored, bits are "
                f"divided by the {m.counted_bytes:,} bytes that are"
            )
        return text
    if m.kind == "command":
        way = "not decoded" if m.decompress_s is None else "decoded"
        return f"{m.identity}, {way}"
    mixing = f"mixing of {s['mixing_bits']} bits" if s["mixing"] else "no mixing"
    at_once = f"{s['streams_at_once']} at once" if s["streams_at_once"] else "all at once"
    share = m.modelled_share
    return (
        f"{m.model} ({m.identity[:16]}), window {s['window']}, streams of {s['stream_tokens']} "
        f"tokens, {at_once}, blocks of {s['block_bytes']:,} bytes"
        f"{' (solid)' if s['solid'] else ''}, {mixing}"
        + ("" if share == 1 else f"; the model coded {share:.1%} of the bytes")
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
        columns: tuple[str, ...] = ("document", "bytes", "tokens", "archive", "bits/byte", "ideal",
                                    "ideal/token", "kB/s in", "kB/s out")  # fmt: skip
        decimals: tuple[int, ...] = (0, 0, 0, 0, 4, 4, 3, 1, 1)
        if total.modelled_share < 1:  # zstd or a protocol has had the rest
            columns += ("% scored" if total.kind == "ideal" else "% by model",)
            decimals += (1,)
            shares = [100 * m.modelled_share for m in (*mine, total)]
            rows = [(*row, share) for row, share in zip(rows, shares, strict=False)]
        tables.append(
            Table(
                describe_method(total),
                columns,
                tuple(rows),
                f"With the model's own {total.model_bytes:,} bytes, once: "
                f"{total.two_part_bits_per_byte:.4f} bits/byte.{_speeds(mine)}",
                decimals,
            )
        )
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


def _alike(methods: Sequence[Measurement]) -> str:
    """A warning, if archives are not made with the same parameters."""
    settings = {str(sorted(m.settings.items())) for m in methods if m.kind == "archive"}
    if len(settings) < 2:
        return ""
    return " Packs code with different parameters here; a level, such as -3, makes them alike."


def comparison_tables(comparison: Comparison, *, all_pairs: bool = True) -> list[Table]:
    """The ranking, the documents, and the differences with their intervals.

    Without `all_pairs`, differences between neighbours of the ranking only.
    """
    methods_of = comparison.methods
    rank = Table(
        "Ranking",
        ("rank", "method", "number is", "bits/byte", "with model", "kB/s in", "kB/s out",
         "parameters", "kFLOP/byte", "model bytes", "Pareto"),
        tuple(
            (
                i + 1 if m.rankable else None, m.model, _number_is(m), m.bits_per_byte,
                m.two_part_bits_per_byte,
                _rate(m.content_bytes, m.compress_s), _rate(m.content_bytes, m.decompress_s),
                m.parameters or None,
                m.flops_per_byte / 1e3 if m.flops_per_token else None,
                m.model_bytes or None, "yes" if i in comparison.front else "",
            )
            for i, m in enumerate(methods_of)
        ),
        "Pooled: all bits over all bytes. `file`: the size of what was written; `ideal`: the "
        "information under the model's predictions, nothing was coded; `partial`: over the bytes "
        "that the protocol scores, which makes it no rival of the others; `not decoded`: whatever "
        "the command wrote, no rival either (a way back, behind ;;, makes it one). `with model`: "
        "the model's own bytes added once. FLOPs are two for every weight of a matrix that a token "
        "goes through. Pareto: no other method is both smaller and faster to compress."
        f"{_speeds(methods_of)}{_alike(methods_of)}",
        (0, 0, 0, 4, 4, 1, 1, 0, 1, 0, 0),
    )  # fmt: skip
    names = tuple(_marked(m) for m in methods_of)
    left_out = ", ".join(comparison.left_out[:_NAMED])
    left_out += ", ..." if len(comparison.left_out) > _NAMED else ""
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
        f"{len(comparison.left_out)} left out, which only some methods measured: {left_out}."
        if left_out
        else "",
    )
    count = len(comparison.documents)
    differences = Table(
        "Differences in bits per byte",
        ("smaller", "larger", "difference", "low", "high", "documents won", "clear"),
        tuple(
            (d.first, d.second, d.bits_per_byte, d.low, d.high, f"{d.documents_won} of {count}",
             None if d.clear is None else "yes" if d.clear else "no")
            for d in comparison.differences[: None if all_pairs else len(comparison.methods) - 1]
        ),
        "Pooled differences; low to high is the 95 % bootstrap interval over the documents, "
        "clear if it excludes zero. "
        + (f"Of {count} documents it is rough. " if 1 < count < _FEW_DOCUMENTS else
           "Of one document there is none. " if count == 1 else "")
        + ("Neighbours of the ranking come first." if all_pairs else
           "Neighbours of the ranking; --html and --json have all pairs."),
    )  # fmt: skip
    methods = Table(
        "Methods",
        ("method", "what it is"),
        tuple((m.model, describe_method(m)) for m in methods_of),
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
