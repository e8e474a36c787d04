"""What a target of fuzzing is."""

from __future__ import annotations

import random

from lmzip.errors import LmzipError

from . import mutate


class Target:
    """Inputs are bytes, so that they can be kept."""

    expected: tuple[type[BaseException], ...] = (LmzipError,)
    seeds: list[bytes]
    modules: tuple[str, ...] = ()
    """Files below lmzip/ that it is about: how much of them is reached is reported."""

    def make(self, rng: random.Random, pool: list[bytes]) -> bytes:
        """A new input; `pool` has the seeds and inputs that reached new lines."""
        return mutate.mutate_bytes(rng, rng.choice(pool), pool)

    def run(self, data: bytes) -> None:
        """Read it."""
        raise NotImplementedError
