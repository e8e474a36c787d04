"""A pack's exact predictions as bits, without coding anything."""

from __future__ import annotations

import numpy as np

from ..codec import CodecModel
from ..engine import PRECISION, RADIX, Predictions
from ..errors import UsageError
from .scoring import Floats, Scores, Tokens

__all__ = ["ExactScorer"]

_SLICE_ROWS, _DETAILED_ROWS = 512, 32
"""Tokens in one forward pass, without and with their whole distributions."""


class ExactScorer:
    """See `Scorer`. A window longer than the model's slides, as it does in an archive."""

    context = 0

    def __init__(self, model: CodecModel, window: int, sinks: int = 0) -> None:
        config = model.engine.config
        if window > config.context:
            raise UsageError(f"a window of {window} tokens is longer than the model's context")
        self._model, self._window, self._sinks = model, window, sinks
        self.name, self.identity = model.name, model.identity.hex()
        self.vocab = config.vocab
        self.start: int | None = config.bos
        self.parameters = config.parameters()
        self.flops_per_token = 2.0 * (
            self.parameters - (0 if config.tied else config.vocab * config.width)
        )
        self.model_bytes = model.pack_bytes
        self.settings: dict[str, int | str] = {"sinks": sinks}

    def tokenize(self, data: bytes) -> tuple[Tokens, Tokens]:
        ids = self._model.tokenizer.tokenize(data)
        return ids, self.token_starts(ids)

    def token_starts(self, ids: Tokens) -> Tokens:
        """The byte at which each of these tokens [n] begins."""
        table = self._model.tokenizer.vocabulary.tokens
        return np.cumsum([0, *(len(table[i]) for i in ids.tolist())])[:-1]

    def token_text(self, token: int) -> str:
        table = self._model.tokenizer.vocabulary.tokens
        return table[token].decode("utf-8", "backslashreplace") if token < len(table) else ""

    def score(self, inputs: Tokens, targets: Tokens, top: int = 0) -> Scores:
        batch, length = inputs.shape
        bits = np.full(inputs.shape, np.nan)
        entropy = np.full(inputs.shape, np.nan) if top else None
        top_ids = np.zeros((batch, length, top), np.int64) if top else None
        top_pmf = np.zeros((batch, length, top)) if top else None
        engine = self._model.engine
        cache = engine.new_cache(batch, self._window, self._sinks, length)
        count = max(1, (_DETAILED_ROWS if top else _SLICE_ROWS) // batch)
        for first in range(0, length, count):
            places = slice(first, min(first + count, length))
            predictions = engine.forward(inputs[:, places], cache)
            known = np.maximum(targets[:, places], 0)
            bits[:, places] = np.where(targets[:, places] >= 0, _bits(predictions, known), np.nan)
            if entropy is not None and top_ids is not None and top_pmf is not None:
                pmf = _pmf(predictions, known.shape)
                entropy[:, places] = -(pmf * np.log2(np.maximum(pmf, 1e-300))).sum(axis=-1)
                some = np.argpartition(-pmf, top, axis=-1)[..., :top]
                order = np.argsort(-np.take_along_axis(pmf, some, axis=-1), axis=-1)
                top_ids[:, places] = best = np.take_along_axis(some, order, axis=-1)
                top_pmf[:, places] = np.take_along_axis(pmf, best, axis=-1)
        return Scores(bits, entropy, top_ids, top_pmf)

    def next_pmf(self, inputs: Tokens) -> Floats:
        batch, length = inputs.shape
        cache = self._model.engine.new_cache(batch, self._window, self._sinks, length)
        if length > 1:
            self._model.engine.forward(inputs[:, :-1], cache)
        predictions = self._model.engine.forward(inputs[:, -1:], cache)
        return _pmf(predictions, (batch, 1))[:, 0, : self.vocab]


def _bits(predictions: Predictions, known: Tokens) -> Floats:
    """What the tokens [B, T] cost."""
    freqs = np.take_along_axis(predictions.high(), (known // RADIX)[..., None], axis=-1)
    low = predictions.low(known // RADIX)
    freqs_low = np.take_along_axis(low, (known % RADIX)[..., None], axis=-1)
    return np.asarray(2 * PRECISION - np.log2(freqs[..., 0].astype(np.float64) * freqs_low[..., 0]))


def _pmf(predictions: Predictions, shape: tuple[int, ...]) -> Floats:
    """The whole distributions [B, T, digits * 256]: every digit times its low digits."""
    high = predictions.high()
    scale = 2.0**-PRECISION
    digits = [
        high[..., h, None] * scale * (predictions.low(np.full(shape, h)) * scale)
        for h in range(high.shape[-1])
    ]
    return np.concatenate(digits, axis=-1)
