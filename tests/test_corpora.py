"""Real files of all sorts through the whole path, with the golden model; SmolLM2 on a little."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

import lmzip
from lmzip.codec import OneModel
from lmzip.engine.selftest import selftest_digest
from lmzip.models.source import load_model
from lmzip.models.store import ModelStore

LIMIT_BYTES = 200_000
PARAMETERS = lmzip.CodingParameters(window=64, stream_tokens=128, block_bytes=1 << 16)


def names() -> list[str]:
    """Files of up to 200 kB in edge/ and eval/, for test ids; a placeholder without the folder."""
    folder = Path(os.environ.get("LMZIP_CORPORA") or "/nonexistent")
    found = [
        f"{part}/{path.name}"
        for part in ("edge", "eval")
        for path in sorted((folder / part).glob("*"))
        if path.is_file() and path.stat().st_size <= LIMIT_BYTES
    ]
    return found or ["(none)"]


@pytest.mark.corpora
@pytest.mark.parametrize("name", names())
def test_round_trip(corpora, tiny_models, name):
    data = (corpora / name).read_bytes()
    blob = lmzip.compress(data, model=tiny_models, parameters=PARAMETERS)
    assert len(blob) <= len(data) * 1.001 + 64 + 30 * (len(data) >> 16)
    assert lmzip.decompress(blob, model=tiny_models) == data


@pytest.mark.corpora
@pytest.mark.parametrize(
    "name",
    ["alice29.txt", "cp.html", "fields.c", "grammar.lsp", "paper1", "progc", "xargs.1"],
)
def test_the_default_beats_every_classic(corpora, name):
    """Against what the best of PPMd, bzip3, brotli, xz and zpaq made of it."""
    with open(corpora / "baselines.tsv", newline="") as file:
        (row,) = (r for r in csv.DictReader(file, delimiter="\t") if r["file"] == name)
    best = min(int(row[k]) for k in row if k not in ("file", "size", "paq8px_8") and row[k])
    assert len(lmzip.compress((corpora / "eval" / name).read_bytes())) < 0.95 * best


@pytest.fixture(scope="module")
def smollm2():
    """SmolLM2-135M-Instruct, where it is installed already (`lmzip models pull` installs it)."""
    home = os.environ.get("LMZIP_HOME")
    store = ModelStore(Path(home) if home else None, offline=True)
    try:
        return store.open("smollm2-135m-instruct")
    except lmzip.ModelNotFoundError:
        pytest.skip("smollm2-135m-instruct is not installed: lmzip models pull gets it")


@pytest.mark.smollm2
def test_smollm2_is_the_pinned_model_and_gives_the_pinned_numbers(smollm2):
    from lmzip.engine.reference import ReferenceEngine
    from lmzip.models.registry import known_model

    assert smollm2.identity.hex() == known_model("smollm2-135m-instruct").identity
    assert selftest_digest(ReferenceEngine(smollm2)) == SMOLLM2_SELFTEST


@pytest.mark.smollm2
def test_smollm2_round_trips(smollm2):
    models = OneModel(load_model(smollm2))
    text = (
        "Compression is prediction: whoever knows what comes next needs few bits to be told.\n"
        "The café's naïve menu (中文) was, all in all, a 👍.\n"
    ).encode() + b"\xff\xc1\x04\x00 and so on, to the very end of the line.\n"
    parameters = lmzip.CodingParameters(window=16, stream_tokens=32)
    blob = lmzip.compress(text, model=models, parameters=parameters)
    assert smollm2.identity[:4] in blob[:16], "a short archive names its model in four bytes"
    assert lmzip.decompress(blob, model=models) == text


SMOLLM2_SELFTEST = "8e8ab85554e8be3210e66d7844dd3c75"
