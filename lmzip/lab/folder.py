"""A corpus of the source `sk` in a folder, and what coders make of it."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine import Pack
from ..errors import CorpusError
from .oracle import by_role, learner_for, marginal_bits, source_bits
from .pycode import decode_py, encode_py
from .source import ROLES, Recipe, Sentences, Source, parse_sentences

__all__ = ["Coded", "code_folder", "make_folder", "open_folder"]

CORPUS, RECIPE, FACTS, ORACLE = "corpus.txt", "recipe.json", "facts.tsv", "oracle.tsv"
_ORACLE_SENTENCES = 1 << 16
"""Of longer corpora, the oracle's file has the first ones."""


def make_folder(recipe: Recipe, count: int, folder: Path) -> dict[str, float]:
    """Write a corpus, its facts and its oracle; bits in all by code and role."""
    source = Source(recipe)
    sentences = source.draw(count)
    bits = {"marginal": marginal_bits(recipe, learner_for(recipe), sentences)}
    if recipe.law != "pitman-yor":
        bits = {"source": source_bits(source, sentences)} | bits
    folder.mkdir(parents=True)
    (folder / CORPUS).write_bytes(sentences.text())
    about = {"recipe": recipe.as_dict(), "sha256": recipe.sha256, "sentences": count}
    (folder / RECIPE).write_text(json.dumps(about, indent=1) + "\n", "utf-8")
    known = Sentences(
        recipe, np.zeros(recipe.facts, np.int64), np.zeros((recipe.facts, 3), np.int64),
        source.names, source.values,
    ).rows()  # fmt: skip
    chances = None if recipe.law == "pitman-yor" else source.chances
    with (folder / FACTS).open("w", encoding="ascii") as file:
        print("rank", "name", "value", "probability", sep="\t", file=file)
        for i, row in enumerate(known):
            name, value = row[2:4].tobytes().hex(), row[5:7].tobytes().hex()
            print(i + 1, name, value, "" if chances is None else repr(float(chances[i])),
                  sep="\t", file=file)  # fmt: skip
    with (folder / ORACLE).open("w", encoding="ascii") as file:
        print("sentence", "code", *(f"{r}{i}" for i, r in enumerate(ROLES)), sep="\t", file=file)
        for code, values in bits.items():
            for i, row in enumerate(values[:_ORACLE_SENTENCES]):
                print(i, code, *(f"{b:.6f}" for b in row), sep="\t", file=file)
    totals: dict[str, float] = {}
    for code, values in bits.items():
        totals |= {f"{code}, {role}": total for role, total in by_role(values).items()}
        totals[f"{code}, in all"] = float(values.sum())
    return totals


def open_folder(folder: Path) -> tuple[Recipe, Sentences]:
    """The corpus of a folder. Raises CorpusError or CorruptError."""
    try:
        about = json.loads((folder / RECIPE).read_text("utf-8"))
        fields = about["recipe"]
        for name in ("name_shape", "value_shape"):
            fields[name] = tuple(fields[name])
        recipe = Recipe(**fields)
        text = (folder / CORPUS).read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{folder}: this is not a corpus of 'lmzip lab make': {error}") from None
    return recipe, parse_sentences(recipe, text)


@dataclasses.dataclass(frozen=True)
class Coded:
    """A stream, decoded and compared, and what its bits are for."""

    learner: str
    count: int
    stream: bytes
    payload_bits: int
    bits: dict[str, float]
    """By role and frequency class, ideal; empty classes left out."""

    @property
    def file_bits(self) -> int:
        return 8 * len(self.stream)

    def as_dict(self) -> dict[str, Any]:
        return {
            "learner": self.learner, "sentences": self.count, "payload_bits": self.payload_bits,
            "file_bits": self.file_bits, "ideal_bits": self.bits, "decoded": True,
        }  # fmt: skip


def code_folder(folder: Path, coder: str, pack: Pack | None = None) -> Coded:
    """Code a folder's corpus by `py`, by `mix`, or by a pack.

    Raises CorpusError where the stream does not decode to the corpus, or a tokenizer's tokens are
    not the bytes.
    """
    recipe, sentences = open_folder(folder)
    if pack is None and coder == "py":
        learner = learner_for(recipe)
        stream, payload = encode_py(recipe, learner, sentences)
        back = np.array_equal(decode_py(stream).rows(), sentences.rows())
        bits = marginal_bits(recipe, learner, sentences)
        name = "py"
    else:
        stream, payload, bits, name, back = _by_model(sentences.rows(), coder, pack)
    if not back:
        raise CorpusError(f"{folder}: the stream does not decode to the corpus")
    return Coded(name, len(sentences), stream, 8 * payload, _parts(recipe, sentences, bits))


def _by_model(
    rows: NDArray[np.uint8], coder: str, pack: Pack | None
) -> tuple[bytes, int, NDArray[np.float64], str, bool]:
    """Stream, payload's bytes, bits of every byte, a name, and whether it decodes."""
    from ..codec import CodingParameters, OneModel, compress_stream, decompress_stream, token_costs
    from .exact import open_model, row_parameters, uniform_pack

    text = rows.tobytes()
    mixing = pack is None
    model = open_model(uniform_pack() if pack is None else pack)
    parameters = row_parameters(rows.shape[1])
    if mixing:  # it learns from the text that it codes, so there is one stream
        parameters = CodingParameters(window=16, stream_tokens=1 << 24, sinks=0, mixing_bits=18,
                                      block_bytes=16 << 20)  # fmt: skip
    if len(model.tokenizer.tokenize(text)) != len(text):
        raise CorpusError(f"{model.name}: its tokens are not single bytes")
    out, back = io.BytesIO(), io.BytesIO()
    summary = compress_stream(io.BytesIO(text), out.write, OneModel(model), parameters)
    out.seek(0)
    decompress_stream(out, back.write, OneModel(model))
    costs = token_costs(model, text, parameters)
    bits = np.where(np.isnan(costs.bits), costs.model_bits, costs.bits).reshape(rows.shape)
    name = "mix" if mixing else model.name
    return out.getvalue(), summary.payload_bytes, bits, name, back.getvalue() == text


def _parts(recipe: Recipe, sentences: Sentences, bits: NDArray[np.float64]) -> dict[str, float]:
    """By role, values by class, and in all."""
    found = dict(by_role(bits))
    facts = Source(recipe).facts_of(sentences)
    values = bits[:, [i for i, r in enumerate(ROLES) if r == "value"]].sum(axis=1)
    for klass in range(4):
        mine = (facts * 4 // recipe.facts) == klass
        if mine.any():
            found[f"values of class {klass + 1}"] = float(values[mine].sum())
    found["in all"] = float(bits.sum())
    return found
