"""The source sk, its oracle, and the marginal code: closed forms, streams, Kraft's inequality."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from scipy.special import gammaln

from lmzip.errors import CorpusError, CorruptError, UsageError
from lmzip.lab.oracle import (
    Learner,
    by_role,
    expected_new_values,
    held_out_value_bits,
    learner_for,
    marginal_bits,
    source_bits,
)
from lmzip.lab.pycode import decode_py, encode_py
from lmzip.lab.source import ROLES, Recipe, Sentences, Source, load_recipe, parse_sentences

SMALL = Recipe(facts=64, name_shape=(8, 8), value_shape=(8, 8), power=1.5, offset=2)
RECIPES = {
    "power": SMALL,
    "uniform": dataclasses.replace(SMALL, law="uniform"),
    "pitman-yor": dataclasses.replace(SMALL, law="pitman-yor", alpha=0.3, theta=1.0),
    "some names": dataclasses.replace(SMALL, facts=20),
    "fresh": dataclasses.replace(SMALL, fresh_values=True),
    "Santa Fe": Recipe(facts=64, name_shape=(8, 8), value_shape=(1, 2), templates=0),
    "wide": Recipe(facts=128 * 128, name_shape=(128, 128), power=2),
}


@pytest.fixture(params=list(RECIPES))
def recipe(request):
    return RECIPES[request.param]


def closed_form(recipe: Recipe, learner: Learner, s: Sentences) -> float:
    """The marginal probability in one formula, by gamma functions; its bits."""

    def dirichlet(counts: np.ndarray) -> float:
        k, n = len(counts), counts.sum()
        return float(gammaln(k) - gammaln(k + n) + gammaln(counts + 1).sum())

    total = 0.0
    if recipe.templates:
        total += dirichlet(np.bincount(s.templates, minlength=recipe.templates))
        for t, slot in itertools.product(range(recipe.templates), range(3)):
            words = s.words[s.templates == t, slot]
            total += dirichlet(np.bincount(words, minlength=recipe.synonyms))
    counts = np.unique(s.names, return_counts=True)[1]
    alpha, theta, k, n = learner.alpha, learner.theta, len(counts), len(s)
    if k < recipe.names:
        total += float(gammaln(theta) - gammaln(theta + n))
        total += float(np.log((theta + alpha * np.arange(k)) / (recipe.names - np.arange(k))).sum())
        total += float((gammaln(counts - alpha) - gammaln(1 - alpha)).sum())
    else:
        pytest.skip("all names seen: the process ends")
    values = n if recipe.fresh_values else k
    return -total / math.log(2) + values * recipe.value_bits


def test_marginal_bits_are_the_closed_form(recipe):
    sentences = Source(recipe).draw(60 if recipe.facts < 1000 else 500)
    learner = learner_for(recipe)
    bits = marginal_bits(recipe, learner, sentences)
    assert bits.sum() == pytest.approx(closed_form(recipe, learner, sentences), abs=1e-6)


def test_order_does_not_matter(recipe):
    sentences = Source(recipe).draw(50)
    learner = learner_for(recipe)
    mixed = sentences[np.random.default_rng(0).permutation(len(sentences))]
    assert marginal_bits(recipe, learner, mixed).sum() == pytest.approx(
        marginal_bits(recipe, learner, sentences).sum(), abs=1e-6
    )


def test_roles_sum_to_the_total(recipe):
    source = Source(recipe)
    sentences = source.draw(300)
    learner = learner_for(recipe)
    for bits in [marginal_bits(recipe, learner, sentences)] + (
        [] if recipe.law == "pitman-yor" else [source_bits(source, sentences)]
    ):
        assert (bits >= -1e-9).all()
        assert sum(by_role(bits).values()) == pytest.approx(bits.sum())
        assert set(by_role(bits)) == {"syntax", "name", "value"}


def test_source_bits_are_entropies():
    source = Source(SMALL)
    sentences = source.draw(60_000)
    mean = by_role(source_bits(source, sentences))
    p = source.chances
    assert mean["name"] / 60_000 == pytest.approx(-(p * np.log2(p)).sum(), rel=0.01)
    assert mean["value"] == 0
    pi, q = source.template_chances, source.word_chances
    syntax = -(pi * np.log2(pi)).sum() - (pi[:, None, None] * q * np.log2(q)).sum()
    assert mean["syntax"] / 60_000 == pytest.approx(syntax, rel=0.01)


def test_redundancy_is_paid_by_who_does_not_know():
    source = Source(SMALL)
    sentences = source.draw(2000)
    mine = marginal_bits(SMALL, learner_for(SMALL), sentences)
    assert mine.sum() > source_bits(source, sentences).sum()
    new = len(np.unique(sentences.names))
    assert by_role(mine)["value"] == pytest.approx(new * SMALL.value_bits)


def test_streams_decode_and_are_short(recipe):
    sentences = Source(recipe).draw(1500 if recipe.facts > 1000 else 400)
    learner = learner_for(recipe)
    blob, payload = encode_py(recipe, learner, sentences)
    back = decode_py(blob)
    assert back.text() == sentences.text() or recipe.name_start == 0
    np.testing.assert_array_equal(back.names, sentences.names)
    np.testing.assert_array_equal(back.values, sentences.values)
    ideal = marginal_bits(recipe, learner, sentences).sum()
    assert ideal - 32 <= 8 * payload <= ideal + 64
    assert len(blob) - payload < 40


def test_truth_is_not_in_the_stream():
    """Two sources that differ in their values alone have headers alike."""
    sentences = Source(SMALL).draw(0)
    other = Source(dataclasses.replace(SMALL, seed=9)).draw(0)
    learner = learner_for(SMALL)
    assert encode_py(SMALL, learner, sentences) == encode_py(other.recipe, learner, other)


class _Chance:
    """A coder that multiplies frequencies, each of 24 bits."""

    def __init__(self) -> None:
        self.bits = 0.0

    def code(self, freqs, symbols):
        assert freqs.min() >= 1 and freqs.sum() == 1 << 24
        self.bits += 24 - math.log2(freqs[0, symbols[0]])
        return symbols


@pytest.mark.parametrize(
    ("recipe", "count"),
    [
        (Recipe(facts=3, name_shape=(1, 3), value_shape=(1, 2), templates=0), 3),
        (Recipe(facts=3, name_shape=(3, 1), value_shape=(2, 1), templates=0,
                fresh_values=True), 3),
        (Recipe(facts=2, name_shape=(1, 2), value_shape=(1, 2), templates=2, synonyms=2), 2),
    ],
)  # fmt: skip
def test_kraft(recipe, count):
    """Over all texts of three sentences about three facts, 2^-bits sums to one at most."""
    from lmzip.lab.pycode import PyCode

    t, w = max(1, recipe.templates), recipe.synonyms if recipe.templates else 1
    values = recipe.value_shape[0] * recipe.value_shape[1]
    every = list(itertools.product(
        range(t), range(w), range(w), range(w), range(recipe.names), range(values)
    ))  # fmt: skip
    total, left_out = 0.0, 0
    for text in itertools.product(every, repeat=count):
        code, chance = PyCode(recipe, learner_for(recipe)), _Chance()
        try:
            for sentence in text:
                code.sentence(chance, sentence)
        except UsageError:
            left_out += 1
            continue
        total += 2.0**-chance.bits
    assert total == pytest.approx(1, abs=1e-9)
    assert (left_out == 0) == recipe.fresh_values


def test_a_fact_with_two_values_is_refused():
    sentences = Source(RECIPES["fresh"]).draw(200)
    with pytest.raises(UsageError, match="two values"):
        encode_py(SMALL, learner_for(SMALL), sentences)


def test_damaged_streams():
    blob, _ = encode_py(SMALL, learner_for(SMALL), Source(SMALL).draw(5))
    with pytest.raises(CorruptError, match="not a file of the code py"):
        decode_py(b"x" + blob[1:])


def test_texts_are_parsed(recipe):
    sentences = Source(recipe).draw(50)
    back = parse_sentences(recipe, sentences.text())
    for name in ("templates", "words", "names", "values"):
        np.testing.assert_array_equal(getattr(back, name), getattr(sentences, name))
    assert set(sentences.text()) <= set(recipe.alphabet())
    with pytest.raises(CorruptError, match="whole number of sentences"):
        parse_sentences(recipe, b"x")
    if recipe.name_start:
        with pytest.raises(CorruptError, match="alphabet"):
            parse_sentences(recipe, b"\xff" * 8)


def test_draws_repeat_and_share_their_truth(recipe):
    source = Source(recipe)
    assert source.draw(30).text() == Source(recipe).draw(30).text()
    assert source.draw(30).text() != source.draw(30, 1).text()
    assert len(set(source.names.tolist())) == recipe.facts


def test_exact_curves():
    """Against a simulation."""
    source = Source(SMALL)
    counts = [50, 400]
    new = [[len(np.unique(source.draw(n, i).names)) for i in range(60)] for n in counts]
    expected = expected_new_values(source.chances, counts, SMALL.value_bits) / SMALL.value_bits
    np.testing.assert_allclose(np.mean(new, axis=1), expected, rtol=0.03)
    step = np.diff(expected_new_values(source.chances, [50, 51], 6.0))[0]
    assert held_out_value_bits(source.chances, [50], 6.0)[0] == pytest.approx(step)


def test_pitman_yor_facts_run_out():
    recipe = Recipe(facts=3, name_shape=(1, 3), law="pitman-yor", alpha=0.9, theta=10)
    with pytest.raises(CorpusError, match="used up"):
        Source(recipe).draw(500)


def test_recipes(tmp_path):
    path = tmp_path / "source.toml"
    path.write_text('[source]\nfacts = 10\nname_shape = [4, 4]\nlaw = "uniform"\n')
    assert load_recipe(path) == Recipe(facts=10, name_shape=(4, 4), law="uniform")
    for text in ("", "[source]\nfacts = 9999\n", '[source]\nlaw = "x"\n', "[source]\nnope = 1\n"):
        path.write_text(text)
        with pytest.raises(UsageError):
            load_recipe(path)
    assert Recipe().sha256 != Recipe(seed=2).sha256
    assert len(ROLES) == 8
