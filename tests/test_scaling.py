"""Scaling in parameters and thoughts: archives, controls that are told, rates, intervals."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pytest

from lmzip.codec import (
    CodingParameters,
    OneModel,
    SideInformation,
    SideParameters,
    compress_stream,
    decompress_stream,
)
from lmzip.complexity.scaling import (
    THOUGHT,
    CodedItem,
    Exchange,
    Item,
    ScalingPoint,
    code_item,
    exchange_rates,
    scaling_points,
    scripts,
)
from lmzip.complexity.scripted import ScriptedEngine, ThoughtPlaces
from lmzip.errors import SideInformationError, UsageError
from lmzip.format import Thoughts

ITEMS = [
    Item("a", b"the other one of the two dogs", b"the quick brown fox and the other one"),
    Item("b", b"and then there was nothing at all", b"of all the things in the world"),
    Item("c", b"is the better one of them", b"the better one is the other one"),
]
PLAIN = CodingParameters(window=64, stream_tokens=100, mixing_bits=0)
GREEDY = Thoughts(5, temperature=0, before=b" the", behind=b" of")


def _side(thoughts: Thoughts | None) -> SideParameters:
    return SideParameters(thoughts=thoughts, always=True)


def test_thought_places():
    assert ThoughtPlaces(7, 2, 0, 1).positions() == [7, 8]
    assert ThoughtPlaces(7, 2, 10, 3).positions() == [7, 8, 17, 18, 27, 28]


@pytest.mark.parametrize("every", [0, 4])
def test_who_is_told_its_own_thoughts_thinks_the_same(tiny_model, every):
    thoughts = dataclasses.replace(GREEDY, every=every)
    own = code_item(tiny_model, ITEMS[0], PLAIN, _side(thoughts))
    again = (own.x_tokens - 1) // 4 if every else 0
    assert len(own.chain) == 5 * (1 + again)
    assert -1 not in own.chain
    told = code_item(tiny_model, ITEMS[0], PLAIN, _side(thoughts), script=own.chain)
    assert told == own
    other = code_item(tiny_model, ITEMS[0], PLAIN, _side(thoughts), script=own.chain[::-1])
    assert other.chain == own.chain[::-1]
    assert other.ideal_bits != own.ideal_bits


def test_numbers_are_those_of_the_archive(tiny_model):
    item, side = ITEMS[1], _side(GREEDY)
    found = code_item(tiny_model, item, PLAIN, side)
    archive = io.BytesIO()
    summary = compress_stream(
        io.BytesIO(item.x), archive.write, OneModel(tiny_model), PLAIN, size_bytes=len(item.x),
        side=SideInformation.of(item.y), side_parameters=side,
    )  # fmt: skip
    assert found.file_bits == 8 * len(archive.getvalue())
    assert found.payload_bits == 8 * summary.payload_bytes
    assert found.ideal_bits == summary.ideal_bits
    assert found.modelled
    assert found.x_tokens == summary.tokens
    assert found.thought_tokens == 5 + 2
    config = tiny_model.engine.config
    read = found.x_tokens + found.y_tokens + found.thought_tokens
    head = 0 if config.tied else config.vocab * config.width
    assert found.flops == 2 * (config.parameters() - head) * read


def test_a_control_decodes_only_for_who_is_told(tiny_model):
    item = ITEMS[0]
    own = code_item(tiny_model, item, PLAIN, _side(GREEDY))
    places = ThoughtPlaces(own.y_tokens + 1, 5, 0, 1)
    engine = ScriptedEngine(tiny_model.engine, places, own.chain[::-1])
    told = OneModel(dataclasses.replace(tiny_model, engine=engine))
    given, archive = SideInformation.of(item.y), io.BytesIO()
    compress_stream(io.BytesIO(item.x), archive.write, told, PLAIN, side=given,
                    side_parameters=_side(GREEDY))  # fmt: skip
    for models, reads in ((told, True), (OneModel(tiny_model), False)):
        archive.seek(0)
        back = io.BytesIO()
        if reads:
            decompress_stream(archive, back.write, models, side=given)
            assert back.getvalue() == item.x
        else:
            with pytest.raises(SideInformationError, match="did not generate the same"):
                decompress_stream(archive, back.write, models, side=given)


def test_scripts():
    chains = [(1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12)]
    assert scripts("filler", chains, [0]) == [(0,)] * 3
    assert scripts("other", chains, [0]) == [chains[1], chains[2], chains[0]]
    shuffled = scripts("shuffled", chains, [0])
    assert [tuple(sorted(s)) for s in shuffled] == chains
    assert shuffled != chains
    assert shuffled == scripts("shuffled", chains, [0])
    with pytest.raises(UsageError, match="no control"):
        scripts("nothing", chains, [0])


def test_points_of_a_model(tiny_model):
    points = list(
        scaling_points(
            tiny_model, ITEMS, PLAIN, _side(GREEDY), [0, 2], controls=("filler", "other")
        )
    )
    assert [(p.think, p.kind) for p in points] == [
        (0, THOUGHT), (2, THOUGHT), (2, "filler"), (2, "other"),
    ]  # fmt: skip
    filler = tiny_model.tokenizer.tokenize(b".").tolist()
    assert all(list(item.chain) == 2 * filler for item in points[2].items)
    assert points[3].items[0].chain == points[1].items[1].chain
    assert points[0].items[0].thought_tokens == 0
    (_,) = scaling_points(tiny_model, ITEMS, PLAIN, _side(GREEDY), [1], controls=("shuffled",))
    assert points[1].mean("flops") == points[2].mean("flops") > points[0].mean("flops")


def test_controls_need_one_chain_and_one_stream(tiny_model):
    for thoughts, parameters in (
        (dataclasses.replace(GREEDY, chains=2), PLAIN),
        (GREEDY, dataclasses.replace(PLAIN, stream_tokens=4)),
    ):
        with pytest.raises(UsageError, match="one chain"):
            list(scaling_points(
                tiny_model, ITEMS, parameters, _side(thoughts), [2], controls=("filler",)
            ))  # fmt: skip
    with pytest.raises(UsageError, match="another item"):
        list(scaling_points(
            tiny_model, ITEMS[:1], PLAIN, _side(GREEDY), [2], controls=("other",)
        ))  # fmt: skip


def test_many_streams_and_chains_are_counted(tiny_model):
    thoughts = dataclasses.replace(GREEDY, chains=2)
    parameters = dataclasses.replace(PLAIN, stream_tokens=10)
    found = code_item(tiny_model, ITEMS[0], parameters, _side(thoughts))
    tokens = len(tiny_model.tokenizer.tokenize(ITEMS[0].x))
    assert (found.x_tokens, found.thought_tokens) == (2 * tokens, 2 * 7)
    assert found.chain == ()


def _point(model: str, parameters: int, think: int, bits: list[float], flops: float):
    items = tuple(CodedItem(8, 80, b, True, 1, 1, think, flops, ()) for b in bits)
    return ScalingPoint(model, parameters, think, THOUGHT, items)


def test_intervals_and_rates():
    points = [
        _point("small", 10, 0, [4.0, 8.0, 6.0], 1e9),
        _point("small", 10, 4, [3.0, 7.0, 5.0], 2e9),
        _point("large", 99, 0, [1.0, 5.0, 9.0], 5e9),
    ]
    low, high = points[0].interval("ideal_bits")
    assert 4 <= low < 6 < high <= 8
    # Paired: every item saves one bit.
    np.testing.assert_allclose(points[1].interval("ideal_bits", less=points[0]), (-1, -1))
    rates = exchange_rates(points)
    assert [r.axis for r in rates] == ["parameters", "thoughts"]
    assert [r.as_dict()["saved_bits_per_gigaflop"] for r in rates] == pytest.approx([0.25, 1.0])
    assert rates[1] == Exchange("thoughts", points[0], points[1])
    assert rates[1].as_dict()["saved_bits_interval"] == pytest.approx((1, 1))


def test_the_command(lmzip, tmp_path):
    for name, parts in (("x", [i.x for i in ITEMS]), ("y", [i.y for i in ITEMS])):
        (tmp_path / f"{name}.jsonl").write_bytes(b"\n".join(parts) + b"\n")
    pytest.importorskip("matplotlib")
    options = "--think", "0,3", "--temperature", "0", "--window", "64", "--control", "shuffled"
    found = lmzip("scaling", "x.jsonl", "--given", "y.jsonl", *options, "--json", "-q",
                  "--plot", "plot.svg")  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert found.stderr == b""
    data = json.loads(found.stdout)
    assert [(p["think"], p["kind"]) for p in data["points"]] == [
        (0, "thought"), (3, "thought"), (3, "shuffled"),
    ]  # fmt: skip
    assert all(p["items"] == 3 for p in data["points"])
    (rate,) = data["exchange"]
    saved = data["points"][0]["ideal_bits"] - data["points"][1]["ideal_bits"]
    assert rate["saved_bits"] == pytest.approx(saved)
    assert (tmp_path / "plot.svg").read_text().startswith("<svg")
    table = lmzip("scaling", "x.jsonl", "--given", "y.jsonl", "--limit", "1", "-q").stdout.decode()
    assert "Means over 1 item, each coded given its y." in table


def test_the_command_refuses(lmzip, tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b"one\ntwo\n")
    (tmp_path / "y.jsonl").write_bytes(b"one\n")
    (tmp_path / "z.jsonl").write_bytes(b"one\n\n")
    for args, message in (
        (["x.jsonl", "--given", "y.jsonl"], "x.jsonl has 2 items, y.jsonl has 1"),
        (["x.jsonl", "--given", "z.jsonl"], "z.jsonl: line 2 is empty"),
        (["x.jsonl", "--given", "x.jsonl", "--think", "some"], "not a list of numbers"),
        (["x.jsonl", "--given", "x.jsonl", "--think", "-1"], "must not be negative"),
        (["x.jsonl", "--given", "x.jsonl", "--chains", "2"], "--chains needs --think"),
        (["x.jsonl", "--given", "y.jsonl", "--plot", "y.jsonl"], "would overwrite"),
    ):
        result = lmzip("scaling", *args)
        assert result.returncode == 2, args
        assert message in result.stderr.decode(), args
