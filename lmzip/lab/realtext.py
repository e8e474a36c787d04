"""Real texts and real models: bits of facts by how often they were in the training text, and bits
by position in sentence and document."""

from __future__ import annotations

import collections
import dataclasses
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..codec import CodecModel, CodingParameters
from ..errors import UsageError
from .text import bits_by_byte

__all__ = ["FACT_CLASSES", "FactBits", "PositionBits", "count_facts", "fact_bits", "facts_of",
           "position_bits"]  # fmt: skip

Floats = NDArray[np.float64]

_NAME = r"[A-ZÀ-Þ][\w'\u2019-]*[a-zß-ÿ][\w'\u2019-]*"
_FACT = re.compile(rf"\b(?:{_NAME}(?:[ ]{_NAME})*|\d[\d.,]*\d)")
_SENTENCE_START = re.compile(r"(?:\A|[.!?:;\"'“”\u2018\u2019(\[*_>-]|\n)\s*\Z")
FACT_CLASSES = ((0, 0), (1, 9), (10, 99), (100, 999), (1000, 1 << 60))
"""Occurrences in the training text."""
_BOOTSTRAP = 400
_SENTENCE = re.compile(r"(?<=[.!?])[\"'”\u2019)]*\s+")


def facts_of(text: str) -> Iterable[tuple[str, int, int]]:
    """Names and numbers with where they stand, in characters: runs of capitalised words that begin
    no sentence, and numbers of two digits or more."""
    for match in _FACT.finditer(text):
        start, end = match.span()
        word = match[0]
        if not word[0].isdigit() and _SENTENCE_START.search(text[max(0, start - 8) : start]):
            first, _, word = word.partition(" ")  # capitalised for where it stands
            start += len(first) + 1
            if not word:
                continue
        yield word, start, end


def count_facts(texts: Iterable[str]) -> collections.Counter[str]:
    """How often each fact occurs."""
    counts: collections.Counter[str] = collections.Counter()
    for text in texts:
        counts.update(word for word, _, _ in facts_of(text))
    return counts


@dataclasses.dataclass(frozen=True)
class FactBits:
    """Facts of a class of frequency under a model."""

    low: int
    high: int
    facts: int
    """Occurrences in the text that was measured."""
    bits_per_byte: float
    interval: tuple[float, float]
    """95 per cent, by bootstrap over facts."""
    kind: str
    """`names` or `numbers`."""


def _plain(model: CodecModel) -> CodingParameters:
    window = min(1024, model.engine.config.context)
    return CodingParameters(window=window, mixing_bits=0, block_bytes=16 << 20)


def fact_bits(
    model: CodecModel, texts: Sequence[bytes], counts: collections.Counter[str]
) -> list[FactBits]:
    """Bits a byte of each class of names and numbers; each fact's first occurrence in a text alone,
    since later ones could be copied from context."""
    found: dict[tuple[str, int], list[tuple[float, int]]] = {}
    for data in texts:
        text = data.decode("utf-8", "replace")
        ends = np.concatenate([[0], np.cumsum([len(c.encode()) for c in text])])
        if ends[-1] != len(data):
            raise UsageError("facts can only be found in valid UTF-8")
        costs = np.concatenate([[0.0], np.cumsum(bits_by_byte(model, data, _plain(model)))])
        seen = set()
        for word, start, end in facts_of(text):
            if word in seen:
                continue
            seen.add(word)
            kind = "numbers" if word[0].isdigit() else "names"
            number = counts[word]
            klass = next(i for i, (a, b) in enumerate(FACT_CLASSES) if a <= number <= b)
            first, last = ends[start], ends[end]
            found.setdefault((kind, klass), []).append(
                (float(costs[last] - costs[first]), int(last - first))
            )
    rng = np.random.default_rng(0)
    rows = []
    for (kind, klass), items in sorted(found.items()):
        values = np.array(items)
        draws = rng.integers(len(values), size=(_BOOTSTRAP, len(values)))
        sums = values[draws].sum(axis=1)
        low, high = np.percentile(sums[:, 0] / sums[:, 1], [2.5, 97.5])
        total = values.sum(axis=0)
        rows.append(FactBits(*FACT_CLASSES[klass], len(values), float(total[0] / total[1]),
                             (float(low), float(high)), kind))  # fmt: skip
    return rows


@dataclasses.dataclass(frozen=True)
class PositionBits:
    """Mean bits a byte of words or sentences at a place."""

    place: str
    """`sentence`: the n-th word of a sentence; `document`: the n-th sentence."""
    position: int
    count: int
    bits_per_byte: float


def position_bits(
    model: CodecModel, texts: Sequence[bytes], *, most: int = 24
) -> list[PositionBits]:
    """Entropy rate by position of words in sentences, and of sentences in documents."""
    sums: dict[tuple[str, int], Floats] = collections.defaultdict(lambda: np.zeros(3))
    for data in texts:
        text = data.decode("utf-8", "replace")
        ends = np.concatenate([[0], np.cumsum([len(c.encode()) for c in text])])
        if ends[-1] != len(data):
            raise UsageError("positions can only be counted in valid UTF-8")
        costs = np.concatenate([[0.0], np.cumsum(bits_by_byte(model, data, _plain(model)))])
        start = 0
        bounds = [m.end() for m in _SENTENCE.finditer(text)] + [len(text)]
        for number, end in enumerate(bounds):
            cost = costs[ends[end]] - costs[ends[start]]
            if end > start:
                # Sentences by doublings: the first, the second, the next two, four and so on.
                place = ("document", number.bit_length())
                sums[place] += [1, cost, ends[end] - ends[start]]
            at = start
            for word, match in enumerate(re.finditer(r"\S+\s*", text[start:end])):
                stop = start + match.end()
                if word < most:
                    sums["sentence", word] += [
                        1, costs[ends[stop]] - costs[ends[at]], ends[stop] - ends[at]
                    ]  # fmt: skip
                at = stop
            start = end
    return [
        PositionBits(place, position, int(n), float(bits / size))
        for (place, position), (n, bits, size) in sorted(sums.items()) if size
    ]  # fmt: skip
