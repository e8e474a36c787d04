"""lmzip.open with pipes, bodies of HTTP responses, positions, odd paths, and nobody closing."""

from __future__ import annotations

import gc
import http.server
import io
import os
import threading
import urllib.request
import warnings

import pytest

import lmzip

TEXT = "".join(f"Line {i}: the model is asked again, and so on.\n" for i in range(40)).encode()


@pytest.fixture(scope="module")
def packed(tiny_models):
    parameters = lmzip.CodingParameters(window=32, stream_tokens=40, block_bytes=400)
    return lmzip.compress(TEXT, model=tiny_models, parameters=parameters)


def test_pipes(packed, tiny_models, tmp_path):
    reader, writer = os.pipe()
    thread = threading.Thread(target=lambda: (os.write(writer, packed), os.close(writer)))
    thread.start()
    with open(reader, "rb") as pipe, lmzip.open(pipe, model=tiny_models) as file:
        assert file.read(10) == TEXT[:10]
        file.seek(-5, io.SEEK_END)
        assert file.read() == TEXT[-5:]
    thread.join()
    os.mkfifo(tmp_path / "fifo")
    thread = threading.Thread(target=lambda: (tmp_path / "fifo").write_bytes(packed))
    thread.start()
    with lmzip.open(tmp_path / "fifo", model=tiny_models) as file:
        assert file.read() == TEXT
    thread.join()


def test_the_body_of_a_response(packed, tiny_models):
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(packed)

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/"
        with urllib.request.urlopen(url) as body, lmzip.open(body, model=tiny_models) as file:
            assert file.read() == TEXT
        thread.join()


def test_the_position_of_a_file_object_counts(packed, tiny_models):
    whole = io.BytesIO(b"something before" + packed)
    whole.seek(16)
    with lmzip.open(whole, model=tiny_models) as file:
        file.seek(1000)
        assert file.read(9) == TEXT[1000:1009]
        file.seek(0)
        assert file.read() == TEXT
    target = io.BytesIO(b"before")
    target.seek(6)
    with lmzip.open(target, "wb", model=tiny_models) as file:
        file.write(b"abc")
    assert target.getvalue().startswith(b"before\x89")


def test_paths_of_bytes_and_attributes(tmp_path, tiny_models):
    path = os.fsencode(tmp_path / "a.lmz")
    with lmzip.open(path, "wb", model=tiny_models) as file:
        assert (file.name, file.mode) == (os.fsdecode(path), "wb")
        file.write(TEXT)
        assert file.tell() == len(TEXT)
    with lmzip.open(path, model=tiny_models) as file:
        assert (file.name, file.mode) == (os.fsdecode(path), "rb")
        assert file.peek(3)[:3] == TEXT[:3] and file.tell() == 0
        assert file.read(3) == TEXT[:3]
        for whence in (3, -1):
            with pytest.raises(ValueError, match="whence"):
                file.seek(0, whence)
        assert file.seek(-1) == 0 and file.seek(len(TEXT) + 9) == len(TEXT) == file.tell()
    with open(path, "rb") as raw, lmzip.open(raw, model=tiny_models) as file:
        assert file.name == os.fsdecode(path)
    with lmzip.open(io.BytesIO(), "wb", model=tiny_models) as file:
        assert file.name == ""


@pytest.mark.parametrize("mode", ["rb", "wb"])
def test_nothing_works_behind_close(tmp_path, tiny_models, packed, mode):
    (tmp_path / "a.lmz").write_bytes(packed)
    file = lmzip.open(tmp_path / "a.lmz", mode, model=tiny_models)
    file.close()
    file.close()
    for call in (file.tell, file.read, file.peek, lambda: file.seek(0), lambda: file.write(b"x"),
                 file.readable, file.writable, file.seekable, file.readline):  # fmt: skip
        with pytest.raises(ValueError, match="closed"):
            call()


def test_what_cannot_be_written_is_known_at_once(tmp_path, tiny_models):
    for wrong, error in (
        (tmp_path / "no" / "a.lmz", FileNotFoundError), (tmp_path, IsADirectoryError),
        (None, TypeError), (5, TypeError), (object(), TypeError),
    ):  # fmt: skip
        for mode in ("wb", "wt"):
            with pytest.raises(error):
                lmzip.open(wrong, mode, model=tiny_models)
    for wrong in (None, object()):
        with pytest.raises(TypeError):
            lmzip.open(wrong, model=tiny_models)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["wb", "wt"])
def test_a_writer_that_nobody_closed_is_said(tmp_path, tiny_models, mode):
    file = lmzip.open(tmp_path / "a.lmz", mode, model=tiny_models)
    file.write("half" if "t" in mode else b"half")
    with pytest.warns(RuntimeWarning, match=r"a\.lmz: never closed"):  # noqa: PT031
        del file
        gc.collect()
    assert list(tmp_path.iterdir()) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with lmzip.open(tmp_path / "a.lmz", mode, model=tiny_models) as file:
            file.write("whole" if "t" in mode else b"whole")
        del file
        gc.collect()
