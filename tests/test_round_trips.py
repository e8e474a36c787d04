"""Whatever the parameters: what is compressed comes back."""

from __future__ import annotations

import io

import pytest

import lmzip
from lmzip.codec import ArchiveIndex
from lmzip.format import MAX_SHORT_BYTES, BlockKind

TEXT = b"".join(
    b"%d blocks use what the blocks before them have taught the mixing.\n" % i for i in range(40)
)
"""Long enough for the size of mixing's tables to matter."""


@pytest.mark.parametrize("size", [1, 40, len(TEXT)])
@pytest.mark.parametrize("mixing_bits", [8, 18])
@pytest.mark.parametrize("at_once", [1, 32])
def test_a_solid_archive_of_one_block(tiny_models, size, mixing_bits, at_once):
    """It once was made as if others came after it, and its short form does not say so."""
    parameters = lmzip.CodingParameters(
        streams_at_once=at_once, mixing_bits=mixing_bits, solid=True
    )
    blob = lmzip.compress(TEXT[:size], model=tiny_models, parameters=parameters)
    assert size == 1 or ArchiveIndex(io.BytesIO(blob)).kinds()[BlockKind.MIXED] == 1
    assert lmzip.decompress(blob, model=tiny_models) == TEXT[:size]


def test_a_solid_archive_of_one_block_that_is_too_long_for_the_short_form(tiny_models):
    text = TEXT * (MAX_SHORT_BYTES // len(TEXT) + 1)
    parameters = lmzip.CodingParameters(
        streams_at_once=32, stream_tokens=512, window=8, mixing_bits=9, solid=True
    )
    blob = lmzip.compress(text, model=tiny_models, parameters=parameters)
    assert not ArchiveIndex(io.BytesIO(blob)).archives[0].header.short
    assert lmzip.decompress(blob, model=tiny_models) == text


def test_the_command_with_solid(lmzip, tmp_path):
    (tmp_path / "a.txt").write_bytes(TEXT)
    assert lmzip("--solid", "--rm", "a.txt").returncode == 0
    result = lmzip("-dc", "a.txt.lmz")
    assert (result.returncode, result.stdout) == (0, TEXT), result.stderr
