"""Bits of x given y on two axes: parameters of the model, and tokens that it thinks."""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..codec import (
    DEFAULT_MEMORY_LIMIT,
    CodecModel,
    CodingParameters,
    CompressionSummary,
    OneModel,
    SideInformation,
    SideParameters,
    compress_stream,
    decompress_stream,
    model_reference,
)
from ..codec.side import Conditioning
from ..codec.streams import stream_lengths
from ..errors import CorruptError, UsageError
from ..format import Thoughts
from .scripted import ScriptedEngine, ThoughtPlaces

__all__ = [
    "CONTROLS",
    "THOUGHT",
    "CodedItem",
    "Exchange",
    "Item",
    "ScalingPoint",
    "code_item",
    "exchange_rates",
    "scaling_points",
    "scripts",
]

THOUGHT = "thought"
CONTROLS = ("filler", "shuffled", "other")
"""What may stand in the place of a thought: a text that says nothing, its own tokens in another
order, what was thought about the next item."""

_RESAMPLES = 2000
_LEVEL = 95.0

Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Item:
    """x, and the y that it is coded given."""

    name: str
    x: bytes
    y: bytes


@dataclasses.dataclass(frozen=True)
class CodedItem:
    """What one archive took; it has been decoded and compared."""

    payload_bits: int
    """Of x alone."""
    file_bits: int
    """With all that a file needs besides."""
    ideal_bits: float
    """The information of x under the predictions that its payload is made with."""
    modelled: bool
    """False where the payload would have been longer than x: then x is stored, or zstd's."""
    x_tokens: int
    y_tokens: int
    """That a stream begins with, the start token included."""
    thought_tokens: int
    """That it reads before x, or between its parts: thoughts of all chains, with the texts before
    and behind them."""
    flops: float
    """Two a parameter and token: y, thoughts and x, each once."""
    chain: tuple[int, ...]
    """What was thought, if it was one chain for one stream, in tokens."""


@dataclasses.dataclass(frozen=True)
class ScalingPoint:
    """All items, by one model and one way of thinking."""

    model: str
    parameters: int
    think: int
    """Tokens of a thought; 0: x given y, and nothing else."""
    kind: str
    """`thought`, or which control."""
    items: tuple[CodedItem, ...]

    def values(self, name: str) -> Floats:
        """A field of all items, [n]."""
        return np.array([getattr(item, name) for item in self.items], np.float64)

    def mean(self, name: str) -> float:
        """A field's mean over items."""
        return float(self.values(name).mean())

    def interval(self, name: str, *, less: ScalingPoint | None = None) -> tuple[float, float]:
        """The 95 % bootstrap interval of a mean over items, or of its excess over `less`'s."""
        values = self.values(name) - (0.0 if less is None else less.values(name))
        rng = np.random.default_rng(0)
        counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), _RESAMPLES)
        means = counts @ values / len(values)
        low, high = np.percentile(means, [50 - _LEVEL / 2, 50 + _LEVEL / 2])
        return float(low), float(high)

    def as_dict(self) -> dict[str, Any]:
        """For machines: means over items, and intervals of two of them."""
        names = ("payload_bits", "file_bits", "ideal_bits", "x_tokens", "y_tokens",
                 "thought_tokens", "flops")  # fmt: skip
        return {
            "model": self.model,
            "parameters": self.parameters,
            "think": self.think,
            "kind": self.kind,
            "items": len(self.items),
            "not_modelled": sum(not item.modelled for item in self.items),
            **{name: self.mean(name) for name in names},
            "payload_bits_interval": self.interval("payload_bits"),
            "ideal_bits_interval": self.interval("ideal_bits"),
        }


class _Layout:
    """What the streams of an item's archive read besides x; found without thinking."""

    def __init__(
        self,
        model: CodecModel,
        item: Item,
        parameters: CodingParameters,
        side: SideParameters,
        memory_limit: int,
    ) -> None:
        given, coding = SideInformation.of(item.y), model_reference(model, parameters)
        silent = dataclasses.replace(side, thoughts=None)
        found = Conditioning.for_encoding(given, silent, model, coding, memory_limit)
        reference = dataclasses.replace(found.reference, thoughts=side.thoughts)
        self.splitting = reference.splitting
        self.engine = Conditioning(given, reference, model).engine
        self.x_tokens = len(model.tokenizer.tokenize(item.x))
        self.lengths = stream_lengths(max(1, self.x_tokens), parameters.stream_tokens)
        self.simple = (
            self.engine.chains == 1
            and len(self.lengths) == 1
            and len(item.x) <= parameters.block_bytes
        )

    @property
    def thought_tokens(self) -> int:
        """Of one thought, with the texts before and behind it."""
        plan = self.engine.thoughts
        return len(plan.before) + plan.tokens + len(plan.behind) if plan else 0

    @property
    def later_thoughts(self) -> list[int]:
        """How often each stream thinks again."""
        plan = self.engine.thoughts
        every = plan.every if plan else 0
        return [(int(n) - 1) // every if every else 0 for n in self.lengths]

    @property
    def y_tokens(self) -> int:
        """The start token and the end of y."""
        return self.engine.lead_tokens() - self.thought_tokens

    def read_tokens(self) -> tuple[int, int]:
        """Tokens of thoughts and of x that go through the model, all chains together.

        The first thoughts, as y, are read once for all streams.
        """
        chains = self.engine.chains
        thoughts = chains * self.thought_tokens * (1 + sum(self.later_thoughts))
        return thoughts, chains * self.x_tokens

    def places(self) -> ThoughtPlaces | None:
        """Where the one stream thinks, if there is one only, of one chain."""
        plan = self.engine.thoughts
        if plan is None or not self.simple:
            return None
        first = self.y_tokens + len(plan.before)
        step = self.thought_tokens + plan.every
        return ThoughtPlaces(first, plan.tokens, step, 1 + self.later_thoughts[0])


def _code(
    model: CodecModel,
    item: Item,
    parameters: CodingParameters,
    side: SideParameters,
    memory_limit: int,
) -> CompressionSummary:
    """What an archive took that has been decoded."""
    archive, back = io.BytesIO(), io.BytesIO()
    models, given = OneModel(model), SideInformation.of(item.y)
    summary = compress_stream(
        io.BytesIO(item.x), archive.write, models, parameters, size_bytes=len(item.x),
        memory_limit=memory_limit, side=given, side_parameters=side,
    )  # fmt: skip
    archive.seek(0)
    decompress_stream(
        archive, back.write, models, memory_limit=memory_limit, time_limit=math.inf, side=given
    )
    if back.getvalue() != item.x:
        raise CorruptError(f"{item.name} does not decode to what was compressed")
    return summary


def code_item(
    model: CodecModel,
    item: Item,
    parameters: CodingParameters,
    side: SideParameters,
    *,
    script: Sequence[int] = (),
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
) -> CodedItem:
    """One item's archive, decoded. A script is thought in the place of what the model would.

    Raises UsageError if a script is to stand in the place of several streams' or chains' thoughts.
    """
    layout = _Layout(model, item, parameters, side, memory_limit)
    places = layout.places()
    chain: tuple[int, ...] = ()
    if places is None:
        if script:
            raise UsageError("controls are for one chain, and for texts of one stream")
        summary = _code(model, item, parameters, side, memory_limit)
    else:
        engine = ScriptedEngine(model.engine, places, script)
        told = dataclasses.replace(model, engine=engine)
        summary = _code(told, item, parameters, side, memory_limit)
        chain = tuple(engine.chain())
    thoughts, x_tokens = layout.read_tokens()
    config = model.engine.config
    head_only = 0 if config.tied else config.vocab * config.width
    flops_per_token = 2.0 * (config.parameters() - head_only)
    return CodedItem(
        payload_bits=8 * summary.payload_bytes,
        file_bits=8 * summary.archive_bytes,
        ideal_bits=summary.ideal_bits,
        modelled=summary.modelled_bytes == summary.content_bytes,
        x_tokens=x_tokens,
        y_tokens=layout.y_tokens,
        thought_tokens=thoughts,
        flops=flops_per_token * (layout.y_tokens + thoughts + x_tokens),
        chain=chain,
    )


def scripts(
    kind: str, chains: Sequence[tuple[int, ...]], filler: Sequence[int]
) -> list[tuple[int, ...]]:
    """What a control thinks for each item, given what the model has thought for each.

    A chain of one item is shuffled as a whole; the other item is the next one, the first for the
    last.
    """
    if kind == "filler":
        return [tuple(filler) for _ in chains]
    if kind == "shuffled":
        rng = np.random.default_rng(0)
        return [tuple(rng.permutation(chain).tolist()) for chain in chains]
    if kind == "other":
        return [*chains[1:], chains[0]]
    raise UsageError(f"no control {kind!r} (there are: {', '.join(CONTROLS)})")


def scaling_points(
    model: CodecModel,
    items: Sequence[Item],
    parameters: CodingParameters,
    side: SideParameters,
    think: Sequence[int],
    *,
    controls: Sequence[str] = (),
    filler: bytes = b".",
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
    progress: Callable[[str], None] = lambda done: None,
) -> Iterator[ScalingPoint]:
    """A model's points: for each number of tokens, the thoughts of `side`, then its controls.

    Everything is coded given y, also where it would be smaller without. Raises UsageError.
    """
    thoughts = side.thoughts or Thoughts(1)
    if not items:
        raise UsageError("there is nothing to code")
    if "other" in controls and len(items) < 2:
        raise UsageError("another item's chain needs another item")

    def point(tokens: int, kind: str, told: Sequence[Sequence[int]]) -> ScalingPoint:
        recipe = None
        if tokens:
            recipe = dataclasses.replace(thoughts, tokens=tokens)
            if kind != THOUGHT:  # greedy: what it is told is what it thinks
                recipe = dataclasses.replace(recipe, temperature=0)
        used = dataclasses.replace(side, thoughts=recipe, always=True)
        coded = []
        for item, script in zip(items, told, strict=True):
            coded.append(
                code_item(model, item, parameters, used, script=script, memory_limit=memory_limit)
            )
            progress(item.name)
        return ScalingPoint(
            model.name, model.engine.config.parameters(), tokens, kind, tuple(coded)
        )

    silence: list[tuple[int, ...]] = [()] * len(items)
    for tokens in think:
        found = point(tokens, THOUGHT, silence)
        yield found
        if not tokens:
            continue
        chains = [item.chain for item in found.items]
        if controls and not all(chains):
            raise UsageError("controls are for one chain, and for texts of one stream")
        filler_tokens = model.tokenizer.tokenize(filler).tolist()
        for kind in controls:
            if kind == "shuffled" and max(map(len, chains)) < 2:
                continue  # one token has one order
            yield point(tokens, kind, scripts(kind, chains, filler_tokens))


@dataclasses.dataclass(frozen=True)
class Exchange:
    """What more computation buys."""

    axis: str
    """`parameters` or `thoughts`."""
    cheaper: ScalingPoint
    dearer: ScalingPoint

    @property
    def saved_bits(self) -> float:
        """Ideal bits an item; negative if the dearer point needs more."""
        return self.cheaper.mean("ideal_bits") - self.dearer.mean("ideal_bits")

    @property
    def more_flops(self) -> float:
        return self.dearer.mean("flops") - self.cheaper.mean("flops")

    def as_dict(self) -> dict[str, Any]:
        """For machines; the interval is of paired differences."""
        high, low = self.dearer.interval("ideal_bits", less=self.cheaper)
        ends = ("model", "think")
        return {
            "axis": self.axis,
            "from": {name: getattr(self.cheaper, name) for name in ends},
            "to": {name: getattr(self.dearer, name) for name in ends},
            "saved_bits": self.saved_bits,
            "saved_bits_interval": (-low, -high),
            "more_flops": self.more_flops,
            "saved_bits_per_gigaflop": 1e9 * self.saved_bits / self.more_flops,
        }


def exchange_rates(points: Sequence[ScalingPoint]) -> list[Exchange]:
    """From each model to the next larger one, without thoughts; from each T to the next.

    Points that differ in nothing but a name have no rate.
    """
    own = [p for p in points if p.kind == THOUGHT]
    found = []
    fewest = min((p.think for p in own), default=0)
    plain = sorted((p for p in own if p.think == fewest), key=lambda p: p.parameters)
    for a, b in itertools.pairwise(plain):
        found.append(Exchange("parameters", a, b))
    for model in dict.fromkeys(p.model for p in own):
        mine = sorted((p for p in own if p.model == model), key=lambda p: p.think)
        found += [Exchange("thoughts", a, b) for a, b in itertools.pairwise(mine)]
    return [e for e in found if e.more_flops > 0]
