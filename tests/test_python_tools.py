"""Archives in other people's hands: tarfile, pandas, fsspec, pickle; and pieces of archives."""

from __future__ import annotations

import io
import logging
import os
import pickle
import tarfile

import pytest

import lmzip

TEXT = "".join(f"{i},{i * i},a line of words for the model\n" for i in range(60)).encode()
SMALL = lmzip.CodingParameters(window=16, stream_tokens=64, block_bytes=700, mixing_bits=0)


@pytest.fixture(scope="module")
def coding(tiny_models):
    return {"model": tiny_models, "parameters": SMALL}


@pytest.fixture(scope="module")
def packed(coding):
    return lmzip.compress(TEXT, **coding)


@pytest.mark.parametrize("mode", ["a", "ab"])
def test_appending(tmp_path, coding, packed, mode):
    path = tmp_path / "log.lmz"
    for count in (1, 2, 3):
        with lmzip.open(path, mode, **coding) as file:
            assert file.mode == "ab"
            file.write(TEXT)
        assert path.read_bytes() == packed * count
    os.chmod(path, 0o640)
    with pytest.raises(RuntimeError), lmzip.open(path, "at", **coding) as file:  # noqa: PT012
        file.write("not this")
        raise RuntimeError
    assert path.read_bytes() == packed * 3
    with lmzip.open(path, "at", **coding) as file:
        file.write("and this")
    assert path.stat().st_mode & 0o777 == 0o640
    with lmzip.open(path, "rt", model=coding["model"]) as file:
        assert file.read() == TEXT.decode() * 3 + "and this"
    assert [entry.name for entry in tmp_path.iterdir()] == ["log.lmz"]


def test_what_is_no_archive_behind_archives_is_passed_over(coding, packed, caplog):
    for junk in (b"\0" * 9, b"\x89LN", b"x"):
        caplog.clear()
        file = lmzip.LmzipFile(io.BytesIO(packed * 2 + junk), model=coding["model"])
        with caplog.at_level(logging.WARNING, "lmzip"):
            assert file.seek(-5, io.SEEK_END) == 2 * len(TEXT) - 5
            assert file.read() == TEXT[-5:]
        assert "not an lmzip archive; it was ignored" in caplog.text
        file.seek(0)
        assert file.read() == TEXT * 2
    damaged = bytearray(packed * 2)
    damaged[len(packed) + len(packed) // 2] ^= 1
    file = lmzip.LmzipFile(io.BytesIO(bytes(damaged) + b"x"), model=coding["model"])
    assert file.read(len(TEXT)) == TEXT
    with pytest.raises(lmzip.CorruptError):
        file.read()


def test_descriptors(tmp_path, coding, packed):
    path = tmp_path / "a.lmz"
    path.write_bytes(packed)
    with lmzip.open(path, model=coding["model"]) as file:
        assert os.fstat(file.fileno()).st_size == len(packed)
    with pytest.raises(ValueError, match="closed"):
        file.fileno()
    with (
        lmzip.open(tmp_path / "new", "w", **coding) as file,
        pytest.raises(io.UnsupportedOperation),
    ):
        file.fileno()
    with open(tmp_path / "raw", "wb") as raw, lmzip.open(raw, "w", **coding) as file:
        assert file.fileno() == raw.fileno()


@pytest.mark.parametrize("kind", [lmzip.LmzipFile, lmzip.LmzipCompressor, lmzip.LmzipDecompressor])
def test_nothing_is_pickled(coding, packed, kind):
    made = kind(io.BytesIO(packed)) if kind is lmzip.LmzipFile else kind()
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(made)


@pytest.mark.parametrize("size", [1, 100, 699, 700, 701, 5000])
def test_pieces(coding, packed, size):
    compressor = lmzip.LmzipCompressor(**coding)
    parts = [compressor.compress(TEXT[i : i + size]) for i in range(0, len(TEXT), size)]
    archive = b"".join([*parts, compressor.flush()])
    assert lmzip.decompress(archive, model=coding["model"]) == TEXT
    # The same blocks as in the archive of all at once, whose header also says how long they are.
    assert len(packed) - len(archive) in range(4)
    assert sum(map(len, parts)) > len(archive) // 2 or size > len(TEXT)
    for call in (compressor.flush, lambda: compressor.compress(b"x")):
        with pytest.raises(ValueError, match="flushed"):
            call()
    if size == 1:
        archive = archive[:]
    decompressor = lmzip.LmzipDecompressor(model=coding["model"])
    found = b""
    for i in range(0, len(archive), size):
        assert not decompressor.eof
        found += decompressor.decompress(archive[i : i + size])
    assert found == TEXT and decompressor.eof and not decompressor.needs_input
    assert decompressor.unused_data == b""
    with pytest.raises(EOFError):
        decompressor.decompress(b"")


@pytest.mark.parametrize("text", [b"", b"short", TEXT])
def test_limits_and_leftovers(coding, text):
    archive = lmzip.compress(text, **coding)
    decompressor = lmzip.LmzipDecompressor(model=coding["model"])
    assert decompressor.needs_input and not decompressor.unused_data
    found = decompressor.decompress(archive + b"behind", max_length=7)
    while not decompressor.eof:
        assert not decompressor.needs_input
        part = decompressor.decompress(b"", max_length=7)
        assert len(part) <= 7
        found += part
    assert found == text and decompressor.unused_data == b"behind"
    cut = lmzip.LmzipDecompressor(model=coding["model"])
    cut.decompress(archive[:-1])
    assert cut.needs_input and not cut.eof
    damaged = bytearray(archive)
    damaged[-1] ^= 1
    with pytest.raises(lmzip.FormatError):
        lmzip.LmzipDecompressor(model=coding["model"]).decompress(damaged)


def test_tarfile(tmp_path, coding):
    path = tmp_path / "notes.tar.lmz"
    with lmzip.open(path, "wb", **coding) as file, tarfile.open(fileobj=file, mode="w|") as tar:
        for name in ("a.txt", "b.txt"):
            info = tarfile.TarInfo(name)
            info.size = len(TEXT)
            tar.addfile(info, io.BytesIO(TEXT))
    with lmzip.open(path, model=coding["model"]) as file, tarfile.open(fileobj=file) as tar:
        assert tar.getnames() == ["a.txt", "b.txt"]
        assert tar.extractfile("b.txt").read() == TEXT


def test_pandas(tmp_path, coding):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"n": range(30), "words": ["some words"] * 30})
    path = tmp_path / "table.csv.lmz"
    with lmzip.open(path, "wt", newline="", **coding) as file:
        frame.to_csv(file, index=False)
    for mode in ("rt", "rb"):
        with lmzip.open(path, mode, model=coding["model"]) as file:
            assert pandas.read_csv(file).equals(frame)


def test_fsspec(tmp_path, packed, tiny_home, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setenv("LMZIP_HOME", str(tiny_home))
    lmzip.register_fsspec()
    path = tmp_path / "notes.lmz"
    path.write_bytes(packed)
    with fsspec.open(path, "rt", compression="infer", newline="") as file:
        assert file.read() == TEXT.decode()


def test_text_wrappers(coding, packed):
    with io.TextIOWrapper(lmzip.open(io.BytesIO(packed), model=coding["model"]), "ascii") as file:
        assert list(file) == TEXT.decode().splitlines(keepends=True)
