"""The laboratory's experiments at sizes of seconds: rows, verdicts, controls that break."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from lmzip.errors import CorruptError
from lmzip.lab.bench import Bench
from lmzip.lab.capacity import noise_bound_control
from lmzip.lab.data import DataSettings, data_scaling, power_law_control, stream_controls
from lmzip.lab.findings import BROKEN, HOLDS, MET, REFUTED, control, expect, expect_range
from lmzip.lab.model import class_loss, stored_for_half, unseen_names_control
from lmzip.lab.netdata import fresh_values_control
from lmzip.lab.oracle import held_out_value_bits
from lmzip.lab.rows import LabRow, LabStore
from lmzip.lab.source import Recipe, Source
from lmzip.lab.structure import DOCUMENTED, StructureSettings, envelope, table_totals

TINY_DATA = DataSettings(name_symbols=32, powers=(1.5, 3.0), exponents=(6, 7, 8, 9), seeds=2)


def row(task="a", part="x", **changes):
    return LabRow("E1", task, part, **changes)


def test_rows_are_kept_all_or_none(tmp_path):
    path = tmp_path / "rows.jsonl"
    store = LabStore(path)
    store.add([row(), row(part="y", ideal_bits=2.5, extra={"z": 1.0})])
    store.add([row("b")])
    assert LabStore(path).find("E1", "a") == store.find("E1", "a")
    assert store.find("E1", "c") is None
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"\n") + 40])  # killed while writing
    again = LabStore(path)
    assert again.find("E1", "a") is None
    again.add([row(), row(part="y")])
    assert len(LabStore(path).find("E1", "a")) == 2
    path.write_text("something else\n")
    with pytest.raises(CorruptError, match=r"rows? of the laboratory"):
        LabStore(path)


def test_tasks_are_done_once(tmp_path):
    calls = []

    def make():
        calls.append(1)
        return [row()]

    for _ in range(2):
        bench = Bench(LabStore(tmp_path / "rows.jsonl"))
        assert bench.rows("E1", "a", make)[0].learner == "x"
    assert len(calls) == 1


def test_verdicts():
    assert expect("x", 1.0, 1.05, 0.1).verdict == MET
    assert expect("x", 2.0, 1.0, 0.3, relative=True).verdict == REFUTED
    assert expect("x", 1.0, float("nan"), 9).verdict == REFUTED
    assert expect_range("x", 0, float("inf"), -1).verdict == REFUTED
    assert control("x", "y", 1.0, True).verdict == HOLDS
    assert control("x", "y", 1.0, False).verdict == BROKEN


def test_data_scaling_small():
    bench = Bench()
    found = data_scaling(bench, TINY_DATA)
    verdicts = {c.what: c.verdict for c in found.checks}
    assert verdicts["streams that decode to the text"] == HOLDS
    assert verdicts["shuffled sentences cost the same (bits)"] == HOLDS
    assert any("exact curve" in what for what in verdicts)
    assert [p.name for p in found.plots] == ["e1-values", "e1-roles", "e1-held-out"]


# What was derived beforehand


def test_exact_numbers_are_those_that_were_derived():
    counts = [1 << e for e in range(8, 14)]
    for power, slope in ((1.5, -0.445), (2.0, -0.519), (3.0, -0.666)):
        chances = Source(Recipe(facts=4096, power=power)).chances
        curve = held_out_value_bits(chances, counts)
        assert np.polyfit(np.log(counts), np.log(curve), 1)[0] == pytest.approx(slope, abs=0.002)
    chances = Source(Recipe(facts=2048, power=1.0)).chances
    masses = chances.reshape(4, -1).sum(axis=1)
    np.testing.assert_allclose(masses, [0.740, 0.129, 0.076, 0.054], atol=0.0006)
    half = [stored_for_half(chances, i) for i in range(4)]
    np.testing.assert_allclose(half, [762, 8697, 15052, 21284], rtol=0.002)
    for i in range(4):
        assert class_loss(chances, half[i])[i] == pytest.approx(6, abs=0.05)


def test_absorbed_shares():
    from lmzip.lab.prequential import SHARES, absorbed_share

    for power, share in SHARES.items():
        recipe = Recipe(facts=1 << 14, name_shape=(128, 128), power=power)
        assert absorbed_share(Source(recipe).chances, 1 << 15) == pytest.approx(share, abs=0.001)


def test_tables():
    settings = StructureSettings()
    source = Source(settings.recipe())
    totals = table_totals(source, source.draw(settings.sentences), list(DOCUMENTED))
    np.testing.assert_allclose(totals, list(DOCUMENTED.values()), rtol=0.02)
    assert totals[1] > totals[2] < totals[3]


def test_the_envelope_never_rises():
    assert envelope([(3, 5), (1, 9), (2, 9.5), (4, 7)]) == [(1, 9), (3, 5)]


# Controls, broken on purpose


def test_a_uniform_source_called_skewed_breaks_its_control():
    counts = [1 << e for e in range(10, 16)]
    shape = Recipe(facts=1 << 14, name_shape=(128, 128), power=2)
    skewed = held_out_value_bits(Source(shape).chances, counts).tolist()
    flat = held_out_value_bits(
        Source(dataclasses.replace(shape, law="uniform")).chances, counts
    ).tolist()
    assert {c.verdict for c in power_law_control(counts, {2.0: skewed, 0.0: flat})} == {HOLDS}
    assert power_law_control(counts, {2.0: flat})[0].verdict == BROKEN
    assert power_law_control(counts, {0.0: skewed})[0].verdict == BROKEN


def test_names_that_leak_values_break_their_control():
    """A net that reads values off names has bits below 12 for names that it never met."""
    rng = np.random.default_rng(0)
    honest = 12 + rng.exponential(1.0, 1000)
    leaked = np.minimum(honest, rng.exponential(6.0, 1000))
    for bits, verdict in ((honest, HOLDS), (leaked, BROKEN)):
        found = unseen_names_control([(bits.mean(), bits.std() / 1000**0.5)])
        assert found.verdict == verdict
    assert fresh_values_control(12.1).verdict == HOLDS
    assert fresh_values_control(9.0).verdict == BROKEN


def test_weights_that_are_not_charged_break_the_noise_bound():
    entropy = 64.0 * 100
    assert noise_bound_control([(6000.0, 900.0, entropy)]).verdict == HOLDS
    assert noise_bound_control([(0.0, 900.0, entropy)]).verdict == BROKEN


def test_streams_that_are_too_long_or_do_not_decode_break_theirs():
    good = row(payload_bits=140, ideal_bits=100.0, decoded=True)
    assert {c.verdict for c in stream_controls([good])} == {HOLDS}
    for bad in ({"payload_bits": 200}, {"decoded": False}):
        found = stream_controls([good, dataclasses.replace(good, **bad)])
        assert BROKEN in {c.verdict for c in found}


def test_other_controls_break():
    from lmzip.lab.finetune import forgetting_controls
    from lmzip.lab.prequential import absorption_controls

    assert {c.verdict for c in absorption_controls(0.001, 0.4)} == {HOLDS}
    assert BROKEN in {c.verdict for c in absorption_controls(0.2, 0.4)}
    assert {c.verdict for c in forgetting_controls(20, 20.1, [20, 20])} == {HOLDS}
    assert BROKEN in {c.verdict for c in forgetting_controls(20, 21.1, [20, 20])}
    assert BROKEN in {c.verdict for c in forgetting_controls(20, 20.1, [20, 20.001])}


@pytest.mark.parametrize("broken", [False, True])
def test_a_broken_control_fails_the_run(monkeypatch, broken, tmp_path, capsys):
    from click.testing import CliRunner

    from lmzip.cli.lab import lab
    from lmzip.lab import run
    from lmzip.lab.findings import Finding

    def experiment(bench):
        checks = (expect("a curve", 1, 5, 0.1), control("a control", "yes", "no", not broken))
        return [Finding("E1", "made up", "nobody's", checks)]

    monkeypatch.setitem(run.EXPERIMENTS, "data", experiment)
    page = tmp_path / "page.html"
    result = CliRunner().invoke(lab, ["run", "data", "-q", "--html", str(page)])
    assert result.exit_code == (1 if broken else 0)
    assert "refuted" in result.output
    assert ("control does not hold: a control" in result.stderr) == broken
    assert "made up" in page.read_text("utf-8")


# The command


def test_the_command(lmzip, tmp_path):
    (tmp_path / "s.toml").write_text("[source]\nfacts = 30\nname_shape = [8, 8]\n")
    made = lmzip("lab", "make", "s.toml", "-n", "200", "-o", "c")
    assert made.returncode == 0, made.stderr
    assert len((tmp_path / "c" / "corpus.txt").read_bytes()) == 1600
    totals = {}
    for options in (["--coder", "py"], ["--coder", "mix"]):
        found = lmzip("lab", "code", "c", *options, "--json", "-o", "stream")
        assert found.returncode == 0, found.stderr
        coded = json.loads(found.stdout)
        bits = coded["ideal_bits"]
        assert bits["syntax"] + bits["name"] + bits["value"] == pytest.approx(bits["in all"])
        assert 8 * (tmp_path / "stream").stat().st_size == coded["file_bits"]
        totals[coded["learner"]] = bits["in all"]
    assert totals["py"] < totals["mix"]
    assert lmzip("lab", "make", "s.toml", "-o", "c").returncode == 2
    assert b"not a corpus" in lmzip("lab", "code", ".").stderr


def test_squeezing_by_command(lmzip, tmp_path):
    found = lmzip("lab", "squeeze", "tiny", "-o", "tiny.sq", "--json")
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    assert (tmp_path / "tiny.sq").stat().st_size == told["squeezed_bytes"]
    back = lmzip("lab", "squeeze", "-d", "tiny.sq", "-o", "back.lmzpack")
    assert told["identity"] in back.stdout.decode()
    again = json.loads(lmzip("lab", "squeeze", "back.lmzpack", "--step", "3", "--json").stdout)
    assert again["squeezed_bytes"] < told["squeezed_bytes"]
    assert again["identity"] != told["identity"]
    assert b"not a file of squeezed" in lmzip("lab", "squeeze", "-d", "back.lmzpack", "-o",
                                               "x").stderr  # fmt: skip


def test_fits_by_command(lmzip, tmp_path):
    rng = np.random.default_rng(1)
    lines = ["model,parameters,data,loss,score"]
    for i in range(40):
        n, d = 10 ** rng.uniform(6, 9), 10 ** rng.uniform(8, 11)
        loss = 1.8 + 480 / n**0.35 + 2100 / d**0.37
        lines.append(f"m{i},{n},{d},{loss},{-loss + 0.01 * rng.standard_normal()}")
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    law = json.loads(lmzip("lab", "fit", "t.csv", "--resamples", "5").stdout)
    assert law["alpha"] == pytest.approx(0.35, abs=0.02)
    assert law["entropy"] == pytest.approx(1.8, abs=0.05)
    found = json.loads(lmzip("lab", "correlate", "t.csv", "--bits", "loss").stdout)
    assert found["pearson"] < -0.99
    assert b"no column" in lmzip("lab", "correlate", "t.csv").stderr
    words = " ".join(f"w{'abcdefghij'[i % 10]}{'xyz' * (i % 7)}" for i in range(500))
    (tmp_path / "text.txt").write_text(words)
    assert json.loads(lmzip("lab", "heaps", "text.txt").stdout)["distinct"] == 70
    (tmp_path / "a.txt").write_text("the man went into the house and " * 80)
    (tmp_path / "b.txt").write_text("zq xj kvw qqz jx wvk zzx qjq " * 80)
    same = json.loads(lmzip("lab", "same-source", "a.txt", "b.txt", "-m", "tiny", "--block",
                            "256").stdout)  # fmt: skip
    assert same["p_value"] < 0.01
