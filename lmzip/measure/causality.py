"""Whether a model's predictions can be a code: none may depend on what they predict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UnsupportedModelError

__all__ = ["require_causal"]

_LENGTH = 48
"""Inputs of a trial."""
_TRIALS = 4
_TOLERANCE, _HALF_TOLERANCE = 1e-5, 1e-3
"""Nats by which a logarithm of a probability may move: kernels of one shape round alike, as a rule
to the last bit."""


def require_causal(
    logits: Callable[[NDArray[np.int64]], Any],
    vocab: int,
    context: int,
    name: str,
    *,
    half: bool = False,
) -> None:
    """Raise UnsupportedModelError if a change of later inputs moves earlier predictions.

    `logits` gives [1, T, V] for inputs [1, T]. Two inputs are equal up to a place and differ from
    there on, or there alone: up to that place their predictions must be equal. An
    encoder that sees both sides fails, and so does whatever mixes in what comes later. `half`: the
    model computes in half precision.
    """
    rng = np.random.default_rng(0)
    length = min(_LENGTH, context) if context else _LENGTH
    if length < 2 or vocab < 2:
        return
    for trial in range(_TRIALS):
        one = rng.integers(0, vocab, (1, length))
        other = one.copy()
        place = length - 1 if trial < _TRIALS // 2 else length // 2
        end = place + 1 if trial % 2 else length
        shift = rng.integers(1, vocab, end - place)
        other[0, place:end] = (one[0, place:end] + shift) % vocab
        found = [logits(ids)[0, :place].double().log_softmax(-1) for ids in (one, other)]
        moved = float((found[0] - found[1]).abs().nan_to_num(0.0).max())
        if moved > (_HALF_TOLERANCE if half else _TOLERANCE):
            raise UnsupportedModelError(
                f"{name}: its predictions change with what comes after them (by {moved:.3g} nats): "
                "no decoder could have them, so their bits mean nothing"
            )
