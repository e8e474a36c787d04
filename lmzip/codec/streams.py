"""How a block's tokens are cut into streams, and in which order their digits are coded.

FORMAT.md ("Language-model blocks"): a block's tokens are cut into rounds, one after the other; the
n tokens of a round into S = ceil(n / stream length) streams, the first n mod S of them one token
longer than the others. All streams of a round advance in lockstep.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["join_streams", "round_lengths", "split_streams", "stream_lengths", "stream_spans"]


def round_lengths(tokens: int, stream_tokens: int, at_once: int) -> list[int]:
    """Tokens of each round, differing by at most one, so that `at_once` streams suffice.

    `at_once` 0: one round of everything.
    """
    assert tokens >= 1
    count = -(-tokens // (stream_tokens * at_once)) if at_once else 1
    base, longer = divmod(tokens, count)
    return [base + (i < longer) for i in range(count)]


def stream_lengths(tokens: int, stream_tokens: int) -> NDArray[np.int64]:
    """Lengths of the streams: longest first, differing by at most one."""
    assert tokens >= 1 and stream_tokens >= 1
    count = -(-tokens // stream_tokens)
    base, longer = divmod(tokens, count)
    return np.array([base + (i < longer) for i in range(count)], np.int64)


def stream_spans(tokens: int, stream_tokens: int, at_once: int) -> list[tuple[int, int]]:
    """First token and end of every stream of a block, in order."""
    spans: list[tuple[int, int]] = []
    start = 0
    for count in round_lengths(tokens, stream_tokens, at_once):
        for length in stream_lengths(count, stream_tokens).tolist():
            spans.append((start, start + length))
            start += length
    return spans


def split_streams(ids: NDArray[np.int64], stream_tokens: int) -> NDArray[np.int64]:
    """Tokens [n] as streams [S, longest]; the places behind a shorter stream's end hold 0."""
    lengths = stream_lengths(len(ids), stream_tokens)
    rows = np.zeros((len(lengths), lengths[0]), np.int64)
    rows[np.arange(lengths[0]) < lengths[:, None]] = ids
    return rows


def join_streams(rows: NDArray[np.int64], tokens: int, stream_tokens: int) -> NDArray[np.int64]:
    """The inverse of `split_streams`."""
    lengths = stream_lengths(tokens, stream_tokens)
    assert rows.shape == (len(lengths), lengths[0])
    return rows[np.arange(lengths[0]) < lengths[:, None]]
