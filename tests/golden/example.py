"""The worked example of FORMAT.md: `python -m tests.golden.example` writes that section anew."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import lmzip
from lmzip import levels
from lmzip.codec import ArchiveIndex
from lmzip.format import (
    ArchiveMap,
    BlockHead,
    BlockKind,
    ModelReference,
    read_head,
    read_short,
)
from lmzip.format.fields import pack_varint

DOCUMENT = Path(__file__).parents[2] / "FORMAT.md"
BEGIN, END = "## Example\n", "## Glossary\n"
CONTENTS = (b"Hi.\n", b"one\ntwo\n", b"The quick brown fox jumps over the lazy dog.\n")
LEVEL = levels.level(3).parameters
PARAMETERS = (
    LEVEL,
    dataclasses.replace(LEVEL, block_bytes=4),
    dataclasses.replace(LEVEL, mixing_bits=0),
)
Row = tuple[bytes, str]

INTRODUCTION = """
This file of three archives, made by this program, holds the text `Hi.`, the two lines `one` and
`two` in a block each, and `The quick brown fox jumps over the lazy dog.`, all with a line end
behind each line:

"""
CLOSING = """
A decoder of the third archive has the model of that identity predict the first token behind the
start token, and so on; when it has decoded {tokens} tokens, in one round of one stream, it is done.

"""


def example() -> bytes:
    """The file."""
    made = zip(CONTENTS, PARAMETERS, strict=True)
    return b"".join(lmzip.compress(data, parameters=parameters) for data, parameters in made)


def _model(model: ModelReference) -> list[Row]:
    packed = model.pack()
    number = packed[0]
    what = f"parameter set {number}" if number else "no parameter set: the fields follow"
    rows = [(packed[:1], f"{what}; no name"), (packed[1:5], "identity of the model")]
    if not number:
        assert not model.mixing
        rows += [
            (pack_varint(model.numerics), f"version of the arithmetic: {model.numerics}"),
            (pack_varint(model.window), f"window: {model.window}"),
            (pack_varint(model.sinks), f"sinks: {model.sinks}"),
            (pack_varint(model.stream_tokens), f"stream length: {model.stream_tokens:,}"),
            (pack_varint(model.streams_at_once), f"streams at once: {model.streams_at_once}"),
            (pack_varint(model.mixing), "version of mixing: none"),
        ]
    return rows


def _lengths(head: BlockHead) -> list[Row]:
    rows = [(pack_varint(head.content_bytes), f"length of the contents: {head.content_bytes}")]
    if head.kind != BlockKind.STORED:
        payload = f"length of the payload: {head.payload_bytes}"
        rows.append((pack_varint(head.payload_bytes), payload))
    if head.kind.modelled:
        rows.append((pack_varint(head.tokens), f"number of tokens: {head.tokens}"))
    return rows


def _payload(payload: bytes, kind: BlockKind) -> Row:
    shown = f": `{payload.decode()}`".replace("\n", "\\n") if kind == BlockKind.STORED else ""
    return payload, "payload" + shown


def _rows(blob: bytes, archive: ArchiveMap) -> list[Row]:
    header, start = archive.header, archive.start
    form = (
        "an ordinary archive of version 1, with a size and a model section"
        if header.only is None
        else f"a short archive of version 1, its block of kind {int(header.only)}"
    )
    rows = [(blob[start : start + 3], "magic"), (blob[start + 3 : start + 4], f"form: {form}")]
    if header.size_bytes is not None:
        rows.append((pack_varint(header.size_bytes), f"size of the contents: {header.size_bytes}"))
    if header.model is not None:
        rows += _model(header.model)
    rest = io.BytesIO(blob)
    rest.seek(start + len(archive.header_data))
    if header.short:
        block, _ = read_short(rest, header, archive.header_data)
        crc = block.content_crc.to_bytes(4, "little")
        rows += [*_lengths(block.head), _payload(block.payload, block.kind)]
        return [*rows, (crc, "CRC-32 of all before, and the contents")]
    rows.append((archive.header_data[-4:], "CRC-32 of the header"))
    for number, place in enumerate(archive.block_starts(), 1):
        rest.seek(place)
        head, taken = read_head(rest, header)
        rows += [(bytes([head.kind]), f"block {number}: kind {int(head.kind)}"), *_lengths(head)]
        crcs, end = place + taken, place + archive.blocks[number - 1][1]
        rows.append((blob[crcs : crcs + 4], "CRC-32 of the contents"))
        rows.append((blob[crcs + 4 : crcs + 8], "CRC-32 of the block"))
        rows.append(_payload(blob[crcs + 8 : end], head.kind))
    return rows + _trailer(blob, archive)


def _trailer(blob: bytes, archive: ArchiveMap) -> list[Row]:
    trailer = archive.trailer
    assert trailer is not None
    header, count = trailer.header_bytes, len(trailer.blocks)
    rows = [
        (b"\0", "trailer"),
        (pack_varint(header), f"length of the header: {header}"),
        (pack_varint(count), f"number of blocks: {count}"),
    ]
    for number, (content, size) in enumerate(trailer.blocks, 1):
        pair = pack_varint(content) + pack_varint(size)
        rows.append((pair, f"block {number}: {content} bytes of contents, {size} in all"))
    tail = blob[archive.end - 12 : archive.end]
    length = int.from_bytes(tail[4:8], "little")
    return [
        *rows,
        (trailer.content_hash, "BLAKE2b of all contents"),
        (tail[:4], "CRC-32 of the trailer"),
        (tail[4:8], f"length of the trailer: {length}"),
        (tail[8:], "end mark"),
    ]


def section() -> str:
    """The text of the section."""
    blob = example()
    index = ArchiveIndex(io.BytesIO(blob))
    lines = ["| at | bytes | meaning |", "|---|---|---|"]
    position = 0
    for archive in index.archives:
        for data, meaning in _rows(blob, archive):
            lines.append(f"| {position} | `{data.hex(' ').upper()}` | {meaning} |")
            position += len(data)
    assert position == len(blob)
    tokens = sum(head.tokens for head in index.heads(2))
    return BEGIN + INTRODUCTION + "\n".join(lines) + "\n" + CLOSING.format(tokens=tokens)


def main() -> None:
    """Replace the section in the document."""
    text = DOCUMENT.read_text("utf-8")
    before, rest = text.split(BEGIN)
    DOCUMENT.write_text(before + section() + END + rest.split(END)[1], "utf-8")


if __name__ == "__main__":
    main()
