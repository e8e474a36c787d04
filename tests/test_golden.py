"""Golden archives decode, and the compressor still writes them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import lmzip
from lmzip.codec import ArchiveIndex
from lmzip.engine.selftest import selftest_digest

from .conftest import GOLDEN
from .golden.archives import CASES


@pytest.mark.parametrize("name", CASES)
def test_golden_archives_decode(tiny_models, name):
    content, _ = CASES[name]
    blob = (GOLDEN / f"{name}.lmz").read_bytes()
    assert lmzip.decompress(blob, model=tiny_models) == content


@pytest.mark.parametrize("name", sorted(set(CASES) - {"zstd"}))
def test_golden_archives_are_still_written(tiny_models, name):
    """Not a promise of the format (a better tokenizer may come), but a change must be noticed."""
    content, parameters = CASES[name]
    blob = (GOLDEN / f"{name}.lmz").read_bytes()
    assert lmzip.compress(content, model=tiny_models, parameters=parameters) == blob


def test_golden_archives_hold_what_they_are_for():
    kinds = {}
    for name in CASES:
        with open(GOLDEN / f"{name}.lmz", "rb") as file:
            kinds[name] = {k.name for k, n in ArchiveIndex(file).kinds().items() if n}
    assert kinds["english"] == kinds["sliding"] == kinds["unicode"] == kinds["rounds"] == {"MIXED"}
    assert kinds["unmixed"] == {"LM"}
    assert kinds["long"] == {"MIXED"}
    assert kinds["noise"] == {"STORED"}
    assert kinds["zstd"] == {"ZSTD"}
    assert kinds["empty"] == set()


@pytest.mark.parametrize(
    "setting",
    [
        "MKL_ENABLE_INSTRUCTIONS=AVX2",
        "MKL_CBWR=COMPATIBLE",
        "ATEN_CPU_CAPABILITY=default",
        "ONEDNN_MAX_CPU_ISA=SSE41",
    ],
)
def test_other_instruction_sets_give_the_same_archive(setting):
    """What another processor would run, as far as libraries let themselves be told."""
    pytest.importorskip("torch", reason="these are settings of PyTorch")
    name, value = setting.split("=")
    code = (
        "import sys, lmzip\n"
        "from lmzip.engine import Pack\n"
        "from lmzip.models.source import load_model\n"
        "from lmzip.codec import OneModel\n"
        "from tests.conftest import GOLDEN\n"
        "from tests.golden.archives import CASES\n"
        "pack = Pack.open(GOLDEN / 'golden-tiny.lmzpack')\n"
        "models = OneModel(load_model(pack, engine='reference', threads=1))\n"
        "for name in ('english', 'sliding', 'unicode'):\n"
        "    content, parameters = CASES[name]\n"
        "    blob = lmzip.compress(content, model=models, parameters=parameters)\n"
        "    assert blob == (GOLDEN / f'{name}.lmz').read_bytes(), name\n"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=GOLDEN.parent.parent,
        env=os.environ | {name: value},
        check=True,
        timeout=120,
    )


def test_conformance_of_the_golden_model(tiny_pack):
    """Integer frequencies, pinned: any engine on any machine gives exactly these."""
    assert tiny_pack.identity.hex()[:32] == "74e143bcf6a52423c57941bbbdc2223e"
    reference = pytest.importorskip("lmzip.engine.reference", exc_type=ImportError)
    assert selftest_digest(reference.ReferenceEngine(tiny_pack)) == tiny_pack.selftest
    assert tiny_pack.selftest == "d641d1a78ebef502aad90c913b622aff"
