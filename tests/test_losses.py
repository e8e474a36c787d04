"""Nothing that is written or read may be lost with exit code 0 (standard streams, raw files)."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import lmzip
from lmzip.files import append_line, read_up_to, write_all

FULL = Path("/dev/full")
TEXT = b"".join(b"Line %d of a text to lose a part of.\n" % (i * 7919 % 1000) for i in range(3000))


@pytest.fixture
def shell(tiny_home, tmp_path):
    """Run a line of a shell, in which `lmzip` is the command, in an empty folder."""
    program = tmp_path / "bin" / "lmzip"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lmzip "$@"\n')
    program.chmod(0o755)
    folder = tmp_path / "folder"
    folder.mkdir()

    def run(line: str, **extra: str) -> subprocess.CompletedProcess[bytes]:
        environment = os.environ | {
            "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
            "LMZIP_HOME": str(tiny_home),
            "LMZIP_MODEL": "tiny",
            "LMZIP_OFFLINE": "1",
            "LMZIP_THREADS": "1",
            **extra,
        }
        return subprocess.run(
            ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, check=False,
            timeout=120,
        )  # fmt: skip

    run.folder = folder
    return run


@pytest.fixture(scope="session")
def packed(tiny_models):
    return lmzip.compress(TEXT, model=tiny_models)


UNBUFFERED = pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])


@UNBUFFERED
def test_a_limit_of_file_size_is_an_error(shell, packed, unbuffered):
    (shell.folder / "big.lmz").write_bytes(packed)
    result = shell("ulimit -f 16; exec lmzip -dc big.lmz > out", PYTHONUNBUFFERED=unbuffered)
    assert result.returncode == 1
    assert result.stderr == b"lmzip: standard output: File too large\n"
    result = shell("ulimit -f 16; exec lmzip -d big.lmz", PYTHONUNBUFFERED=unbuffered)
    assert result.returncode == 1
    assert b"File too large" in result.stderr
    assert not (shell.folder / "big").exists()


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
@UNBUFFERED
@pytest.mark.parametrize(
    "words",
    [
        "-c note.txt", "-dc note.txt.lmz", "-l note.txt.lmz", "info note.txt.lmz", "--help",
        "--version", "models list", "models info tiny", "corpora list", "corpora make f -o -",
        "measure -q note.txt", "measure -q --json note.txt", "compare -q --no-compressors note.txt",
        "complexity -q --no-controls --no-decode note.txt note.txt",
        "distance -q --coder xz note.txt other.txt", "pair note.txt other.txt -o -",
        "schemes note.txt --help", "scaling --help",
    ],
)  # fmt: skip
def test_a_full_disk_or_a_closed_output_is_an_error(shell, words, unbuffered):
    (shell.folder / "note.txt").write_bytes(TEXT[:300])
    (shell.folder / "other.txt").write_bytes(TEXT[300:700])
    (shell.folder / "f").mkdir()
    (shell.folder / "f" / "a.txt").write_bytes(b"a")
    if ".lmz" in words:
        assert shell("lmzip note.txt").returncode == 0
    for end, what in ((">/dev/full", b"No space left on device"), (">&-", b"is closed")):
        result = shell(f"lmzip {words} {end}", PYTHONUNBUFFERED=unbuffered)
        assert result.returncode in (1, 2), end
        assert what in result.stderr.splitlines()[-1], result.stderr
        assert b"Traceback" not in result.stderr and b"Exception ignored" not in result.stderr


def test_who_prints_nothing_needs_no_output_and_no_error_output(shell):
    (shell.folder / "note.txt").write_bytes(TEXT[:300])
    assert shell("lmzip note.txt >&-").returncode == 0
    result = shell("lmzip -t -v note.txt.lmz 2>/dev/full")
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


@UNBUFFERED
def test_a_pipe_that_does_not_block_gets_everything(shell, packed, unbuffered):
    (shell.folder / "big.lmz").write_bytes(packed)
    program = (
        "import os, subprocess, sys, time\n"
        "r, w = os.pipe(); os.set_blocking(w, False)\n"
        "p = subprocess.Popen(['lmzip', '-dc', 'big.lmz'], stdout=w); os.close(w)\n"
        "time.sleep(2)\n"
        "n = 0\n"
        "while part := os.read(r, 65536): n += len(part)\n"
        "print(n, p.wait())\n"
    )
    (shell.folder / "slow.py").write_text(program)
    result = shell(f'"{sys.executable}" slow.py', PYTHONUNBUFFERED=unbuffered)
    assert result.stdout == f"{len(TEXT)} 0\n".encode(), result.stderr


@pytest.mark.parametrize("words", ["-dc", "pair - other.txt -o pair.lmz && lmzip -dc pair.lmz"])
def test_an_input_that_does_not_block_is_waited_for(shell, packed, words):
    part = TEXT[:400]
    (shell.folder / "other.txt").write_bytes(b"")
    sent = part if words.startswith("pair") else packed
    reader, writer = os.pipe()
    os.set_blocking(reader, False)

    def feed() -> None:
        for i in range(2):
            time.sleep(1)
            os.write(writer, sent[i * len(sent) // 2 : (i + 1) * len(sent) // 2])
        os.close(writer)

    thread = threading.Thread(target=feed)
    thread.start()
    result = _with_input(shell, words, reader)
    thread.join()
    os.close(reader)
    assert result.returncode == 0, result.stderr
    assert result.stdout == (part if words.startswith("pair") else TEXT)


def _with_input(shell, words, reader):
    saved = os.dup(0)
    os.dup2(reader, 0)
    try:
        return shell(f"lmzip {words}")
    finally:
        os.dup2(saved, 0)
        os.close(saved)


class Dribble(io.RawIOBase):
    """A raw file that takes and gives a few bytes at a time."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.position = 0

    def readable(self):
        return True

    def writable(self):
        return True

    def seekable(self):
        return True

    def seek(self, offset, whence=0):
        self.position = offset + {0: 0, 1: self.position, 2: len(self.data)}[whence]
        return self.position

    def tell(self):
        return self.position

    def write(self, data):
        part = bytes(data)[:7]
        self.data += part
        return len(part)

    def readinto(self, buffer):
        part = self.data[self.position : self.position + min(3, len(buffer))]
        buffer[: len(part)] = part
        self.position += len(part)
        return len(part)


def test_raw_file_objects_are_written_and_read_whole(tiny_models):
    target = Dribble()
    with lmzip.open(target, "wb", model=tiny_models) as file:
        file.write(TEXT)
    assert lmzip.decompress(bytes(target.data), model=tiny_models) == TEXT
    with lmzip.open(Dribble(bytes(target.data)), model=tiny_models) as file:
        assert file.read() == TEXT


def test_raw_files_of_the_system(tmp_path, tiny_models):
    path = tmp_path / "a.lmz"
    with open(path, "wb", buffering=0) as raw, lmzip.open(raw, "wb", model=tiny_models) as file:
        file.write(TEXT)
    with open(path, "rb", buffering=0) as raw, lmzip.open(raw, model=tiny_models) as file:
        assert file.read() == TEXT


def test_who_takes_nothing_is_an_error():
    class Nothing(io.RawIOBase):
        def writable(self):
            return True

        def write(self, data):
            return 0

    with pytest.raises(OSError, match="takes no more"):
        write_all(Nothing(), b"abc")
    assert read_up_to(Dribble(TEXT), 1000) == TEXT[:1000]
    assert read_up_to(Dribble(TEXT)) == TEXT


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_a_line_is_appended_whole_or_not_at_all(shell, tmp_path):
    """A limit on the file's size cuts the line; what was there before is what is there after."""
    path = shell.folder / "kept.jsonl"
    path.write_bytes(b"x" * 1000 + b"\n")
    program = f"from lmzip.files import append_line; append_line({str(path)!r}, b'y' * 4000)"
    result = shell(f'ulimit -f 2; "{sys.executable}" -c "{program}"')
    assert b"File too large" in result.stderr
    assert path.read_bytes() == b"x" * 1000 + b"\n"
    append_line(path, b"z\n")
    assert path.read_bytes() == b"x" * 1000 + b"\nz\n"


def test_results_of_a_run_that_filled_the_disk_can_be_read(shell):
    for i in range(3):
        (shell.folder / f"{i}.txt").write_bytes(TEXT[i * 100 : i * 100 + 100])
    line = "lmzip measure -q --json --results kept.jsonl *.txt"
    assert shell(f"ulimit -f 2; exec {line} >/dev/null").returncode == 1
    result = shell(line)
    assert result.returncode == 0, result.stderr
    rows = [json.loads(row) for row in result.stdout.splitlines()]
    assert [row["document"] for row in rows if not row["pooled"]] == ["0.txt", "1.txt", "2.txt"]
