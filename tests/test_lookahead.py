"""Speculative decoding: right and wrong guesses change what is computed, never what is decoded."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest

from lmzip.codec import CodingParameters, OneModel, compress_stream, decompress_stream, lookahead
from lmzip.codec.guesses import Guess, Guesser
from lmzip.codec.job import decode_job, encode_job
from lmzip.codec.lm import code_jobs
from lmzip.engine import RewindingCache
from lmzip.engine.native import NativeEngine, instruction_sets
from lmzip.engine.reference import ReferenceEngine
from lmzip.extension import extension
from lmzip.models.checkpoint import read_folder
from lmzip.models.convert import build_pack
from lmzip.models.source import load_model

from . import tiny
from .test_engine import KINDS, frequencies

pytestmark = pytest.mark.skipif(extension is None, reason="without the native extension")

TEXT = b"".join(
    b"Item %d is in box %d, and box %d is red.\n" % (i, i % 7, i % 7) for i in range(40)
)


@pytest.fixture(scope="module", params=KINDS)
def pack(request, tmp_path_factory):
    kind = request.param
    folder = tmp_path_factory.mktemp("lookahead") / kind
    tiny.write_folder(folder, kind.split("-")[0], seed=5, **KINDS[kind])
    return build_pack(read_folder(folder, kind))


@pytest.mark.parametrize(("window", "sinks"), [(64, 2), (9, 0), (5, 3), (1, 1), (2, 30)])
@pytest.mark.parametrize("streams", [1, 3, 40])
def test_a_cache_goes_back(pack, window, sinks, streams):
    """Streams run ahead on wrong tokens, by different lengths, and are fed the right ones then."""
    length = 70
    rng = np.random.default_rng(window)
    tokens = rng.integers(0, pack.config.vocab, (streams, length))
    expected, _ = frequencies(ReferenceEngine(pack), tokens, [length], window, sinks)
    engine = NativeEngine(pack, threads=2)
    cache = engine.new_cache(streams, window, sinks, length)
    assert isinstance(cache, RewindingCache)
    lead = cache.lead
    assert lead == (6 if streams == 40 and window < 60 else length)
    for position in range(length):
        ahead = rng.permutation(streams)[: max(1, streams // 2)]
        most = int(rng.integers(1, min(lead, 9, length - position) + 1))
        fed = rng.integers(0, pack.config.vocab, (len(ahead), most))
        fed[:, 0] = tokens[ahead, position]
        cache.choose(ahead, position)
        first = engine.forward(fed, cache).high()[:, 0]
        np.testing.assert_array_equal(first, expected[ahead, position])
        others = np.setdiff1d(np.arange(streams), ahead)
        if len(others):
            cache.choose(others, position)
            found = engine.forward(tokens[others, position : position + 1], cache).high()[:, 0]
            np.testing.assert_array_equal(found, expected[others, position])


def test_what_choose_refuses(tiny_pack):
    engine = NativeEngine(tiny_pack)
    cache = engine.new_cache(2, 4, 1, 600)
    engine.forward(np.zeros((2, 10), np.int64), cache)
    with pytest.raises(IndexError):
        cache.choose(np.array([2]), 9)
    with pytest.raises(IndexError, match="position"):
        cache.choose(np.array([0]), 11)
    engine.forward(np.zeros((2, 400), np.int64), cache)
    with pytest.raises(IndexError, match="position"):
        cache.choose(np.array([0]), 410 - cache.lead - 1)
    cache.choose(np.array([1]), 410 - cache.lead)
    with pytest.raises(ValueError, match="streams"):
        engine.forward(np.zeros((2, 1), np.int64), cache)
    cache.keep(np.array([1]))
    assert cache.position == 410 - cache.lead


class Oracle(Guesser):
    """Guesses what comes, or what does not, or now this and now that."""

    truth: list[list[int]]
    kind: str

    def __init__(self, streams, length):
        super().__init__(streams, length)
        self.count = [0] * streams
        self.random = random.Random(7)

    def add(self, stream, token):
        super().add(stream, token)
        self.count[stream] += 1

    def guess(self, stream, most):
        here = self.count[stream] - 1  # the start token is no token of the text
        right = self.truth[stream][here : here + most]
        if self.kind == "wrong":
            right = [token ^ 1 for token in right]
        if self.kind == "mixed":
            right = right[: self.random.randint(0, most)]
            right = [token ^ (self.random.random() < 0.3) for token in right]
        return Guess(right, 2, [1.0] * len(right))


@pytest.mark.parametrize("kind", ["right", "wrong", "mixed"])
@pytest.mark.parametrize("at_once", [1, 2, 3])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_forced_guesses_decode_the_same(tiny_pack, monkeypatch, kind, at_once, threads):
    model = load_model(tiny_pack, threads=threads)
    ids = model.tokenizer.tokenize(TEXT)[: 40 * at_once + 1]  # one stream is a token longer
    job = encode_job(ids, 60, mixer=model.new_mixer(at_once + 1, 8))
    code_jobs(model.engine, [job], window=20, sinks=2)
    model.engine.guessing_streams = 4
    made = []
    monkeypatch.setattr(Oracle, "truth", [r.tolist() for r in job.rows], raising=False)
    monkeypatch.setattr(Oracle, "kind", kind, raising=False)
    monkeypatch.setattr(lookahead, "new_guesser", Oracle)
    real = lookahead.LookAhead.log
    monkeypatch.setattr(lookahead.LookAhead, "log", lambda self: (made.append(self), real(self)))
    back = decode_job(job.encoder.finish(), len(ids), 60, mixer=model.new_mixer(at_once + 1, 8))
    code_jobs(model.engine, [back], window=20, sinks=2)
    assert back.decoded().tolist() == ids.tolist()
    (look_ahead,) = made
    if kind == "right":
        assert look_ahead.passes < back.longest / 4
    if kind == "wrong":
        assert look_ahead.passes == back.longest
        assert look_ahead.fed > 3 * look_ahead.steps
    if kind == "mixed":
        assert back.longest / 4 < look_ahead.passes <= back.longest


def test_archives_decode_with_guesses_and_without(tiny_pack, monkeypatch):
    """Blocks of different lengths, some of them in rounds; streams end while others go on."""
    plain = load_model(tiny_pack, threads=2)
    parameters = CodingParameters(
        window=30, stream_tokens=100, sinks=2, block_bytes=700, streams_at_once=2
    )
    out = io.BytesIO()
    compress_stream(io.BytesIO(TEXT), out.write, OneModel(plain), parameters)
    seen = []
    monkeypatch.setattr(
        lookahead.LookAhead, "log", lambda self: seen.append((self.passes, self.steps, self.fed))
    )
    for streams in (0, 1, 4, 100):
        plain.engine.guessing_streams = streams
        for in_flight in (1, 3):
            back = io.BytesIO()
            archive = io.BytesIO(out.getvalue())
            decompress_stream(archive, back.write, OneModel(plain), blocks_in_flight=in_flight)
            assert back.getvalue() == TEXT
        assert bool(seen) == (streams > 1)
    assert any(passes < steps < fed for passes, steps, fed in seen), "some guesses were right"


def test_small_and_foreign_models_do_not_guess(tiny_pack, tiny_model):
    cache = tiny_model.engine.new_cache(1, 5, 1, 50)
    assert cache.guessing_streams == 0
    assert lookahead.new_look_ahead(tiny_model.engine, cache, 1, 50) is None
    reference = ReferenceEngine(tiny_pack)
    theirs = reference.new_cache(1, 5, 1, 50)
    assert lookahead.new_look_ahead(reference, theirs, 1, 50) is None
    tiny_model.engine.guessing_streams = 2
    try:
        cache = tiny_model.engine.new_cache(3, 5, 1, 50)
        assert lookahead.new_look_ahead(tiny_model.engine, cache, 2, 50) is not None
        assert lookahead.new_look_ahead(tiny_model.engine, cache, 3, 50) is None
    finally:
        tiny_model.engine.guessing_streams = 0


def fed(guesser, stream, tokens):
    for token in tokens:
        guesser.add(stream, token)


def guessed(guesser, most, stream=0):
    guess = guesser.guess(stream, most)
    assert len(guess.tokens) == len(guess.chances)
    return guess.tokens, guess.equal


def test_a_guess_is_what_followed_the_longest_context():
    guesser = Guesser(1, 1000)
    assert guessed(guesser, 4) == ([], 0)
    fed(guesser, 0, [7, 1, 2, 3, 4, 9, 9, 8, 2, 3, 5, 6, 1, 2, 3])
    assert guessed(guesser, 3) == ([4, 9, 9], 3)
    fed(guesser, 0, [30, 8, 2, 3])
    assert guessed(guesser, 2) == ([5, 6], 3)
    fed(guesser, 0, [40, 41, 3])
    assert guessed(guesser, 2) == ([], 0), "one token is no context"


def test_guesses_reach_beyond_the_end():
    guesser = Guesser(1, 1000)
    fed(guesser, 0, [1, 2, 3, 1, 2, 3, 1])
    assert guessed(guesser, 7) == ([2, 3, 1, 2, 3, 1, 2], 4)


def test_streams_learn_from_each_other():
    guesser = Guesser(2, 1000)
    fed(guesser, 0, range(50, 70))
    fed(guesser, 1, [60, 61, 62])
    assert guessed(guesser, 3, 1) == ([63, 64, 65], 3)


def test_a_guess_proves_right_or_wrong():
    guesser = Guesser(1, 1000)
    fed(guesser, 0, [1, 2, 3, 4, 5, 1, 2])
    guess = guesser.guess(0, 3)
    assert (guess.tokens, guess.equal, guess.chances) == ([3, 4, 5], 2, [0.5] * 3)
    rest = guesser.learn(guess, 3)
    assert (rest.tokens, rest.equal) == ([4, 5], 3)
    assert guesser.learn(rest, 7).tokens == []
    better, worse, _ = guesser.guess(0, 3).chances
    assert better == 2 / 3
    assert worse == 1 / 3
    for _ in range(1000):
        guesser.learn(guess, 9)
    assert 0 < guesser.guess(0, 1).chances[0] < 0.01


def test_as_many_are_fed_as_are_worth_it():
    def worth(*chances, others=()):
        guesses = [Guess([1] * len(c), 2, list(c)) for c in chances]
        return lookahead.LookAhead._worth(guesses, 8, list(others), 0.13)

    assert worth([]) == 0
    assert worth([0.1] * 8) == 0
    assert worth([0.3] * 8) == 1
    assert worth([0.5] * 8) < worth([0.9] * 8) == 8
    assert worth([0.9] * 3) == 3
    assert worth([0.9] * 8, []) == 0, "the second stream will need a pass anyway"
    assert 0 < worth([0.9] * 8, [0.9] * 8) < 8
    assert worth([0.9] * 8, others=[2]) == 2


def test_a_long_past_is_kept_in_part():
    guesser = Guesser(1, 1000)
    guesser._mask = 63  # as if only 64 tokens were kept
    fed(guesser, 0, [1, 2, 3, 4, 5])
    fed(guesser, 0, range(100, 164))
    assert len(guesser._past[0]) == 64
    fed(guesser, 0, [1, 2, 3])
    assert guessed(guesser, 1) == ([], 0)
    fed(guesser, 0, [150, 151, 152])
    assert guessed(guesser, 2) == ([153, 154], 3)


@pytest.mark.parametrize("isa", instruction_sets())
def test_every_instruction_set_goes_back(tiny_pack, isa):
    engine = NativeEngine(tiny_pack, isa=isa, threads=2)
    tokens = np.random.default_rng(3).integers(0, tiny_pack.config.vocab, (2, 30))
    whole = engine.forward(tokens, engine.new_cache(2, 8, 2, 30)).high()
    cache = engine.new_cache(2, 8, 2, 30)
    engine.forward(tokens[:, :20], cache)
    cache.choose(np.array([1]), 15)
    np.testing.assert_array_equal(engine.forward(tokens[1:, 15:], cache).high(), whole[1:, 15:])
