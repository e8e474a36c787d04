"""The bytes that were read are the file, whatever the system said of its size beforehand."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lmzip
from lmzip.cli.inputs import read_first_block
from lmzip.corpora import make_manifest

LINE = b"One line of a log that somebody writes while it is read.\n"
BLOCK = 4096


def compress_while(tiny_home, folder, change, *words):
    """Compress `log` while it changes: `change` runs when the first bytes have been read."""
    program = f"""
import io, os, sys, lmzip.cli.inputs as inputs
old = inputs.open_input
class Changing(io.BufferedReader):
    done = False
    def read(self, size=-1):
        data = super().read(size)
        if not Changing.done:
            Changing.done = True
            {change}
        return data
import lmzip.cli.files as files
def opened(name, **options):
    return Changing(io.FileIO(name))
files.open_input = opened
from lmzip.cli.main import main
sys.argv = ["lmzip", "--block-size", "{BLOCK}", *{list(words)!r}]
main()
"""
    environment = os.environ | {"LMZIP_HOME": str(tiny_home), "LMZIP_MODEL": "tiny"}
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True,
        check=False, timeout=120,
    )  # fmt: skip


GROW = "open('log', 'ab').write(b'more' * 3000)"
SHRINK = "os.truncate('log', 100)"


@pytest.mark.parametrize("lines", [10, 400], ids=["one block", "many"])
@pytest.mark.parametrize("change", [GROW, SHRINK], ids=["grows", "shrinks"])
def test_a_file_that_changes_is_what_was_read(tiny_home, tiny_models, tmp_path, lines, change):
    (tmp_path / "log").write_bytes(LINE * lines)
    run = compress_while(tiny_home, tmp_path, change, "log")
    assert run.returncode == 0, run.stderr
    assert b"changed while it was read" in run.stderr and run.stderr.count(b"\n") == 1
    found = lmzip.decompress((tmp_path / "log.lmz").read_bytes(), model=tiny_models)
    assert found and (LINE * lines + b"more" * 3000).startswith(found)
    (tmp_path / "log.lmz").unlink()
    (tmp_path / "log").write_bytes(LINE * lines)
    Path.touch(tmp_path / "log")
    run = compress_while(tiny_home, tmp_path, change, "--rm", "log")
    assert run.returncode == 1 and (tmp_path / "log").exists()


@pytest.mark.skipif(not Path("/sys/kernel/mm").exists(), reason="no /sys here")
def test_files_of_sys_say_a_size_that_they_do_not_have(lmzip, tmp_path):
    found = [
        path
        for path in Path("/sys/kernel/mm").rglob("*")
        if path.is_file() and os.access(path, os.R_OK) and path.stat().st_size == 4096
    ]
    name = None
    for path in found:
        try:
            if 0 < len(path.read_bytes()) < 4096:
                name = str(path)
                break
        except OSError:
            continue
    if name is None:
        pytest.skip("no such file here")
    for words in ((name,), ("--block-size", "4k", name)):
        packed = lmzip("-c", *words)
        assert (packed.returncode, packed.stderr) == (0, b"")
        assert lmzip("-dc", stdin=packed.stdout).stdout == Path(name).read_bytes()


def test_the_size_is_known_only_where_all_was_read():
    for size, expected, known in (
        (10, 10, 10), (10, 4096, 10), (10, None, None), (5000, 10, None), (5000, 5000, None),
    ):  # fmt: skip
        source, found = read_first_block(io.BytesIO(b"x" * size), expected, BLOCK)
        assert found == known
        parts = []
        while part := source.read(100):
            parts.append(part)
        assert b"".join(parts) == b"x" * size


def test_a_manifest_holds_what_was_read(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"abc")
    real = os.stat

    def lying(path, *args, **options):
        found = real(path, *args, **options)
        if str(path).endswith("/a"):
            fields = list(found)
            fields[6] = 4096
            return os.stat_result(fields)
        return found

    monkeypatch.setattr(os, "stat", lying)
    assert make_manifest(tmp_path, "set").files[0].size_bytes == 3
