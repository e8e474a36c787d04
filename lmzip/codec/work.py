"""How much a model has to read to code a block: known from its header, before anything begins."""

from __future__ import annotations

from ..errors import LmzipError, TimeLimitError
from ..format import ModelReference, SideReference, SideSource
from ..text import MAX_SIDE_TOKENS

__all__ = ["MAX_WORK", "TimeBudget", "block_work", "require_work"]

MAX_WORK = 1 << 27
"""Tokens that a model reads for a block, at most. Without thoughts no block comes near it."""


def block_work(model: ModelReference, side: SideReference | None, tokens: int) -> int:
    """Tokens that the model reads for a block of so many, at most; `side` if it is coded given.

    FORMAT.md, "Limits", has the formula.
    """
    if side is None:
        return tokens
    at_once = model.streams_at_once
    rounds = -(-tokens // (model.stream_tokens * at_once)) if at_once else 1
    prefix = min(side.prefix_tokens, MAX_SIDE_TOKENS)
    if side.source == SideSource.GIVEN:
        prefix = min(prefix, side.length_bytes)
    # No round has more streams, and none of them is longer, than in the first.
    first_round = -(-tokens // rounds)
    streams = -(-first_round // model.stream_tokens)
    longest = -(-first_round // streams)
    own = rounds * streams * longest
    if (t := side.thoughts) is None:
        return prefix * rounds + own
    thoughts = 1 + ((longest - 1) // t.every if t.every else 0)
    read = rounds * streams * thoughts * (len(t.before) + t.tokens + len(t.behind))
    return (prefix + len(t.before)) * (rounds + 1) + t.chains * (t.tokens + own + read)


def require_work(
    model: ModelReference, side: SideReference | None, tokens: int, error: type[LmzipError]
) -> None:
    """Raise that error if a block of so many tokens takes more work than any may."""
    work = block_work(model, side, tokens)
    if work > MAX_WORK:
        raise error(
            f"for a block of {tokens:,} tokens, the model would read {work:,} tokens; "
            f"the limit is {MAX_WORK:,}"
        )


THOUGHT_SECONDS, THOUGHT_WEIGHTS = 1e-3, 1e10
OWN_SECONDS, OWN_WEIGHTS = 1e-4, 1e11
"""A token takes so many seconds, and one more for so many weights of the model: what lmzip-3m and
SmolLM2-135M need on two cores, rounded up. Thoughts are read one token after another, texts in many
streams."""

DEFAULT_THINKING_SECONDS = 86_400.0
"""What thoughts may take if nobody says otherwise: a day."""


class TimeBudget:
    """Seconds that decoding may take, reckoned from headers before the work begins.

    With no `limit_s` only thoughts are counted, which may take as long as they like however short
    the text is; with one, everything that a model reads. Nothing is measured: an archive is refused
    on every machine or on none.
    """

    def __init__(self, limit_s: float | None = None) -> None:
        self._everything = limit_s is not None
        self._limit_s = DEFAULT_THINKING_SECONDS if limit_s is None else limit_s
        self._spent_s = 0.0

    def seconds(
        self, model: ModelReference, side: SideReference | None, tokens: int, weights: int
    ) -> float:
        """What a block of so many tokens takes with a model of so many weights."""
        work = block_work(model, side, tokens)
        thinks = side is not None and side.thoughts is not None
        thought = work - tokens if thinks else 0
        own = work - thought if self._everything else 0
        return thought * (THOUGHT_SECONDS + weights / THOUGHT_WEIGHTS) + own * (
            OWN_SECONDS + weights / OWN_WEIGHTS
        )

    def require(self, seconds: float) -> None:
        """Raise TimeLimitError if that is more than is left."""
        needed = self._spent_s + seconds
        if needed > self._limit_s:
            raise TimeLimitError(
                f"decoding would take about {_duration(needed)}, more than the time "
                f"limit of {_duration(self._limit_s)}"
            )

    def spend(self, seconds: float) -> None:
        """Count what is about to be decoded."""
        self._spent_s += seconds


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.3g} seconds"
