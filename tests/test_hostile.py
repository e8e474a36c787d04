"""Archives that somebody made to do harm: right checksums around any fields and payloads.

Whatever they say, a reader gives an LmzipError or what their checksums are of.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lmzip
from lmzip.codec import (
    ArchiveIndex,
    BlockReader,
    SideInformation,
    TimeBudget,
    ledger,
    model_reference,
)
from lmzip.errors import LmzipError
from lmzip.format import (
    PARAMETER_SETS,
    Block,
    BlockKind,
    Header,
    ModelReference,
    SideReference,
    SideSource,
    Thoughts,
    Trailer,
    content_crc,
    pack_short,
)

from .test_codec import SMALL, TEXT

LIMIT = 64 << 20
"""Bytes of cache."""
SECONDS = 2.0
"""Of decoding, as reckoned from headers: an archive may ask for days."""
Y = b"It is given."

NAMES = [field.name for field in dataclasses.fields(ModelReference)][2:-1]


def near(*values):
    """These, and small numbers, and their neighbours."""
    around = {n + d for n in values for d in (-1, 0, 1) if n + d >= 0}
    return st.sampled_from(sorted(around)) | st.integers(0, 40)


USE = st.tuples(
    near(1),
    near(1, 12, 512, 1 << 20),
    near(4, 1024),
    near(1, 20, 1 << 24),
    near(0, 2, 1 << 16),
    st.sampled_from([0, 1, 1, 2]),
    st.sampled_from([8, 9, 12, 24, 7, 25]),
) | st.sampled_from(PARAMETER_SETS)
THOUGHTS = st.builds(
    Thoughts,
    near(1, 1 << 16),
    near(1, 2, 256),
    st.integers(0, 16),
    near(0, (1 << 62) - 1),
    near(0, 1, 1 << 24),
    st.binary(max_size=5),
    st.binary(max_size=5),
    st.integers(0, (1 << 32) - 1),
)
GIVEN = SideInformation.of(Y).reference()
SIDES = st.builds(
    SideReference,
    st.sampled_from(SideSource),
    st.just(GIVEN.length_bytes),
    st.just(GIVEN.digest),
    st.integers(1, 2),
    near(0, 9, 1 << 20),
    st.none() | THOUGHTS,
)
PAYLOADS = st.binary(max_size=60) | st.integers(0, 300).map(lambda n: TEXT[n : n + 60])


@st.composite
def blocks(draw, kinds=tuple(BlockKind)):
    kind = draw(st.sampled_from(kinds))
    payload = draw(PAYLOADS)
    content = len(payload) + draw(st.sampled_from([0, 0, 1, 300]))
    if kind == BlockKind.STORED:
        content = len(payload)
    tokens = draw(st.integers(1, max(1, content))) if kind.modelled else 0
    return Block(kind, content, draw(st.just(content_crc(payload))), payload, tokens)


@st.composite
def models(draw, identity):
    name = draw(st.sampled_from(["", "x"]))
    return ModelReference(identity, name, *draw(USE), solid=draw(st.booleans()))


def ordinary(header, parts, content_hash):
    packed = [block.pack() for block in parts]
    index = tuple((b.content_bytes, len(p)) for b, p in zip(parts, packed, strict=True))
    data = header.pack()
    return data + b"".join(packed) + Trailer(len(data), index, content_hash).pack()


def read_everything(blob, tiny_models):
    """The contents, by both ways of reading, if there is no LmzipError."""
    found = None
    with contextlib.suppress(LmzipError):
        found = lmzip.decompress(
            blob, model=tiny_models, given=Y, memory_limit=LIMIT, time_limit=SECONDS
        )
    with contextlib.suppress(LmzipError):
        index = ArchiveIndex(io.BytesIO(blob))
        assert sum(item.bits for item in ledger(index)) == 8 * len(blob)
        for number in range(len(index.archives)):
            index.work(number)
        reader = BlockReader(
            index, tiny_models, LIMIT, SideInformation.of(Y), time=TimeBudget(SECONDS)
        )
        parts = b"".join(reader.range(0, index.content_bytes))
        assert found is None or parts == found
    return found


settle = settings(
    deadline=None,
    max_examples=250,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@settle
@given(st.data())
def test_ordinary_archives(tiny_models, data):
    identity = tiny_models.model.identity[:4]
    model = data.draw(st.none() | models(identity))
    side = data.draw(st.none() | SIDES)
    size = data.draw(st.none() | st.integers(0, 200))
    parts = data.draw(st.lists(blocks(), max_size=3))
    plain = b"".join(block.payload for block in parts)
    content_hash = hashlib.blake2b(plain, digest_size=8).digest()
    blob = ordinary(Header(model, size, side), parts, content_hash)
    found = read_everything(blob, tiny_models)
    if found is not None:
        assert found == plain


@settle
@given(st.data())
def test_short_archives(tiny_models, data):
    identity = tiny_models.model.identity[:4]
    block = data.draw(blocks())
    kind = block.kind
    model = dataclasses.replace(data.draw(models(identity)), solid=False)
    side = data.draw(SIDES) if kind.given else None
    header = Header(model if kind.modelled else None, None, side, kind)
    blob = pack_short(header, block, block.payload)
    found = read_everything(blob, tiny_models)
    if found is not None:
        assert found == block.payload


@settle
@given(st.data())
def test_what_a_model_makes_of_any_payload(tiny_models, data):
    """Headers that make sense, so that decoding begins; the payload is anything."""
    model = model_reference(tiny_models.model, SMALL)
    side = SideReference(SideSource.GIVEN, GIVEN.length_bytes, GIVEN.digest, 1, 5)
    modelled = [kind for kind in BlockKind if kind.modelled]
    parts = data.draw(st.lists(blocks(modelled), min_size=1, max_size=2))
    blob = ordinary(Header(model, None, side), parts, bytes(8))
    assert read_everything(blob, tiny_models) is None
