"""Bits of sentences that are known exactly: under the truth, and of the learner who has to find it.

*Source* bits are those of a coder that knows the source. *Marginal* bits are those of the Bayesian
learner that begins with nothing but the recipe's sizes: Dirichlet(1) over templates and synonyms,
Pitman-Yor over facts, names drawn without replacement, values uniform. Their difference is the
redundancy: what there was to learn. All arrays are [n, 8], a column a byte.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .source import ROLES, SENTENCE_BYTES, SLOTS, Recipe, Sentences, Source

__all__ = [
    "Learner", "by_role", "expected_new_values", "first_sightings", "held_out_value_bits",
    "learner_for", "marginal_bits", "source_bits",
]  # fmt: skip

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Learner:
    """What the Bayesian learner believes of facts: a Pitman-Yor process, its two numbers in units
    of 2^-10, so that a decoder computes in integers."""

    discount: int
    strength: int

    UNIT = 1 << 10

    @property
    def alpha(self) -> float:
        return self.discount / self.UNIT

    @property
    def theta(self) -> float:
        return self.strength / self.UNIT


def learner_for(recipe: Recipe) -> Learner:
    """The learner whose process is of the recipe's kind: discount 1/power, strength 1."""
    alpha, theta = recipe.alpha, recipe.theta
    if recipe.law == "power":
        alpha, theta = min(0.95, 1 / max(recipe.power, 1.0)), 1.0
    elif recipe.law == "uniform":
        alpha, theta = 0.5, 1.0
    return Learner(round(alpha * Learner.UNIT), max(1, round(theta * Learner.UNIT)))


def by_role(bits: Floats) -> dict[str, float]:
    """Sums over sentences and a role's columns; they sum to the total."""
    columns = bits.sum(axis=0)
    found = dict.fromkeys(ROLES, 0.0)
    for role, total in zip(ROLES, columns, strict=True):
        found[role] += float(total)
    return found


def first_sightings(names: Ints) -> NDArray[np.bool_]:
    """Whether each of the names [n] occurs for the first time."""
    found = np.zeros(len(names), bool)
    found[np.unique(names, return_index=True)[1]] = True
    return found


def occurrences_before(symbols: Ints) -> Ints:
    """How often each of the symbols [n] has occurred before."""
    order = np.argsort(symbols, kind="stable")
    ordered = symbols[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    lengths = np.diff(np.append(starts, len(ordered)))
    found = np.empty(len(symbols), np.int64)
    found[order] = np.arange(len(ordered)) - np.repeat(starts, lengths)
    return found


def source_bits(source: Source, sentences: Sentences) -> Floats:
    """Under the truth. Values are known, unless they are drawn anew."""
    recipe = source.recipe
    bits = np.zeros((len(sentences), SENTENCE_BYTES))
    bits[:, 0] = -np.log2(source.template_chances)[sentences.templates]
    with np.errstate(divide="ignore"):  # of words that no template has
        words = -np.log2(source.word_chances)
    for slot, column in enumerate(SLOTS):
        bits[:, column] = words[sentences.templates, slot, sentences.words[:, slot]]
    facts = source.facts_of(sentences)
    first = np.zeros(recipe.name_shape[0])
    np.add.at(first, source.names // recipe.name_shape[1], source.chances)
    of_first = first[sentences.names // recipe.name_shape[1]]
    bits[:, 2] = -np.log2(of_first)
    bits[:, 3] = np.log2(of_first) - np.log2(source.chances[facts])
    if recipe.fresh_values:
        bits[:, 5], bits[:, 6] = np.log2(recipe.value_shape)
    return bits + 0.0


def marginal_bits(recipe: Recipe, learner: Learner, sentences: Sentences) -> Floats:
    """Of the learner, sentence by sentence as they come."""
    count = len(sentences)
    bits = np.zeros((count, SENTENCE_BYTES))
    if recipe.templates:
        seen = np.arange(count)
        of_template = occurrences_before(sentences.templates)
        bits[:, 0] = np.log2(seen + recipe.templates) - np.log2(of_template + 1)
        for slot, column in enumerate(SLOTS):
            words = sentences.words[:, slot]
            before = occurrences_before(sentences.templates * recipe.synonyms + words)
            bits[:, column] = np.log2(of_template + recipe.synonyms) - np.log2(before + 1)
    bits[:, 2:4] = _name_bits(recipe, learner, sentences.names)
    values = np.log2(recipe.value_shape)
    new = np.ones(count, bool) if recipe.fresh_values else first_sightings(sentences.names)
    bits[:, 5:7] = np.where(new[:, None], values, 0)
    return bits


def _name_bits(recipe: Recipe, learner: Learner, names: Ints) -> Floats:
    """[n, 2]: a name's first byte, summed over its second, and the second given the first."""
    count, second = len(names), recipe.name_shape[1]
    first = names // second
    new = first_sightings(names)
    seen = np.arange(count)
    known: Ints = np.cumsum(new) - new
    """Facts seen before each sentence."""
    known_first = np.zeros(count, np.int64)
    for symbol in np.unique(first):
        mine = first == symbol
        known_first[mine] = np.cumsum(new[mine]) - new[mine]
    alpha, theta = learner.alpha, learner.theta
    left = recipe.names - known
    each_new = np.divide(theta + alpha * known, left, out=np.zeros(count), where=left > 0)
    total = np.where(left > 0, seen + theta, seen - alpha * known)
    old_first = occurrences_before(first) - alpha * known_first
    of_first = (old_first + (second - known_first) * each_new) / total
    chance = np.where(new, each_new, occurrences_before(names) - alpha) / total
    return np.stack([-np.log2(of_first), np.log2(of_first) - np.log2(chance)], axis=1)


def expected_new_values(chances: Floats, counts: Sequence[int], bits: float = 12.0) -> Floats:
    """Expected bits of all new values in the first n sentences, for each n of `counts`:
    bits * sum(1 - (1 - p)^n)."""
    log = np.log1p(-np.minimum(chances, 1 - 1e-15))
    return np.array([bits * -np.expm1(n * log).sum() for n in counts])


def held_out_value_bits(chances: Floats, counts: Sequence[int], bits: float = 12.0) -> Floats:
    """Expected bits of the value in a further sentence after n: bits * sum(p (1 - p)^n)."""
    log = np.log1p(-np.minimum(chances, 1 - 1e-15))
    return np.array([bits * (chances * np.exp(n * log)).sum() for n in counts])
