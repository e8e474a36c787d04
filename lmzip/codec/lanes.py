"""Blocks dealt to engines that work at the same time: several GPUs, or one and the coder beside it.

A lane is a thread that calls one engine. While it codes tokens on the host (in C++, in calls that
leave the interpreter to others) another has its engine compute. Who does what never changes a byte.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from ..engine import Engine
from ..engine.cores import available_cores
from .job import LmJob
from .lm import code_jobs

__all__ = ["code_in_lanes", "deal"]


class _Stopped(Exception):
    """Another lane has failed."""


def deal(jobs: Sequence[LmJob], lanes: int) -> list[list[LmJob]]:
    """The jobs in at most so many parts, about as many tokens in each; none is empty."""
    parts: list[list[LmJob]] = [[] for _ in range(lanes)]
    tokens = [0] * lanes
    for job in sorted(jobs, key=lambda job: -job.tokens):
        least = tokens.index(min(tokens))
        parts[least].append(job)
        tokens[least] += job.tokens
    return [part for part in parts if part]


def code_in_lanes(
    engine: Engine,
    jobs: Sequence[LmJob],
    *,
    window: int,
    sinks: int,
    slice_rows: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> None:
    """`code_jobs` by all the engine's lanes. The first error ends them all."""
    parts = deal(jobs, len(engine.lanes) or 1)
    # An engine of lanes computes elsewhere, so that the host's processors are free for the coder.
    threads = max(1, available_cores() // len(parts)) if engine.lanes and parts else 1
    if len(parts) < 2:
        code_jobs(
            engine,
            jobs,
            window=window,
            sinks=sinks,
            slice_rows=slice_rows,
            coding_threads=threads,
            progress=progress,
        )
        return
    stop, reporting = threading.Event(), threading.Lock()

    def advance(done: int) -> None:
        if stop.is_set():
            raise _Stopped
        if progress is not None:
            with reporting:
                progress(done)

    def run(lane: Engine, part: list[LmJob]) -> None:
        code_jobs(
            lane,
            part,
            window=window,
            sinks=sinks,
            slice_rows=slice_rows,
            coding_threads=threads,
            progress=advance,
        )

    with ThreadPoolExecutor(len(parts)) as pool:
        try:
            started = [
                pool.submit(run, lane, part)
                for lane, part in zip(engine.lanes, parts, strict=False)
            ]
            for lane in wait(started, return_when=FIRST_EXCEPTION).done:
                lane.result()
        except BaseException:
            stop.set()
            raise
