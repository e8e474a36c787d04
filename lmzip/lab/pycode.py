"""`py`: the marginal code of the source `sk` as a stream that decodes on any machine.

Frequencies are integers made from counts by elementwise operations that every processor rounds
alike, and go through the range coder. A file is a magic number, the recipe's sizes as varints (not
its truth: no names, values or probabilities), and the payload.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from ..coder import SymbolCoder, new_decoder, new_encoder
from ..errors import CorruptError, UsageError
from ..format.fields import Reader, pack_varint
from .oracle import Learner, first_sightings
from .source import Recipe, Sentences

__all__ = ["PyCode", "decode_py", "encode_py"]

MAGIC = b"lmzpy\x01"
_TOTAL = 1 << 24
_MOST_WEIGHT = 1 << 40

Ints = NDArray[np.int64]


def _frequencies(weights: Ints) -> NDArray[np.int32]:
    """[1, K] of at least 1 that sum to 2^24, in proportion to weights [K] of sum > 0."""
    total = int(weights.sum())
    if total > _MOST_WEIGHT:
        shift = total.bit_length() - 40
        weights = np.maximum(weights >> shift, weights > 0)
        total = int(weights.sum())
    factor = float(_TOTAL) / float(total)
    freqs = np.maximum(1, np.rint(weights.astype(np.float64) * factor).astype(np.int64))
    freqs[int(np.argmax(freqs))] += _TOTAL - int(freqs.sum())
    return freqs.astype(np.int32)[None]


class PyCode:
    """The learner's state: predicts, codes in either direction, counts."""

    def __init__(self, recipe: Recipe, learner: Learner) -> None:
        self.recipe, self.learner = recipe, learner
        first, second = recipe.name_shape
        self._seen = 0
        self._known = 0
        self._templates = np.ones(max(1, recipe.templates), np.int64)
        self._words = np.ones((max(1, recipe.templates), 3, recipe.synonyms), np.int64)
        self._counts = np.zeros((first, second), np.int64)
        self._first_counts = np.zeros(first, np.int64)
        self._first_known = np.zeros(first, np.int64)
        self._values: dict[int, int] = {}
        self._uniform = [np.full((1, n), _TOTAL // n, np.int32) for n in recipe.value_shape]
        for freqs in self._uniform:
            freqs[0, 0] += _TOTAL - int(freqs.sum())

    def _name_weights(self, old: Ints, known: Ints, new: Ints) -> Ints:
        """Weights of symbols with so many sentences, known names and names not seen yet.

        One name not seen has weight (strength + discount * known) / names left, all times the
        names left.
        """
        learner = self.learner
        left = self.recipe.names - self._known
        mass = learner.strength + learner.discount * self._known
        weights = (old * learner.UNIT - learner.discount * known) * max(left, 1)
        return weights + new * mass if left else weights

    def sentence(self, coder: SymbolCoder, wanted: tuple[int, ...] | None) -> tuple[int, ...]:
        """Code one: template, three words, name, value as symbols; `wanted` is None to decode."""
        recipe = self.recipe

        def code(freqs: NDArray[np.int32], symbol: int | None) -> int:
            given = None if symbol is None else np.array([symbol], np.int64)
            return int(coder.code(freqs, given)[0])

        t, w1, w2, w3, name, value = wanted or (None,) * 6
        if recipe.templates:
            t = code(_frequencies(self._templates), t)
            words = self._words[t]
            w1 = code(_frequencies(words[0]), w1)
        else:
            t, w1 = 0, 0
            words = self._words[0]
        second = recipe.name_shape[1]
        n1 = code(
            _frequencies(self._name_weights(
                self._first_counts, self._first_known, second - self._first_known
            )),
            None if name is None else name // second,
        )  # fmt: skip
        counts = self._counts[n1]
        old = counts > 0
        n2 = code(
            _frequencies(self._name_weights(counts, old.astype(np.int64), (~old).astype(np.int64))),
            None if name is None else name % second,
        )
        w2 = code(_frequencies(words[1]), w2) if recipe.templates else 0
        name = n1 * second + n2
        if recipe.fresh_values or name not in self._values:
            width = recipe.value_shape[1]
            v1 = code(self._uniform[0], None if value is None else value // width)
            v2 = code(self._uniform[1], None if value is None else value % width)
            self._values[name] = v1 * width + v2
        elif value is not None and value != self._values[name]:
            raise UsageError("a fact has two values: this is no text of that source")
        w3 = code(_frequencies(words[2]), w3) if recipe.templates else 0
        self._count(t, (w1, w2, w3), n1, n2)
        return t, w1, w2, w3, name, self._values[name]

    def _count(self, t: int, words: tuple[int, int, int], n1: int, n2: int) -> None:
        self._templates[t] += 1
        self._words[t, (0, 1, 2), words] += 1
        if not self._counts[n1, n2]:
            self._known += 1
            self._first_known[n1] += 1
        self._counts[n1, n2] += 1
        self._first_counts[n1] += 1
        self._seen += 1


def _columns(sentences: Sentences) -> Ints:
    """[n, 6]: as `PyCode.sentence` takes them."""
    return np.column_stack(
        [sentences.templates, sentences.words, sentences.names, sentences.values]
    )


def encode_py(recipe: Recipe, learner: Learner, sentences: Sentences) -> tuple[bytes, int]:
    """A file of these sentences, and how many of its bytes are payload.

    Raises UsageError for a text in which a fact has two values.
    """
    new = first_sightings(sentences.names)
    if not recipe.fresh_values and len(sentences):
        value_of = dict(zip(sentences.names[new].tolist(), sentences.values[new].tolist(),
                            strict=True))  # fmt: skip
        pairs = zip(sentences.names.tolist(), sentences.values.tolist(), strict=True)
        if any(value_of[n] != v for n, v in pairs):
            raise UsageError("a fact has two values: this is no text of that source")
    code, encoder = PyCode(recipe, learner), new_encoder()
    for row in _columns(sentences).tolist():
        code.sentence(encoder, tuple(row))
    payload = encoder.finish()
    header = [
        len(sentences), *recipe.name_shape, *recipe.value_shape, recipe.templates,
        recipe.first_template, recipe.synonyms, int(recipe.fresh_values), learner.discount,
        learner.strength, len(payload),
    ]  # fmt: skip
    return MAGIC + b"".join(map(pack_varint, header)) + payload, len(payload)


def decode_py(blob: bytes) -> Sentences:
    """The sentences of a file; their recipe has the sizes only. Raises CorruptError and others."""
    reader = Reader(io.BytesIO(blob))
    if reader.bytes(len(MAGIC)) != MAGIC:
        raise CorruptError("not a file of the code py")
    names = ["count", "a", "b", "c", "d", "templates", "first", "synonyms", "fresh", "discount",
             "strength", "length"]  # fmt: skip
    f = {name: reader.varint(1 << 40, name) for name in names}
    payload = reader.bytes(f["length"])
    recipe = Recipe(
        facts=f["a"] * f["b"], name_shape=(f["a"], f["b"]), value_shape=(f["c"], f["d"]),
        templates=f["templates"], first_template=f["first"], synonyms=f["synonyms"],
        fresh_values=bool(f["fresh"]),
    )  # fmt: skip
    code, decoder = PyCode(recipe, Learner(f["discount"], f["strength"])), new_decoder(payload)
    rows = np.array([code.sentence(decoder, None) for _ in range(f["count"])], np.int64)
    rows = rows.reshape(-1, 6)
    return Sentences(recipe, rows[:, 0], rows[:, 1:4], rows[:, 4], rows[:, 5])
