"""Golden archives made given a text, in given/; `python -m tests.golden.archives` writes them."""

from __future__ import annotations

import dataclasses
import io
import random
from pathlib import Path
from unittest import mock

import lmzip
from lmzip.codec import ModelSource, SideInformation, SideParameters, compress_stream
from lmzip.format import Thoughts

from .archives import ENGLISH

FOLDER = Path(__file__).parent / "given"
Y = ENGLISH[:500].encode()
X = ENGLISH[300:420].replace("same", "equal").encode()
NOISE = random.Random(2).randbytes(200)
SMALL = lmzip.CodingParameters(window=30, sinks=2, stream_tokens=25, block_bytes=80, mixing_bits=9)


@dataclasses.dataclass(frozen=True)
class Case:
    """`content` behind `before` in one file, given that or `given` or nothing."""

    content: bytes
    parameters: lmzip.CodingParameters
    side: SideParameters
    given: bytes | None = None
    before: bytes = b""
    splitting: int = 1


ALWAYS = SideParameters(always=True)
CASES = {
    "given": Case(X, lmzip.CodingParameters(), ALWAYS, Y),
    "blocks": Case(X, SMALL, SideParameters(7, always=True), Y),
    "unmixed": Case(X, dataclasses.replace(SMALL, mixing_bits=0), ALWAYS, Y),
    "splitting": Case(X, lmzip.CodingParameters(), ALWAYS, b"\n" * 99 + Y, splitting=2),
    "dictionary": Case(NOISE[10:150], lmzip.CodingParameters(), SideParameters(), NOISE),
    "before": Case(X, lmzip.CodingParameters(), ALWAYS, before=Y[200:]),
    "thoughts": Case(X, SMALL, SideParameters(None, Thoughts(9, before=b"In short: "), True)),
    "chains": Case(
        X,
        lmzip.CodingParameters(window=40),
        SideParameters(12, Thoughts(5, 3, 2, 1234567, 11, b"(", b")"), always=True),
        Y,
    ),
}


def write(case: Case, models: ModelSource) -> bytes:
    """The file of a case, as it is made today."""
    out = io.BytesIO()
    side = SideInformation.nothing() if case.given is None else SideInformation.of(case.given)
    if case.before:
        compress_stream(io.BytesIO(case.before), out.write, models, case.parameters)
        side = SideInformation.before(case.before)
    with mock.patch("lmzip.codec.side.best_splitting", return_value=case.splitting):
        compress_stream(
            io.BytesIO(case.content), out.write, models, case.parameters,
            size_bytes=len(case.content), side=side, side_parameters=case.side,
        )  # fmt: skip
    return out.getvalue()
