"""Thoughts: draws, chains and their mixture, archives whose decoder thinks the same."""

from __future__ import annotations

import dataclasses
import io
import math
from fractions import Fraction

import numpy as np
import pytest

import lmzip
from lmzip.codec import (
    ArchiveIndex,
    CodingParameters,
    OneModel,
    SideInformation,
    SideParameters,
    compress_stream,
    decompress_stream,
    ledger,
)
from lmzip.codec import conditioned as conditioned_module
from lmzip.codec.conditioned import ConditionedEngine, ThoughtPlan
from lmzip.codec.job import LmJob, encode_job
from lmzip.codec.lm import code_jobs
from lmzip.codec.thoughts import ChainMixture, Generator, draw_digit
from lmzip.engine.arithmetic import frequencies
from lmzip.errors import MemoryLimitError, SideInformationError
from lmzip.format import Header, Thoughts
from lmzip.models.source import load_model

from .conftest import GOLDEN
from .test_codec import SMALL, TEXT

ONE = 1 << 24
Y = TEXT[:120]
X = TEXT[90:240]
MASK = (1 << 64) - 1
STEP = 0xD1B54A32D192ED03


def test_splitmix64_known_answers():
    """The sequence that is published for the seed 1234567."""
    published = (
        6457827717110365317, 3203168211198807973, 9817491932198370423,
        4593380528125082431, 16408922859458223821,
    )  # fmt: skip
    for number in (0, 1, 77):
        generator = Generator(number, 1234567 ^ ((number + 1) * STEP & MASK))
        assert [generator.draw() for _ in published] == [a >> 32 for a in published]


def test_generators_of_other_numbers_and_seeds_draw_something_else():
    firsts = {Generator(n, s).draw() for n in range(50) for s in (*range(20), (1 << 62) - 1)}
    assert len(firsts) == 50 * 21


class Fixed:
    """A generator of one number."""

    def __init__(self, number):
        self._number = number

    def draw(self):
        return self._number


def digit_by_the_book(freqs, m, r):
    """NUMERICS.md, section 14, in fractions."""
    if m == 0:
        return freqs.index(max(freqs))
    w = [math.floor(ONE * Fraction(f, max(freqs)) ** m) for f in freqs]
    target = math.floor(Fraction(r * sum(w), 1 << 32))
    return next(i for i in range(len(w)) if sum(w[: i + 1]) > target)


@pytest.mark.parametrize("m", [0, 1, 2, 16])
def test_digits_are_drawn_as_specified(m):
    rng = np.random.default_rng(m)
    rows = [rng.integers(1, 1 << int(rng.integers(1, 24)), rng.integers(1, 9)) for _ in range(60)]
    rows += [np.array([5, 9, 9, 2]), np.array([1]), np.array([1, ONE - 1]), np.array([ONE - 1, 1])]
    for row in rows:
        draws = [0, 1, (1 << 32) - 1, *map(int, rng.integers(0, 1 << 32, 6))]
        for r in draws:
            got = draw_digit(row.astype(np.int32), m, Fixed(r))
            assert got == digit_by_the_book(row.tolist(), m, r)


def test_draws_at_temperature_1_are_as_frequent_as_predicted():
    freqs = np.array([1, ONE // 2, ONE // 4 - 1, ONE // 8, ONE // 8], np.int32)
    generator, count = Generator(3, 4), 20_000
    drawn = np.bincount([draw_digit(freqs, 1, generator) for _ in range(count)], minlength=5)
    p = freqs / ONE
    assert (abs(drawn - count * p) <= 5 * np.sqrt(count * p * (1 - p)) + 1).all()


def test_cold_draws_are_likelier_ones():
    freqs = np.array([ONE // 2, ONE // 4, ONE // 4], np.int32)
    shares = []
    for m in (1, 2, 16):
        generator = Generator(0, 0)
        shares.append(sum(draw_digit(freqs, m, generator) == 0 for _ in range(2000)) / 2000)
    assert shares[0] == pytest.approx(1 / 2, abs=0.06)
    assert shares[1] == pytest.approx(4 / 6, abs=0.06)
    assert shares[2] > 0.99


# The mixture of chains.


def rows_of_frequencies(rng, shape, n):
    weights = rng.exponential(size=(*shape, n)) ** rng.uniform(1, 6)
    scaled = weights / weights.sum(-1, keepdims=True) * (1 << 20)
    return frequencies(np.floor(scaled).astype(np.int32))


@pytest.mark.parametrize("k", [2, 3, 8])
def test_token_by_token_is_the_mixture_of_sequences(k):
    """And at most log2 k bits behind the best chain, on every sequence."""
    rng = np.random.default_rng(k)
    streams, steps = 6, 400
    mixture = ChainMixture(streams, k)
    mixed_bits, chain_bits = np.zeros(streams), np.zeros((streams, k))
    for step in range(steps):
        n = (2, 256)[step % 2]
        freqs = rows_of_frequencies(rng, (streams, k), n)
        mixed = mixture.mix(freqs)
        assert (mixed >= 1).all()
        assert (mixed.sum(1) == ONE).all()
        # Digits as one chain of each stream predicts them, so that weights really move.
        own = freqs[np.arange(streams), np.arange(streams) % k]
        digits = np.array([rng.choice(n, p=row / ONE) for row in own])
        mixture.learn(freqs, digits)
        at = np.arange(streams)
        mixed_bits += 24 - np.log2(mixed[at, digits])
        chain_bits += 24 - np.log2(freqs[at, :, digits])
        best = chain_bits.min(axis=1)
        sequence = math.log2(k) + best - np.log2((2.0 ** (best[:, None] - chain_bits)).sum(1))
        # Frequencies are integers, at least 1: that takes 2^-16 of what 256 digits have.
        slack = (step + 1) * 5e-5
        assert (mixed_bits <= math.log2(k) + best + slack).all()
        np.testing.assert_allclose(mixed_bits, sequence, rtol=0, atol=slack + 1e-3)
    assert chain_bits.max() > 100
    assert (chain_bits.max(1) - chain_bits.min(1)).min() > 10  # one of them was really right


def test_a_chain_that_was_wrong_for_long_can_come_back():
    mixture = ChainMixture(1, 2)
    sure, unsure = [ONE - 1, 1], [1, ONE - 1]
    freqs = np.array([[sure, unsure]], np.int32)
    for _ in range(50):
        mixture.learn(freqs, np.array([0]))
    assert mixture.mix(freqs)[0, 0] > ONE * 0.99
    for _ in range(4):
        mixture.learn(freqs, np.array([1]))
    assert mixture.mix(freqs)[0, 1] > ONE * 0.99


# An engine that thinks, against its specification read aloud.


class Noting:
    """A coder that keeps the frequencies it is given."""

    def __init__(self):
        self.rows = []

    def code(self, freqs, symbols):
        self.rows += [row.tolist() for row in freqs]
        return symbols

    def size_bytes(self):
        return 0


def predictions(engine, plan, prefix, ids, stream_tokens, slice_rows, window=40, sinks=2):
    """The frequencies that the codec codes the tokens with, in order."""
    job = LmJob(Noting(), [len(ids)], stream_tokens, ids)
    thinking = ConditionedEngine(engine, prefix, plan)
    code_jobs(thinking, [job], window=window, sinks=sinks, slice_rows=slice_rows)
    return job.coder.rows


def thought_aloud(engine, sequence, count, m, generator, window, sinks):
    """`count` more tokens, drawn one by one from the whole of what was read."""
    drawn = []
    for _ in range(count):
        cache = engine.new_cache(1, window, sinks, len(sequence))
        found = engine.forward(np.array([sequence]), cache)
        high = draw_digit(found.high()[0, -1], m, generator)
        row = found.low(np.full((1, len(sequence)), high))[0, -1]
        drawn.append(high * 256 + draw_digit(row[: engine.config.vocab - 256 * high], m, generator))
        sequence = [*sequence, drawn[-1]]
    return drawn


def chain_by_the_book(engine, plan, prefix, ids, stream, chain, window, sinks):
    """High and low frequencies of every token of a stream under one chain."""
    read = [engine.config.bos, *prefix]
    first, later = Generator(chain, plan.seed), Generator(256 * (stream + 1) + chain, plan.seed)
    found = []
    for place, token in enumerate(ids):
        if place == 0 or (plan.every and place % plan.every == 0):
            read += plan.before.tolist()
            generator = later if place else first
            read += thought_aloud(
                engine, read, plan.tokens, plan.temperature, generator, window, sinks
            )
            read += plan.behind.tolist()
        cache = engine.new_cache(1, window, sinks, len(read))
        answer = engine.forward(np.array([read]), cache)
        high = answer.high()[0, -1]
        found.append((high, answer.low(np.full((1, len(read)), token // 256))[0, -1]))
        read.append(token)
    return found


def mixed_by_the_book(chains, ids):
    """Section 14's mixture of k chains' frequencies, in Python's integers."""
    k = len(chains)
    v = [(1 << 32) // k] * k
    found = []
    for place, token in enumerate(ids):
        for part, digit in ((0, token // 256), (1, token % 256)):
            rows = [chain[place][part].tolist() for chain in chains]
            if k == 1:
                found.append(rows[0])
                continue
            weights = [sum(v[c] * rows[c][i] for c in range(k)) >> 32 for i in range(len(rows[0]))]
            found.append(frequencies(np.array([weights], np.int32))[0].tolist())
            u = [v[c] * rows[c][digit] for c in range(k)]
            v = [max(1, (a << 32) // sum(u)) for a in u]
    return found


PLANS = {
    "one": ThoughtPlan(4, 1, 1, 5, 0, np.empty(0, int), np.empty(0, int)),
    "greedy": ThoughtPlan(3, 1, 0, 0, 2, np.empty(0, int), np.array([20])),
    "chains": ThoughtPlan(3, 3, 1, 7, 0, np.array([10, 300]), np.empty(0, int)),
    "all": ThoughtPlan(2, 3, 2, 9, 3, np.array([70]), np.array([80, 90])),
}


@pytest.mark.parametrize("slice_rows", [1, 7, 512])
@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("window", [40, 6])
def test_streams_think_as_specified(tiny_model, name, slice_rows, window):
    """Two streams, one a token longer than the other."""
    plan, engine, sinks = PLANS[name], tiny_model.engine, 2
    prefix = np.array([400, 90, 33, 300])
    ids = tiny_model.tokenizer.tokenize(TEXT)[:13]
    got = predictions(engine, plan, prefix, ids, 7, slice_rows, window, sinks)
    streams = [ids[:7].tolist(), ids[7:].tolist()]
    expected = []
    for i, own in enumerate(streams):
        chains = [
            chain_by_the_book(engine, plan, prefix, own, i, c, window, sinks)
            for c in range(plan.chains)
        ]
        expected.append(mixed_by_the_book(chains, own))
    in_order = []
    for place in range(7):
        for part in (0, 1):
            in_order += [e[2 * place + part] for e in expected if len(e) > 2 * place]
    assert got == in_order


@pytest.mark.parametrize("temperature", [0, 1, 3])
def test_every_engine_thinks_the_same(tiny_pack, tiny_model, temperature):
    plan = ThoughtPlan(30, 3, temperature, 11, 0, np.array([65, 66]), np.empty(0, int))
    prefix = tiny_model.tokenizer.tokenize(Y)
    models = [
        load_model(tiny_pack, engine=engine, threads=threads)
        for engine, threads in (("auto", 1), ("auto", 2), ("reference", 1))
    ]
    thoughts = [ConditionedEngine(m.engine, prefix, plan).first_thoughts(24, 3) for m in models]
    assert thoughts[0].shape == (3, 30)
    for other in thoughts[1:]:
        np.testing.assert_array_equal(other, thoughts[0])
    distinct = {tuple(row) for row in thoughts[0].tolist()}
    assert len(distinct) == (1 if temperature == 0 else 3)
    reseeded = dataclasses.replace(plan, seed=12)
    again = ConditionedEngine(tiny_model.engine, prefix, reseeded).first_thoughts(24, 3)
    assert np.array_equal(again, thoughts[0]) == (temperature == 0)


# Archives.

THOUGHTS = {
    "k = 1": Thoughts(5),
    "k = 3": Thoughts(4, chains=3, seed=99),
    "greedy": Thoughts(6, temperature=0, before=b"Summary: "),
    "every": Thoughts(3, temperature=2, every=6, before=b" (", behind=b") "),
    "all": Thoughts(2, chains=2, temperature=3, seed=(1 << 62) - 1, every=9, behind=b"\n"),
}


def thinking(x, thoughts, models, parameters=SMALL, y=Y, **options):
    side = SideInformation.of(y) if y else SideInformation.nothing()
    out = io.BytesIO()
    compress_stream(
        io.BytesIO(x), out.write, models, parameters, side=side,
        side_parameters=SideParameters(9, thoughts, always=True), **options,
    )  # fmt: skip
    return out.getvalue()


def decoded(blob, models, y=Y, **options):
    out = io.BytesIO()
    side = SideInformation.of(y) if y else None
    decompress_stream(io.BytesIO(blob), out.write, models, side=side, **options)
    return out.getvalue()


@pytest.fixture(scope="module")
def other_models(tiny_pack):
    """The same on two threads, and on the reference engine."""
    return [
        OneModel(load_model(tiny_pack, engine=engine, threads=threads))
        for engine, threads in (("auto", 2), ("reference", 1))
    ]


@pytest.mark.parametrize("mixing_bits", [0, 9])
@pytest.mark.parametrize("name", THOUGHTS)
def test_archives_with_thoughts_do_not_depend_on_who_makes_them(
    tiny_models, other_models, name, mixing_bits
):
    """One block and three; made and decoded by either engine, in any slices and company."""
    parameters = dataclasses.replace(SMALL, mixing_bits=mixing_bits, block_bytes=150)
    for x, y in ((X[:70], b""), (TEXT[:240], Y)):
        blob = thinking(x, THOUGHTS[name], tiny_models, parameters, y)
        index = ArchiveIndex(io.BytesIO(blob))
        header = index.archives[0].header
        assert dataclasses.replace(header.side.thoughts, crc=0) == THOUGHTS[name]
        kinds = {kind.name for kind, n in index.kinds().items() if n}
        assert kinds == ({"GIVEN_MIXED"} if mixing_bits else {"GIVEN_LM"})
        assert sum(item.bits for item in ledger(index)) == 8 * len(blob)
        for models, rows, blocks in zip(
            (*other_models, tiny_models), (512, 7, 1), (1, 2, 9), strict=True
        ):
            options = {"slice_rows": rows, "blocks_in_flight": blocks}
            assert thinking(x, THOUGHTS[name], models, parameters, y, **options) == blob
            assert decoded(blob, models, y, blocks_in_flight=blocks) == x
        with lmzip.open(io.BytesIO(blob), model=tiny_models, given=y or None) as file:
            file.seek(len(x) - 10)
            assert file.read() == x[-10:]


def test_rounds_think_anew(tiny_models):
    parameters = dataclasses.replace(SMALL, streams_at_once=2, stream_tokens=9)
    blob = thinking(X, THOUGHTS["all"], tiny_models, parameters)
    assert decoded(blob, tiny_models) == X


def test_thoughts_are_given_up_where_they_do_not_help(tiny_models):
    out = io.BytesIO()
    compress_stream(
        io.BytesIO(X), out.write, tiny_models, CodingParameters(), size_bytes=len(X),
        side=SideInformation.nothing(), side_parameters=SideParameters(thoughts=Thoughts(3)),
    )  # fmt: skip
    assert out.getvalue() == lmzip.compress(X, model=tiny_models, parameters=CodingParameters())


def test_other_thoughts_are_refused(tiny_models):
    """Their checksum is in the header; so a model that thinks otherwise is found out at once."""
    blob = thinking(TEXT[:400], THOUGHTS["k = 3"], tiny_models)
    header = ArchiveIndex(io.BytesIO(blob)).archives[0].header
    size = len(header.pack())
    assert header.pack() == blob[:size]
    for change in ({"crc": header.side.thoughts.crc ^ 1}, {"seed": 98}, {"chains": 2}):
        thoughts = dataclasses.replace(header.side.thoughts, **change)
        other = Header(header.model, side=dataclasses.replace(header.side, thoughts=thoughts))
        packed = other.pack()
        assert len(packed) == size
        with pytest.raises(SideInformationError, match="did not generate the same"):
            decoded(packed + blob[len(packed) :], tiny_models)


def test_a_flip_in_an_archive_with_thoughts_is_never_wrong_data(tiny_models):
    x = TEXT[:310]
    blob = thinking(x, Thoughts(2, chains=2), tiny_models)
    for position in range(0, 8 * len(blob), 5):
        damaged = bytearray(blob)
        damaged[position // 8] ^= 1 << (position % 8)
        with pytest.raises(lmzip.LmzipError):
            decoded(bytes(damaged), tiny_models)


def test_memory_is_asked_for_before_thinking(tiny_models, monkeypatch):
    thoughts = Thoughts(1 << 16, chains=256)
    never = Thoughts(2, chains=256)
    blob = thinking(TEXT[:400], never, tiny_models)

    def think(*args):
        raise AssertionError("thought")

    monkeypatch.setattr(conditioned_module, "draw_thoughts", think)
    with pytest.raises(MemoryLimitError):
        thinking(TEXT[:400], thoughts, tiny_models, memory_limit=1 << 22)
    with pytest.raises(MemoryLimitError):
        decoded(blob, tiny_models, memory_limit=1 << 20)
    with pytest.raises(AssertionError, match="thought"):
        decoded(blob, tiny_models)


def test_chains_cost_at_most_their_number(tiny_models):
    """B <= C on real text: the mixture against each of its chains alone."""
    model = tiny_models.model
    ids = model.tokenizer.tokenize(X)
    prefix = model.tokenizer.tokenize(Y)
    plan = ThoughtPlan(6, 4, 1, 3, 0, np.empty(0, int), np.array([13]))

    def bits(engine):
        job = encode_job(ids, 1000)
        code_jobs(engine, [job], window=300, sinks=2)
        return job.encoder.ideal_bits

    together = ConditionedEngine(model.engine, prefix, plan)
    alone = [
        bits(ConditionedEngine(model.engine, np.concatenate([prefix, chain, plan.behind])))
        for chain in together.first_thoughts(300, 2)
    ]
    best = min(alone)
    mixture = 2 + best - math.log2(sum(2.0 ** (best - b) for b in alone))
    assert max(alone) - best > 0.5
    assert bits(together) == pytest.approx(mixture, abs=0.01)
    assert bits(together) <= math.log2(4) + best


@pytest.mark.parametrize(
    "path", sorted(GOLDEN.rglob("*.lmz")), ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_ledgers_have_every_bit(path):
    blob = path.read_bytes()
    for copies in (1, 3):
        index = ArchiveIndex(io.BytesIO(blob * copies))
        items = ledger(index)
        assert sum(item.bits for item in items) == 8 * copies * len(blob)
        assert {item.archive for item in items} == set(range(1, len(index.archives) + 1))
