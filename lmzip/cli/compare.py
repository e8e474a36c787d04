"""`lmzip compare`: models and other compressors side by side."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .methods import (
    check_models,
    document_options,
    find_given_documents,
    measure_all,
    method_openers,
    model_method,
)
from .options import FilePath, coding_options, models_options
from .outcome import Outcome
from .token_output import TokenOutput

if TYPE_CHECKING:
    from ..measure import Comparison, Measurement

__all__ = ["compare"]


@click.command("compare")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option(
    "-c",
    "--compressor",
    "compressors",
    metavar="NAME",
    multiple=True,
    help="gzip, bzip2, xz, zstd, brotli, ppmd or ppmd16; may be repeated.  "
    "[default: all that are installed]",
)
@click.option("--no-compressors", is_flag=True, help="Models only.")
@click.option(
    "--command",
    "commands",
    metavar="NAME=COMMAND[;;BACK]",
    multiple=True,
    help="Another compressor: a command line, a filter but for {in} and {out}, which are files; "
    "behind ;; the one that decompresses, without which it is not ranked.",
)
@document_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
@click.option(
    "--html",
    metavar="FILE",
    type=FilePath(dir_okay=False, path_type=Path),
    help="Write a page with tables, plots and the texts coloured by their bits.",
)
@click.option(
    "--plots",
    metavar="FOLDER",
    type=FilePath(file_okay=False, path_type=Path),
    help="Write the plots as SVG files.",
)
@click.option(
    "--heat-map",
    type=click.IntRange(0),
    default=1500,
    show_default=True,
    metavar="BYTES",
    help="With --html: how much of each document to show.",
)
@click.option(
    "--heat-map-of",
    metavar="PATTERN",
    multiple=True,
    help="With --html: show only documents of such names.  [default: all]",
)
@coding_options
@models_options
@click.help_option("-h", "--help")
def compare(paths: tuple[str, ...], **given: Any) -> None:
    """Compare models (-m, may be repeated) and compressors on PATHs.

    PATHs and models are as for `lmzip measure`; a level (-1 to -9) codes with the same parameters
    for all models, and several levels stand side by side. Every method sees every document on its
    own; the ranking pools all bits over all bytes, and differences come with bootstrap intervals
    over the documents. A document that a method fails on is left out for all of them, and said.
    """
    from ..measure import Classical, ResultStore
    from ..measure.classical import command_compressor, installed_compressors

    outcome = Outcome(quiet=given["quiet"])
    names = dict.fromkeys(given.pop("model")) or (None,)
    check_models(given, names)
    others = [command_compressor(line) for line in given["commands"]]
    if not given["no_compressors"]:
        others = installed_compressors(given["compressors"]) + others
    documents = find_given_documents(paths, given, outcome)
    store = ResultStore(Path(given["results"])) if given["results"] else None
    openers: list[Any] = [lambda c=c: Classical(c) for c in others]
    openers += method_openers(names, given, model_method)
    with outcome.attempt(), TokenOutput(given, outcome) as output:
        done = measure_all(openers, documents, given, outcome, each=output.add, store=store)
        _show(done, output, given, outcome)
    outcome.exit()


def _show(
    done: list[Measurement], output: TokenOutput, given: dict[str, Any], outcome: Outcome
) -> None:
    """The comparison as far as it goes; where there is none, what was measured."""
    from ..measure import compare as compare_measurements
    from ..report import comparison_tables, markdown, measurement_tables

    if not done:
        return
    comparison = None
    outcome.tell()  # which says why documents are missing below
    with outcome.attempt():
        comparison = compare_measurements(done)
    if given["as_json"]:
        found = {} if comparison is None else _as_dict(comparison)
        if comparison is None:
            found["measurements"] = [m.as_dict() for m in done]
        outcome.show(json.dumps(found | {"failures": outcome.failures}))
    elif comparison is None:
        outcome.show(markdown(measurement_tables(done)))
    else:
        outcome.show(markdown(comparison_tables(comparison, all_pairs=False), headings=True))
    if comparison is not None and (given["html"] or given["plots"]):
        from ..report.pages import compare_figures, compare_page
        from ..report.plots import save_figures

        figures = compare_figures(comparison, output.tables)
        if given["html"]:
            with outcome.attempt("--html"):
                page = compare_page(
                    comparison, output.tables, figures, output.heat_maps, command=output.command
                )
                output.write_page(page)
        if given["plots"]:
            with outcome.attempt("--plots"):
                save_figures(figures, given["plots"])


def _as_dict(comparison: Comparison) -> dict[str, Any]:
    """For machines."""
    from ..measure import fit_power_law
    from ..measure.comparison import sized_methods

    law = fit_power_law(comparison)
    return {
        "documents": comparison.documents,
        "left_out": comparison.left_out,
        "ranked": comparison.ranked,
        "methods": [m.as_dict() for m in comparison.methods],
        "by_document": [[m.as_dict() for m in row] for row in comparison.by_document],
        "differences": [dataclasses.asdict(d) | {"clear": d.clear} for d in comparison.differences],
        "pareto": sorted(comparison.front),
        "power_law": law
        and dataclasses.asdict(law)
        | {
            "methods": sized_methods(comparison),
            "saturated": law.saturated,
            "doubtful": law.doubtful,
        },
    }
