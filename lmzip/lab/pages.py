"""What the laboratory shows: verdict tables, plots with theory dashed, and a page of them all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..report.curves import Curve as Drawn
from ..report.curves import curves_figure, standalone_svg
from ..report.html import Figure, Table, html_report
from .findings import Finding, Plot

__all__ = ["findings_as_dicts", "lab_page", "plot_files", "verdict_tables"]


def verdict_tables(findings: Sequence[Finding]) -> list[Table]:
    """For each experiment, what was expected, and what came."""
    return [
        Table(
            f"{f.experiment}: {f.title}",
            ("what", "expected", "tolerance", "measured", "verdict"),
            tuple((c.what, c.expected, c.tolerance, c.measured, c.verdict) for c in f.checks),
            "\n\n".join(part for part in (f.claim, f.meaning) if part),
        )
        for f in findings
    ]  # fmt: skip


def _figure(plot: Plot) -> Figure:
    curves = [
        Drawn(c.name, list(c.x), list(c.y), list(c.y), list(c.y), c.colour, c.theory)
        for c in plot.curves if len(c.x)
    ]  # fmt: skip
    return curves_figure(
        plot.title, plot.labels, curves, plot.note, logarithmic=plot.log_x, log_y=plot.log_y,
        bare_dashes=True,
    )  # fmt: skip


def plot_files(findings: Sequence[Finding]) -> dict[str, str]:
    """SVG files by name. Raises UsageError if matplotlib is not installed."""
    return {f"{plot.name}.svg": standalone_svg(_figure(plot)) for f in findings for plot in f.plots}


def lab_page(findings: Sequence[Finding], *, command: str) -> str:
    """One page: tables and plots. Raises UsageError if matplotlib is not installed."""
    verdicts = [c.verdict for f in findings for c in f.checks]
    counts = ", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts))
    return html_report(
        "The laboratory",
        f"{len(findings)} experiments: {counts}. Sizes are those of streams that decode; theory is "
        "dashed. A refuted expectation is a result, a BROKEN control is an error.",
        tables=verdict_tables(findings),
        figures=[_figure(plot) for f in findings for plot in f.plots],
        footer=f"Made by: {command}",
    )


def findings_as_dicts(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """For machines."""
    import dataclasses

    return [json.loads(json.dumps(dataclasses.asdict(f))) for f in findings]
