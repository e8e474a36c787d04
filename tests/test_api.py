"""lmzip.compress, decompress and open, as a Python user calls them."""

from __future__ import annotations

import io

import pytest

import lmzip

PARAMETERS = lmzip.CodingParameters(window=32, stream_tokens=40, block_bytes=200)
TEXT = "".join(f"Line {i}: the model is asked again, and so on.\n" for i in range(40))


@pytest.fixture
def archive(tmp_path, tiny_models):
    path = tmp_path / "a.lmz"
    with lmzip.open(path, "wb", model=tiny_models, parameters=PARAMETERS) as file:
        for line in TEXT.splitlines(keepends=True):
            file.write(line.encode())
    return path


def test_bytes_like_objects(tiny_models):
    for data in (b"abc", bytearray(b"abc"), memoryview(b"abc")):
        assert (
            lmzip.decompress(lmzip.compress(data, model=tiny_models), model=tiny_models) == b"abc"
        )
    for wrong in (5, "abc", None):
        with pytest.raises(TypeError):
            lmzip.compress(wrong, model=tiny_models)
        with pytest.raises(TypeError):
            lmzip.decompress(wrong, model=tiny_models)


def test_read_whole_by_line_and_as_text(archive, tiny_models):
    with lmzip.open(archive, model=tiny_models) as file:
        assert file.read() == TEXT.encode()
        assert file.read() == b""
    with lmzip.open(archive, "rt", model=tiny_models, encoding="utf-8") as file:
        assert list(file) == TEXT.splitlines(keepends=True)


def test_seeking_decodes_only_what_is_read(archive, tiny_models, monkeypatch):
    from lmzip.codec.decompressor import BlockDecoder

    decoded = []
    original = BlockDecoder.decode
    monkeypatch.setattr(
        BlockDecoder, "decode", lambda self, blocks: decoded.append(1) or original(self, blocks)
    )
    data = TEXT.encode()
    with lmzip.open(archive, model=tiny_models) as file:
        assert file.seek(-10, io.SEEK_END) == len(data) - 10
        assert file.read(5) == data[-10:-5]
        assert file.tell() == len(data) - 5
        assert len(decoded) == 1
        file.seek(700)
        assert file.read(3) == data[700:703]
        assert len(decoded) <= 3


def test_every_position(archive, tiny_models):
    data = TEXT.encode()
    with lmzip.open(archive, model=tiny_models) as file:
        for position in (0, 199, 200, 201, 500, 999, len(data) - 1, len(data)):
            file.seek(position)
            assert file.read(7) == data[position : position + 7]


def test_seeking_across_concatenated_archives(tmp_path, archive, tiny_models):
    path = tmp_path / "two.lmz"
    path.write_bytes(archive.read_bytes() * 2)
    with lmzip.open(path, model=tiny_models) as file:
        file.seek(len(TEXT) - 3)
        assert file.read(6) == (TEXT[-3:] + TEXT[:3]).encode()


def test_writing_is_all_or_nothing(tmp_path, tiny_models):
    path = tmp_path / "x.lmz"
    with (  # noqa: PT012
        pytest.raises(RuntimeError),
        lmzip.open(path, "wb", model=tiny_models) as file,
    ):
        file.write(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with (  # noqa: PT012
        pytest.raises(RuntimeError),
        lmzip.open(path, "wt", model=tiny_models) as file,
    ):
        file.write("half")
        raise RuntimeError
    for mode, half in (("wb", b"half"), ("wt", "half")):
        abandoned = lmzip.open(path, mode, model=tiny_models)
        abandoned.write(half)
        with pytest.warns(RuntimeWarning, match="never closed"):
            del abandoned
        assert list(tmp_path.iterdir()) == []
    with lmzip.open(path, "xt", model=tiny_models) as file:
        file.write("whole")
    with pytest.raises(FileExistsError):
        lmzip.open(path, "x", model=tiny_models)
    with lmzip.open(path, "rt", model=tiny_models) as file:
        assert file.read() == "whole"


def test_file_objects_stay_open(tiny_models):
    target = io.BytesIO()
    with lmzip.open(target, "wb", model=tiny_models) as file:
        file.write(b"to a file object")
    with lmzip.open(io.BytesIO(target.getvalue()), model=tiny_models) as file:
        assert file.read() == b"to a file object"
    assert not target.closed


def test_wrong_modes_and_misuse(archive, tiny_models):
    for mode in ("r+", "rw", "q"):
        with pytest.raises(ValueError, match="mode"):
            lmzip.open(archive, mode)
    with lmzip.open(archive, model=tiny_models) as file:
        assert not file.writable()
        with pytest.raises(io.UnsupportedOperation):
            file.write(b"x")
    with pytest.raises(ValueError, match="text mode"):
        lmzip.open(archive, "rb", encoding="utf-8")


def test_damaged_files_fail_when_they_are_read(tmp_path, archive, tiny_models):
    path = tmp_path / "bad.lmz"
    path.write_bytes(archive.read_bytes()[:-3])
    with lmzip.open(path, model=tiny_models) as file:
        assert file.read(len(TEXT)) == TEXT.encode()  # all blocks are whole
        for _ in range(2):
            with pytest.raises(lmzip.TruncatedError):
                file.read(1)
        assert file.seek(5) == 5 and file.read(3) == TEXT[5:8].encode()
        with pytest.raises(EOFError):
            file.seek(0, io.SEEK_END)
    path.write_bytes(b"no archive")
    with (
        lmzip.open(path, model=tiny_models) as file,
        pytest.raises(lmzip.FormatError, match="not an lmzip archive"),
    ):
        file.read()
