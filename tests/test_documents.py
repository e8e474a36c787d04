"""What can be measured: files, folders, globs, rows, sets of texts, data sets of a hub."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import subprocess
import sys
import sysconfig

import pytest
import zstandard

from lmzip.corpora import CorpusStore, make_manifest, manifest_text
from lmzip.errors import CorpusError, UsageError
from lmzip.measure.documents import find_documents

ROWS = [{"text": "one"}, {"text": "zéro", "n": 2}, {"text": ""}]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
ENCODED = [row["text"].encode() for row in ROWS]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "texts"
    (folder / "sub").mkdir(parents=True)
    (folder / ".hidden").write_text("not this")
    for name in ("b.txt", "a.txt", "sub/c.txt", "sub/d.md"):
        (folder / name).write_text(f"I am {name}")
    return folder


def names(folder, *paths, **options):
    documents = find_documents([str(folder / path) for path in paths], **options)
    return [document.name.removeprefix(f"{folder}/") for document in documents]


def refused(problem, *paths, error=UsageError, **options):
    with pytest.raises(error, match=problem) as caught:
        [found.read() for found in find_documents([str(path) for path in paths], **options)]
    assert "\n" not in str(caught.value)


def test_files_and_folders(folder):
    documents = find_documents([str(folder), str(folder / "a.txt")])
    for _ in range(2):
        read = [(d.name.removeprefix(f"{folder}/"), d.read(), d.size_bytes) for d in documents]
        assert read == [
            ("a.txt", b"I am a.txt", 10),
            ("b.txt", b"I am b.txt", 10),
            ("sub/c.txt", b"I am sub/c.txt", 14),
            ("sub/d.md", b"I am sub/d.md", 13),
        ]
    assert documents.places.repeated == [str(folder / "a.txt")]
    assert documents[2].name == str(folder / "sub/c.txt")
    with pytest.raises(IndexError):
        documents[4]
    (folder / "a.txt").unlink()
    assert documents[0].size_bytes is None
    with pytest.raises(FileNotFoundError):
        documents[0].read()


def test_globs(folder):
    assert names(folder, "*.txt") == ["a.txt", "b.txt"]
    assert names(folder, "**/*.txt") == ["a.txt", "b.txt", "sub/c.txt"]
    assert names(folder, "**") == names(folder, "*") == ["a.txt", "b.txt", "sub/c.txt", "sub/d.md"]
    assert names(folder, "[ab].t?t", "sub/*.md") == ["a.txt", "b.txt", "sub/d.md"]
    (folder / "x[1].txt").write_text("brackets")
    assert names(folder, "x[1].txt") == ["x[1].txt"]
    refused("no file has such a name", folder / "*.rst")
    refused("no such file", folder / "none.txt")


def test_limit_and_join(folder):
    assert names(folder, "", limit=3) == ["a.txt", "b.txt", "sub/c.txt"]
    (document,) = documents = find_documents([str(folder)], limit=3, join=True)
    assert (document.name, document.size_bytes) == ("all", 34)
    assert document.read() == b"I am a.txtI am b.txtI am sub/c.txt"
    assert [d.name for d in documents] == ["all"]
    rows = folder / "rows.jsonl"
    rows.write_bytes(LINES)
    (document,) = find_documents([str(rows), str(folder / "a.txt")], field="text", join=True)
    assert (document.size_bytes, document.read()) == (None, b"".join(ENCODED) + b"I am a.txt")
    refused("limit", folder, limit=0)


@pytest.mark.parametrize("kind", ["jsonl", "ndjson"])
@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        ("", bytes),
        (".gz", gzip.compress),
        (".zst", zstandard.ZstdCompressor().compress),
        (".zst", lambda data: b"".join(map(zstandard.compress, (data[:9], data[9:])))),
    ],
)
def test_json_lines(tmp_path, kind, suffix, pack):
    path = tmp_path / f"rows.{kind}{suffix}"
    path.write_bytes(pack(b"\n" + LINES.rstrip()))
    documents = find_documents([str(path)], field="text")
    for _ in range(2):
        assert [(d.name, d.read(), d.size_bytes) for d in documents] == [
            (f"{path}:{number}", text, len(text)) for number, text in enumerate(ENCODED, 2)
        ]
    assert find_documents([str(path)])[0].read() == path.read_bytes()


def test_wrong_json_lines(tmp_path):
    path = tmp_path / "rows.jsonl"
    for line in ('{"text": 3}', '{"txt": "x"}', '["text"]', "{", "[" * 100_000, b"\xff\xfe\xfd"):
        for before in b"", LINES:
            path.write_bytes(before + (line if isinstance(line, bytes) else line.encode()))
            refused(r"rows\.jsonl:[14]: (no text|not JSON)", path, field="text")
    path.write_bytes(LINES + b"{\n" + LINES)
    whole, good = list(find_documents([str(path)], field="text")), LINES.count(b"text")
    assert len(whole) == 2 * good + 1 and whole[good].problem
    assert whole[-1].read() == whole[good - 1].read()
    path.write_text("\n\n")
    refused("nothing to measure", path, field="text")
    refused("no rows to take the field 'text' of", __file__, field="text")
    refused("nothing to measure")
    (tmp_path / "empty").mkdir()
    refused("nothing to measure", tmp_path / "empty")
    for suffix, pack in ("gz", gzip.compress), ("zst", zstandard.compress):
        path = tmp_path / f"rows.jsonl.{suffix}"
        whole = pack(LINES * 999)
        for data in (LINES, whole[:-9], whole[:40] + b"x" + whole[41:]):
            path.write_bytes(data)
            refused("damaged|not JSON", path, field="text")


def test_rows_are_not_kept(tmp_path):
    path = tmp_path / "rows.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(40):
            file.write(json.dumps({"text": "x" * (1 << 20)}).encode() + b"\n")
    program = (
        "import resource, sys\n"
        "from lmzip.measure.documents import find_documents\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "read = [len(d.read()) for d in find_documents([sys.argv[1]], field='text')]\n"
        "assert read == [1 << 20] * 40\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True
    )
    assert int(result.stdout) < 20_000 or sys.platform == "darwin"


def test_parquet(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    texts = [f"row {i} é" for i in range(700)]
    path = tmp_path / "rows.parquet"
    for kind in (
        arrow.string(),
        arrow.large_string(),
        arrow.dictionary(arrow.int32(), arrow.string()),
    ):
        column = arrow.array(texts, arrow.string()).cast(kind)
        table = arrow.table({"n": list(range(700)), "text": column})
        parquet.write_table(table, path, row_group_size=300)
        documents = find_documents([str(path)], field="text")
        for _ in range(2):
            assert [(d.name, d.read()) for d in documents] == [
                (f"{path}:{number}", text.encode()) for number, text in enumerate(texts, 1)
            ]
    assert [d.name for d in find_documents([str(path)], field="text", limit=2)] == [
        f"{path}:1", f"{path}:2",
    ]  # fmt: skip
    assert find_documents([str(path)])[0].size_bytes == path.stat().st_size
    refused("no column 'txt' among n, text", path, field="txt")
    refused("'n' is no text but int64", path, field="n")
    parquet.write_table(arrow.table({"text": ["a", None]}), path)
    refused(r"rows\.parquet:2: no text", path, field="text")
    parquet.write_table(arrow.table({"text": arrow.array([], arrow.string())}), path)
    refused("nothing to measure", path, field="text")
    path.write_bytes(LINES)
    refused("not to be read as Parquet", path, field="text")


@pytest.mark.parametrize(("path", "module"), [("x.parquet", "pyarrow"), ("hf://a/b", "datasets")])
def test_what_is_not_installed(tmp_path, monkeypatch, path, module):
    (tmp_path / "x.parquet").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)
    refused(f"{module} is missing .*lmzip.data", path, field="text")


class Broken:
    """Rows that break off."""

    def __iter__(self):
        yield {"text": "one"}
        raise ConnectionError("the line\nis dead")


def test_data_sets_of_a_hub(monkeypatch):
    datasets = pytest.importorskip("datasets")
    calls, rows = [], ROWS

    def load_dataset(*arguments, **options):
        calls.append((arguments, options))
        if isinstance(rows, Exception):
            raise rows
        return rows

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    documents = find_documents(["hf://owner/na.me/config:test"], field="text", limit=3)
    for _ in range(2):
        assert [(d.name, d.read(), d.size_bytes) for d in documents] == [
            (f"hf://owner/na.me/config:test:{number}", text, len(text))
            for number, text in enumerate(ENCODED, 1)
        ]
    find_documents(["hf://owner/name", "hf://owner/name:test"], field="text")
    assert calls == [
        (("owner/na.me", "config"), {"split": "test", "streaming": True}),
        (("owner/name", None), {"split": "train", "streaming": True}),
        (("owner/name", None), {"split": "test", "streaming": True}),
    ]
    refused("no field 'txt' among text", "hf://a/b", field="txt")
    refused("must be named", "hf://a/b")
    refused("offline", "hf://a/b", field="text", offline=True, error=CorpusError)
    for name in ("hf://a", "hf://a/b/c/d", "hf://a/b:", "hf:///b"):
        refused("not of the form", name, field="text")
    rows = Broken()
    documents = iter(find_documents(["hf://a/b"], field="text"))
    assert next(documents).read() == b"one"
    with pytest.raises(CorpusError, match=r"broke off at row 2 \(the line\)"):
        next(documents)
    rows = [{"text": None}]
    refused("hf://a/b:1: no text", "hf://a/b", field="text")
    rows = ValueError("Unknown split\nmore")
    refused(r"not to be had \(Unknown split\)", "hf://a/b", field="text", error=CorpusError)


def test_a_real_stream_of_the_datasets_library(monkeypatch):
    datasets = pytest.importorskip("datasets")
    stream = datasets.Dataset.from_list(ROWS).to_iterable_dataset()
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: stream)
    documents = find_documents(["hf://owner/name"], field="text")
    for _ in range(2):
        assert [d.read() for d in documents] == ENCODED


def test_sets_of_texts(folder, tmp_path):
    manifest = tmp_path / "mine.toml"
    manifest.write_text(manifest_text(make_manifest(folder, "mine"), beside=tmp_path))
    store = CorpusStore(tmp_path / "home")
    documents = find_documents([f"corpus:{manifest}"], corpora=store)
    assert [d.name for d in documents][:3] == ["mine/a.txt", "mine/b.txt", "mine/sub/c.txt"]
    assert documents[0].read() == b"I am a.txt"
    stdlib = find_documents(["corpus:python-stdlib"], corpora=store)
    (decoder,) = (d for d in stdlib if d.name == "python-stdlib/json/decoder.py")
    with open(os.path.join(sysconfig.get_path("stdlib"), "json", "decoder.py"), "rb") as file:
        assert decoder.read() == file.read()
    refused("not a known set", "corpus:nobody", corpora=store)
    refused("lmzip corpora get enwik8", "corpus:enwik8", corpora=store, error=CorpusError)
    rows = folder / "rows.jsonl"
    rows.write_bytes(LINES)
    manifest.write_text(manifest_text(make_manifest(folder, "mine"), beside=tmp_path))
    found = find_documents([f"corpus:{manifest}"], corpora=store, field="text")
    assert [d.name for d in itertools.islice(found, 2, 4)] == [
        "mine/rows.jsonl:1", "mine/rows.jsonl:2",
    ]  # fmt: skip


@pytest.mark.corpora
def test_shared_texts_are_found_by_the_name_of_their_set(corpora, tmp_path):
    store = CorpusStore(tmp_path, extra=[corpora / "eval"])
    refused("3 of 11 files", "corpus:canterbury", corpora=store, error=CorpusError)
