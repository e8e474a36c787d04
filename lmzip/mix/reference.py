"""NUMERICS.md, section 13, to be read. Every float is binary64, every operation rounded by itself.

The prediction of a stream's next token is a chain. It starts with the model; the counts of all
tokens are mixed in, then those of ever longer contexts that have been seen before, and finally the
model once more. What share of a mix belongs to which side is learned for each kind of situation;
so is, at last, how often a digit as likely as the likeliest has really come.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from ..engine.arithmetic import frequencies

__all__ = ["CONTEXTS", "ReferenceMixer"]

Freqs = NDArray[np.int32]
Tokens = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Context:
    """The last words and the last tokens of a stream, (first, last], 0 being the last one."""

    words: int
    first: int
    last: int
    entries: int
    """How many followers it keeps."""
    strength: float = 6.0
    """How many counts it needs to be believed half, at first."""


CONTEXTS = (
    Context(1, 0, 0, 254, 60.0), Context(0, 0, 1, 62), Context(0, 0, 2, 30), Context(0, 1, 3, 30),
    Context(2, 0, 1, 14, 24.0), Context(0, 0, 3, 14), Context(0, 0, 4, 14), Context(0, 0, 6, 14),
    Context(0, 0, 8, 14), Context(0, 0, 12, 14), Context(0, 0, 16, 14),
)  # fmt: skip
"""From the least special to the most. Those with words are looked at behind other tokens only."""

_ONE = 1 << 24
_MASK = (1 << 64) - 1
_DISCOUNT = 0.3
_UNIGRAM_INITIAL = (0.94, 0.95, 0.96, 0.97, 0.98, 0.99, 0.995, 0.998)
_MODEL_INITIAL = (0.3, 0.4, 0.5, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Initial shares of the model, by its confidence: against all tokens' counts, and in the end."""
_LESSONS = 250
_CONFIDENT = (1677722, 5033165, 8388608, 11744051, 15099494, 16273900, 16693330)


def _bucket(bounds: tuple[int, ...], x: int) -> int:
    return sum(bound <= x for bound in bounds)


@dataclasses.dataclass
class _Share:
    """How much of a mix belongs to one side, learned; and how often it was taught."""

    value: float = 0.0
    lessons: int = 0

    def or_initial(self, initial: float) -> float:
        return self.value if self.lessons else initial

    def learn(self, initial: float, a: float, b: float) -> None:
        """The token that came had probability a on the side whose share this is, b on the other."""
        before = self.or_initial(initial)
        mine = before * a
        after = mine / (mine + (1 - before) * b)
        value = before + (after - before) / (self.lessons + 5.5)
        self.value = min(max(value, 0.0005), 0.9995)
        self.lessons = min(self.lessons + 1, _LESSONS)


@dataclasses.dataclass
class _Node:
    """What followed one context: counts (at most 255) in order of appearance."""

    check: int
    counts: dict[int, int] = dataclasses.field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts.values())


class _Table:
    """2**bits nodes in pairs; a context lives in either node of the pair that its hash names."""

    def __init__(self, bits: int, most: int) -> None:
        self._bits, self._most = bits, most
        self._nodes: dict[int, _Node] = {}

    def find(self, key: int) -> _Node | None:
        index, check = key >> (64 - self._bits), (key & 0xFFFFFFFF) | 1
        for place in (index, index ^ 1):
            node = self._nodes.get(place)
            if node is not None and node.check == check:
                return node
        return None

    def add(self, key: int, token: int) -> None:
        """Count a token behind a context, in the less used node of the pair if it is new."""
        node = self.find(key)
        if node is None:
            index = key >> (64 - self._bits)
            used = [self._nodes[i].total if i in self._nodes else 0 for i in (index, index ^ 1)]
            node = _Node((key & 0xFFFFFFFF) | 1)
            self._nodes[index if used[0] <= used[1] else index ^ 1] = node
        counts = node.counts
        for other in counts:
            if other != token:
                counts[other] -= (counts[other] * 8 + 128) >> 8
        if token not in counts:
            if len(counts) == self._most:
                rarest = min(counts, key=lambda other: counts[other])
                # The newcomer takes that one's place in the order too.
                node.counts = {token if k == rarest else k: c for k, c in counts.items()}
                counts = node.counts
            counts[token] = 0
        if counts[token] == 255:
            for other in counts:
                counts[other] -= counts[other] // 2
        counts[token] += 1


@dataclasses.dataclass
class _Stage:
    """A context that has been seen before: its counts against what shorter ones say."""

    node: _Node
    shares: tuple[_Share, _Share]
    initial: float
    share: float
    unit: float = 0.0

    def probability(self, token: int) -> float:
        count = self.node.counts.get(token)
        if count is None:
            return 0.0
        return (count - _DISCOUNT) / (self.node.total - _DISCOUNT * len(self.node.counts))


class _Correction:
    """How often the likeliest digit really came, by situation and by its odds from 2**-16 up."""

    def __init__(self) -> None:
        self._cells: dict[tuple[object, int], list[float]] = {}

    def _cell(self, situation: object, j: int) -> list[float]:
        """A chance, and how often it was taught."""
        untaught = math.ldexp(1, j - 17) if j <= 16 else 1 - math.ldexp(1, 15 - j)
        return self._cells.setdefault((situation, j), [untaught, 0])

    def apply(self, situation: object, freqs: Freqs) -> tuple[Freqs, _Question]:
        """Frequencies [K] corrected, and what to teach once the digit is known."""
        top = int(freqs.argmax())
        freq, others = int(freqs[top]), max(1, _ONE - int(freqs[top]))
        odds = _log2_lines(freq) - 7 if freq < others else 39 - _log2_lines(others)
        place = min(max(odds, 0.0), 32.0)
        first = min(math.floor(place), 31)
        second = place - first
        a, b = self._cell(situation, first), self._cell(situation, first + 1)
        question = _Question((a, b), second, top)
        if len(freqs) == 1:
            return freqs, question
        lessons = a[1] * (1 - second) + b[1] * second
        trust = 0.8 * lessons / (lessons + 50)
        before = freq / _ONE
        after = (1 - trust) * before + trust * (a[0] * (1 - second) + b[0] * second)
        after = max(min(after, 1 - len(freqs) * 2.0**-22), before * 0.5)
        scale = (1 - after) / (1 - before)
        corrected = np.maximum(1, np.floor(freqs * scale)).astype(np.int64)
        corrected[top] = 0
        corrected[top] = _ONE - corrected.sum()
        return corrected.astype(np.int32), question


@dataclasses.dataclass
class _Question:
    """Which two cells of a correction a digit was asked of, and the digit thought likeliest."""

    cells: tuple[list[float], list[float]]
    second: float
    top: int

    def learn(self, digit: int) -> None:
        for cell, part in zip(self.cells, (1 - self.second, self.second), strict=True):
            cell[0] += ((digit == self.top) - cell[0]) * part / (cell[1] + 1.5)
            cell[1] = min(cell[1] + 1, _LESSONS)


def _log2_lines(x: int) -> float:
    """log2 of x >= 1, with straight lines between the powers of two."""
    exponent = x.bit_length() - 1
    return exponent + (x - (1 << exponent)) / (1 << exponent)


class _Stream:
    """One stream's history and the prediction of its next token."""

    def __init__(self) -> None:
        self.history: list[int] = []
        self.words: list[int] = []
        self.misses = 0
        self.keys: list[int | None] = []
        self.stages: list[_Stage] = []
        self.unigram_share: _Share | None = None
        self.unigram_base = 1.0
        self.confidence = self.longest = 0
        self.favourite = -1
        self.high_question: _Question
        self.low_question: _Question
        self.model_shares: tuple[_Share, _Share]
        self.base = self.unigram = 0.0
        self.model_high: Freqs
        self.model_low: Freqs

    def candidates(self) -> list[tuple[int, float]]:
        """Tokens that contexts name, and their masses in parts of 2**24."""
        return [
            (token, stage.unit * _ONE * (count - _DISCOUNT))
            for stage in self.stages
            for token, count in stage.node.counts.items()
        ]


class ReferenceMixer:
    """See `Mixer`."""

    def __init__(self, words: NDArray[np.bool_], streams: int, bits: int) -> None:
        vocab = len(words)
        digits = -(-vocab // 256)
        self._seen = 0
        self.model_bits = 0.0
        self._counts = [0] * (digits * 256)
        self._digit_counts = [0] * digits
        self._words = [*words.tolist(), *[False] * (digits * 256 - vocab)]
        self._tables = [
            _Table(bits - ((c.entries + 1) // 16).bit_length(), c.entries) for c in CONTEXTS
        ]
        self._high_correction, self._low_correction = _Correction(), _Correction()
        self._shares: dict[tuple[object, ...], _Share] = {}
        self._streams = [_Stream() for _ in range(streams)]

    def high(self, freqs: Freqs) -> Freqs:
        mixed = np.empty_like(freqs)
        for row, stream in enumerate(self._streams[: len(freqs)]):
            stream.model_high = freqs[row].copy()
            self._predict(stream)
            unit = stream.unigram * _ONE
            weights = [
                math.floor(stream.base * int(f) + unit * c)
                for f, c in zip(freqs[row], self._digit_counts, strict=True)
            ]
            for token, mass in stream.candidates():
                weights[token >> 8] += math.floor(mass)
            situation = stream.longest, stream.misses
            mixed[row], stream.high_question = self._high_correction.apply(
                situation, frequencies(np.array([weights], np.int32))[0]
            )
        return mixed

    def low(self, high: Tokens, freqs: Freqs) -> Freqs:
        mixed = np.empty_like(freqs)
        for row, stream in enumerate(self._streams[: len(freqs)]):
            stream.model_low = freqs[row].copy()
            digit = int(high[row])
            unit = stream.unigram * _ONE
            model_part = stream.base * int(stream.model_high[digit])
            here = [(t & 255, mass) for t, mass in stream.candidates() if t >> 8 == digit]
            total = model_part + unit * self._digit_counts[digit]
            for _token, mass in here:
                total += mass
            scale = _ONE / total
            model_scale, unit_scale = model_part / _ONE * scale, unit * scale
            counts = self._counts[digit * 256 : digit * 256 + 256]
            weights = [
                math.floor(model_scale * int(f) + unit_scale * c)
                for f, c in zip(freqs[row], counts, strict=True)
            ]
            for token, mass in here:
                weights[token] += math.floor(mass * scale)
            favourite, top = stream.favourite >> 8, stream.high_question.top
            situation = stream.longest, favourite == digit, top == digit
            mixed[row], stream.low_question = self._low_correction.apply(
                situation, frequencies(np.array([weights], np.int32))[0]
            )
        return mixed

    def update(self, tokens: Tokens) -> None:
        for stream, token in zip(self._streams, tokens.tolist(), strict=False):
            self._learn(stream, token)
        for stream, token in zip(self._streams, tokens.tolist(), strict=False):
            self._count(stream, token)

    def prime(self, tokens: Tokens) -> None:
        stream = self._streams[0]
        for token in tokens.tolist():
            stream.keys = [self._key(stream, context) for context in CONTEXTS]
            self._count(stream, token)
        self.restart()

    def _count(self, stream: _Stream, token: int) -> None:
        for table, key in zip(self._tables, stream.keys, strict=True):
            if key is not None:
                table.add(key, token)
        self._counts[token] += 1
        self._digit_counts[token >> 8] += 1
        self._seen += 1
        stream.history.insert(0, token)
        if self._words[token]:
            stream.words.insert(0, token)

    def restart(self) -> None:
        for stream in self._streams:
            stream.history.clear()
            stream.words.clear()
            stream.misses = 0

    def _share(self, *key: object) -> _Share:
        return self._shares.setdefault(key, _Share())

    def _predict(self, stream: _Stream) -> None:
        top = int(stream.model_high.argmax())
        confidence = stream.confidence = _bucket(_CONFIDENT, int(stream.model_high[top]))
        stream.keys = [self._key(stream, context) for context in CONTEXTS]
        stream.stages = []
        stream.unigram_share, stream.unigram_base = None, 1.0
        if self._seen:
            age = min(20, self._seen.bit_length())
            stream.unigram_share = self._share("unigram", age, confidence)
            stream.unigram_base = stream.unigram_share.or_initial(_UNIGRAM_INITIAL[confidence])
        stream.longest, stream.favourite = 0, -1
        for c, (context, key) in enumerate(zip(CONTEXTS, stream.keys, strict=True)):
            node = None if key is None else self._tables[c].find(key)
            if node is None:
                continue
            stream.longest = c + 1
            n, kinds = node.total, len(node.counts)
            best = max(node.counts.values())
            token = next(token for token, count in node.counts.items() if count == best)
            count_key = (_bucket((2, 3, 4, 6, 9, 16, 32, 64), n), _bucket((2, 3, 4, 7, 14), kinds))
            with_model = 0 if token >> 8 != top else 1 if confidence < 4 else 2
            repeated = token == stream.favourite
            shape_key = (_bucket((2, 3, 5, 12), n), min(3, best * 4 // n), repeated, with_model)
            stream.favourite = token
            shares = self._share("count", c, *count_key), self._share("shape", c, *shape_key)
            initial = (context.strength + _DISCOUNT * kinds) / (n + context.strength)
            share = (shares[0].or_initial(initial) + shares[1].or_initial(initial)) * 0.5
            stream.stages.append(_Stage(node, shares, initial, share))
        stream.model_shares = (
            self._share("model", stream.longest, confidence),
            self._share("order", stream.longest),
        )
        first, second = (
            share.or_initial(_MODEL_INITIAL[confidence]) for share in stream.model_shares
        )
        model_share = (first + second) * 0.5
        rest = 1 - model_share
        for stage in reversed(stream.stages):
            size = stage.node.total - _DISCOUNT * len(stage.node.counts)
            stage.unit = (1 - stage.share) * rest / size
            rest *= stage.share
        stream.base = stream.unigram_base * rest + model_share
        stream.unigram = (1 - stream.unigram_base) * rest / self._seen if self._seen else 0.0

    def _learn(self, stream: _Stream, token: int) -> None:
        high, low = int(stream.model_high[token >> 8]), int(stream.model_low[token & 255])
        model = high * low * 2.0**-48
        self.model_bits -= math.log2(model)
        p = model
        if stream.unigram_share is not None:
            q = self._counts[token] / self._seen
            stream.unigram_share.learn(_UNIGRAM_INITIAL[stream.confidence], p, q)
            p = stream.unigram_base * p + (1 - stream.unigram_base) * q
        for stage in stream.stages:
            q = stage.probability(token)
            for share in stage.shares:
                share.learn(stage.initial, p, q)
            p = stage.share * p + (1 - stage.share) * q
        for share in stream.model_shares:
            share.learn(_MODEL_INITIAL[stream.confidence], model, p)
        stream.high_question.learn(token >> 8)
        stream.low_question.learn(token & 255)
        missed = token >> 8 != stream.high_question.top
        stream.misses = (stream.misses * 2 + missed) & 15

    def _key(self, stream: _Stream, context: Context) -> int | None:
        """The hash of a stream's context, None if it has none."""
        history, words = stream.history, stream.words
        if len(history) < context.last or len(words) < context.words:
            return None
        if context.words and self._words[history[0]]:
            return None
        h = 0
        for token in words[: context.words] + history[context.first : context.last]:
            h = (h + token + 1) * 0x9E3779B97F4A7C15 & _MASK
            h ^= h >> 29
        return h * 0xD6E8FEB86659FD93 & _MASK
