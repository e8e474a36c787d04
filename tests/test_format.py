"""Headers, blocks and trailers: what is written is read, and nothing else is."""

from __future__ import annotations

import contextlib
import dataclasses
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmzip.errors import CorruptError, FormatError, LmzipError, TruncatedError, VersionError
from lmzip.format import (
    Block,
    BlockKind,
    Header,
    ModelReference,
    Trailer,
    content_crc,
    pack_compact,
    read_block_or_trailer,
    read_compact,
    read_header,
)
from lmzip.format.archive import PROFILES
from lmzip.format.fields import Reader, pack_varint
from lmzip.levels import LEVELS

REFERENCE = ModelReference(bytes(range(8)), "modèle", 1, 1024, 4, 4096, 32, 1, 18)
PLAIN = ModelReference(bytes(range(8)), "", 1, 1024, 4, 4096)


@given(st.integers(0, 2**63 - 1))
def test_varint_round_trips(value):
    reader = Reader(io.BytesIO(pack_varint(value)))
    assert reader.varint(2**63, "x") == value


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"\x80", TruncatedError), (b"\x80\x00", CorruptError), (b"\xff" * 10, CorruptError)],
)
def test_bad_varints(data, error):
    with pytest.raises(error):
        Reader(io.BytesIO(data)).varint(2**63, "x")


@pytest.mark.parametrize("model", [None, REFERENCE, PLAIN])
@pytest.mark.parametrize("size", [None, 0, 12345678901])
def test_header_round_trips(model, size):
    header = Header(model, size)
    packed = header.pack()
    assert read_header(io.BytesIO(packed + b"rest")) == (header, packed)


def test_pinned_header():
    assert Header(REFERENCE, 300).pack().hex() == (
        "894c4d5a0203ac02010001020304050607076d6f64c3a86c6580080480202001122cec1f61"
    )


def test_headers_of_version_1_are_read():
    packed = bytes.fromhex(
        "894c4d5a0103ac0201000102030405060708090a0b0c0d0e0f0000000000000000076d6f64c3a86c65"
        "80080480206dc79eb6"
    )
    model = ModelReference(bytes(range(16)), "modèle", 1, 1024, 4, 4096)
    assert read_header(io.BytesIO(packed)) == (Header(model, 300), packed)


BLOCKS = [
    Block(BlockKind.STORED, 5, content_crc(b"hello"), b"hello"),
    Block(BlockKind.ZSTD, 500, 1, b"x" * 20),
    Block(BlockKind.LM, 500, 2, b"", 7),
    Block(BlockKind.LM, 300_000, 3, b"y" * 1000, 70_000),
]


@pytest.mark.parametrize("block", BLOCKS)
def test_block_round_trips(block):
    packed = block.pack()
    assert read_block_or_trailer(io.BytesIO(packed)) == (block, len(packed))


def test_trailer_round_trips():
    for blocks in ((), ((1, 2),), ((1 << 18, 50_000),) * 300):
        trailer = Trailer(40, blocks, b"12345678")
        packed = trailer.pack()
        assert read_block_or_trailer(io.BytesIO(packed)) == (trailer, len(packed))
        assert trailer.frame_bytes == 40 + sum(b for _, b in blocks) + len(packed)


@pytest.mark.parametrize("packed", [Header(REFERENCE, 300).pack(), Header().pack()])
def test_every_flipped_header_bit_is_noticed(packed):
    short_flag = 8 * 5 + 2  # such a header is verified with its block
    for position in set(range(8 * len(packed))) - {short_flag}:
        damaged = bytearray(packed)
        damaged[position // 8] ^= 1 << (position % 8)
        with pytest.raises(FormatError):
            read_header(io.BytesIO(bytes(damaged)))


@pytest.mark.parametrize("item", [*BLOCKS[:3], Trailer(40, ((9, 9),), b"12345678")])
def test_every_flipped_bit_and_every_truncation_is_noticed(item):
    packed = item.pack()
    for position in range(8 * len(packed)):
        damaged = bytearray(packed)
        damaged[position // 8] ^= 1 << (position % 8)
        with pytest.raises(FormatError):
            read_block_or_trailer(io.BytesIO(bytes(damaged)))
    for length in range(len(packed)):
        with pytest.raises(FormatError):
            read_block_or_trailer(io.BytesIO(packed[:length]))


def test_versions_from_the_future():
    packed = bytearray(Header().pack())
    packed[4] = 4
    with pytest.raises(VersionError, match="version 4"):
        read_header(io.BytesIO(bytes(packed)))
    packed[4], packed[5] = 1, 0x40
    with pytest.raises(VersionError, match="feature"):
        read_header(io.BytesIO(bytes(packed)))


def test_other_files_are_named_as_such():
    for data in (b"\x1f\x8b\x08", b"plain text", b"\x89PNG\r\n"):
        with pytest.raises(FormatError, match="not an lmzip archive"):
            read_header(io.BytesIO(data))
    assert read_header(io.BytesIO(b"")) is None


def test_false_lengths_allocate_nothing():
    class Endless:
        def __init__(self, start):
            self.start, self.served = io.BytesIO(start), 0

        def read(self, size):
            self.served += size
            assert self.served < 40 << 20, "read far beyond any block"
            return self.start.read(size) or bytes(size)

    claim = bytes([BlockKind.STORED]) + pack_varint(1 << 40)
    with pytest.raises(CorruptError, match="limit"):
        read_block_or_trailer(Endless(claim))
    claim = bytes([BlockKind.ZSTD]) + pack_varint(1 << 24) + pack_varint(1 << 24)
    with pytest.raises(CorruptError, match="checksum"):
        read_block_or_trailer(Endless(claim))


@given(st.binary(max_size=200))
def test_any_bytes_at_all_give_an_answer_or_an_lmzip_error(data):
    for read in (read_header, read_block_or_trailer):
        with contextlib.suppress(LmzipError):
            read(io.BytesIO(data))


SHORT_REFERENCE = dataclasses.replace(REFERENCE, identity=REFERENCE.identity[:4])


@pytest.mark.parametrize("model", [None, SHORT_REFERENCE, *(
    ModelReference(bytes(4), "", *profile) for profile in PROFILES
)])  # fmt: skip
def test_short_headers_round_trip(model):
    header = Header(model, short=True)
    packed = header.pack()
    assert packed[4] == 3
    assert read_header(io.BytesIO(packed + b"rest")) == (header, packed)
    named = b"" if model is None else model.name.encode()
    if model is None or model is not SHORT_REFERENCE:
        assert len(packed) == (6 if model is None else 12 + len(named))


def test_profiles_are_the_levels():
    """A level may change; then its profile stays and another one is added."""
    for number, level in enumerate(LEVELS):
        p = level.parameters
        use = p.window, p.sinks, p.stream_tokens, p.streams_at_once, 1, p.mixing_bits, p.solid
        assert PROFILES[number] == (1, *use)


@pytest.mark.parametrize(
    "block",
    [
        Block(BlockKind.MIXED, 5, 0, b"yyy", 4),
        Block(BlockKind.STORED, 5, 0, b"abcde"),
        Block(BlockKind.GIVEN_ZSTD, 5, 0, b"zz"),
    ],
)
def test_every_flipped_bit_of_a_short_archive_is_noticed(block):
    header = Header(SHORT_REFERENCE, short=True).pack()
    rest = pack_compact(header, block, b"abcde")
    assert rest is not None
    found, trailer = read_compact(io.BytesIO(rest), header)
    assert (found.kind, found.content_bytes, found.payload, found.tokens) == (
        block.kind, 5, block.payload, block.tokens
    )  # fmt: skip
    assert content_crc(b"abcde", found.crc_seed) == found.content_crc
    assert trailer.frame_bytes == len(header) + len(rest)
    for position in range(8 * len(rest)):
        damaged = bytearray(rest)
        damaged[position // 8] ^= 1 << (position % 8)
        try:
            found, _ = read_compact(io.BytesIO(damaged), header)
        except FormatError:
            continue
        assert content_crc(b"abcde", found.crc_seed) != found.content_crc
    for length in range(len(rest)):
        with pytest.raises(FormatError):
            read_compact(io.BytesIO(rest[:length]), header)
    other = header[:-1] + bytes([header[-1] ^ 1])
    found, _ = read_compact(io.BytesIO(rest), other)
    assert content_crc(b"abcde", found.crc_seed) != found.content_crc


def test_long_archives_are_no_short_ones():
    header = Header(short=True).pack()
    data = bytes(70_000)
    assert pack_compact(header, Block(BlockKind.STORED, len(data), 0, data), data) is None
    data = bytes(65_516)
    assert pack_compact(header, Block(BlockKind.STORED, len(data), 0, data), data) is not None
