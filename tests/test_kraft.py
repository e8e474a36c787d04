"""What is a code and what is none: Kraft sums over all texts of a toy, by the codec's own loop.

A code can give 2**-bits to every text so that all of them together have at most 1. Schemes A, B
and C of thoughts are codes; G, which looks at the text before it chooses its thoughts, is not: it
exists here only, to show that these sums find such things out.
"""

from __future__ import annotations

import itertools
import math
import types

import numpy as np
import pytest

from lmzip.codec import conditioned as conditioned_module
from lmzip.codec.conditioned import ConditionedEngine, ThoughtPlan
from lmzip.codec.job import decode_job, encode_job
from lmzip.codec.lm import code_jobs
from lmzip.coder import new_encoder
from lmzip.engine.arithmetic import frequencies
from lmzip.extension import extension
from lmzip.mix import NativeMixer, TokenBytes
from lmzip.mix.reference import ReferenceMixer

SYMBOLS, LENGTH, START = 3, 5, 3
TEXTS = [np.array(x) for x in itertools.product(range(SYMBOLS), repeat=LENGTH)]
Y = np.array([2, 0, 1])
LEAK = 1e-3
"""Of every digit, what the 253 low digits that are no symbols have: less than this of the sum."""


class ToyCache:
    """What every stream has read."""

    def __init__(self, streams):
        self.rows = [[] for _ in range(streams)]
        self._streams = streams

    @property
    def position(self):
        return len(self.rows[0])

    def keep(self, rows):
        self.rows = [list(self.rows[i]) for i in rows.tolist()]

    def spread(self):
        assert len(self.rows) == 1
        self.rows = [list(self.rows[0]) for _ in range(self._streams)]


class ToyPredictions:
    def __init__(self, low):
        self._low = low

    def high(self):
        return np.full((*self._low.shape[:2], 1), 1 << 24, np.int32)

    def low(self, high):
        assert not high.any()
        return self._low


class ToyEngine:
    """Four tokens, the last of which starts a text; predictions, mostly sure of themselves, that
    depend on all that was read."""

    name = "toy"
    config = types.SimpleNamespace(bos=START, vocab=4)
    slice_tokens, lockstep_streams = 512, 64
    lanes = ()

    def __init__(self):
        self.known = {}

    def cache_memory(self):
        return None

    def new_cache(self, streams, window, sinks, length):
        return ToyCache(streams)

    def forward(self, tokens, cache):
        low = np.empty((*tokens.shape, 256), np.int32)
        for b, row in enumerate(tokens.tolist()):
            for t, token in enumerate(row):
                cache.rows[b].append(token)
                low[b, t] = self.predict(tuple(cache.rows[b]))
        return ToyPredictions(low)

    def predict(self, read):
        if read not in self.known:
            rng = np.random.default_rng([len(read), *read])
            weights = np.zeros(256, np.int32)
            weights[:SYMBOLS] = np.exp(2.0 * rng.standard_normal(SYMBOLS)) * 1e5
            self.known[read] = frequencies(weights)
        return self.known[read]


TOY = ToyEngine()
NOTHING = np.empty(0, np.int64)


def plan(tokens=4, chains=1, seed=0, every=0):
    return ThoughtPlan(tokens, chains, 1, seed, every, np.array([1]), np.array([0]))


def bits(engine, mixer=None):
    """Of all TEXTS, as the codec codes them: two streams of a block, its later thoughts its own."""
    found = []
    for x in TEXTS:
        job = encode_job(x, 3, mixer=None if mixer is None else mixer())
        code_jobs(engine, [job], window=50, sinks=2)
        found.append(job.encoder.ideal_bits)
    return np.array(found)


def kraft(lengths):
    return float((2.0**-lengths).sum())


def chains_alone(thinking):
    """Bits under each of its chains, whose first thoughts are read like a text."""
    drawn = thinking.first_thoughts(50, 2)
    leads = [np.concatenate([Y, [1], chain, [0]]) for chain in drawn]
    return np.array([bits(ConditionedEngine(TOY, lead)) for lead in leads])


def test_plain_given_and_a_are_codes():
    for engine in (
        TOY,
        ConditionedEngine(TOY, NOTHING),
        ConditionedEngine(TOY, Y),
        ConditionedEngine(TOY, Y, plan()),
        ConditionedEngine(TOY, NOTHING, plan(seed=5)),
        ConditionedEngine(TOY, Y, plan(2, every=2)),
    ):
        assert 1 - LEAK < kraft(bits(engine)) <= 1 + 1e-9


FOUR = TokenBytes(np.arange(5), np.frombuffer(b"ab\n(", np.uint8))
"""What the toy's tokens say."""


def a_mixer(kind, primed):
    """A fresh mixer of that kind for the toy, two streams."""
    if kind is ReferenceMixer:
        made = ReferenceMixer(FOUR.ends, FOUR.data, 2, 8)
    else:
        if extension is None:
            pytest.skip("without the native extension")
        made = NativeMixer(FOUR, 2, 8)
    if primed:
        made.prime(np.tile(Y, 9))
    return made


@pytest.mark.parametrize(
    ("kind", "primed"), [(NativeMixer, False), (NativeMixer, True), (ReferenceMixer, True)]
)
def test_mixing_is_a_code(kind, primed):
    found = bits(ConditionedEngine(TOY, Y, plan(chains=2)), lambda: a_mixer(kind, primed))
    # What is missing went to the 252 values that a vocabulary of four tokens leaves unused.
    assert 0.98 < kraft(found) <= 1 + 1e-9


def test_mixing_shares_out_everything_among_the_next_tokens():
    """Behind any text, what all tokens of a full vocabulary can get together is 1."""
    if extension is None:
        pytest.skip("without the native extension")
    rng = np.random.default_rng(0)
    tokens = TokenBytes(np.arange(513), rng.integers(32, 127, 512).astype(np.uint8))
    said = np.tile(rng.integers(0, 512, 5), 4)
    rows = [frequencies(rng.integers(0, 1 << 12, (1, n)).astype(np.int32) ** 2) for n in (2, 256)]
    total = 0.0
    for last in range(512):
        mixer, encoder = NativeMixer(tokens, 1, 8), new_encoder()
        for token in [*said.tolist(), last]:
            high = np.array([token // 256])
            mixer.code_high(encoder, rows[0], high)
            cost = mixer.costs()[0][0]
            mixer.code_low(encoder, rows[1], high, np.array([token]))
            cost += mixer.costs()[0][0]
        total += 2.0**-cost
    assert total == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("every", [0, 2])
def test_b_is_a_code(k, every):
    assert 1 - LEAK < kraft(bits(ConditionedEngine(TOY, Y, plan(3, k, 7, every)))) <= 1 + 1e-9


@pytest.mark.parametrize("k", [2, 8])
def test_c_is_a_wasteful_code_and_b_is_never_worse(k):
    thinking = ConditionedEngine(TOY, Y, plan(4, k, 1))
    b, each = bits(thinking), chains_alone(thinking)
    # Two streams, each with weights of its own: each may take its own log2 k.
    c = 2 * math.log2(k) + each.min(axis=0)
    assert kraft(c) < 0.9
    assert kraft(b) > kraft(c)
    assert (b <= c + 1e-3).all()
    assert (c - b).mean() > 0.5


def test_a_single_streams_mixture_is_that_of_its_chains():
    thinking = ConditionedEngine(TOY, Y, plan(4, 4, 1))
    drawn = thinking.first_thoughts(50, 2)

    def of_three(engine):
        found = []
        for x in itertools.product(range(SYMBOLS), repeat=3):
            job = encode_job(np.array(x), 3)
            code_jobs(engine, [job], window=50, sinks=2)
            found.append(job.encoder.ideal_bits)
        return np.array(found)

    each = np.array(
        [of_three(ConditionedEngine(TOY, np.concatenate([Y, [1], r, [0]]))) for r in drawn]
    )
    b, c = of_three(thinking), 2 + each.min(axis=0)
    np.testing.assert_allclose(b, 2 - np.log2((2.0**-each).sum(axis=0)), atol=1e-3)
    assert (b <= c + 1e-3).all()
    assert 1 - LEAK < kraft(b) <= 1 + 1e-9
    assert kraft(c) <= 1


def test_g_is_no_code():
    """The best thoughts chosen with the text in hand, and their choice not paid for."""
    seeds = 64
    hindsight = np.array(
        [bits(ConditionedEngine(TOY, Y, plan(seed=seed))) for seed in range(seeds)]
    )
    best = hindsight.min(axis=0)
    assert kraft(best) > 3
    assert kraft(best + math.log2(seeds)) <= 1  # paid for, it is C
    assert all(kraft(lengths) <= 1 + 1e-9 for lengths in hindsight)


def test_a_choice_costs_a_bit():
    """Given y or not, whichever is shorter: a code with one bit that says which, none without."""
    shorter = np.minimum(bits(TOY), bits(ConditionedEngine(TOY, Y)))
    assert kraft(shorter) > 1.2
    assert kraft(shorter + 1) <= 1


def test_what_knows_nothing_gains_nothing():
    """Null control: thoughts of neither text never gain, on the average over what was expected."""
    alone = bits(ConditionedEngine(TOY, Y))
    p = 2.0**-alone
    for seed in range(5):
        r = np.random.default_rng(seed).integers(0, SYMBOLS, 6)
        for given in (ConditionedEngine(TOY, r), ConditionedEngine(TOY, np.concatenate([Y, r]))):
            assert (p * (bits(given) - alone)).sum() > 0.1
    thought = ConditionedEngine(TOY, NOTHING, plan(seed=4))
    assert (p * (bits(thought) - alone)).sum() > 0.1


def test_thoughts_know_nothing_of_what_comes(monkeypatch):
    """Leak control: a thought is a function of what the decoder has read before it."""
    drawn = []
    draw = conditioned_module.draw_thoughts

    def spy(*args):
        drawn.append(draw(*args))
        return drawn[-1]

    monkeypatch.setattr(conditioned_module, "draw_thoughts", spy)
    by_beginning = {}
    for x in TEXTS:
        drawn.clear()
        engine = ConditionedEngine(TOY, Y, plan(6, 2, 3, every=2))
        job = encode_job(x, LENGTH)
        code_jobs(engine, [job], window=50, sinks=2)
        while_encoding = [thought.tolist() for thought in drawn]
        assert len(drawn) == 3  # before the first token, the third, the fifth
        for known, thought in zip((0, 2, 4), while_encoding, strict=True):
            by_beginning.setdefault(tuple(x[:known]), set()).add(str(thought))
        drawn.clear()
        back = decode_job(job.encoder.finish(), LENGTH, LENGTH)
        code_jobs(ConditionedEngine(TOY, Y, engine.thoughts), [back], window=50, sinks=2)
        np.testing.assert_array_equal(back.decoded(), x)
        assert [thought.tolist() for thought in drawn] == while_encoding
    assert {len(thoughts) for thoughts in by_beginning.values()} == {1}
    assert len(by_beginning) == 1 + SYMBOLS**2 + SYMBOLS**4
    later = [by_beginning[x] for x in itertools.product(range(SYMBOLS), repeat=2)]
    assert len({str(thoughts) for thoughts in later}) > 5  # they do read what was decoded
