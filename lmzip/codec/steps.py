"""Mixing and coding one step of jobs in lockstep: all at once in C++, or job by job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..coder.lockstep import Lockstep
from ..coder.native import NativeDecoder, NativeEncoder
from ..mix import NativeMixer
from .job import LmJob, Tokens

__all__ = ["Steps", "new_steps"]

Freqs = NDArray[np.int32]


class Steps(Protocol):
    """Every stream's next token, in lockstep order: all high digits, then all low ones."""

    def high(self, position: int, freqs: Freqs, known: Tokens | None) -> Tokens:
        """High digits [all streams] under frequencies [all streams, digits], 0 where one has ended.

        `known` [all streams] are the tokens when encoding.
        """

    def low(self, position: int, freqs: Freqs, high: Tokens, known: Tokens | None) -> Tokens:
        """Whole tokens [all streams], given the high digits; mixers learn them."""


class PlainSteps:
    """Job by job."""

    def __init__(self, jobs: Sequence[LmJob]) -> None:
        self._jobs = jobs

    def high(self, position: int, freqs: Freqs, known: Tokens | None) -> Tokens:
        return self._code(position, freqs, known, None)

    def low(self, position: int, freqs: Freqs, high: Tokens, known: Tokens | None) -> Tokens:
        return self._code(position, freqs, known, high)

    def _code(
        self, position: int, freqs: Freqs, known: Tokens | None, high: Tokens | None
    ) -> Tokens:
        coded = np.zeros(len(freqs), np.int64)
        start = 0
        for job in self._jobs:
            rows = slice(start, start + job.active(position))
            start += job.streams
            if rows.start < rows.stop:
                coded[rows] = job.code(
                    freqs[rows],
                    None if known is None else known[rows],
                    None if high is None else high[rows],
                )
        return coded


class NativeSteps:
    """All jobs in two calls."""

    def __init__(self, jobs: Sequence[LmJob], threads: int) -> None:
        self._jobs = jobs
        self._blocks = Lockstep(
            [None if job.mixer is None else job.mixer.native for job in jobs],  # type: ignore[attr-defined]
            [job.coder for job in jobs],  # type: ignore[misc]
            [job.streams for job in jobs],
            threads,
        )

    def high(self, position: int, freqs: Freqs, known: Tokens | None) -> Tokens:
        digits = np.zeros(len(freqs), np.int64)
        self._code(position, freqs, digits, digits if known is None else known.copy(), low=False)
        return digits

    def low(self, position: int, freqs: Freqs, high: Tokens, known: Tokens | None) -> Tokens:
        tokens = np.zeros(len(freqs), np.int64) if known is None else known.copy()
        self._code(position, freqs, high, tokens, low=True)
        return tokens

    def _code(
        self, position: int, freqs: Freqs, digits: Tokens, tokens: Tokens, *, low: bool
    ) -> None:
        active = [job.active(position) for job in self._jobs]
        self._blocks.code(freqs, active, digits, tokens, low=low)


def _is_native(job: LmJob) -> bool:
    return (
        type(job) is LmJob  # others want to see every row
        and isinstance(job.coder, NativeDecoder | NativeEncoder)
        and (job.mixer is None or isinstance(job.mixer, NativeMixer))
    )


def new_steps(jobs: Sequence[LmJob], threads: int) -> Steps:
    """The fastest way for these jobs' present round; so many threads share the jobs out."""
    return NativeSteps(jobs, threads) if all(map(_is_native, jobs)) else PlainSteps(jobs)
