"""`lmzip corpora`: by exact output and exit code."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from lmzip.corpora import read_manifest

TEXTS = {"a.txt": b"An apple.\n", "sub/b.txt": b"A bee.\n" * 99, "empty": b""}


@pytest.fixture
def folder(tmp_path):
    for path, data in TEXTS.items():
        target = tmp_path / "texts" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return tmp_path / "texts"


@pytest.fixture
def command(tmp_path):
    environment = os.environ | {"LMZIP_HOME": str(tmp_path / "home")}
    environment.pop("LMZIP_CORPORA", None)
    environment.pop("LMZIP_OFFLINE", None)

    def run(*arguments, code=0, **extra):
        result = subprocess.run(
            [sys.executable, "-m", "lmzip", "corpora", *map(str, arguments)],
            capture_output=True, text=True, cwd=tmp_path, env=environment | extra,
        )  # fmt: skip
        assert result.returncode == code, result.stderr
        assert "Traceback" not in result.stderr
        return result

    return run


def test_the_command_lists(command, folder, tmp_path):
    lines = command("list").stdout.splitlines()
    rows = {line.split()[0]: re.split("  +", line) for line in lines}
    assert rows["canterbury"][1:3] == ["11", "2,810,784"]
    assert rows["canterbury"][-1] == "-"
    assert rows["python-stdlib"][-1] == "this machine"
    (tmp_path / "home" / "corpora" / "canterbury").mkdir(parents=True)
    lines = command("list").stdout.splitlines()
    (row,) = (line for line in lines if line.startswith("canterbury "))
    assert row.endswith(str(tmp_path / "home" / "corpora" / "canterbury"))


def test_the_command_makes_verifies_and_gets(command, folder, tmp_path):
    made = command("make", folder, "--name", "mine", "--licence", "own")
    assert made.stdout == "mine.toml: 3 files, 703 bytes\n"
    assert "already exists" in command("make", folder, "--name", "mine", code=1).stderr
    printed = command("make", folder, "--name", "mine", "--licence", "own", "-o", "-").stdout
    assert printed == (tmp_path / "mine.toml").read_text()
    assert "all verified" in command("verify", "mine.toml").stdout
    command("make", folder, "-o", folder / "in.toml")
    assert read_manifest(folder / "in.toml").files == read_manifest(tmp_path / "mine.toml").files
    (folder / "in.toml").unlink()
    got = command("get", "mine.toml", "--from", folder, LMZIP_OFFLINE="1")
    installed = tmp_path / "home" / "corpora" / "mine"
    assert got.stdout == f"mine: 3 files, 703 bytes in {installed}\n"
    assert (installed / "sub" / "b.txt").read_bytes() == TEXTS["sub/b.txt"]
    (row,) = (x for x in command("list").stdout.splitlines() if x.startswith("mine "))
    assert row.endswith(str(installed))
    assert "all verified" in command("verify", "mine").stdout
    (folder / "a.txt").write_text("changed")
    changed = command("verify", "mine.toml", code=1)
    assert changed.stdout == "a.txt: 7 bytes instead of 10\n"
    assert "1 of 3 files" in changed.stderr
    assert "all verified" in command("verify", "mine.toml", installed).stdout


def test_the_command_fails_clearly(command, tmp_path):
    offline = command("get", "enwik8", "text8", "--offline", code=1)
    assert offline.stderr.splitlines() == [
        "lmzip: enwik8 is not installed, and offline mode is on",
        "lmzip: text8 is not installed, and offline mode is on",
    ]
    for arguments in (
        ("get", "nobody"), ("verify", "nobody"), ("verify", "enwik8", tmp_path / "none"),
        ("make", tmp_path / "none"), ("make", tmp_path, "-o", "x.json"),
    ):  # fmt: skip
        assert command(*arguments, code=2).stderr.count("\n") == 1
    (tmp_path / "bad.toml").write_text("name = 1")
    assert "'name' must be" in command("verify", "bad.toml", code=1).stderr
    missing = command("verify", "enwik8", code=1)
    assert missing.stdout == "enwik8: missing\n"
    assert "lmzip corpora get enwik8" in missing.stderr


@pytest.mark.corpora
def test_the_command_finds_shared_texts(command, corpora):
    found = command("verify", "canterbury", code=1, LMZIP_CORPORA=str(corpora))
    assert found.stdout.splitlines() == [
        f"{name}: missing" for name in ("kennedy.xls", "ptt5", "sum")
    ]
