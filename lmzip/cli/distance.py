"""`lmzip distance`: distances between documents, from their lengths given each other."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from .checks import refuse_options, refuse_overwriting
from .inputs import contents_unpacker
from .options import FilePath, coding_options, model_options
from .progress import CodingBar
from .say import say

if TYPE_CHECKING:
    from ..complexity.coders import Coder
    from ..complexity.distance import DistanceMatrix, Work
    from ..complexity.neighbours import Classification

__all__ = ["distance"]

_FILE = FilePath(dir_okay=False, path_type=Path)
_OF_LMZIP = (
    "level", "window", "stream_length", "block_size", "no_mix", "solid", "model", "threads",
    "engine", "device", "memory_limit", "no_decode",
)  # fmt: skip
"""Options that other coders have no use for."""


@click.command("distance")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option(
    "--metric",
    type=click.Choice(["ncd", "nid", "cond"]),
    default="ncd",
    show_default=True,
    help="Distance to compute, from lengths C. With min and max of C(x) and C(y), ncd is "
    "(C(x, y) - min) / max, and nid is the larger of C(x given y) and C(y given x), divided by "
    "max. cond is C(x given y) / C(x), where x is the row.",
)
@click.option(
    "--coder",
    type=click.Choice(["lmzip", "zstd", "xz"]),
    default="lmzip",
    show_default=True,
    help="Compressor that C is measured with.",
)
@click.option(
    "--knn",
    type=click.IntRange(1),
    metavar="K",
    help="Predict each document's label from its K nearest neighbours; report the accuracy.",
)
@click.option(
    "--labels",
    metavar="FILE",
    type=FilePath(exists=True, dir_okay=False, path_type=Path),
    help="With --knn: read the labels from a CSV file of names and labels.  [default: the label is "
    "the name of the document's folder]",
)
@click.option(
    "--csv", metavar="FILE", type=_FILE, help="Write the matrix to FILE, not standard output."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with everything.")
@click.option(
    "--plot",
    metavar="FILE",
    type=_FILE,
    help="Draw the matrix and its tree (UPGMA) in an SVG file.",
)
@click.option(
    "--results",
    metavar="FILE",
    type=_FILE,
    help="Store lengths in FILE, and do not compute again those that it already holds.",
)
@click.option(
    "--field",
    metavar="NAME",
    help="Take this field of every row of *.jsonl, *.ndjson, *.json (also compressed), *.parquet "
    "and hf:// data as a document.",
)
@click.option(
    "--limit", type=click.IntRange(2), metavar="N", help="Use only the first N documents."
)
@click.option("--no-decode", is_flag=True, help="Do not verify every file by decoding it.")
@click.option("-q", "--quiet", is_flag=True, help="Do not show progress or notices.")
@coding_options
@model_options
@click.help_option("-h", "--help")
def distance(paths: tuple[str, ...], **given: Any) -> None:
    """Compute the distances between all documents at PATHs (files, folders, patterns), as CSV.

    C is the length of a real file, which is verified by decoding; with xz, C(x given y) is a
    difference of two lengths. So n documents take n + n*n codings. With --results, a run that was
    stopped continues where it was. Nothing is clipped, and the diagonal is measured.

    --knn leaves each document out in turn. Equally distant documents share the places left among
    the K, and labels with equally many votes share the credit. The result goes to standard output
    with --csv FILE, into the object with --json, and otherwise to standard error.
    """  # fmt: skip
    from ..complexity.codings import CodingStore
    from ..complexity.distance import check_documents, distance_matrix
    from ..complexity.neighbours import classify

    documents = _documents(paths, given)
    check_documents(documents)
    _check_options(given)
    labels = _labels([name for name, _ in documents], given)
    coder = _coder(given)
    store = CodingStore(given["results"]) if given["results"] else None
    with _Watch(quiet=given["quiet"], kept_in=given["results"]) as watch:
        matrix = distance_matrix(documents, coder, given["metric"], store=store, progress=watch)
    found = None
    if labels is not None:
        found = classify(matrix.names, matrix.rows, labels, given["knn"])
    _show(matrix, found, given)


def _documents(paths: tuple[str, ...], given: dict[str, Any]) -> list[tuple[str, bytes]]:
    """Names and contents."""
    from ..measure import find_documents
    from .corpora import corpus_store

    offline = given["offline"]
    found = find_documents(
        paths,
        field=given["field"],
        limit=given["limit"],
        corpora=corpus_store(offline),
        offline=offline,
        unpack=contents_unpacker(offline=offline),
    )
    refuse_overwriting(given, list(found.places.files))
    if found.places.unreadable:
        raise UsageError(found.places.unreadable[0])
    if found.places.repeated and not given["quiet"]:
        names = ", ".join(found.places.repeated)
        say(f"named more than once, counted once: {names}")
    documents = [(document.name, document.read()) for document in found]
    empty = [name for name, data in documents if not data]
    if empty and not given["quiet"]:
        say(f"left out because empty: {', '.join(empty)}")
    return [(name, data) for name, data in documents if data]


def _check_options(given: dict[str, Any]) -> None:
    """Raise UsageError for what has no effect, or cannot be written, before anything is coded."""
    if given["csv"] and given["as_json"]:
        raise UsageError("--csv and --json cannot be combined")
    if given["labels"] and not given["knn"]:
        raise UsageError("--labels needs --knn")
    if given["coder"] != "lmzip":
        refuse_options(_OF_LMZIP, "this option is only for --coder lmzip")
    for target in (given["csv"], given["plot"]):
        if target and not os.access(target.parent, os.W_OK):
            raise UsageError(f"{target}: its folder is not writable")
    if given["plot"]:
        from ..complexity.distance import require_scipy
        from ..report.plots import require_matplotlib

        require_matplotlib()
        require_scipy()


def _labels(names: list[str], given: dict[str, Any]) -> list[str] | None:
    """A label for each document, None if nobody asks for them."""
    from ..complexity.neighbours import check_labels, folder_labels, read_labels

    if not given["knn"]:
        return None
    path = given["labels"]
    labels = read_labels(path, names) if path else folder_labels(names)
    check_labels(labels, given["knn"])
    return labels


def _coder(given: dict[str, Any]) -> Coder:
    from ..complexity.coders import LmzipCoder, XzCoder, ZstdCoder
    from .choices import chosen_model

    if given["coder"] != "lmzip":
        return ZstdCoder() if given["coder"] == "zstd" else XzCoder()

    model, parameters = chosen_model(given)
    limit = given["memory_limit"]
    return LmzipCoder(model, parameters, memory_limit=limit, decode=not given["no_decode"])


class _Watch:
    """Reports how many codings there are and how long they may take; shows the progress."""

    MANY = 100
    """Codings that are worth a word."""
    SOON_S = 20.0
    """A run that is over so soon needs no estimate."""
    _PAIRS, _PAIRS_S = 3, 1.0
    """Pairs, and seconds, before there is one."""

    def __init__(self, *, quiet: bool, kept_in: Path | None) -> None:
        self._quiet, self._kept_in = quiet, kept_in
        self._bar: CodingBar | None = None
        self._first: tuple[float, Work] | None = None
        self._estimated = quiet

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.__exit__()

    def _say(self, message: str) -> None:
        if not self._quiet:
            say(f"{message}")

    def __call__(self, work: Work) -> None:
        if self._bar is None:
            self._announce(work)
            self._bar = CodingBar("coding", work.bytes_total, show=not self._quiet)
        self._bar(work.bytes_done)
        if not self._estimated and not work.alone:
            self._estimate(work)

    def _announce(self, work: Work) -> None:
        if work.total >= self.MANY:
            self._say(
                f"{work.total:,} codings to make: their number grows with the square of the "
                "number of documents" + ("" if self._kept_in else "; --results FILE stores them")
            )
        if work.kept:
            self._say(f"{work.kept:,} codings are already in {self._kept_in}")

    def _estimate(self, work: Work) -> None:
        """By the first pairs, as the bytes that they read are to those left."""
        if self._first is None:
            self._first = time.perf_counter(), work
            return
        seconds, start = time.perf_counter() - self._first[0], self._first[1]
        if work.done - start.done < self._PAIRS or seconds < self._PAIRS_S:
            return
        self._estimated = True
        speed = (work.bytes_done - start.bytes_done) / seconds
        left = (work.bytes_total - work.bytes_done) / speed
        if left > self.SOON_S:
            count = f"{work.total - work.done:,}"
            self._say(f"the {count} remaining codings will take about {_duration(left)}")


def _duration(seconds: float) -> str:
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def _show(
    matrix: DistanceMatrix, classification: Classification | None, given: dict[str, Any]
) -> None:
    from ..files import atomic_output

    if given["plot"]:
        from ..complexity.distance import average_linkage
        from .distance_plot import heat_map_svg

        svg = heat_map_svg(matrix, average_linkage(matrix.rows))
        with atomic_output(given["plot"], overwrite=True) as out:
            out.write(svg.encode())
    if given["as_json"]:
        result = matrix.as_dict()
        if classification is not None:
            result["knn"] = classification.as_dict()
        print(json.dumps(result))
        return
    table = matrix.as_csv().encode("utf-8", "surrogateescape")
    if given["csv"]:
        with atomic_output(given["csv"], overwrite=True) as out:
            out.write(table)
    else:
        sys.stdout.buffer.write(table)
        sys.stdout.flush()
    if classification is not None:
        print(_report(classification), file=sys.stdout if given["csv"] else sys.stderr)


def _report(found: Classification) -> str:
    """What the neighbours say, as Markdown."""
    from ..report import markdown
    from ..report.html import Table

    rows = tuple(
        (d.name, d.label, " = ".join(d.found), d.credit, d.nearest, d.distance)
        for d in found.documents
    )
    count, k = len(rows), found.neighbours
    note = (
        f"Right: {found.accuracy * count:g} of {count} ({found.accuracy:.1%}; by chance "
        f"{found.chance:.1%}). Ties: {found.vote_ties} of votes (the credit is shared), "
        f"{found.distance_ties} of distances (the places are shared)."
    )
    if found.alone:
        rest = count - len(found.alone)
        others = f", {found.accuracy * count / rest:.1%} without them" if rest else ""
        note += (
            f" The only ones with their label, so never right{others}: {', '.join(found.alone)}."
        )
    columns = ("document", "label", "found", "credit", "nearest", "distance")
    title = f"Labels by the {k} nearest neighbours, each document left out in turn"
    return markdown([Table(title, columns, rows, note, decimals=(0, 0, 0, 2, 0, 4))])
