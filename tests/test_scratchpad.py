"""The scratchpad experiment: the task, its controls, the way from training to archives."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lmzip.engine import Pack  # noqa: E402
from lmzip.models.source import load_model  # noqa: E402
from lmzip.text.side import SPLITTINGS, side_tokens  # noqa: E402
from training import lookup, scratchpad  # noqa: E402
from training.lookup import ANSWERS, HOPS, LENGTHS, WORDS  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A pack that has seen a few batches only."""
    trained = scratchpad.train(3, rows=4, log=lambda line: None)
    pack = scratchpad.make_pack(trained, tmp_path_factory.mktemp("work"))
    return load_model(Pack.open(pack), threads=1, tokenizing=True)


def test_x_follows_from_y():
    for puzzle in lookup.puzzles(50, 7):
        assert lookup.solve(puzzle.y) == puzzle.x
        assert sorted(puzzle.y.split(";")[0].replace(",", "").split()) == sorted(2 * WORDS)
        # Nothing may be copied from what was there before.
        assert len(set(puzzle.walk)) == HOPS * ANSWERS + 1
    assert lookup.puzzles(5, 7) == lookup.puzzles(5, 7)
    assert lookup.puzzles(5, 7) != lookup.puzzles(5, 8)


def test_guessing_costs_what_it_should():
    """Over many puzzles, all words are equally likely answers wherever one starts."""
    answers = [p.x.split()[0] for p in lookup.puzzles(4000, 3)]
    counts = np.array([answers.count(word) for word in WORDS])
    assert ((counts - 250) ** 2 / 250).sum() < 45  # chi-squared, 15 degrees of freedom


def test_one_token_a_word_by_every_rule(model):
    puzzle = lookup.puzzles(1, 1)[0]
    words = dict(zip(WORDS, lookup.word_tokens().tolist(), strict=True))
    assert model.engine.config.vocab == lookup.VOCAB
    assert [words[w] for w in puzzle.x.split()] == model.tokenizer.tokenize(
        puzzle.x.encode()
    ).tolist()
    y = model.tokenizer.tokenize(puzzle.y.encode()).tolist()
    assert len(y) == 3 * len(WORDS) + 1
    for rule in SPLITTINGS:
        assert side_tokens(model.tokenizer.vocabulary, puzzle.y.encode(), rule).tolist() == y
    for text in (lookup.OPEN, lookup.CLOSE, lookup.FILLER):
        assert model.tokenizer.tokenize(text.encode()).tolist() == [lookup.byte_token(text)]


@pytest.mark.parametrize("length", LENGTHS)
def test_training_texts(model, length):
    rng = np.random.default_rng(5)
    batch = lookup.training_batch(rng, 6, length, 0.0, 0.0)
    assert batch.tokens.shape == batch.wanted.shape
    table = model.tokenizer.vocabulary.tokens
    for row, wanted in zip(batch.tokens, batch.wanted, strict=True):
        assert row[0] == 0
        text = b"".join(table[t] for t in row[1:]).decode()
        y, rest = text[: len(text.split(";")[0]) + 5], text[len(text.split(";")[0]) + 5 :]
        walk = lookup.solve(y).split()
        pads = rest.replace(")", "(").split("(")
        answers = rest.split() if not length else [p.strip() for p in pads[2::2]]
        assert answers == walk
        if length:
            assert all(len(pad.split()) == length for pad in pads[1::2])
        assert wanted.sum() == ANSWERS * (length + 1)
        assert wanted[scratchpad.answer_places(length)].all()


def test_misleading_texts_are_not_to_be_written():
    rng = np.random.default_rng(5)
    batch = lookup.training_batch(rng, 8, 3, 1.0, 0.0)
    assert (batch.tokens == lookup.byte_token(".")).sum() == 8 * 9
    assert batch.wanted.sum() == 8 * ANSWERS
    batch = lookup.training_batch(rng, 8, 3, 0.0, 1.0)
    assert not (batch.tokens == lookup.byte_token(".")).any()
    assert batch.wanted.sum() == 8 * ANSWERS


def test_few_steps_lower_the_loss():
    torch.manual_seed(0)
    losses = []
    model = scratchpad.Model(scratchpad.SHAPE)
    optimizer = scratchpad.Optimizer(model, scratchpad.SCHEDULE)
    for _ in range(12):
        loss = scratchpad.batch_loss(model, np.random.default_rng(1), 4, 3)
        loss.backward()
        optimizer.step(0.3)
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_the_measurement(model):
    found = scratchpad.measure(model, scratchpad.new_items(2), log=lambda line: None)
    kinds = ["thought", "filler", "shuffled", "other"]
    expected = [(0, "thought"), *((t, kind) for t in LENGTHS[1:] for kind in kinds)]
    assert [(p["think"], p["kind"]) for p in found["points"]] == expected
    for point in found["points"]:
        assert point["not_modelled"] == 0
        assert point["x_tokens"] == ANSWERS
        assert point["y_tokens"] == 3 * len(WORDS) + 2
        think = point["think"]
        assert point["thought_tokens"] == (ANSWERS * (think + 2) if think else 0)
        assert 0 <= point["right"] <= 1
    assert json.loads(json.dumps(found))["task"]["hops"] == HOPS
    pytest.importorskip("matplotlib")
    assert scratchpad.figure(found).startswith("<svg")
