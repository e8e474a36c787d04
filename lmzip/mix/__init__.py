"""Adaptive mixing: what a block has said so far, mixed into the model's predictions.

NUMERICS.md, section 13, is the specification. Two implementations give the same integers:
`reference` is for reading, native/mix/ for use.
"""

from .interface import (
    MAX_KEPT_TOKENS,
    MIXING_VERSION,
    Mixer,
    MixingStart,
    NativeMixer,
    TokenBytes,
    mixer_bytes,
    new_mixer,
    table_bits,
)

__all__ = [
    "MAX_KEPT_TOKENS",
    "MIXING_VERSION",
    "Mixer",
    "MixingStart",
    "NativeMixer",
    "TokenBytes",
    "mixer_bytes",
    "new_mixer",
    "table_bits",
]
