"""How to cut and code: the choices an archive records."""

from __future__ import annotations

import dataclasses

from ..errors import UsageError
from ..format import MAX_BLOCK_BYTES, MAX_STREAM_TOKENS, MAX_WINDOW

__all__ = ["CodingParameters"]


@dataclasses.dataclass(frozen=True)
class CodingParameters:
    """Window and stream length in tokens, block length in bytes of text.

    A token sees the last `window` positions of its stream and the stream's first `sinks`. Longer
    streams compress better; shorter ones give the decoder more to do in parallel.
    """

    window: int = 1024
    stream_tokens: int = 4096
    sinks: int = 4
    block_bytes: int = 1 << 18

    def __post_init__(self) -> None:
        for name, low, high in (
            ("window", 1, MAX_WINDOW),
            ("stream_tokens", 1, MAX_STREAM_TOKENS),
            ("sinks", 0, 1024),
            ("block_bytes", 1, MAX_BLOCK_BYTES),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                label = name.replace("_", " ")
                raise UsageError(f"{label} must be between {low} and {high}, not {value}")
