"""Names from files and archives cannot command the terminal, nor break lines or tables."""

from __future__ import annotations

import io
import os
import re

import pytest

import lmzip as api
from lmzip.cli.say import clean
from lmzip.format import read_header

EVIL = "e\x1b]0;owned\x07\x1b[31m\nvil\u202etxt"
TEXT = b"A few words that a model can read, and a few words more.\n" * 4
BAD = re.compile(rb"[\x00-\x09\x0b-\x1f\x7f]|\xe2\x80\xae|\xc2[\x80-\x9f]")


def test_clean():
    assert clean(EVIL) == r"e\x1b]0;owned\x07\x1b[31m\nvil\u202etxt"
    assert clean("Gr\u00fc\u00dfe.txt") == "Gr\u00fc\u00dfe.txt"


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["-v", EVIL], 1), (["-v", "-d", f"{EVIL}.lmz"], 1), (["-t", "-v", f"{EVIL}.lmz"], 1),
        (["-l", f"{EVIL}.lmz"], 2), (["info", f"{EVIL}.lmz"], None), (["-d", EVIL], 1),
        (["-t", EVIL], 1), (["-d", f"{EVIL}x"], 1), (["-c", "-m", EVIL, "note"], 1),
        (["measure", EVIL], None), (["measure", f"{EVIL}x"], 1), (["models", "info", EVIL], 1),
        (["complexity", "--no-controls", EVIL, "note"], None), (["-c", f"--{EVIL}"], 1),
        (["pair", "-v", EVIL, "note", "-o", f"{EVIL}.p"], 1), (["corpora", "get", EVIL], 1),
        (["-o", f"{EVIL}x/y", "note"], 1), (["compare", "note", "-c", EVIL], 1),
        (["distance", "--coder", "xz", EVIL, "note", "--plot", f"{EVIL}x/y.svg"], 1),
    ],
)  # fmt: skip
def test_file_names(lmzip, tmp_path, words, lines):
    (tmp_path / EVIL).write_bytes(TEXT)
    (tmp_path / "note").write_bytes(TEXT)
    packed = lmzip("-c", "note").stdout
    (tmp_path / f"{EVIL}.lmz").write_bytes(packed)
    if words[:2] == ["-v", "-d"]:
        (tmp_path / EVIL).unlink()
    if words[:1] == ["-v"] and len(words) == 2:
        (tmp_path / f"{EVIL}.lmz").unlink()
    run = lmzip(*words)
    shown = run.stdout + run.stderr
    assert b"vil" in shown and not BAD.search(shown), shown
    assert lines is None or shown.count(b"\n") == lines


def test_model_names_of_archives(lmzip, tmp_path, tiny_model):
    import dataclasses

    from lmzip.codec import OneModel

    named = dataclasses.replace(tiny_model, name="bad\x1b[2J\nname", identity=bytes(32))
    packed = api.compress(TEXT, model=OneModel(named))
    header, _ = read_header(io.BytesIO(packed))
    assert "\x1b" in header.model.name
    (tmp_path / "x.lmz").write_bytes(packed)
    for words in (["-l"], ["info"], ["-t"], ["-d"], ["-t", "-v"]):
        run = lmzip(*words, "x.lmz")
        shown = run.stdout + run.stderr
        assert not BAD.search(shown), shown
        if words[0] != "info":
            assert rb"bad\x1b[2J\nname" in shown


def test_names_of_temporary_files_are_not_shown(lmzip, tmp_path):
    (tmp_path / "note").write_bytes(TEXT)
    for words in (["-o", "/proc/x.lmz", "note"], ["-o", "/dev/full", "note"]):
        run = lmzip(*words)
        assert run.returncode == 1
        assert b".tmp" not in run.stderr and words[1].encode() in run.stderr, run.stderr
    assert sorted(os.listdir(tmp_path)) == ["note"]
