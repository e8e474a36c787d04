"""Tiny nets: what they predict, how they train, their packs; experiments with them, in seconds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lmzip.lab.bench import Bench  # noqa: E402
from lmzip.lab.capacity import CapacitySettings, capacity, noise  # noqa: E402
from lmzip.lab.exact import archive_rows, exact_bits, export_net, open_model  # noqa: E402
from lmzip.lab.findings import BROKEN  # noqa: E402
from lmzip.lab.finetune import FineTuneSettings, fine_tuning  # noqa: E402
from lmzip.lab.model import ModelSettings, model_scaling  # noqa: E402
from lmzip.lab.netdata import NetDataSettings, net_data_scaling  # noqa: E402
from lmzip.lab.nets import NetShape, Schedule, TinyNet, shape_for, train  # noqa: E402
from lmzip.lab.prequential import PrequentialSettings, prequential  # noqa: E402
from lmzip.lab.source import Recipe, Source  # noqa: E402
from lmzip.lab.structure import StructureSettings, structure_function  # noqa: E402

RECIPE = Recipe(facts=32, power=1.0)


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """Runs of a few steps do not pay for a compiler."""
    monkeypatch.setenv("LMZIP_LAB_EAGER", "1")


@pytest.fixture(scope="module")
def rows():
    return Source(RECIPE).draw(4000).rows()


@pytest.fixture
def net(rows):
    found = TinyNet(shape_for(16), RECIPE.alphabet())
    train(found, lambda step: rows[64 * step : 64 * step + 64], Schedule(60, warm_up=10))
    return found


def test_training_lowers_bits_and_repeats(rows):
    losses = []
    for _ in range(2):
        found = TinyNet(shape_for(12), RECIPE.alphabet())
        done = train(found, lambda step: rows[64 * step : 64 * step + 64], Schedule(40))
        losses.append(done.losses)
    np.testing.assert_array_equal(*losses)
    assert losses[0][-1] < 0.7 * losses[0][0]


def test_bits_are_a_distribution(net, rows):
    """Of every byte that may come next, and all others together."""
    with torch.no_grad():
        chances = torch.softmax(net.logits(net.flat, net.ids(rows[:5])), -1)
    assert chances.shape[-1] == len(net.alphabet) + 1
    bits = net.bits(rows[:5])
    first = -np.log2(chances[0, 0, net.ids(rows[:1])[0, 0] - 1].item())
    assert bits[0, 0] == pytest.approx(first, rel=1e-5)


def test_the_future_is_not_seen(net, rows):
    other = rows[:1].copy()
    other[0, 6:] = rows[50, 6:]
    a, b = net.bits(rows[:1]), net.bits(other)
    np.testing.assert_allclose(a[0, :6], b[0, :6], rtol=1e-5)


@pytest.mark.parametrize("shape", [NetShape(12), NetShape(16, heads=4, kv_heads=2, layers=1)])
def test_packs_predict_as_nets_do(shape, rows, tmp_path):
    found = TinyNet(shape, RECIPE.alphabet())
    train(found, lambda step: rows[64 * step : 64 * step + 64], Schedule(60, warm_up=10))
    model = open_model(export_net(found, "x", tmp_path / "x.lmzpack"))
    text = rows[-300:]
    exact, floats = exact_bits(model, text), found.bits(text)
    assert exact.sum() == pytest.approx(floats.sum(), rel=0.02)
    coded = archive_rows(model, text)
    assert coded.decoded
    assert coded.ideal_bits == pytest.approx(exact.sum(), abs=1e-3)
    assert coded.payload_bits <= exact.sum() + 64


def test_weights_leave_columns_out(rows):
    found = TinyNet(shape_for(12), RECIPE.alphabet())
    weights = np.zeros(8, np.float32)
    weights[0] = 1
    train(found, lambda step: rows[64 * step : 64 * step + 64], Schedule(60), weights=weights)
    bits = found.bits(rows[:200]).mean(axis=0)
    assert bits[0] < 2.2
    assert bits[5] > 4


def test_a_run_can_be_watched_and_ended(rows):
    steps = []

    def watch(step, net):
        steps.append(step)
        return step == 3

    found = TinyNet(shape_for(12), RECIPE.alphabet())
    done = train(found, lambda step: rows[:64], Schedule(10), watch=watch)
    assert steps == [0, 1, 2, 3]
    assert len(done.losses) == 3


def test_nets_are_trained_once(tmp_path, rows):
    made = []

    def make(net):
        made.append(1)
        train(net, lambda step: rows[:64], Schedule(2))
        return {"x": 1}

    for _ in range(2):
        bench = Bench(work=tmp_path)
        net, notes = bench.net("a task", shape_for(12), RECIPE.alphabet(), make)
        assert notes["x"] == 1
    assert made == [1]
    fresh = TinyNet(shape_for(12), RECIPE.alphabet())
    assert not torch.equal(net.flat, fresh.flat)


def broken(findings):
    return {c.what for f in findings for c in f.checks if c.verdict == BROKEN}


def test_experiments_run_at_any_size(tmp_path):
    """Their verdicts mean nothing here; rows, streams and resuming do."""
    bench = Bench(work=tmp_path)
    model = ModelSettings(
        facts=32, widths=(12, 16), sentences=2560, uniform_width=12, doubled_width=12
    )
    jobs = (
        (model_scaling, model),
        (net_data_scaling, NetDataSettings(facts=32, powers=(1.5,), exponents=(7, 8), width=12,
                                           epochs=2, least_steps=10)),
        (capacity, CapacitySettings(widths=(12, 16), ratios=(0.25, 0.5), steps=10)),
        (structure_function, StructureSettings(
            facts=32, sentences=512, widths=(12, 16), steps=(0, 3), prunes=(0.0, 0.5), epochs=2,
            fresh_widths=(12, 16), fresh_epochs=2, noise_widths=(12,))),
        (prequential, PrequentialSettings(
            facts=32, first=7, last=8, width=12, epochs=2, decode=2, share_seeds=1,
            noise_sequences=640)),
        (fine_tuning, FineTuneSettings(model=model, small=12, large=16, new_facts=16, steps=4)),
    )  # fmt: skip
    sound = {
        "archives that decode to the text", "archives that decode to the sequences",
        "archives that decode", "the envelope never rises",
        "noise: model and data together, less the entropy (bits, least)",
        "packs that training again gives once more (same machine)",
    }  # fmt: skip
    for experiment, settings in jobs:
        findings = experiment(bench, settings)
        assert not broken(findings) & sound, experiment
        for finding in findings:
            assert finding.checks and finding.plots and finding.claim and finding.meaning
        again = experiment(bench, settings)
        assert [f.checks for f in again] == [f.checks for f in findings]


def test_noise_is_even():
    rows = noise(4000, 1)
    counts = np.bincount(rows.reshape(-1), minlength=256)
    assert (counts > 0).sum() == 16
    assert np.ptp(counts[counts > 0]) < 500
    assert dataclasses.is_dataclass(CapacitySettings())
