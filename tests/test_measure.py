"""`lmzip measure`: what it reports is what files take."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import pytest

import lmzip
from lmzip.codec import CodingParameters
from lmzip.errors import CorruptError, UsageError
from lmzip.measure import Archives, ResultStore, find_documents, measure, pool

LINE = "The quick brown fox jumps over the lazy dog, and the dog did not mind number %d at all.\n"
SMALL = CodingParameters(window=12, stream_tokens=20, sinks=2, block_bytes=300)


def lmzip_command(*arguments, **options):
    command = [sys.executable, "-m", "lmzip", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    (folder / "sub").mkdir(parents=True)
    (folder / ".hidden").write_text("not this")
    (folder / "b.txt").write_text("".join(LINE % i for i in range(9)))
    (folder / "a.txt").write_text(LINE % 77)
    (folder / "sub" / "c.txt").write_text(LINE % 5 * 3)
    (folder / "empty").write_text("")
    return folder


def measured(corpus, model, **options):
    method = Archives(model, SMALL, memory_limit=1 << 30)
    return list(measure(find_documents([str(corpus)]), method, **options))


def test_documents(corpus, tmp_path):
    names = [d.name.removeprefix(str(corpus) + "/") for d in find_documents([str(corpus)])]
    assert names == ["a.txt", "b.txt", "empty", "sub/c.txt"]
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "one"}\n\n{"text": "z\\u00e9ro", "n": 2}\n')
    documents = find_documents([str(rows)], field="text")
    assert [(d.name, d.read()) for d in documents] == [
        (f"{rows}:1", b"one"),
        (f"{rows}:3", "zéro".encode()),
    ]
    assert find_documents([str(rows)])[0].read() == rows.read_bytes()
    rows.write_text('{"text": 3}\n')
    for paths, field in ([str(rows)], "text"), ([str(tmp_path / "none")], None), ([], None):
        with pytest.raises(UsageError):
            find_documents(paths, field=field)


def test_numbers_are_file_sizes(corpus, tiny_models):
    model = tiny_models.for_compression()
    results = measured(corpus, model, decode=True)
    assert [m.document.rsplit("/")[-1] for m in results] == ["a.txt", "b.txt", "c.txt"]
    for m in results:
        with open(m.document, "rb") as file:
            data = file.read()
        blob = lmzip.compress(data, model=tiny_models, parameters=SMALL)
        assert (m.content_bytes, m.archive_bytes) == (len(data), len(blob))
        assert m.bits_per_byte == 8 * len(blob) / len(data)
        blocks = -(-len(data) // 200)
        assert m.ideal_bits <= 8 * m.payload_bytes + 8
        assert 8 * m.payload_bytes <= m.ideal_bits * 1.0005 + 64 * blocks
        assert m.decompress_s is not None
    total = pool(results)
    assert total.documents == 3
    assert total.archive_bytes == sum(m.archive_bytes for m in results)
    assert total.two_part_bits_per_byte > total.bits_per_byte


def test_the_store_saves_work(corpus, tiny_models, tmp_path):
    model, path = tiny_models.for_compression(), tmp_path / "results.jsonl"
    first = measured(corpus, model, store=ResultStore(path))
    lines = path.read_bytes()
    assert measured(corpus, model, store=ResultStore(path)) == first
    assert path.read_bytes() == lines
    path.write_bytes(lines[:-20])  # killed while writing
    again = measured(corpus, model, store=ResultStore(path))
    assert [m.archive_bytes for m in again] == [m.archive_bytes for m in first]
    assert len(path.read_bytes().splitlines()) == len(first)
    decoded = measured(corpus, model, store=ResultStore(path), decode=True)
    assert all(m.decompress_s is not None for m in decoded)
    path.write_bytes(b'{"document": 1}\n')
    with pytest.raises(CorruptError, match="line 1"):
        ResultStore(path)


def test_the_command(corpus, tmp_path):
    results = tmp_path / "results.jsonl"
    table = lmzip_command("measure", corpus, "--decode", "--results", results)
    assert table.returncode == 0, table.stderr
    assert "| all 3 " in table.stdout
    assert "bits/byte" in table.stdout
    rows = lmzip_command("measure", corpus, "--results", results, "--json").stdout.splitlines()
    *sizes, total = [json.loads(row)["content_bytes"] for row in rows]
    assert sizes == [len(LINE % 77), sum(len(LINE % i) for i in range(9)), len(LINE % 5 * 3)]
    assert total == sum(sizes)
    assert [json.loads(row)["pooled"] for row in rows] == [False, False, False, True]
    archive = lmzip_command(corpus / "b.txt")
    assert archive.returncode == 0, archive.stderr
    assert json.loads(rows[1])["archive_bytes"] == (corpus / "b.txt.lmz").stat().st_size


def test_a_store_that_holds_some(corpus, tmp_path):
    results = tmp_path / "results.jsonl"
    one = lmzip_command("measure", corpus / "a.txt", "--results", results)
    assert one.returncode == 0, one.stderr
    (corpus / "copy.txt").write_bytes((corpus / "a.txt").read_bytes())
    both = lmzip_command("measure", corpus / "copy.txt", corpus / "b.txt", "--results", results)
    assert both.returncode == 0, both.stderr
    assert "copy.txt" in both.stdout and "| all 2 " in both.stdout


MODELS = ("-m", "lmzip-1m", "-m", "lmzip-3m", "-m", "lmzip-1m")


@pytest.mark.parametrize("command", ["measure", "compare"])
@pytest.mark.parametrize("options", [(), ("--window", 100, "--solid"), ("-2",)])
def test_sizes_are_those_of_lmzip_with_the_same_options(corpus, command, options):
    path = corpus / "b.txt"
    path.write_text("".join(LINE % i for i in range(400)))
    arguments = ("--no-compressors",) if command == "compare" else ()
    run = lmzip_command(command, path, *MODELS, *options, "--json", *arguments)
    assert run.returncode == 0, run.stderr
    if command == "compare":
        rows = json.loads(run.stdout)["methods"]
    else:
        rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert sorted(row["model"] for row in rows) == ["lmzip-1m", "lmzip-3m"]
    for row in rows:
        plain = lmzip_command("-k", "-f", "-m", row["model"], *options, path)
        assert plain.returncode == 0, plain.stderr
        assert row["archive_bytes"] == path.with_name("b.txt.lmz").stat().st_size
    assert (rows[0]["settings"] == rows[1]["settings"]) == (options == ("-2",))


def test_a_store_never_takes_what_is_not_its_own(corpus, tmp_path):
    precious = tmp_path / "precious.json"
    precious.write_text('{"precious": 1}')
    refused = lmzip_command("measure", corpus / "a.txt", "--results", precious)
    assert refused.returncode == 1
    assert "not a file of measurements" in refused.stderr
    assert precious.read_text() == '{"precious": 1}'
    nowhere = lmzip_command("measure", corpus / "a.txt", "--results", tmp_path / "no" / "where")
    assert (nowhere.returncode, nowhere.stdout) == (2, "")


def test_wrong_inputs(corpus, tmp_path):
    assert lmzip_command("measure", corpus / "a.txt", "--window", 0).returncode == 2
    missing = lmzip_command("measure", tmp_path / "none")
    assert missing.returncode == 2
    assert missing.stderr.count("\n") == 1
    nothing = lmzip_command("measure", corpus / "empty")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "empty" in nothing.stderr
    model = lmzip_command("measure", corpus / "a.txt", "-m", "nobody-knows-this", "--offline")
    assert model.returncode == 1
    assert "nobody-knows-this" in model.stderr
    assert lmzip_command("measure").returncode == 2


def test_a_killed_run_goes_on(tmp_path):
    folder, results = tmp_path / "many", tmp_path / "results.jsonl"
    folder.mkdir()
    for i in range(24):
        (folder / f"{i:02}.txt").write_text("".join(LINE % (i * j) for j in range(30)))
    command = [sys.executable, "-m", "lmzip", "measure", str(folder), "--results", str(results)]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while not results.exists() or results.read_bytes().count(b"\n") < 3:
        assert run.poll() is None
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    before = results.read_bytes()
    rows = lmzip_command("measure", folder, "--results", results, "--json")
    assert rows.returncode == 0
    whole = before[: before.rfind(b"\n") + 1]
    assert results.read_bytes().startswith(whole)
    fresh = lmzip_command("measure", folder, "--json").stdout.splitlines()
    keys = ("document", "archive_bytes", "ideal_bits", "tokens")
    assert [[json.loads(row)[k] for k in keys] for row in rows.stdout.splitlines()] == [
        [json.loads(row)[k] for k in keys] for row in fresh
    ]
    resumed = [json.loads(row)["resumed"] for row in rows.stdout.splitlines()]
    assert True in resumed[:-1] and False in resumed[:-1] and resumed[-1]
