"""The loop: make an input, read it under limits of time and memory, keep what reaches new lines."""

from __future__ import annotations

import contextlib
import dataclasses
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from .base import Target

LIMIT_S = 20
"""Of the processor, for one input."""
WAIT_S = 600
"""Of the clock, for one input: a wait for something that never comes."""
MEMORY_BYTES = 6 << 30
"""Of the whole process; an input that wants more is a finding."""
_TRACED = 12
"""Every so-many-th input is run with its lines watched: that takes several times as long."""
_MOST_KEPT = 2000


class Hang(BaseException):
    """An input took longer than LIMIT_S or WAIT_S."""


@dataclasses.dataclass
class Result:
    """Of a run."""

    inputs: int = 0
    accepted: int = 0
    """Inputs that were read without an error."""
    lines: set[tuple[str, int]] = dataclasses.field(default_factory=set)
    """Lines of lmzip that were reached: file and number."""
    kept: int = 0
    seconds: float = 0.0
    found: dict[str, bytes] = dataclasses.field(default_factory=dict)
    """An input for each kind of fault, by what it does."""


def _watch(seen: set[tuple[str, int]]) -> Callable[..., Any]:
    def line(frame: Any, event: str, argument: object) -> Any:
        if event == "line":
            seen.add((frame.f_code.co_filename, frame.f_lineno))
        return line

    def call(frame: Any, event: str, argument: object) -> Any:
        return line if "/lmzip/" in frame.f_code.co_filename else None

    return call


@contextlib.contextmanager
def _memory_limit() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def attempt(target: Target, data: bytes) -> tuple[bool, str | None]:
    """Whether the input was accepted, and what is wrong with what it did, if anything."""

    hung = False

    def stop(number: int, frame: object) -> None:
        nonlocal hung
        hung = True
        raise Hang

    timers = (
        (signal.SIGPROF, signal.ITIMER_PROF, LIMIT_S),
        (signal.SIGALRM, signal.ITIMER_REAL, WAIT_S),
    )
    kept = [signal.signal(number, stop) for number, _timer, _limit in timers]
    for _number, timer, limit in timers:
        signal.setitimer(timer, limit)
    try:
        target.run(data)
    except target.expected:
        return False, "Hang, though caught" if hung else None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "/lmzip/" in f.filename]
        where = (
            f"{frames[-1].filename.rpartition('/lmzip/')[2]}:{frames[-1].name}" if frames else "?"
        )
        return False, f"{type(error).__name__} in {where}: {str(error)[:100]}"
    finally:
        for (number, timer, _limit), handler in zip(timers, kept, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)
    return True, "Hang, though caught" if hung else None


def fuzz(
    target: Target,
    inputs: int,
    seed: int,
    seconds: float = float("inf"),
    limit_memory: bool = True,
) -> Result:
    """Run so many inputs, fewer if the seconds are over or SIGTERM comes.

    Sanitizers need an address space without `limit_memory`.
    """
    rng = random.Random(seed)
    pool = list(target.seeds)
    result = Result()
    seen = result.lines
    start = time.monotonic()
    ended = False

    def end(number: int, frame: object) -> None:
        nonlocal ended
        ended = True

    kept = signal.signal(signal.SIGTERM, end)
    with _memory_limit() if limit_memory else contextlib.nullcontext():
        for number in range(inputs):
            if ended or time.monotonic() - start > seconds:
                break
            data = pool[number] if number < len(target.seeds) else target.make(rng, pool)
            traced = number % _TRACED == 0 or number < len(target.seeds)
            before = len(seen)
            if traced:
                sys.settrace(_watch(seen))
            try:
                accepted, problem = attempt(target, data)
            finally:
                if traced:
                    sys.settrace(None)
            result.inputs += 1
            result.accepted += accepted
            if problem is not None:
                result.found.setdefault(problem.partition(": ")[0], data)
            if traced and len(seen) > before and len(pool) < _MOST_KEPT and len(data) < 1 << 16:
                pool.append(data)
    signal.signal(signal.SIGTERM, kept)
    result.seconds = time.monotonic() - start
    result.kept = len(pool) - len(target.seeds)
    return result
