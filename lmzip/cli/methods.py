"""From what a user names to ways of measuring: packs, float models, other compressors."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from ..files import shared_mode
from .checks import refuse_idle_options, refuse_overwriting
from .choices import chosen_parameters, open_models
from .inputs import contents_unpacker
from .options import F, FilePath, apply, given_levels
from .outcome import Outcome
from .progress import CodingBar, ModelBar
from .say import say

if TYPE_CHECKING:
    from ..codec import CodingParameters
    from ..measure import Document, Measurement, Method, ResultStore

__all__ = [
    "check_models",
    "document_options",
    "find_given_documents",
    "measure_all",
    "method_openers",
    "model_method",
]

FLOAT = "float:"
"""Before the name of a model that is to run in floating point."""

_NAMED = 5
"""Names in a notice."""
_FLOAT_WINDOW = 1024
"""As packs have it where nothing else is said."""


def document_options(function: F) -> F:
    """Which documents, and by whose rules."""
    return apply(
        [
            click.option("--field", metavar="NAME",
                         help="Measure this field of every row of *.jsonl, *.ndjson, *.json (also "
                              "followed by .gz, .bz2, .xz, .zst or .lmz), *.parquet and hf:// "
                              "data, instead of whole files."),
            click.option("--limit", type=click.IntRange(1), metavar="N",
                         help="Use only the first N documents."),
            click.option("--join", is_flag=True, help="Join all documents into one."),
            click.option("--protocol", type=click.Choice(["codec", "lm-eval", "cril"]),
                         default="codec", show_default=True,
                         help="Cut windows as archives do (codec), or by the rules of another "
                              "tool, which gives ideal bits."),
            click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]),
                         default="float32", show_default=True,
                         help="Number format of float models."),
            click.option("--squeezed", is_flag=True,
                         help="Where a model's size is counted, count its compressed weights "
                              "('lmzip lab squeeze'). This takes long for large models."),
            click.option("--decode", is_flag=True, help="Verify every archive by decoding it."),
            click.option("--results", metavar="FILE", type=FilePath(dir_okay=False),
                         help="Store measurements in FILE, and do not make again "
                              "those that it already holds."),
            click.option("-q", "--quiet", is_flag=True, help="Do not show progress or notices."),
        ],
        function,
    )  # fmt: skip


def find_given_documents(paths: tuple[str, ...], given: dict[str, Any], outcome: Outcome) -> Any:
    """The documents that the command line names, those that could not be found among failures."""
    from ..measure import find_documents
    from .corpora import corpus_store

    offline = given["offline"]
    documents = find_documents(
        paths,
        field=given["field"],
        limit=given["limit"],
        join=given["join"],
        corpora=corpus_store(offline),
        offline=offline,
        unpack=contents_unpacker(offline=offline),
    )
    places = documents.places
    refuse_overwriting(given, list(places.files))
    # What shows the texts is no more public than they are.
    given["within"] = shared_mode(os.stat(file) for file in places.files if os.path.exists(file))
    if places.repeated:
        outcome.notice(f"named more than once, counted once: {_some(places.repeated)}")
    for problem in places.unreadable:
        outcome.fail(problem)
    return documents


def _some(names: list[str]) -> str:
    """The first of these names, and how many there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def check_models(given: dict[str, Any], names: Iterable[str | None]) -> None:
    """Raise UsageError for what is wrong with the options whatever the models are."""
    names = list(names)
    floats = sum(name is not None and name.startswith(FLOAT) for name in names)
    refuse_idle_options(given, floats=floats, packs=len(names) - floats)
    for name in names:
        chosen_parameters(given, name)


def method_openers(
    names: Iterable[str | None],
    given: dict[str, Any],
    opened: Callable[[str | None, dict[str, Any]], Method],
) -> list[Callable[[], Method]]:
    """How to open the ways of measuring: each model at each level that the command line names."""
    levels = given_levels()
    if len(levels) < 2:
        return [functools.partial(opened, name, given) for name in names]

    def at(level: int, name: str | None) -> Method:
        method = opened(name, given | {"level": level})
        method.name = f"{method.name} -{level}"
        return method

    return [functools.partial(at, level, name) for name in names for level in levels]


def model_method(name: str | None, given: dict[str, Any]) -> Method:
    """A way of measuring by the model of that name, or by the level's."""
    from ..measure import Archives, Ideal
    from ..measure.exact import ExactScorer
    from ..measure.windows import protocol

    def notice(message: str) -> None:
        if not given["quiet"]:
            say(f"{message}")

    # What `lmzip -m NAME` with these options would code with.
    chosen, parameters = chosen_parameters(given, name)
    rules = protocol(given["protocol"])
    bar = ModelBar(show=not given["quiet"])
    try:
        if name is not None and name.startswith(FLOAT):
            return _float_method(name.removeprefix(FLOAT), parameters, rules, given, bar)
        models = open_models(given, chosen, progress=bar, notice=notice)
        model = models.for_compression()
    finally:
        bar.close()
    context = model.engine.config.context
    method: Method
    if rules.name == "codec":
        parameters.window_for(context)
        method = Archives(model, parameters, memory_limit=given["memory_limit"])
    else:
        window = rules.fixed_window or given["window"] or context
        method = Ideal(ExactScorer(model, window), rules, window)
    if given["squeezed"]:
        method.squeezed_bytes = models.squeezed_bytes(model.identity)
    return method


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
    if given["window"]:
        return Ideal(scorer, rules, given["window"])
    window = scorer.context or parameters.window or _FLOAT_WINDOW
    if rules.name == "codec":
        window = min(window, parameters.window or _FLOAT_WINDOW)
    return Ideal(scorer, rules, window)


def measure_all(
    methods: Iterable[Callable[[], Method]],
    documents: Any,
    given: dict[str, Any],
    outcome: Outcome,
    *,
    each: Callable[[Method, Document, Measurement], None] | None = None,
    store: ResultStore | None = None,
) -> list[Measurement]:
    """All methods' measurements; what went wrong with a model or document goes to the outcome.

    Methods are opened one after the other, so that only one is in memory, and one that is another
    under a second name is left out. `each` is called with every measurement made. Who is
    interrupted gets what there is.
    """
    done: list[Measurement] = []
    empty: dict[str, None] = {}
    unreadable: dict[str, str] = {}
    seen: dict[str, str] = {}
    try:
        for opened in methods:
            method = None
            with outcome.attempt():
                method = opened()
            if method is None or not _is_new(method, seen, outcome):
                continue
            with outcome.attempt():  # a damaged file ends the documents
                for document in documents:
                    if document.problem is not None:
                        unreadable[document.name] = document.problem
                        continue
                    found = _measure_one(document, method, given, outcome, each, store)
                    if found is None:
                        empty[document.name] = None
                    else:
                        done += found
    except (KeyboardInterrupt, SystemExit) as stopped:
        outcome.stop(stopped)
    for name, problem in unreadable.items():
        outcome.fail(problem, name)
    if empty:
        outcome.notice(f"left out because empty: {_some(list(empty))}")
    if not done and not outcome.failures:
        outcome.fail("all documents are empty")
    return done


def _is_new(method: Method, seen: dict[str, str], outcome: Outcome) -> bool:
    """Whether this way of measuring was not there before; its name becomes one of its own."""
    from ..measure.results import result_key

    key = result_key("", method.identity, method.settings)
    if key in seen:
        same = "" if seen[key] == method.name else f" (as {seen[key]})"
        outcome.notice(f"named more than once, measured once: {method.name}{same}")
        return False
    name, number = method.name, 1
    while method.name in seen.values():
        number += 1
        method.name = f"{name} ({number})"
    seen[key] = method.name
    return True


def _measure_one(
    document: Document,
    method: Method,
    given: dict[str, Any],
    outcome: Outcome,
    each: Callable[[Method, Document, Measurement], None] | None,
    store: ResultStore | None,
) -> list[Measurement] | None:
    """The document's measurement, none if it fails; None if it is empty."""
    from ..errors import LmzipError
    from ..measure import measure

    done: list[Measurement] = []
    label = f"{document.name} ({method.name})"
    try:
        with CodingBar(document.name, document.size_bytes, show=not given["quiet"]) as bytes_done:
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
        # A text that this model cannot read is no wrong usage.
        outcome.fail(error, label)
        return done
    return done or None
