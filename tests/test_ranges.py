"""Parts of contents: only the blocks that hold them are decoded."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmzip
from lmzip.cli.ranges import ByteRange
from lmzip.codec import ArchiveIndex, BlockReader, SideInformation
from lmzip.codec.decompressor import BlockDecoder
from lmzip.errors import UsageError

from .test_cli import failed_with
from .test_codec import SMALL, SOLID, TEXT
from .test_given import pairs

LIMIT = 1 << 30


def reader(blob, models, given=None):
    side = None if given is None else SideInformation.of(given)
    return BlockReader(ArchiveIndex(io.BytesIO(blob)), models, LIMIT, side)


@pytest.fixture(scope="module")
def parts(tiny_models):
    """Contents and archives: short, ordinary, solid, empty, of zstd and stored blocks."""
    contents = [TEXT[:100], TEXT, b"", TEXT * 2, random.Random(1).randbytes(700), b"", b"x" * 900]
    kinds = [SMALL, SMALL, SMALL, SOLID, SMALL, SMALL, SMALL]
    return [
        (data, lmzip.compress(data, model=tiny_models, parameters=parameters))
        for data, parameters in zip(contents, kinds, strict=True)
    ]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.data())
def test_any_range_of_any_file(tiny_models, parts, order, data):
    whole = b"".join(parts[i][0] for i in order)
    blocks = reader(b"".join(parts[i][1] for i in order), tiny_models)
    for _ in range(4):
        start = data.draw(st.integers(0, len(whole) + 5))
        end = data.draw(st.integers(0, len(whole) + 9))
        assert b"".join(blocks.range(start, end)) == whole[start:end]


def test_only_the_blocks_of_a_range_are_decoded(tiny_models, monkeypatch):
    data = TEXT * 4
    blob = lmzip.compress(data, model=tiny_models, parameters=SMALL)
    decoded = []
    decode = BlockDecoder.decode

    def spy(self, blocks):
        decoded.extend(block.content_bytes for block in blocks)
        return decode(self, blocks)

    monkeypatch.setattr(BlockDecoder, "decode", spy)
    sizes = [content for content, _ in ArchiveIndex(io.BytesIO(blob)).archives[0].blocks]
    assert len(sizes) > 8
    third = sum(sizes[:2])
    for start, length, expected in (
        (0, 1, sizes[:1]),
        (third - 1, 2, sizes[1:3]),
        (third, sizes[2], sizes[2:3]),
        (len(data) - 1, 100, sizes[-1:]),
        (third, 0, []),
        (len(data), 9, []),
    ):
        decoded.clear()
        got = b"".join(reader(blob, tiny_models).range(start, start + length))
        assert got == data[start : start + length]
        assert decoded == expected
    decoded.clear()
    with lmzip.open(io.BytesIO(blob), model=tiny_models) as file:
        file.seek(third + 3)
        assert file.read(5) == data[third + 3 : third + 8]
        file.seek(third + 20)
        assert file.read(9) == data[third + 20 : third + 29]
    assert decoded == sizes[2:3]


def test_ranges_of_what_is_given_and_of_damaged_files(tiny_models):
    texts = TEXT[:200], TEXT[50:260], TEXT
    blob, whole = pairs(tiny_models, SMALL, *texts), b"".join(texts)
    for start, end in ((350, 380), (0, 5), (199, 300), (len(whole) - 3, len(whole))):
        assert b"".join(reader(blob, tiny_models).range(start, end)) == whole[start:end]
    damaged = bytearray(lmzip.compress(TEXT, model=tiny_models, parameters=SMALL))
    index = ArchiveIndex(io.BytesIO(damaged))
    damaged[index.archives[0].block_starts()[1] + 30] ^= 1
    first = index.archives[0].blocks[0][0]
    assert b"".join(reader(damaged, tiny_models).range(0, first)) == TEXT[:first]
    with pytest.raises(lmzip.CorruptError):
        list(reader(damaged, tiny_models).range(0, first + 1))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (ByteRange(0, 5), (0, 5)),
        (ByteRange(7, None), (7, 10)),
        (ByteRange(7, 100), (7, 10)),
        (ByteRange(10, 1), (10, 10)),
        (ByteRange(-3, None), (7, 10)),
        (ByteRange(-3, 2), (7, 9)),
        (ByteRange(-30, 2), (0, 2)),
        (ByteRange(2, 0), (2, 2)),
    ],
)
def test_what_a_range_means(wanted, expected):
    assert wanted.within(10) == expected


def test_a_range_behind_the_end_is_an_error():
    with pytest.raises(UsageError, match="the contents have 10 bytes"):
        ByteRange(11, 1).within(10)


def test_the_option(lmzip, tmp_path):
    data = TEXT * 20
    (tmp_path / "t").write_bytes(data)
    (tmp_path / "u").write_bytes(b"another one\n")
    assert lmzip("--block-size", "500", "t").returncode == 0
    assert lmzip("u").returncode == 0
    (tmp_path / "both.lmz").write_bytes(
        (tmp_path / "t.lmz").read_bytes() + (tmp_path / "u.lmz").read_bytes()
    )
    whole = data + b"another one\n"
    for words, expected in (
        ("3000:100", whole[3000:3100]),
        ("1k:1k", whole[1024:2048]),
        (f"{len(data) - 4}:10", whole[len(data) - 4 :][:10]),
        ("-12", whole[-12:]),
        ("-12:7", whole[-12:-5]),
        (f"{len(data)}:", b"another one\n"),
        (f"{len(whole)}", b""),
        ("0:0", b""),
    ):
        result = lmzip("-dc", "--range", words, "both.lmz")
        assert (result.returncode, result.stdout, result.stderr) == (0, expected, b"")
    result = lmzip("-d", "--range", "5:6", "-o", "part", "both.lmz")
    assert (result.returncode, result.stderr) == (0, b"")
    assert (tmp_path / "part").read_bytes() == whole[5:11]


def test_what_is_no_range(lmzip, tmp_path):
    (tmp_path / "t").write_bytes(TEXT)
    assert lmzip("t").returncode == 0
    for words in ("x", "1:y", "1-2", ":", ":5", "", "-", "-0", "1:-2", "1:2:3"):
        result = lmzip("-dc", "--range", words, "t.lmz")
        assert result.returncode == 2
        assert result.stderr.count(b"\n") == 1
        assert result.stdout == b""
    failed_with(lmzip("-d", "--range", "5000:1", "-o", "part", "t.lmz"), "the contents have", 2)
    assert not (tmp_path / "part").exists()
    failed_with(lmzip("-c", "--range", "0:1", "t"), "needs -d", 2)
    failed_with(lmzip("-t", "--range", "0:1", "t.lmz"), "needs -d", 2)
    failed_with(lmzip("-dc", "--rm", "--range", "0:1", "t.lmz"), "--rm", 2)
    (tmp_path / "t").unlink()
    failed_with(lmzip("-d", "--range", "0:1", "t.lmz"), "-c or -o", 2)
    assert not (tmp_path / "t").exists()
    blob = (tmp_path / "t.lmz").read_bytes()
    failed_with(lmzip("-d", "--range", "0:1", stdin=blob), "not a pipe", 2)
