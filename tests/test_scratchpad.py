"""The scratchpad experiment: the task, its controls, the way from training to archives."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lmzip.engine import Pack  # noqa: E402
from lmzip.models.source import load_model  # noqa: E402
from lmzip.text.side import SPLITTINGS, side_tokens  # noqa: E402
from training import homes, lookup, orbits, scratchpad  # noqa: E402

TASKS = {"homes": homes, "orbits": orbits}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Products this small are slower on several, much slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=list(TASKS))
def task(request):
    return TASKS[request.param].TASK


@pytest.fixture(scope="module")
def model(task, tmp_path_factory):
    """A pack that has seen a few batches only."""
    trained = scratchpad.train(task, 3, rows=4, log=lambda line: None)
    pack = scratchpad.make_pack(task, trained, tmp_path_factory.mktemp("work"))
    return load_model(Pack.open(pack), threads=1, tokenizing=True)


def table_of(y: str) -> dict[str, str]:
    return dict(pair.split() for pair in y.split(";")[0].split(","))


def test_x_follows_from_y(task):
    found = task.puzzles(48, 7)
    for puzzle in found:
        assert TASKS[task.name].solve(puzzle.y) == puzzle.x
        assert sorted(table_of(puzzle.y)) == sorted(task.words)
        assert len(puzzle.x.split()) == task.answers
    assert task.puzzles(5, 7) == task.puzzles(5, 7)
    assert task.puzzles(5, 7) != task.puzzles(5, 8)


def test_homes_are_equally_far():
    found = homes.puzzles(48, 7)
    for puzzle in found:
        assert sum(a == b for a, b in table_of(puzzle.y).items()) == homes.HOMES
    steps = [len(puzzle.way) - 1 for puzzle in found]
    assert [steps.count(n) for n in range(1, homes.HOPS + 1)] == [12] * homes.HOPS


def test_orbits_copy_nothing():
    for puzzle in orbits.puzzles(48, 7):
        assert len(set(puzzle.walk)) == orbits.HOPS * orbits.ANSWERS + 1


def test_no_word_is_likelier_than_another(task):
    answers = [puzzle.x.split()[0] for puzzle in task.puzzles(4000, 3)]
    counts = np.array([answers.count(word) for word in task.words])
    expected = 4000 / len(task.words)
    assert ((counts - expected) ** 2 / expected).sum() < 50  # chi-squared, 19 degrees of freedom


def test_one_token_a_word_by_every_rule(task, model):
    puzzle = task.puzzles(1, 1)[0]
    words = dict(zip(task.words, lookup.word_tokens(task.words).tolist(), strict=True))
    assert model.engine.config.vocab == lookup.vocabulary_size(task.words)
    x = model.tokenizer.tokenize(puzzle.x.encode()).tolist()
    assert [words[word] for word in puzzle.x.split()] == x
    y = model.tokenizer.tokenize(puzzle.y.encode()).tolist()
    assert len(y) == 3 * len(task.words) + 1
    for rule in SPLITTINGS:
        assert side_tokens(model.tokenizer.vocabulary, puzzle.y.encode(), rule).tolist() == y
    for text in (lookup.OPEN, lookup.CLOSE, lookup.FILLER):
        assert model.tokenizer.tokenize(text.encode()).tolist() == [lookup.byte_token(text)]


@pytest.mark.parametrize("length", range(4))
def test_training_texts(task, model, length):
    """Each is y, then scratchpads and answers, as an archive's stream reads them."""
    batch = task.training_batch(np.random.default_rng(5), 6, length)
    assert batch.tokens.shape == batch.wanted.shape
    table = model.tokenizer.vocabulary.tokens
    for row, wanted in zip(batch.tokens, batch.wanted, strict=True):
        assert row[0] == 0
        text = b"".join(table[t] for t in row[1:]).decode()
        end = text.index(";") + 5
        leads, word, expected = table_of(text[:end]), text[end - 3 : end], ""
        for _ in range(task.answers):
            way = [word]
            for _ in range(task.hops):
                way.append(leads[way[-1]])
            word = way[-1]
            pad = "".join(f" {step}" for step in way[1 : length + 1])
            expected += (f"({pad})" if length else "") + f" {word}"
        assert text[end:] == expected
        assert wanted.sum() == task.answers * (length + 1)
        assert wanted[-1]


def test_misleading_texts_are_not_to_be_written(task):
    rng, dot = np.random.default_rng(5), lookup.byte_token(".")
    batch = task.training_batch(rng, 8, 3, fillers=1.0)
    assert (batch.tokens == dot).sum() == 8 * 3 * task.answers
    assert batch.wanted.sum() == 8 * task.answers
    batch = task.training_batch(rng, 8, 3, misleading=1.0)
    assert not (batch.tokens == dot).any()
    assert batch.wanted.sum() == 8 * task.answers


def test_few_steps_lower_the_loss(task):
    torch.manual_seed(0)
    losses = []
    model = scratchpad.Model(scratchpad.shape(task))
    optimizer = scratchpad.Optimizer(model, scratchpad.SCHEDULE)
    batch = task.practice_batch(np.random.default_rng(1), 4)
    for _ in range(12):
        loss = scratchpad.batch_loss(model, batch)
        loss.backward()
        optimizer.step(0.3)
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_the_measurement(task, model):
    items = scratchpad.new_items(task, 2)
    found = scratchpad.measure(task, model, items, log=lambda line: None)
    kinds = ["thought", "filler", "shuffled", "other"]
    expected = [(0, "thought"), *((t, kind) for t in task.lengths[1:] for kind in kinds)]
    if task.answers == 1:
        expected.remove((1, "shuffled"))  # one word has one order
    assert [(p["think"], p["kind"]) for p in found["points"]] == expected
    for point in found["points"]:
        assert point["not_modelled"] == 0
        assert point["x_tokens"] == task.answers
        assert point["y_tokens"] == 3 * len(task.words) + 2
        think = point["think"]
        assert point["thought_tokens"] == (task.answers * (think + 2) if think else 0)
        assert 0 <= point["right"] <= 1
    assert json.loads(json.dumps(found))["task"]["hops"] == task.hops
    pytest.importorskip("matplotlib")
    assert scratchpad.figure(found).startswith("<svg")
