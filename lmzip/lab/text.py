"""Real texts: words, and what a model says of blocks, positions and facts of them."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from ..codec import CodecModel, CodingParameters, token_costs
from ..engine import RADIX
from ..errors import UsageError

__all__ = ["bits_by_byte", "block_bits", "draw_text", "words_of"]

_WORD = re.compile(r"[^\W\d_]+")


def words_of(text: str) -> list[str]:
    """Runs of letters, lower case."""
    return [match[0].lower() for match in _WORD.finditer(text)]


def bits_by_byte(
    model: CodecModel, text: bytes, parameters: CodingParameters | None = None
) -> NDArray[np.float64]:
    """What each byte of a text costs, [n]: a token's bits shared evenly by its bytes. Predictions
    are the model's own, without mixing."""
    if parameters is None:
        parameters = CodingParameters(mixing_bits=0, block_bytes=16 << 20)
    costs = token_costs(model, text, parameters)
    lengths = np.array([len(model.tokenizer.vocabulary.tokens[i]) for i in costs.ids.tolist()])
    return np.repeat(costs.model_bits / lengths, lengths)


def block_bits(model: CodecModel, text: bytes, block: int) -> NDArray[np.float64]:
    """Bits a byte of each whole block. Raises UsageError if there is none."""
    bits = bits_by_byte(model, text)
    whole = len(bits) // block * block
    if not whole:
        raise UsageError(f"a text of {len(text):,} bytes is shorter than a block of {block:,}")
    return np.asarray(bits[:whole].reshape(-1, block).mean(axis=1))


def draw_text(model: CodecModel, tokens: int, *, streams: int = 16, seed: int = 0) -> bytes:
    """What the model makes up: so many tokens, in streams that each begin afresh, drawn from the
    exact engine's frequencies. The same on every machine."""
    engine = model.engine
    length = max(1, tokens // streams)
    window = min(512, engine.config.context)
    rng = np.random.default_rng(seed)
    cache = engine.new_cache(streams, window, 4, length)
    fed = np.full((streams, 1), engine.config.bos, np.int64)
    drawn = np.empty((streams, length), np.int64)

    def digits(freqs: NDArray[np.int32]) -> NDArray[np.int64]:
        ends = np.cumsum(freqs.astype(np.int64), axis=-1)
        at = (rng.random((streams, 1)) * ends[:, -1:]).astype(np.int64)
        return np.asarray((at >= ends).sum(axis=-1), np.int64)

    for step in range(length):
        predictions = engine.forward(fed, cache)
        high = digits(predictions.high()[:, 0])
        low = digits(predictions.low(high[:, None])[:, 0])
        fed = (high * RADIX + low)[:, None]
        drawn[:, step] = fed[:, 0]
    return b"\n\n".join(model.tokenizer.vocabulary.detokenize(row) for row in drawn)
