"""What every token of a text costs in its archive: the codec's loop, noting, not writing."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
from numpy.typing import NDArray

from ..coder import Freqs, Symbols
from ..engine import PRECISION, RADIX
from ..mix import Mixer
from .compressor import split_blocks
from .lm import LmJob, Tokens, code_jobs
from .model import CodecModel, Mixers, model_reference
from .parameters import CodingParameters
from .streams import round_lengths, stream_spans

__all__ = ["TokenCosts", "token_costs"]


@dataclasses.dataclass(frozen=True)
class TokenCosts:
    """The tokens [n] of a text, and what each costs."""

    ids: Tokens
    bits: NDArray[np.float64]
    """Under the frequencies that are coded with, [n]."""
    model_bits: NDArray[np.float64]
    """Under the model's own, before mixing, [n]."""
    streams: tuple[tuple[int, int], ...]
    """First token and end of every stream: there the model starts afresh."""


class _BitCounter:
    """An encoder that writes nothing."""

    def __init__(self) -> None:
        self.ideal_bits = 0.0
        self.last_bits: NDArray[np.float64] = np.empty(0)

    def code(self, freqs: Freqs, symbols: Symbols | None) -> Symbols:
        assert symbols is not None
        self.last_bits = _digit_bits(freqs, symbols)
        self.ideal_bits += float(self.last_bits.sum())
        return symbols

    def size_bytes(self) -> int:
        return int(self.ideal_bits / 8)

    def finish(self) -> bytes:
        return b""


def _digit_bits(freqs: Freqs, digits: Symbols) -> NDArray[np.float64]:
    """The information of these digits [n] under frequencies [n, K]."""
    if freqs.shape[1] == 1:
        return np.zeros(len(freqs))
    chosen = np.take_along_axis(freqs, digits[:, None], axis=1)[:, 0]
    return np.asarray(PRECISION - np.log2(chosen))


class _RecordingJob(LmJob):
    """A job that encodes into nothing and notes every token's bits."""

    def __init__(
        self, rounds: list[int], stream_tokens: int, ids: Tokens, mixer: Mixer | None
    ) -> None:
        self._counter = _BitCounter()
        self._rounds_done: list[NDArray[np.float64]] = []
        self._costs: NDArray[np.float64] | None = None
        super().__init__(self._counter, rounds, stream_tokens, ids, mixer=mixer)

    def next_round(self) -> None:
        self._keep_costs()
        super().next_round()
        self._costs = np.zeros((2, *self.rows.shape))
        self._step = 0

    def _keep_costs(self) -> None:
        if self._costs is not None:
            used = np.arange(self.longest) < self.lengths[:, None]
            self._rounds_done.append(self._costs[:, used])

    def code(self, freqs: Freqs, known: Tokens | None, high: Tokens | None) -> Tokens:
        assert known is not None and self._costs is not None
        digits = known // RADIX if high is None else known % RADIX
        coded = super().code(freqs, known, high)
        cell = self._costs[:, : len(known), self._step]
        cell[0] += self._counter.last_bits
        cell[1] += _digit_bits(freqs, digits)
        self._step += high is not None
        return coded

    def costs(self) -> NDArray[np.float64]:
        """Coded and model bits [2, n] of a finished job."""
        self._keep_costs()
        self._costs = None
        return np.concatenate(self._rounds_done, axis=1)


def token_costs(model: CodecModel, data: bytes, parameters: CodingParameters) -> TokenCosts:
    """What every token of `data` costs if the model codes all of it (as it does with text)."""
    reference = model_reference(model, parameters)
    mixers = Mixers()
    ids: list[Tokens] = [np.empty(0, np.int64)]
    costs: list[NDArray[np.float64]] = [np.empty((2, 0))]
    streams: list[tuple[int, int]] = []
    start = 0
    for block, _last in split_blocks(io.BytesIO(data), parameters.block_bytes):
        tokens = model.tokenizer.tokenize(block)
        mixer = mixers.next(model, reference, len(tokens)) if reference.mixing else None
        cut = reference.stream_tokens, reference.streams_at_once
        job = _RecordingJob(round_lengths(len(tokens), *cut), cut[0], tokens, mixer)
        code_jobs(model.engine, [job], window=reference.window, sinks=reference.sinks)
        mixers.keep(mixer if reference.solid else None)
        ids.append(tokens)
        found = job.costs()
        if found[0].sum() > found[1].sum():  # such a block is coded without mixing
            found[0] = found[1]
        costs.append(found)
        streams += [(start + a, start + b) for a, b in stream_spans(len(tokens), *cut)]
        start += len(tokens)
    bits, model_bits = np.concatenate(costs, axis=1)
    return TokenCosts(np.concatenate(ids), bits, model_bits, tuple(streams))
