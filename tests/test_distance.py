"""Distance matrices, neighbours and their ties, and `lmzip distance` as a user types it."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from xml.etree import ElementTree

import numpy as np
import pytest

from lmzip.cli.distance_plot import heat_map_svg
from lmzip.complexity.coders import LmzipCoder, XzCoder, ZstdCoder
from lmzip.complexity.codings import CodingStore
from lmzip.complexity.distance import METRICS, average_linkage, distance_matrix
from lmzip.complexity.neighbours import classify, folder_labels, read_labels
from lmzip.errors import CorruptError, UsageError

from .test_codec import SMALL, TEXT

RNG = np.random.default_rng(0)
FIRST, SECOND = (RNG.integers(0, 256, 3000, np.uint8).tobytes() for _ in range(2))
DOCUMENTS = [
    ("a", FIRST), ("b", FIRST[:2900] + b"end"), ("c", SECOND), ("d", SECOND[100:]), ("e", FIRST),
]  # fmt: skip


class Counting(ZstdCoder):
    """zstd, and how often it was asked."""

    def __init__(self):
        self.codings = []

    def alone(self, x):
        self.codings.append((x,))
        return super().alone(x)

    def given(self, x, y):
        self.codings.append((x, y))
        return super().given(x, y)

    def joint(self, x, y):
        self.codings.append((x, y))
        return super().joint(x, y)


@pytest.mark.parametrize("metric", METRICS)
def test_what_is_alike_is_near(metric):
    coder = Counting()
    found = distance_matrix(DOCUMENTS, coder, metric)
    rows = np.array(found.rows)
    assert rows[0, 1] < 0.3 < 0.9 < rows[0, 2]
    assert rows[0].argmin() in (0, 4)
    assert (rows == rows.T).all() == (metric != "cond")
    assert (rows[0] == rows[4]).all()  # equal documents
    assert rows[0, 0] < 0.1  # measured, not assumed
    assert len(coder.codings) == len(set(coder.codings)) == 4 + 16
    assert found.complexities[0] == coder.alone(FIRST)


def test_definitions(tiny_model):
    coder = LmzipCoder(tiny_model, SMALL)
    x, y = TEXT[:100], TEXT[50:180]
    documents = [("x", x), ("y", y)]
    low, high = sorted((coder.alone(x), coder.alone(y)))
    both = min(coder.joint(x, y), coder.joint(y, x))
    assert distance_matrix(documents, coder, "ncd").rows[0][1] == (both - low) / high
    most = max(coder.given(x, y), coder.given(y, x))
    assert distance_matrix(documents, coder, "nid").rows[1][0] == most / high
    cond = distance_matrix(documents, coder, "cond").rows
    assert cond[0][1] == coder.given(x, y) / coder.alone(x)
    assert cond[1][0] == coder.given(y, x) / coder.alone(y)


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ([("a", b"x")], "two documents"),
        ([("a", b"x"), ("b", b"")], "b is empty"),
        ([("a", b"x"), ("a", b"y")], "called a"),
    ],
)
def test_bad_documents(documents, message):
    with pytest.raises(UsageError, match=message):
        distance_matrix(documents, XzCoder(), "ncd")


def test_a_run_goes_on_where_it_was(tmp_path):
    path = tmp_path / "kept.jsonl"
    whole = distance_matrix(DOCUMENTS, Counting(), "nid")

    class Killed(Exception):
        pass

    def kill(work):
        if work.done == 7:
            raise Killed

    with pytest.raises(Killed):
        distance_matrix(DOCUMENTS, Counting(), "nid", store=CodingStore(path), progress=kill)
    path.write_bytes(path.read_bytes() + b'{"bits": 1')  # killed while writing
    coder = Counting()
    assert distance_matrix(DOCUMENTS, coder, "nid", store=CodingStore(path)) == whole
    assert len(coder.codings) == 20 - 7
    other = Counting()
    other.name = "another"
    distance_matrix(DOCUMENTS, other, "nid", store=CodingStore(path))
    assert len(other.codings) == 20
    path.write_bytes(b"{}\n")
    with pytest.raises(CorruptError, match="line 1"):
        CodingStore(path)
    path.write_bytes(b"something else")
    with pytest.raises(CorruptError):
        CodingStore(path)
    assert path.read_bytes() == b"something else"


def test_neighbours_vote():
    names, labels = list("abcde"), ["x", "x", "y", "y", "z"]
    rows = [
        [0, 1, 2, 3, 9],
        [1, 0, 3, 3, 9],
        [2, 3, 0, 3, 9],
        [5, 5, 5, 0, 5],
        [1, 2, 3, 4, 0],
    ]
    one = classify(names, rows, labels, 1)
    assert [d.found for d in one.documents] == [("x",), ("x",), ("x",), ("x",), ("x",)]
    assert [d.credit for d in one.documents] == [1, 1, 0, 0, 0]
    assert one.alone == ("e",)
    assert one.distance_ties == 1  # d: four documents at 5 share one place
    assert one.accuracy == 2 / 5
    two = classify(names, rows, labels, 2)
    assert two.documents[0].found == ("x", "y")  # b and c: a vote each
    assert two.documents[0].credit == 0.5
    assert two.documents[1].found == ("x", "y")  # a, and half a vote each of c and d
    assert two.vote_ties >= 2
    # Neither names nor order change anything.
    order = [3, 0, 4, 2, 1]
    turned = classify(
        [names[i] for i in order],
        [[rows[i][j] for j in order] for i in order],
        [labels[i] for i in order],
        2,
    )
    assert {d.name: (d.found, d.credit) for d in turned.documents} == {
        d.name: (d.found, d.credit) for d in two.documents
    }


def test_labels(tmp_path):
    names = ["en/a.txt", "fr/a.txt", "fr/b.txt"]
    assert folder_labels(names) == ["en", "fr", "fr"]
    path = tmp_path / "labels.csv"
    path.write_text("name,label\nen/a.txt,E\nfr/a.txt,F\nb.txt,F\n")
    assert read_labels(path, names) == ["E", "F", "F"]
    for text, message in (
        ("en/a.txt,E\n", "no label for fr/a.txt"),
        ("a.txt,E\n", "2 documents are called a.txt"),
        ("a\n", "row 1"),
        ("b.txt,F\nb.txt,E\n", "has a label already"),
    ):
        path.write_text(text)
        with pytest.raises(UsageError, match=message):
            read_labels(path, names)
    for labels, k in ((["x", "x"], 1), (["x", "y"], 2)):
        with pytest.raises(UsageError):
            classify(["a", "b"], [[0, 1], [1, 0]], labels, k)


def test_tree_joins_what_is_near():
    pytest.importorskip("scipy")
    rows = [[0, 5, 1, 5], [5, 0, 5, 1], [1, 5, 0, 5], [5, 1, 5, 0]]
    tree = average_linkage(rows)
    assert {frozenset(tree.order[:2]), frozenset(tree.order[2:])} == {
        frozenset((0, 2)), frozenset((1, 3))
    }  # fmt: skip
    assert sorted(max(heights) for _, heights in tree.branches) == [1, 1, 5]


def test_tree_and_plot_take_any_distances():
    pytest.importorskip("scipy")
    pytest.importorskip("matplotlib")
    below_zero = average_linkage([[0, -1, 2], [-1, 0, 3], [2, 3, 0]])
    heights = [max(heights) for _, heights in below_zero.branches]
    assert sorted(heights) == pytest.approx([-1, 2.5])
    for rows in ([[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.2], [-0.5, 1.0]]):
        documents = [("日本/$_a", FIRST), ("日本/<b>", SECOND)]
        found = distance_matrix(documents, ZstdCoder(), "cond")
        found = dataclasses.replace(found, rows=tuple(map(tuple, rows)))
        svg = ElementTree.fromstring(heat_map_svg(found, average_linkage(rows)))
        texts = [e.text for e in svg.iter() if e.tag.endswith("text")]
        assert {"$_a", "<b>"} <= set(texts)


def put_documents(folder):
    for name, data in DOCUMENTS[:4]:
        (folder / ("one" if name in "ab" else "two")).mkdir(exist_ok=True)
        (folder / ("one" if name in "ab" else "two") / name).write_bytes(data)


def test_command(lmzip, tmp_path):
    pytest.importorskip("scipy")
    pytest.importorskip("matplotlib")
    put_documents(tmp_path)
    done = lmzip("distance", "one", "two", "--coder", "zstd", "--knn", "1", "--plot", "plot.svg")
    assert done.returncode == 0
    rows = list(csv.reader(io.StringIO(done.stdout.decode())))
    assert rows[0] == ["ncd", "one/a", "one/b", "two/c", "two/d"]
    assert [row[0] for row in rows[1:]] == rows[0][1:]
    assert b"Right: 4 of 4" in done.stderr
    svg = (tmp_path / "plot.svg").read_text()
    ElementTree.fromstring(svg)
    for name in "abcd":
        assert f">{'one' if name in 'ab' else 'two'}/{name}<" in svg
    done = lmzip("distance", "one", "two", "--coder", "zstd", "--knn", "1", "--json")
    found = json.loads(done.stdout)
    assert found["matrix"] == [[float(cell) for cell in row[1:]] for row in rows[1:]]
    assert found["knn"]["accuracy"] == 1
    assert found["coder"] == ZstdCoder.name and found["identity"] == ZstdCoder().identity
    done = lmzip("distance", "one", "two", "--coder", "xz", "--csv", "out.csv")
    assert done.stdout == b""
    assert (tmp_path / "out.csv").read_text().startswith("ncd,one/a")


def test_command_by_the_model(lmzip, tmp_path):
    (tmp_path / "x").write_bytes(TEXT[:150])
    (tmp_path / "y").write_bytes(TEXT[:150].replace(b"fox", b"cat"))
    (tmp_path / "z").write_bytes(b"0123456789" * 20)
    args = "distance", "x", "y", "z", "-m", "tiny", "--metric", "nid", "--results", "kept", "--json"
    first = json.loads(lmzip(*args).stdout)
    assert first["matrix"][0][1] < first["matrix"][0][2]
    done = lmzip(*args)
    assert json.loads(done.stdout) == first
    assert b"12 codings are already in" in done.stderr


def test_command_refuses(lmzip, tmp_path):
    put_documents(tmp_path)
    (tmp_path / "empty").touch()
    for args, message in (
        (("one/a",), b"two documents"),
        (("one/a", "empty", "-q"), b"two documents"),
        (("one", "two", "--coder", "zstd", "--csv", "one/a"), b"one/a"),
        (("one", "two", "--coder", "zstd", "-3"), b"only for --coder lmzip"),
        (("one", "two", "--coder", "zstd", "--labels", "one/a"), b"--labels needs --knn"),
        (("one", "--coder", "zstd", "--knn", "1"), b"all documents have the label"),
        (("one", "two", "--coder", "zstd", "--csv", "x", "--json"), b"cannot be combined"),
        (("missing", "one"), b"missing"),
    ):
        done = lmzip("distance", *args)
        assert done.returncode == 2, args
        assert message in done.stderr
        assert done.stderr.count(b"\n") == 1
    assert (tmp_path / "one" / "a").read_bytes() == FIRST
    assert not (tmp_path / "x").exists()
    done = lmzip("distance", "one", "empty", "--coder", "zstd")
    assert (done.returncode, done.stderr) == (0, b"lmzip: left out because empty: empty\n")
    assert b"empty" not in done.stdout
