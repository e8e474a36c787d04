"""Who pays for reasoning: x given y and tokens r that a model wrote, by five schemes.

A, one chain drawn again by the decoder; B, the mixture of k such chains; C, the best of k and its
number; D, a chain that is sent; E, D with the chain's own bits given back. All are codes. What none
of them allows is to choose r after seeing x and not to pay for the choice.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..codec import ConditionedEngine, ThoughtPlan
from ..coder import new_decoder, new_encoder
from ..engine import PRECISION, RADIX, Engine
from ..errors import CorruptError, UsageError

__all__ = [
    "BitsBack",
    "SchemeBits",
    "Situation",
    "bits_back",
    "bits_back_decode",
    "chain_bits",
    "decode_transmitted",
    "mixture_bits",
    "scheme_bits",
    "transmit",
]

Tokens = NDArray[np.int64]
Freqs = NDArray[np.int32]


@dataclasses.dataclass(frozen=True)
class Situation:
    """A model, and what it reads: y, then a thought between two texts, then x. All in tokens."""

    engine: Engine
    window: int
    sinks: int
    given: Tokens
    """The end of y."""
    plan: ThoughtPlan

    @property
    def before_thought(self) -> Tokens:
        """What stands behind the start token when the model begins to think."""
        return np.concatenate([self.given, self.plan.before])

    def before_x(self, thought: Tokens) -> Tokens:
        """What stands behind the start token when x begins."""
        return np.concatenate([self.before_thought, thought, self.plan.behind])

    def chains(self) -> Tokens:
        """The thoughts that the model draws, [k, T]."""
        conditioned = ConditionedEngine(self.engine, self.given, self.plan)
        return conditioned.first_thoughts(self.window, self.sinks)

    def frequencies(self, prefix: Tokens, tokens: Tokens) -> list[Freqs]:
        """What the model says of these tokens [n] behind a prefix: high digit, low digit, ..."""
        fed = np.concatenate([[self.engine.config.bos], prefix, tokens])[:-1][None]
        cache = self.engine.new_cache(1, self.window, self.sinks, fed.shape[1])
        lead = len(prefix)
        if lead:
            self.engine.forward(fed[:, :lead], cache)
        predictions = self.engine.forward(fed[:, lead:], cache)
        high, low = predictions.high()[0], predictions.low(tokens[None] // RADIX)[0]
        return [row for pair in zip(high, low, strict=True) for row in pair]

    def bits(self, prefix: Tokens, tokens: Tokens) -> float:
        """The information of these tokens behind a prefix."""
        rows = self.frequencies(prefix, tokens)
        digits = _digits(tokens)
        return sum(PRECISION - math.log2(int(row[d])) for row, d in zip(rows, digits, strict=True))

    def stepper(self, prefix: Tokens) -> _Stepper:
        """For tokens that come one at a time."""
        return _Stepper(self, prefix)


class _Stepper:
    """A model that reads tokens as they are decoded."""

    def __init__(self, situation: Situation, prefix: Tokens, length: int = 1 << 20) -> None:
        self._engine = situation.engine
        fed = np.concatenate([[self._engine.config.bos], prefix])
        self._cache = self._engine.new_cache(1, situation.window, situation.sinks, length)
        if len(fed) > 1:
            self._engine.forward(fed[None, :-1], self._cache)
        self._last = int(fed[-1])

    def next(self, draw: Any) -> int:
        """The next token: `draw(freqs)` chooses its high digit, then its low one."""
        predictions = self._engine.forward(np.array([[self._last]]), self._cache)
        high = draw(predictions.high()[0, 0])
        low = draw(predictions.low(np.array([[high]]))[0, 0])
        self._last = high * RADIX + low
        if self._last >= self._engine.config.vocab:
            raise CorruptError("a token beyond the vocabulary was decoded")
        return self._last


def _digits(tokens: Tokens) -> list[int]:
    return [digit for token in tokens.tolist() for digit in divmod(token, RADIX)]


def gamma_bits(n: int) -> int:
    """Length of Elias' gamma code of n >= 1."""
    return 2 * n.bit_length() - 1


def chain_bits(situation: Situation, chains: Tokens, x: Tokens) -> list[float]:
    """Bits of x behind each of these thoughts [k, T]."""
    return [situation.bits(situation.before_x(chain), x) for chain in chains]


def mixture_bits(situation: Situation, x: Tokens) -> float:
    """Bits of x under the mixture of all chains, in the codec's own arithmetic."""
    engine = ConditionedEngine(situation.engine, situation.given, situation.plan)
    cache = engine.new_cache(1, situation.window, situation.sinks, len(x))
    fed = np.concatenate([[engine.config.bos], x[:-1]])[None]
    predictions = engine.forward(fed, cache)
    high, low = predictions.high()[0], predictions.low(x[None] // RADIX)[0]
    places = np.arange(len(x))
    chosen = np.concatenate([high[places, x // RADIX], low[places, x % RADIX]])
    return float((PRECISION - np.log2(chosen)).sum())


@dataclasses.dataclass(frozen=True)
class SchemeBits:
    """What x costs by a scheme, without a container."""

    name: str
    bits: float
    note: str


def scheme_bits(situation: Situation, x: Tokens, sent: Tokens, payload: bytes) -> list[SchemeBits]:
    """All schemes for x [n]; `sent` [T] is the thought of D, `payload` what E carries beside.

    D and E are really coded and decoded. Raises CorruptError if that fails.
    """
    chains = situation.chains()
    each = chain_bits(situation, chains, x)
    k = len(chains)
    plain = situation.bits(situation.given, x)
    stream = transmit(situation, sent, x)
    if not np.array_equal(decode_transmitted(situation, stream, len(sent), len(x)), x):
        raise CorruptError("what was sent with its thought does not decode")
    back = bits_back(situation, len(sent), x, payload)
    x_back, payload_back = bits_back_decode(situation, len(sent), len(x), back.words)
    if not np.array_equal(x_back, x) or payload_back != payload:
        raise CorruptError("bits-back does not give back what went in")
    length = gamma_bits(situation.plan.tokens + 1)
    recipe = length + gamma_bits(situation.plan.seed + 1)
    carried = f"{back.returned_bits:.1f} bits given back: they carry {len(payload):,} bytes"
    return [
        SchemeBits("plain", plain, "x given y, no thought"),
        SchemeBits("A", each[0] + recipe, f"one chain drawn again; {recipe} bits for T and seed"),
        SchemeBits("B", mixture_bits(situation, x) + recipe, f"mixture of {k} chains"),
        SchemeBits("C", min(each) + math.log2(k) + recipe, f"best of {k}, log2 k for its number"),
        SchemeBits("D", 8.0 * len(stream) + length, f"a thought of {len(sent)} tokens is sent"),
        SchemeBits("E", back.net_bits + length, f"D, {carried}"),
    ]


def transmit(situation: Situation, thought: Tokens, x: Tokens) -> bytes:
    """Scheme D: the thought and x in one stream of the range coder."""
    coder = new_encoder()
    for prefix, tokens in (
        (situation.before_thought, thought),
        (situation.before_x(thought), x),
    ):
        if len(tokens):
            rows = situation.frequencies(prefix, tokens)
            for row, digit in zip(rows, _digits(tokens), strict=True):
                coder.code(np.ascontiguousarray(row[None]), np.array([digit]))
    return coder.finish()


def decode_transmitted(situation: Situation, stream: bytes, thought: int, x: int) -> Tokens:
    """The x tokens that `transmit` wrote behind a thought of so many tokens."""
    coder = new_decoder(stream)

    def draw(freqs: Freqs) -> int:
        return int(coder.code(np.ascontiguousarray(freqs[None]), None)[0])

    stepper = situation.stepper(situation.before_thought)
    drawn = np.array([stepper.next(draw) for _ in range(thought)], np.int64)
    stepper = situation.stepper(situation.before_x(drawn))
    return np.array([stepper.next(draw) for _ in range(x)], np.int64)


class _Stack:
    """constriction's stack coder (asymmetric numeral systems) on our frequencies."""

    def __init__(self, words: NDArray[np.uint32], *, seal: bool = False) -> None:
        import constriction

        self._ans = constriction.stream.stack.AnsCoder(words, seal)
        self._model = constriction.stream.model.Categorical(perfect=False)

    def pop(self, freqs: Freqs) -> int:
        if len(freqs) == 1:
            return 0
        return int(self._ans.decode(self._model, (freqs - 1).astype(np.float32)[None])[0])

    def push(self, rows: Sequence[Freqs], tokens: Tokens) -> None:
        """All of it, so that it pops in order."""
        for row, digit in reversed(list(zip(rows, _digits(tokens), strict=True))):
            if len(row) > 1:
                symbol = np.array([digit], np.int32)
                self._ans.encode_reverse(symbol, self._model, (row - 1).astype(np.float32)[None])

    def words(self, *, unseal: bool = False) -> NDArray[np.uint32]:
        return np.asarray(self._ans.get_compressed(unseal), np.uint32)


@dataclasses.dataclass(frozen=True)
class BitsBack:
    """What scheme E wrote."""

    words: NDArray[np.uint32]
    net_bits: float
    """Beyond those of the payload."""
    returned_bits: float
    """That the choice of the thought carried: -log2 q(thought given x, y)."""


def _posterior(situation: Situation, x: Tokens) -> Tokens:
    """The prefix of q(thought given x, y): the model thinks behind y and x."""
    return np.concatenate([situation.given, x, situation.plan.before])


def bits_back(situation: Situation, thought: int, x: Tokens, payload: bytes) -> BitsBack:
    """Scheme E: the payload's bits choose the thought, which is sent and whose bits come back.

    Raises UsageError if the payload is too short to choose from.
    """
    words = np.frombuffer(payload + bytes(-len(payload) % 4), "<u4").astype(np.uint32)
    stack = _Stack(np.concatenate([[len(payload)], words]).astype(np.uint32), seal=True)
    before = 32 * len(stack.words())
    stepper = situation.stepper(_posterior(situation, x))
    drawn = np.array([stepper.next(stack.pop) for _ in range(thought)], np.int64)
    returned = situation.bits(_posterior(situation, x), drawn) if thought else 0.0
    if returned + 64 > before:
        raise UsageError(
            f"a payload of {len(payload)} bytes is too short: the thought takes {returned:.0f} bits"
        )
    stack.push(situation.frequencies(situation.before_x(drawn), x), x)
    if thought:
        stack.push(situation.frequencies(situation.before_thought, drawn), drawn)
    out = stack.words()
    return BitsBack(out, 32.0 * len(out) - before, returned)


def bits_back_decode(
    situation: Situation, thought: int, x: int, words: NDArray[np.uint32]
) -> tuple[Tokens, bytes]:
    """x [n] and the payload that `bits_back` was given."""
    stack = _Stack(words)
    stepper = situation.stepper(situation.before_thought)
    drawn = np.array([stepper.next(stack.pop) for _ in range(thought)], np.int64)
    stepper = situation.stepper(situation.before_x(drawn))
    found = np.array([stepper.next(stack.pop) for _ in range(x)], np.int64)
    if thought:
        stack.push(situation.frequencies(_posterior(situation, found), drawn), drawn)
    restored = stack.words(unseal=True)
    return found, restored[1:].astype("<u4").tobytes()[: int(restored[0])]
