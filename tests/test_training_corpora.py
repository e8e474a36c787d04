"""Training texts from Debian's packages: what is read out of them, and how."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from training import corpora
from training.text import SEPARATOR, read_documents

ROOT = Path(__file__).parent.parent
needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg-deb")

PAGE = b"""<?xml version="1.0"?><html><head><title>Not this</title></head><body>
<script>var x = "<p>nor this</p>";</script><!-- nor that -->
<h1>A &amp;
  title</h1><p>First <b>bold</b>
text.</p><p>Second.</p></body></html>"""


def catalogue(messages: dict[str, str]) -> bytes:
    """A compiled message catalogue."""
    keys = sorted(messages)
    texts = [*(key.encode() for key in keys), *(messages[key].encode() for key in keys)]
    head = 28 + 8 * len(texts)
    index, body = b"", b""
    for text in texts:
        index += struct.pack("<2I", len(text), head + len(body))
        body += text + b"\0"
    count = len(keys)
    return struct.pack("<7I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, 0) + index + body


def test_markup_becomes_its_text() -> None:
    assert corpora.READERS["markup"](PAGE) == "A & title\n\nFirst bold text.\n\nSecond."


def test_catalogues_become_their_translations() -> None:
    raw = catalogue({"": "Content-Type: text/plain; charset=UTF-8\n", "~Open": "Ö~ffnen", "No": ""})
    assert corpora.READERS["catalogue"](raw) == "Öffnen"


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_manual_pages_are_formatted() -> None:
    page = ".TH X 1\n.SH NAZWA\nx \\- próba\n.SH OPIS\n" + "Zażółć gęślą jaźń. " * 20
    text = corpora.READERS["manual"](gzip.compress(page.encode()))
    assert "Zażółć gęślą" in text and ".SH" not in text
    assert max(map(len, text.splitlines())) <= 78


def package(folder: Path) -> Path:
    root = folder / "root"
    (root / "DEBIAN").mkdir(parents=True)
    fields = "Package: some\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n"
    (root / "DEBIAN" / "control").write_text(fields)
    for name, text in (("b/two", "Two. " * 60), ("b/c/one", "One. " * 60), ("b/short", "No."),
                       ("b/left.dat", "Data " * 60)):  # fmt: skip
        path = root / "usr" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    path = folder / "some_1_all.deb"
    subprocess.run(["dpkg-deb", "-b", root, path], check=True, capture_output=True)
    return path


@needs_dpkg
def test_packages_become_documents(tmp_path: Path) -> None:
    path = package(tmp_path)
    found = list(corpora.documents(path, "plain", "usr/b/**/*[!t]"))
    assert [text[:3] for text in found] == ["One", "Two"]
    found = list(corpora.documents(path, "plain", "usr/b/*"))
    assert [text[:3] for text in found] == ["Dat", "Two"]


@needs_dpkg
def test_the_listing_is_built(tmp_path: Path) -> None:
    path = package(tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "packages").mkdir()
    path.rename(tmp_path / "packages" / path.name)
    listing = tmp_path / "listing.tsv"
    listing.write_text(f"# a comment\ntexts\tsome\t1\t{digest}\tplain\tusr/b/**/*[!t]\n")
    corpora.build(tmp_path, listing)
    documents = read_documents(tmp_path / "train" / "texts.txt")
    assert [text[:3] for text in documents] == ["One", "Two"] and SEPARATOR
    (tmp_path / "train" / "texts.txt").unlink()
    listing.write_text(listing.read_text().replace(digest, "0" * 64))
    with pytest.raises(ValueError, match="hash"):
        corpora.build(tmp_path, listing)
    assert not (tmp_path / "train" / "texts.txt").exists()


def test_the_list_of_packages_is_whole() -> None:
    lines = (ROOT / "training" / "configs" / "packages.tsv").read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    assert all(len(row) == 6 and row[4] in corpora.READERS and len(row[3]) == 64 for row in rows)
    from training.config import load

    groups = load(ROOT / "training" / "configs" / "lmzip-3m.toml").data.groups
    wanted = {name for group in groups for name in group.files}
    assert {row[0] for row in rows} <= wanted
