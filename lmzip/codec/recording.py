"""What every token of a text costs in its archive: the codec's own encoder, taking notes."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
from numpy.typing import NDArray

from ..coder import Freqs, Symbols, new_encoder
from ..engine import PRECISION, RADIX
from ..mix import Mixer
from .block_encoder import BlockEncoder
from .compressor import DEFAULT_MEMORY_LIMIT
from .cutting import split_blocks
from .job import LmJob, Tokens
from .lm import code_jobs
from .model import CodecModel, OneModel
from .parameters import CodingParameters
from .streams import round_lengths, stream_spans

__all__ = ["TokenCosts", "token_costs"]


@dataclasses.dataclass(frozen=True)
class TokenCosts:
    """The tokens [n] of a text, and what each costs."""

    ids: Tokens
    bits: NDArray[np.float64]
    """Under the frequencies that are coded with, [n]; NaN in blocks that the model does not code:
    zstd makes them smaller, or nothing does."""
    model_bits: NDArray[np.float64]
    """Under the model's own, before mixing, [n]; known in every block."""
    streams: tuple[tuple[int, int], ...]
    """First token and end of every stream: there the model starts afresh."""
    other_bits: float
    """Of the payloads of blocks that the model does not code."""


def _digit_bits(freqs: Freqs, digits: Symbols) -> NDArray[np.float64]:
    """The information of these digits [n] under frequencies [n, K]."""
    if freqs.shape[1] == 1:
        return np.zeros(len(freqs))
    chosen = np.take_along_axis(freqs, digits[:, None], axis=1)[:, 0]
    return np.asarray(PRECISION - np.log2(chosen))


class _RecordingJob(LmJob):
    """A job that encodes and notes every token's bits."""

    def __init__(
        self,
        ids: Tokens,
        stream_tokens: int,
        at_once: int,
        *,
        budget: int | None = None,
        mixer: Mixer | None = None,
    ) -> None:
        """As `encode_job`."""
        self._rounds_done: list[NDArray[np.float64]] = []
        self._costs: NDArray[np.float64] | None = None
        rounds = round_lengths(len(ids), stream_tokens, at_once)
        super().__init__(new_encoder(), rounds, stream_tokens, ids, budget, mixer)

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
        model_bits = _digit_bits(freqs, digits)
        cell[0] += model_bits if self.mixer is None else self.mixer.costs()[0]
        cell[1] += model_bits
        self._step += high is not None
        return coded

    def costs(self) -> NDArray[np.float64]:
        """Coded and model bits [2, n] of a finished job."""
        self._keep_costs()
        self._costs = None
        return np.concatenate(self._rounds_done, axis=1)


class _Recorder(BlockEncoder):
    """The encoder, which chooses as it does for an archive; its jobs take notes."""

    last: _RecordingJob | None = None

    def new_job(self, ids: Tokens, budget: int, mixer: Mixer | None) -> LmJob:
        cut = self.parameters.stream_tokens, self.parameters.streams_at_once
        self.last = _RecordingJob(ids, *cut, budget=budget, mixer=mixer)
        return self.last


def token_costs(
    model: CodecModel,
    data: bytes,
    parameters: CodingParameters,
    *,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
) -> TokenCosts:
    """What every token of `data` costs in the archive of it that `compress_stream` writes.

    All `bits` and the `other_bits` together are its summary's `ideal_bits`.
    """
    encoder = _Recorder(OneModel(model), parameters, memory_limit, None, lambda _done: None)
    reference = encoder.reference
    cut = reference.stream_tokens, reference.streams_at_once
    ids: list[Tokens] = [np.empty(0, np.int64)]
    costs: list[NDArray[np.float64]] = [np.empty((2, 0))]
    streams: list[tuple[int, int]] = []
    start, other_bits = 0, 0.0
    for number, (text, end) in enumerate(split_blocks(io.BytesIO(data), parameters)):
        ((block, ideal_bits),) = encoder.encode([text], single=end and number == 0)
        tokens = model.tokenizer.tokenize(text)
        if block.kind.modelled:
            assert encoder.last is not None
            found = encoder.last.costs()
        else:  # given up, or not even tried: what the model alone would charge
            job = _RecordingJob(tokens, *cut)
            code_jobs(model.engine, [job], window=reference.window, sinks=reference.sinks)
            found = job.costs()
            found[0] = np.nan
            other_bits += ideal_bits
        ids.append(tokens)
        costs.append(found)
        streams += [(start + a, start + b) for a, b in stream_spans(len(tokens), *cut)]
        start += len(tokens)
    bits, model_bits = np.concatenate(costs, axis=1)
    return TokenCosts(np.concatenate(ids), bits, model_bits, tuple(streams), other_bits)
