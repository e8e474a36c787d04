"""FORMAT.md: its example decodes, and a parser made from it reads what the program writes."""

from __future__ import annotations

import dataclasses
import io
import random
import re

import pytest

import lmzip
from lmzip.codec import ArchiveIndex, CodingParameters
from lmzip.errors import LmzipError
from lmzip.format import PARAMETER_SETS, map_archives

from . import independent_parser
from .conftest import GOLDEN
from .golden import side_archives
from .golden.example import BEGIN, CONTENTS, DOCUMENT, END, section
from .test_codec import SOLID, TEXT

FILES = sorted(GOLDEN.rglob("*.lmz"))


def example():
    """The bytes of the document's table, each row where it says that it is."""
    text = DOCUMENT.read_text("utf-8").split(BEGIN)[1].split(END)[0]
    blob = b""
    for at, data in re.findall(r"^\| (\d+) \| `([0-9A-F ]+)` \|", text, re.M):
        assert int(at) == len(blob)
        blob += bytes.fromhex(data)
    return blob


def test_the_example_decodes():
    blob = example()
    assert lmzip.decompress(blob) == b"".join(CONTENTS)
    assert [len(archive["blocks"]) for archive in independent_parser.parse(blob)] == [1, 2, 1]


def test_the_example_is_what_the_program_writes():
    """`python -m tests.golden.example` puts it right if not."""
    text = DOCUMENT.read_text("utf-8")
    assert section() + END in text


def test_the_parameter_sets_are_those_of_the_document():
    assert list(independent_parser.SETS) == list(range(1, len(PARAMETER_SETS) + 1))
    assert [tuple(row) for row in independent_parser.SETS.values()] == list(PARAMETER_SETS)


def agree(blob):
    """Whether the parser finds in a file what the program does; what it found."""
    index = ArchiveIndex(io.BytesIO(blob))
    parsed = independent_parser.parse(blob)
    assert [a["start"] for a in parsed] == [a.start for a in index.archives]
    assert independent_parser.find(blob) == [a["start"] for a in parsed]
    for number, (got, expected) in enumerate(zip(parsed, index.archives, strict=True)):
        header, trailer = expected.header, expected.trailer
        assert (got["end"], got["short"]) == (expected.end, header.short)
        assert got["size"] == header.size_bytes
        assert got["hash"] == (None if trailer is None else trailer.content_hash)
        model = None if header.model is None else dataclasses.asdict(header.model)
        assert got["solid"] == (model.pop("solid") if model else False)
        assert got["model"] == model
        side = None if header.side is None else dataclasses.asdict(header.side)
        assert got["side"] == side
        heads = index.heads(number)
        for block, head in zip(got["blocks"], heads, strict=True):
            assert block["kind"] | block["given"] << 3 == head.kind
            assert (block["content"], block["tokens"]) == (head.content_bytes, head.tokens)
            assert len(block["payload"]) == head.payload_bytes
    return parsed


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_the_parser_reads_the_golden_archives(path):
    agree(path.read_bytes())


def test_the_parser_reads_files_of_many_archives():
    """All golden archives one behind the other, in several orders; all kinds are among them."""
    blobs = [path.read_bytes() for path in FILES]
    found = set()
    for seed in range(6):
        random.Random(seed).shuffle(blobs)
        for archive in agree(b"".join(blobs)):
            found |= {(archive["short"], b["kind"], b["given"]) for b in archive["blocks"]}
    kinds = {(kind, given) for _short, kind, given in found}
    assert kinds == {
        (1, False),
        (2, False),
        (3, False),
        (4, False),
        (2, True),
        (3, True),
        (4, True),
    }
    assert {short for short, _kind, _given in found} == {True, False}


def test_the_parser_reads_other_archives(tiny_models):
    noise = random.Random(1).randbytes(70_000)
    for data, parameters in (
        (TEXT * 2, SOLID),
        (noise, CodingParameters()),
        (bytes(100_000), CodingParameters()),
        (bytes(100_000), CodingParameters(block_bytes=1 << 15, window=8)),
    ):
        blob = lmzip.compress(data, model=tiny_models, parameters=parameters)
        (archive,) = agree(blob)
        assert not archive["short"]
        assert archive["solid"] == parameters.solid
    (archive,) = agree(lmzip.compress(TEXT[:90]))
    assert archive["model"]["name"] == ""


def test_parser_and_program_refuse_the_same_files(tiny_models):
    """Flipped bits and truncations of everything around payloads."""
    noise = random.Random(2).randbytes(20)
    given = {"given/dictionary": side_archives.NOISE, "given/blocks": side_archives.Y}
    for name in ("noise", "one", "empty", "zstd", *given):
        blob = (GOLDEN / f"{name}.lmz").read_bytes()
        places = range(8 * len(blob)) if len(blob) < 200 else range(0, 8 * len(blob), 61)
        damaged = [blob, *(blob[:n] for n in range(0, len(blob), 1 + len(blob) // 100))]
        damaged += [blob + noise, blob + blob[:5], noise, blob * 2]
        for place in places:
            flipped = bytearray(blob)
            flipped[place // 8] ^= 1 << place % 8
            damaged.append(bytes(flipped))
        for data in damaged:
            try:
                starts = [archive["start"] for archive in independent_parser.parse(data)]
            except independent_parser.Invalid:
                starts = None
            try:
                lmzip.decompress(data, model=tiny_models, given=given.get(name))
                decoded = True
            except LmzipError:
                decoded = False
            assert starts is not None or not decoded, (name, data.hex())
            if starts is not None:  # well formed: the program finds the same in it
                assert [a.start for a in map_archives(io.BytesIO(data))] == starts
