"""Both scaling laws in one picture: rows that are kept, and the figure."""

from __future__ import annotations

import json
import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from training import two_laws


def test_rows_and_figure(tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    arguments = ["two_laws", "--work", str(tmp_path / "work"), "--out", str(out), "--steps", "2",
                 "--items", "2", "--task", "homes", "--width", "32", "--width", "48"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", arguments)
    two_laws.main()
    rows = [json.loads(line) for line in (out / "two-laws.jsonl").read_text().splitlines()]
    assert [(row["width"], row["think"]) for row in rows] == [
        (w, t) for w in (32, 48) for t in (0, 1, 2, 3)
    ]  # fmt: skip
    assert rows[0]["flops"] < rows[3]["flops"] < rows[7]["flops"]
    assert (out / "two-laws-homes.svg").read_text().startswith("<svg")
    monkeypatch.setattr(two_laws, "measure", None)  # nothing is measured again
    two_laws.main()
    assert "least" in capsys.readouterr().out
