"""Language-model blocks: one loop for both directions, any number of blocks in lockstep."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from ..engine import RADIX, Cache, Engine
from ..errors import CorruptError, DeviceMemoryError
from .job import LmJob, Tokens
from .lookahead import new_look_ahead
from .steps import new_steps

__all__ = ["code_jobs"]

_log = logging.getLogger(__name__)

Freqs = NDArray[np.int32]


def code_jobs(
    engine: Engine,
    jobs: Sequence[LmJob],
    *,
    window: int,
    sinks: int,
    slice_rows: int | None = None,
    coding_threads: int = 1,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Run jobs of one direction through the engine, all of them in lockstep.

    Afterwards a decoding job holds its tokens, an encoding job's coder its payload, unless it was
    abandoned. `slice_rows` bounds the tokens in one forward pass; it and the company of other jobs
    change the speed and nothing else; by default it is what the engine likes. So many
    `coding_threads` mix and code. `progress(tokens)` is called as tokens get done.
    """
    while jobs:
        rows = slice_rows or engine.slice_tokens
        _code_round(engine, jobs, window, sinks, rows, coding_threads, progress)
        jobs = [job for job in jobs if job.more_rounds]
        for job in jobs:
            job.next_round()


def _code_round(
    engine: Engine,
    jobs: Sequence[LmJob],
    window: int,
    sinks: int,
    slice_rows: int,
    coding_threads: int,
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
        _log.warning("%s; continuing with half as many", error)
        for half in (jobs[: len(jobs) // 2], jobs[len(jobs) // 2 :]):
            _code_round(engine, half, window, sinks, slice_rows, coding_threads, progress)
        return
    if encoding:
        _encode(engine, cache, jobs, slice_rows, coding_threads, progress)
    else:
        _decode(engine, cache, jobs, coding_threads, progress)


def _encode(
    engine: Engine,
    cache: Cache,
    jobs: Sequence[LmJob],
    slice_rows: int,
    coding_threads: int,
    progress: Callable[[int], None] | None,
) -> None:
    """One round: predictions of a slice of all streams at once, then its steps, one by one.

    Where an engine has threads, they compute the next slice while this thread mixes and codes.
    """
    steps = new_steps(jobs, coding_threads)

    def predict(position: int, jobs: Sequence[LmJob]) -> tuple[Tokens, Freqs, Freqs]:
        """Known tokens [all streams, T], and the frequencies of their digits."""
        streams = sum(job.streams for job in jobs)
        left = max(job.longest for job in jobs) - position
        count = max(1, min(left, slice_rows // streams))
        predictions = engine.forward(_inputs(engine, jobs, position, count), cache)
        known = _known(jobs, position, count)
        return known, predictions.high(), predictions.low(known // RADIX)

    with ExitStack() as stack:
        pool = None
        if getattr(engine, "works_ahead", False):
            pool = stack.enter_context(ThreadPoolExecutor(1))
        position, (known, high_freqs, low_freqs) = 0, predict(0, jobs)
        while True:
            end = position + known.shape[1]
            more = end < max(job.longest for job in jobs)
            ahead = pool.submit(predict, end, jobs) if pool and more else None
            for t in range(known.shape[1]):
                # Lockstep order: all streams' high digits of a step, then all their low digits.
                high = steps.high(position + t, high_freqs[:, t], known[:, t])
                ids = steps.low(position + t, low_freqs[:, t], high, known[:, t])
                _require_tokens(ids, engine.config.vocab)
                _report(jobs, position + t, ids, progress)
            for job in jobs:
                if job.budget is not None:
                    job.abandoned = job.encoder.size_bytes() - 8 >= job.budget
            remaining = [job for job in jobs if not job.finished(end)]
            if not remaining:
                return  # what is being computed ahead is of no use
            following = ahead.result() if ahead else None
            if len(remaining) < len(jobs):
                rows = _rows_of(jobs, remaining)
                cache.keep(rows)
                steps = new_steps(remaining, coding_threads)
                if following is not None:
                    following = following[0][rows], following[1][rows], following[2][rows]
                jobs = remaining
            known, high_freqs, low_freqs = following or predict(end, jobs)
            position = end


def _decode(
    engine: Engine,
    cache: Cache,
    jobs: Sequence[LmJob],
    coding_threads: int,
    progress: Callable[[int], None] | None,
) -> None:
    """One round, step by step; the model is fed guesses of what comes next where that pays."""
    longest, streams = max(job.longest for job in jobs), sum(job.streams for job in jobs)
    steps = new_steps(jobs, coding_threads)
    look_ahead = new_look_ahead(engine, cache, streams, longest)
    position = 0
    while jobs:
        inputs = _inputs(engine, jobs, position, 1)
        if look_ahead is not None:
            predictions = look_ahead.forward(inputs)
        else:
            predictions = engine.forward(inputs, cache)
        high = steps.high(position, predictions.high()[:, 0], None)
        ids = steps.low(position, predictions.low(high[:, None])[:, 0], high, None)
        _require_tokens(ids, engine.config.vocab)
        _report(jobs, position, ids, progress)
        position += 1
        remaining = [job for job in jobs if not job.finished(position)]
        if remaining and len(remaining) < len(jobs):
            rows = _rows_of(jobs, remaining)
            if look_ahead is not None:
                look_ahead.keep(rows)
            else:
                cache.keep(rows)
            steps = new_steps(remaining, coding_threads)
        jobs = remaining
    if look_ahead is not None:
        look_ahead.log()


def _require_tokens(ids: Tokens, vocab: int) -> None:
    if int(ids.max()) >= vocab:
        raise CorruptError("a token outside the vocabulary was decoded")


def _report(
    jobs: Sequence[LmJob], position: int, ids: Tokens, progress: Callable[[int], None] | None
) -> None:
    done = _store(jobs, position, ids)
    if progress is not None:
        progress(done)


def _rows_of(jobs: Sequence[LmJob], remaining: Sequence[LmJob]) -> Tokens:
    """The rows, among those of all jobs, that belong to the remaining ones."""
    going_on = {id(job) for job in remaining}
    return np.flatnonzero(np.concatenate([np.full(j.streams, id(j) in going_on) for j in jobs]))


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
