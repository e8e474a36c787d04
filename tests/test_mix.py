"""Adaptive mixing: the native mixer against the readable one, and what mixing must do."""

from __future__ import annotations

import zlib
from decimal import Decimal, getcontext
from pathlib import Path

import numpy as np
import pytest

from lmzip.coder import new_decoder, new_encoder
from lmzip.errors import CorruptError, UsageError
from lmzip.extension import extension
from lmzip.mix import MixingStart, NativeMixer, TokenBytes, new_mixer, table_bits
from lmzip.mix.interface import start_sizes
from lmzip.mix.network import GENERAL_WEIGHTS
from lmzip.mix.reference import ReferenceMixer
from lmzip.mix.shape import Shape
from lmzip.mix.tables import RATES, SQUASH, STRETCH

native_only = pytest.mark.skipif(extension is None, reason="without the native extension")

TABLES = [0x9775CE58, 0x6BDA041C, 0x772B830C]
"""CRC-32 of the tables, as in NUMERICS.md."""

LETTERS = np.frombuffer(b"etaoin shrdlu,\n(a)_;Z{}[9]\t0|1ETA\xc3\xa9", np.uint8)


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


def spelled(vocab):
    """The bytes of that many tokens: one to five of a few letters each, line ends and brackets."""
    rng = np.random.default_rng(vocab)
    ends = np.concatenate([[0], np.cumsum(rng.integers(1, 6, vocab))])
    return TokenBytes(ends, rng.choice(LETTERS, ends[-1]))


def random_start(vocab):
    """A start of any values there can be."""
    rng, shape = np.random.default_rng(vocab), Shape(vocab)
    cells = shape.history_cells + shape.follower_cells + shape.match_cells
    return MixingStart(
        rng.integers(-128, 128, shape.weight_rows * 64).astype(np.int8),
        rng.integers(-(1 << 15), 1 << 15, shape.finals * 8).astype(np.int16),
        rng.integers(0, 1 << 16, cells).astype(np.uint16),
    )


def mild_start(vocab):
    """A start like one that was learned: the model's weight is 1, the others are small."""
    rng, shape = np.random.default_rng(vocab), Shape(vocab)
    start = random_start(vocab)
    weights = rng.integers(-6, 10, (shape.weight_rows, 64)).astype(np.int8)
    weights[:, 0] = 32
    finals = rng.integers(400, 900, shape.finals * 8).astype(np.int16)
    return MixingStart(weights.reshape(-1), finals, start.maps)


def native_mixer(tokens, streams, bits, start=None, isa=""):
    if extension is None:
        pytest.skip("without the native extension")
    return NativeMixer(tokens, streams, bits, start, isa)


def reference_mixer(tokens, streams, bits, start=None):
    return ReferenceMixer(tokens.ends, tokens.data, streams, bits, start)


def code(mixer, coder, vocab, rows, lengths, known=True, seed=7):
    """Steps of the first streams, each so long; tokens [S, T], decoded unless `known` ones.

    All streams begin anew after half of the steps. Also the costs: the sum of both kinds [2].
    """
    rng = np.random.default_rng(seed)
    digits = -(-vocab // 256)
    found = np.zeros_like(rows)
    costs = np.zeros(2)
    for t in range(max(lengths)):
        if t == max(lengths) // 2:
            mixer.restart()
        active = int((lengths > t).sum())
        now = rows[:active, t] if known else None
        freqs = frequencies_from(rng, active, digits), frequencies_from(rng, active, 256)
        high = mixer.code_high(coder, freqs[0], None if now is None else now // 256)
        costs += [part.sum() for part in mixer.costs()]
        found[:active, t] = mixer.code_low(coder, freqs[1], high, now)
        assert (found[:active, t] // 256 == high).all()
        costs += [part.sum() for part in mixer.costs()]
    return found, costs


def staircase(streams, length):
    """Lengths of streams that end at different times, the longest first."""
    return length - np.arange(streams) * (length // (2 * streams))


def state(mixer):
    """The weights, final weights and maps of a native mixer."""
    rows, finals, cells = mixer.native.sizes
    arrays = (
        np.zeros(rows * 64, np.int16), np.zeros(rows, np.uint32), np.zeros(finals * 8, np.int32),
        np.zeros(finals, np.uint32), np.zeros(cells, np.uint16),
    )  # fmt: skip
    mixer.native.state(*arrays)
    return arrays[0], arrays[2], arrays[4]


def reference_state(mixer):
    maps = np.array([cell.p for cell in mixer.maps.cells()])
    return mixer.network.weights.reshape(-1), mixer.network.finals.reshape(-1), maps


def assert_same_state(native, reference):
    for got, expected in zip(state(native), reference_state(reference), strict=True):
        np.testing.assert_array_equal(got, expected)


CASES = [
    (200, 1, 400, 8, None),
    (200, 3, 120, 12, mild_start),
    (256, 2, 300, 8, None),
    (257, 4, 100, 9, random_start),
    (8192, 5, 60, 8, mild_start),
    (8192, 2, 150, 13, None),
    (49152, 3, 100, 9, None),
    (49152, 1, 200, 16, mild_start),
    ((1 << 17) + 5, 2, 100, 8, mild_start),
    ((1 << 19) - 3, 1, 100, 10, random_start),
    (1, 2, 50, 8, None),
]


@native_only
@pytest.mark.parametrize(("vocab", "streams", "length", "bits", "start"), CASES)
def test_native_equals_reference(vocab, streams, length, bits, start):
    """Both write the same bytes and know the same, and each reads what the other wrote."""
    tokens, rows = spelled(vocab), texts(np.random.default_rng(vocab), streams, length, vocab)
    made = None if start is None else start(vocab)
    lengths = staircase(streams, length)
    written = []
    for make in (native_mixer, reference_mixer):
        mixer, encoder = make(tokens, streams, bits, made), new_encoder()
        _, costs = code(mixer, encoder, vocab, rows, lengths)
        assert costs[0] == pytest.approx(encoder.ideal_bits)
        assert costs[1] == pytest.approx(mixer.model_bits)
        written.append((mixer, encoder.finish(), costs))
        payload_bits = 8 * len(encoder.finish())
        assert payload_bits < encoder.ideal_bits + 16
        if vocab > 1:  # of a single token the payload has zeros only, which are left out
            assert payload_bits > encoder.ideal_bits - 16
    (native, payload, costs), (reference, other_payload, other_costs) = written
    assert payload == other_payload
    np.testing.assert_allclose(costs, other_costs, rtol=1e-9)
    assert_same_state(native, reference)
    said = np.where(np.arange(length) < lengths[:, None], rows, 0)
    for make in (native_mixer, reference_mixer):
        mixer = make(tokens, streams, bits, made)
        found, _ = code(mixer, new_decoder(payload), vocab, rows, lengths, known=False)
        np.testing.assert_array_equal(found, said)


def test_every_instruction_set_equals_reference():
    if extension is None:
        pytest.skip("without the native extension")
    vocab, lengths = 8192, staircase(3, 60)
    tokens, rows = spelled(vocab), texts(np.random.default_rng(3), 3, 60, vocab)
    start = random_start(vocab)  # weights near their limits
    reference, encoder = reference_mixer(tokens, 3, 8, start), new_encoder()
    code(reference, encoder, vocab, rows, lengths)
    expected = encoder.finish()
    for isa in extension.instruction_sets():
        mixer, encoder = native_mixer(tokens, 3, 8, start, isa), new_encoder()
        code(mixer, encoder, vocab, rows, lengths)
        assert encoder.finish() == expected, isa
        assert_same_state(mixer, reference)


def strange_tokens():
    """Bytes, and longer tokens that reach the limits of what a stream remembers."""
    more = [
        b"x" * 70_000, b"\n" + b"y" * 65_530, b"," * 1_100, b"\na,b\n", b"(" * 70, b"]}" * 40,
        b"word word_2 Word", b"\xc3\xa9\xe4\xb8\xad", b"\n\n", b"12.5e7;", b"\0\1\2\xff", b"",
    ]  # fmt: skip
    for size in (65_536, 65_537):  # of a line, its end included: as far as it is looked back
        for filling in (b"uvw", b"lmn"):
            more.append(b"\n" + (filling * size)[: size - 1] + b"\nab")
    parts = [bytes([byte]) for byte in range(256)] + more
    ends = np.cumsum([0, *map(len, parts)])
    return TokenBytes(ends, np.frombuffer(b"".join(parts), np.uint8)), len(more)


SOURCE = b"""{"id": 12, "name": "x", "at": [1, 2]}
{"id": 13, "name": "xy", "at": [1, 3]}
def one_name(first, second):
    return first(second) + one_name[first]
2024-01-02,12.5,north\tsouth|east;west
2024-01-03,12.7,north\tsouth|east;west
The cat sat on the mat; The Cat sat on the mat.\n\n
"""


@native_only
@pytest.mark.parametrize("bits", [8, 14])
def test_native_equals_reference_on_text(bits):
    tokens, more = strange_tokens()
    rng = np.random.default_rng(bits)
    body = np.frombuffer(SOURCE, np.uint8).astype(np.int64)
    parts = [body, body[:250]]
    for token in (0, 6, 1, 3, 2, 3, 2, 4, 5, 4, 4, 5, 7, 8, 9, 10, 11):
        parts += [body[: rng.integers(3, 20)], [256 + token]]
    for pair in ((12, 13), (14, 15)):
        parts += [[256 + token, ord("q"), ord("r")] for token in pair * 4]
    rows = np.concatenate([*parts, rng.integers(256, 256 + more, 40)])[None]
    written = []
    for make in (native_mixer, reference_mixer):
        mixer, encoder = make(tokens, 1, bits), new_encoder()
        code(mixer, encoder, len(tokens), rows, np.array([rows.shape[1]]))
        written.append((mixer, encoder.finish()))
    assert written[0][1] == written[1][1]
    assert_same_state(written[0][0], written[1][0])


@native_only
def test_native_equals_reference_where_counts_reach_their_limits():
    """A run of one token, nodes that learn often, a match longer than is counted."""
    tokens = spelled(3)
    rng = np.random.default_rng(1)
    rows = np.concatenate([np.zeros(280, int), rng.integers(0, 2, 600), np.ones(90, int)])[None]
    written = []
    for make in (native_mixer, reference_mixer):
        mixer, encoder = make(tokens, 1, 8), new_encoder()
        code(mixer, encoder, 3, rows, np.array([rows.shape[1]]))
        written.append((mixer, encoder.finish()))
    assert written[0][1] == written[1][1]
    assert_same_state(written[0][0], written[1][0])


@native_only
@pytest.mark.parametrize(("vocab", "streams", "bits"), [(300, 1, 8), (8192, 3, 12), (100, 2, 10)])
@pytest.mark.parametrize("count", [0, 1, 20, 400])
def test_native_priming_equals_reference(vocab, streams, bits, count):
    phrases = texts(np.random.default_rng(count), streams + 1, max(count, 60), vocab)
    side, rows = phrases[0, :count], phrases[1:, :60]
    tokens, lengths = spelled(vocab), np.full(streams, 60)
    written = []
    for make in (native_mixer, reference_mixer):
        mixer, encoder = make(tokens, streams, bits), new_encoder()
        mixer.prime(side)
        assert mixer.model_bits == 0
        code(mixer, encoder, vocab, rows, lengths)
        written.append((mixer, encoder.finish()))
    assert written[0][1] == written[1][1]
    assert_same_state(written[0][0], written[1][0])
    encoder = new_encoder()
    code(native_mixer(tokens, streams, bits), encoder, vocab, rows, lengths)
    assert (encoder.finish() == written[0][1]) == (count == 0)


@native_only
@pytest.mark.parametrize("vocab", [1, 256, 257, 8192, 49152, (1 << 17) + 1, 1 << 19])
def test_sizes_of_a_start(vocab):
    """The interface, the readable shape and the native mixer count alike."""
    rows, finals, cells = native_mixer(spelled(vocab), 1, 8).native.sizes
    shape = Shape(vocab)
    assert start_sizes(vocab) == (64 * rows, 8 * finals, cells)
    assert (rows, finals) == (shape.weight_rows, shape.finals)
    assert cells == shape.history_cells + shape.follower_cells + shape.match_cells


@native_only
def test_general_weights_are_the_native_ones():
    native = native_mixer(spelled(300), 1, 8)
    assert_same_state(native, reference_mixer(spelled(300), 1, 8))
    weights, finals, _ = state(native)
    assert (weights.reshape(-1, 64) == np.array(GENERAL_WEIGHTS)).all()
    assert (finals == 10922).all()


def test_tables_are_far_from_ties():
    """Their entries are the nearest integers whoever computes the logarithms."""
    getcontext().prec = 40
    for i, entry in enumerate(STRETCH):
        exact = 128 * (Decimal(2 * i + 1) / (8191 - 2 * i)).ln()
        assert abs(exact - entry) < Decimal("0.49995"), i
    for i, entry in enumerate(SQUASH):
        exact = (1 << 24) / (1 + (Decimal(2048 - i) / 128).exp())
        exact = min(max(exact, Decimal(64)), Decimal((1 << 24) - 64))
        assert abs(exact - entry) < Decimal("0.49995"), i
    assert SQUASH[2048] == 1 << 23
    assert (RATES[0], RATES[1], RATES[1023]) == (43690, 26214, 63)
    crc = [
        zlib.crc32(np.array(table, kind).tobytes())
        for table, kind in ((STRETCH, "<i2"), (SQUASH, "<u4"), (RATES, "<u4"))
    ]
    assert crc == TABLES


@pytest.mark.parametrize("make", [native_mixer, reference_mixer])
def test_a_repeated_text_becomes_cheap(make):
    """Behind one reading, a model that knows nothing predicts the second almost surely."""
    said = np.random.default_rng(1).integers(0, 4096, 300)
    mixer, encoder = make(spelled(4096), 1, 12), new_encoder()
    flat_high = np.full((1, 16), (1 << 24) // 16, np.int32)
    flat_low = np.full((1, 256), (1 << 24) // 256, np.int32)
    bits = []
    for token in np.concatenate([said, said]):
        before = encoder.ideal_bits
        mixer.code_high(encoder, flat_high, np.array([token // 256]))
        mixer.code_low(encoder, flat_low, np.array([token // 256]), np.array([token]))
        bits.append(encoder.ideal_bits - before)
    assert 11.9 < np.mean(bits[:300]) < 12.3  # noise costs 12 bits, and mixing hardly more
    assert np.mean(bits[330:]) < 0.3


def garbage(seed):
    return np.random.default_rng(seed).bytes(400)


@pytest.mark.parametrize("make", [native_mixer, reference_mixer])
@pytest.mark.parametrize("vocab", [257, 700, (1 << 17) + 5])
def test_garbage_decodes_to_tokens_or_to_an_error(make, vocab):
    """Whatever a payload says, a token is one of the vocabulary's or the error is clear."""
    tokens = spelled(vocab)
    digits = -(-vocab // 256)
    errors = 0
    for seed in range(6):
        mixer, decoder = make(tokens, 2, 8), new_decoder(garbage(seed))
        flat_high = np.full((2, digits), (1 << 24) // digits, np.int32)
        flat_low = np.full((2, 256), 1 << 16, np.int32)
        try:
            for _ in range(30):
                high = mixer.code_high(decoder, flat_high, None)
                found = mixer.code_low(decoder, flat_low, high, None)
                assert ((found >= 0) & (found < vocab)).all()
                assert (found // 256 == high).all()
        except CorruptError:
            errors += 1
    assert errors > 0  # the last digits of these vocabularies are not full


@pytest.mark.parametrize("make", [native_mixer, reference_mixer])
def test_tokens_beyond_the_vocabulary(make):
    """Nobody writes them; whoever reads them says so."""
    high = np.array([[1 << 23, 1 << 22, 1 << 22]], np.int32)
    low = np.full((1, 256), 1 << 16, np.int32)

    def payload(token):
        """Of that token under a mixer of 1,024 tokens, whose first decisions are the same."""
        mixer, encoder = make(spelled(1024), 1, 8), new_encoder()
        row = np.concatenate([high, np.array([[0]], np.int32)], axis=1)
        mixer.code_high(encoder, row, np.array([token // 256]))
        mixer.code_low(encoder, low, np.array([token // 256]), np.array([token]))
        return encoder.finish()

    for token, good in ((699, True), (700, False), (767, False), (768, False), (1023, False)):
        mixer, decoder = make(spelled(700), 1, 8), new_decoder(payload(token))
        if good:
            digit = mixer.code_high(decoder, high, None)
            assert mixer.code_low(decoder, low, digit, None).tolist() == [token]
            continue
        with pytest.raises(CorruptError, match="does not decode"):
            mixer.code_low(decoder, low, mixer.code_high(decoder, high, None), None)


def test_table_sizes_and_wrong_arguments():
    assert [table_bits(n, 18) for n in (1, 256, 257, 1 << 18, 1 << 20)] == [8, 8, 9, 18, 18]
    with pytest.raises(UsageError, match="vocabulary"):
        new_mixer(spelled((1 << 19) + 1), 1, 8)


@native_only
def test_wrong_arguments_to_the_native_mixer():
    native, tokens = extension.Mixer, spelled(300).native
    encoder, decoder = extension.RangeEncoder(), extension.RangeDecoder(b"")
    mixer = native(tokens, 2, 8)
    rows, one = np.full((2, 2), 1 << 23, np.int32), np.zeros(1, np.int64)
    both, low = np.zeros(2, np.int64), np.full((2, 256), 1 << 16, np.int32)
    for freqs, known in (
        (rows[:, :1], both),
        (rows, one),
        (np.tile(rows, (2, 1)), np.tile(both, 2)),
    ):
        with pytest.raises(ValueError, match="rows"):
            mixer.encode_high(freqs, known, encoder)
        with pytest.raises(ValueError, match="rows"):
            mixer.decode_high(freqs, known, decoder)
    with pytest.raises(ValueError, match="before"):
        mixer.encode_low(low, both, encoder)
    with pytest.raises(ValueError, match="before"):
        mixer.decode_low(low, both, decoder)
    for bad in (-1, 2):
        with pytest.raises(ValueError, match="outside"):
            mixer.encode_high(rows, both + bad, encoder)
    mixer.encode_high(rows, both, encoder)
    for bad in (-1, 300):
        with pytest.raises(ValueError, match="outside"):
            mixer.encode_low(low, both + bad, encoder)
        with pytest.raises(ValueError, match="outside"):
            mixer.prime(np.array([1, bad]))
    with pytest.raises(ValueError, match="before"):
        mixer.encode_low(low[:1], one, encoder)
    mixer.encode_low(low, both + 299, encoder)
    with pytest.raises(ValueError, match="before"):
        mixer.encode_low(low, both, encoder)
    with pytest.raises(ValueError, match="cost"):
        mixer.costs(np.zeros(3), np.zeros(3))
    for streams, bits in ((0, 8), (1, 7), (1, 25)):
        with pytest.raises(ValueError, match="bits"):
            native(tokens, streams, bits)
    start = random_start(300)
    for which in ("weights", "finals", "maps"):
        with pytest.raises(ValueError, match=which):
            native(tokens, 1, 8, **{which: getattr(start, which)[1:]})
    with pytest.raises(ValueError, match=r"isa|instruction"):
        native(tokens, 1, 8, isa="abacus")


def test_the_specification_has_the_general_weights():
    text = (Path(__file__).parent.parent / "NUMERICS.md").read_text()
    listed = text.split("*general weights*, in order:\n")[1].split("(The first")[0]
    assert tuple(map(int, listed.split())) == GENERAL_WEIGHTS
    tables = text.split("### Tables")[1].split("### Hashes")[0]
    for crc in TABLES:
        assert f"{crc:08X}" in tables
