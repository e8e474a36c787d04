"""How much a model has to read to code a block: known from its header, before anything begins."""

from __future__ import annotations

from ..errors import LmzipError
from ..format import ModelReference, SideReference
from ..text import MAX_SIDE_TOKENS

__all__ = ["MAX_WORK", "block_work", "require_work"]

MAX_WORK = 1 << 27
"""Tokens that a model reads for a block, at most. Without thoughts no block comes near it."""


def block_work(model: ModelReference, side: SideReference | None, tokens: int) -> int:
    """Tokens that the model reads for a block of so many, at most; `side` if it is coded given.

    FORMAT.md, "Limits", has the formula.
    """
    at_once = model.streams_at_once or tokens
    rounds = -(-tokens // (model.stream_tokens * at_once))
    if side is None:
        return tokens
    work = rounds * min(side.prefix_tokens, MAX_SIDE_TOKENS)
    if (t := side.thoughts) is None:
        return work + tokens
    # Streams are at most as many, and as long, as in the longest round.
    longest_round = -(-tokens // rounds)
    streams = -(-longest_round // model.stream_tokens)
    longest = -(-longest_round // streams)
    thoughts = 1 + ((longest - 1) // t.every if t.every else 0)
    thought = len(t.before) + t.tokens + len(t.behind)
    return work + t.chains * (tokens + rounds * streams * thoughts * thought)


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
