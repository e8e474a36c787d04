"""Fits and tests on measurements of any models, lmzip's or others' (E10).

Losses may be in any unit; all logarithms are natural unless bits are said.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError

__all__ = [
    "Correlation", "Density", "Heaps", "SameSource", "ScalingLaw", "correlate", "density",
    "fit_scaling_law", "heaps_law", "same_source",
]  # fmt: skip

Floats = NDArray[np.float64]
_RESAMPLES = 1000


@dataclasses.dataclass(frozen=True)
class ScalingLaw:
    """L(N, D) = E + A / N^alpha + B / D^beta."""

    entropy: float
    a: float
    b: float
    alpha: float
    beta: float
    errors: tuple[float, float, float, float, float] | None = None
    """Standard errors by bootstrap, in that order."""
    points: int = 0

    def __call__(self, parameters: Floats, data: Floats) -> Floats:
        return np.asarray(self.entropy + self.a / parameters**self.alpha + self.b / data**self.beta)

    def as_dict(self) -> dict[str, Any]:
        names = ("entropy", "a", "b", "alpha", "beta")
        found: dict[str, Any] = {name: getattr(self, name) for name in names}
        if self.errors is not None:
            found["errors"] = dict(zip(names, self.errors, strict=True))
        return found | {"points": self.points}

    def best_data(self, flops: float) -> tuple[float, float]:
        """Parameters and data at which the law is least for so many FLOPs, 6 N D."""
        k = (self.alpha * self.a / (self.beta * self.b)) ** (1 / (self.alpha + self.beta))
        half = self.beta / (self.alpha + self.beta)
        parameters = k * (flops / 6) ** half
        return parameters, flops / 6 / parameters


def _log_prediction(theta: Floats, n: Floats, d: Floats) -> Floats:
    """log L by log-sum-exp; theta: log E, log A, log B, alpha, beta."""
    terms = np.stack([
        np.full(len(n), theta[0]), theta[1] - theta[3] * n, theta[2] - theta[4] * d
    ])  # fmt: skip
    top = terms.max(axis=0)
    return np.asarray(top + np.log(np.exp(terms - top).sum(axis=0)))


def _objective(
    theta: Floats, n: Floats, d: Floats, loss: Floats, delta: float
) -> tuple[float, Floats]:
    """Summed Huber loss of log L, and its gradient."""
    terms = np.stack([
        np.full(len(n), theta[0]), theta[1] - theta[3] * n, theta[2] - theta[4] * d
    ])  # fmt: skip
    top = terms.max(axis=0)
    weights = np.exp(terms - top)
    total = weights.sum(axis=0)
    residual = top + np.log(total) - loss
    shares = weights / total
    small = np.abs(residual) <= delta
    value = np.where(small, residual**2 / 2, delta * (np.abs(residual) - delta / 2)).sum()
    slope = np.where(small, residual, delta * np.sign(residual))
    gradient = np.array([
        (slope * shares[0]).sum(), (slope * shares[1]).sum(), (slope * shares[2]).sum(),
        -(slope * shares[1] * n).sum(), -(slope * shares[2] * d).sum(),
    ])  # fmt: skip
    return float(value), gradient


def _fit(n: Floats, d: Floats, loss: Floats, delta: float, starts: Floats) -> Floats:
    """The best of the starts after a rough search, searched finely."""
    from scipy.optimize import minimize

    def search(start: Floats, fine: bool) -> tuple[float, Floats]:
        found = minimize(
            _objective, start, args=(n, d, loss, delta), jac=True, method="L-BFGS-B",
            options={"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-9} if fine
            else {"maxiter": 100, "ftol": 1e-8},
        )  # fmt: skip
        return float(found.fun), np.asarray(found.x)

    rough = starts[0]
    if len(starts) > 1:
        rough = min((search(start, False) for start in starts), key=lambda f: f[0])[1]
    return search(rough, True)[1]


def fit_scaling_law(
    parameters: Sequence[float],
    data: Sequence[float],
    losses: Sequence[float],
    *,
    delta: float = 1e-3,
    resamples: int = 200,
    seed: int = 0,
) -> ScalingLaw:
    """The law of the least summed Huber loss of log L, from many starts, with bootstrap errors.

    Raises UsageError for fewer than six points or numbers that are not positive.
    """
    n, d, loss = (np.asarray(v, np.float64) for v in (parameters, data, losses))
    if not len(n) == len(d) == len(loss) or len(n) < 6:
        raise UsageError("a law of five numbers needs at least six points")
    if not all((v > 0).all() and np.isfinite(v).all() for v in (n, d, loss)):
        raise UsageError("parameters, data and losses must be positive")
    if len(set(n.tolist())) < 2 or len(set(d.tolist())) < 2:
        raise UsageError("the fit needs at least two sizes and two amounts of data")
    n, d, loss = np.log(n), np.log(d), np.log(loss)
    low = loss.min()
    starts = np.array([
        [low + e, low + a * n.mean(), low + b * d.mean(), a, b]
        for e in (-0.7, -0.1) for a in (0.2, 0.5, 0.8) for b in (0.2, 0.5, 0.8)
    ])  # fmt: skip
    theta = _fit(n, d, loss, delta, starts)
    errors = None
    if resamples:
        rng = np.random.default_rng(seed)
        drawn: list[Floats] = []
        while len(drawn) < resamples:
            pick = rng.integers(len(n), size=len(n))
            if len(set(n[pick].tolist())) > 1 and len(set(d[pick].tolist())) > 1:
                drawn.append(_fit(n[pick], d[pick], loss[pick], delta, theta[None]))
        every = np.array(drawn)
        every[:, :3] = np.exp(np.minimum(every[:, :3], 700))
        low_, high = np.percentile(every, [15.87, 84.13], axis=0)
        errors = tuple(((high - low_) / 2).tolist())
    e, a, b = np.exp(theta[:3]).tolist()
    return ScalingLaw(e, a, b, float(theta[3]), float(theta[4]), errors, len(n))


@dataclasses.dataclass(frozen=True)
class Density:
    """How many parameters a model is worth, over how many it has."""

    model: str
    parameters: float
    effective: float

    @property
    def density(self) -> float:
        return self.effective / self.parameters


def _power_law(sizes: Floats, losses: Floats) -> tuple[float, float, float]:
    """E, A, a of L = E + A / N^a, least squares, a on a grid."""
    best = (np.inf, 0.0, 0.0, 0.0)
    for a in np.geomspace(0.02, 2, 400):
        x = sizes**-a
        design = np.column_stack([np.ones(len(x)), x])
        (e, factor), *_ = np.linalg.lstsq(design, losses, rcond=None)
        if e < 0:
            e, factor = 0.0, float((x * losses).sum() / (x * x).sum())
        error = float(((e + factor * x - losses) ** 2).sum())
        if factor > 0 and error < best[0]:
            best = (error, float(e), float(factor), float(a))
    if best[2] <= 0:
        raise UsageError("losses do not fall with size, so the law cannot be inverted")
    return best[1:]


def _invert(law: tuple[float, float, float], loss: float) -> float:
    e, factor, a = law
    return float((factor / (loss - e)) ** (1 / a)) if loss > e else float("inf")


def density(
    ladder: Sequence[tuple[str, float, float]], others: Sequence[tuple[str, float, float]]
) -> list[Density]:
    """Of (name, parameters, loss): each rung by the law through the other rungs, then the others by
    the law through all. Raises UsageError for fewer than three rungs."""
    if len(ladder) < 3:
        raise UsageError("a ladder needs at least three models")
    found = []
    for i, (name, size, loss) in enumerate(ladder):
        rest = [rung for j, rung in enumerate(ladder) if j != i] if len(ladder) > 3 else ladder
        law = _power_law(np.array([r[1] for r in rest]), np.array([r[2] for r in rest]))
        found.append(Density(name, size, _invert(law, loss)))
    law = _power_law(np.array([r[1] for r in ladder]), np.array([r[2] for r in ladder]))
    return found + [Density(name, size, _invert(law, loss)) for name, size, loss in others]


@dataclasses.dataclass(frozen=True)
class Correlation:
    """Of two columns, with 95 per cent bootstrap intervals and the range by leaving one out."""

    items: int
    pearson: float
    pearson_interval: tuple[float, float]
    spearman: float
    spearman_interval: tuple[float, float]
    leave_one_out: tuple[float, float]
    """Of Pearson's."""


def _ranks(x: Floats) -> Floats:
    """From 1 on, ties shared."""
    order = np.argsort(x, kind="stable")
    ranks = np.empty(len(x))
    ranks[order] = np.arange(1, len(x) + 1)
    for value in np.unique(x):
        ranks[x == value] = ranks[x == value].mean()
    return ranks


def _pearson(x: Floats, y: Floats) -> float:
    a, b = x - x.mean(), y - y.mean()
    scale = np.sqrt((a * a).sum() * (b * b).sum())
    return float((a * b).sum() / scale) if scale else float("nan")


def correlate(x: Sequence[float], y: Sequence[float], *, seed: int = 0) -> Correlation:
    """Raises UsageError for fewer than three items or a column without differences."""
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(a) != len(b) or len(a) < 3:
        raise UsageError("a correlation needs at least three items with both numbers")
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        raise UsageError("a column is constant, so there is no correlation")
    rng = np.random.default_rng(seed)
    picks = rng.integers(len(a), size=(_RESAMPLES, len(a)))

    def interval(u: Floats, v: Floats, ranked: bool) -> tuple[float, float]:
        values = [_pearson(_ranks(u[p]), _ranks(v[p])) if ranked else _pearson(u[p], v[p])
                  for p in picks]  # fmt: skip
        low, high = np.nanpercentile(values, [2.5, 97.5])
        return float(low), float(high)

    without = [_pearson(np.delete(a, i), np.delete(b, i)) for i in range(len(a))]
    return Correlation(
        len(a), _pearson(a, b), interval(a, b, False), _pearson(_ranks(a), _ranks(b)),
        interval(a, b, True), (float(np.nanmin(without)), float(np.nanmax(without))),
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Heaps:
    """Distinct words V against words n: V = k n^exponent over the last decade; Zipf's, too."""

    words: int
    distinct: int
    exponent: float
    zipf: float
    """Minus the slope of frequency against rank, ranks 10 to 1,000."""
    curve: tuple[tuple[int, int], ...]


def heaps_law(words: Sequence[Any] | NDArray[Any]) -> Heaps:
    """Growth of a vocabulary. Raises UsageError for fewer than 100 words."""
    if len(words) < 100:
        raise UsageError("the growth of a vocabulary needs at least a hundred words")
    _, first, counts = np.unique(np.asarray(words), return_index=True, return_counts=True)
    new = np.zeros(len(words), np.int64)
    new[first] = 1
    distinct = np.cumsum(new)
    at = np.unique(np.geomspace(10, len(words), 40).astype(np.int64))
    late = at[at >= len(words) / 10]
    exponent = float(np.polyfit(np.log(late), np.log(distinct[late - 1]), 1)[0])
    falling = np.sort(counts)[::-1]
    ranks = np.arange(1, len(falling) + 1)
    middle = slice(min(10, len(falling) // 4), min(1000, max(12, len(falling) // 2)))
    zipf = -float(np.polyfit(np.log(ranks[middle]), np.log(falling[middle]), 1)[0])
    curve = tuple((int(n), int(distinct[n - 1])) for n in at)
    return Heaps(len(words), int(distinct[-1]), exponent, zipf, curve)


@dataclasses.dataclass(frozen=True)
class SameSource:
    """Whether two texts may be samples of one model, by bits of their blocks under it."""

    means: tuple[float, float]
    """Bits a byte."""
    difference: float
    p_value: float
    """Of so large a difference, blocks dealt at random (permutation test)."""
    blocks: tuple[int, int]


def same_source(
    first: Floats, second: Floats, *, permutations: int = 9999, seed: int = 0
) -> SameSource:
    """From bits a byte of blocks of both texts. Raises UsageError for fewer than four of either."""
    if min(len(first), len(second)) < 4:
        raise UsageError("each text needs at least four blocks")
    rng = np.random.default_rng(seed)
    both = np.concatenate([first, second])
    observed = first.mean() - second.mean()
    more = 0
    for _ in range(permutations):
        mixed = rng.permutation(both)
        more += abs(mixed[: len(first)].mean() - mixed[len(first) :].mean()) >= abs(observed)
    return SameSource(
        (float(first.mean()), float(second.mean())), float(observed),
        (more + 1) / (permutations + 1),
        (len(first), len(second)),
    )  # fmt: skip
