"""What decoding a block takes is known from its header, and bounded, before anything begins."""

from __future__ import annotations

import dataclasses
import io
import json
import math

import numpy as np
import pytest

import lmzip
from lmzip.codec import ArchiveIndex, conditioned, decompress_many
from lmzip.codec.work import MAX_WORK, OWN_SECONDS, block_work
from lmzip.errors import CorruptError, TimeLimitError, UsageError
from lmzip.format import (
    Block,
    BlockKind,
    Header,
    SideReference,
    SideSource,
    Thoughts,
    pack_short,
)
from lmzip.text import Vocabulary

from .test_codec import SMALL, TEXT
from .test_given import UNMIXED, archive, contents
from .test_thoughts import decoded, thinking

ROUNDS = dataclasses.replace(UNMIXED, streams_at_once=2, stream_tokens=15)


def counted(model, monkeypatch):
    """A list that takes the number of tokens of every pass through the model."""
    read = []
    forward = model.engine.forward

    def spy(tokens, cache):
        read.append(tokens.size)
        return forward(tokens, cache)

    monkeypatch.setattr(model.engine, "forward", spy)
    return read


def work(blob):
    index = ArchiveIndex(io.BytesIO(blob))
    (number,) = range(len(index.archives))
    return index.work(number)


@pytest.mark.parametrize("parameters", [UNMIXED, ROUNDS])
@pytest.mark.parametrize("prefix", [0, 9, 100, 500])
def test_the_work_of_blocks_with_a_prefix(tiny_models, monkeypatch, parameters, prefix):
    parameters = dataclasses.replace(parameters, block_bytes=800)
    x, y = TEXT, TEXT[:200]
    blob = archive(x, y, tiny_models, parameters, forced=True, prefix=prefix)
    read = counted(tiny_models.model, monkeypatch)
    assert contents(blob, y, tiny_models) == x
    tokens, most = work(blob)
    assert tokens <= sum(read) <= most
    assert most < 3 * sum(read)


@pytest.mark.parametrize(
    "thoughts",
    [
        Thoughts(6),
        Thoughts(3, chains=3, before=b"(", behind=b")"),
        Thoughts(2, chains=2, every=4),
        Thoughts(9, every=1, before=b"So: ", behind=b"And then"),
    ],
)
def test_the_work_of_thoughts(tiny_models, monkeypatch, thoughts):
    x = TEXT[:390]
    blob = thinking(x, thoughts, tiny_models)
    read = counted(tiny_models.model, monkeypatch)
    assert decoded(blob, tiny_models) == x
    _tokens, most = work(blob)
    assert sum(read) <= most < 3 * sum(read)


def asking(models, thoughts, tokens):
    """A short archive whose header asks for these thoughts, and the work of its only block."""
    model = lmzip.codec.model_reference(models.model, SMALL)
    side = SideReference(SideSource.NOWHERE, 0, b"", 1, 0, thoughts)
    data = TEXT[: 2 * tokens]
    block = Block(BlockKind.GIVEN_LM, len(data), 0, bytes(9), tokens)
    blob = pack_short(Header(model, side=side, only=block.kind), block, data)
    return block_work(model, side, tokens), blob


def test_blocks_of_too_much_work_are_refused_before_anything_is_done(tiny_models, monkeypatch):
    """79 bytes that would have a model think for years."""

    def never(*args):
        raise AssertionError("thought")

    monkeypatch.setattr(conditioned, "draw_thoughts", never)

    class NoModels:
        def for_reference(self, reference):
            raise AssertionError("the model was asked for")

    work_tokens, blob = asking(tiny_models, Thoughts(1 << 16, chains=256, every=1), 50)
    assert work_tokens > MAX_WORK
    with pytest.raises(CorruptError, match="the limit is"):
        lmzip.decompress(blob, model=NoModels())
    with (
        pytest.raises(CorruptError, match="the limit is"),
        lmzip.open(io.BytesIO(blob), model=NoModels()) as file,
    ):
        file.read()


def test_no_archive_of_too_much_work_is_made(tiny_models, monkeypatch):
    monkeypatch.setattr("lmzip.codec.work.MAX_WORK", 1000)
    with pytest.raises(UsageError, match="the limit is"):
        thinking(TEXT[:390], Thoughts(40, every=3), tiny_models)


def test_tokens_are_not_put_together_if_they_are_too_long():
    data = bytes(range(256)) + b"x" * 200
    table = Vocabulary(np.array([*range(257), len(data)], np.uint32), np.frombuffer(data, np.uint8))
    ids = np.full(1 << 20, 256)
    with pytest.raises(CorruptError, match="does not decode"):
        table.detokenize(ids, 1 << 20)
    assert len(table.detokenize(ids[:3], 600)) == 600


def test_info_says_what_it_takes(lmzip, tmp_path):
    (tmp_path / "x").write_bytes(TEXT)
    assert lmzip("--think", "5", "--given-always", "x").returncode == 0
    (archive,) = json.loads(lmzip("info", "--json", "x.lmz").stdout)["archives"]
    assert archive["tokens_read"] > archive["tokens"] > 100
    assert f"the model reads {archive['tokens_read']}" in lmzip("info", "x.lmz").stdout.decode()


def refused(match, blob, models, **options):
    """Every way of decoding refuses it, with the same message."""
    with pytest.raises(TimeLimitError, match=match):
        lmzip.decompress(blob, model=models, **options)
    with (
        pytest.raises(TimeLimitError, match=match),
        lmzip.open(io.BytesIO(blob), model=models, **options) as file,
    ):
        file.read()
    (found,) = decompress_many([blob], models, **options)
    assert isinstance(found, TimeLimitError)


def test_days_of_thinking_are_refused_before_anything_is_thought(tiny_models, monkeypatch):
    def never(*args):
        raise AssertionError("thought")

    work_tokens, blob = asking(tiny_models, Thoughts(1 << 16, chains=256, every=4), 20)
    assert work_tokens <= MAX_WORK
    monkeypatch.setattr(conditioned, "draw_thoughts", never)
    refused("28 hours, .*limit of 24 hours", blob, tiny_models)
    refused("28 hours, .*limit of 10 minutes", blob, tiny_models, time_limit=600.0)
    with pytest.raises(AssertionError, match="thought"):
        lmzip.decompress(blob, model=tiny_models, time_limit=math.inf)


def test_a_time_limit_counts_everything_and_without_one_texts_are_free(tiny_models):
    blob = lmzip.compress(TEXT * 5, model=tiny_models, parameters=SMALL)
    assert lmzip.decompress(blob, model=tiny_models) == TEXT * 5
    assert lmzip.decompress(blob, model=tiny_models, time_limit=3600.0) == TEXT * 5
    refused("limit of 0.01 seconds", blob, tiny_models, time_limit=0.01)


def test_a_time_limit_is_for_all_blocks_together(tiny_models):
    parameters = dataclasses.replace(SMALL, block_bytes=200)
    blob = lmzip.compress(TEXT * 5, model=tiny_models, parameters=parameters)
    tokens, _work = work(blob)
    seconds = tokens * OWN_SECONDS
    assert lmzip.decompress(blob, model=tiny_models, time_limit=1.2 * seconds) == TEXT * 5
    refused("time limit", blob, tiny_models, time_limit=0.9 * seconds)


@pytest.mark.parametrize("command", [("-dc",), ("-t",), ("-dc", "--range", "3:9")])
def test_the_command_has_a_time_limit(lmzip, tmp_path, command):
    (tmp_path / "f").write_bytes(TEXT * 5)
    assert lmzip("f").returncode == 0
    archive = str(tmp_path / "f.lmz")
    for limit in ("1h", "none", "90s"):
        assert lmzip(*command, "--time-limit", limit, archive).returncode == 0
    done = lmzip(*command, "--time-limit", "0", archive)
    assert done.returncode == 1
    assert b"more than the time limit of 0 seconds" in done.stderr
    done = lmzip(*command, "--time-limit", "soon", archive)
    assert done.returncode == 2
    assert b"'soon' is not a time" in done.stderr
