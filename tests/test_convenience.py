"""What a user would expect of a compressor besides compressing."""

from __future__ import annotations

import io
import json
import lzma
import os

import pytest

import lmzip as api
from lmzip.files.sparse import SparseWriter
from lmzip.measure import find_documents

from .test_cli import terminal

TEXT = b"A few words that a model can read, and a few words more.\n" * 4


@pytest.fixture
def note(tmp_path):
    (tmp_path / "note").write_bytes(TEXT)
    return tmp_path / "note"


def test_dash_d_of_a_name_without_the_suffix(lmzip, note, tmp_path):
    assert lmzip("--rm", "note").returncode == 0
    assert lmzip("-l", "note").returncode == 0
    assert lmzip("-t", "note").returncode == 0
    assert lmzip("-d", "note").returncode == 0
    assert note.read_bytes() == TEXT
    assert b"unknown suffix" in lmzip("-d", "note").stderr
    assert b"nothing: No such file" in lmzip("-d", "nothing", "-o", "x").stderr


def test_help_where_nobody_says_what_to_do(tiny_home, tmp_path):
    ours, theirs = os.openpty()
    try:
        shown, code = terminal([], tiny_home, cwd=tmp_path, stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    assert code == 0 and b"Usage: lmzip" in shown and b"LMZIP_MODEL" in shown


def test_a_level_on_the_command_line_beats_the_environment(lmzip, note):
    packed = lmzip("-c", "-1", "note", LMZIP_MODEL="lmzip-1m")
    note.with_name("x.lmz").write_bytes(packed.stdout)
    assert b"lmzip-3m" in lmzip("-l", "x.lmz").stdout
    packed = lmzip("-c", "-1", "-m", "tiny", "note", LMZIP_MODEL="lmzip-1m")
    note.with_name("x.lmz").write_bytes(packed.stdout)
    assert b"tiny" in lmzip("-l", "x.lmz").stdout
    packed = lmzip("-c", "note", LMZIP_MODEL="lmzip-1m")
    note.with_name("x.lmz").write_bytes(packed.stdout)
    assert b"lmzip-1m" in lmzip("-l", "x.lmz").stdout


def test_wrong_values_of_the_environment_are_named_as_such(lmzip, note):
    for name, value in (("LMZIP_THREADS", "many"), ("LMZIP_OFFLINE", "perhaps")):
        run = lmzip("-c", "note", **{name: value})
        assert run.returncode == 2
        assert run.stderr.startswith(f"lmzip: {name}: ".encode()), run.stderr
        assert b"--" not in run.stderr.partition(b";")[0]


@pytest.mark.parametrize("command", ["compare", "measure"])
def test_levels_side_by_side(lmzip, note, command):
    words = ["--no-compressors"] if command == "compare" else []
    run = lmzip(command, "-q", "-1", "-2", "note", "--json", *words)
    assert run.returncode == 0, run.stderr
    if command == "compare":
        names = [m["model"] for m in json.loads(run.stdout)["methods"]]
    else:
        names = [json.loads(row)["model"] for row in run.stdout.splitlines()]
    assert sorted(names) == ["lmzip-3m -1", "lmzip-3m -2"]
    assert b"lmzip-3m -1" not in lmzip(command, "-q", "-1", "note", *words).stdout


def test_an_archive_that_needs_a_file_says_so(lmzip, note):
    note.with_name("old").write_bytes(TEXT * 3)
    packed = lmzip("-c", "--given", "old", "--given-always", "note")
    note.with_name("x.lmz").write_bytes(packed.stdout)
    assert b"needs --given" in lmzip("-l", "x.lmz").stdout
    assert b"which decoding needs (--given FILE" in lmzip("info", "x.lmz").stdout


def test_a_set_that_was_made_here(lmzip, tmp_path):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a").write_bytes(TEXT)
    assert lmzip("corpora", "make", "--name", "my", "texts").returncode == 0
    run = lmzip("measure", "-q", "--json", "corpus:my")
    assert run.returncode == 0 and b"my/a" in run.stdout, run.stderr


def test_endings_of_rows(tmp_path):
    rows = b"".join(json.dumps({"text": f"row {i}"}).encode() + b"\n" for i in range(3))
    import bz2

    for name, data in (
        ("A.JSONL", rows), ("b.jsonl.xz", lzma.compress(rows)),
        ("c.ndjson.BZ2", bz2.compress(rows)),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(data)
        found = find_documents([str(tmp_path / name)], field="text")
        assert [d.read() for d in found] == [b"row 0", b"row 1", b"row 2"]
        if name[0] != "A":
            (tmp_path / name).write_bytes(data[:-9])
            with pytest.raises(api.UsageError, match="damaged"):
                list(find_documents([str(tmp_path / name)], field="text"))
    (tmp_path / "d.txt").write_bytes(rows)
    with pytest.raises(api.UsageError, match=r"\*\.json \("):
        find_documents([str(tmp_path / "d.txt")], field="text")


ARRAY = b' \n[{"text": "one"}, {"text":\n"two"}, 3]'


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.json", ARRAY), ("a.JSON.xz", lzma.compress(ARRAY)),
        ("lines.json", b'{"text": "one"}\n\n{"text": "two"}\n{"n": 3}'),
    ],
)  # fmt: skip
def test_rows_of_arrays(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    first, second, third = find_documents([str(tmp_path / name)], field="text")
    assert (first.read(), second.read()) == (b"one", b"two")
    with pytest.raises(api.UsageError, match="no text in a field"):
        third.read()
    (tmp_path / "b.json").write_bytes(b'[{"text": "one"}')
    with pytest.raises(api.UsageError, match=r"b\.json: not JSON"):
        find_documents([str(tmp_path / "b.json")], field="text")


def test_rows_of_archives(lmzip, tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(b'{"text": "one"}\n{"text": "two two two"}\n')
    assert lmzip("rows.jsonl").returncode == 0
    words = ("measure", "-q", "--json", "--field", "text")
    plain, packed = lmzip(*words, "rows.jsonl"), lmzip(*words, "rows.jsonl.lmz")
    assert packed.returncode == 0, packed.stderr
    sizes = [[json.loads(row)["archive_bytes"] for row in r.stdout.splitlines()]
             for r in (plain, packed)]  # fmt: skip
    assert sizes[0] == sizes[1] and len(sizes[0]) == 3
    (tmp_path / "bad.jsonl.lmz").write_bytes(b"no archive")
    result = lmzip(*words, "bad.jsonl.lmz")
    assert result.returncode == 1 and b"bad.jsonl.lmz: not an lmzip archive" in result.stderr
    with pytest.raises(api.UsageError, match="cannot be read here"):
        find_documents([str(tmp_path / "rows.jsonl.lmz")], field="text")


@pytest.mark.parametrize("chunk", [1000, 4096, 5000, 1 << 20])
@pytest.mark.parametrize(
    "data",
    [
        b"", b"a" * 10_000, bytes(100_000), b"a" + bytes(50_000) + b"b" * 5000 + bytes(4095),
        bytes(8192) + b"x", b"x" * 4096 + bytes(4096) + b"y", bytes(3) + b"z" + bytes(40_961),
    ],
)  # fmt: skip
def test_holes(tmp_path, data, chunk):
    with open(tmp_path / "x", "w+b") as file:
        sparse = SparseWriter(file)
        for start in range(0, len(data), chunk):
            assert sparse.write(data[start : start + chunk]) == len(data[start : start + chunk])
        sparse.finish()
    assert (tmp_path / "x").read_bytes() == data


def test_zeros_take_no_room(lmzip, tmp_path, tiny_models):
    data = b"begin" + bytes(4 << 20) + b"end"
    (tmp_path / "z.lmz").write_bytes(api.compress(data, model=tiny_models))
    assert lmzip("-d", "z.lmz").returncode == 0
    assert (tmp_path / "z").read_bytes() == data
    if (tmp_path / "z").stat().st_blocks * 512 > len(data) // 2:
        pytest.skip("this file system has no holes")
    out = io.BytesIO(lmzip("-dc", "z.lmz").stdout)
    assert out.getvalue() == data


def test_how_much_is_done(tmp_path, tiny_models):
    """Decoding knows the whole from the index; pairs and complexities count all their codings."""
    from lmzip.cli.inputs import contents_inside
    from lmzip.cli.pair import _on_and_on
    from lmzip.complexity.coders import XzCoder
    from lmzip.complexity.pairs import CODINGS_OF_EACH, pair_complexity

    packed = api.compress(TEXT, model=tiny_models)
    for data, size in ((packed * 2, 2 * len(TEXT)), (packed[:-1], None), (b"none", None)):
        (tmp_path / "x").write_bytes(data)
        with open(tmp_path / "x", "rb") as file:
            assert contents_inside(file) == size
            assert file.read() == data
    seen = []
    both = _on_and_on(lambda *done: seen.append(done))
    for step in ((100, 10), (200, 20), (50, 9), (70, 12)):
        both(*step)
    assert seen == [(100, 10), (200, 20), (250, 29), (270, 32)]
    done = []
    pair_complexity(XzCoder(), b"abc", b"defgh", progress=done.append)
    assert done == sorted(done) and done[-1] == CODINGS_OF_EACH * 8 and len(done) == 6
