"""One small known question: an engine that answers it wrongly must not run (NUMERICS.md, 12)."""

from __future__ import annotations

import hashlib

import numpy as np

from ..errors import EngineError
from .arithmetic import RADIX
from .interface import Engine
from .weights import Pack

__all__ = ["require_selftest", "selftest_digest"]

_STREAMS, _TOKENS, _WINDOW, _SINKS = 2, 6, 3, 2


def selftest_digest(engine: Engine) -> str:
    """Hex digest of the frequencies after a few fixed tokens, sliding window included."""
    config = engine.config
    steps = np.arange(_STREAMS * _TOKENS, dtype=np.int64).reshape(_STREAMS, _TOKENS)
    tokens = (steps * 7919 + 13) % config.vocab
    tokens[:, 0] = config.bos
    cache = engine.new_cache(_STREAMS, _WINDOW, _SINKS, _TOKENS)
    digest = hashlib.sha256()
    for part in (tokens[:, :4], tokens[:, 4:]):
        predictions = engine.forward(part, cache)
        digest.update(np.ascontiguousarray(predictions.high(), "<i4").tobytes())
        low = predictions.low((part + 1) % config.vocab // RADIX)
        digest.update(np.ascontiguousarray(low, "<i4").tobytes())
    return digest.hexdigest()[:32]


def require_selftest(engine: Engine, pack: Pack) -> None:
    """Raise EngineError unless the engine reproduces the pack's recorded answer."""
    if pack.selftest and selftest_digest(engine) != pack.selftest:
        raise EngineError(
            f"the {engine.name} engine computes wrong numbers for model {pack.name!r} on this "
            "machine; refusing to run"
        )
