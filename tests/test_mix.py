"""Adaptive mixing: the native mixer against the reference, and what mixing must do."""

from __future__ import annotations

import numpy as np
import pytest

from lmzip.errors import UsageError
from lmzip.mix import new_mixer, table_bits
from lmzip.mix.interface import NativeMixer
from lmzip.mix.reference import ReferenceMixer


def frequencies_from(rng, rows, n):
    """Rows [rows, n] of frequencies as a model gives them, some sure, some not."""
    weights = rng.exponential(size=(rows, n)) ** rng.integers(1, 12, (rows, 1))
    freqs = np.floor(weights / weights.sum(1, keepdims=True) * ((1 << 24) - n)).astype(np.int32) + 1
    freqs[:, 0] += (1 << 24) - freqs.sum(1, dtype=np.int32)
    return freqs


def texts(rng, streams, length, vocab):
    """Tokens [streams, length] with repeats: some of a few phrases, some noise."""
    phrases = [rng.integers(0, vocab, rng.integers(2, 40)) for _ in range(6)]
    rows = []
    for _ in range(streams):
        parts = [phrases[rng.integers(6)] if rng.random() < 0.8 else rng.integers(0, vocab, 3)
                 for _ in range(length)]  # fmt: skip
        rows.append(np.concatenate(parts)[:length])
    return np.array(rows)


def some_words(vocab):
    """Which tokens are words: two of three."""
    return np.arange(vocab) % 3 > 0


def run(mixer, tokens, vocab, seed, lengths):
    """All mixed frequencies of a lockstep run over tokens [S, T]."""
    rng = np.random.default_rng(seed)
    digits = -(-vocab // 256)
    out = []
    for t in range(tokens.shape[1]):
        if t == tokens.shape[1] // 2:
            mixer.restart()
        rows = int((lengths > t).sum())
        now = tokens[:rows, t]
        out.append(mixer.high(frequencies_from(rng, rows, digits)))
        out.append(mixer.low(now // 256, frequencies_from(rng, rows, 256)))
        mixer.update(now)
    return out


@pytest.mark.parametrize(
    ("vocab", "streams", "length", "bits"),
    [
        (300, 1, 400, 8),
        (8192, 5, 120, 12),
        (49152, 3, 100, 9),
        (100, 4, 300, 10),
        (256, 2, 1500, 8),
    ],
)
def test_native_equals_reference(vocab, streams, length, bits):
    pytest.importorskip("lmzip._native")
    rng = np.random.default_rng(vocab)
    tokens = texts(rng, streams, length, vocab)
    if vocab == 256:
        tokens %= 3  # few tokens, so that counts reach their limit
    lengths = np.sort(rng.integers(length // 2, length + 1, streams))[::-1]
    lengths[0] = length
    native = run(NativeMixer(some_words(vocab), streams, bits), tokens, vocab, 7, lengths)
    reference = run(ReferenceMixer(some_words(vocab), streams, bits), tokens, vocab, 7, lengths)
    for got, expected in zip(native, reference, strict=True):
        assert np.array_equal(got, expected)
        assert (got >= 1).all()
        assert (got.sum(1) == 1 << 24).all()


def test_a_repeated_text_becomes_cheap():
    """Behind one reading, a model that knows nothing predicts the second almost surely."""
    tokens = np.random.default_rng(1).integers(0, 4096, 600)
    mixer = new_mixer(some_words(4096), 1, 12)
    flat_high = np.full((1, 16), (1 << 24) // 16, np.int32)
    flat_low = np.full((1, 256), (1 << 24) // 256, np.int32)
    bits = []
    for token in np.concatenate([tokens, tokens]):
        high = mixer.high(flat_high)[0, token // 256]
        low = mixer.low(np.array([token // 256]), flat_low)[0, token % 256]
        mixer.update(np.array([token]))
        bits.append(48 - np.log2(float(high)) - np.log2(float(low)))
    assert 11.9 < np.mean(bits[:600]) < 12.3  # noise costs 12 bits, and mixing hardly more
    assert np.mean(bits[660:]) < 0.3


def test_table_sizes_and_wrong_arguments():
    assert [table_bits(n, 18) for n in (1, 256, 257, 1 << 18, 1 << 20)] == [8, 8, 9, 18, 18]
    with pytest.raises(UsageError, match="vocabulary"):
        new_mixer(some_words((1 << 19) + 1), 1, 8)
    native = pytest.importorskip("lmzip._native")
    mixer = native.Mixer(np.zeros(300, np.uint8), 2, 8)
    row = np.full((1, 2), 1 << 23, np.int32)
    with pytest.raises(ValueError, match="rows"):
        mixer.high(np.ones((3, 2), np.int32), np.ones((3, 2), np.int32))
    with pytest.raises(ValueError, match="before"):
        mixer.update(np.array([1]))
    with pytest.raises(ValueError, match="tokens"):
        native.Mixer(np.zeros(0, np.uint8), 2, 8)
    with pytest.raises(ValueError, match="bits"):
        native.Mixer(np.zeros(300, np.uint8), 2, 7)
    mixer.high(row, row.copy())
    with pytest.raises(ValueError, match="outside"):
        mixer.low(np.array([2]), np.ones((1, 256), np.int32), np.ones((1, 256), np.int32))
    with pytest.raises(ValueError, match="outside"):
        mixer.update(np.array([-1]))
