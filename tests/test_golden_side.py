"""Archives made given a text, and with thoughts: they decode, and are written."""

from __future__ import annotations

import io

import pytest

import lmzip
from lmzip.codec import ArchiveIndex, OneModel
from lmzip.models.source import load_model

from .golden.side_archives import CASES, FOLDER, write


def kinds(name):
    index = ArchiveIndex(io.BytesIO((FOLDER / f"{name}.lmz").read_bytes()))
    return {kind.name for kind, n in index.kinds().items() if n}


@pytest.fixture(scope="module")
def reference_models(tiny_pack):
    return OneModel(load_model(tiny_pack, engine="reference", threads=1))


@pytest.mark.parametrize("name", CASES)
def test_golden_archives_decode(tiny_models, reference_models, name):
    case = CASES[name]
    blob = (FOLDER / f"{name}.lmz").read_bytes()
    for models in (tiny_models, reference_models):
        got = lmzip.decompress(blob, model=models, given=case.given)
        assert got == case.before + case.content
    with lmzip.open(io.BytesIO(blob), model=tiny_models, given=case.given) as file:
        file.seek(len(case.before) + 30)
        assert file.read() == case.content[30:]


@pytest.mark.parametrize("name", sorted(set(CASES) - {"dictionary"}))
def test_golden_archives_are_still_written(tiny_models, name):
    assert write(CASES[name], tiny_models) == (FOLDER / f"{name}.lmz").read_bytes()


def test_golden_archives_hold_what_they_are_for():
    assert kinds("dictionary") == {"GIVEN_ZSTD"}
    assert kinds("unmixed") == {"GIVEN_LM"}
    assert kinds("before") == {"MIXED", "GIVEN_MIXED"}
    for name in ("given", "blocks", "splitting", "thoughts", "chains"):
        assert kinds(name) == {"GIVEN_MIXED"}
    for name in CASES:
        blob = (FOLDER / f"{name}.lmz").read_bytes()
        header = ArchiveIndex(io.BytesIO(blob)).archives[-1].header
        assert header.short == (name not in ("blocks", "unmixed", "thoughts"))
        if name != "dictionary":
            assert header.side.splitting == CASES[name].splitting
