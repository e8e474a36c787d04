"""`lmzip compare`: models and other compressors side by side."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import click

from .methods import document_options, find_given_documents, measure_all, model_method
from .options import coding_options, models_options
from .token_output import TokenOutput

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
    metavar="NAME=COMMAND",
    multiple=True,
    help="Another compressor: a command line with {in} and {out}, or a filter.",
)
@document_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
@click.option(
    "--html",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page with tables, plots and the texts coloured by their bits.",
)
@click.option(
    "--plots",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
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

    PATHs and models are as for `lmzip measure`. Every method sees every document on its own; the
    ranking pools all bits over all bytes, and differences come with bootstrap intervals over the
    documents. A document that a method fails on is left out for all of them, and said.
    """
    from ..measure import Classical, ResultStore
    from ..measure import compare as compare_measurements
    from ..measure.classical import command_compressor, installed_compressors

    documents = find_given_documents(paths, given)
    store = ResultStore(Path(given["results"])) if given["results"] else None
    others = [command_compressor(line) for line in given.pop("commands")]
    if not given.pop("no_compressors"):
        others = installed_compressors(given.pop("compressors")) + others
    names = dict.fromkeys(given.pop("model")) or (None,)
    openers: list[Any] = [lambda c=c: Classical(c) for c in others]
    openers += [lambda name=name: model_method(name, given) for name in names]
    failures: list[str] = []
    with TokenOutput(given) as output:
        done = measure_all(openers, documents, given, failures, each=output.add, store=store)
        if done:
            comparison = compare_measurements(done)
            figures = []
            if given["html"] or given["plots"]:
                from ..report.pages import compare_figures, compare_page
                from ..report.plots import save_figures

                figures = compare_figures(comparison, output.tables)
            if given["plots"]:
                save_figures(figures, given["plots"])
            if given["html"]:
                page = compare_page(
                    comparison, output.tables, figures, output.heat_maps, command=output.command
                )
                output.write_page(page)
            if given["as_json"]:
                found = {
                    "documents": comparison.documents,
                    "methods": [m.as_dict() for m in comparison.methods],
                    "by_document": [[m.as_dict() for m in row] for row in comparison.by_document],
                    "differences": [dataclasses.asdict(d) for d in comparison.differences],
                    "pareto": sorted(comparison.front),
                }
                print(json.dumps(found))
            else:
                from ..report import comparison_tables, markdown

                print(markdown(comparison_tables(comparison, all_pairs=False), headings=True))
    for failure in failures:
        print(f"lmzip: {failure}", file=sys.stderr)
    if not done and not failures:
        failures.append("empty")
        print("lmzip: all documents are empty", file=sys.stderr)
    sys.exit(1 if failures else 0)
