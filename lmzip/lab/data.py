"""E1, data scaling, exactly: redundancy against the number of sentences, by role."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .bench import Bench, task_name
from .findings import Check, Curve, Finding, Plot, control, expect, log_slope, quadratic
from .oracle import (
    expected_new_values,
    held_out_value_bits,
    learner_for,
    marginal_bits,
    source_bits,
)
from .pycode import decode_py, encode_py
from .rows import LabRow
from .source import ROLES, Recipe, Sentences, Source

__all__ = ["DataSettings", "data_scaling", "power_law_control"]

Floats = NDArray[np.float64]

NAME_SLOPES = {1.5: -0.525, 2.0: -0.592, 3.0: -0.687}
SYNTAX_SLOPE = -0.82
"""Derived beforehand, at M = 2^14 and 2^10 to 2^15 sentences."""
_MOST_CURVATURE = 0.05
_SLACK_BITS = 64


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """Sizes of E1."""

    name_symbols: int = 128
    powers: tuple[float, ...] = (1.5, 2.0, 3.0)
    exponents: tuple[int, ...] = (10, 11, 12, 13, 14, 15)
    seeds: int = 3
    streams: int = 1
    """Seeds whose longest text is coded and decoded; of the others it is the shortest."""

    def recipe(self, power: float, seed: int) -> Recipe:
        """0 stands for the uniform law."""
        n = self.name_symbols
        return Recipe(
            facts=n * n, name_shape=(n, n), law="power" if power else "uniform",
            power=power or 1.0, seed=seed,
        )  # fmt: skip


def _columns(bits: Floats) -> dict[str, Floats]:
    """Bits of each sentence by role."""
    return {
        role: bits[:, [i for i, r in enumerate(ROLES) if r == role]].sum(axis=1)
        for role in dict.fromkeys(ROLES)
    }


def _corpus(settings: DataSettings, power: float, seed: int) -> list[LabRow]:
    """Rows of one corpus: by role and number of sentences, and a stream."""
    recipe = settings.recipe(power, seed)
    source, learner = Source(recipe), learner_for(recipe)
    counts = [1 << e for e in settings.exponents]
    sentences = source.draw(counts[-1])
    marginal = _columns(marginal_bits(recipe, learner, sentences))
    truth = _columns(source_bits(source, sentences))
    held_out = _unseen(source, sentences, counts)
    rows = []
    for count in counts:
        for role in marginal:
            ideal, known = float(marginal[role][:count].sum()), float(truth[role][:count].sum())
            extra: dict[str, float | str] = {"power": power, "source_bits": known}
            if role == "value":
                extra["held_out_bits"] = held_out[counts.index(count)]
            rows.append(LabRow(
                "E1", "", "py", recipe.sha256, n=count, seed=seed, role=role, ideal_bits=ideal,
                extra=extra,
            ))  # fmt: skip
    count = counts[-1] if seed <= settings.streams else counts[0]
    blob, payload = encode_py(recipe, learner, sentences[:count])
    decoded = decode_py(blob)
    same = np.array_equal(decoded.rows(), sentences[:count].rows())
    ideal = float(sum(bits[:count].sum() for bits in marginal.values()))
    mixed = sentences[np.random.default_rng(seed).permutation(len(sentences))]
    shuffled = marginal_bits(recipe, learner, mixed)
    rows.append(LabRow(
        "E1", "", "py", recipe.sha256, n=count, seed=seed, ideal_bits=ideal,
        payload_bits=8 * payload, file_bits=8 * len(blob), decoded=same,
        extra={
            "power": power,
            "shuffled_bits": float(shuffled.sum()),
            "all_bits": float(sum(bits.sum() for bits in marginal.values())),
        },
    ))  # fmt: skip
    return rows


def _unseen(source: Source, sentences: Sentences, counts: Sequence[int]) -> list[float]:
    """Expected value bits of a further sentence after each number of sentences: those of the facts
    not seen yet, by their true probabilities."""
    facts = source.facts_of(sentences)
    found = []
    for count in counts:
        chances = source.chances.copy()
        chances[facts[:count]] = 0
        found.append(float(chances.sum()) * source.recipe.value_bits)
    return found


def power_law_control(
    counts: Sequence[int], curves: Mapping[float, Sequence[float]]
) -> list[Check]:
    """Skewed facts follow a power law and uniform ones (power 0) do not: by the curvature of the
    held-out value bits in logarithms."""
    checks = []
    for power, curve in curves.items():
        bend = quadratic(counts, curve)
        if power:
            checks.append(control(
                f"power {power:g}: held-out value bits bend (quadratic coefficient)",
                f"at most {_MOST_CURVATURE} in size", bend, abs(bend) <= _MOST_CURVATURE,
            ))  # fmt: skip
        else:
            checks.append(control(
                "uniform: no power law (quadratic coefficient)", "below -0.1 (exact: -0.23)", bend,
                bend < -0.1,
            ))  # fmt: skip
    return checks


def data_scaling(bench: Bench, settings: DataSettings | None = None) -> Finding:
    """E1. Curves of redundancy a sentence against the exact ones, streams, and controls."""
    settings = settings or DataSettings()
    documented = settings == DataSettings()
    counts = [1 << e for e in settings.exponents]
    powers = (*settings.powers, 0.0)
    rows: dict[float, list[LabRow]] = {power: [] for power in powers}
    for seed in range(1, settings.seeds + 1):
        for power in powers:
            task = task_name(power=power, seed=seed, **dataclasses.asdict(settings))
            found = bench.rows(
                "E1", task,
                lambda p=power, s=seed, t=task: [  # type: ignore[misc]
                    dataclasses.replace(row, task=t) for row in _corpus(settings, p, s)
                ],
                f"{_law(power)}, seed {seed}",
            )  # fmt: skip
            rows[power] += found

    def mean(power: float, role: str, what: str = "") -> list[float]:
        """Redundancy a sentence, or another number, over seeds."""
        picked = [[r for r in rows[power] if r.role == role and r.n == n] for n in counts]
        if what:
            return [float(np.mean([float(r.extra[what]) for r in found])) for found in picked]
        return [
            float(np.mean([(r.ideal_bits or 0) - float(r.extra["source_bits"]) for r in found])) / n
            for n, found in zip(counts, picked, strict=True)
        ]

    checks, curves = [], []
    for number, power in enumerate(powers):
        recipe = settings.recipe(power, 1)
        exact = expected_new_values(Source(recipe).chances, counts, recipe.value_bits) / counts
        values = mean(power, "value")
        if power:
            checks.append(expect(
                f"{_law(power)}: slope of value redundancy", log_slope(counts, exact.tolist()),
                log_slope(counts, values), 0.03,
            ))  # fmt: skip
        worst = float(np.abs(np.array(values) / exact - 1).max())
        checks.append(
            expect(f"{_law(power)}: largest distance from the exact curve", 0, worst, 0.1)
        )
        if power in NAME_SLOPES and documented:
            checks.append(expect(
                f"{_law(power)}: slope of name redundancy", NAME_SLOPES[power],
                log_slope(counts, mean(power, "name")), 0.03,
            ))  # fmt: skip
        curves.append(Curve(f"{_law(power)}, py", counts, values, colour=number))
        curves.append(Curve(f"{_law(power)}, exact", counts, exact.tolist(), True, number))
    syntax = np.mean([mean(power, "syntax") for power in powers], axis=0).tolist()
    if documented:
        checks.append(expect("slope of syntax redundancy", SYNTAX_SLOPE,
                             log_slope(counts, syntax), 0.03))  # fmt: skip
    held_out = {power: mean(power, "value", "held_out_bits") for power in powers}
    checks += power_law_control(counts, held_out)
    streams = [r for power in powers for r in rows[power] if r.role == "all"]
    over = max((r.payload_bits or 0) - (r.ideal_bits or 0) for r in streams)
    checks += stream_controls(streams)
    drift = max(abs(float(r.extra["shuffled_bits"]) - float(r.extra["all_bits"])) for r in streams)
    checks.append(control("shuffled sentences cost the same (bits)", "less than 0.01", drift,
                          drift < 0.01))  # fmt: skip
    roles = [Curve(f"{_law(p)}, names", counts, mean(p, "name"), colour=i)
             for i, p in enumerate(settings.powers)]  # fmt: skip
    roles.append(Curve("syntax", counts, syntax, colour=len(roles)))
    labels = ("sentences n", "bits a sentence beyond the source's")
    exact_held = [
        Curve(f"{_law(p)}, exact", counts, held_out_value_bits(
            Source(settings.recipe(p, 1)).chances, counts).tolist(), True, i)
        for i, p in enumerate(powers)
    ]  # fmt: skip
    measured_held = [Curve(_law(p), counts, held_out[p], colour=i) for i, p in enumerate(powers)]
    return Finding(
        "E1", "Data scaling, exactly",
        "Pan, Wang and Li, Figure 5: the loss falls with data as a power law where facts are "
        "skewed, and as none where they are uniform; more skew, steeper.",
        tuple(checks),
        (
            Plot("e1-values", "Redundancy of values", labels, tuple(curves)),
            Plot("e1-roles", "Redundancy of names and syntax", labels, tuple(roles)),
            Plot("e1-held-out", "Value bits of a further sentence",
                 ("sentences n", "bits"), (*measured_held, *exact_held)),
        ),
        f"The Bayesian learner's code is the best there is for who knows only the kind of source, "
        f"and its streams are at most {over:.0f} bits longer than it. What it pays for facts falls "
        "as a power of n whose exponent is the skew's; uniform facts are all new until nearly all "
        "are seen, then none is: no power law.",
    )  # fmt: skip


def stream_controls(streams: Sequence[LabRow]) -> list[Check]:
    """Every `py` stream decodes, within 64 bits of the marginal code."""
    over = max((r.payload_bits or 0) - (r.ideal_bits or 0) for r in streams)
    return [
        control("streams that decode to the text", "all", "all" if all(
            r.decoded for r in streams) else "not all", all(r.decoded for r in streams)),
        control("payload beyond the marginal bits, at most", f"{_SLACK_BITS} bits", over,
                over <= _SLACK_BITS),
    ]  # fmt: skip


def _law(power: float) -> str:
    return f"power {power:g}" if power else "uniform"
