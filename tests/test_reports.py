"""What tables, plots and pages say of measurements."""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
import re

import numpy as np
import pytest

from lmzip.measure import Measurement, TokenTable, TokenWriter, compare, fit_power_law, pool
from lmzip.measure.comparison import PowerLaw, sized_methods
from lmzip.report import comparison_tables, markdown, measurement_tables
from lmzip.report.content import describe_method
from lmzip.report.html import Table
from lmzip.report.pages import compare_page, heat_map
from lmzip.report.plots import comparison_figures

ARCHIVE = {"window": 512, "stream_tokens": 4096, "streams_at_once": 0, "block_bytes": 1 << 18,
           "solid": 0, "mixing": 1, "mixing_bits": 18}  # fmt: skip
IDEAL = {"protocol": "codec", "window": 512}


def made(model, document="d0", *, kind="archive", bits=2000.0, **more):
    """A measurement of 1,000 bytes in 250 tokens."""
    fields = {
        "document": document, "sha256": document, "model": model, "kind": kind, "identity": model,
        "content_bytes": 1000, "compress_s": 1.0, "ideal_bits": bits, "modelled_bytes": 1000,
        "tokens": 250, "settings": ARCHIVE if kind == "archive" else IDEAL,
    }  # fmt: skip
    if kind != "ideal":
        fields["archive_bytes"] = int(bits / 8)
    if kind in ("classical", "command"):
        fields |= {"ideal_bits": None, "modelled_bytes": 0, "tokens": 0, "settings": {}}
    return Measurement(**(fields | more))


def partial(model, document="d0", bits=1000.0):
    """One that a protocol has scored half of."""
    settings = IDEAL | {"protocol": "cril"}
    return made(model, document, kind="ideal", bits=bits, modelled_bytes=500, unscored_tokens=125,
                settings=settings)  # fmt: skip


def table(tables, title):
    (found,) = [t for t in tables if t.title == title]
    return found


def test_no_ideal_bits_where_the_model_did_not_code():
    whole, part = made("m", "whole"), made("m", "part", modelled_bytes=400)
    assert (part.ideal_bits_per_byte, part.bits_per_token) == (None, None)
    assert (whole.ideal_bits_per_byte, whole.bits_per_token) == (2.0, 8.0)
    (found,) = measurement_tables([whole, part])
    ideal, share = found.columns.index("ideal"), found.columns.index("% by model")
    assert [row[ideal] for row in found.rows] == [2.0, None, None]
    assert [row[share] for row in found.rows] == [100.0, 40.0, 70.0]
    assert "the model coded 70.0% of the bytes" in found.title
    (found,) = measurement_tables([whole])
    assert found.columns[-1] == "kB/s out" and found.rows[0][ideal] == 2.0


def test_partial_numbers_are_not_ranked():
    """1,000 bits of half of the bytes are 2 bits a byte, and no rival of 3 bits a byte of all."""
    m = partial("half")
    assert (m.bits_per_byte, m.bits_per_token, m.complete) == (2.0, 8.0, False)
    assert m.two_part_bits_per_byte == 2.0
    rows = [made("a", bits=3000.0), partial("half", bits=10.0), made("b", bits=3200.0)]
    found = compare(rows)
    assert [m.model for m in found.methods] == ["a", "b", "half"]
    assert found.ranked == 2 and 2 not in found.front
    assert [(d.first, d.second) for d in found.differences] == [("a", "b")]
    ranking = table(comparison_tables(found), "Ranking")
    assert [row[0] for row in ranking.rows] == [1, 2, None]
    assert ranking.rows[2][2] == "ideal, partial"
    assert "500 bytes that are" in describe_method(m)
    assert [f.svg.count("half") for f in comparison_figures(found)] == [0]
    alone = compare([partial("x"), partial("y", bits=1200.0)])
    assert alone.differences == () and not alone.front and comparison_figures(alone)


def test_headings_say_what_is_no_file():
    rows = [made("a"), made("b", kind="ideal"), made("c", kind="command"), partial("d"),
            made("e", kind="command", decompress_s=1.0), made("f", kind="classical")]  # fmt: skip
    tables = comparison_tables(compare(rows))
    columns = table(tables, "Bits per byte by document").columns
    assert {"a", "b (ideal)", "c (not decoded)", "d (ideal, partial)", "e", "f"} < set(columns)
    kinds = {row[1]: row[2] for row in table(tables, "Ranking").rows}
    assert kinds == {"a": "file", "b": "ideal", "c": "not decoded", "d": "ideal, partial",
                     "e": "file", "f": "file"}  # fmt: skip


@pytest.mark.parametrize(("count", "said"), [(1, "there is none"), (3, "rough"), (6, None)])
def test_intervals_of_few_documents(count, said):
    rows = [
        made(m, f"d{i}", bits=b + i) for m, b in (("a", 900), ("b", 1000)) for i in range(count)
    ]
    (difference,) = compare(rows).differences
    shown = table(comparison_tables(compare(rows)), "Differences in bits per byte")
    if count == 1:
        assert (difference.low, difference.high, difference.clear) == (None, None, None)
        assert shown.rows[0][3:5] == (None, None) and shown.rows[0][6] is None
    else:
        assert difference.low <= difference.bits_per_byte <= difference.high < 0
        assert shown.rows[0][6] == "yes"
    for word in ("there is none", "rough"):
        assert (word in shown.note) == (word == said)


def test_documents_left_out_are_named():
    rows = [made("a", "one"), made("a", "two"), made("b", "one"), made("b", "three")]
    found = compare(rows)
    assert (found.documents, found.left_out) == (("one",), ("two", "three"))
    note = table(comparison_tables(found), "Bits per byte by document").note
    assert "2 left out" in note and "two, three" in note
    page = compare_page(found, [tokens("one"), tokens("two", 400)], [], [], command="")
    occurrences = page.partition("Bits by frequency")[2].partition("</table>")[0]
    assert "1 to" not in occurrences and re.findall(r"<th scope=\"row\">([^<]+)", occurrences)
    assert "256 to 511" not in occurrences
    assert "left out" not in table(comparison_tables(compare(rows[:1])), "Ranking").note


def test_speeds_of_other_runs_are_said():
    kept = dataclasses.replace(made("a"), resumed=True)
    for rows, said in (
        ([kept], "All speeds"),
        ([kept, made("b")], "Speeds of 1"),
        ([made("b")], ""),
    ):
        note = table(comparison_tables(compare(rows)), "Ranking").note
        assert ("come from the results file" in note) == bool(said) and said in note
    assert "come from the results file" in measurement_tables([kept])[0].note
    assert pool([kept, made("a", "d1")]).resumed


def test_different_parameters_are_said():
    other = ARCHIVE | {"window": 1024}
    for settings, said in ((other, True), (ARCHIVE, False)):
        rows = [made("a"), made("b", settings=settings), made("c", kind="ideal")]
        note = table(comparison_tables(compare(rows)), "Ranking").note
        assert ("different parameters" in note) == said


def test_any_name_in_markdown():
    name = "a|b\nc\udcff\x1b[0m" + "x" * 100
    shown = markdown([Table(name, ("document", name), ((name, 1), ("y", None)), name)])
    shown.encode()
    lines = shown.split("\n")
    assert len(lines) == 2 + 4 + 2 and "\x1b" not in shown
    rows = [line for line in lines if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {3}
    assert len(rows[-1]) < 250  # a long name makes one line long, not the column
    assert "nan" not in markdown([Table("t", ("a",), ((math.nan,),))])


def test_a_law_goes_through_one_kind():
    """Ideal bits of the same models, much worse, must not bend it."""
    exact = [
        made(f"e{n}", bits=1000 + 30_000 / n**0.2, parameters=n) for n in (10**5, 10**6, 10**7)
    ]
    ideal = [made(f"f{n}", kind="ideal", bits=9000.0, parameters=n) for n in (10**5, 10**6, 10**8)]
    found = compare([*exact, *ideal])
    assert {found.methods[i].kind for i in sized_methods(found)} == {"archive"}
    law = fit_power_law(found)
    assert law.kind == "archive" and law == fit_power_law(compare(exact))
    assert fit_power_law(compare(ideal)).kind == "ideal"
    assert fit_power_law(compare([*exact[:2], *ideal[:2]])) is None


def test_laws_that_say_nothing():
    def law(sizes, losses):
        rows = [made(f"{i}", bits=8 * int(b * 125), parameters=n)
                for i, (n, b) in enumerate(zip(sizes, losses, strict=True))]  # fmt: skip
        return fit_power_law(compare(rows))

    sizes = (10**5, 10**6, 10**7)
    assert law((*sizes, 10**7), (4, 3, 2.5, 2.6)).saturated  # four points, three sizes
    assert not law((*sizes, 10**8), (4, 3, 2.5, 2.2)).saturated
    assert law(sizes, (4, 3, 2.5)).doubtful == ""
    assert law(sizes, (2, 3, 4)).doubtful == "bits do not fall with size"
    assert "end of the range" in law(sizes, (4, 2, 2)).doubtful
    assert law(sizes, (4, 3, 2.5)).interval is None  # of one document
    rising = compare([made(f"{n}", bits=n / 10, parameters=n) for n in (10**5, 10**6, 10**7)])
    assert "no power law" in comparison_figures(rising)[1].note
    assert isinstance(fit_power_law(rising), PowerLaw)


def test_labels_keep_apart():
    """Seven methods at one place: no label covers another, none is too long."""
    rows = [made(f"method-{i}", bits=2000.0 + i) for i in range(6)] + [made("$x$\n" + "n" * 99)]
    svg = comparison_figures(compare(rows))[0].svg
    found = re.findall(r'anchor: (\w+).*? x="([-\d.]+)" y="([-\d.]+)".*?>([^<]*)</text>', svg)
    labels = [label for label in found if "method" in label[3] or "nnn" in label[3]]
    assert len(labels) == 7 and max(len(name) for *_, name in labels) <= 40
    boxes = []
    for anchor, x, y, name in labels:
        left = float(x) - (4 * len(name) if anchor == "end" else 0)
        boxes.append((left, float(y), left + 4 * len(name), float(y) + 8))
    for a, b in itertools.combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (a, b)


def tokens(document, count=4, **more):
    """A table of so many equal tokens."""
    bits = np.full(count, 3.0)
    fields = {
        "document": document, "model": "m", "ids": np.zeros(count, np.int64),
        "starts": np.arange(count), "texts": ("a",) * count, "bits": bits, "model_bits": bits,
        "positions": np.arange(count), "entropy_bits": None, "alternatives": (),
    }  # fmt: skip
    return TokenTable(**(fields | more))


def test_what_the_heat_map_shows():
    """Coded bits, the model's own beside them where they differ, and where nothing was coded."""
    bits, own = np.array([3.0, 2.0, math.nan, 1.0]), np.array([3.0, 5.0, 4.0, 1.0])
    found = heat_map(tokens("d", bits=bits, model_bits=own), 4, True)
    assert [t.bits for t in found.tokens] == [3.0, 2.0, 4.0, 1.0]
    assert [t.model_bits for t in found.tokens] == [None, 5.0, None, None]
    assert "smaller without the model" in found.note
    unscored = np.array([math.nan, 5.0, 4.0, 1.0])
    found = heat_map(tokens("d", bits=unscored, model_bits=unscored), 4, True)
    assert len(found.tokens) == 3 and "smaller without the model" not in found.note


def test_parquet_takes_any_name():
    parquet = pytest.importorskip("pyarrow.parquet")
    out = io.BytesIO()
    writer = TokenWriter(out, parquet=True)
    writer.add(tokens("name\udcff", model="m\udcfe"))
    writer.close()
    row = parquet.read_table(io.BytesIO(out.getvalue())).to_pylist()[0]
    assert (row["document"], row["model"]) == ("name\\udcff", "m\\udcfe")


def test_a_note_of_two_paragraphs_stays_two_in_markdown():
    table = Table("Speeds", ("document", "bytes"), (("a", 1),), note="First.\n\nSecond\nline.")
    assert markdown([table]).endswith("\n\nFirst.\n\nSecond\\nline.")
