"""Archives made given a text: round trips, what refuses to decode, what they cost."""

from __future__ import annotations

import dataclasses
import io
import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lmzip
from lmzip.codec import (
    ArchiveIndex,
    CodingParameters,
    OneModel,
    SideInformation,
    SideParameters,
    compress_stream,
    decompress_stream,
    ledger,
    model_reference,
)
from lmzip.codec.block_encoder import BlockEncoder
from lmzip.codec.conditioned import ConditionedEngine
from lmzip.codec.decompressor import BlockDecoder
from lmzip.codec.job import encode_job
from lmzip.codec.lm import code_jobs
from lmzip.errors import CorruptError, LmzipError, SideInformationError
from lmzip.format import Block, BlockKind, Header, SideReference, SideSource, Trailer, content_crc
from lmzip.models.source import load_model

from .test_codec import SMALL, TEXT

UNMIXED = dataclasses.replace(SMALL, mixing_bits=0)
ROUNDS = dataclasses.replace(SMALL, streams_at_once=2, stream_tokens=15, mixing_bits=9)
WIDE = CodingParameters(window=100, stream_tokens=400, mixing_bits=10)
Y = TEXT[:200]
REVISED = Y.replace(b"lazy", b"sleepy").replace(b"Of all", b"Among all")


def archive(x, side, models, parameters=SMALL, *, forced=False, prefix=None, **options):
    """An archive of x given `side`: bytes, or SideInformation."""
    if isinstance(side, bytes):
        side = SideInformation.of(side)
    out = io.BytesIO()
    compress_stream(
        io.BytesIO(x), out.write, models, parameters, size_bytes=len(x), side=side,
        side_parameters=SideParameters(prefix, None, forced), **options,
    )  # fmt: skip
    return out.getvalue()


def contents(blob, y, models, **options):
    out = io.BytesIO()
    side = None if y is None else SideInformation.of(y)
    decompress_stream(io.BytesIO(blob), out.write, models, side=side, **options)
    return out.getvalue()


def kinds(blob):
    return {kind.name for kind, n in ArchiveIndex(io.BytesIO(blob)).kinds().items() if n}


def check(blob, x, y, models):
    """It decodes, at once and by random access, and the ledger has every bit."""
    assert contents(blob, y, models) == x
    index = ArchiveIndex(io.BytesIO(blob))
    assert sum(item.bits for item in ledger(index)) == 8 * len(blob)
    with lmzip.open(io.BytesIO(blob), model=models, given=y) as file:
        file.seek(len(x) // 2)
        assert file.read() == x[len(x) // 2 :]


ANY = st.one_of(
    st.binary(max_size=350),
    st.text(max_size=120).map(str.encode),
    st.integers(0, 300).map(lambda n: TEXT[n : n + 350]),
)


@settings(deadline=None, max_examples=60)
@given(ANY, ANY.filter(len), st.sampled_from([SMALL, UNMIXED, ROUNDS, WIDE]), st.booleans())
def test_round_trips(tiny_models, x, y, parameters, forced):
    check(archive(x, y, tiny_models, parameters, forced=forced), x, y, tiny_models)


@settings(deadline=None, max_examples=60)
@given(ANY, ANY.filter(len), st.sampled_from([SMALL, UNMIXED, WIDE]))
def test_it_never_costs_more_than_it_helps(tiny_models, x, y, parameters):
    """One block: not a byte. More: the side section, which tells what is needed."""
    plain = lmzip.compress(x, model=tiny_models, parameters=parameters)
    blob = archive(x, y, tiny_models, parameters)
    single = len(x) <= parameters.block_bytes
    assert len(blob) <= len(plain) + (0 if single else 20)


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("parameters", [SMALL, UNMIXED, ROUNDS])
@pytest.mark.parametrize("prefix", [0, 1, 30, 1000, None])
def test_prefixes_of_any_length(tiny_models, parameters, prefix, forced):
    """None at all, within the window, longer than it, longer than y."""
    blob = archive(TEXT, Y, tiny_models, parameters, prefix=prefix, forced=forced)
    check(blob, TEXT, Y, tiny_models)
    side = ArchiveIndex(io.BytesIO(blob)).archives[0].header.side
    assert side.prefix_tokens == (parameters.window - 1 if prefix is None else prefix)
    if forced:
        assert kinds(blob) == {"GIVEN_MIXED"} if parameters.mixing_bits else {"GIVEN_LM"}


@pytest.mark.parametrize("window", [500, 30])
def test_a_prefix_is_as_if_it_had_been_coded_before(tiny_model, window):
    """bits(y, x) = bits(y) + bits(x given y), the window sliding or not."""
    x, y = (tiny_model.tokenizer.tokenize(data) for data in (REVISED, Y))

    def bits(ids, prefix):
        job = encode_job(ids, 1000)
        engine = ConditionedEngine(tiny_model.engine, prefix)
        code_jobs(engine, [job], window=window, sinks=3)
        return job.encoder.ideal_bits

    joint = bits(np.concatenate([y, x]), y[:0])
    assert joint == pytest.approx(bits(y, y[:0]) + bits(x, y), abs=1e-6)
    assert joint != pytest.approx(bits(y, y[:0]) + bits(x, y[:0]), abs=1e-3)


def test_the_prefix_is_the_end_of_the_text(tiny_models):
    """What stands before it changes the hash and nothing else."""
    payloads = []
    for y in (Y, b"x\n" + Y, Y + b"!"):
        blob = archive(REVISED, y, tiny_models, UNMIXED, prefix=5, forced=True)
        payloads.append(ArchiveIndex(io.BytesIO(blob)).read_block(0)[1].payload)
    assert payloads[0] == payloads[1] != payloads[2]


def test_given_is_smaller_and_equal_is_tiny(tiny_models):
    plain = len(lmzip.compress(REVISED, model=tiny_models, parameters=WIDE))
    forced = archive(REVISED, Y, tiny_models, WIDE, forced=True)
    assert kinds(forced) == {"GIVEN_MIXED"}
    assert len(forced) < plain * 0.8
    assert len(archive(REVISED, Y, tiny_models, WIDE)) <= len(forced)
    same = archive(Y, Y, tiny_models, WIDE)
    assert len(same) < 60
    check(same, Y, Y, tiny_models)


@pytest.mark.parametrize(
    "y", [b"\x37\xa4\x30\xec" + bytes(range(200)), random.Random(2).randbytes(3000)]
)
def test_dictionaries(tiny_models, y):
    """Bytes that no model predicts: zstd knows them from y, which is larger than a block."""
    x = y[50:] + b"!" + y[:170]
    parameters = CodingParameters(window=12, stream_tokens=40, sinks=2, block_bytes=1000)
    for data in (x, y, y[:100]):
        blob = archive(data, y, tiny_models, parameters)
        assert "GIVEN_ZSTD" in kinds(blob)
        assert len(blob) < len(lmzip.compress(data, model=tiny_models, parameters=parameters)) - 40
        check(blob, data, y, tiny_models)


def test_a_dictionary_alone_names_no_model(tiny_models):
    y = random.Random(3).randbytes(70_000)
    for x in (y[:900], y, random.Random(4).randbytes(69_000) + y[:1200]):
        blob = archive(x, y, tiny_models, CodingParameters(window=12, stream_tokens=40, sinks=2))
        frame = ArchiveIndex(io.BytesIO(blob)).archives[0]
        assert (frame.header.model, kinds(blob)) == (None, {"GIVEN_ZSTD"})
        assert len(blob) < (69_200 if len(x) > len(y) else 100)
        check(blob, x, y, tiny_models)
    assert not frame.header.short


def test_what_does_not_profit_is_made_as_without(tiny_models):
    cases = [(TEXT[:250], b"q"), (b"", Y), (random.Random(4).randbytes(250), Y), (b"x", b"y")]
    for parameters in (SMALL, UNMIXED):
        for x, y in cases:
            blob = archive(x, y, tiny_models, parameters)
            assert blob == lmzip.compress(x, model=tiny_models, parameters=parameters)
            assert contents(blob, None, tiny_models) == x
            assert contents(blob, b"anything else", tiny_models) == x


def test_a_little_profit_does_not_pay_for_the_header(tiny_models, monkeypatch):
    """The attempt without y goes on until it can no longer make the smaller archive."""
    x, y = TEXT[:120], random.Random(8).randbytes(30)
    plain = lmzip.compress(x, model=tiny_models, parameters=UNMIXED)
    payload = ArchiveIndex(io.BytesIO(plain)).read_block(0)[1].payload
    attempt = BlockEncoder._attempt

    def a_little_better(self, tokens, budgets, scale, *, given):
        found, jobs = attempt(self, tokens, budgets, scale, given=given)
        if given:
            jobs[0].coder = Finished(payload[:-saved])
        return found, jobs

    class Finished:
        ideal_bits = 0.0

        def __init__(self, payload):
            self._payload = payload

        def finish(self):
            return self._payload

    monkeypatch.setattr(BlockEncoder, "_attempt", a_little_better)
    side = SideReference(SideSource.GIVEN, len(y), bytes(4), 1, UNMIXED.window - 1)
    cost = len(side.pack(model=True))
    saved = cost - 1
    assert archive(x, y, tiny_models, UNMIXED) == plain
    saved = cost + 1
    assert kinds(archive(x, y, tiny_models, UNMIXED)) == {"GIVEN_LM"}


@pytest.mark.parametrize("parameters", [WIDE, SMALL, UNMIXED])
def test_wrong_or_missing_texts_are_refused(tiny_models, parameters):
    blob = archive(TEXT, Y, tiny_models, parameters)
    other = bytearray(Y)
    other[0] ^= 1
    for wrong in (None, bytes(other), Y + b"\n", Y[1:], b"x"):
        with pytest.raises(SideInformationError, match="given 200 bytes with hash"):
            contents(blob, wrong, tiny_models)
        with (
            pytest.raises(SideInformationError),
            lmzip.open(io.BytesIO(blob), model=tiny_models, given=wrong) as file,
        ):
            file.read()


def test_a_random_text_never_decodes_to_something_else(tiny_models):
    """Even if its length and hash were right: the contents have a checksum."""
    blob = archive(REVISED, Y, tiny_models, WIDE, forced=True)
    right = SideInformation.of(Y)
    wrong = dataclasses.replace(right, tail=Y[:-1] + b"?")
    with pytest.raises(CorruptError, match="not decode"):
        decompress_stream(io.BytesIO(blob), lambda data: None, tiny_models, side=wrong)


@pytest.mark.parametrize("parameters", [SMALL, UNMIXED, ROUNDS])
def test_who_makes_it_and_how_changes_no_byte(tiny_pack, tiny_models, parameters, monkeypatch):
    from lmzip.mix import interface

    x = (REVISED + TEXT)[:650]
    expected = archive(x, Y, tiny_models, parameters)
    assert any(kind.startswith("GIVEN") for kind in kinds(expected))
    for blocks, rows in ((2, 7), (100, 1), (1, 512)):
        got = archive(x, Y, tiny_models, parameters, blocks_in_flight=blocks, slice_rows=rows)
        assert got == expected
        assert contents(expected, Y, tiny_models, blocks_in_flight=blocks) == x
    reference = OneModel(load_model(tiny_pack, engine="reference", threads=1))
    monkeypatch.setattr(interface, "extension", None)
    assert archive(x, Y, reference, parameters) == expected
    assert contents(expected, Y, reference) == x


def flips(blob, x, y, models, step=1):
    """A flipped bit is an error, or it was none that matters."""
    errors = 0
    for position in range(0, 8 * len(blob), step):
        damaged = bytearray(blob)
        damaged[position // 8] ^= 1 << (position % 8)
        try:
            assert contents(bytes(damaged), y, models) == x
        except LmzipError:
            errors += step
    assert errors > 8 * len(blob) * 0.9


def test_damage_is_never_wrong_data(tiny_models):
    y, noise = TEXT[:60], random.Random(5).randbytes(50)
    text = archive(TEXT[:75], y, tiny_models, WIDE, forced=True)
    zstd = archive(noise, noise * 2, tiny_models, WIDE)
    assert (kinds(text), kinds(zstd)) == ({"GIVEN_MIXED"}, {"GIVEN_ZSTD"})
    for x, y_of_it, blob in ((TEXT[:75], y, text), (noise, noise * 2, zstd)):
        flips(blob, x, y_of_it, tiny_models)
        for length in range(len(blob)):
            with pytest.raises(LmzipError):
                contents(blob[:length], y_of_it, tiny_models)
    x = TEXT[:400]
    flips(archive(x, y, tiny_models, SMALL, forced=True), x, y, tiny_models, step=3)


# The contents of the archives before.


def pairs(models, parameters, *texts, forced=False):
    """Every text given all those before it in the file."""
    blob, before = b"", b""
    for x in texts:
        side = SideInformation.before(before) if before else None
        blob += archive(x, side, models, parameters, forced=forced)
        before += x
    return blob


@pytest.mark.parametrize("parameters", [SMALL, UNMIXED, ROUNDS, WIDE])
def test_archives_given_those_before(tiny_models, parameters):
    parts = (Y, REVISED, b"", random.Random(6).randbytes(400), TEXT)
    blob, whole = pairs(tiny_models, parameters, *parts), b"".join(parts)
    sources = [
        f.header.side.source for f in ArchiveIndex(io.BytesIO(blob)).archives if f.header.side
    ]
    assert set(sources) == {SideSource.BEFORE}
    assert len(sources) >= 2
    check(blob, whole, None, tiny_models)
    with lmzip.open(io.BytesIO(blob), model=tiny_models) as file:
        for place in (700, 210, 450, 0, len(whole) - 5, 399, 201):
            file.seek(place)
            assert file.read(90) == whole[place : place + 90]


def test_archives_given_those_before_are_smaller(tiny_models):
    both = pairs(tiny_models, WIDE, Y, REVISED)
    alone = [len(lmzip.compress(x, model=tiny_models, parameters=WIDE)) for x in (Y, REVISED)]
    assert len(both) < sum(alone) - 10


def test_many_archives_given_those_before_are_decoded_once_each(tiny_models, monkeypatch):
    count = 14
    parts = [TEXT[i : i + 60] for i in range(count)]
    blob = pairs(tiny_models, WIDE, *parts, forced=True)
    decoded = []
    decode = BlockDecoder.decode
    monkeypatch.setattr(
        BlockDecoder, "decode", lambda self, blocks: decoded.append(1) or decode(self, blocks)
    )
    with lmzip.open(io.BytesIO(blob), model=tiny_models) as file:
        file.seek(-60, 2)
        assert file.read() == parts[-1]
    assert len(decoded) == count


def test_the_archives_before_must_be_there(tiny_models):
    first = lmzip.compress(Y, model=tiny_models, parameters=WIDE)
    blob = pairs(tiny_models, WIDE, Y, REVISED)
    assert blob.startswith(first)
    second = blob[len(first) :]
    with pytest.raises(SideInformationError, match="before"):
        contents(second, Y, tiny_models)
    with (
        pytest.raises(SideInformationError),
        lmzip.open(io.BytesIO(second), model=tiny_models) as file,
    ):
        file.read()
    other = lmzip.compress(REVISED, model=tiny_models, parameters=WIDE)
    with pytest.raises(CorruptError, match="not decode"):
        contents(other + second, None, tiny_models)
    flips(blob, Y + REVISED, None, tiny_models, step=7)


# Archives that lie.


def forged(block, side, model=None):
    header = Header(model, side=side).pack()
    packed = block.pack()
    return (
        header
        + packed
        + Trailer(len(header), ((block.content_bytes, len(packed)),), bytes(8)).pack()
    )


def test_blocks_that_need_what_the_header_does_not_name(tiny_models):
    index = ArchiveIndex(io.BytesIO(archive(REVISED, Y, tiny_models, WIDE, forced=True)))
    block, model = index.read_block(0)[1], model_reference(tiny_models.model, WIDE)
    noise = random.Random(7).randbytes(90)
    small = Block(BlockKind.GIVEN_ZSTD, 90, content_crc(noise), b"\x28\xb5\x2f\xfd" + bytes(9))
    for made in (block, small):
        for side in (None, SideReference(SideSource.NOWHERE, splitting=1)):
            with pytest.raises(CorruptError):
                contents(forged(made, side, model), Y, tiny_models)
    with pytest.raises(CorruptError, match="model"):
        contents(forged(block, SideReference(SideSource.NOWHERE)), Y, tiny_models)


# The command.


def test_commands(lmzip, tmp_path):
    (tmp_path / "y").write_bytes(Y)
    (tmp_path / "z").write_bytes(b"and z\n")
    (tmp_path / "x").write_bytes(REVISED)
    assert lmzip("--given", "y", "--given", "z", "x").returncode == 0
    (tmp_path / "x").unlink()
    before = sorted(tmp_path.iterdir())
    for wrong in ([], ["--given", "z", "--given", "y"]):
        result = lmzip("-d", *wrong, "x.lmz")
        assert result.returncode == 1
        assert result.stdout == b""
        (line,) = result.stderr.decode().splitlines()
        assert line.startswith("lmzip: x.lmz: the archive was made given 206 bytes")
        assert sorted(tmp_path.iterdir()) == before
    info = json.loads(lmzip("info", "--json", "--ledger", "x.lmz").stdout)
    assert info["archives"][0]["side"]["length_bytes"] == 206
    assert sum(item["bits"] for item in info["ledger"]) == 8 * info["archive_bytes"]
    assert lmzip("-d", "--given", "y", "--given", "z", "x.lmz").returncode == 0
    assert (tmp_path / "x").read_bytes() == REVISED
    missing = lmzip("--given", "none", "x")
    assert missing.returncode == 2
    assert len(missing.stderr.splitlines()) == 1
    assert b"--given" in lmzip("--given-prefix", "5", "-c", "x").stderr


def test_what_does_not_help_is_said(lmzip, tmp_path):
    (tmp_path / "x").write_bytes(b"The quick brown fox jumps over the lazy dog.\n" * 3)
    (tmp_path / "y").write_bytes(bytes(range(256)))
    result = lmzip("--given", "y", "--think", "3", "x")
    assert result.stderr == b"lmzip: x: not smaller with --given and --think, so coded without\n"
    assert lmzip("-dc", "x.lmz").stdout == (tmp_path / "x").read_bytes()
    quiet = lmzip("-q", "--think", "2", "-c", "x")
    assert (quiet.returncode, quiet.stderr) == (0, b"")


def test_what_is_given_is_never_lost(lmzip, tmp_path):
    y, x = b"The old text, line one.\n" * 9, b"The new text, line one.\n" * 9
    (tmp_path / "y").write_bytes(y)
    (tmp_path / "x").write_bytes(x)
    (tmp_path / "link").symlink_to("y")
    for words in (("--rm", "y"), ("--rm", "--given", "link", "y"), ("-f", "-o", "y", "x")):
        result = lmzip("--given", "y", *words)
        assert result.returncode == 1
        assert result.stderr.count(b"\n") == 1
        assert b"--given file" in result.stderr
        assert (tmp_path / "y").read_bytes() == y
    result = lmzip("--given", "y", "--rm", "y", "x")
    assert result.returncode == 1
    assert (tmp_path / "y").exists()
    assert not (tmp_path / "x").exists()
    assert lmzip("-df", "--given", "y", "-o", "y", "x.lmz").returncode == 1
    assert lmzip("-d", "--given", "y", "--rm", "x.lmz").returncode == 0
    assert (tmp_path / "x").read_bytes() == x
    assert (tmp_path / "y").read_bytes() == y


def test_thoughts_are_kept_if_one_wants_them(lmzip, tmp_path):
    (tmp_path / "x").write_bytes(b"Only a little text.\n")
    words = ("--think", "4", "--temperature", "1/2", "--given-always")
    assert lmzip(*words, "x").stderr == b""
    info = json.loads(lmzip("info", "--json", "--ledger", "x.lmz").stdout)
    assert "given_mixed" in str(info)
    assert lmzip("-dc", "x.lmz").stdout == (tmp_path / "x").read_bytes()
    for wrong in (("--temperature", "1/0"), ("--temperature", "0.7"), ("--temperature", "hot"),
                  ("--temperature", "0", "--chains", "2")):  # fmt: skip
        result = lmzip("-c", "--think", "4", *wrong, "x")
        assert result.returncode == 2
        assert result.stderr.count(b"\n") == 1
    assert lmzip("-c", "--given-always", "x").returncode == 2


def test_pairs_replace_nothing_that_is_read(lmzip, tmp_path):
    for name in "xy":
        (tmp_path / name).write_bytes(b"Some text of " + name.encode() + b", and no more.\n")
    for words, code in (
        (("-", "-", "-o", "xy"), 2),
        (("-d", "x", "a", "-"), 2),
        (("x", "y", "-f", "-o", "x"), 2),
        (("x", "y", "-o", "x"), 1),
        (("-d", "-f", "xy", "xy", "z"), 2),
        (("-d", "x", "a", "b"), 1),
    ):
        if words[-1] == "z":
            assert lmzip("pair", "x", "y", "-o", "xy").returncode == 0
        result = lmzip("pair", *words)
        assert result.returncode == code, words
        assert result.stderr.count(b"\n") == 1
    assert b"x: not an lmzip archive" in result.stderr
    assert (tmp_path / "x").read_bytes() == b"Some text of x, and no more.\n"
