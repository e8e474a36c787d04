"""A step of many blocks in C++: the same bytes as job by job, whatever threads share it out."""

from __future__ import annotations

import numpy as np
import pytest

from lmzip.codec import lm, steps
from lmzip.codec.job import decode_job, encode_job
from lmzip.codec.lm import code_jobs
from lmzip.errors import CorruptError
from lmzip.extension import extension
from lmzip.mix import table_bits

pytestmark = pytest.mark.skipif(extension is None, reason="without the native extension")

TEXT = b"".join(
    b"%d green bottles hanging on the wall, and %d not.\n" % (i, i * i) for i in range(50)
)
CUTS = [(0, 40), (40, 41), (41, 300), (300, 620), (620, 700)]


@pytest.fixture(scope="module")
def blocks(tiny_model):
    ids = tiny_model.tokenizer.tokenize(TEXT)
    return [ids[first:end] for first, end in CUTS]


def mixers(model, blocks, which):
    """A mixer for every block (2), every second (1), or none (0)."""
    return [
        model.new_mixer(3, table_bits(len(ids), 12)) if which and i % (3 - which) == 0 else None
        for i, ids in enumerate(blocks)
    ]


def code(model, jobs, threads):
    code_jobs(model.engine, jobs, window=15, sinks=2, slice_rows=24, coding_threads=threads)
    return jobs


@pytest.mark.parametrize("which", [0, 1, 2])
def test_bytes_are_those_of_job_by_job(tiny_model, blocks, which, monkeypatch):
    def encoded(threads):
        made = mixers(tiny_model, blocks, which)
        jobs = [encode_job(i, 17, 3, mixer=m) for i, m in zip(blocks, made, strict=True)]
        return [job.encoder.finish() for job in code(tiny_model, jobs, threads)]

    def decoded(threads):
        made = mixers(tiny_model, blocks, which)
        jobs = [
            decode_job(p, len(i), 17, 3, mixer=m)
            for p, i, m in zip(expected, blocks, made, strict=True)
        ]
        return [job.decoded().tolist() for job in code(tiny_model, jobs, threads)]

    with monkeypatch.context() as plain:
        plain.setattr(lm, "new_steps", lambda jobs, threads: steps.PlainSteps(jobs))
        expected = encoded(1)
    tokens = [ids.tolist() for ids in blocks]
    assert isinstance(steps.new_steps([encode_job(blocks[0], 17)], 1), steps.NativeSteps)
    for threads in (1, 2, 4):
        assert encoded(threads) == expected
        assert decoded(threads) == tokens
    monkeypatch.setattr(lm, "new_steps", lambda jobs, threads: steps.PlainSteps(jobs))
    assert decoded(1) == tokens


@pytest.mark.parametrize("threads", [1, 3])
def test_a_payload_that_does_not_decode(threads):
    job = decode_job(b"\xff" * 40, 20, 5)
    native = steps.NativeSteps([job, decode_job(b"", 9, 3)], threads)
    freqs = np.full((7, 3), (1 << 24) // 3, np.int32)
    freqs[:, 0] += 1
    freqs[:4, 2] -= 1 << 20
    freqs[:4, 1] -= 1 << 20

    def decode():
        for position in range(5):
            native.high(position, freqs, None)

    with pytest.raises(CorruptError, match="does not decode"):
        decode()


@pytest.mark.parametrize("threads", [1, 3])
def test_a_mixed_payload_that_does_not_decode(tiny_model, threads):
    """It ends in an error once a token lies beyond the vocabulary, which is not a whole digit."""
    vocab = tiny_model.engine.config.vocab
    digits = -(-vocab // 256)
    assert vocab < 256 * digits
    blocks = [decode_job(noise, 40, 20, mixer=tiny_model.new_mixer(2, 8)) for noise in
              (np.random.default_rng(i).bytes(99) for i in range(3))]  # fmt: skip
    native = steps.NativeSteps(blocks, threads)
    high = np.full((6, digits), 1, np.int32)
    high[:, -1] = (1 << 24) - digits + 1
    low = np.full((6, 256), 1 << 16, np.int32)

    def decode():
        for position in range(20):
            native.low(position, low, native.high(position, high, None), None)

    with pytest.raises(CorruptError, match="does not decode"):
        decode()


def test_one_high_digit_takes_no_bits():
    ids = np.array([3, 7, 200, 3])
    job = encode_job(ids, 2)
    native = steps.NativeSteps([job], 1)
    freqs = np.full((2, 1), 1 << 24, np.int32)
    assert native.high(0, freqs, ids[:2]).tolist() == [0, 0]
    assert job.encoder.finish() == b""


def test_wrong_arrays_are_refused(tiny_model, blocks):
    ids = blocks[2]
    vocab = tiny_model.engine.config.vocab
    digits = -(-vocab // 256)
    job = encode_job(ids, 100, mixer=tiny_model.new_mixer(3, 8))
    native = steps.NativeSteps([job], 1)
    high = np.full((3, digits), (1 << 24) // digits, np.int32)
    low = np.full((3, 256), 1 << 16, np.int32)
    zeros = np.zeros(3, np.int64)
    for freqs, known in (
        (high[:2], zeros[:2]),
        (high[:, :1], zeros),
        (low, zeros),
        (high, zeros - 1),
        (high, zeros + 256 * digits),
        (high, zeros + vocab),
        (high, zeros[:2]),
    ):
        with pytest.raises(ValueError, match=r"."):
            native.high(0, freqs, known)
    with pytest.raises(ValueError, match="before"):
        native.low(0, low, zeros, zeros)
    assert native.high(0, high, zeros).tolist() == [0, 0, 0]
    for freqs, chosen, known in (
        (high, zeros, zeros),
        (low, zeros + 1, zeros),
        (low, zeros - 1, zeros - 256),
        (low, zeros + vocab // 256, zeros + vocab),
        (low[:2], zeros, zeros),
    ):
        with pytest.raises(ValueError, match=r"."):
            native.low(0, freqs, chosen, known)
    assert native.low(0, low, zeros, zeros + 9).tolist() == [9, 9, 9]
    with pytest.raises(ValueError, match="streams"):
        steps.NativeSteps([encode_job(ids, 5, mixer=tiny_model.new_mixer(3, 8))], 1)
