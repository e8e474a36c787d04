"""Adaptive mixing to be read: NUMERICS.md, section 13, as code.

The fast twin is native/mix/; both give the same integers.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError
from .cells import Cell, node_count, node_history, node_learned, node_p
from .memory import Follower, Followers, Slot, Slots
from .network import ONE, Maps, Network
from .shape import INPUTS, LEVELS, Shape
from .tables import finish, fold, hash_token, stretch
from .text_state import TOKEN_CONTEXTS, TextState

if TYPE_CHECKING:
    from ..coder import SymbolCoder
    from .interface import MixingStart

__all__ = ["ReferenceMixer"]

_MATCH_TOKENS = 5
"""Equal tokens that make a match."""
_MATCH_LONGEST = 64
"""Equal tokens that are counted."""
_KEPT_TOKENS = 1 << 24
"""Of texts; once there are more, streams that begin anew forget them."""

Freqs = NDArray[np.int32]
Tokens = NDArray[np.int64]


def _byte_class(byte: int) -> int:
    if byte >= 128:
        return 4
    if chr(byte).isdigit():
        return 1
    if chr(byte).islower():
        return 2
    if chr(byte).isupper():
        return 3
    return {ord(" "): 5, ord("\n"): 6}.get(byte, 7)


def _match_class(length: int) -> int:
    return 1 + sum(length >= bound for bound in (8, 12, 16, 24, 32, 64))


def _agrees(model: int, bit: int) -> int:
    """Whether the model expects the bit that another one expects, and how surely."""
    if (model > 0) != bit:
        return 0
    return 2 if abs(model) > 256 else 1


@dataclasses.dataclass
class _Context:
    """One context of a stream, as it was when the step began."""

    key: int
    follower: Follower | None

    @property
    def asked(self) -> bool:
        """Whether its nodes take part in the step, and learn from it."""
        return self.follower is not None and self.follower.branched


class _Stream:
    """A stream of tokens, and one step of it."""

    def __init__(self, text: int) -> None:
        self.state = TextState()
        self.text = text
        """Which of the texts is this stream's."""
        self.match: tuple[int, int] | None = None
        """Text and index where the match goes on."""
        self.match_length = 0

    def begin(self, contexts: list[_Context], expected: int | None) -> None:
        """A step begins."""
        self.contexts = contexts
        seen = [i for i, context in enumerate(contexts) if context.follower is not None]
        self.found = len(seen)
        self.longest = max((i for i in seen if i < TOKEN_CONTEXTS), default=0)
        self.expected = expected
        """The token that the match expects."""
        self.prefix = 0
        """The bits of the token that were coded so far."""
        self.confidence = 0
        """How sure the model is of the likeliest high digit, 0 to 3."""

    def begin_digit(self, row: list[int], width: int) -> None:
        """A digit begins, which has so many values, frequencies of which are given."""
        self.row, self.width = row, width
        """The model's frequencies of the values that the digit can still have, and how many
        those are; the row may be shorter."""
        self.mixed_chance = self.model_chance = 1.0


class _Group:
    """The decisions of one group of bits of one stream, on their way."""

    def __init__(self, stream: _Stream, shape: Shape, maps: Maps, slots: Slots, group: int) -> None:
        self._stream, self._shape, self._maps, self._number = stream, shape, maps, group
        self.decision = shape.before[group]
        """Number of the next decision of the token."""
        self.node = 1
        """The bits of the group that were coded so far, behind a leading 1."""
        self.x = np.zeros(INPUTS, np.int64)
        self.x[1] = 128
        self._branched: list[tuple[int, Slot]] = []
        """Contexts whose nodes are asked."""
        self._following: list[tuple[int, Follower]] = []
        """Contexts whose last follower the token may still be."""
        for number, context in enumerate(stream.contexts):
            if context.follower is None:
                continue
            if context.follower.branched:
                key = slot_key(context.key, group, stream.prefix)
                self._branched.append((number, slots.find(key, shape.groups[group])))
            if self._may_be(context.follower.token):
                self._following.append((number, context.follower))
        self._matching = stream.expected is not None and self._may_be(stream.expected)
        self._lessons: list[tuple[Cell, int | None]] = []

    def _may_be(self, token: int) -> bool:
        """Whether a token begins with the bits that were coded so far."""
        return token >> (self._shape.bits - self.decision) == self._stream.prefix

    def _next_bit(self, token: int) -> int:
        return token >> (self._shape.bits - 1 - self.decision) & 1

    def model_p(self) -> int:
        """The model's probability of a 1, in units of 2**-16."""
        row, half = self._stream.row, self._stream.width // 2
        total = sum(row)
        return min(65535, (sum(row[half:]) << 16) // total) if total else 1 << 15

    def ask(self, model: int) -> None:
        """Set the inputs `x`; the model's is given, in the logistic domain."""
        shape, stream, x = self._shape, self._stream, self.x
        low = self._number >= shape.high_groups
        place = min(self.decision, 3)
        if low:
            place = 4 + (self.decision - shape.high_bits) // 2
        x[0] = model
        x[2:] = 0
        self._lessons = []
        """Cells, and the bit that each expects; None where a cell expects no bit but learns it."""
        for number, slot in self._branched:
            node = int(slot[self.node])
            if node_count(node):
                cell = self._maps.history(number, low, node_history(node))
                self._lessons.append((cell, None))
                x[4 + 3 * number] = stretch(node_p(node))
                x[5 + 3 * number] = stretch(cell.p)
        for number, follower in self._following:
            bit = self._next_bit(follower.token)
            cell = self._maps.follower(
                number, follower.branched, place, _agrees(model, bit), follower.run
            )
            self._lessons.append((cell, bit))
            sure = stretch(cell.p)
            x[(6 if follower.branched else 5) + 3 * number] = sure if bit else -sure
        if self._matching:
            assert stream.expected is not None
            bit = self._next_bit(stream.expected)
            cell = self._maps.match(stream.match_length, self.decision, _agrees(model, bit))
            self._lessons.append((cell, bit))
            sure, certain = stretch(cell.p), (cell.p - 32768) >> 7
            x[2:4] = (sure, certain) if bit else (-sure, -certain)

    def situation(self, model: int) -> tuple[list[int], int, list[int]]:
        """The rows of each set of weights, that of the second layer, and the curves."""
        shape, stream, state = self._shape, self._stream, self._stream.state
        level = min(max((model + 1536) >> 7, 0), LEVELS - 1)
        match = _match_class(stream.match_length) if self._matching else 0
        node = shape.first_node[self._number] + self.node
        last = state.last[0] + 1 if state.count else 0
        group_class = min(self._number, 3)
        determined = sum(not follower.branched for _, follower in self._following)
        rows = [
            16 * self.decision + stream.longest + (7 if stream.found > 9 else 0),
            8 * level + match,
            4 * node + stream.confidence,
            4 * hash_token(last, 10) + group_class,
            state.byte(0) * shape.bits + self.decision,
            (8 * _byte_class(state.byte(0)) + _byte_class(state.byte(1))) * 32
            + 4 * min(determined, 7)
            + group_class,
        ]
        final = self.decision * LEVELS + level
        curves = [
            4 * node + min(stream.found // 4, 3),
            hash_token(64 * last + self.node, 10),
            final,
        ]
        return rows, final, curves

    def learn(self, bit: int) -> None:
        """The next bit is known."""
        stream = self._stream
        for cell, expected in self._lessons:
            cell.learn(bit if expected is None else int(bit == expected))
        for _, slot in self._branched:
            slot[self.node] = node_learned(int(slot[self.node]), bit)
        stream.width //= 2
        stream.row = stream.row[stream.width :] if bit else stream.row[: stream.width]
        stream.prefix = 2 * stream.prefix + bit
        self.node = 2 * self.node + bit
        self.decision += 1
        self._following = [(n, f) for n, f in self._following if self._may_be(f.token)]
        if self._matching:
            assert stream.expected is not None
            self._matching = self._may_be(stream.expected)

    def end(self) -> None:
        """All bits of the group are known."""
        for _, slot in self._branched:
            Slots.use(slot)


def slot_key(key: int, group: int, prefix: int) -> int:
    """The key of a context's slot for a group, behind the token's first bits."""
    return finish(fold(key, group, prefix))


class ReferenceMixer:
    """See `Mixer`. `shape`, `maps` and `network` are for tests to look at."""

    def __init__(
        self,
        ends: NDArray[np.int64],
        data: NDArray[np.uint8],
        streams: int,
        bits: int,
        start: MixingStart | None = None,
    ) -> None:
        """Token i has the bytes `data[ends[i]:ends[i + 1]]`; tables have so many bits."""
        all_bytes = data.tobytes()
        self._spellings = [all_bytes[a:b] for a, b in itertools.pairwise(ends)]
        self.shape = Shape(len(self._spellings))
        self.maps, self.network = Maps(self.shape, start), Network(self.shape, start)
        self._followers, self._slots = Followers(bits), Slots(bits)
        self._match_mask = (1 << bits) - 1
        self._forget()
        self._streams: list[_Stream] = []
        self._count = streams
        self._rows = self._learned = 0
        self._rate = 0
        self._model_bits = 0.0
        self.restart()

    @property
    def model_bits(self) -> float:
        return self._model_bits

    def costs(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        streams = self._streams[: self._rows]
        mixed = np.array([-math.log2(stream.mixed_chance) for stream in streams])
        return mixed, np.array([-math.log2(stream.model_chance) for stream in streams])

    def _forget(self) -> None:
        self._texts: list[list[int]] = []
        self._matches: dict[int, tuple[int, int]] = {}
        """Where the texts went on after the tokens of this hash: text and index."""
        self._kept = 0

    def restart(self) -> None:
        if self._kept > _KEPT_TOKENS:
            self._forget()
        first = len(self._texts)
        self._streams = [_Stream(first + i) for i in range(self._count)]
        self._texts += [[] for _ in self._streams]

    def prime(self, tokens: Tokens) -> None:
        stream, learned = self._streams[0], self._learned
        for token in tokens.tolist():
            stream.begin([_Context(key, None) for key in stream.state.context_keys()], None)
            self._learn(stream, token)
        self._learned = learned  # weights have learned nothing yet
        self.restart()

    def code_high(self, coder: SymbolCoder, freqs: Freqs, known: Tokens | None) -> Tokens:
        self._rows = len(freqs)
        self._rate = 49 + 589824 // (3000 + self._learned)
        for stream, row in zip(self._streams, freqs.tolist(), strict=False):
            self._begin(stream)
            stream.begin_digit(row, 1 << self.shape.high_bits)
            stream.confidence = sum(max(row) >= bound << 20 for bound in (6, 10, 14))
        known = None if known is None else known << 8
        digits = self._code(coder, range(self.shape.high_groups), known)
        if (digits >= self.shape.digits).any():
            raise CorruptError("the payload does not decode")
        return digits

    def code_low(
        self, coder: SymbolCoder, freqs: Freqs, high: Tokens, known: Tokens | None
    ) -> Tokens:
        for stream, row in zip(self._streams, freqs.tolist(), strict=False):
            stream.begin_digit(row, 256)
        groups = range(self.shape.high_groups, len(self.shape.groups))
        tokens = self._code(coder, groups, known)
        if (tokens >= self.shape.vocab).any():
            raise CorruptError("the payload does not decode")
        for stream, token in zip(self._streams, tokens.tolist(), strict=False):
            self._learn(stream, token)
        return tokens

    def _begin(self, stream: _Stream) -> None:
        keys = stream.state.context_keys()
        contexts = [_Context(key, self._followers.find(key) if key else None) for key in keys]
        expected = None
        if stream.match is not None:
            text, index = stream.match
            if index < len(self._texts[text]):
                expected = self._texts[text][index]
        stream.begin(contexts, expected)

    def _code(self, coder: SymbolCoder, groups: range, known: Tokens | None) -> Tokens:
        """Code groups of bits, each of all streams before the next; returns the prefixes."""
        streams = self._streams[: self._rows]
        for group in groups:
            for i, stream in enumerate(streams):
                token = None if known is None else int(known[i])
                self._code_group(coder, stream, group, token)
        return np.array([stream.prefix for stream in streams], np.int64)

    def _code_group(
        self, coder: SymbolCoder, stream: _Stream, number: int, token: int | None
    ) -> None:
        group = _Group(stream, self.shape, self.maps, self._slots, number)
        for _ in range(self.shape.groups[number]):
            model_p = group.model_p()
            model = stretch(model_p)
            group.ask(model)
            p1 = self.network.predict(group.x, *group.situation(model))
            known = None
            if token is not None:
                known = np.array([token >> (self.shape.bits - 1 - group.decision) & 1])
            bit = int(coder.code_bits(np.array([p1], np.int32), known)[0])
            self._charge(stream, bit, p1, model_p)
            self.network.learn(bit, self._rate)
            group.learn(bit)
        group.end()

    def _charge(self, stream: _Stream, bit: int, p1: int, model_p: int) -> None:
        model_chance = (model_p + 0.5 if bit else 65535.5 - model_p) / 65536
        stream.mixed_chance *= (p1 if bit else ONE - p1) / ONE
        stream.model_chance *= model_chance
        self._model_bits -= math.log2(model_chance)

    def _learn(self, stream: _Stream, token: int) -> None:
        """Every context learns which token followed it, and the stream goes on."""
        for context in stream.contexts:
            if context.key == 0:
                continue
            now = self._followers.place(context.key)
            if now.run == 0:
                now.token, now.run = token, 1
                continue
            if now.branched:
                if not context.asked:
                    self._learn_nodes(context.key, token, 1)
            elif now.token != token:
                self._learn_nodes(context.key, now.token, min(now.run, 8))
                self._learn_nodes(context.key, token, 1)
                now.branched = True
            now.run = min(now.run + 1, 255) if now.token == token else 1
            now.token = token
        self._learned += 1
        self._kept += 1
        self._texts[stream.text].append(token)
        stream.state.add(token, self._spellings[token])
        self._follow_match(stream, token)

    def _learn_nodes(self, key: int, token: int, times: int) -> None:
        shape = self.shape
        for group, group_bits in enumerate(shape.groups):
            prefix = token >> (shape.bits - shape.before[group])
            slot = self._slots.find(slot_key(key, group, prefix), group_bits)
            node = 1
            for decision in range(shape.before[group], shape.before[group + 1]):
                bit = token >> (shape.bits - 1 - decision) & 1
                for _ in range(times):
                    slot[node] = node_learned(int(slot[node]), bit)
                node = 2 * node + bit
            Slots.use(slot)

    def _follow_match(self, stream: _Stream, token: int) -> None:
        """Follow the match, or find another; remember where the text goes on."""
        text = self._texts[stream.text]
        if stream.match is not None and stream.expected == token:
            stream.match = stream.match[0], stream.match[1] + 1
            stream.match_length = min(stream.match_length + 1, _MATCH_LONGEST)
        else:
            stream.match, stream.match_length = None, 0
        if len(text) < _MATCH_TOKENS:
            return
        key = finish(fold(0, *text[: -1 - _MATCH_TOKENS : -1])) >> 20 & self._match_mask
        place = self._matches.get(key)
        if stream.match is None and place is not None:
            equal = self._equal_tokens(text, self._texts[place[0]][: place[1]])
            if equal >= _MATCH_TOKENS:
                stream.match, stream.match_length = place, equal
        self._matches[key] = stream.text, len(text)

    @staticmethod
    def _equal_tokens(a: list[int], b: list[int]) -> int:
        """How many tokens at their ends are equal, up to a limit."""
        pairs = zip(a[: -1 - _MATCH_LONGEST : -1], b[: -1 - _MATCH_LONGEST : -1], strict=False)
        for equal, (x, y) in enumerate(pairs):
            if x != y:
                return equal
        return min(len(a), len(b), _MATCH_LONGEST)
