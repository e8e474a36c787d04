"""Bits that a model charges for tokens, window by window, and a check that they are bits."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import PredictionError
from .windows import Window

__all__ = ["Calibration", "Scorer", "Scores", "calibrate", "score_windows"]

Tokens = NDArray[np.int64]
Floats = NDArray[np.float64]

_BATCH_TOKENS = 2048
"""Tokens read in one forward pass."""


@dataclasses.dataclass(frozen=True)
class Scores:
    """What tokens cost; all arrays have one shape, [B, T] or [n], the top ones [..., k] behind it.

    Without details (`top` 0) there are only the bits. NaN: not scored.
    """

    bits: Floats
    entropy_bits: Floats | None = None
    """What the model expected the token to cost."""
    top_ids: Tokens | None = None
    """The likeliest tokens, best first."""
    top_pmf: Floats | None = None


class Scorer(Protocol):
    """A causal language model that says what tokens cost."""

    name: str
    identity: str
    """Whatever determines its predictions: the pack's hash, or the weights' and the arithmetic."""
    vocab: int
    context: int
    """Inputs that it can read at once; 0: any number."""
    start: int | None
    """The token that stands before all others, None if the model has none."""
    parameters: int
    flops_per_token: float
    """Two for every weight of a matrix that a token goes through; attention is not counted."""
    model_bytes: int
    settings: dict[str, int | str]
    """What else the bits depend on."""

    def tokenize(self, data: bytes) -> tuple[Tokens, Tokens]:
        """A document's tokens [n], and where in it each begins [n], in bytes.

        Raises LmzipError if it is no text for this model.
        """

    def token_text(self, token: int) -> str:
        """For people."""

    def score(self, inputs: Tokens, targets: Tokens, top: int = 0) -> Scores:
        """What targets [B, T] cost behind inputs [B, T]; targets below 0 are not scored."""

    def next_pmf(self, inputs: Tokens) -> Floats:
        """The distributions [B, V] of the tokens behind inputs [B, T]."""


def score_windows(
    scorer: Scorer,
    ids: Tokens,
    windows: Sequence[Window],
    *,
    top: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Scores:
    """What the tokens [n] cost, NaN where no window scores them.

    The first token of a window without anything before it costs log2 V: nothing predicts it.
    `progress(tokens)` is called as tokens get done. Raises PredictionError.
    """
    n = len(ids)
    bits = np.full(n, np.nan)
    entropy = np.full(n, np.nan) if top else None
    top_ids = np.zeros((n, top), np.int64) if top else None
    top_pmf = np.zeros((n, top)) if top else None
    # Windows of equal length go together: nothing is padded, so any architecture will do.
    groups: defaultdict[tuple[int, bool], list[Window]] = defaultdict(list)
    for w in windows:
        with_start = w.start and scorer.start is not None
        if w.start and scorer.start is None and w.first == w.context:
            bits[w.first] = math.log2(scorer.vocab)
            if entropy is not None:
                entropy[w.first] = bits[w.first]
        if (length := w.end - 1 - w.context + with_start) > 0:
            groups[length, with_start].append(w)
        elif progress is not None:
            progress(w.end - w.first)
    for (length, with_start), members in sorted(groups.items(), reverse=True):
        batch = max(1, _BATCH_TOKENS // length)
        for some in (members[i : i + batch] for i in range(0, len(members), batch)):
            inputs = np.empty((len(some), length), np.int64)
            targets = np.full((len(some), length), -1)
            for row, w in enumerate(some):
                inputs[row, with_start:] = ids[w.context : w.end - 1]
                if with_start:
                    assert scorer.start is not None
                    inputs[row, 0] = scorer.start
                scored = min(w.end - w.first, length)
                targets[row, length - scored :] = ids[w.end - scored : w.end]
            scores = scorer.score(inputs, targets, top)
            where = targets >= 0
            if not np.isfinite(scores.bits[where]).all():
                raise PredictionError(f"{scorer.name} gives a token no probability (NaN)")
            places = np.concatenate(
                [np.arange(w.end - min(w.end - w.first, length), w.end) for w in some]
            )
            bits[places] = scores.bits[where]
            if entropy is not None and top_ids is not None and top_pmf is not None:
                assert scores.entropy_bits is not None
                assert scores.top_ids is not None and scores.top_pmf is not None
                entropy[places] = scores.entropy_bits[where]
                top_ids[places], top_pmf[places] = scores.top_ids[where], scores.top_pmf[where]
            if progress is not None:
                progress(len(places))
    return Scores(bits, entropy, top_ids, top_pmf)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A text that the model made up, scored as any other: it must cost what its entropy says."""

    tokens: int
    bits: float
    """What it cost."""
    entropy_bits: float
    """What it was expected to cost when it was drawn."""
    deviation_bits: float
    """Standard deviation of the difference."""

    @property
    def z(self) -> float:
        """The difference in standard deviations: normally within 3."""
        return (self.bits - self.entropy_bits) / max(self.deviation_bits, 1e-9)

    @property
    def passed(self) -> bool:
        return abs(self.z) <= 4


def calibrate(scorer: Scorer, *, streams: int = 16, tokens: int = 48, seed: int = 0) -> Calibration:
    """The surprisal of texts drawn from the model, token by token, against its entropy.

    They are scored as documents are, each a window from the start token on; texts are no longer
    than the model's context. The differences are a martingale's, so their sum has mean 0 and the
    summed variance: a shift by one token, a missing start token or a temperature shows. Raises
    PredictionError.
    """
    rng = np.random.default_rng(seed)
    tokens = min(tokens, scorer.context) if scorer.context else tokens
    before = int(scorer.start is not None)
    rows = np.empty((streams, before + tokens), np.int64)
    entropy = variance = 0.0
    if scorer.start is not None:
        rows[:, 0] = scorer.start
    else:  # any token at all, and that is what it costs
        rows[:, 0] = rng.integers(0, scorer.vocab, streams)
        entropy = streams * math.log2(scorer.vocab)
    for t in range(1, rows.shape[1]):
        pmf = scorer.next_pmf(rows[:, :t])
        if not np.isfinite(pmf).all():
            raise PredictionError(f"{scorer.name} gives no distribution (NaN)")
        pmf = pmf / pmf.sum(axis=1, keepdims=True)
        bits = -np.log2(np.maximum(pmf, 1e-300))
        mean = (pmf * bits).sum(axis=1)
        entropy += float(mean.sum())
        variance += float(((pmf * bits**2).sum(axis=1) - mean**2).sum())
        draws = rng.random((streams, 1))
        rows[:, t] = np.minimum((pmf.cumsum(axis=1) < draws).sum(axis=1), pmf.shape[1] - 1)
    ends = tokens * np.arange(1, streams + 1)
    windows = [Window(end - tokens, end - tokens, end, start=True) for end in ends.tolist()]
    total = float(score_windows(scorer, rows[:, before:].reshape(-1), windows).bits.sum())
    return Calibration(streams * tokens, total, entropy, math.sqrt(max(variance, 0.0)))
