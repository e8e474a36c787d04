"""Whole archives with a small model: round trips, equal bytes, damage, streams."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import io
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lmzip
from lmzip.codec import ArchiveIndex, CodingParameters, OneModel, compress_stream, decompress_stream
from lmzip.codec.classical import best_classical, looks_incompressible
from lmzip.codec.job import decode_job, encode_job
from lmzip.codec.lm import code_jobs
from lmzip.codec.streams import join_streams, round_lengths, split_streams, stream_lengths
from lmzip.errors import CorruptError, UsageError
from lmzip.format import BlockKind
from lmzip.models.source import load_model

SMALL = CodingParameters(window=12, stream_tokens=20, sinks=2, block_bytes=300)
TEXT = (
    b"The quick brown fox jumps over the lazy dog, and the dog did not mind at all.\n"
    b"Of all the things in the world, the other one is the better one of the two.\n"
) * 5


def lm_round_trip(model, data, stream_tokens, window=12, sinks=2, slice_rows=None):
    """Code `data` as one LM payload and back, without the container."""
    ids = model.tokenizer.tokenize(data)
    job = encode_job(ids, stream_tokens)
    code_jobs(model.engine, [job], window=window, sinks=sinks, slice_rows=slice_rows)
    payload = job.encoder.finish()
    back = decode_job(payload, len(ids), stream_tokens)
    code_jobs(model.engine, [back], window=window, sinks=sinks)
    got = back.decoded()
    np.testing.assert_array_equal(got, ids)
    return payload


@given(st.integers(1, 500), st.integers(1, 60))
def test_streams_split_and_join(count, stream_tokens):
    ids = np.arange(1, count + 1)
    lengths = stream_lengths(count, stream_tokens)
    assert lengths.sum() == count
    assert lengths.max() <= stream_tokens
    assert lengths.max() - lengths.min() <= 1
    rows = split_streams(ids, stream_tokens)
    np.testing.assert_array_equal(join_streams(rows, count, stream_tokens), ids)
    assert rows[0, 0] == 1


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(min_size=1, max_size=120), st.integers(1, 40))
def test_lm_round_trips_any_bytes(tiny_model, data, stream_tokens):
    lm_round_trip(tiny_model, data, stream_tokens)


def test_lm_payload_is_the_same_for_any_slicing(tiny_model):
    expected = lm_round_trip(tiny_model, TEXT, 70)
    for slice_rows in (1, 7, 64, 1 << 20):
        assert lm_round_trip(tiny_model, TEXT, 70, slice_rows=slice_rows) == expected


def test_lm_jobs_in_company_give_the_same_bytes(tiny_model):
    datas = [TEXT[:n] for n in (1, 40, 333, 700)]
    ids = [tiny_model.tokenizer.tokenize(data) for data in datas]
    alone = [lm_round_trip(tiny_model, data, 25) for data in datas]
    jobs = [encode_job(i, 25) for i in ids]
    code_jobs(tiny_model.engine, jobs, window=12, sinks=2)
    assert [job.encoder.finish() for job in jobs] == alone
    back = [decode_job(p, len(i), 25) for p, i in zip(alone, ids, strict=True)]
    code_jobs(tiny_model.engine, back, window=12, sinks=2)
    for job, i in zip(back, ids, strict=True):
        np.testing.assert_array_equal(job.decoded(), i)


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.one_of(st.binary(max_size=900), st.text(max_size=400).map(str.encode)))
def test_archives_round_trip(tiny_models, data):
    blob = lmzip.compress(data, model=tiny_models, parameters=SMALL)
    assert lmzip.decompress(blob, model=tiny_models) == data
    assert len(blob) <= len(data) * 1.001 + 64 + 20 * (len(data) // SMALL.block_bytes)


@pytest.mark.parametrize("size", [0, 1, 299, 300, 301, 600, 2000])
def test_block_edges(tiny_models, size):
    for data in (TEXT * 3, "é中👍".encode() * 300, bytes(range(256)) * 8):
        part = data[:size]
        blob = lmzip.compress(part, model=tiny_models, parameters=SMALL)
        assert lmzip.decompress(blob, model=tiny_models) == part


def compressed(data, models, **options):
    out = io.BytesIO()
    compress_stream(io.BytesIO(data), out.write, models, SMALL, **options)
    return out.getvalue()


def test_block_concurrency_and_slicing_change_no_byte(tiny_models):
    expected = compressed(TEXT, tiny_models)
    for blocks in (1, 2, 3, 100):
        for rows in (1, 33, 4096):
            got = compressed(TEXT, tiny_models, blocks_in_flight=blocks, slice_rows=rows)
            assert got == expected
        out = io.BytesIO()
        decompress_stream(io.BytesIO(expected), out.write, tiny_models, blocks_in_flight=blocks)
        assert out.getvalue() == TEXT


def test_thread_count_changes_no_byte(tiny_pack):
    import torch

    before = torch.get_num_threads()
    try:
        blobs = {compressed(TEXT, OneModel(load_model(tiny_pack, threads=n))) for n in (1, 2, 4)}
    finally:
        torch.set_num_threads(before)
    assert len(blobs) == 1


def test_short_reads_change_no_byte(tiny_models):
    class Dribble(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 7))

    out = io.BytesIO()
    compress_stream(Dribble(TEXT), out.write, tiny_models, SMALL)
    assert out.getvalue() == compressed(TEXT, tiny_models)
    back = io.BytesIO()
    decompress_stream(Dribble(out.getvalue()), back.write, tiny_models)
    assert back.getvalue() == TEXT


def test_concatenated_archives(tiny_models):
    parts = [b"", TEXT[:200], bytes(100), TEXT]
    blob = b"".join(lmzip.compress(p, model=tiny_models, parameters=SMALL) for p in parts)
    assert lmzip.decompress(blob, model=tiny_models) == b"".join(parts)


def test_every_bit_flip_is_an_error(tiny_models):
    blob = lmzip.compress(TEXT[:150], model=tiny_models, parameters=SMALL)
    for position in range(8 * len(blob)):
        damaged = bytearray(blob)
        damaged[position // 8] ^= 1 << (position % 8)
        with pytest.raises(lmzip.LmzipError):
            lmzip.decompress(bytes(damaged), model=tiny_models)


def test_every_truncation_is_an_error(tiny_models):
    blob = lmzip.compress(TEXT[:700], model=tiny_models, parameters=SMALL)
    for length in range(len(blob)):
        with pytest.raises(lmzip.LmzipError):
            lmzip.decompress(blob[:length], model=tiny_models)


def test_bytes_behind_the_end_are_an_error(tiny_models):
    blob = lmzip.compress(TEXT[:100], model=tiny_models, parameters=SMALL)
    with pytest.raises(lmzip.FormatError):
        lmzip.decompress(blob + b"\0", model=tiny_models)


def test_random_bytes_do_not_grow_and_do_not_run_the_model():
    class NoModel:
        def for_compression(self):
            raise AssertionError("the model was asked for")

        for_reference = for_compression

    for size in (1 << 16, 1 << 18):
        data = random.Random(size).randbytes(size)
        blob = lmzip.compress(data, model=NoModel())
        assert len(blob) <= size * 1.001 + 64
        assert lmzip.decompress(blob, model=NoModel()) == data


def test_small_incompressible_input_stays_within_64_bytes(tiny_models):
    for size in (0, 1, 2, 10, 100, 1000):
        data = random.Random(size).randbytes(size)
        blob = lmzip.compress(data, model=tiny_models)
        assert len(blob) <= size * 1.001 + 64


def test_what_looks_incompressible():
    rng = random.Random(1)
    for data, expected in (
        (rng.randbytes(5000), True),
        (rng.randbytes(1100), True),
        (rng.randbytes(500), False),
        (base64.b64encode(rng.randbytes(9000)), False),
        (TEXT, False),
    ):
        assert looks_incompressible(data, best_classical(data)) == expected


def test_wrong_model_is_refused(tiny_models, tiny_pack):
    from lmzip.engine.weights import pack_identity

    blob = lm_archive(tiny_models)
    config = dataclasses.replace(tiny_pack.config, norm_eps=1e-4)
    identity = pack_identity(config, tiny_pack.tensors)
    other = dataclasses.replace(tiny_pack, config=config, identity=identity, selftest="")
    with pytest.raises(lmzip.ModelMismatchError, match="golden-tiny"):
        lmzip.decompress(blob, model=OneModel(load_model(other)))


def lm_archive(tiny_models, data=TEXT):
    """An archive of one LM block, whatever the model is worth, made from the public parts."""
    from lmzip.codec.model import model_reference
    from lmzip.format import Block, Header, Trailer, content_crc

    model = tiny_models.model
    ids = model.tokenizer.tokenize(data)
    job = encode_job(ids, SMALL.stream_tokens)
    code_jobs(model.engine, [job], window=SMALL.window, sinks=SMALL.sinks)
    payload = job.encoder.finish()
    if len(payload) > len(data):
        pytest.fail("the tiny model expands this text")
    block = Block(BlockKind.LM, len(data), content_crc(data), payload, len(ids)).pack()
    header = Header(model_reference(model, SMALL), len(data)).pack()
    digest = hashlib.blake2b(data, digest_size=8).digest()
    return header + block + Trailer(len(header), ((len(data), len(block)),), digest).pack()


def test_lm_archives_decode_and_every_flip_is_an_error(tiny_models):
    data = TEXT[:100]
    blob = lm_archive(tiny_models, data)
    assert lmzip.decompress(blob, model=tiny_models) == data
    for position in range(8 * len(blob)):
        damaged = bytearray(blob)
        damaged[position // 8] ^= 1 << (position % 8)
        with pytest.raises(lmzip.LmzipError):
            lmzip.decompress(bytes(damaged), model=tiny_models)


def test_forged_blocks_never_decode_to_something_else(tiny_models):
    """Right checksums on wrong payloads: the contents' checksum still catches them."""
    from lmzip.format import Block, Trailer, read_block_or_trailer, read_header

    blob = lm_archive(tiny_models)
    source = io.BytesIO(blob)
    header, header_data = read_header(source)
    header_bytes = len(header_data)
    block, _ = read_block_or_trailer(source)
    rng = random.Random(0)
    for change in range(12):
        payload = bytearray(block.payload)
        payload[rng.randrange(len(payload))] ^= 1 << rng.randrange(8)
        forged = dataclasses.replace(block, payload=bytes(payload))
        if change == 0:
            forged = dataclasses.replace(block, tokens=block.tokens - 3)
        if change == 1:
            forged = dataclasses.replace(block, tokens=block.tokens + 3)
        assert isinstance(forged, Block)
        packed = forged.pack()
        trailer = Trailer(header_bytes, ((block.content_bytes, len(packed)),), bytes(8))
        with pytest.raises(lmzip.LmzipError):
            lmzip.decompress(header.pack() + packed + trailer.pack(), model=tiny_models)


def test_tokens_beyond_the_vocabulary_are_an_error(tiny_models):
    """The last block of 256 low digits is not full: such a token can be coded, not decoded."""
    from lmzip.codec.job import LmJob
    from lmzip.coder import new_encoder

    vocab = tiny_models.model.engine.config.vocab
    assert vocab % 256
    job = LmJob(new_encoder(), [1], 20, np.array([vocab]))
    with pytest.raises(lmzip.CorruptError, match="vocabulary"):
        code_jobs(tiny_models.model.engine, [job], window=12, sinks=2)
    back = decode_job(job.encoder.finish(), 1, 20)
    with pytest.raises(lmzip.CorruptError, match="vocabulary"):
        code_jobs(tiny_models.model.engine, [back], window=12, sinks=2)


def test_zstd_blocks_cannot_lie_about_their_size(tiny_models):
    import zstandard

    from lmzip.format import Block, Header, Trailer

    bomb = zstandard.ZstdCompressor().compress(bytes(50 << 20))
    assert len(bomb) < 10_000
    for claimed in (10_000, 1 << 20):
        block = Block(BlockKind.ZSTD, claimed, 0, bomb).pack()
        header = Header().pack()
        blob = header + block + Trailer(len(header), ((claimed, len(block)),), bytes(8)).pack()
        with pytest.raises(lmzip.CorruptError):
            lmzip.decompress(blob, model=tiny_models)


def test_an_index_cannot_claim_blocks_that_were_not_there(tiny_models):
    from lmzip.format import Header
    from lmzip.format.fields import pack_varint

    class Endless(io.RawIOBase):
        def __init__(self, start):
            self.start, self.served = io.BytesIO(start), 0

        def read(self, size=-1):
            self.served += size
            assert self.served < 10_000
            return self.start.read(size) or b"\x01" * size

    header = Header().pack()
    claim = header + b"\x00" + pack_varint(len(header)) + pack_varint(1 << 39)
    with pytest.raises(lmzip.CorruptError, match="number of blocks"):
        decompress_stream(Endless(claim), lambda data: None, tiny_models)


def test_input_that_changes_while_it_is_read_is_an_error(tiny_models):
    with pytest.raises(lmzip.UsageError, match="changed"):
        compressed(TEXT, tiny_models, size_bytes=len(TEXT) - 1)


def test_input_that_would_not_wait_is_an_error(tiny_models):
    class NotNow(io.RawIOBase):
        def read(self, size=-1):
            return None

    with pytest.raises(lmzip.UsageError, match="non-blocking"):
        compress_stream(NotNow(), lambda data: None, tiny_models, SMALL)


def test_groups_stay_within_the_memory_limit(tiny_models):
    """What one block needs is enough to decode many."""
    archive = b"".join(lm_archive(tiny_models, TEXT[:n]) for n in (200, 300, 250))
    largest, needed = lm_archive(tiny_models, TEXT[:300]), 1
    while True:
        try:
            lmzip.decompress(largest, model=tiny_models, memory_limit=needed)
            break
        except lmzip.MemoryLimitError:
            needed *= 2
    assert lmzip.decompress(archive, model=tiny_models, memory_limit=needed)


def test_memory_limit(tiny_models):
    blob = lm_archive(tiny_models)
    with pytest.raises(lmzip.MemoryLimitError, match="limit"):
        lmzip.decompress(blob, model=tiny_models, memory_limit=1000)
    with pytest.raises(lmzip.MemoryLimitError):
        lmzip.compress(TEXT, model=tiny_models, parameters=SMALL, memory_limit=1000)


def test_window_beyond_the_context_is_refused(tiny_models):
    with pytest.raises(lmzip.UsageError, match="context"):
        lmzip.compress(TEXT, model=tiny_models, parameters=CodingParameters(window=513))


@pytest.mark.parametrize("field", ["window", "stream_tokens", "block_bytes"])
def test_senseless_parameters_are_refused(field):
    for value in (0, -1, 1 << 40):
        with pytest.raises(lmzip.UsageError, match=field.replace("_", " ")):
            CodingParameters(**{field: value})


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=300), st.sampled_from([b"", *(b"\x89LM" + bytes([f]) for f in range(256))])
)
def test_any_bytes_into_the_decoder(tiny_models, data, start):
    with contextlib.suppress(lmzip.LmzipError):
        lmzip.decompress(start + data, model=tiny_models)


def test_fifty_megabytes_of_noise_in_bounded_memory(tiny_models):
    """A generator as input, a counter as output: nothing may pile up in between."""
    import resource

    size, piece = 50 << 20, 1 << 18
    rng = random.Random(3)

    class Noise:
        left = size

        def read(self, count):
            count = min(count, self.left, piece)
            self.left -= count
            return rng.randbytes(count)

    sink = bytearray()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    written = 0

    def count(data):
        nonlocal written
        written += len(data)
        sink[:] = data

    summary = compress_stream(Noise(), count, tiny_models)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert summary.content_bytes == size
    assert written == summary.archive_bytes <= size * 1.001 + 64
    assert grown < 40 << 10, f"{grown} KiB more memory"


def test_mixing_is_left_out_where_it_hurts(tiny_models, monkeypatch):
    """A block that is cheaper by the model alone says so in its kind."""
    from lmzip.mix.interface import NativeMixer, ReferenceMixer

    assert mixed_kind(tiny_models) == BlockKind.MIXED
    for mixer in (NativeMixer, ReferenceMixer):
        monkeypatch.setattr(
            mixer, "model_bits", property(lambda self: 0.0, lambda self, x: None), raising=False
        )
    assert mixed_kind(tiny_models) == BlockKind.LM


def mixed_kind(tiny_models):
    blob = lmzip.compress(TEXT, model=tiny_models, parameters=SMALL)
    assert lmzip.decompress(blob, model=tiny_models) == TEXT
    (kind,) = {k for k, n in ArchiveIndex(io.BytesIO(blob)).kinds().items() if n}
    return kind


SOLID = dataclasses.replace(SMALL, streams_at_once=3, block_bytes=150, solid=True)


def test_solid_archives(tiny_models):
    """What earlier blocks said helps, unless one of another kind came between."""
    data = TEXT * 2
    apart = lmzip.compress(
        data, model=tiny_models, parameters=dataclasses.replace(SOLID, solid=False)
    )
    solid = lmzip.compress(data, model=tiny_models, parameters=SOLID)
    assert len(solid) < 0.8 * len(apart)
    noise = np.random.default_rng(5).integers(0, 256, 300, np.uint8).tobytes()
    broken = data[:600] + noise + data[600:]
    interrupted = lmzip.compress(broken, model=tiny_models, parameters=SOLID)
    kinds = ArchiveIndex(io.BytesIO(interrupted)).kinds()
    assert kinds[BlockKind.MIXED] and kinds[BlockKind.STORED]
    for blob, expected in ((solid, data), (interrupted, broken)):
        assert lmzip.decompress(blob, model=tiny_models) == expected
        for in_flight in (1, 5):
            out = io.BytesIO()
            decompress_stream(io.BytesIO(blob), out.write, tiny_models, blocks_in_flight=in_flight)
            assert out.getvalue() == expected
        with lmzip.open(io.BytesIO(blob), model=tiny_models) as file:
            for position in (len(expected) - 5, 3, 700, 640, 500, 1100):
                file.seek(position)
                assert file.read(4) == expected[position : position + 4]
    out = io.BytesIO()
    size = len(data)
    compress_stream(
        io.BytesIO(data), out.write, tiny_models, SOLID, size_bytes=size, blocks_in_flight=4
    )
    assert out.getvalue() == solid


def test_a_solid_archive_is_read_on_behind_damage(tiny_models):
    blob = bytearray(lmzip.compress(TEXT * 2, model=tiny_models, parameters=SOLID))
    frame = ArchiveIndex(io.BytesIO(bytes(blob))).archives[0]
    blob[frame.block_starts()[3] + 40] ^= 1
    with lmzip.open(io.BytesIO(bytes(blob)), model=tiny_models) as file:
        for _ in range(2):
            file.seek(-5, io.SEEK_END)
            with pytest.raises(CorruptError):
                file.read(3)
            for position in (0, 200):
                file.seek(position)
                assert file.read(50) == TEXT[position : position + 50]


def test_solid_blocks_can_do_without_mixing(tiny_models, monkeypatch):
    """Each block is judged by its own bits, not by those of the run."""
    from lmzip.codec.job import LmJob

    judged = []
    original = LmJob.mixing_hurts

    def spy(job):
        judged.append(job.mixer.model_bits - job._model_bits_before)
        return original(job)

    monkeypatch.setattr(LmJob, "mixing_hurts", spy)
    lmzip.compress(TEXT * 2, model=tiny_models, parameters=SOLID)
    assert len(judged) > 3
    assert max(judged) < 2 * min(judged)


def test_solid_needs_mixing_and_rounds():
    with pytest.raises(UsageError, match="solid"):
        dataclasses.replace(SOLID, mixing_bits=0)
    with pytest.raises(UsageError, match="solid"):
        dataclasses.replace(SOLID, streams_at_once=0)


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_mixed_archives_do_not_depend_on_who_made_them(tiny_pack, tiny_models, engine, monkeypatch):
    """Engines, slices of the encoder, and both mixers write one archive, and read it."""
    from lmzip.mix import interface

    parameters = CodingParameters(window=40, stream_tokens=100, block_bytes=500, mixing_bits=9)
    expected = lmzip.compress(TEXT, model=tiny_models, parameters=parameters)
    models = OneModel(load_model(tiny_pack, engine=engine, threads=1))
    monkeypatch.setattr(interface, "extension", None)
    out = io.BytesIO()
    compress_stream(
        io.BytesIO(TEXT), out.write, models, parameters, size_bytes=len(TEXT),
        blocks_in_flight=2, slice_rows=3,
    )  # fmt: skip
    assert out.getvalue() == expected
    assert lmzip.decompress(expected, model=models) == TEXT


@given(st.integers(1, 500), st.integers(1, 60), st.integers(0, 9))
def test_rounds_cover_everything(tokens, stream_tokens, at_once):
    rounds = round_lengths(tokens, stream_tokens, at_once)
    assert sum(rounds) == tokens
    assert max(rounds) - min(rounds) <= 1
    if at_once:
        assert max(len(stream_lengths(n, stream_tokens)) for n in rounds) <= at_once
    else:
        assert len(rounds) == 1


@pytest.mark.parametrize("mixing_bits", [0, 9])
def test_rounds_round_trip_whatever_the_company(tiny_models, mixing_bits):
    """Blocks of different numbers of rounds, alone and together."""
    parameters = dataclasses.replace(
        SMALL, streams_at_once=2, block_bytes=250, mixing_bits=mixing_bits
    )
    data = TEXT[:700]
    expected = lmzip.compress(data, model=tiny_models, parameters=parameters)
    for in_flight in (1, 3):
        out, back = io.BytesIO(), io.BytesIO()
        compress_stream(
            io.BytesIO(data), out.write, tiny_models, parameters, size_bytes=len(data),
            blocks_in_flight=in_flight, slice_rows=5,
        )  # fmt: skip
        assert out.getvalue() == expected
        decompress_stream(io.BytesIO(expected), back.write, tiny_models, blocks_in_flight=in_flight)
        assert back.getvalue() == data


def test_every_flip_in_a_short_archive_is_an_error(tiny_models):
    """Its only checksum speaks when it has been decoded: a listing does not find them all."""
    blob = lmzip.compress(TEXT[:100], model=tiny_models, parameters=SMALL)
    assert ArchiveIndex(io.BytesIO(blob)).archives[0].header.short
    for position in range(8 * len(blob)):
        damaged = bytearray(blob)
        damaged[position // 8] ^= 1 << (position % 8)
        with pytest.raises(lmzip.LmzipError):
            lmzip.decompress(bytes(damaged), model=tiny_models)


def test_short_and_long_archives_behind_one_another(tiny_models):
    long = lm_archive(tiny_models)
    short = lmzip.compress(TEXT[:100], model=tiny_models, parameters=SMALL)
    for parts in ((short, long), (long, short), (short, short, long)):
        blob = b"".join(parts)
        content = b"".join(TEXT if part is long else TEXT[:100] for part in parts)
        assert lmzip.decompress(blob, model=tiny_models) == content
        with lmzip.open(io.BytesIO(blob), model=tiny_models) as file:
            assert file.read() == content
            file.seek(50)
            assert file.read(100) == content[50:150]
