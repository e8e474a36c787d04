"""The source `sk`: sentences of syntax and facts, with everything about them known.

A sentence has 8 bytes, `t w1 n1 n2 w2 v1 v2 w3`: a template, three of its synonyms, the name of a
fact and its value. Facts are drawn by a law (power, uniform, Pitman-Yor); a fact's value is the
same in every sentence. All bytes are ASCII, so that a byte is a token of a model without merges.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CorpusError, CorruptError, UsageError

__all__ = [
    "LAWS", "ROLES", "SENTENCE_BYTES", "Recipe", "Sentences", "Source", "load_recipe",
    "parse_sentences",
]  # fmt: skip

SENTENCE_BYTES = 8
ROLES = ("syntax", "syntax", "name", "name", "syntax", "value", "value", "syntax")
"""What each byte of a sentence is."""
LAWS = ("power", "uniform", "pitman-yor")
SLOTS = (1, 4, 7)
"""Where a sentence's synonyms stand."""

_TEMPLATES, _SYNONYMS, _SYMBOLS = 0x20, 0x28, 0x30
"""First bytes of the alphabets. Names of 128 symbols a byte begin at 0."""
_MOST_TEMPLATES = _MOST_SYNONYMS = 8

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that makes a source; equal recipes are equal sources."""

    facts: int = 4096
    """M, at most the number of names."""
    law: str = "power"
    power: float = 1.5
    """Fact i = 1..M has a probability proportional to (i + offset)^-power."""
    offset: float = 10.0
    alpha: float = 0.5
    theta: float = 1.0
    """Discount and strength of `pitman-yor`: facts appear as its tables do."""
    name_shape: tuple[int, int] = (64, 64)
    """Symbols of each of a name's two bytes."""
    value_shape: tuple[int, int] = (64, 64)
    templates: int = 4
    """0: no syntax at all (with one value bit: the Santa Fe process)."""
    first_template: int = 0
    """Templates of other sentences may stand before them."""
    synonyms: int = 4
    fresh_values: bool = False
    """Control: values are drawn anew for every sentence, so that there is nothing to know."""
    seed: int = 1

    def __post_init__(self) -> None:
        if self.law not in LAWS:
            raise UsageError(f"there is no law {self.law!r} (use {', '.join(LAWS)})")
        names = self.name_shape[0] * self.name_shape[1]
        for what, value, low, high in (
            ("facts", self.facts, 1, names),
            ("symbols of a name's byte", min(self.name_shape), 1, 128),
            ("symbols of a name's byte", max(self.name_shape), 1, 128),
            ("symbols of a value's byte", min(self.value_shape), 1, 64),
            ("symbols of a value's byte", max(self.value_shape), 1, 64),
            ("templates", self.first_template + self.templates, 0, _MOST_TEMPLATES),
            ("synonyms", self.synonyms, 1, _MOST_SYNONYMS),
            ("power", self.power, 0, 100),
            ("offset", self.offset, 0, 1e9),
            ("alpha", self.alpha, 0, 0.999),
            ("theta", self.theta, 1e-6, 1e9),
            ("seed", self.seed, 0, 1 << 62),
        ):
            if not low <= value <= high:
                raise UsageError(f"{what} must be between {low} and {high}, not {value}")

    @property
    def names(self) -> int:
        """Names that there could be."""
        return self.name_shape[0] * self.name_shape[1]

    @property
    def value_bits(self) -> float:
        """Bits of knowledge in a fact."""
        return math.log2(self.value_shape[0] * self.value_shape[1])

    @property
    def name_start(self) -> int:
        """The first byte of names."""
        return 0 if max(self.name_shape) > 64 else _SYMBOLS

    def alphabet(self) -> bytes:
        """All bytes that sentences may hold, ascending."""
        used = {_TEMPLATES + self.first_template + i for i in range(max(1, self.templates))}
        used |= {_SYNONYMS + i for i in range(self.synonyms)}
        used |= {self.name_start + i for i in range(max(self.name_shape))}
        used |= {_SYMBOLS + i for i in range(max(self.value_shape))}
        return bytes(sorted(used))

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]

    @property
    def sha256(self) -> str:
        """Names the source: of its canonical JSON."""
        text = json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def load_recipe(path: Path) -> Recipe:
    """The recipe in a TOML file's table `source`. Raises UsageError for what is none."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))["source"]
        for name in ("name_shape", "value_shape"):
            if name in table:
                first, second = table[name]
                table[name] = int(first), int(second)
        return Recipe(**table)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{path}: this is not the recipe of a source: {error}") from None


@dataclasses.dataclass(frozen=True)
class Sentences:
    """n sentences in symbols."""

    recipe: Recipe
    templates: Ints
    """[n], from 0 within the recipe's."""
    words: Ints
    """[n, 3]: which synonym stands in each slot."""
    names: Ints
    """[n]: first symbol * symbols of the second + second."""
    values: Ints
    """[n], likewise."""

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, part: slice | NDArray[Any]) -> Sentences:
        """Some of them."""
        return Sentences(
            self.recipe, self.templates[part], self.words[part], self.names[part], self.values[part]
        )

    def rows(self) -> NDArray[np.uint8]:
        """Bytes [n, 8]."""
        recipe = self.recipe
        out = np.empty((len(self), SENTENCE_BYTES), np.uint8)
        out[:, 0] = _TEMPLATES + recipe.first_template + self.templates
        out[:, SLOTS] = _SYNONYMS + self.words
        first, second = np.divmod(self.names, recipe.name_shape[1])
        out[:, 2], out[:, 3] = recipe.name_start + first, recipe.name_start + second
        first, second = np.divmod(self.values, recipe.value_shape[1])
        out[:, 5], out[:, 6] = _SYMBOLS + first, _SYMBOLS + second
        return out

    def text(self) -> bytes:
        """One behind the other."""
        return self.rows().tobytes()


def parse_sentences(recipe: Recipe, text: bytes) -> Sentences:
    """The sentences of a text. Raises CorruptError if it is none of this recipe's."""
    if len(text) % SENTENCE_BYTES:
        raise CorruptError(f"{len(text)} bytes are not a whole number of sentences")
    rows = np.frombuffer(text, np.uint8).reshape(-1, SENTENCE_BYTES).astype(np.int64)

    def symbols(column: int, start: int, count: int) -> Ints:
        found = rows[:, column] - start
        if len(found) and not (found.min() >= 0 and found.max() < count):
            raise CorruptError(f"byte {column + 1} of a sentence is not of the source's alphabet")
        return found

    start, (a, b), (c, d) = recipe.name_start, recipe.name_shape, recipe.value_shape
    templates = symbols(0, _TEMPLATES + recipe.first_template, max(1, recipe.templates))
    words = np.stack([symbols(s, _SYNONYMS, recipe.synonyms) for s in SLOTS], axis=1)
    return Sentences(
        recipe,
        templates,
        words,
        symbols(2, start, a) * b + symbols(3, start, b),
        symbols(5, _SYMBOLS, c) * d + symbols(6, _SYMBOLS, d),
    )


def _dirichlet(rng: np.random.Generator, *shape: int) -> Floats:
    """Points drawn evenly on simplices over the last axis."""
    drawn = -np.log1p(-rng.random(shape))
    return np.asarray(drawn / drawn.sum(axis=-1, keepdims=True))


def _draw(rng: np.random.Generator, chances: Floats) -> Ints:
    """One symbol of each row's distribution, chances [n, k]."""
    ends = np.cumsum(chances, axis=-1)
    u = rng.random(len(chances))[:, None] * ends[:, -1:]
    return np.asarray(np.minimum((u >= ends).sum(axis=-1), chances.shape[-1] - 1))


class Source:
    """The truth behind a recipe, and sentences drawn from it."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        rng = np.random.default_rng([recipe.seed, 0])
        order = np.argsort(rng.random(recipe.names), kind="stable")
        self.names: Ints = order[: recipe.facts].astype(np.int64)
        """[M]: of fact i, by falling probability."""
        space = recipe.value_shape[0] * recipe.value_shape[1]
        self.values: Ints = (rng.random(recipe.facts) * space).astype(np.int64)
        """[M]"""
        rng = np.random.default_rng([recipe.seed, 1, recipe.first_template])
        templates = max(1, recipe.templates)
        self.template_chances: Floats = _dirichlet(rng, templates)
        self.word_chances: Floats = _dirichlet(rng, templates, len(SLOTS), recipe.synonyms)
        if not recipe.templates:  # one template and one synonym: nothing to say
            self.template_chances = np.ones(1)
            self.word_chances = np.zeros((1, len(SLOTS), recipe.synonyms))
            self.word_chances[..., 0] = 1

    @functools.cached_property
    def chances(self) -> Floats:
        """Probabilities of the facts [M]. A Pitman-Yor source has none: raises UsageError."""
        recipe = self.recipe
        if recipe.law == "pitman-yor":
            raise UsageError("a Pitman-Yor source has no fixed probabilities")
        if recipe.law == "uniform":
            return np.full(recipe.facts, 1 / recipe.facts)
        weights = (np.arange(1, recipe.facts + 1) + recipe.offset) ** -recipe.power
        return np.asarray(weights / weights.sum())

    @functools.cached_property
    def fact_of_name(self) -> Ints:
        """[names]: which fact, -1 for none."""
        found = np.full(self.recipe.names, -1)
        found[self.names] = np.arange(self.recipe.facts)
        return found

    def _facts(self, rng: np.random.Generator, count: int) -> Ints:
        recipe = self.recipe
        if recipe.law != "pitman-yor":
            ends = np.cumsum(self.chances)
            found = np.searchsorted(ends, rng.random(count) * ends[-1], side="right")
            return np.asarray(np.minimum(found, recipe.facts - 1))
        facts = np.zeros(count, np.int64)
        seen: list[int] = []
        for i in range(count):
            if not i or rng.random() * (i + recipe.theta) < recipe.theta + recipe.alpha * len(seen):
                if len(seen) == recipe.facts:
                    raise CorpusError(
                        f"more facts than names: {recipe.facts} are used up after {i} sentences"
                    )
                facts[i] = len(seen)
                seen.append(1)
                continue
            while True:  # a table by its customers less the discount
                fact = int(facts[int(rng.random() * i)])
                if rng.random() * seen[fact] < seen[fact] - recipe.alpha:
                    break
            facts[i] = fact
            seen[fact] += 1
        return facts

    def draw(self, count: int, number: int = 0) -> Sentences:
        """So many sentences; another `number` draws others from the same truth."""
        recipe = self.recipe
        rng = np.random.default_rng([recipe.seed, 2, number])
        facts = self._facts(rng, count)
        return self.sentences_about(facts, rng)

    def sentences_about(self, facts: Ints, rng: np.random.Generator) -> Sentences:
        """A sentence about each of these facts."""
        recipe = self.recipe
        templates = _draw(rng, np.broadcast_to(self.template_chances, (len(facts), len(
            self.template_chances))))  # fmt: skip
        words = np.stack(
            [_draw(rng, self.word_chances[templates, slot]) for slot in range(len(SLOTS))], axis=1
        )
        values = self.values[facts]
        if recipe.fresh_values:
            values = (rng.random(len(facts)) * 2**recipe.value_bits).astype(np.int64)
        return Sentences(recipe, templates, words, self.names[facts], values)

    def facts_of(self, sentences: Sentences) -> Ints:
        """The fact of each sentence."""
        return np.asarray(self.fact_of_name[sentences.names])
