"""The state that mixing starts with (NUMERICS.md, section 13), learned from training texts.

    python -m training.mixing MODEL --corpora FOLDER -o PACK

Slices of the training texts, and tables made up here, are coded one after the other by the codec's
own loop. Every text begins with empty tables, but with the weights and maps that the texts before
it have left. The state at the end, rounded, becomes the tensors `mixing.*` of the pack.
"""

from __future__ import annotations

import json
import lzma
import random
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from lmzip.api import models_home
from lmzip.codec import CodecModel
from lmzip.codec.job import encode_job
from lmzip.codec.lm import code_jobs
from lmzip.engine.weights import Pack
from lmzip.levels import LEVELS
from lmzip.mix import MixingStart, NativeMixer
from lmzip.models.convert import with_tensors, write_pack
from lmzip.models.source import load_model
from lmzip.models.starts import start_name
from lmzip.models.store import ModelStore

INPUTS, FINAL_INPUTS = 64, 8
WEIGHT_UNIT, FINAL_UNIT = 128, 16
"""What one unit of a start's weights is in the mixer's own."""
SMOOTHING = 200
"""Uses that a row of weights needs to be believed as much as the mean of its set."""
TABLE_BITS = 18

SLICES = (
    ("wikipedia_xml_2016_en.xml", 1_000_000, 200_000),
    ("gutenberg_en.txt", 9_000_000, 60_000),
    ("code_c_cpp.c", 2_000_000, 250_000),
    ("docs_de.txt", 100_000, 60_000),
    ("code_js.js", 500_000, 100_000),
    ("manpages_en.txt", 600_000, 5_000),
    ("docs_fr.txt", 300_000, 40_000),
    ("peps_pre2025.rst", 500_000, 40_000),
    ("code_python.py", 1_000_000, 150_000),
    ("docs_ja.txt", 500_000, 40_000),
    ("linux_docs_en.rst", 1_000_000, 150_000),
    ("docs_ru.txt", 500_000, 100_000),
    ("code_go.go", 1_000_000, 60_000),
    ("dict_foldoc_en.txt", 300_000, 40_000),
    ("novels_en_100_cs.txt", 1_000_000, 150_000),
    ("manpages_en.txt", 300_000, 40_000),
    ("gutenberg_en.txt", 5_000_000, 3_000),
    ("code_rust.rs", 900_000, 80_000),
    ("gutenberg_en.txt", 5_500_000, 150_000),
)
"""File, first byte, bytes."""


def slices(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The texts, each with a name."""
    words = []
    for name, start, size in SLICES:
        with lzma.open(folder / f"{name}.xz") as file:
            file.read(start)
            text = file.read(size).replace(b"\n\n\x1e\n", b"\n\n")
        yield name, text
        words += text.decode(errors="ignore").split()[:400]
        if name == "code_c_cpp.c":
            yield "CSV", table(words, ",", 60_000)
        elif name == "code_js.js":
            yield "JSON lines", json_lines(words, 80_000)
        elif name == "code_go.go":
            yield "TSV", table(words, "\t", 30_000)
        elif name == "code_rust.rs":
            yield "JSON", json_document(words, 60_000)


def record(random_: random.Random, words: list[str], number: int) -> dict[str, object]:
    """A made-up record with fields as tables have them."""
    year, month, day = (random_.randint(*span) for span in ((10, 25), (1, 12), (1, 28)))
    return {
        "id": 10_000 + number,
        "date": f"20{year}-{month:02}-{day:02}",
        "name": " ".join(random_.choices(words, k=2)),
        "amount": round(random_.expovariate(0.01), 2),
        "status": random_.choice(("open", "closed", "closed", "pending")),
        "note": " ".join(random_.choices(words, k=random_.randint(0, 8))),
    }


def records(words: list[str], seed: int) -> Iterator[dict[str, object]]:
    """Records without end."""
    random_ = random.Random(seed)
    plain = [word for word in words if word.isalnum()]
    number = 0
    while True:
        number += random_.choice((1, 1, 1, 2))
        yield record(random_, plain, number)


def table(words: list[str], separator: str, size: int) -> bytes:
    """Lines of fields."""
    text = ""
    for one in records(words, len(words)):
        if len(text) >= size:
            return text.encode()
        text += separator.join(str(value) for value in one.values()) + "\n"
    raise AssertionError


def json_lines(words: list[str], size: int) -> bytes:
    """An object a line."""
    text = ""
    for one in records(words, len(words)):
        if len(text) >= size:
            return text.encode()
        text += json.dumps(one) + "\n"
    raise AssertionError


def json_document(words: list[str], size: int) -> bytes:
    """One indented list of nested objects."""
    found: list[dict[str, object]] = []
    for one in records(words, len(words)):
        if len(found) * 250 >= size:
            return json.dumps({"version": 2, "items": found}, indent=2).encode()
        found.append({"type": "item", "attributes": one, "links": {"self": f"/items/{one['id']}"}})
    raise AssertionError


def smoothed(
    rows: NDArray[np.int16] | NDArray[np.int32], uses: NDArray[np.uint32], sets: list[int]
) -> NDArray[np.float64]:
    """Rows of weights, those that were hardly used drawn to the mean of their set."""
    parts = []
    for part, count in zip(np.split(rows, sets), np.split(uses, sets), strict=True):
        mean = np.average(part, axis=0, weights=np.sqrt(count) + 1e-9)
        own = (count / (count + SMOOTHING))[:, None]
        parts.append(own * part + (1 - own) * mean)
    return np.concatenate(parts)


def learn_start(model: CodecModel, texts: Iterator[tuple[str, bytes]]) -> MixingStart:
    """The start that these texts teach a model's mixer."""
    parameters = LEVELS[2].parameters
    cut = parameters.stream_tokens, parameters.streams_at_once
    mixer = NativeMixer(model.token_bytes, parameters.streams_at_once, TABLE_BITS)
    mixer.native.count_uses()
    for name, text in texts:
        mixer.native.forget()
        job = encode_job(model.tokenizer.tokenize(text), *cut, mixer=mixer)
        window = parameters.window_for(model.engine.config.context)
        code_jobs(model.engine, [job], window=window, sinks=parameters.sinks)
        print(f"{name}: {len(text):,} bytes to {len(job.encoder.finish()):,}", flush=True)
    rows, final_rows, cells = mixer.native.sizes
    weights, uses = np.zeros(rows * INPUTS, np.int16), np.zeros(rows, np.uint32)
    finals, final_uses = (
        np.zeros(final_rows * FINAL_INPUTS, np.int32),
        np.zeros(final_rows, np.uint32),
    )
    maps = np.zeros(cells, np.uint16)
    mixer.native.state(weights, uses, finals, final_uses, maps)
    sets = np.cumsum(mixer.native.set_sizes)[:-1].tolist()
    mean = smoothed(weights.reshape(rows, INPUTS), uses, sets)
    mean_finals = smoothed(finals.reshape(final_rows, FINAL_INPUTS), final_uses, [])
    return MixingStart(
        np.clip(np.rint(mean / WEIGHT_UNIT), -127, 127).astype(np.int8).ravel(),
        np.clip(np.rint(mean_finals / FINAL_UNIT), -32767, 32767).astype(np.int16).ravel(),
        maps,
    )


@click.command()
@click.argument("model")
@click.option("--corpora", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
@click.option("--embed", is_flag=True, help="Write the start alone, as lmzip embeds it; "
              "PACK is then a folder.")  # fmt: skip
@click.option("--general", is_flag=True, help="Print the mean of all weights, the general start.")
def main(model: str, corpora: Path, output: Path, embed: bool, general: bool) -> None:
    """Write MODEL (a name or a pack) with a start that the texts of FOLDER/train have taught it."""
    path = Path(model)
    pack = Pack.open(path) if path.exists() else ModelStore(models_home()).open(model)
    bare = with_tensors(pack, {})
    start = learn_start(load_model(bare, tokenizing=True), slices(corpora / "train"))
    if general:
        print(np.rint(start.weights.reshape(-1, INPUTS).mean(axis=0)).astype(int).tolist())
    if embed:
        from safetensors.numpy import save

        name = start_name(pack.tensors["tokens.offsets"], pack.tensors["tokens.bytes"])
        (output / name).write_bytes(save(start.tensors()))
        print(output / name)
        return
    made = with_tensors(pack, start.tensors())
    write_pack(made, output)
    print(f"{output}: identity {made.identity.hex()}")


if __name__ == "__main__":
    main()
