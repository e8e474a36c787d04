"""Makes the golden archives: `python -m tests.golden.archives` writes all of them anew.

Once a version of lmzip is out in the world, archives made by it stay as they are for ever, and a
change of the format takes new ones beside them.
"""

from __future__ import annotations

import random
from pathlib import Path

import lmzip
from lmzip.codec import OneModel
from lmzip.engine import Pack
from lmzip.models.source import load_model

HERE = Path(__file__).parent

ENGLISH = """\
lmzip compresses text with a language model. The model says how likely each next token is, a range
coder turns that into bits, and the decoder asks the same model again. Every value is made by an
elementwise operation that all processors round alike, or by a sum of integers, which no order can
change. The archive names its model, the window and the length of the streams. A block decodes
without any other, and its checksum says whether the bytes are what was compressed. Where a file is
not text, the smaller of two classical answers is taken instead: another compressor, or the bytes
as they are. The header is read first, then the blocks, and at the end there is an index with the
length of each of them, so that a listing needs no decoding. An error is one line and an exit code;
nothing is left half written. The tests run every engine against the reference, bit for bit, at any
batch size, in one pass or token by token. Frequencies are integers that sum to a power of two.
"""
UNICODE = """\
The model returns tokens for any bytes: naïve, Größe, façade, 中文, and a 👍🏽 in the text. Where the
tokenizer has no token for a byte, a reserved one stands for it, and the decoder knows the table of
all the bytes. Invalid values such as these are coded like any other bytes of the text:
"""

CASES: dict[str, tuple[bytes, lmzip.CodingParameters]] = {
    "english": (ENGLISH.encode(), lmzip.CodingParameters()),
    "sliding": (
        ENGLISH.encode(),
        lmzip.CodingParameters(window=16, sinks=2, stream_tokens=60, block_bytes=400),
    ),
    "unicode": (
        UNICODE.encode() + b"\x00\xff\xfe\xc0\x80\n",
        lmzip.CodingParameters(window=32, stream_tokens=64),
    ),
    "unmixed": (
        ENGLISH.encode(),
        lmzip.CodingParameters(window=64, stream_tokens=100, mixing_bits=0),
    ),
    "rounds": (
        ENGLISH.encode(),
        lmzip.CodingParameters(window=32, stream_tokens=40, streams_at_once=3, mixing_bits=10),
    ),
    "empty": (b"", lmzip.CodingParameters()),
    "one": (b"x", lmzip.CodingParameters()),
    "noise": (random.Random(1).randbytes(3000), lmzip.CodingParameters(block_bytes=1024)),
    "zstd": (b"0123456789abcdef" * 200, lmzip.CodingParameters()),
    "long": (ENGLISH.encode() * 70, lmzip.CodingParameters(block_bytes=1 << 17)),
}


def main() -> None:
    """Write every archive, those made given a text too."""
    from . import side_archives

    pack = Pack.open(HERE / "golden-tiny.lmzpack")
    models = OneModel(load_model(pack))
    for name, (content, parameters) in CASES.items():
        path = HERE / f"{name}.lmz"
        path.write_bytes(lmzip.compress(content, model=models, parameters=parameters))
        print(f"{path.name}: {len(content)} -> {path.stat().st_size} bytes")
    side_archives.FOLDER.mkdir(exist_ok=True)
    for name, case in side_archives.CASES.items():
        path = side_archives.FOLDER / f"{name}.lmz"
        path.write_bytes(side_archives.write(case, models))
        content = case.before + case.content
        print(f"given/{path.name}: {len(content)} -> {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
