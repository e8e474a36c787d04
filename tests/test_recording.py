"""What every token costs in an archive: exactly what the archive's own blocks pay for it."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest

from lmzip.codec import CodingParameters, OneModel, compress_stream, token_costs
from lmzip.codec.job import LmJob
from lmzip.format import BlockKind

from .test_scoring import TEXT

NOISE = random.Random(3).randbytes(900)
FALLING_BACK = TEXT[:1500] + NOISE + b"abcabc\n" * 400 + TEXT[:2000]
"""Words, then what nothing can code, then what zstd codes better, then words."""


@pytest.mark.parametrize(("mixing_bits", "solid"), [(0, False), (18, False), (18, True)])
@pytest.mark.parametrize("data", [FALLING_BACK, TEXT[:700], NOISE, b""])
def test_recorded_bits_are_the_archives(tiny_model, data, mixing_bits, solid):
    parameters = CodingParameters(
        window=64, stream_tokens=64, streams_at_once=4, block_bytes=900, solid=solid,
        mixing_bits=mixing_bits,
    )  # fmt: skip
    summary = compress_stream(
        io.BytesIO(data), lambda part: None, OneModel(tiny_model), parameters, size_bytes=len(data)
    )
    costs = token_costs(tiny_model, data, parameters)
    assert np.nansum(costs.bits) + costs.other_bits == pytest.approx(summary.ideal_bits, rel=1e-9)
    assert int((~np.isnan(costs.bits)).sum()) == summary.tokens
    assert np.isfinite(costs.model_bits).all()
    assert tiny_model.tokenizer.vocabulary.detokenize(costs.ids) == data
    if data is FALLING_BACK:
        modelled = BlockKind.MIXED if mixing_bits else BlockKind.LM
        kinds = {kind for kind, count in summary.blocks.items() if count}
        assert kinds == {BlockKind.STORED, BlockKind.ZSTD, modelled}
        coded = ~np.isnan(costs.bits)
        assert not coded.all() and coded[0]
        if not mixing_bits:
            assert (costs.bits[coded] == costs.model_bits[coded]).all()


def test_a_block_that_mixing_hurts(tiny_model, monkeypatch):
    """Such a block is coded again without; what counts is the second time."""
    monkeypatch.setattr(LmJob, "mixing_hurts", lambda job: job.mixer is not None)
    text = TEXT[:400]
    parameters = CodingParameters(window=64, streams_at_once=1, solid=True)
    summary = compress_stream(
        io.BytesIO(text), lambda part: None, OneModel(tiny_model), parameters, size_bytes=len(text)
    )
    assert summary.blocks[BlockKind.LM] == 1
    costs = token_costs(tiny_model, text, parameters)
    assert costs.bits.sum() == pytest.approx(summary.ideal_bits, rel=1e-9)
    assert (costs.bits == costs.model_bits).all()
