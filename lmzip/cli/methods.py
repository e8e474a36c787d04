"""From what a user names to ways of measuring: packs, float models, other compressors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from .choices import chosen_parameters, open_models
from .options import F, apply
from .progress import CodingBar, ModelBar

if TYPE_CHECKING:
    from ..codec import CodingParameters
    from ..measure import Document, Measurement, Method, ResultStore

__all__ = ["document_options", "find_given_documents", "measure_all", "model_method"]

FLOAT = "float:"
"""Before the name of a model that is to run in floating point."""


def document_options(function: F) -> F:
    """Which documents, and by whose rules."""
    return apply(
        [
            click.option("--field", metavar="NAME",
                         help="Column: of *.jsonl, *.parquet and hf:// data, measure this field of "
                              "every row."),
            click.option("--limit", type=click.IntRange(1), metavar="N",
                         help="The first N documents only."),
            click.option("--join", is_flag=True, help="All documents as one."),
            click.option("--protocol", type=click.Choice(["codec", "lm-eval", "cril"]),
                         default="codec", show_default=True,
                         help="Windows as archives have them, or as others count (ideal bits)."),
            click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]),
                         default="float32", show_default=True, help="Of models in float."),
            click.option("--decode", is_flag=True, help="Decode every archive and compare."),
            click.option("--results", metavar="FILE", type=click.Path(dir_okay=False),
                         help="Keep measurements here; do not make those again that it holds."),
            click.option("-q", "--quiet", is_flag=True, help="No progress, no notices."),
        ],
        function,
    )  # fmt: skip


def find_given_documents(paths: tuple[str, ...], given: dict[str, Any]) -> Any:
    """The documents that the command line names."""
    from ..measure import find_documents
    from .corpora import corpus_store

    offline = given["offline"]
    return find_documents(
        paths,
        field=given["field"],
        limit=given["limit"],
        join=given["join"],
        corpora=corpus_store(offline),
        offline=offline,
    )


def model_method(name: str | None, given: dict[str, Any]) -> Method:
    """A way of measuring by the model of that name, or by the level's."""
    from ..measure import Archives, Ideal
    from ..measure.exact import ExactScorer
    from ..measure.windows import protocol

    def notice(message: str) -> None:
        if not given["quiet"]:
            print(f"lmzip: {message}", file=sys.stderr)

    # One level's parameters for all models: they are to be compared.
    default, parameters = chosen_parameters(given, None)
    rules = protocol(given["protocol"])
    bar = ModelBar(show=not given["quiet"])
    try:
        if name is not None and name.startswith(FLOAT):
            return _float_method(name.removeprefix(FLOAT), parameters, rules, given, bar)
        models = open_models(given, name or default, progress=bar, notice=notice)
        model = models.for_compression()
    finally:
        bar.close()
    context = model.engine.config.context
    if rules.name == "codec":
        parameters.window_for(context)
        return Archives(model, parameters, memory_limit=given["memory_limit"])
    window = rules.fixed_window or given["window"] or context
    return Ideal(ExactScorer(model, window), rules, window)


def _float_method(
    source: str, parameters: CodingParameters, rules: Any, given: dict[str, Any], bar: ModelBar
) -> Method:
    from ..measure import Ideal
    from ..measure.causal import load_float_model

    scorer = load_float_model(
        source,
        dtype=given["dtype"],
        device=given["device"],
        threads=given["threads"],
        offline=given["offline"],
        progress=bar,
    )
    window = given["window"] or scorer.context or parameters.window or 1024
    if rules.name == "codec" and not given["window"] and parameters.window is not None:
        window = parameters.window
    return Ideal(scorer, rules, window)


def measure_all(
    methods: Iterable[Callable[[], Method]],
    documents: Any,
    given: dict[str, Any],
    failures: list[str],
    *,
    each: Callable[[Method, Document, Measurement], None] | None = None,
    store: ResultStore | None = None,
) -> list[Measurement]:
    """All methods' measurements; what went wrong with a model or document goes to `failures`.

    Methods are opened one after the other, so that only one is in memory. `each` is called with
    every measurement made.
    """
    from ..errors import LmzipError, UsageError
    from ..measure import measure

    done: list[Measurement] = []
    for opened in methods:
        try:
            method = opened()
        except UsageError:
            raise
        except (LmzipError, OSError) as error:
            failures.append(_reason(error))
            continue
        try:
            for document in documents:
                label = f"{document.name} ({method.name})"
                try:
                    with CodingBar(document.name, None, show=not given["quiet"]) as bytes_done:
                        for measurement in measure(
                            [document],
                            method,
                            decode=given["decode"],
                            memory_limit=given["memory_limit"],
                            store=store,
                            progress=bytes_done,
                        ):
                            done.append(measurement)
                            if each is not None:
                                each(method, document, measurement)
                except (LmzipError, OSError, MemoryError) as error:
                    failures.append(f"{label}: {_reason(error)}")
        except (LmzipError, OSError) as error:  # a row that cannot be read ends the documents
            failures.append(_reason(error))
    return done


def _reason(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)
