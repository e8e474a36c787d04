"""Blocks dealt to several engines at once: who does what never changes a byte."""

from __future__ import annotations

import dataclasses
import io
import logging
import threading

import pytest

import lmzip
from lmzip.codec import CodingParameters, OneModel, compress_stream, decompress_stream
from lmzip.codec.job import decode_job, encode_job
from lmzip.codec.lanes import code_in_lanes, deal
from lmzip.errors import DeviceMemoryError
from lmzip.models.source import load_model

SMALL = CodingParameters(window=12, stream_tokens=20, sinks=2, block_bytes=300)
TEXT = b"".join(b"In line %d the quick brown fox jumps over one lazy dog.\n" % i for i in range(45))


class Lane:
    """A CPU engine that is one of several, and may be short of memory."""

    def __init__(self, pack, room=1 << 30, own=None, meeting=None):
        self.engine = load_model(pack, threads=1).engine
        self.config, self.name = self.engine.config, self.engine.name
        self.slice_tokens, self.lockstep_streams = 16, 64
        self.lanes = ()
        self.room, self.own, self.meeting = room, own, meeting
        self.asked = []
        """Streams of every cache."""
        self.threads = set()
        self.fails_at = -1
        """Call of `forward` that fails."""

    def cache_memory(self):
        return self.own

    def new_cache(self, streams, window, sinks, length):
        self.asked.append(streams)
        if streams > self.room:
            raise DeviceMemoryError(f"{streams} streams need more")
        if self.meeting is not None:
            self.meeting.wait(timeout=30)
        return self.engine.new_cache(streams, window, sinks, length)

    def forward(self, tokens, cache):
        self.threads.add(threading.get_ident())
        self.fails_at -= 1
        if self.fails_at == 0:
            raise OSError("the device is gone")
        return self.engine.forward(tokens, cache)


def joined(*lanes: Lane) -> Lane:
    for lane in lanes:
        lane.lanes = lanes
    return lanes[0]


def model_of(tiny_model, engine) -> OneModel:
    return OneModel(dataclasses.replace(tiny_model, engine=engine))


def packed(models, in_flight=None, text=TEXT, **options):
    out = io.BytesIO()
    compress_stream(
        io.BytesIO(text), out.write, models, SMALL, blocks_in_flight=in_flight, **options
    )
    return out.getvalue()


def test_jobs_are_dealt_by_their_tokens(tiny_model):
    ids = tiny_model.tokenizer.tokenize(TEXT)
    jobs = [encode_job(ids[:count], 20) for count in (5, 90, 40, 45, 8)]
    parts = deal(jobs, 2)
    assert [[job.tokens for job in part] for part in parts] == [[90, 5], [45, 40, 8]]
    assert deal(jobs[:1], 3) == [jobs[:1]]
    assert deal([], 2) == []


def test_lanes_work_at_the_same_time_and_change_no_byte(tiny_pack, tiny_model, tiny_models):
    expected = packed(tiny_models)
    meeting = threading.Barrier(2)
    engine = joined(Lane(tiny_pack, meeting=meeting), Lane(tiny_pack, meeting=meeting))
    models = model_of(tiny_model, engine)
    coded = []
    found = packed(models, 20, progress=lambda size, _archive: coded.append(size))
    assert found == expected, "every pair of caches was taken by two threads that waited"
    assert coded[-1] == len(TEXT)
    assert coded == sorted(coded)
    out = io.BytesIO()
    decompress_stream(io.BytesIO(expected), out.write, models, blocks_in_flight=20)
    assert out.getvalue() == TEXT
    assert all(threading.get_ident() not in lane.threads for lane in engine.lanes)


def test_a_single_block_needs_no_threads(tiny_pack, tiny_model, tiny_models):
    engine = joined(Lane(tiny_pack), Lane(tiny_pack))
    assert packed(model_of(tiny_model, engine), text=TEXT[:200]) == packed(
        tiny_models, text=TEXT[:200]
    )
    assert engine.threads == {threading.get_ident()}


@pytest.mark.parametrize("failing", [0, 1])
def test_the_first_error_ends_all_lanes(tiny_pack, tiny_model, failing):
    engine = joined(Lane(tiny_pack), Lane(tiny_pack))
    engine.lanes[failing].fails_at = 3
    ids = tiny_model.tokenizer.tokenize(TEXT)
    jobs = [encode_job(ids, 4096) for _ in range(2)]
    with pytest.raises(OSError, match="device is gone"):
        code_in_lanes(engine, jobs, window=12, sinks=2, progress=lambda done: None)
    assert engine.lanes[1 - failing].fails_at > -len(ids) // 16, "the other one went on to its end"


def test_an_interrupt_ends_all_lanes(tiny_pack, tiny_model):
    engine = joined(Lane(tiny_pack), Lane(tiny_pack))
    jobs = [encode_job(tiny_model.tokenizer.tokenize(TEXT), 4096) for _ in range(2)]

    def interrupt(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        code_in_lanes(engine, jobs, window=12, sinks=2, progress=interrupt)


@pytest.mark.parametrize("lanes", [1, 2])
def test_what_does_not_fit_is_halved(tiny_pack, tiny_model, tiny_models, caplog, lanes):
    expected = packed(tiny_models)
    engine = joined(*(Lane(tiny_pack, room=12) for _ in range(lanes)))
    models = model_of(tiny_model, engine)
    with caplog.at_level(logging.WARNING, logger="lmzip"):
        assert packed(models, 20) == expected
        assert lmzip.decompress(expected, model=models) == TEXT
    assert any(streams > 12 for streams in engine.asked)
    assert caplog.messages
    assert all("half as many" in message for message in caplog.messages)


def test_a_block_that_does_not_fit_is_an_error(tiny_pack, tiny_model, tiny_models):
    models = model_of(tiny_model, Lane(tiny_pack, room=2))
    with pytest.raises(DeviceMemoryError, match="streams need more"):
        packed(models, 20)
    with pytest.raises(DeviceMemoryError, match="streams need more"):
        lmzip.decompress(packed(tiny_models), model=models)


def test_an_engine_of_its_own_memory_gets_what_it_has_room_for(tiny_pack, tiny_model, tiny_models):
    expected = packed(tiny_models)
    small = Lane(tiny_pack, own=1)
    assert packed(model_of(tiny_model, small), memory_limit=1) == expected, "one at a time"
    large = Lane(tiny_pack, own=1 << 30)
    models = model_of(tiny_model, large)
    assert packed(models, memory_limit=1) == expected
    assert len(large.asked) < len(small.asked) // 2
    large.asked.clear()
    assert lmzip.decompress(expected, model=models, memory_limit=1) == TEXT
    assert max(large.asked) > 20
    large.own = None
    with pytest.raises(lmzip.MemoryLimitError):
        lmzip.decompress(expected, model=models, memory_limit=1)


def test_rounds_of_streams_in_lanes(tiny_pack, tiny_model):
    """Blocks of unequal length, in rounds, decoded in lanes that are short of memory."""
    ids = tiny_model.tokenizer.tokenize(TEXT)
    parts = [ids[:200], ids[200:230], ids[230:]]
    alone = [encode_job(part, 20, 3) for part in parts]
    for job in alone:
        code_in_lanes(tiny_model.engine, [job], window=12, sinks=2)
    engine = joined(Lane(tiny_pack, room=4), Lane(tiny_pack, room=4))
    jobs = [encode_job(part, 20, 3) for part in parts]
    code_in_lanes(engine, jobs, window=12, sinks=2)
    payloads = [job.encoder.finish() for job in jobs]
    assert payloads == [job.encoder.finish() for job in alone]
    back = [decode_job(p, len(i), 20, 3) for p, i in zip(payloads, parts, strict=True)]
    code_in_lanes(engine, back, window=12, sinks=2)
    assert [job.decoded().tolist() for job in back] == [part.tolist() for part in parts]
