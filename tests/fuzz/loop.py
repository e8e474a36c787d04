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
"""For one input, on a busy machine."""
MEMORY_BYTES = 6 << 30
"""Of the whole process; an input that wants more is a finding."""
_TRACED = 12
"""Every so-many-th input is run with its lines watched: that takes several times as long."""
_MOST_KEPT = 2000


class Hang(BaseException):
    """An input took longer than LIMIT_S."""


@dataclasses.dataclass
class Result:
    """Of a run."""

    inputs: int = 0
    accepted: int = 0
    """Inputs that were read without an error."""
    lines: int = 0
    """Lines of lmzip that were reached."""
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

    def stop(number: int, frame: object) -> None:
        raise Hang

    kept = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        target.run(data)
    except target.expected:
        return False, None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "/lmzip/" in f.filename]
        where = (
            f"{frames[-1].filename.rpartition('/lmzip/')[2]}:{frames[-1].name}" if frames else "?"
        )
        return False, f"{type(error).__name__} in {where}: {str(error)[:100]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, kept)
    return True, None


def fuzz(target: Target, inputs: int, seed: int, seconds: float = float("inf")) -> Result:
    """Run so many inputs, fewer if the seconds are over."""
    rng = random.Random(seed)
    pool = list(target.seeds)
    result = Result()
    seen: set[tuple[str, int]] = set()
    start = time.monotonic()
    with _memory_limit():
        for number in range(inputs):
            if time.monotonic() - start > seconds:
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
    result.seconds = time.monotonic() - start
    result.lines, result.kept = len(seen), len(pool) - len(target.seeds)
    return result
