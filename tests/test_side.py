"""Side information: its tokens, the section that names it, the mixer that has read it."""

from __future__ import annotations

import dataclasses
import io
import itertools
import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmzip
from lmzip.codec import SideInformation, SideParameters
from lmzip.errors import CorruptError, LmzipError, UsageError
from lmzip.format import (
    BlockKind,
    Header,
    ModelReference,
    SideReference,
    SideSource,
    Thoughts,
    read_header,
)
from lmzip.format.fields import pack_varint
from lmzip.text import MAX_SIDE_BYTES, MAX_SIDE_TOKENS, Vocabulary, best_splitting, side_tokens
from lmzip.text.side import SPLITTINGS

PLAIN = """\
The model says how likely each next token is, and a range coder turns that into bits.
It isn't magic: they've counted what we'll read, and I'd say (quietly) that it's enough.

Semi-colons; dashes -- and naïve Größe 中文 "in quotation marks", or <tags>...
""".encode()


def pieces(rule, text):
    return [match[0] for match in SPLITTINGS[rule].finditer(text)]


def table(*words):
    """A vocabulary of all bytes and, from 256 on, these words."""
    tokens = [bytes([i]) for i in range(256)] + list(words)
    offsets = np.cumsum([0, *map(len, tokens)]).astype(np.uint32)
    return Vocabulary(offsets, np.frombuffer(b"".join(tokens), np.uint8))


# Written by hand from FORMAT.md; "|" stands between the pieces.
GOLDEN = {
    1: [
        b"It|'s| |1|9|8|4|,| | don|'t|!|\n\n  |4|2| caf\xc3\xa9s",
        b"'t|is| '|S| we|'ll|'|L| I|'|LL| x|'",
        b"a|\r\n\r|\n|b|  \t| c|\t|x|  ",
        b"\xff\x80z| ...| \x00(|a|)| ;;",
        b"|".join([b"a" * 64, b"a" * 64, b"aa", b" " + b"b" * 64, b"b"]),
        b"|".join([b"\n" * 64, b"\n" * 64, b"\n\n"]),
        b"|".join([b" " * 64, b" " * 5, b" x"]),
        b"|".join([b" " * 64, b" " * 6, b"7"]),
        b"|".join([b" " + b"." * 64, b"." * 36]),
    ],
    2: [
        b"It|'s| 19|84|,| | don|'t|!\n\n| | 42| caf\xc3\xa9s",
        b"'tis| '|S| we|'ll|'L| I|'LL| x|'",
        b"a|\r\n\r\n|b|  \t| c|\tx|  ",
        b"\xff\x80z| ...| \x00(|a|)| ;;",
        b"|".join([b"a" * 64, b"a" * 64, b"aa", b" " + b"b" * 64, b"b"]),
        b"|".join([b"\n" * 64, b"\n" * 64, b"\n\n"]),
        b"|".join([b" " * 64, b" " * 5, b" x"]),
        b"|".join([b" " * 64, b" " * 5, b" 7"]),
        b"|".join([b" " + b"." * 64, b"." * 36]),
        b"|".join([b"." + b"\n" * 64, b"\n", b"?\r\r\n", b"   \n\r\n", b"(x", b" \t\r"]),
    ],
}


@pytest.mark.parametrize(("rule", "text"), [(r, text) for r in GOLDEN for text in GOLDEN[r]])
def test_golden_pieces(rule, text):
    assert pieces(rule, text.replace(b"|", b"")) == text.split(b"|")


@pytest.mark.parametrize("rule", SPLITTINGS)
@given(st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)))
def test_pieces_and_tokens_are_all_of_the_text(tiny_pack_vocabulary, rule, text):
    assert b"".join(pieces(rule, text)) == text
    assert max(map(len, pieces(rule, text)), default=0) <= 129
    tokens = side_tokens(tiny_pack_vocabulary, text, rule)
    assert tiny_pack_vocabulary.detokenize(tokens) == text


@pytest.fixture(scope="module")
def tiny_pack_vocabulary(tiny_model):
    return tiny_model.tokenizer.vocabulary


ASCII = st.text(st.sampled_from("aBc'stTdDlLvVeErR09 \t\r\n\v.,(-\x00"), max_size=60)


@settings(max_examples=300)
@given(ASCII)
def test_rule_2_is_the_split_of_our_own_tokenizers(text):
    from tokenizers import Regex, pre_tokenizers

    from training.tokenizer import PATTERN

    split = pre_tokenizers.Split(Regex(PATTERN), "isolated")
    expected = [piece.encode() for piece, _ in split.pre_tokenize_str(text)]
    assert pieces(2, text.encode()) == expected


@settings(max_examples=300)
@given(ASCII)
def test_rule_1_is_the_split_of_gpt_2_with_single_digits(text):
    from tokenizers import pre_tokenizers

    split = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    expected = [text[a:b].encode() for _, (a, b) in split.pre_tokenize_str(text)]
    assert pieces(1, text.encode()) == expected


def merged_slowly(ids, piece):
    """FORMAT.md, word by word."""
    parts = [piece[i : i + 1] for i in range(len(piece))]
    while True:
        joined = [(ids[a + b], i) for i, (a, b) in enumerate(itertools.pairwise(parts))
                  if a + b in ids]  # fmt: skip
        if not joined:
            return [ids[part] for part in parts]
        _, i = min(joined)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


@given(
    st.lists(st.text("abc", min_size=2, max_size=5).map(str.encode), max_size=12),
    st.text("abc", max_size=64).map(str.encode),
)
def test_merging_is_that_of_the_format(words, piece):
    vocabulary = table(*words)
    expected = merged_slowly(vocabulary.ids, piece)
    assert side_tokens(vocabulary, piece, 1).tolist() == expected


def test_merging_by_hand():
    def tokens(words, text):
        return side_tokens(table(*words), text, 1).tolist()

    assert tokens([b"ab", b"bc", b"abc"], b"abcc") == [258, 99]
    assert tokens([b"bc", b"ab", b"abc"], b"abc") == [258]
    assert tokens([b"bc", b"ab"], b"abc") == [97, 256]
    assert tokens([b"aa"], b"aaa") == [256, 97]  # the first of two
    assert tokens([b"ab", b"ab", b"abab"], b"abab") == [258]  # the smaller of equal tokens
    assert tokens([b"abc"], b"abc") == [97, 98, 99]  # no two neighbours make it
    assert tokens([b"a b"], b"a b") == [97, 32, 98]  # pieces are never joined
    assert tokens([b"b!"], b"b!") == [98, 33]


def test_side_tokens_are_those_of_the_library(tiny_model):
    expected = tiny_model.tokenizer.tokenize(PLAIN)
    np.testing.assert_array_equal(side_tokens(tiny_model.tokenizer.vocabulary, PLAIN, 1), expected)
    assert len(expected) < len(PLAIN) * 0.7  # really merged


def test_best_splitting_finds_the_rule_of_a_tokenizer(tiny_model):
    vocabulary = tiny_model.tokenizer.vocabulary
    for rule in SPLITTINGS:
        tokens = side_tokens(vocabulary, PLAIN, rule)
        for times in (1, 1900):  # the second is longer than side tokens go
            found = best_splitting(vocabulary, PLAIN * times, np.tile(tokens, times))
            assert found == rule
    assert len(tokens) * 1900 > MAX_SIDE_TOKENS
    assert len(PLAIN) * 1900 < MAX_SIDE_BYTES


@pytest.mark.parametrize("rule", SPLITTINGS)
@pytest.mark.parametrize(
    "unit", [b" ", b"\n", b"\r\n", b"\r", b"a", b".", b"\xff", b"7", b" \t", b"\0"]
)
def test_runs_of_one_byte_take_time_in_proportion(tiny_model, unit, rule):
    vocabulary = tiny_model.tokenizer.vocabulary
    seconds = []
    for length in (30_000, 300_000):  # squares would take a hundred times as long
        run_of = unit * (length // len(unit))
        start = time.process_time()
        tokens = side_tokens(vocabulary, run_of, rule)
        seconds.append(time.process_time() - start)
    assert seconds[1] < 50 * max(seconds[0], 0.002)
    back = vocabulary.detokenize(tokens)
    assert len(tokens) == MAX_SIDE_TOKENS or len(back) == len(run_of)
    assert run_of.endswith(back)


def test_limits_of_side_tokens(tiny_model):
    vocabulary = tiny_model.tokenizer.vocabulary
    beginning, text = b"0123456789" * 5, b"the model and the coder of " * 40_000
    assert len(text) > MAX_SIDE_BYTES
    tokens = side_tokens(vocabulary, beginning + text, 1)
    assert len(tokens) == MAX_SIDE_TOKENS
    np.testing.assert_array_equal(tokens, side_tokens(vocabulary, text, 1))
    wide = table(b"mm", b"mmmm", b"mmmmmmmm")  # here the bytes are the limit
    tokens = side_tokens(wide, b"x" + b"m" * MAX_SIDE_BYTES, 1)
    assert wide.detokenize(tokens) == b"m" * MAX_SIDE_BYTES
    assert len(tokens) == MAX_SIDE_BYTES // 8


# The side section.

MODEL = ModelReference(bytes(range(4)), "m", 1, 500, 4, 4096, 0, 1, 18)
THOUGHTS = Thoughts(300, 5, 16, (1 << 62) - 1, 1 << 24, b"before", "böhind".encode(), 0xDEADBEEF)
SIDES = [
    SideReference(SideSource.NOWHERE, splitting=1, thoughts=THOUGHTS),
    SideReference(SideSource.BEFORE, splitting=2, prefix_tokens=511),
    SideReference(SideSource.GIVEN, (1 << 62) - 1, b"1234", 1, 1 << 20),
    SideReference(SideSource.GIVEN, 1, b"1234", 2, 0, THOUGHTS),
]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("size", [None, 77])
def test_side_sections_round_trip(side, size):
    header = Header(MODEL, size, side=side)
    packed = header.pack()
    assert read_header(io.BytesIO(packed + b"rest")) == (header, packed)
    for position in range(8 * len(packed)):
        damaged = bytearray(packed)
        damaged[position // 8] ^= 1 << (position % 8)
        if damaged[3] & 16:
            continue  # a short archive's header is verified with its contents
        with pytest.raises(LmzipError):
            read_header(io.BytesIO(bytes(damaged)))
    for length in range(1, len(packed)):
        with pytest.raises(LmzipError):
            read_header(io.BytesIO(packed[:length]))


@pytest.mark.parametrize("side", SIDES)
def test_side_sections_of_short_archives_round_trip(side):
    header = Header(MODEL, side=side, only=BlockKind.GIVEN_LM)
    packed = header.pack()
    assert read_header(io.BytesIO(packed + b"rest")) == (header, packed)


def test_side_sections_without_a_model_say_less():
    side = SIDES[3]
    packed = Header(side=side).pack()
    expected = SideReference(SideSource.GIVEN, 1, b"1234")
    assert read_header(io.BytesIO(packed)) == (Header(side=expected), packed)
    assert packed[4:-4].hex() == "0201" + b"1234".hex()


def test_pinned_side_section():
    side = dataclasses.replace(SIDES[3], thoughts=dataclasses.replace(THOUGHTS, seed=300))
    assert side.pack(model=True).hex() == (
        "1a01" + b"1234".hex() + "00" + "ac02" + "0510" + "ac02" + "80808008"
        + "06" + b"before".hex() + "07" + "böhind".encode().hex() + "efbeadde"
    )  # fmt: skip


def side_header(section, *, model=True):
    """A short header, so that no checksum is in the way, of a side section."""
    form = 0x30 | (BlockKind.GIVEN_MIXED if model else BlockKind.GIVEN_ZSTD)
    return b"\x89LM" + bytes([form]) + (MODEL.pack() if model else b"") + section


FIRST = pack_varint(5) + b"1234"


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (bytes([7]), "unknown kind 7"),
        (bytes([0x26]), "unknown kind 38"),
        (bytes([6, 0]) + b"1234", "empty"),
        (bytes([6]) + pack_varint(1 << 62) + b"1234", "limit"),
        (bytes([2]) + FIRST, "splitting rule 0"),
        (bytes([14]) + FIRST, "splitting rule 3"),
        (bytes([6]) + FIRST + pack_varint((1 << 20) + 1), "prefix"),
        (bytes([22]) + FIRST + bytes([0, 0, 1]) + bytes(9), "zero"),
        (
            bytes([22]) + FIRST + bytes([0]) + pack_varint((1 << 16) + 1),
            "number of generated tokens",
        ),
        (bytes([22]) + FIRST + bytes([0, 9, 0]) + bytes(9), "zero"),
        (bytes([22]) + FIRST + bytes([0, 9]) + pack_varint(257), "chains"),
        (bytes([22]) + FIRST + bytes([0, 9, 1, 17]), "temperature"),
        (bytes([22]) + FIRST + bytes([0, 9, 1, 1]) + pack_varint(1 << 62), "seed"),
        (
            bytes([22]) + FIRST + bytes([0, 9, 1, 1, 0]) + pack_varint((1 << 24) + 1),
            "interval between",
        ),
        (bytes([22]) + FIRST + bytes([0, 9, 1, 1, 0, 0]) + pack_varint((1 << 14) + 1), "prompt"),
        (bytes([22]) + FIRST + bytes([0, 9, 1, 1, 0, 0, 0]) + pack_varint((1 << 14) + 1), "prompt"),
    ],
)
def test_bad_side_sections(section, message):
    with pytest.raises(CorruptError, match=message):
        read_header(io.BytesIO(side_header(section)))


@pytest.mark.parametrize("first", [6, 10, 18])
def test_bad_side_sections_without_a_model(first):
    with pytest.raises(CorruptError, match="without a model"):
        read_header(io.BytesIO(side_header(bytes([first]) + FIRST, model=False)))


def test_solid_archives_have_no_side_section():
    solid = dataclasses.replace(MODEL, solid=True, streams_at_once=3)
    packed = Header(solid, side=SIDES[1]).pack()
    with pytest.raises(CorruptError, match="solid"):
        read_header(io.BytesIO(packed))
    with pytest.raises(UsageError, match="solid"):
        lmzip.compress(
            b"x", model="none", given=b"y",
            parameters=lmzip.CodingParameters(solid=True, streams_at_once=2),
        )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": 0}, {"tokens": (1 << 16) + 1}, {"chains": 0}, {"chains": 257},
        {"temperature": -1}, {"temperature": 17}, {"seed": -1}, {"seed": 1 << 62},
        {"every": -1}, {"every": (1 << 24) + 1}, {"before": bytes((1 << 14) + 1)},
        {"behind": bytes((1 << 14) + 1)},
    ],
)  # fmt: skip
def test_what_no_header_can_say_is_refused(change):
    with pytest.raises(UsageError, match="must be between"):
        SideParameters(thoughts=dataclasses.replace(THOUGHTS, **change))


def test_side_information_is_a_length_a_hash_and_an_end():
    import hashlib

    parts = [b"", b"abc" * 1000, random.Random(1).randbytes(3 << 20)]
    whole = b"".join(parts)
    read = SideInformation.read(map(io.BytesIO, parts))
    assert read == SideInformation.of(whole)
    assert read.digest == hashlib.blake2b(whole, digest_size=4).digest()
    long = bytes(1 << 24) + b"the end"
    assert SideInformation.of(long).tail == long[7:]
    assert SideInformation.read([io.BytesIO(long)]) == SideInformation.of(long)
    for nothing in (lambda: SideInformation.read([io.BytesIO()]), lambda: SideInformation.of(b"")):
        with pytest.raises(UsageError, match="empty"):
            nothing()
    with pytest.raises(UsageError, match="prefix"):
        SideParameters(prefix_tokens=(1 << 20) + 1)
