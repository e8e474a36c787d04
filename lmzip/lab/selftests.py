"""E10: the fits find again what synthetic measurements were made of."""

from __future__ import annotations

import dataclasses

import numpy as np

from .bench import Bench, task_name
from .findings import Check, Curve, Finding, Plot, control, expect, expect_range
from .fits import ScalingLaw, correlate, density, fit_scaling_law, heaps_law, same_source
from .rows import LabRow
from .source import Recipe, Source

__all__ = ["fits_finding"]

TRUTH = ScalingLaw(1.82, 480.0, 2100.0, 0.348, 0.366)
"""About the replication of Chinchilla's law."""
TABLES = {0.3: 65, 0.5: 287, 0.7: 1400}
"""Distinct facts of 2^14 Pitman-Yor draws by discount, theta 1; derived beforehand."""
_SIZES = np.geomspace(4e7, 2e10, 12)
_DATA = np.geomspace(5e8, 1e12, 12)


def _fit_rows(trials: int) -> list[LabRow]:
    """Recovery of alpha and beta, each its own share of trials within two errors."""
    rng = np.random.default_rng(0)
    n, d = (grid.ravel() for grid in np.meshgrid(_SIZES, _DATA))
    rows = []
    for trial in range(trials):
        losses = TRUTH(n, d) * np.exp(0.002 * rng.standard_normal(len(n)))
        law = fit_scaling_law(n.tolist(), d.tolist(), losses.tolist(), resamples=60, seed=trial)
        assert law.errors is not None
        names = ("entropy", "a", "b", "alpha", "beta")
        off = {
            name: (getattr(law, name) - getattr(TRUTH, name)) / error
            for name, error in zip(names, law.errors, strict=True)
        }
        rows.append(LabRow("E10", "", "fit", n=len(n), seed=trial, extra=off))
    return rows


def _distinct(alpha: float, seeds: int) -> list[LabRow]:
    rows = []
    for seed in range(1, seeds + 1):
        recipe = Recipe(facts=128 * 128, name_shape=(128, 128), law="pitman-yor", alpha=alpha,
                        theta=1.0, seed=seed)  # fmt: skip
        names = Source(recipe).draw(1 << 14).names
        found = heaps_law(names)
        rows.append(LabRow("E10", "", "source", recipe.sha256, n=len(names), seed=seed,
                           extra={"alpha": alpha, "distinct": found.distinct,
                                  "exponent": found.exponent}))  # fmt: skip
    return rows


def _densities() -> tuple[float, float]:
    """Least and largest leave-one-out density of a ladder that follows its law within 0.2 %."""
    rng = np.random.default_rng(3)
    sizes = np.geomspace(1e6, 1e9, 8)
    losses = (0.6 + 40 / sizes**0.3) * (1 + 0.002 * rng.standard_normal(8))
    ladder = [(f"rung {i}", float(n), float(v)) for i, (n, v) in enumerate(zip(
        sizes, losses, strict=True))]  # fmt: skip
    found = density(ladder, [])[1:-1]  # the ends are extrapolated
    return min(f.density for f in found), max(f.density for f in found)


def fits_finding(bench: Bench) -> Finding:
    """E10."""
    trials, seeds = (20, 8) if bench.quick else (40, 24)

    def rows(name: str, make: object, **settings: object) -> list[LabRow]:
        task = task_name(name=name, **settings)
        return bench.rows("E10", task, lambda: [
            dataclasses.replace(r, task=task) for r in make()  # type: ignore[operator]
        ], name)  # fmt: skip

    fits = rows("recovery of a law", lambda: _fit_rows(trials), trials=trials)
    checks: list[Check] = []
    for name in ("alpha", "beta", "entropy"):
        inside = float(np.mean([abs(float(r.extra[name])) <= 2 for r in fits]))
        checks.append(expect_range(
            f"L(N, D): part of {trials} fits with {name} within two standard errors", 0.9, 1,
            inside, "19 of 20 expected, 18 allowed",
        ))  # fmt: skip
    curves = []
    for number, (alpha, expected) in enumerate(TABLES.items()):
        found = rows(f"Pitman-Yor, {alpha}", lambda a=alpha: _distinct(a, seeds), seeds=seeds)
        mean = float(np.mean([float(r.extra["distinct"]) for r in found]))
        checks.append(expect(f"Pitman-Yor, discount {alpha}: distinct facts of 16,384", expected,
                             mean, 0.15, relative=True))  # fmt: skip
        recipe = Recipe(facts=128 * 128, name_shape=(128, 128), law="pitman-yor", alpha=alpha,
                        theta=1.0)  # fmt: skip
        curve = heaps_law(Source(recipe).draw(1 << 14).names).curve
        curves.append(Curve(f"discount {alpha}", [c[0] for c in curve], [c[1] for c in curve],
                            colour=number))  # fmt: skip
        ends = [100, 1 << 14]
        at = float(curve[-1][1])
        power = [at * (n / ends[1]) ** alpha for n in ends]
        curves.append(Curve(f"n^{alpha}", ends, power, True, number))
    low, high = _densities()
    checks.append(expect("Densing: leave-one-out density, least", 1, low, 0.1))
    checks.append(expect("Densing: leave-one-out density, largest", 1, high, 0.1))
    rng = np.random.default_rng(5)
    x = rng.standard_normal(400)
    y = 0.8 * x + 0.6 * rng.standard_normal(400)
    found_r = correlate(x.tolist(), y.tolist())
    low, high = found_r.pearson_interval
    checks.append(control("correlation: the interval holds the truth of 0.8",
                          "yes", f"{low:.2f} to {high:.2f}", low <= 0.8 <= high))  # fmt: skip
    alike = [
        same_source(rng.normal(2, 0.2, 30), rng.normal(2, 0.2, 30), permutations=399,
                    seed=i).p_value
        for i in range(100)
    ]  # fmt: skip
    other = same_source(rng.normal(2, 0.2, 30), rng.normal(2.3, 0.2, 30)).p_value
    checks.append(control("two samples of one model: p values below 0.05, of 100",
                          "5 expected, at most 12", float(sum(p < 0.05 for p in alike)),
                          sum(p < 0.05 for p in alike) <= 12))  # fmt: skip
    checks.append(control("samples of two models: p value", "below 0.01", other, other < 0.01))
    return Finding(
        "E10", "Fits and tests",
        "Chinchilla and its replication, the Densing law, compression represents intelligence, "
        "Heaps and Zipf, zero-shot tests: before they are used, they must find what was put in.",
        tuple(checks),
        (Plot("e10-heaps", "Distinct facts", ("facts drawn", "distinct"), tuple(curves)),),
        "The commands `lmzip lab fit`, `density`, `correlate`, `heaps` and `same-source` do on "
        "anybody's measurements what is tested here on made ones.",
    )  # fmt: skip
