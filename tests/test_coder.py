"""The native coder and constriction's against the pure-Python definition of the bytes."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmzip.coder import native
from lmzip.coder.constriction import ConstrictionDecoder, ConstrictionEncoder
from lmzip.coder.oracle import OracleDecoder, OracleEncoder
from lmzip.engine.arithmetic import frequencies
from lmzip.errors import CorruptError
from lmzip.extension import extension

CODERS = [(ConstrictionEncoder, ConstrictionDecoder)]
if extension is not None:
    CODERS.append((native.NativeEncoder, native.NativeDecoder))
each_coder = pytest.mark.parametrize(("new_encoder", "new_decoder"), CODERS)


def random_case(seed, count, letters, sharp):
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 1 << 22, (count, letters)).astype(np.int64)
    weights[rng.random(weights.shape) < 0.5] = 0
    if sharp:  # one letter takes nearly everything: carries and near-empty ranges
        weights[:, 0] = 1 << 22
        weights[:, 1:] = 0
    freqs = frequencies(weights.astype(np.int32))
    if sharp:
        symbols = np.where(rng.random(count) < 0.97, 0, rng.integers(0, letters, count))
    else:
        symbols = rng.integers(0, letters, count)
    return freqs, symbols.astype(np.int64)


@each_coder
@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32), st.integers(0, 400), st.sampled_from([2, 3, 37, 193, 256]), st.booleans()
)
def test_equal_bytes_and_cross_decoding(new_encoder, new_decoder, seed, count, letters, sharp):
    freqs, symbols = random_case(seed, count, letters, sharp)
    fast, oracle = new_encoder(), OracleEncoder()
    split = count // 3
    fast.code(freqs[:split], symbols[:split])
    fast.code(freqs[split:], symbols[split:])
    for row, symbol in zip(freqs.tolist(), symbols.tolist(), strict=True):
        oracle.encode(symbol, row)
    payload = fast.finish()
    assert payload == oracle.finish()
    assert len(payload) <= fast.size_bytes()
    decoder = new_decoder(payload)
    got = np.concatenate([decoder.code(freqs[:split]), decoder.code(freqs[split:])])
    np.testing.assert_array_equal(got, symbols)
    reader = OracleDecoder(payload)
    assert [reader.decode(row) for row in freqs.tolist()] == symbols.tolist()


def random_bits(seed, count, sharp):
    rng = np.random.default_rng(seed)
    p1 = rng.integers(1, 1 << 24, count).astype(np.int32)
    if sharp:  # nearly sure, either way
        p1 = np.where(rng.random(count) < 0.5, 1, (1 << 24) - 1).astype(np.int32)
    bits = (rng.integers(0, 1 << 24, count) < p1).astype(np.int64)
    surprises = rng.random(count) < 0.02
    return p1, bits ^ surprises


@each_coder
@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.integers(0, 600), st.booleans())
def test_bits_are_symbols_of_two(new_encoder, new_decoder, seed, count, sharp):
    """Bits between symbols: equal bytes whichever entry they take, and they come back."""
    p1, bits = random_bits(seed, count, sharp)
    freqs, symbols = random_case(seed, 7, 37, sharp)
    fast, general, oracle = new_encoder(), new_encoder(), OracleEncoder()
    split = count // 3
    fast.code_bits(p1[:split], bits[:split])
    fast.code(freqs, symbols)
    fast.code_bits(p1[split:], bits[split:])
    rows = np.stack([(1 << 24) - p1, p1], axis=1).astype(np.int32)
    general.code(rows[:split], bits[:split])
    general.code(freqs, symbols)
    general.code(rows[split:], bits[split:])
    pairs = list(zip(bits.tolist(), p1.tolist(), strict=True))
    for bit, p in pairs[:split]:
        oracle.encode_bit(bit, p)
    for row, symbol in zip(freqs.tolist(), symbols.tolist(), strict=True):
        oracle.encode(symbol, row)
    for bit, p in pairs[split:]:
        oracle.encode_bit(bit, p)
    payload = fast.finish()
    assert payload == general.finish() == oracle.finish()
    assert fast.ideal_bits == pytest.approx(general.ideal_bits)
    decoder = new_decoder(payload)
    assert decoder.code_bits(p1[:split]).tolist() == bits[:split].tolist()
    assert decoder.code(freqs).tolist() == symbols.tolist()
    assert decoder.code_bits(p1[split:]).tolist() == bits[split:].tolist()
    reader = OracleDecoder(payload)
    assert [reader.decode_bit(p) for _bit, p in pairs[:split]] == bits[:split].tolist()


@each_coder
def test_payloads_that_no_encoder_wrote_are_noticed_in_bits(new_encoder, new_decoder):
    """A point above every symbol's part of the range, which frequencies do not fill to the top."""
    p1 = np.full(40, 1, np.int32)
    with pytest.raises(CorruptError):
        new_decoder(b"\xff" * 8).code_bits(p1)


@each_coder
@pytest.mark.parametrize("letters", [2, 193, 256])
def test_every_frequency_is_used_exactly(new_encoder, new_decoder, letters):
    """Each letter costs exactly what its integer frequency says: the coder's range proves it."""
    freqs, _ = random_case(letters, 1, letters, sharp=False)
    for letter in range(letters):
        encoder, oracle = new_encoder(), OracleEncoder()
        rows = np.repeat(freqs, 4, axis=0)
        encoder.code(rows, np.full(4, letter, np.int64))
        for _ in range(4):
            oracle.encode(letter, freqs[0].tolist())
        assert encoder.finish() == oracle.finish()


@each_coder
def test_size_is_close_to_the_information(new_encoder, new_decoder):
    freqs, symbols = random_case(1, 5000, 193, sharp=False)
    encoder = new_encoder()
    encoder.code(freqs, symbols)
    ideal_bits = -np.log2(freqs[np.arange(5000), symbols] / 2**24).sum()
    assert 8 * len(encoder.finish()) <= ideal_bits + 40


@each_coder
@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_payloads_end_at_the_shortest_number(new_encoder, new_decoder, count):
    """No payload of fewer bytes decodes to these symbols, and none of as many and smaller."""
    for seed in range(20):
        freqs, symbols = random_case(seed, count, (2, 5, 193)[seed % 3], sharp=seed % 2 == 1)
        encoder = new_encoder()
        encoder.code(freqs, symbols)
        payload = encoder.finish()
        assert payload[-1:] != b"\0"
        number = int.from_bytes(payload, "big")
        shorter = {number >> 8, (number >> 8) + 1} if payload else set()
        others = [n.to_bytes(len(payload), "big")[1:] for n in shorter]
        if number:
            others.append((number - 1).to_bytes(len(payload), "big"))
        for other in others:
            with contextlib.suppress(CorruptError):
                assert new_decoder(other).code(freqs).tolist() != symbols.tolist()


@pytest.mark.parametrize("seed", range(20))
def test_constrictions_own_payloads_and_ours_are_read_by_both(seed):
    """But for the end the bytes are constriction's."""
    constriction = pytest.importorskip("constriction")
    freqs, symbols = random_case(seed, 100, 37, sharp=seed % 2 == 1)
    encoder = ConstrictionEncoder()
    encoder.code(freqs, symbols)
    ours = encoder.finish()
    model = constriction.stream.model.Categorical(perfect=False)
    theirs = constriction.stream.queue.RangeEncoder()
    probabilities = (freqs - 1).astype(np.float32)
    theirs.encode(symbols.astype(np.int32), model, probabilities)
    words = theirs.get_compressed()
    whole = words.astype(">u4").tobytes()
    assert len(ours) <= len(whole.rstrip(b"\0"))
    for payload in (ours, whole):
        for _encoder, new_decoder in CODERS:
            assert new_decoder(payload).code(freqs).tolist() == symbols.tolist()
    padded = np.frombuffer(ours + bytes(-len(ours) % 4), ">u4").astype(np.uint32)
    decoder = constriction.stream.queue.RangeDecoder(padded)
    assert decoder.decode(model, probabilities).tolist() == symbols.tolist()


@each_coder
def test_pinned_bytes(new_encoder, new_decoder):
    """Any change here is a change of format."""
    freqs, symbols = random_case(7, 40, 5, sharp=False)
    encoder = new_encoder()
    encoder.code(freqs, symbols)
    assert encoder.finish().hex() == PINNED


@each_coder
def test_one_letter_costs_nothing(new_encoder, new_decoder):
    encoder = new_encoder()
    encoder.code(np.full((9, 1), 1 << 24, np.int32), np.zeros(9, np.int64))
    assert encoder.finish() == b""
    assert new_decoder(b"").code(np.full((9, 1), 1 << 24, np.int32)).tolist() == [0] * 9


@each_coder
def test_garbage_decodes_to_symbols_or_a_clear_error(new_encoder, new_decoder):
    freqs, _ = random_case(3, 50, 37, sharp=True)
    for payload in (b"", b"\xff" * 3, b"\xff" * 64, bytes(range(64))):
        try:
            symbols = new_decoder(payload).code(freqs)
        except CorruptError:
            continue
        assert ((symbols >= 0) & (symbols < 37)).all()


def test_both_coders_count_alike():
    """Where encoding is given up must not depend on the coder."""
    freqs, symbols = random_case(11, 3000, 37, sharp=True)
    encoders = [encoder() for encoder, _decoder in CODERS]
    for i in range(len(symbols)):
        for encoder in encoders:
            encoder.code(freqs[i : i + 1], symbols[i : i + 1])
        assert len({encoder.size_bytes() for encoder in encoders}) == 1
    ideal = 24 * len(symbols) - np.log2(freqs[np.arange(len(symbols)), symbols]).sum()
    for encoder in encoders:
        assert encoder.ideal_bits == pytest.approx(ideal)


PINNED = (
    "785db61b5aaed1db3cc99c36691de4f9a3aa7098c99401f078b68f830065d7ffdc4a8a4e58ebbf39baccdc0017"
)
