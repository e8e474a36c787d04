"""E2, data scaling by nets: the value of a further sentence against how many were learned from."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .bench import Bench, task_name
from .findings import Check, Curve, Finding, Plot, control, expect, log_slope
from .oracle import held_out_value_bits
from .rows import LabRow
from .source import SENTENCE_BYTES, Recipe, Source, parse_sentences

if TYPE_CHECKING:
    from .nets import TinyNet

__all__ = ["NetDataSettings", "fitted_net", "fresh_values_control", "net_data_scaling",
           "stranger_weights", "strangers"]  # fmt: skip

Floats = NDArray[np.float64]
_VALUE = slice(5, 7)
_BATCH = 256
_SMALLEST_BATCH = 64


@dataclasses.dataclass(frozen=True)
class NetDataSettings:
    """Sizes of E2."""

    facts: int = 4096
    powers: tuple[float, ...] = (1.5, 2.0, 3.0)
    exponents: tuple[int, ...] = (8, 9, 10, 11, 12, 13)
    width: int = 32
    epochs: int = 150
    """At most; fewer where the validation says so, and never fewer than `least_steps` steps."""
    least_steps: int = 500
    ignorance: float = 0.25
    """The part of every batch whose names and values are drawn at random, and where only values
    count: it teaches what the Bayesian learner believes, that any value may go with a new name."""
    seed: int = 1
    rate: float = 0.01
    matrix_rate: float = 0.02

    def recipe(self, power: float, *, fresh: bool = False) -> Recipe:
        return Recipe(facts=self.facts, power=power, seed=self.seed, fresh_values=fresh)


def quick_settings() -> NetDataSettings:
    return NetDataSettings(exponents=(8, 9, 10, 11, 12), width=24, epochs=100)


def validation_size(count: int) -> int:
    """Of so many sentences, how many the last ones are that only say when to stop."""
    return max(32, count // 8)


def fitted_net(
    bench: Bench, recipe: Recipe, rows: NDArray[np.uint8], settings: NetDataSettings,
    columns: slice = slice(None),
) -> tuple[TinyNet, dict[str, Any]]:  # fmt: skip
    """A net that has learned from all rows but the last eighth, as long as those columns of these
    got cheaper.

    The same rows give the same net on the same machine and PyTorch.
    """
    import hashlib

    from .nets import Schedule, shape_for, train

    digest = hashlib.sha256(rows.tobytes()).hexdigest()
    task = task_name(
        kind="fitted", rows=digest, width=settings.width, epochs=settings.epochs,
        least=settings.least_steps, rates=(settings.rate, settings.matrix_rate),
        columns=str(columns), seed=settings.seed, ignorance=settings.ignorance,
    )  # fmt: skip
    held = validation_size(len(rows))
    known, last = rows[:-held], rows[-held:]
    batch = min(_BATCH, max(_SMALLEST_BATCH, len(known) // 16))
    steps = max(settings.least_steps, settings.epochs * len(known) // batch)
    every = max(20, steps // 60)
    few = round(settings.ignorance * batch)
    weights = stranger_weights(batch, few)

    def make(net: TinyNet) -> dict[str, Any]:
        rng = np.random.default_rng([settings.seed, 8])
        part: NDArray[np.int64] = np.empty(0, np.int64)
        best, best_flat, best_step = math.inf, net.flat.detach().clone(), 0

        def batches(step: int) -> NDArray[np.uint8]:
            nonlocal part
            while len(part) < batch:
                part = np.concatenate([part, rng.permutation(len(known))])
            mine, part = part[:batch], part[batch:]
            chosen = known[mine]
            if few:
                chosen[-few:] = strangers(recipe, chosen[-few:], rng)
            return chosen

        def watch(step: int, now: TinyNet) -> bool:
            nonlocal best, best_flat, best_step
            if step % every and step != steps:
                return False
            bits = float(now.bits(last)[:, columns].sum(axis=1).mean())
            if bits < best:
                best, best_flat, best_step = bits, now.flat.detach().clone(), step
            return step - best_step > steps // 4 and step > settings.least_steps

        # Rates fall all along: whenever the validation ends the run, it has nearly settled.
        schedule = Schedule(
            steps, rate=settings.rate, matrix_rate=settings.matrix_rate, decay=1.0,
            warm_up=min(50, steps // 10),
        )  # fmt: skip
        train(net, batches, schedule, weights=weights, watch=watch)
        net.flat = best_flat.requires_grad_()
        return {"validation_bits": best, "steps": best_step, "epochs": best_step * batch /
                len(known)}  # fmt: skip

    return bench.net(task, shape_for(settings.width), recipe.alphabet(), make)


def stranger_weights(batch: int, few: int) -> NDArray[np.float32]:
    """Weights of losses [batch, 8] where of the last rows only values count."""
    weights = np.ones((batch, SENTENCE_BYTES), np.float32)
    if few:
        weights[-few:] = 0
        weights[-few:, _VALUE] = 1
    return weights


def strangers(
    recipe: Recipe, rows: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The rows with names and values drawn evenly."""
    sentences = parse_sentences(recipe, rows.tobytes())
    names = rng.integers(recipe.names, size=len(rows))
    values = rng.integers(round(2**recipe.value_bits), size=len(rows))
    return dataclasses.replace(sentences, names=names, values=values).rows()


def _measured(
    bench: Bench, settings: NetDataSettings, power: float, count: int, fresh: bool
) -> list[LabRow]:
    recipe = settings.recipe(power, fresh=fresh)
    source = Source(recipe)
    sentences = source.draw(count)
    net, notes = fitted_net(bench, recipe, sentences.rows(), settings, _VALUE)
    rng = np.random.default_rng([settings.seed, 21])
    about = np.repeat(np.arange(recipe.facts), 2)
    values = net.bits(source.sentences_about(about, rng).rows())[:, _VALUE].sum(axis=1)
    weights = source.chances[about] / 2
    facts = source.facts_of(sentences[: count - validation_size(count)])
    seen = np.isin(about, facts)
    return [LabRow(
        "E2", "", "net", recipe.sha256, net.parameters, count - validation_size(count),
        settings.seed, "value", ideal_bits=float(values @ weights),
        extra={
            "power": power, "fresh": str(fresh),
            "unseen_bits": _mean(values[~seen], weights[~seen]),
            "seen_bits": _mean(values[seen], weights[seen]),
            "steps": notes["steps"], "epochs": notes["epochs"],
        },
    )]  # fmt: skip


def _mean(values: Floats, weights: Floats) -> float:
    """Weighted; 0 of nothing."""
    return float(values @ weights / weights.sum()) if len(values) else 0.0


def fresh_values_control(bits: float) -> Check:
    """Values drawn anew for each sentence cannot be learned: they cost 12 bits, at least nearly
    (a finite validation sees luck) and not much more."""
    return control("values drawn anew: bits of a value", "12 (11.9 to 12.5)", bits,
                   11.9 <= bits <= 12.5)  # fmt: skip


def net_data_scaling(bench: Bench, settings: NetDataSettings | None = None) -> list[Finding]:
    """E2."""
    settings = settings or (quick_settings() if bench.quick else NetDataSettings())
    jobs = [(power, 1 << e, False) for e in settings.exponents for power in settings.powers]
    jobs.append((settings.powers[0], 1 << settings.exponents[-2], True))
    found: dict[tuple[float, bool], list[LabRow]] = {}
    for power, count, fresh in jobs:
        values = dataclasses.asdict(settings) | {"exponents": 0, "powers": 0}
        task = task_name(power=power, count=count, fresh=fresh, **values)
        found.setdefault((power, fresh), []).extend(bench.rows(
            "E2", task,
            lambda a=(power, count, fresh), t=task: [  # type: ignore[misc]
                dataclasses.replace(r, task=t) for r in _measured(bench, settings, *a)
            ],
            f"power {power:g}, {count:,} sentences{', values drawn anew' * fresh}",
        ))  # fmt: skip
    checks, curves = [], []
    for number, power in enumerate(settings.powers):
        rows = found[power, False]
        counts = [r.n for r in rows]
        bits = [float(r.ideal_bits or 0) for r in rows]
        exact = held_out_value_bits(Source(settings.recipe(power)).chances, counts).tolist()
        checks.append(expect(
            f"power {power:g}: slope of the value bits of a further sentence",
            log_slope(counts, exact), log_slope(counts, bits), 0.12,
        ))  # fmt: skip
        curves.append(Curve(f"power {power:g}, nets", counts, bits, colour=number))
        curves.append(Curve(f"power {power:g}, exact", counts, exact, True, number))
    anew = found[settings.powers[0], True][0]
    checks.append(fresh_values_control(float(anew.ideal_bits or 0)))
    unseen = [float(r.extra["unseen_bits"]) for p in settings.powers for r in found[p, False]]
    seen = [float(r.extra["seen_bits"]) for p in settings.powers for r in found[p, False]]
    return [Finding(
        "E2", "Data scaling by nets",
        "Pan, Wang and Li, Figure 5: data scaling is the learning of facts, the frequent ones "
        "first; its exponent is the source's.",
        tuple(checks),
        (Plot("e2-values", "Value bits of a further sentence", ("sentences n", "bits"),
              tuple(curves), note=f"Nets of width {settings.width}, stopped by a seventh as many "
              "sentences more."),),
        f"A net pays {np.mean(unseen):.1f} bits in the mean for a value that it has never seen, "
        f"where 12 would do, and {np.mean(seen):.2f} for one that it has: it lies above the exact "
        "curve by what it does not know of its own ignorance.",
    )]  # fmt: skip
