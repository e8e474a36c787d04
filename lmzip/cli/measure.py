"""`lmzip measure`: bits per byte of documents, by models."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator
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
from .say import say
from .token_output import TokenOutput

if TYPE_CHECKING:
    from ..measure import Measurement, Method

__all__ = ["measure"]


@click.command("measure")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@document_options
@click.option("--json", "as_json", is_flag=True, help="JSON lines instead of tables.")
@click.option(
    "--per-token",
    metavar="FILE",
    type=FilePath(dir_okay=False, path_type=Path),
    help="Write every token with its bits: JSON lines, or Parquet if FILE says so.",
)
@click.option(
    "--alternatives",
    type=click.IntRange(0, 20),
    default=0,
    metavar="K",
    help="With --per-token: entropy and the K likeliest tokens before mixing, too.",
)
@click.option(
    "--html",
    metavar="FILE",
    type=FilePath(dir_okay=False, path_type=Path),
    help="Write a page with tables, plots and the text coloured by its bits.",
)
@click.option(
    "--heat-map",
    type=click.IntRange(0),
    default=4000,
    show_default=True,
    metavar="BYTES",
    help="With --html: how much of each document to show.",
)
@click.option(
    "--self-test",
    is_flag=True,
    help="Let each model make up a text; it must cost what its entropy says.",
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
def measure(paths: tuple[str, ...], **given: Any) -> None:
    """Bits per byte of PATHs.

    PATHs are files, folders, patterns, installed corpora (corpus:NAME), columns of JSON Lines or
    Parquet, or hf://OWNER/DATASET[/CONFIG][:SPLIT].

    Every document is compressed on its own, as `lmzip -m MODEL` with the same options would, and
    the archive's size is what counts: all its bytes over all the document's bytes. `ideal` is the
    information under the same predictions, without rounding, checksums and headers; there is none
    where zstd made some of the blocks smaller.

    -m may be given several times. `-m float:NAME` runs a GGUF file, a folder or any causal model of
    the hub in floating point, through transformers: ideal bits, no archive.
    """
    from ..measure import ResultStore

    outcome = Outcome(quiet=given["quiet"])
    names = dict.fromkeys(given.pop("model")) or (None,)
    check_models(given, names)
    documents = find_given_documents(paths, given, outcome)
    store = ResultStore(Path(given["results"])) if given["results"] else None
    method = functools.partial(_checked, outcome) if given["self_test"] else model_method
    openers = method_openers(names, given, method)
    with outcome.attempt(), TokenOutput(given, outcome) as output:
        done = measure_all(openers, documents, given, outcome, each=output.add, store=store)
        _show(done, output, given, outcome)
    outcome.exit()


def _checked(outcome: Outcome, name: str | None, given: dict[str, Any]) -> Method:
    """The model's method, its calibration shown on standard error."""
    from ..measure.scoring import calibrate

    method = model_method(name, given)
    if method.scorer is not None:
        found = calibrate(method.scorer)
        say(
            f"{method.name}: {found.tokens} made-up tokens cost {found.bits:,.1f} bits; "
            f"expected {found.entropy_bits:,.1f} +- {found.deviation_bits:,.1f} "
            f"(z = {found.z:+.2f})"
        )
        if not found.passed:
            outcome.fail("failed its self-test, its bits mean nothing", method.name)
    return method


def _show(
    done: list[Measurement], output: TokenOutput, given: dict[str, Any], outcome: Outcome
) -> None:
    if not done:
        return
    from ..report import markdown, measurement_tables

    if given["as_json"]:
        outcome.show("\n".join(json.dumps(row) for row in _rows(done)))
    else:
        outcome.show(markdown(measurement_tables(done)))
    if given["html"]:
        from ..report.pages import measure_page

        with outcome.attempt("--html"):
            command = output.command
            page = measure_page(done, output.tables, output.heat_maps, command=command)
            output.write_page(page)


def _rows(done: list[Measurement]) -> Iterator[dict[str, Any]]:
    """Every document's measurement, and behind a method's, if there are some, their sum."""
    from ..measure import pool

    for _, group in itertools.groupby(done, key=lambda m: m.model):
        mine = list(group)
        for m in mine:
            yield m.as_dict() | {"pooled": False}
        if len(mine) > 1:
            yield pool(mine).as_dict() | {"pooled": True}
