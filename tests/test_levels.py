"""Levels, and the model that comes with lmzip."""

from __future__ import annotations

import io

import brotli
import numpy as np
import pytest

import lmzip
from benchmarks.classical import classical_sizes
from lmzip.codec import ArchiveIndex
from lmzip.engine import Pack
from lmzip.errors import UsageError
from lmzip.levels import DEFAULT_LEVEL, LEVELS, level
from lmzip.models.registry import default_name, known_model
from lmzip.models.source import load_model
from lmzip.models.store import ModelStore

from .golden.archives import ENGLISH, UNICODE
from .test_cli import failed_with

MAIL = b"""\
From: Anna Keller <anna@example.org>
To: Tom Hughes <tom@example.org>
Subject: Re: Minutes of Tuesday's meeting

Hi Tom,

thank you for sending the minutes so quickly. I have read them twice and I think they are complete,
with two small exceptions. First, we agreed that the report should be finished by the end of the
month, not by the end of the week, because the figures from the second half of the year will not be
available before the twentieth. Second, it was Maria who offered to write the introduction, and not
me, although I am of course happy to read it before it goes out.

Could you please correct both points and send the new version to everybody? If you have no time
before Friday, let me know and I will do it myself.

There is one more thing that I wanted to ask you. When we talked about the new building you said
that the old rooms would still be free until the summer. Is that certain? We would like to use at
least one of them for the course in May, since the number of people who want to take part is larger
than we had expected, and it would be a pity to send some of them away.

See you on Monday,
Anna

On Wednesday, Tom Hughes wrote:
> Dear all,
>
> here are the minutes of our meeting on Tuesday. Please have a look at them and tell me if anything
> is missing or wrong. If I do not hear from you until Friday I will send them to the others.
>
> Best wishes,
> Tom
"""


def test_the_default_needs_nothing_but_the_package(lmzip, tmp_path):
    (tmp_path / "mail").write_bytes(MAIL)
    home = {"LMZIP_HOME": str(tmp_path / "nowhere"), "LMZIP_MODEL": ""}
    for option in ("-1", "-2", "-3", "-q"):
        assert lmzip(option, "-f", "mail", **home).returncode == 0
        assert lmzip("-dc", "mail.lmz", **home).stdout == MAIL
    assert f"model        {default_name()}," in lmzip("info", "mail.lmz").stdout.decode()
    assert not (tmp_path / "nowhere").exists()
    # Larger models must be fetched, and this is offline.
    failed_with(lmzip("-9", "-f", "mail", **home), "offline")
    failed_with(lmzip("models", "rm", default_name(), **home), "cannot be removed")


def test_a_mail_is_far_smaller_than_by_any_classic():
    blob = lmzip.compress(MAIL)
    sizes = classical_sizes(MAIL) | {"brotli": len(brotli.compress(MAIL, quality=11))}
    best = min(size for size in sizes.values() if size is not None)
    assert len(blob) < 0.75 * best, (len(blob), sizes)
    assert lmzip.decompress(blob) == MAIL


def test_what_stands_around_a_text_of_100_bytes():
    """16 bytes, the checksum included."""
    text = MAIL[105:205]
    blob = lmzip.compress(text)
    index = ArchiveIndex(io.BytesIO(blob))
    ((head,),) = [index.heads(number) for number in range(len(index.archives))]
    assert head.kind.modelled
    assert len(blob) == head.payload_bytes + 16 < 60
    assert lmzip.decompress(blob) == text


@pytest.mark.parametrize("number", [1, 2, 3])
def test_levels_round_trip(number):
    rng = np.random.default_rng(number)
    noise = rng.integers(0, 256, 3000, np.uint8).tobytes()
    for data in (b"", b"\n", MAIL * 3, UNICODE.encode() * 20, ENGLISH.encode() + noise):
        blob = lmzip.compress(data, level=number)
        assert lmzip.decompress(blob) == data
        assert len(blob) <= len(data) + 64


EMBEDDED = ("lmzip-1m", "lmzip-3m")


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_embedded_models_are_those_that_are_pinned(name):
    known = known_model(name)
    pack = ModelStore(offline=True).open(name)
    assert pack.identity.hex() == known.identity
    assert pack.selftest == known.selftest
    assert pack.path.stat().st_size == known.pack_bytes <= 16 << 20


def test_the_default_model_is_the_default_levels():
    assert default_name() in EMBEDDED
    assert LEVELS[DEFAULT_LEVEL - 1].model == default_name()


@pytest.mark.parametrize("name", EMBEDDED)
@pytest.mark.parametrize("engine", ["reference", "native"])
def test_engines_agree_on_the_embedded_models(engine, name):
    """Loading runs the self-test."""
    if engine == "native":
        pytest.importorskip("lmzip._native")
    pack: Pack = ModelStore(offline=True).open(name)
    assert load_model(pack, engine=engine, threads=1).registered


def test_levels_are_1_to_9():
    assert [entry.number for entry in LEVELS] == list(range(1, 10))
    for number in (0, 10):
        with pytest.raises(UsageError, match="between 1 and 9"):
            level(number)
    with pytest.raises(UsageError, match="between 1 and 9"):
        lmzip.compress(b"x", level=0)
