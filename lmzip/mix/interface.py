"""What a mixer does, how large it is, and the fastest one there is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from ..coder import SymbolCoder
from ..coder.native import NativeDecoder, NativeEncoder
from ..errors import CorruptError, UsageError
from ..extension import extension
from .reference import ReferenceMixer
from .shape import INPUTS, Shape

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

MIXING_VERSION = 1
"""Of NUMERICS.md, section 13."""

MIN_BITS = 8

MAX_VOCAB = 1 << 19

MAX_KEPT_TOKENS = 1 << 24
"""Of earlier blocks; when there are more, they are forgotten."""

_STREAM_BYTES = 1 << 18
"""What a stream has said, at most, apart from its tokens."""

Freqs = NDArray[np.int32]
Tokens = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class MixingStart:
    """The state that mixing starts with, learned elsewhere: a part of a model's pack."""

    weights: NDArray[np.int8]
    finals: NDArray[np.int16]
    maps: NDArray[np.uint16]

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The tensors of a pack that hold it."""
        return {f"mixing.{name}": getattr(self, name) for name in _START}

    @classmethod
    def of(cls, tensors: Mapping[str, NDArray[Any]], vocab: int) -> MixingStart | None:
        """The start among a pack's tensors, if it has one. Raises CorruptError for a wrong size."""
        found = {name: tensors.get(f"mixing.{name}") for name in _START}
        if all(tensor is None for tensor in found.values()):
            return None
        for (name, dtype), size in zip(_START.items(), start_sizes(vocab), strict=True):
            tensor = found[name]
            if tensor is None or tensor.dtype != np.dtype(dtype) or tensor.shape != (size,):
                raise CorruptError(f"the pack's tensor mixing.{name} has a wrong shape")
        return cls(*(np.ascontiguousarray(found[name]) for name in _START))


_START = {"weights": "<i1", "finals": "<i2", "maps": "<u2"}


def start_sizes(vocab: int) -> tuple[int, int, int]:
    """How many numbers the weights, finals and maps of a start are."""
    shape = Shape(vocab)
    cells = shape.history_cells + shape.follower_cells + shape.match_cells
    return shape.weight_rows * INPUTS, shape.finals * 8, cells


class TokenBytes:
    """The bytes of every token, as mixers look at them."""

    def __init__(self, ends: NDArray[np.int64], data: NDArray[np.uint8]) -> None:
        """Token i has the bytes `data[ends[i]:ends[i + 1]]`."""
        self.ends, self.data = ends, data
        self.native: Any = None
        if extension is not None:
            self.native = extension.Vocabulary(ends.astype(np.uint32), data)

    def __len__(self) -> int:
        return len(self.ends) - 1


class Mixer(Protocol):
    """The streams of a block, from their first token on. R: the first R streams, those that run.

    A step is `code_high`, then `code_low`. The model's frequencies are at least 1 and sum to 2**24
    a row. What is known is None when decoding.
    """

    @property
    def model_bits(self) -> float:
        """What the tokens so far would have cost without mixing, about."""

    def code_high(self, coder: SymbolCoder, freqs: Freqs, known: Tokens | None) -> Tokens:
        """Code the high digits [R] under the model's frequencies [R, digits]; returns them."""

    def code_low(
        self, coder: SymbolCoder, freqs: Freqs, high: Tokens, known: Tokens | None
    ) -> Tokens:
        """Code the tokens [R] whose high digits are known under [R, 256]; returns and learns them.

        Raises CorruptError when decoding what no encoder wrote.
        """

    def costs(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Bits of the digits [R] coded last: as they were coded, and by the model alone."""

    def prime(self, tokens: Tokens) -> None:
        """Learn tokens [n] that nobody codes, as one stream's; then all streams begin anew."""

    def restart(self) -> None:
        """All streams begin anew; what was learned stays."""


class NativeMixer:
    """native/mix/mixer.h, which is `native`."""

    def __init__(
        self,
        tokens: TokenBytes,
        streams: int,
        bits: int,
        start: MixingStart | None = None,
        isa: str = "",
    ) -> None:
        state = (None,) * 3 if start is None else (start.weights, start.finals, start.maps)
        self.native: Any = extension.Mixer(tokens.native, streams, bits, *state, isa)
        self._rows = 0

    @property
    def model_bits(self) -> float:
        return float(self.native.model_bits)

    def code_high(self, coder: SymbolCoder, freqs: Freqs, known: Tokens | None) -> Tokens:
        self._rows = len(freqs)
        if known is not None:
            self.native.encode_high(freqs, known, cast(NativeEncoder, coder).native)
            return known
        digits = np.zeros(len(freqs), np.int64)
        if not self.native.decode_high(freqs, digits, cast(NativeDecoder, coder).native):
            raise CorruptError("the payload does not decode")
        return digits

    def code_low(
        self, coder: SymbolCoder, freqs: Freqs, high: Tokens, known: Tokens | None
    ) -> Tokens:
        if known is not None:
            self.native.encode_low(freqs, known, cast(NativeEncoder, coder).native)
            return known
        tokens = np.zeros(len(freqs), np.int64)
        if not self.native.decode_low(freqs, tokens, cast(NativeDecoder, coder).native):
            raise CorruptError("the payload does not decode")
        return tokens

    def costs(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        mixed, model = np.zeros(self._rows), np.zeros(self._rows)
        self.native.costs(mixed, model)
        return mixed, model

    def prime(self, tokens: Tokens) -> None:
        self.native.prime(tokens)

    def restart(self) -> None:
        self.native.restart()


def table_bits(tokens: int, limit: int) -> int:
    """Bits of a table's size for a block of so many tokens, `limit` at most."""
    return min(limit, max(MIN_BITS, (tokens - 1).bit_length()))


def mixer_bytes(bits: int, vocab: int, streams: int, tokens: int) -> int:
    """Bytes of the tables and of what is kept for every stream and token, at most.

    `tokens` are all that may be kept: those of a block, in a solid archive MAX_KEPT_TOKENS more.
    """
    shape = Shape(vocab)
    curves = shape.node_curves + shape.token_curves + shape.model_curves
    cells = shape.history_cells + shape.follower_cells + shape.match_cells
    learned = shape.weight_rows * (2 * INPUTS + 4) + shape.finals * 36 + 132 * curves + 4 * cells
    return (584 << bits) + learned + streams * _STREAM_BYTES + 8 * tokens


def new_mixer(
    tokens: TokenBytes,
    streams: int,
    bits: int,
    start: MixingStart | None = None,
    *,
    reference: bool = False,
) -> Mixer:
    """A mixer that has seen nothing. Raises UsageError if there are too many tokens to name."""
    if not 0 < len(tokens) <= MAX_VOCAB:
        raise UsageError(f"a vocabulary of {len(tokens)} tokens is too large to mix")
    if extension is None or reference:
        return ReferenceMixer(tokens.ends, tokens.data, streams, bits, start)
    return NativeMixer(tokens, streams, bits, start)
