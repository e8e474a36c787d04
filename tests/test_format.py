"""Headers, blocks, trailers and short archives: what is written is read, and nothing else is."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lmzip
from lmzip.codec import CodingParameters
from lmzip.engine import NUMERICS_VERSION
from lmzip.errors import CorruptError, FormatError, LmzipError, TruncatedError, VersionError
from lmzip.format import (
    MAX_BLOCK_BYTES,
    MAX_SHORT_BYTES,
    PARAMETER_SETS,
    Block,
    BlockKind,
    Header,
    ModelReference,
    SideReference,
    SideSource,
    Trailer,
    content_crc,
    map_archives,
    pack_short,
    read_block_or_trailer,
    read_header,
    read_short,
    short_bytes,
)
from lmzip.format.fields import Reader, pack_varint
from lmzip.format.trailer import END_MARK
from lmzip.levels import LEVELS
from lmzip.mix import MIXING_VERSION

IDENTITY = bytes(range(4))
REFERENCE = ModelReference(IDENTITY, "modèle", 1, 1000, 4, 4096, 32, 1, 18)
PLAIN = ModelReference(IDENTITY, "", 1, 1000, 4, 4096)
NUMBERED = ModelReference(IDENTITY, "", *PARAMETER_SETS[2])
SOLID = dataclasses.replace(NUMBERED, solid=True)
MODELS = [REFERENCE, PLAIN, NUMBERED, dataclasses.replace(NUMBERED, name="m")]
SIDE = SideReference(SideSource.GIVEN, 5, b"abcd", 1, 7)


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


# Headers.


@pytest.mark.parametrize("model", [None, SOLID, *MODELS])
@pytest.mark.parametrize("size", [None, 0, 12345678901])
def test_headers_round_trip(model, size):
    header = Header(model, size)
    packed = header.pack()
    assert read_header(io.BytesIO(packed + b"rest")) == (header, packed)


def test_pinned_headers():
    assert Header(REFERENCE, 300).pack().hex() == (
        "894c4d23ac028000010203076d6f64c3a86c6501e807048020200112d108cd25"
    )
    assert Header(SOLID).pack().hex() == "894c4d2903000102038016efba"
    assert Header(NUMBERED, only=BlockKind.MIXED).pack().hex() == "894c4d340300010203"
    given_zstd = Header(side=SIDE, only=BlockKind.GIVEN_ZSTD).pack()
    assert given_zstd.hex() == "894c4d3a020561626364"


@pytest.mark.parametrize("number", range(len(PARAMETER_SETS)))
def test_every_parameter_set_is_one_byte(number):
    model = ModelReference(IDENTITY, "", *PARAMETER_SETS[number])
    assert model.pack() == bytes([number + 1]) + IDENTITY
    assert len(Header(model, only=BlockKind.LM).pack()) == 9


def test_parameter_sets_are_the_levels():
    """A level may change; then its set stays and another one is added."""
    for number, level in enumerate(LEVELS):
        assert PARAMETER_SETS[number] == parameter_set(level.parameters)
    assert PARAMETER_SETS[len(LEVELS)] == parameter_set(CodingParameters(window=1024))
    assert len(set(PARAMETER_SETS)) == len(PARAMETER_SETS) < 128


def parameter_set(p):
    use = p.window, p.sinks, p.stream_tokens, p.streams_at_once, MIXING_VERSION, p.mixing_bits
    return NUMERICS_VERSION, *use


@pytest.mark.parametrize("packed", [Header(m, 300).pack() for m in (REFERENCE, SOLID, None)])
def test_every_flipped_header_bit_is_noticed(packed):
    short_flag = 8 * 3 + 4  # such a header is verified with its contents
    for position in set(range(8 * len(packed))) - {short_flag}:
        damaged = bytearray(packed)
        damaged[position // 8] ^= 1 << (position % 8)
        with pytest.raises(FormatError):
            read_header(io.BytesIO(bytes(damaged)))
    for length in range(1, len(packed)):
        with pytest.raises(FormatError):
            read_header(io.BytesIO(packed[:length]))


def test_versions_from_the_future():
    packed = bytearray(Header().pack())
    packed[3] = 2 << 5
    with pytest.raises(VersionError, match="version 2"):
        read_header(io.BytesIO(bytes(packed)))
    packed = bytearray(Header(NUMBERED, only=BlockKind.LM).pack())
    packed[4] = 127
    with pytest.raises(VersionError, match="set 127"):
        read_header(io.BytesIO(bytes(packed)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": 0}, "zero"),
        ({"stream_tokens": 0}, "zero"),
        ({"window": (1 << 20) + 1}, "window is"),
        ({"sinks": 1025}, "sinks"),
        ({"stream_tokens": (1 << 24) + 1}, "stream length"),
        ({"streams_at_once": (1 << 16) + 1}, "number of streams"),
        ({"mixing_bits": 7}, "impossible"),
        ({"mixing_bits": 25}, "impossible"),
        ({"solid": True, "streams_at_once": 0}, "solid"),
        ({"solid": True, "mixing": 0}, "solid"),
    ],
)
def test_models_that_make_no_sense(change, message):
    with pytest.raises(CorruptError, match=message):
        read_header(io.BytesIO(Header(dataclasses.replace(REFERENCE, **change)).pack()))


def test_solid_archives_have_a_model_and_no_side_information():
    for form, rest in ((0x28, b""), (0x2D, SOLID.pack() + SIDE.pack(model=True))):
        packed = b"\x89LM" + bytes([form]) + rest
        packed += zlib.crc32(packed).to_bytes(4, "little")
        with pytest.raises(CorruptError, match="solid"):
            read_header(io.BytesIO(packed))


def test_other_files_are_named_as_such():
    for data in (b"\x1f\x8b\x08", b"plain text", b"\x89PNG\r\n"):
        with pytest.raises(FormatError, match="not an lmzip archive"):
            read_header(io.BytesIO(data))
    assert read_header(io.BytesIO(b"")) is None


# Blocks and trailers.

BLOCKS = [
    Block(BlockKind.STORED, 5, content_crc(b"hello"), b"hello"),
    Block(BlockKind.ZSTD, 500, 1, b"x" * 20),
    Block(BlockKind.LM, 500, 2, b"", 7),
    Block(BlockKind.GIVEN_MIXED, 300_000, 3, b"y" * 1000, 70_000),
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
        assert trailer.archive_bytes == 40 + sum(b for _, b in blocks) + len(packed)


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


@pytest.mark.parametrize("number", [5, 7, 9, 13, 16, 255])
def test_unknown_kinds(number):
    with pytest.raises(CorruptError, match=f"kind {number}"):
        read_block_or_trailer(io.BytesIO(bytes([number]) + bytes(99)))


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


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\x89LM#", b"\x89LM4", b"\x89LM1", b"\x89LM>"])
)
def test_any_bytes_at_all_give_an_answer_or_an_lmzip_error(data, start):
    for read in (read_header, read_block_or_trailer, map_archives):
        with contextlib.suppress(LmzipError):
            read(io.BytesIO(start + data))


# Short archives.

HELLO = b"abcde"
SHORT = [
    Block(BlockKind.MIXED, 5, 0, b"yyy", 4),
    Block(BlockKind.LM, 5, 0, b"", 5),
    Block(BlockKind.STORED, 5, 0, HELLO),
    Block(BlockKind.GIVEN_ZSTD, 5, 0, b"zz"),
]


def short_header(block, model=NUMBERED):
    kind = block.kind
    return Header(model if kind.modelled else None, None, SIDE if kind.given else None, kind)


def dictionary_side(header):
    """As it is read back: without a model there is neither splitting nor a prefix."""
    if header.side is None:
        return header
    return dataclasses.replace(header, side=SideReference(SideSource.GIVEN, 5, b"abcd"))


@pytest.mark.parametrize("block", SHORT)
def test_every_flipped_bit_of_a_short_archive_is_noticed(block):
    header = short_header(block)
    archive = pack_short(header, block, HELLO)
    assert len(archive) == short_bytes(header, block)

    def read(data):
        source = io.BytesIO(data)
        found, header_data = read_header(source)
        block, size = read_short(source, found, header_data)
        return found, block, len(header_data) + size

    def same(found, block):
        return content_crc(HELLO, block.crc_seed) == block.content_crc

    found, again, size = read(archive)
    assert (found, size) == (dictionary_side(header), len(archive))
    assert same(found, again)
    assert again.head == block.head
    assert again.payload == block.payload
    for position in range(8 * len(archive)):
        damaged = bytearray(archive)
        damaged[position // 8] ^= 1 << (position % 8)
        try:
            found, again, size = read(bytes(damaged))
        except FormatError:
            continue
        assert size != len(archive) or not same(found, again)
    for length in range(1, len(archive)):
        with pytest.raises(FormatError):
            read(archive[:length])


def test_what_stands_around_a_short_text():
    """By the default model: 16 bytes, whatever the payload."""
    block = Block(BlockKind.MIXED, 100, 0, bytes(24), 30)
    assert short_bytes(short_header(block), block) == 24 + 16
    nothing = Block(BlockKind.STORED, 0, 0, b"")
    assert pack_short(Header(only=BlockKind.STORED), nothing, b"").hex() == "894c4d31005adb0915"


def test_no_container_is_larger_than_the_document_says():
    """With the longest fields: 11 and 64 bytes, and 120 + 30 n of n blocks with a name."""
    stored = Block(BlockKind.STORED, MAX_SHORT_BYTES, 0, bytes(MAX_SHORT_BYTES))
    assert short_bytes(Header(only=stored.kind), stored) <= MAX_SHORT_BYTES + 11
    most = MAX_BLOCK_BYTES
    whole = Block(BlockKind.STORED, most, 0, bytes(most))
    packed = len(whole.pack())
    header = len(Header(None, most).pack())
    trailer = len(Trailer(header, ((most, packed),), bytes(8)).pack())
    assert header + packed + trailer <= most + 64
    large = 1 << 20, 1024, 1 << 24, 1 << 16, (1 << 30) - 1, 24
    model = ModelReference(IDENTITY, "m" * 32, (1 << 30) - 1, *large, solid=True)
    header = len(Header(model, (1 << 62) - 1).pack())
    block = Block(BlockKind.MIXED, most, 0, bytes(most), most)
    packed = len(block.pack())
    for count in (1, 2, 1000):
        trailer = len(Trailer(header, ((most, packed),) * count, bytes(8)).pack())
        assert header + count * packed + trailer <= count * most + 120 + 30 * count


def test_long_contents_make_no_short_archive():
    for size, short in ((MAX_SHORT_BYTES, True), (MAX_SHORT_BYTES + 1, False)):
        data = bytes(size)
        block = Block(BlockKind.STORED, size, 0, data)
        assert (pack_short(Header(only=BlockKind.STORED), block, data) is not None) == short
    claim = b"\x89LM1" + pack_varint(MAX_SHORT_BYTES + 1)
    source = io.BytesIO(claim)
    with pytest.raises(CorruptError, match="limit"):
        read_short(source, *read_header(source))


def test_only_stored_short_archives_are_empty():
    for kind in (BlockKind.ZSTD, BlockKind.LM):
        block = Block(kind, 0, 0, b"", 0)
        source = io.BytesIO(pack_short(short_header(block), block, b""))
        with pytest.raises(CorruptError, match="empty"):
            read_short(source, *read_header(source))


def ending_like_an_ordinary_one() -> tuple[bytes, bytes]:
    """Contents whose short archive has the end mark for its checksum, and that archive."""
    # CRC-32 is linear: four bytes can make it anything.
    start = b"\x89LM1" + pack_varint(8)
    wanted = int.from_bytes(END_MARK, "little")

    def crc(four):
        data = b"text" + four
        return zlib.crc32(start + data + data)

    zero = crc(bytes(4))
    columns = [crc((1 << bit).to_bytes(4, "little")) ^ zero for bit in range(32)]
    basis: dict[int, tuple[int, int]] = {}
    for bit, column in enumerate(columns):
        combination = 1 << bit
        while column and column.bit_length() in basis:
            other, made_of = basis[column.bit_length()]
            column, combination = column ^ other, combination ^ made_of
        if column:
            basis[column.bit_length()] = column, combination
    left, solution = wanted ^ zero, 0
    while left:
        other, made_of = basis[left.bit_length()]
        left, solution = left ^ other, solution ^ made_of
    data = b"text" + solution.to_bytes(4, "little")
    return data, start + data + END_MARK


def test_no_short_archive_ends_like_an_ordinary_one():
    data, archive = ending_like_an_ordinary_one()
    block = Block(BlockKind.STORED, len(data), 0, data)
    assert pack_short(Header(only=BlockKind.STORED), block, data) is None
    for read in (lmzip.decompress, lambda a: map_archives(io.BytesIO(a))):
        with pytest.raises(CorruptError):
            read(archive)


# Files of several archives.


def ordinary(*contents):
    header = Header(None, sum(map(len, contents))).pack()
    packed = [Block(BlockKind.STORED, len(c), content_crc(c), c).pack() for c in contents]
    index = tuple((len(c), len(p)) for c, p in zip(contents, packed, strict=True))
    digest = hashlib.blake2b(b"".join(contents), digest_size=8).digest()
    return header + b"".join(packed) + Trailer(len(header), index, digest).pack()


def short(data):
    archive = pack_short(
        Header(only=BlockKind.STORED), Block(BlockKind.STORED, len(data), 0, data), data
    )
    assert archive is not None
    return archive


PARTS = [ordinary(b"one", b"two"), short(b"three"), short(b""), ordinary(), ordinary(b"x" * 300)]


@given(st.lists(st.sampled_from(PARTS), min_size=1, max_size=7))
def test_archives_in_any_order_are_found(parts):
    blob = b"".join(parts)
    found = map_archives(io.BytesIO(blob))
    assert [blob[a.start : a.end] for a in found] == parts
    for archive in found:
        assert archive.archive_bytes == archive.end - archive.start
    assert lmzip.decompress(blob) == b"".join(map(lmzip.decompress, parts))


def test_archives_inside_of_stored_ones_are_not_mistaken():
    """A short archive that holds an ordinary one ends with its own checksum."""
    inner = ordinary(b"inside")
    for parts in (
        (short(inner),),
        (ordinary(inner), short(inner)),
        (short(inner), ordinary(inner)),
    ):
        found = map_archives(io.BytesIO(b"".join(parts)))
        assert [a.archive_bytes for a in found] == list(map(len, parts))


def test_only_the_ends_of_ordinary_archives_are_read():
    """However large the contents: header and trailer, and nothing between."""

    class Watched(io.BytesIO):
        taken = 0

        def read(self, size=-1):
            data = super().read(size)
            self.taken += len(data)
            return data

    blob = ordinary(*[bytes(100_000)] * 50) * 3
    file = Watched(blob)
    assert len(map_archives(file)) == 3
    assert file.taken < 2000
    file = Watched(blob + short(b"and"))  # no index at the end: block by block
    assert len(map_archives(file)) == 4
    assert file.taken < 6000


@pytest.mark.parametrize("parts", [PARTS[:2], PARTS[1::-1], [PARTS[1]] * 2, [PARTS[0]] * 2])
def test_truncated_and_damaged_files_are_errors(parts):
    blob = b"".join(parts)
    whole = set()
    for end in range(1, len(blob)):
        if end in (len(parts[0]),):
            whole.add(end)
            continue
        with pytest.raises(FormatError):
            map_archives(io.BytesIO(blob[:end]))
    for behind in (b"\0", b"\x89", END_MARK, bytes(50)):
        with pytest.raises(FormatError):
            map_archives(io.BytesIO(blob + behind))
    for position in range(8 * len(blob)):
        damaged = bytearray(blob)
        damaged[position // 8] ^= 1 << (position % 8)
        with contextlib.suppress(FormatError):
            map_archives(io.BytesIO(damaged))
        with pytest.raises(FormatError):
            lmzip.decompress(bytes(damaged))
