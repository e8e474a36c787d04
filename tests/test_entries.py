"""One bad entry, one unreadable file, one empty name: what is not concerned goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

GOLDEN_MODEL = "tiny.lmzpack"
TEXT = b"A few words that a model can read, and a few words more.\n" * 4


@pytest.fixture
def home(tiny_home, tmp_path):
    folder = tmp_path / "home"
    shutil.copytree(tiny_home, folder)
    (tmp_path / "a.txt").write_bytes(TEXT)
    (tmp_path / "b.txt").write_bytes(TEXT[::-1])
    return folder


BAD = {
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "something else": lambda path: path.write_bytes(b"not a pack"),
    "an empty file": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("bad", BAD)
def test_one_bad_model_stops_nothing(lmzip, home, tmp_path, bad):
    model = home / "models" / GOLDEN_MODEL
    packed = lmzip("-c", "a.txt", LMZIP_HOME=str(home))
    built_in = lmzip("-c", "-3", "a.txt", "-m", "lmzip-3m", LMZIP_HOME=str(home))
    (tmp_path / "a.lmz").write_bytes(packed.stdout)
    (tmp_path / "b.lmz").write_bytes(built_in.stdout)
    BAD[bad](model.with_name("aaa.lmzpack"))
    found = lmzip("-dc", "a.lmz", "b.lmz", LMZIP_HOME=str(home))
    assert (found.returncode, found.stdout) == (0, TEXT + TEXT)
    assert found.stderr.count(b"skipped") == found.stderr.count(b"\n") <= 1
    listed = lmzip("models", "list", LMZIP_HOME=str(home))
    assert listed.returncode == 0 and b"tiny" in listed.stdout and b"lmzip-3m" in listed.stdout
    assert listed.stderr.count(b"aaa.lmzpack") == (bad in ("a dangling link", "a folder", "a pipe"))


@pytest.mark.parametrize("bad", ["a dangling link", "a folder", "something else"])
def test_one_bad_manifest_stops_nothing(lmzip, home, bad):
    (home / "corpora").mkdir()
    BAD[bad](home / "corpora" / "bad.toml")
    found = lmzip("corpora", "list", LMZIP_HOME=str(home))
    assert found.returncode == 0 and b"calgary" in found.stdout
    assert found.stderr.count(b"\n") == 1 and b"bad.toml" in found.stderr


def test_one_bad_name_stops_no_other_set(lmzip, home, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "x").write_bytes(b"x")
    assert lmzip("corpora", "make", "set").returncode == 0
    run = lmzip("corpora", "get", "nonsense", "set.toml", "--from", "set", LMZIP_HOME=str(home))
    assert run.returncode == 2 and b"nonsense" in run.stderr
    assert (home / "corpora" / "set" / "x").exists(), run.stderr


def powerless(words, folder, home):
    """Run the command as somebody to whom modes apply, even where that is root."""
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    if drop and shutil.which("setpriv") is None:
        pytest.skip("root is stopped by no mode, and there is no setpriv here")
    environment = os.environ | {"LMZIP_HOME": str(home), "LMZIP_MODEL": "tiny"}
    return subprocess.run(
        [*drop, sys.executable, "-m", "lmzip", *words], cwd=folder, env=environment,
        capture_output=True, check=False, timeout=120,
    )  # fmt: skip


def test_one_unreadable_file_stops_no_other(home, tmp_path):
    (tmp_path / "a.txt").chmod(0)
    for words in (["-k"], ["-c"]):
        run = powerless([*words, "a.txt", "b.txt"], tmp_path, home)
        assert run.returncode == 1
        assert run.stderr == b"lmzip: a.txt: Permission denied\n"
        assert run.stdout or (tmp_path / "b.txt.lmz").exists()
    (tmp_path / "b.txt.lmz").rename(tmp_path / "b.lmz")
    shutil.copy(tmp_path / "b.lmz", tmp_path / "a.lmz")
    (tmp_path / "a.lmz").chmod(0)
    for words in (["-t", "-v"], ["-l"], ["info"], ["-dc"]):
        run = powerless([*words, "a.lmz", "b.lmz"], tmp_path, home)
        assert run.returncode == 1 and b"a.lmz: Permission denied" in run.stderr, words
        assert b"b.lmz: OK" in run.stderr or run.stdout, words
    run = powerless(["measure", "-q", "a.txt", "b.txt", "--json"], tmp_path, home)
    assert run.returncode == 1 and b'"b.txt"' in run.stdout and b"Permission" in run.stderr


def test_an_output_that_cannot_be_read_is_written(home, tmp_path):
    (tmp_path / "o.lmz").write_bytes(b"")
    (tmp_path / "o.lmz").chmod(0o200)
    assert powerless(["-f", "-o", "o.lmz", "b.txt"], tmp_path, home).returncode == 0
    assert (tmp_path / "o.lmz").stat().st_size


def test_an_unreadable_model_stops_no_other(home, tmp_path):
    shutil.copy(home / "models" / GOLDEN_MODEL, home / "models" / "aaa.lmzpack")
    (home / "models" / "aaa.lmzpack").chmod(0)
    assert powerless(["a.txt"], tmp_path, home).returncode == 0
    run = powerless(["-dc", "a.txt.lmz"], tmp_path, home)
    assert (run.returncode, run.stdout) == (0, TEXT)
    assert run.stderr.count(b"Permission denied") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("measure", ""), ("compare", ""), ("distance", "", "a.txt"), ("-c", ""),
        ("-o", "", "a.txt"), ("complexity", "", "a.txt"), ("-c", "--given", "", "a.txt"),
        ("pair", "", "a.txt", "-o", "x"),
        ("pair", "a.txt", "a.txt", "-o", ""), ("models", "add", ""), ("corpora", "make", ""),
        ("corpora", "verify", "calgary", ""), ("measure", "a.txt", "--html", ""),
        ("measure", "a.txt", "--results", ""), ("measure", "a.txt", "-m", ""), ("info", ""),
        ("measure", "a.txt", "-m", "float:"), ("-c", "-m", "", "a.txt"), ("-l", ""),
        ("scaling", "", "a.txt"), ("schemes", ""), ("compare", "a.txt", "--plots", ""),
    ],
)  # fmt: skip
def test_an_empty_argument_is_no_folder(lmzip, home, tmp_path, words):
    before = sorted(os.listdir(tmp_path))
    run = lmzip(*words, LMZIP_HOME=str(home))
    assert run.returncode in (1, 2) and run.stdout == b""
    assert b"empty" in run.stderr and run.stderr.count(b"\n") == 1
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    "words",
    [
        ("measure", "-"), ("distance", "-", "a.txt"), ("complexity", "-", "a.txt"),
        ("measure", "a.txt", "--html", "-"), ("measure", "a.txt", "--per-token", "-"),
        ("distance", "a.txt", "b.txt", "--csv", "-"), ("-c", "--given", "-", "a.txt"),
        ("measure", "a.txt", "--results", "-"), ("models", "add", "-"), ("schemes", "-"),
        ("corpora", "make", "-"), ("info", "-"),
    ],
)  # fmt: skip
def test_a_dash_is_never_a_file(lmzip, home, tmp_path, words):
    run = lmzip(*words, LMZIP_HOME=str(home))
    assert run.returncode == 2 and run.stdout == b""
    assert b"./- " in run.stderr and run.stderr.count(b"\n") == 1
    assert not (tmp_path / "-").exists()
