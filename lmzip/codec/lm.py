"""Language-model blocks: one loop for both directions, any number of blocks in lockstep."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np

from ..engine import RADIX, Engine
from ..errors import CorruptError, DeviceMemoryError
from .job import LmJob, Tokens
from .steps import new_steps

__all__ = ["code_jobs"]

_log = logging.getLogger(__name__)


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
        _log.warning("%s; going on with half of them", error)
        for half in (jobs[: len(jobs) // 2], jobs[len(jobs) // 2 :]):
            _code_round(engine, half, window, sinks, slice_rows, coding_threads, progress)
        return
    position, steps = 0, new_steps(jobs, coding_threads)
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
            high = steps.high(position + t, high_freqs[:, t], target)
            freqs = predictions.low(high[:, None])[:, 0] if low_freqs is None else low_freqs[:, t]
            ids = steps.low(position + t, freqs, high, target)
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
            steps = new_steps(remaining, coding_threads)
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
