"""How much a model has to read to code a block: known from its header, before anything begins."""

from __future__ import annotations

from ..errors import LmzipError
from ..format import ModelReference, SideReference, SideSource
from ..text import MAX_SIDE_TOKENS

__all__ = ["MAX_WORK", "block_work", "require_work"]

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
            f"a block of {tokens:,} tokens has the model read {work:,} for its thoughts; "
            f"the limit is {MAX_WORK:,}"
        )
