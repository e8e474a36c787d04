"""Language-model blocks: one loop for both directions, any number of blocks in lockstep."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ..coder import Encoder, SymbolCoder, new_decoder, new_encoder
from ..engine import RADIX, Engine
from ..errors import CorruptError, DeviceMemoryError
from ..mix import Mixer
from .streams import join_streams, round_lengths, split_streams, stream_lengths

__all__ = ["LmJob", "Tokens", "code_jobs", "decode_job", "encode_job"]

Tokens = NDArray[np.int64]
Freqs = NDArray[np.int32]

_log = logging.getLogger(__name__)


class LmJob:
    """One block on its way through the model: its rounds of streams, its coder, its direction."""

    def __init__(
        self,
        coder: SymbolCoder,
        rounds: list[int],
        stream_tokens: int,
        ids: Tokens | None,
        budget: int | None = None,
        mixer: Mixer | None = None,
    ) -> None:
        self.coder = coder
        self.budget = budget
        """Payload bytes at which encoding is given up, if any."""
        self.mixer = mixer
        self._model_bits_before = 0.0 if mixer is None else mixer.model_bits
        self.abandoned = False
        self._rounds, self._stream_tokens = rounds, stream_tokens
        self._ids = ids
        self._done: list[Tokens] = []
        """The tokens of the rounds behind us, when decoding."""
        self._next = self._start = 0
        self.lengths: Tokens
        self.known: Tokens | None
        """This round's tokens [S, longest] when encoding, None when decoding."""
        self.rows: Tokens
        self.next_round()

    @property
    def encoding(self) -> bool:
        return self._ids is not None

    @property
    def encoder(self) -> Encoder:
        """The coder of an encoding job."""
        assert self.encoding
        return cast(Encoder, self.coder)

    @property
    def more_rounds(self) -> bool:
        return not self.abandoned and self._next < len(self._rounds)

    def next_round(self) -> None:
        """Go on to the next round's streams, which know nothing of the last round's."""
        if self._next:
            self._keep_round()
            if self.mixer is not None:
                self.mixer.restart()
        count = self._rounds[self._next]
        self.lengths = stream_lengths(count, self._stream_tokens)
        self._shortest = int(self.lengths[-1])
        self._longer = int((self.lengths > self._shortest).sum())
        self.known = None
        self.rows = np.zeros((len(self.lengths), self.lengths[0]), np.int64)
        if self._ids is not None:
            here = self._ids[self._start : self._start + count]
            self.known = self.rows = split_streams(here, self._stream_tokens)
        self._start += count
        self._next += 1

    def _keep_round(self) -> None:
        if not self.encoding:
            count = self._rounds[self._next - 1]
            self._done.append(join_streams(self.rows, count, self._stream_tokens))

    def decoded(self) -> Tokens:
        """The tokens [n] of a finished decoding job."""
        self._keep_round()
        return np.concatenate(self._done)

    @property
    def tokens(self) -> int:
        """Of the whole block."""
        return sum(self._rounds)

    @property
    def streams(self) -> int:
        return len(self.lengths)

    @property
    def longest(self) -> int:
        return int(self.rows.shape[1])

    def mixing_hurts(self) -> bool:
        """Whether the tokens just encoded would be shorter without the mixer."""
        return not self.abandoned and self.mixing_has_hurt()

    def mixing_has_hurt(self) -> bool:
        """The same of those so far, where encoding may have been given up."""
        if self.mixer is None:
            return False
        model_bits = self.mixer.model_bits - self._model_bits_before
        return model_bits < 8 * (self.encoder.size_bytes() - 8)

    def finished(self, position: int) -> bool:
        """Whether this round has no token at the position."""
        return self.abandoned or position >= self.longest

    def active(self, position: int) -> int:
        """Streams that still have a token at this position; they are the first ones."""
        if position < self._shortest:
            return self.streams
        return self._longer if position < self.longest else 0

    def code(self, freqs: Freqs, known: Tokens | None, high: Tokens | None) -> Tokens:
        """Code the high digits of the streams that still run or, given those, whole tokens.

        `freqs` [streams, K] are the model's, `known` [streams] the tokens when encoding.
        """
        freqs = np.ascontiguousarray(freqs)
        if high is None:
            mixed = freqs if self.mixer is None else self.mixer.high(freqs)
            return self.coder.code(mixed, None if known is None else known // RADIX)
        mixed = freqs if self.mixer is None else self.mixer.low(high, freqs)
        tokens = high * RADIX + self.coder.code(mixed, None if known is None else known % RADIX)
        if self.mixer is not None:
            self.mixer.update(tokens)
        return tokens


def encode_job(
    ids: Tokens,
    stream_tokens: int,
    at_once: int = 0,
    *,
    budget: int | None = None,
    mixer: Mixer | None = None,
) -> LmJob:
    """A job that encodes tokens [n]; it is abandoned once the payload reaches `budget` bytes."""
    rounds = round_lengths(len(ids), stream_tokens, at_once)
    return LmJob(new_encoder(), rounds, stream_tokens, ids, budget, mixer)


def decode_job(
    payload: bytes,
    tokens: int,
    stream_tokens: int,
    at_once: int = 0,
    *,
    mixer: Mixer | None = None,
) -> LmJob:
    """A job that decodes `tokens` tokens from a payload."""
    rounds = round_lengths(tokens, stream_tokens, at_once)
    return LmJob(new_decoder(payload), rounds, stream_tokens, None, mixer=mixer)


def code_jobs(
    engine: Engine,
    jobs: Sequence[LmJob],
    *,
    window: int,
    sinks: int,
    slice_rows: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Run jobs of one direction through the engine, all of them in lockstep.

    Afterwards a decoding job holds its tokens, an encoding job's coder its payload, unless it was
    abandoned. `slice_rows` bounds the tokens in one forward pass; it and the company of other jobs
    change the speed and nothing else; by default it is what the engine likes. `progress(tokens)` is
    called as tokens get done.
    """
    while jobs:
        _code_round(engine, jobs, window, sinks, slice_rows or engine.slice_tokens, progress)
        jobs = [job for job in jobs if job.more_rounds]
        for job in jobs:
            job.next_round()


def _code_round(
    engine: Engine,
    jobs: Sequence[LmJob],
    window: int,
    sinks: int,
    slice_rows: int,
    progress: Callable[[int], None] | None,
) -> None:
    """One round of each job; in two halves, one after the other, if a GPU has no room for it."""
    encoding = jobs[0].encoding
    assert all(job.encoding == encoding for job in jobs)
    longest, rows = max(job.longest for job in jobs), sum(job.streams for job in jobs)
    try:
        cache = engine.new_cache(rows, window, sinks, longest)
    except DeviceMemoryError as error:
        if len(jobs) == 1:
            raise
        _log.warning("%s; going on with half of them", error)
        for half in (jobs[: len(jobs) // 2], jobs[len(jobs) // 2 :]):
            _code_round(engine, half, window, sinks, slice_rows, progress)
        return
    position = 0
    while jobs:
        streams = sum(job.streams for job in jobs)
        count = 1
        if encoding:
            left = max(job.longest for job in jobs) - position
            count = max(1, min(left, slice_rows // streams))
        predictions = engine.forward(_inputs(engine, jobs, position, count), cache)
        high_freqs = predictions.high()
        known = _known(jobs, position, count) if encoding else None
        low_freqs = None if known is None else predictions.low(known // RADIX)
        for t in range(count):
            # Lockstep order: all streams' high digits of a step, then all their low digits.
            target = None if known is None else known[:, t]
            high = _code(jobs, position + t, high_freqs[:, t], target)
            freqs = predictions.low(high[:, None])[:, 0] if low_freqs is None else low_freqs[:, t]
            ids = _code(jobs, position + t, freqs, target, high)
            if int(ids.max()) >= engine.config.vocab:
                raise CorruptError("a token beyond the vocabulary was decoded")
            done = _store(jobs, position + t, ids)
            if progress is not None:
                progress(done)
        position += count
        for job in jobs:
            if encoding and job.budget is not None:
                job.abandoned = job.encoder.size_bytes() - 8 >= job.budget
        remaining = [job for job in jobs if not job.finished(position)]
        if remaining and len(remaining) < len(jobs):
            starts = np.cumsum([0, *(job.streams for job in jobs)])
            kept = [np.arange(starts[i], starts[i + 1]) for i, job in enumerate(jobs)
                    if not job.finished(position)]  # fmt: skip
            cache.keep(np.concatenate(kept))
        jobs = remaining


def _inputs(engine: Engine, jobs: Sequence[LmJob], position: int, count: int) -> Tokens:
    """What the model reads at these positions, [all streams, T]: the start token, then the tokens.

    Behind a stream's end anything will do: nothing there is coded.
    """
    parts = []
    for job in jobs:
        places = np.minimum(np.arange(position - 1, position - 1 + count), job.longest - 1)
        part = job.rows[:, places]
        if position == 0:
            part[:, 0] = engine.config.bos
        parts.append(part)
    return np.concatenate(parts)


def _known(jobs: Sequence[LmJob], position: int, count: int) -> Tokens:
    """The tokens [all streams, T] that encoders are about to code."""
    parts = []
    for job in jobs:
        assert job.known is not None
        part = np.zeros((job.streams, count), np.int64)
        here = job.known[:, position : position + count]
        part[:, : here.shape[1]] = here
        parts.append(part)
    return np.concatenate(parts)


def _code(
    jobs: Sequence[LmJob],
    position: int,
    freqs: Freqs,
    known: Tokens | None,
    high: Tokens | None = None,
) -> Tokens:
    """`LmJob.code` for all jobs: digits or tokens [all streams], 0 where a stream has ended."""
    coded = np.zeros(len(freqs), np.int64)
    start = 0
    for job in jobs:
        rows = slice(start, start + job.active(position))
        start += job.streams
        if rows.start < rows.stop:
            coded[rows] = job.code(
                freqs[rows],
                None if known is None else known[rows],
                None if high is None else high[rows],
            )
    return coded


def _store(jobs: Sequence[LmJob], position: int, ids: Tokens) -> int:
    """Put one step's tokens into the jobs' rows; returns how many were coded."""
    start = done = 0
    for job in jobs:
        active = job.active(position)
        if active:
            job.rows[:active, position] = ids[start : start + active]
        start += job.streams
        done += active
    return done
