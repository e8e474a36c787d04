"""native/lockstep.h: one step of many blocks, mixed and coded in two calls of C++."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import CorruptError
from ..extension import extension
from .interface import Freqs, Symbols
from .native import NativeDecoder, NativeEncoder

__all__ = ["Lockstep"]


class Lockstep:
    """Blocks that step together, shared out over threads; the interpreter is free meanwhile."""

    def __init__(
        self,
        mixers: Sequence[Any],
        coders: Sequence[NativeEncoder | NativeDecoder],
        streams: Sequence[int],
        threads: int,
    ) -> None:
        """`mixers`: each block's native one, or None."""
        natives = [coder.native for coder in coders]
        self._native = extension.Lockstep(list(mixers), natives, np.array(streams), threads)

    def code(
        self, freqs: Freqs, active: Sequence[int], digits: Symbols, tokens: Symbols, *, low: bool
    ) -> None:
        """Code the high digits of each block's first `active` streams or, `low`, the tokens behind.

        `freqs` [streams, n]; `digits` and `tokens` [streams] hold what encoders are to code and
        take what is decoded, in place. Raises CorruptError.
        """
        if not self._native.code(freqs, np.array(active), digits, tokens, low):
            raise CorruptError("the payload does not decode")
