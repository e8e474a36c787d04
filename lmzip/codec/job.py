"""A language-model block on its way: its rounds of streams, its coder, its direction."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from ..coder import Encoder, SymbolCoder, new_decoder, new_encoder
from ..engine import RADIX
from ..mix import Mixer
from .streams import join_streams, round_lengths, split_streams, stream_lengths

__all__ = ["LmJob", "Tokens", "decode_job", "encode_job"]

Tokens = NDArray[np.int64]
Freqs = NDArray[np.int32]


class LmJob:
    """One block on its way through the model: its rounds of streams, its coder, its direction."""

    def __init__(
        self,
        coder: SymbolCoder,
        rounds: list[int],
        stream_tokens: int,
        ids: Tokens | None,
        budget: int | None = None,
        mixer: Mixer | None = None,
    ) -> None:
        self.coder = coder
        self.budget = budget
        """Payload bytes at which encoding is given up, if any."""
        self.mixer = mixer
        self._model_bits_before = 0.0 if mixer is None else mixer.model_bits
        self.abandoned = False
        self._rounds, self._stream_tokens = rounds, stream_tokens
        self._ids = ids
        self._done: list[Tokens] = []
        """The tokens of the rounds behind us, when decoding."""
        self._next = self._start = 0
        self.lengths: Tokens
        self.known: Tokens | None
        """This round's tokens [S, longest] when encoding, None when decoding."""
        self.rows: Tokens
        self.next_round()

    @property
    def encoding(self) -> bool:
        return self._ids is not None

    @property
    def encoder(self) -> Encoder:
        """The coder of an encoding job."""
        assert self.encoding
        return cast(Encoder, self.coder)

    @property
    def more_rounds(self) -> bool:
        return not self.abandoned and self._next < len(self._rounds)

    def next_round(self) -> None:
        """Go on to the next round's streams, which know nothing of the last round's."""
        if self._next:
            self._keep_round()
            if self.mixer is not None:
                self.mixer.restart()
        count = self._rounds[self._next]
        self.lengths = stream_lengths(count, self._stream_tokens)
        self._shortest = int(self.lengths[-1])
        self._longer = int((self.lengths > self._shortest).sum())
        self.known = None
        self.rows = np.zeros((len(self.lengths), self.lengths[0]), np.int64)
        if self._ids is not None:
            here = self._ids[self._start : self._start + count]
            self.known = self.rows = split_streams(here, self._stream_tokens)
        self._start += count
        self._next += 1

    def _keep_round(self) -> None:
        if not self.encoding:
            count = self._rounds[self._next - 1]
            self._done.append(join_streams(self.rows, count, self._stream_tokens))

    def decoded(self) -> Tokens:
        """The tokens [n] of a finished decoding job."""
        self._keep_round()
        return np.concatenate(self._done)

    @property
    def tokens(self) -> int:
        """Of the whole block."""
        return sum(self._rounds)

    @property
    def streams(self) -> int:
        return len(self.lengths)

    @property
    def longest(self) -> int:
        return int(self.rows.shape[1])

    def mixing_hurts(self) -> bool:
        """Whether the tokens just encoded would be shorter without the mixer."""
        return not self.abandoned and self.mixing_has_hurt()

    def mixing_has_hurt(self) -> bool:
        """The same of those so far, where encoding may have been given up."""
        if self.mixer is None:
            return False
        model_bits = self.mixer.model_bits - self._model_bits_before
        return model_bits < 8 * (self.encoder.size_bytes() - 8)

    def finished(self, position: int) -> bool:
        """Whether this round has no token at the position."""
        return self.abandoned or position >= self.longest

    def active(self, position: int) -> int:
        """Streams that still have a token at this position; they are the first ones."""
        if position < self._shortest:
            return self.streams
        return self._longer if position < self.longest else 0

    def code(self, freqs: Freqs, known: Tokens | None, high: Tokens | None) -> Tokens:
        """Code the high digits of the streams that still run or, given those, whole tokens.

        `freqs` [streams, K] are the model's, `known` [streams] the tokens when encoding.
        """
        freqs = np.ascontiguousarray(freqs)
        if high is None:
            digits = None if known is None else known // RADIX
            if self.mixer is not None:
                return self.mixer.code_high(self.coder, freqs, digits)
            return self.coder.code(freqs, digits)
        if self.mixer is not None:
            return self.mixer.code_low(self.coder, freqs, high, known)
        return high * RADIX + self.coder.code(freqs, None if known is None else known % RADIX)


def encode_job(
    ids: Tokens,
    stream_tokens: int,
    at_once: int = 0,
    *,
    budget: int | None = None,
    mixer: Mixer | None = None,
) -> LmJob:
    """A job that encodes tokens [n]; it is abandoned once the payload reaches `budget` bytes."""
    rounds = round_lengths(len(ids), stream_tokens, at_once)
    return LmJob(new_encoder(), rounds, stream_tokens, ids, budget, mixer)


def decode_job(
    payload: bytes,
    tokens: int,
    stream_tokens: int,
    at_once: int = 0,
    *,
    mixer: Mixer | None = None,
) -> LmJob:
    """A job that decodes `tokens` tokens from a payload."""
    rounds = round_lengths(tokens, stream_tokens, at_once)
    return LmJob(new_decoder(payload), rounds, stream_tokens, None, mixer=mixer)
