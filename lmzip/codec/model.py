"""What coding needs of a model, and a promise to load it only when a block asks for it."""

from __future__ import annotations

import dataclasses
from typing import Protocol

from ..engine import NUMERICS_VERSION, Engine, ModelConfig
from ..errors import MemoryLimitError
from ..format import ModelReference
from ..text import Tokenizer
from .parameters import CodingParameters
from .streams import stream_lengths

__all__ = [
    "CodecModel",
    "ModelSource",
    "OneModel",
    "cache_bytes",
    "model_reference",
    "require_memory",
]

_CHUNK = 256
"""Tokens over all streams that an engine's cache may hold beside the window at most."""


@dataclasses.dataclass(frozen=True)
class CodecModel:
    """A loaded model."""

    engine: Engine
    tokenizer: Tokenizer
    identity: bytes
    name: str


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
        tokenizer=model.tokenizer.vocabulary.identity[: ModelReference.TOKENIZER_BYTES],
        name=model.name,
        numerics=NUMERICS_VERSION,
        window=parameters.window_for(model.engine.config.context),
        sinks=parameters.sinks,
        stream_tokens=parameters.stream_tokens,
    )


def cache_bytes(config: ModelConfig, reference: ModelReference, tokens: int) -> int:
    """Bytes of key/value cache and of one step's token weights for a block of so many tokens."""
    lengths = stream_lengths(tokens, reference.stream_tokens)
    ring = reference.window + reference.sinks + max(1, _CHUNK // len(lengths))
    positions = -(-min(int(lengths[0]), ring) // 64) * 64
    weights = len(lengths) * (config.vocab + 8 * config.ffn_width) * 8
    return config.cache_bytes(len(lengths), positions) + weights


def require_memory(needed_bytes: int, limit_bytes: int) -> None:
    """Raise MemoryLimitError if a cache would be larger than allowed."""
    if needed_bytes > limit_bytes:
        raise MemoryLimitError(
            f"this needs a cache of {needed_bytes >> 20} MiB, the limit is {limit_bytes >> 20} MiB"
        )
