"""`lmzip measure`: bits per byte of documents, by models."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import coding_options, models_options

if TYPE_CHECKING:
    from ..measure import Document, Measurement, ResultStore

__all__ = ["measure"]


@click.command("measure")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--field", metavar="NAME", help="Of *.jsonl files, measure this field of every line.")
@click.option("--decode", is_flag=True, help="Decode every archive and compare.")
@click.option("--results", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path),
              help="Keep measurements here; do not make those again that it holds.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="JSON lines instead of a table.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no notices.")
@coding_options
@models_options
@click.help_option("-h", "--help")
def measure(paths: tuple[str, ...], **given: Any) -> None:
    """Bits per byte of PATHs: files, folders, fields of JSON lines.

    Every document is compressed on its own, as `lmzip` would, and the archive's size is what
    counts: all its bytes over all the document's bytes. `ideal` is the information under the same
    predictions, without rounding, checksums and headers. -m may be given several times.
    """
    from ..errors import LmzipError, UsageError
    from ..measure import ResultStore, find_documents

    documents = find_documents(paths, field=given["field"])
    store = ResultStore(given["results"]) if given["results"] else None
    names = dict.fromkeys(given.pop("model")) or (None,)
    done: list[Measurement] = []
    failures: list[str] = []
    for name in names:
        try:
            done += _with_model(name, documents, store, failures, given)
        except UsageError:
            raise
        except (LmzipError, OSError) as error:
            failures.append(f"{name or 'the model'}: {error}")
    if given["as_json"]:
        for measurement in done:
            print(json.dumps(measurement.as_dict()))
    elif done:
        from ..report import markdown_table

        print(markdown_table(done))
    for failure in failures:
        print(f"lmzip: {failure}", file=sys.stderr)
    if not done and not failures:
        failures.append("empty")
        print("lmzip: all documents are empty", file=sys.stderr)
    sys.exit(1 if failures else 0)


def _with_model(
    name: str | None,
    documents: list[Document],
    store: ResultStore | None,
    failures: list[str],
    given: dict[str, Any],
) -> list[Measurement]:
    """One model's measurements; what went wrong with a document is added to `failures`."""
    from ..errors import LmzipError
    from ..measure import measure
    from .choices import chosen_parameters, open_models
    from .progress import CodingBar, ModelBar

    quiet = given["quiet"]

    def notice(message: str) -> None:
        if not quiet:
            print(f"lmzip: {message}", file=sys.stderr)

    # One level's parameters for all models: they are to be compared.
    default, parameters = chosen_parameters(given, None)
    bar = ModelBar(show=not quiet)
    try:
        model = open_models(given, name or default, progress=bar, notice=notice).for_compression()
    finally:
        bar.close()
    parameters.window_for(model.engine.config.context)
    done: list[Measurement] = []
    for document in documents:
        try:
            with CodingBar(document.name, None, show=not quiet) as bytes_done:
                done += measure(
                    [document],
                    model,
                    parameters,
                    decode=given["decode"],
                    memory_limit=given["memory_limit"],
                    store=store,
                    progress=bytes_done,
                )
        except (LmzipError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            failures.append(f"{document.name}: {reason or error}")
    return done
