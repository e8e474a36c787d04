"""Protocols: how a document's tokens are cut into windows, and which of them are scored.

A protocol is other people's way of counting, for comparisons with their numbers; `codec` is
lmzip's own. Each says what it leaves out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ..codec import stream_spans
from ..errors import UsageError

__all__ = ["PROTOCOLS", "Protocol", "Window", "protocol"]

CRIL_BLOCK, CRIL_STRIDE = 1900, 512


@dataclasses.dataclass(frozen=True)
class Window:
    """One reading of some of a document's tokens: `context` <= `first` < `end`.

    The model reads its start token, if `start`, then the tokens from `context` on; tokens `first`
    to `end` are scored.
    """

    context: int
    first: int
    end: int
    start: bool

    @property
    def inputs(self) -> int:
        """How many tokens the model reads."""
        return self.end - 1 - self.context + self.start


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A way of cutting."""

    name: str
    about: str
    """What it does, and what it leaves out."""
    windows: Callable[[int, int], list[Window]]
    """Windows for so many tokens, of so many inputs at most. Raises UsageError."""
    fixed_window: int | None = None
    """Inputs of a window, if the protocol itself says."""

    def window_for(self, wanted: int, context: int) -> int:
        """Inputs of a window for a model that reads `context` at once (0: any number).

        `wanted` is for protocols that leave it open. Raises UsageError if the model reads fewer.
        """
        window = self.fixed_window or wanted
        if window < 1:
            raise UsageError(f"a window must have 1 token at least, not {window}")
        if context and window > context:
            if self.fixed_window:
                raise UsageError(
                    f"the protocol {self.name} reads {window:,} tokens at once, "
                    f"the model {context:,} at most"
                )
            raise UsageError(
                f"a window of {window} tokens is longer than the model's context of {context}"
            )
        return window


def _codec(tokens: int, window: int) -> list[Window]:
    spans = stream_spans(tokens, window, 0) if tokens else []
    return [Window(a, a, b, start=True) for a, b in spans]


def _lm_eval(tokens: int, window: int) -> list[Window]:
    if not tokens:
        return []
    windows = [Window(0, 0, min(window, tokens), start=True)]
    while windows[-1].end < tokens:
        first = windows[-1].end
        end = min(first + window, tokens)
        # The last window is a full one: its context reaches back into the one before.
        windows.append(Window(end - window - 1, first, end, start=False))
    return windows


def _cril(tokens: int, window: int) -> list[Window]:
    length = window + 1
    starts = range(0, tokens - length + 1, CRIL_STRIDE)
    if not starts:
        raise UsageError(
            f"the protocol cril scores nothing in a document of {tokens} tokens: it needs {length}"
        )
    return [
        Window(a, a + length - CRIL_STRIDE if a else 1, a + length, start=False) for a in starts
    ]


PROTOCOLS = {
    p.name: p
    for p in (
        Protocol(
            "codec",
            "as archives are coded: streams of nearly equal length, each from the start token on; "
            "every token is scored",
            _codec,
        ),
        Protocol(
            "lm-eval",
            "lm-evaluation-harness' rolling windows: disjoint, each after the first reads one "
            "token of the one before instead of a start token, the last reaches back to be a full "
            "one; every token is scored",
            _lm_eval,
        ),
        Protocol(
            "cril",
            "Compression Represents Intelligence Linearly: blocks of 1,900 every 512 tokens; "
            "leaves out a document's first token and what is behind the last full block, and "
            "divides by the bytes that are left (by them: characters, of all documents joined)",
            _cril,
            CRIL_BLOCK,
        ),
    )
}


def protocol(name: str) -> Protocol:
    """The protocol of that name. Raises UsageError."""
    if name not in PROTOCOLS:
        raise UsageError(f"no protocol {name!r} (there are: {', '.join(PROTOCOLS)})")
    return PROTOCOLS[name]
