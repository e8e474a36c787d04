"""Pairs, their complexities, and who pays for thoughts: in Python, and as a user types it."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest

from lmzip.codec import ThoughtPlan, read_pair, write_pair
from lmzip.complexity.coders import LmzipCoder, XzCoder, ZstdCoder
from lmzip.complexity.pairs import pair_complexity
from lmzip.complexity.schemes import (
    Situation,
    bits_back,
    bits_back_decode,
    chain_bits,
    decode_transmitted,
    mixture_bits,
    scheme_bits,
    transmit,
)
from lmzip.errors import CorruptError, FormatError, UsageError

from .test_codec import SMALL, TEXT

X, Y = TEXT[:260], TEXT[:250].replace(b"lazy", b"sleepy")
OTHER = bytes(range(48, 123)) * 3


def situation(model, *, tokens=5, chains=3, given=Y):
    tokenize = model.tokenizer.tokenize
    plan = ThoughtPlan(tokens, chains, 1, 7, 0, tokenize(b"\nThink: "), tokenize(b"\n"))
    return Situation(model.engine, 100, 2, tokenize(given)[-40:], plan)


@pytest.mark.parametrize(
    ("first", "second"), [(X, Y), (b"", Y), (X, b""), (b"", b""), (OTHER, X), (X, X)]
)
def test_pairs_come_back(tiny_models, first, second):
    out = io.BytesIO()
    summaries = write_pair(first, second, out.write, tiny_models, SMALL)
    assert sum(s.archive_bytes for s in summaries) == len(out.getvalue())
    assert read_pair(out.getvalue(), tiny_models) == (first, second)


def test_what_is_no_pair_is_refused(tiny_models):
    out = io.BytesIO()
    write_pair(X, Y, out.write, tiny_models, SMALL)
    for blob in (out.getvalue() * 2, out.getvalue()[: len(out.getvalue()) // 2], b"text"):
        with pytest.raises(FormatError):
            read_pair(blob, tiny_models)


def test_complexities_hold_together(tiny_model):
    coder = LmzipCoder(tiny_model, SMALL)
    alike = pair_complexity(coder, X, Y)
    assert alike.x_given_y < alike.x
    assert alike.y_given_x < alike.y
    # A pair is both archives; what names the first by its hash is not needed.
    assert alike.x < alike.x_then_y <= alike.x + alike.y_given_x
    assert alike.y < alike.y_then_x <= alike.y + alike.x_given_y
    assert alike.information_about_x == alike.x - alike.x_given_y
    assert alike.order_bias == abs(alike.x + alike.y_given_x - alike.y - alike.x_given_y)
    strange = pair_complexity(coder, X, OTHER)
    assert strange.x_given_y <= strange.x
    assert alike.ncd < strange.ncd
    assert alike.nid < strange.nid <= 1


@pytest.mark.parametrize("coder", [ZstdCoder(), XzCoder()], ids=lambda c: c.name)
def test_controls_know_what_repeats(coder):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, 5000, np.uint8).tobytes()
    found = pair_complexity(coder, x, x[:4000] + b"end")
    assert found.x > 8 * 5000
    assert found.x_given_y < found.x / 3
    assert found.joint < 1.3 * found.x
    assert pair_complexity(coder, x, x[::-1]).x_given_y > 8 * 4900


def test_a_coder_that_does_not_decode_is_noticed(tiny_model, monkeypatch):
    monkeypatch.setattr("lmzip.complexity.coders.decompress_stream", lambda *a, **k: 0)
    with pytest.raises(CorruptError, match="does not decode"):
        LmzipCoder(tiny_model, SMALL).alone(X)


def test_schemes(tiny_model):
    s = situation(tiny_model)
    x = tiny_model.tokenizer.tokenize(X[:60])
    rng = np.random.default_rng(1)
    payload = rng.integers(0, 256, 400, np.uint8).tobytes()
    found = {row.name: row for row in scheme_bits(s, x, s.chains()[0], payload)}
    assert list(found) == ["plain", "A", "B", "C", "D", "E"]
    assert found["plain"].bits == pytest.approx(s.bits(s.given, x))
    assert found["B"].bits <= found["C"].bits + 1e-4 * len(x)
    each = chain_bits(s, s.chains(), x)
    assert found["C"].bits - found["A"].bits == pytest.approx(
        min(each) + math.log2(len(each)) - each[0]
    )
    # What is sent costs what the model says it costs, up to the words of the coder.
    ideal = s.bits(s.before_thought, s.chains()[0]) + each[0]
    assert ideal <= 8 * len(transmit(s, s.chains()[0], x)) <= ideal + 40
    back = bits_back(s, 5, x, payload)
    assert found["E"].bits < found["D"].bits + 40
    assert back.returned_bits > 0


def test_one_chain_is_its_own_mixture(tiny_model):
    s = situation(tiny_model, chains=1)
    x = tiny_model.tokenizer.tokenize(X[:40])
    assert mixture_bits(s, x) == pytest.approx(chain_bits(s, s.chains(), x)[0])


@pytest.mark.parametrize("thought", [0, 1, 9])
def test_transmitted_thoughts_decode(tiny_model, thought):
    s = situation(tiny_model, tokens=max(1, thought))
    x = tiny_model.tokenizer.tokenize(X[:50])
    sent = s.chains()[0][:thought]
    assert np.array_equal(decode_transmitted(s, transmit(s, sent, x), thought, len(x)), x)


@pytest.mark.parametrize("thought", [0, 1, 9])
@pytest.mark.parametrize("payload", [bytes(200), b"abcdefg" * 40, bytes(range(256))])
def test_bits_come_back(tiny_model, thought, payload):
    s = situation(tiny_model)
    x = tiny_model.tokenizer.tokenize(X[:50])
    back = bits_back(s, thought, x, payload)
    found, restored = bits_back_decode(s, thought, len(x), back.words)
    assert np.array_equal(found, x)
    assert restored == payload


def test_other_payloads_choose_other_thoughts(tiny_model):
    """The bits that come back really are the choice."""
    s = situation(tiny_model)
    x = tiny_model.tokenizer.tokenize(X[:20])
    rng = np.random.default_rng(2)
    words = {
        bits_back(s, 9, x, rng.integers(0, 256, 200, np.uint8).tobytes()).returned_bits
        for _ in range(4)
    }
    assert len(words) == 4


def test_too_short_a_payload_is_refused(tiny_model):
    s = situation(tiny_model, tokens=60)
    with pytest.raises(UsageError, match="too short"):
        bits_back(s, 60, tiny_model.tokenizer.tokenize(X[:20]), b"xy")


def test_pair_command(lmzip, tmp_path):
    (tmp_path / "x").write_bytes(X)
    (tmp_path / "y").write_bytes(Y)
    assert lmzip("pair", "x", "y", "-o", "xy.lmz", "-m", "tiny").returncode == 0
    assert lmzip("-dc", "xy.lmz").stdout == X + Y
    assert lmzip("pair", "-d", "xy.lmz", "x2", "y2").returncode == 0
    assert (tmp_path / "x2").read_bytes() == X
    assert (tmp_path / "y2").read_bytes() == Y
    piped = lmzip("pair", "x", "-", "-o", "-", "-m", "tiny", stdin=Y).stdout
    assert piped == (tmp_path / "xy.lmz").read_bytes()
    assert lmzip("pair", "-d", "-", "x3", "y3", stdin=piped).returncode == 0
    assert (tmp_path / "y3").read_bytes() == Y
    for args, message in (
        (("x", "y"), b"the command is"),
        (("x", "-o", "z"), b"the command is"),
        (("x", "y", "-o", "xy.lmz"), b"already exists"),
        (("-d", "xy.lmz", "same", "same"), b"same name"),
        (("-d", "-f", "xy.lmz", "same", str(tmp_path / "same")), b"same name"),
        (("-d", "x", "a", "b"), b"not an lmzip archive"),
        (("x", "missing", "-o", "new"), b"missing"),
    ):
        done = lmzip("pair", *args)
        assert done.returncode in (1, 2)
        assert message in done.stderr
        assert done.stderr.count(b"\n") == 1
    assert not {"a", "b", "new", "same", "z"} & {p.name for p in tmp_path.iterdir()}


def test_complexity_command(lmzip, tmp_path):
    (tmp_path / "x").write_bytes(X)
    (tmp_path / "y").write_bytes(Y)
    (tmp_path / "empty").write_bytes(b"")
    done = lmzip("complexity", "x", "y", "-m", "tiny", "--json")
    found = json.loads(done.stdout)
    ours, zstd, xz = found["by"]
    assert [zstd["coder"], xz["coder"]] == ["zstd -22", "xz -9e"]
    assert ours["information_about_x"] == ours["x"] - ours["x_given_y"] > 0
    assert lmzip("x", "-m", "tiny").returncode == 0
    assert ours["x"] == 8 * (tmp_path / "x.lmz").stat().st_size
    assert b"NCD" in lmzip("complexity", "x", "y", "-m", "tiny", "--no-controls").stdout
    done = lmzip("complexity", "x", "empty")
    assert done.returncode == 2
    assert b"empty is empty" in done.stderr


def test_schemes_command(lmzip, tmp_path):
    (tmp_path / "x").write_bytes(X[:60])
    (tmp_path / "y").write_bytes(Y)
    done = lmzip("schemes", "x", "--given", "y", "--think", "3", "-m", "tiny", "--json")
    assert [row["scheme"] for row in json.loads(done.stdout)["by"]] == [
        "plain", "A", "B", "C", "D", "E"
    ]  # fmt: skip
    for args in (("x",), ("x", "--think", "2", "--think-every", "9"), ("x", "--prompt", "p"),
                 ("x", "--think", "2", "--solid")):  # fmt: skip
        done = lmzip("schemes", *args, "-m", "tiny")
        assert done.returncode == 2
        assert done.stderr.count(b"\n") == 1
