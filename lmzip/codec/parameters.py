"""How to cut and code: the choices an archive records."""

from __future__ import annotations

import dataclasses

from ..errors import UsageError
from ..format import (
    MAX_BLOCK_BYTES,
    MAX_MIXING_BITS,
    MAX_STREAM_TOKENS,
    MAX_STREAMS,
    MAX_WINDOW,
    MIN_MIXING_BITS,
)

__all__ = ["CodingParameters"]

_DEFAULT_WINDOW = 1024


@dataclasses.dataclass(frozen=True)
class CodingParameters:
    """Window and stream length in tokens, block length in bytes of text.

    A token sees the last `window` positions of its stream and the stream's first `sinks`. Longer
    streams compress better; shorter ones give the decoder more to do in parallel. Without a window,
    it is 1,024 or the model's context, whichever is shorter.
    """

    window: int | None = None
    stream_tokens: int = 4096
    streams_at_once: int = 0
    """Streams that advance in lockstep; the next ones begin when these have ended, and know by
    mixing what they said. 0: all of a block's."""
    sinks: int = 4
    block_bytes: int = 1 << 18
    mixing_bits: int = 18
    """Logarithm of the greatest number of nodes in a table of adaptive mixing (704 bytes a node in
    all eleven); 0: no mixing."""
    solid: bool = False
    """Mix what all blocks have said, not only the same one: smaller, but there is no random access
    and blocks decode one behind the other. Needs `streams_at_once` and mixing."""
    rsyncable: bool = False
    """Cut blocks where the text itself says so, between a quarter of `block_bytes` and all of it: a
    change in the contents changes the blocks around it, and the others stay byte for byte."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("window", 1, MAX_WINDOW),
            ("stream_tokens", 1, MAX_STREAM_TOKENS),
            ("streams_at_once", 0, MAX_STREAMS),
            ("sinks", 0, 1024),
            ("block_bytes", 1, MAX_BLOCK_BYTES),
        ):
            value = getattr(self, name)
            if name == "window" and value is None:
                continue
            if not low <= value <= high:
                label = name.replace("_", " ")
                raise UsageError(f"{label} must be between {low} and {high}, not {value}")

        low, high = MIN_MIXING_BITS, MAX_MIXING_BITS
        if self.mixing_bits and not low <= self.mixing_bits <= high:
            raise UsageError(
                f"mixing bits must be between {low} and {high}, not {self.mixing_bits}"
            )
        if self.solid and self.rsyncable:
            raise UsageError(
                "a solid archive cannot be rsyncable: a change alters all later blocks"
            )
        if self.solid and not (self.mixing_bits and self.streams_at_once):
            raise UsageError("a solid archive needs mixing and a number of streams at once")

    def window_for(self, context: int) -> int:
        """The window for a model trained on `context` tokens. Raises UsageError if longer."""
        window = min(_DEFAULT_WINDOW, context) if self.window is None else self.window
        if window > context:
            raise UsageError(
                f"a window of {window} tokens is longer than the model's context of {context}"
            )
        return window
