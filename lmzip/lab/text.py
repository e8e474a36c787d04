"""Real texts: words, and what a model says of blocks, positions and facts of them."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from ..codec import CodecModel, CodingParameters, token_costs
from ..errors import UsageError

__all__ = ["bits_by_byte", "block_bits", "words_of"]

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
        raise UsageError(f"a text of {len(text):,} bytes has no block of {block:,}")
    return np.asarray(bits[:whole].reshape(-1, block).mean(axis=1))
