"""What coding needs of a model, and a promise to load it only when a block asks for it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..engine import NUMERICS_VERSION, Engine, ModelConfig
from ..errors import MemoryLimitError
from ..format import ModelReference
from ..mix import (
    MAX_KEPT_TOKENS,
    MIXING_VERSION,
    Mixer,
    MixingStart,
    TokenBytes,
    mixer_bytes,
    new_mixer,
    table_bits,
)
from ..text import Tokenizer
from .parameters import CodingParameters
from .streams import round_lengths, stream_lengths

__all__ = [
    "CodecModel",
    "Mixers",
    "ModelSource",
    "OneModel",
    "cache_bytes",
    "model_reference",
    "require_memory",
]

_MOST_POSITIONS = 1 << 30
"""Of a stream: engines count them in 32 bits."""
_CHUNK = 256
"""Tokens over all streams that an engine's cache may hold beside the window at most."""


@dataclasses.dataclass(frozen=True)
class CodecModel:
    """A loaded model."""

    engine: Engine
    tokenizer: Tokenizer
    identity: bytes
    name: str
    registered: bool = False
    """Every lmzip knows this identity's name, so that archives need not carry it."""
    pack_bytes: int = 0
    """Size of the model."""
    mixing: MixingStart | None = None
    """What mixing starts with, if the pack says."""

    @functools.cached_property
    def token_bytes(self) -> TokenBytes:
        """The bytes of the tokens, for mixers."""
        vocabulary = self.tokenizer.vocabulary
        return TokenBytes(vocabulary.ends, vocabulary.data)

    def new_mixer(self, streams: int, bits: int) -> Mixer:
        """A mixer of this model's predictions that has seen nothing."""
        return new_mixer(self.token_bytes, streams, bits, self.mixing)


class ModelSource(Protocol):
    """Where the codec gets models from: the caller knows about files and downloads."""

    def for_compression(self) -> CodecModel:
        """The model to compress with."""

    def for_reference(self, reference: ModelReference) -> CodecModel:
        """The model an archive names. Raises ModelNotFoundError or ModelMismatchError."""


class OneModel:
    """A ModelSource of a single loaded model, for those who have it at hand."""

    def __init__(self, model: CodecModel) -> None:
        self.model = model

    def for_compression(self) -> CodecModel:
        return self.model

    def for_reference(self, reference: ModelReference) -> CodecModel:
        """The model; the decompressor sees whether it is the one that is named."""
        return self.model


def model_reference(model: CodecModel, parameters: CodingParameters) -> ModelReference:
    """What the header says of the model and its use."""
    return ModelReference(
        identity=model.identity[: ModelReference.IDENTITY_BYTES],
        name="" if model.registered else model.name,
        numerics=NUMERICS_VERSION,
        window=parameters.window_for(model.engine.config.context),
        sinks=parameters.sinks,
        stream_tokens=parameters.stream_tokens,
        streams_at_once=parameters.streams_at_once,
        mixing=MIXING_VERSION if parameters.mixing_bits else 0,
        mixing_bits=parameters.mixing_bits,
        solid=parameters.solid,
    )


def _mixer_shape(reference: ModelReference, tokens: int, primed: int = 0) -> tuple[int, int]:
    """Streams and table bits of a new mixer for a block of so many tokens."""
    if reference.solid:  # for all blocks to come
        return reference.streams_at_once, reference.mixing_bits
    return reference.streams(tokens), table_bits(tokens + primed, reference.mixing_bits)


class Mixers:
    """Where the blocks of an archive get their mixers from, in their order."""

    def __init__(self) -> None:
        self._last: Mixer | None = None

    def next(self, model: CodecModel, reference: ModelReference, tokens: int) -> Mixer:
        """What mixes the predictions of the next block, of so many tokens.

        In a solid archive it is that of the block before, if `keep` was told that it had one.
        """
        if self._last is not None:
            mixer, self._last = self._last, None
            mixer.restart()
            return mixer
        return model.new_mixer(*_mixer_shape(reference, tokens))

    @staticmethod
    def primed(
        model: CodecModel, reference: ModelReference, tokens: int, side: NDArray[np.int64]
    ) -> Mixer:
        """What mixes the predictions of a block of so many tokens, primed with side tokens."""
        shape = _mixer_shape(reference, tokens, len(side))
        mixer = model.new_mixer(*shape)
        mixer.prime(side)
        return mixer

    def keep(self, mixer: Mixer | None) -> None:
        """The last block of a solid archive has used this mixer, or none."""
        self._last = mixer


def cache_bytes(
    config: ModelConfig,
    reference: ModelReference,
    tokens: int,
    *,
    primed: int = 0,
    chains: int = 1,
    positions: Callable[[int], int] = lambda length: length,
) -> int:
    """Bytes of cache, mixing tables and one step's token weights for a block of so many tokens.

    A stream of a length takes `positions(length)` of the cache, `chains` times; mixing has been
    primed with so many tokens. Raises MemoryLimitError if that is more than there are.
    """
    first = round_lengths(tokens, reference.stream_tokens, reference.streams_at_once)[0]
    lengths = stream_lengths(first, reference.stream_tokens)
    rows = len(lengths) * chains
    longest = positions(int(lengths[0]))
    if longest >= _MOST_POSITIONS:
        raise MemoryLimitError(
            f"with generated tokens a stream has {longest:,} positions, the limit is "
            f"{_MOST_POSITIONS - 1:,}"
        )
    ring = reference.window + reference.sinks + max(1, _CHUNK // rows)
    slots = -(-min(longest, ring) // 64) * 64
    weights = rows * (config.vocab + 8 * config.ffn_width) * 8
    mixer_streams, bits = _mixer_shape(reference, tokens, primed)
    mixing = 0
    if reference.mixing:
        kept = tokens + primed + (MAX_KEPT_TOKENS if reference.solid else 0)
        mixing = mixer_bytes(bits, config.vocab, mixer_streams, kept)
    return config.cache_bytes(rows, slots) + weights + mixing


def require_memory(needed_bytes: int, limit_bytes: int) -> None:
    """Raise MemoryLimitError if a cache would be larger than allowed."""
    if needed_bytes > limit_bytes:
        raise MemoryLimitError(
            f"this needs a cache of {needed_bytes >> 20} MiB, the limit is {limit_bytes >> 20} MiB"
        )
