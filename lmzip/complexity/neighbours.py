"""Classification by the nearest documents, with ties that favour nobody."""

from __future__ import annotations

import csv
import dataclasses
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..errors import UsageError

__all__ = [
    "Classification",
    "Classified",
    "check_labels",
    "classify",
    "folder_labels",
    "read_labels",
]


@dataclasses.dataclass(frozen=True)
class Classified:
    """What a document's neighbours make of it."""

    name: str
    label: str
    found: tuple[str, ...]
    """The labels with most votes, in alphabetical order: more than one if they tie."""
    credit: float
    """1 / number of labels found if the right one is among them, else 0."""
    nearest: str
    """The nearest document; of several, the first."""
    distance: float
    """Its distance."""
    shared_places: bool
    """More documents were at the same distance than there were places for neighbours."""
    alone: bool
    """No other document has its label: it cannot be right."""


@dataclasses.dataclass(frozen=True)
class Classification:
    """Every document, by all the others."""

    neighbours: int
    documents: tuple[Classified, ...]
    chance: float
    """Accuracy of a neighbour drawn by chance."""

    @property
    def accuracy(self) -> float:
        """Mean credit of all documents, those alone in their label included."""
        return sum(d.credit for d in self.documents) / len(self.documents)

    @property
    def vote_ties(self) -> int:
        """Documents for which several labels had most votes."""
        return sum(len(d.found) > 1 for d in self.documents)

    @property
    def distance_ties(self) -> int:
        """Documents whose last places for neighbours several others had to share."""
        return sum(d.shared_places for d in self.documents)

    @property
    def alone(self) -> tuple[str, ...]:
        """Documents without another of their label."""
        return tuple(d.name for d in self.documents if d.alone)

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return {
            "neighbours": self.neighbours, "accuracy": self.accuracy, "chance": self.chance,
            "vote_ties": self.vote_ties, "distance_ties": self.distance_ties,
            "alone": list(self.alone),
            "documents": [dataclasses.asdict(d) for d in self.documents],
        }  # fmt: skip


def check_labels(labels: Sequence[str], neighbours: int) -> None:
    """Raise UsageError for what nothing can be learned from."""
    if not 1 <= neighbours < len(labels):
        raise UsageError(
            f"{len(labels)} documents have 1 to {len(labels) - 1} neighbours each, not {neighbours}"
        )
    if len(set(labels)) < 2:
        raise UsageError(f"all documents have the label {labels[0]!r}: there is nothing to find")


def classify(
    names: Sequence[str],
    rows: Sequence[Sequence[float]],
    labels: Sequence[str],
    neighbours: int,
) -> Classification:
    """Each document by the k nearest of the others, a vote each; distances are those of its row.

    Where several are equally far and there are places for some of them only, these share the
    places: each has (places / documents) of a vote. Where several labels have most votes, credit is
    shared. So neither names nor order change anything. Raises UsageError as `check_labels`.
    """
    check_labels(labels, neighbours)
    count, sizes = len(labels), Counter(labels)
    documents = []
    for x in range(count):
        others = sorted((y for y in range(count) if y != x), key=lambda y: rows[x][y])
        last = rows[x][others[neighbours - 1]]
        nearer = [y for y in others if rows[x][y] < last]
        as_far = [y for y in others if rows[x][y] == last]
        places = neighbours - len(nearer)
        votes: defaultdict[str, Fraction] = defaultdict(Fraction)
        for y in nearer:
            votes[labels[y]] += 1
        for y in as_far:
            votes[labels[y]] += Fraction(places, len(as_far))
        most = max(votes.values())
        found = tuple(sorted(label for label, vote in votes.items() if vote == most))
        documents.append(
            Classified(
                name=names[x],
                label=labels[x],
                found=found,
                credit=1 / len(found) if labels[x] in found else 0.0,
                nearest=names[others[0]],
                distance=rows[x][others[0]],
                shared_places=len(as_far) > places,
                alone=sizes[labels[x]] == 1,
            )
        )
    same = sum(sizes[label] - 1 for label in labels)
    return Classification(neighbours, tuple(documents), same / (count * (count - 1)))


def folder_labels(names: Sequence[str]) -> list[str]:
    """The name of the folder that each document is in."""
    return [Path(name).absolute().parent.name for name in names]


def read_labels(path: Path, names: Sequence[str]) -> list[str]:
    """Labels of documents from a CSV file of names and labels; a line `name,label` is a heading.

    A document is named as in the matrix, or by its file's name if no other document has that.
    Raises UsageError for another sort of file, for a name that comes twice, and for a document
    without label.
    """
    known = _read_csv(path)
    shared = Counter(Path(name).name for name in names)
    labels = []
    for name in names:
        short = Path(name).name
        label = known.get(name, known.get(short) if shared[short] == 1 else None)
        if label is None:
            why = ""
            if short in known:
                why = f": {shared[short]} documents are called {short}, name them in full"
            raise UsageError(f"{path}: no label for {name}{why}")
        labels.append(label)
    return labels


def _read_csv(path: Path) -> Mapping[str, str]:
    known: dict[str, str] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            rows = list(csv.reader(file))
    except csv.Error as error:
        raise UsageError(f"{path}: no CSV file ({error})") from None
    for number, row in enumerate(rows, 1):
        if not row or (number == 1 and [cell.strip().lower() for cell in row] == ["name", "label"]):
            continue
        if len(row) != 2 or not row[1]:
            raise UsageError(f"{path}, row {number}: not a name and a label")
        if row[0] in known:
            raise UsageError(f"{path}, row {number}: {row[0]} has a label already")
        known[row[0]] = row[1]
    return known
