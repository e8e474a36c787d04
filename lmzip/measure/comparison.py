"""Methods side by side: ranks, differences with intervals, the Pareto front, a power law."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .results import Measurement, pool

__all__ = [
    "Comparison",
    "Difference",
    "PowerLaw",
    "compare",
    "fit_power_law",
    "pareto_front",
    "sized_methods",
]

Floats = NDArray[np.float64]

_RESAMPLES = 10_000
_FIT_RESAMPLES = 400
_LEVEL = 95.0
"""Per cent that an interval covers."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """How much more the first of two methods takes than the second, in bits a byte, pooled."""

    first: str
    second: str
    bits_per_byte: float
    low: float | None
    high: float | None
    """95 per cent bootstrap interval over documents; None if there is only one."""
    documents_won: int
    """By the first: documents that it makes strictly smaller."""

    @property
    def clear(self) -> bool | None:
        """Whether the interval excludes zero."""
        if self.low is None or self.high is None:
            return None
        return self.low > 0 or self.high < 0


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Methods that measured the same documents, the best first.

    Those that do not count every byte (a protocol's doing), and commands that were not decoded,
    come last: they are compared to none.
    """

    documents: tuple[str, ...]
    methods: tuple[Measurement, ...]
    """Pooled."""
    by_document: tuple[tuple[Measurement, ...], ...]
    """[methods][documents]."""
    differences: tuple[Difference, ...]
    """Of every two neighbours in the ranking, then of all other pairs."""
    front: frozenset[int]
    """Methods on the Pareto front of bits per byte against speed of compression."""
    left_out: tuple[str, ...] = ()
    """Documents that only some of the methods have measured."""

    @property
    def ranked(self) -> int:
        """How many methods are ranked: they are the first ones."""
        return sum(m.rankable for m in self.methods)


def _intervals(values: Floats) -> tuple[float, float]:
    low, high = np.percentile(values, [50 - _LEVEL / 2, 50 + _LEVEL / 2])
    return float(low), float(high)


def _resamples(documents: int, count: int, seed: int) -> Floats:
    """How often each document is drawn, [count, documents], with replacement."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(documents, np.full(documents, 1 / documents), count).astype(np.float64)


def pareto_front(costs: Sequence[tuple[float, float]]) -> frozenset[int]:
    """Those that no other beats in one cost without losing in the other."""
    return frozenset(
        i
        for i, a in enumerate(costs)
        if not any(b[0] <= a[0] and b[1] <= a[1] and b != a for b in costs)
    )


def compare(measurements: Sequence[Measurement], *, seed: int = 0) -> Comparison:
    """A comparison of all methods on the documents that all of them measured.

    Raises UsageError if there are none.
    """
    tables: dict[tuple[str, str, str], dict[str, Measurement]] = {}
    for m in measurements:
        tables.setdefault((m.model, m.identity, str(sorted(m.settings.items()))), {})[
            m.document
        ] = m
    if not tables:
        raise UsageError("there is nothing to compare")
    common = set.intersection(*(set(t) for t in tables.values()))
    seen = dict.fromkeys(m.document for m in measurements)
    documents = [name for name in seen if name in common]
    if not documents:
        raise UsageError("no document was measured by all methods")
    rows = [[table[d] for d in documents] for table in tables.values()]
    rows.sort(key=lambda row: (not pool(row).rankable, pool(row).bits_per_byte))
    methods = [pool(row) for row in rows]
    ranked = sum(m.rankable for m in methods)
    bits = np.array([[m.total_bits for m in row] for row in rows])
    content = np.array([m.content_bytes for m in rows[0]], np.float64)
    drawn = _resamples(len(documents), _RESAMPLES, seed)
    pairs = [(i, i + 1) for i in range(ranked - 1)]
    pairs += [(i, j) for i in range(ranked) for j in range(i + 2, ranked)]
    differences = []
    for i, j in pairs:
        delta = bits[i] - bits[j]
        low, high = None, None
        if len(documents) > 1:
            low, high = _intervals((drawn @ delta) / (drawn @ content))
        differences.append(
            Difference(
                methods[i].model,
                methods[j].model,
                float(delta.sum() / content.sum()),
                low,
                high,
                int((delta < 0).sum()),
            )
        )
    costs = [(m.bits_per_byte, m.compress_s / m.content_bytes) for m in methods[:ranked]]
    return Comparison(
        tuple(documents),
        tuple(methods),
        tuple(tuple(row) for row in rows),
        tuple(differences),
        pareto_front(costs),
        tuple(name for name in seen if name not in common),
    )


@dataclasses.dataclass(frozen=True)
class PowerLaw:
    """L = E + A / N^a, bits per byte against parameters."""

    entropy: float
    """E: what no size would go below."""
    factor: float
    """A."""
    exponent: float
    """a."""
    interval: tuple[float, float] | None
    """95 per cent bootstrap interval of the exponent over documents; None if there is only one."""
    sizes: int
    """Distinct sizes that it goes through."""
    kind: str
    """Of the methods: their numbers are of one kind."""

    @property
    def saturated(self) -> bool:
        """No more sizes than coefficients: the fit goes through them and tests nothing."""
        return self.sizes <= 3

    @property
    def doubtful(self) -> str:
        """Why this is no power law; empty if nothing speaks against it."""
        if self.factor <= 0:
            return "bits do not fall with size"
        if self.exponent <= _EXPONENTS[0] or self.exponent >= _EXPONENTS[-1]:
            return f"the exponent is at the end of the range tried, {_RANGE}"
        return ""

    def __call__(self, parameters: Floats) -> Floats:
        return np.asarray(self.entropy + self.factor / parameters**self.exponent)


_EXPONENTS = np.geomspace(0.02, 2.0, 241)
_RANGE = f"{_EXPONENTS[0]:.3g} to {_EXPONENTS[-1]:.3g}"


def _fit(parameters: Floats, losses: Floats) -> tuple[float, float, float]:
    """E >= 0, A >= 0 and a of the least squares; a on a grid, the others in closed form."""
    x = parameters[None] ** -_EXPONENTS[:, None]
    x_mean, loss_mean = x.mean(axis=1, keepdims=True), losses.mean()
    spread = ((x - x_mean) ** 2).sum(axis=1)
    factor = ((x - x_mean) * (losses - loss_mean)).sum(axis=1) / np.maximum(spread, 1e-300)
    entropy = loss_mean - factor * x_mean[:, 0]
    through_zero = (x * losses).sum(axis=1) / (x**2).sum(axis=1)
    factor = np.where(entropy < 0, through_zero, np.maximum(factor, 0))
    entropy = np.where(entropy < 0, 0, np.where(factor > 0, entropy, loss_mean))
    errors = ((entropy[:, None] + factor[:, None] * x - losses) ** 2).sum(axis=1)
    best = int(errors.argmin())
    return float(entropy[best]), float(factor[best]), float(_EXPONENTS[best])


def sized_methods(comparison: Comparison) -> list[int]:
    """The methods that a power law may go through: models whose numbers are of one kind.

    File sizes if there are three sizes of models, else ideal bits, else none.
    """
    for kind in ("archive", "ideal"):
        found = [
            i
            for i, m in enumerate(comparison.methods)
            if m.kind == kind and m.parameters and m.complete
        ]
        if len({comparison.methods[i].parameters for i in found}) >= 3:
            return found
    return []


def fit_power_law(
    comparison: Comparison, methods: Sequence[int] | None = None, *, seed: int = 0
) -> PowerLaw | None:
    """The power law through these methods of a comparison, or through `sized_methods`.

    None for fewer than three sizes.
    """
    methods = sized_methods(comparison) if methods is None else methods
    parameters = np.array([comparison.methods[i].parameters for i in methods], np.float64)
    sizes = len(set(parameters.tolist()))
    if sizes < 3 or (parameters <= 0).any():
        return None
    bits = np.array([[m.total_bits for m in comparison.by_document[i]] for i in methods])
    content = np.array([m.content_bytes for m in comparison.by_document[0]], np.float64)
    law = _fit(parameters, bits.sum(axis=1) / content.sum())
    interval = None
    if len(content) > 1:
        drawn = _resamples(len(content), _FIT_RESAMPLES, seed)
        exponents = [_fit(parameters, (bits @ d) / (content @ d))[2] for d in drawn]
        interval = _intervals(np.array(exponents))
    return PowerLaw(*law, interval, sizes, comparison.methods[methods[0]].kind)
