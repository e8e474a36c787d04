"""Distances between documents, by what one says of the other, and the tree that they make."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ..errors import UsageError
from ..extras import require_packages
from .coders import Coder
from .codings import CodingStore

__all__ = [
    "METRICS", "DistanceMatrix", "Tree", "Work", "average_linkage", "check_documents",
    "distance_matrix", "require_scipy",
]  # fmt: skip

METRICS = {
    "ncd": "(C(x, y) - min(C(x), C(y))) / max(C(x), C(y)), of both orders the smaller C(x, y)",
    "nid": "max(C(x given y), C(y given x)) / max(C(x), C(y))",
    "cond": "C(row given column) / C(row)",
}
"""What each is; all but `cond` are symmetric."""

Rows = Sequence[Sequence[float]]


@dataclasses.dataclass(frozen=True)
class DistanceMatrix:
    """Distances of documents; rows are x, columns y. Nothing is clipped, the diagonal is measured.

    Lengths of files stand behind them, so that a document is at some distance from itself, and two
    may be further from each other than 1.
    """

    metric: str
    coder: str
    identity: str
    """The coder's: whose decoder the lengths are for."""
    names: tuple[str, ...]
    sha256: tuple[str, ...]
    sizes: tuple[int, ...]
    """Bytes."""
    complexities: tuple[int, ...]
    """C(x), in bits."""
    rows: tuple[tuple[float, ...], ...]

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        documents = [
            {"name": name, "sha256": digest, "bytes": size, "complexity_bits": bits}
            for name, digest, size, bits in zip(
                self.names, self.sha256, self.sizes, self.complexities, strict=True
            )
        ]
        return {
            "metric": self.metric, "definition": METRICS[self.metric], "coder": self.coder,
            "identity": self.identity,
            "documents": documents, "matrix": [list(row) for row in self.rows],
        }  # fmt: skip

    def as_csv(self) -> str:
        """A line of names, then a line a document that begins with its name."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([self.metric, *self.names])
        for name, row in zip(self.names, self.rows, strict=True):
            writer.writerow([name, *row])
        return out.getvalue()


@dataclasses.dataclass(frozen=True)
class Work:
    """How far it is."""

    done: int
    """Codings made."""
    total: int
    """Codings to make, without those that were kept."""
    kept: int
    bytes_done: int
    """Read by the codings made, the given ones too."""
    bytes_total: int
    alone: bool
    """A document alone comes next, not a pair."""


class _Coding(NamedTuple):
    """A length to find: of document x alone, or with another one (by their numbers)."""

    kind: str
    x: int
    y: int | None = None


def _codings(count: int, metric: str) -> Iterator[_Coding]:
    """What a matrix needs: documents alone, then both orders of all pairs, and the diagonal."""
    for x in range(count):
        yield _Coding("alone", x)
    kind = "joint" if metric == "ncd" else "given"
    for x in range(count):
        yield _Coding(kind, x, x)
        for y in range(x):
            yield _Coding(kind, x, y)
            yield _Coding(kind, y, x)


def check_documents(documents: Sequence[tuple[str, bytes]]) -> None:
    """Raise UsageError unless there are two at least, none empty, no name twice."""
    if len(documents) < 2:
        raise UsageError("a distance needs two documents at least")
    seen = set()
    for name, data in documents:
        if not data:
            raise UsageError(f"{name} is empty: nothing can be said of it")
        if name in seen:
            raise UsageError(f"two documents are called {name}")
        seen.add(name)


class _Lengths:
    """Bits of codings, each found once: equal documents are one, and a store may know some."""

    def __init__(
        self, documents: Sequence[tuple[str, bytes]], coder: Coder, store: CodingStore | None
    ) -> None:
        self._documents, self._coder, self._store = documents, coder, store
        self._identity = coder.identity
        self.sha256 = tuple(hashlib.sha256(data).hexdigest() for _, data in documents)
        self._bits: dict[tuple[str, ...], int] = {}

    def _key(self, coding: _Coding) -> tuple[str, str, str]:
        other = "" if coding.y is None else self.sha256[coding.y]
        return coding.kind, self.sha256[coding.x], other

    def _read(self, coding: _Coding) -> int:
        """Bytes that a coding reads."""
        return sum(len(self._documents[i][1]) for i in coding[1:] if i is not None)

    def find(self, codings: list[_Coding], progress: Callable[[Work], None] | None) -> None:
        """Take the lengths out of the store, or make them, in order."""
        wanted: dict[tuple[str, str, str], _Coding] = {}
        for coding in codings:
            wanted.setdefault(self._key(coding), coding)
        if self._store is not None:
            for key in wanted:
                bits = self._store.find(self._identity, key)
                if bits is not None:
                    self._bits[key] = bits
        open_keys = [key for key in wanted if key not in self._bits]
        total = sum(self._read(wanted[key]) for key in open_keys)
        kept, read = len(self._bits), 0
        for done, key in enumerate(open_keys):
            coding = wanted[key]
            if progress is not None:
                alone = coding.y is None
                progress(Work(done, len(open_keys), kept, read, total, alone))
            self._bits[key] = self._make(coding)
            if self._store is not None:
                self._store.add(self._identity, key, self._bits[key])
            read += self._read(coding)
        if progress is not None:
            progress(Work(len(open_keys), len(open_keys), kept, total, total, False))

    def _make(self, coding: _Coding) -> int:
        x = self._documents[coding.x][1]
        if coding.y is None:
            return self._coder.alone(x)
        y = self._documents[coding.y][1]
        return self._coder.joint(x, y) if coding.kind == "joint" else self._coder.given(x, y)

    def __getitem__(self, coding: _Coding) -> int:
        return self._bits[self._key(coding)]


def distance_matrix(
    documents: Sequence[tuple[str, bytes]],
    coder: Coder,
    metric: str,
    *,
    store: CodingStore | None = None,
    progress: Callable[[Work], None] | None = None,
) -> DistanceMatrix:
    """Distances of all documents, given by name and contents, from all.

    n documents take n + n^2 codings, those left out that the store knows or that equal documents
    repeat. `progress` is called before each coding and behind the last. Raises UsageError as
    `check_documents`, and whatever the coder raises; what the store holds by then is good.
    """
    check_documents(documents)
    lengths, count = _Lengths(documents, coder, store), len(documents)
    lengths.find(list(_codings(count, metric)), progress)
    alone = [lengths[_Coding("alone", x)] for x in range(count)]

    def distance(x: int, y: int) -> float:
        if metric == "cond":
            return lengths[_Coding("given", x, y)] / alone[x]
        low, high = sorted((alone[x], alone[y]))
        kind = "joint" if metric == "ncd" else "given"
        both = lengths[_Coding(kind, x, y)], lengths[_Coding(kind, y, x)]
        return (min(both) - low) / high if metric == "ncd" else max(both) / high

    return DistanceMatrix(
        metric=metric,
        coder=coder.name,
        identity=coder.identity,
        names=tuple(name for name, _ in documents),
        sha256=lengths.sha256,
        sizes=tuple(len(data) for _, data in documents),
        complexities=tuple(alone),
        rows=tuple(tuple(distance(x, y) for y in range(count)) for x in range(count)),
    )


@dataclasses.dataclass(frozen=True)
class Tree:
    """Clusters of documents."""

    order: tuple[int, ...]
    """Documents, so that no branches cross."""
    branches: tuple[tuple[tuple[float, ...], tuple[float, ...]], ...]
    """Places (from 0, along `order`) and heights of the four corners of each junction."""


def require_scipy() -> None:
    """Raises MissingPackageError if it is not installed."""
    require_packages("trees of distances", "scipy")


def average_linkage(rows: Rows) -> Tree:
    """The tree that joins what is nearest by the mean distance between members (UPGMA).

    The distance of two documents is the mean of both directions; the diagonal does not count.
    """
    require_scipy()
    import numpy as np
    from scipy.cluster import hierarchy

    matrix = np.array(rows, dtype=float)
    upper = np.triu_indices(len(matrix), 1)
    pairs = ((matrix + matrix.T) / 2)[upper]
    # scipy takes no distances below zero; a constant moves the heights, and nothing else.
    shift = min(0.0, float(pairs.min()))
    links = hierarchy.linkage(pairs - shift, "average", optimal_ordering=True)
    drawn = hierarchy.dendrogram(links, no_plot=True)
    branches = tuple(
        (tuple((place - 5) / 10 for place in places), tuple(height + shift for height in heights))
        for places, heights in zip(drawn["icoord"], drawn["dcoord"], strict=True)
    )
    return Tree(tuple(map(int, drawn["leaves"])), branches)
