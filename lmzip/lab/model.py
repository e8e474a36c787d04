"""E3, E4 and E7: which facts a net of each size knows, and how many bits of them a parameter."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .bench import Bench, task_name
from .findings import (
    OPEN,
    Check,
    Curve,
    Finding,
    Plot,
    control,
    expect,
    expect_range,
)
from .netdata import stranger_weights, strangers
from .rows import LabRow
from .source import Recipe, Source

if TYPE_CHECKING:
    from .nets import TinyNet

__all__ = ["ModelSettings", "class_loss", "model_scaling", "quick_settings", "stored_for_half",
           "trained_net", "unseen_names_control"]  # fmt: skip

Floats = NDArray[np.float64]
CLASSES = 4
_VALUE = slice(5, 7)
_BATCH = 256
_POOL = 1 << 18
"""Sentences that are drawn at once while training."""


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """Sizes of E3, E4 and E7."""

    facts: int = 2048
    widths: tuple[int, ...] = (12, 16, 24, 32, 40, 48)
    sentences: int = 1_500_000
    seed: int = 1
    uniform_width: int = 16
    """Of the control without skew."""
    doubled_width: int = 16
    """Of the control with twice the sentences."""
    control_sentences: int = 0
    """Of the control without skew; 0: as many as the others."""
    rate: float = 0.02
    matrix_rate: float = 0.02

    def recipe(self, *, uniform: bool = False) -> Recipe:
        if uniform:
            return Recipe(facts=self.facts, law="uniform", seed=self.seed)
        return Recipe(facts=self.facts, power=1.0, seed=self.seed)


def quick_settings() -> ModelSettings:
    """Minutes instead of half an hour."""
    return ModelSettings(
        facts=1024, widths=(8, 12, 16, 24, 32), sentences=300_000, control_sentences=150_000,
        uniform_width=12, doubled_width=12,
    )  # fmt: skip


def class_loss(chances: Floats, stored_bits: float, bits: float = 12.0) -> Floats:
    """Theory: bits a value of each class by rank where the commonest facts are stored, and they
    take `stored_bits` in all."""
    count = len(chances)
    known = np.clip(stored_bits / bits - np.arange(count), 0, 1)
    lost = (chances * (1 - known)).reshape(CLASSES, -1).sum(axis=1)
    return np.asarray(bits * lost / chances.reshape(CLASSES, -1).sum(axis=1))


def stored_for_half(chances: Floats, klass: int, bits: float = 12.0) -> float:
    """Theory: stored bits at which a class (0 to 3) has half its loss."""
    size = len(chances) // CLASSES
    mine = np.cumsum(chances[klass * size : (klass + 1) * size])
    inside = float(np.interp(mine[-1] / 2, np.append(0, mine), np.arange(size + 1)))
    return bits * (klass * size + inside)


def trained_net(
    bench: Bench, recipe: Recipe, width: int, sentences: int, settings: ModelSettings,
    *, ignorance: float = 0.0,
) -> tuple[TinyNet, dict[str, Any]]:  # fmt: skip
    """A net that has seen so many sentences, each once; of each batch the part `ignorance` had
    names and values drawn at random, of which only values counted (see `netdata`)."""
    from .nets import Schedule, shape_for, train

    task = task_name(
        kind="single pass", source=recipe.sha256, width=width, sentences=sentences, batch=_BATCH,
        rates=(settings.rate, settings.matrix_rate),
        **({"ignorance": ignorance} if ignorance else {}),
    )  # fmt: skip
    source = Source(recipe)
    few = round(ignorance * _BATCH)
    rng = np.random.default_rng([settings.seed, 31])
    pool: dict[int, NDArray[np.uint8]] = {}

    def batches(step: int) -> NDArray[np.uint8]:
        number, at = divmod(step * _BATCH, _POOL)
        if number not in pool:
            pool.clear()
            pool[number] = source.draw(_POOL, 1000 + number).rows()
        rows = pool[number][at : at + _BATCH]
        if few:
            rows = rows.copy()
            rows[-few:] = strangers(recipe, rows[-few:], rng)
        return rows

    def make(net: TinyNet) -> dict[str, Any]:
        done = train(
            net, batches,
            Schedule(sentences // _BATCH, rate=settings.rate, matrix_rate=settings.matrix_rate),
            weights=stranger_weights(_BATCH, few) if few else None,
        )  # fmt: skip
        ends = np.unique(np.linspace(0, len(done.losses), 33).astype(int))
        curve = [float(done.losses[a:b].mean()) for a, b in itertools.pairwise(ends)]
        return {"curve": curve}

    return bench.net(task, shape_for(width), _alphabet(recipe), make)


def _alphabet(recipe: Recipe) -> bytes:
    """With room for templates that come later."""
    return bytes(sorted(set(recipe.alphabet()) | set(range(0x20, 0x28))))


def _scored(
    bench: Bench, recipe: Recipe, width: int, sentences: int, settings: ModelSettings, klass: str
) -> list[LabRow]:
    """Rows of a net: bits and right values by class, of unseen names, and an archive."""
    from .exact import archive_rows, exact_bits, export_net, open_model

    net, notes = trained_net(bench, recipe, width, sentences, settings)
    source = Source(recipe)
    rng = np.random.default_rng([settings.seed, 77])
    facts = source.sentences_about(np.arange(recipe.facts), rng)
    rows = facts.rows()
    path = bench.folder / f"{klass}-{width}-{sentences}.lmzpack"
    model = open_model(export_net(net, f"{klass}-{width}", path), bench.threads)
    floats = net.bits(rows)[:, _VALUE].sum(axis=1)
    exact = exact_bits(model, rows)[:, _VALUE].sum(axis=1)
    right = _right_values(net, rows)
    strangers = _unseen(source, rng)
    unseen = exact_bits(model, strangers)[:, _VALUE].sum(axis=1)
    held_out = source.draw(4096, 9).rows()
    coded = archive_rows(model, held_out)
    float_bits = float(net.bits(held_out).sum())

    def row(**fields: Any) -> LabRow:
        return LabRow("E3", "", "net", recipe.sha256, net.parameters, sentences, settings.seed,
                      **fields)  # fmt: skip

    chances = source.chances.reshape(CLASSES, -1)
    found = []
    for i in range(CLASSES):
        weights = chances[i] / chances[i].sum()
        mine = slice(i * len(weights), (i + 1) * len(weights))
        found.append(row(
            role="value", klass=str(i + 1), ideal_bits=float(exact[mine] @ weights),
            correct=float(right[mine] @ weights),
            extra={"float_bits": float(floats[mine] @ weights), "width": width,
                   "error": float(exact[mine].std() / math.sqrt(len(weights)))},
        ))  # fmt: skip
    # Known: the ranks at which half of the values near them are right.
    smooth = np.convolve(right, np.ones(33) / 33, "same")
    found.append(row(
        role="value", ideal_bits=float(exact.sum()), correct=float(right.mean()),
        extra={"float_bits": float(floats.sum()), "width": width,
               "facts_right": float(right.sum()), "half_rank": _half_rank(smooth)},
    ))  # fmt: skip
    found.append(row(
        role="value", klass="unseen", ideal_bits=float(unseen.mean()),
        extra={"width": width, "error": float(unseen.std() / math.sqrt(len(unseen)))},
    ))  # fmt: skip
    found.append(row(
        ideal_bits=coded.ideal_bits, payload_bits=coded.payload_bits, file_bits=coded.file_bits,
        decoded=coded.decoded,
        extra={"width": width, "cpu_s": float(notes["cpu_s"]), "float_bits": float_bits},
    ))  # fmt: skip
    return found


def _right_values(net: TinyNet, rows: NDArray[np.uint8]) -> Floats:
    """1 where both bytes of a value are the likeliest ones."""
    import torch

    with torch.no_grad():
        ids = net.ids(rows)
        best = net.logits(net.flat, ids).argmax(-1) + 1
        right = (best[:, _VALUE] == ids[:, _VALUE]).all(1)
    return np.asarray(right.double().numpy())


def _half_rank(smooth: Floats) -> float:
    """The rank at which the part of right values falls below a half for good."""
    above = np.flatnonzero(smooth >= 0.5)
    return float(above[-1] + 1) if len(above) else 0.0


def _unseen(source: Source, rng: np.random.Generator, count: int = 1024) -> NDArray[np.uint8]:
    """Sentences about names that the source never has, with values at random."""
    recipe = source.recipe
    free = np.flatnonzero(source.fact_of_name < 0)
    sentences = source.sentences_about(np.zeros(count, np.int64), rng)
    values = rng.integers(round(2**recipe.value_bits), size=count)
    names = rng.choice(free, count)
    return dataclasses.replace(sentences, names=names, values=values).rows()


def unseen_names_control(found: Sequence[tuple[float, float]]) -> Check:
    """Values of names never seen cost their 12 bits at least: (mean, standard error) of each net.

    Cheaper ones would mean that names give values away.
    """
    least = min(mean + 3 * error for mean, error in found)
    worst = min(mean for mean, _ in found)
    return control("bits of the value of a name never seen, least", "12 at least", worst,
                   least >= 12)  # fmt: skip


def model_scaling(bench: Bench, settings: ModelSettings | None = None) -> list[Finding]:
    """E3, E4 and E7."""
    settings = settings or (quick_settings() if bench.quick else ModelSettings())
    recipe, uniform = settings.recipe(), settings.recipe(uniform=True)
    jobs = [("skewed", recipe, w, settings.sentences) for w in settings.widths]
    few = settings.control_sentences or settings.sentences
    jobs.append(("uniform", uniform, settings.uniform_width, few))
    jobs.append(("skewed", recipe, settings.doubled_width, 2 * settings.sentences))
    done: list[list[LabRow]] = []
    for klass, mine, width, sentences in jobs:
        task = task_name(klass=klass, width=width, sentences=sentences, **{
            k: v for k, v in dataclasses.asdict(settings).items()
            if k in ("facts", "seed", "rate", "matrix_rate")
        })  # fmt: skip
        done.append(bench.rows(
            "E3", task,
            lambda m=mine, w=width, n=sentences, k=klass, t=task: [  # type: ignore[misc]
                dataclasses.replace(row, task=t)
                for row in _scored(bench, m, w, n, settings, k)
            ],
            f"{klass} facts, width {width}, {sentences:,} sentences",
        ))  # fmt: skip
    ladder = done[: len(settings.widths)]
    return _findings(settings, ladder, done[-2], done[-1])


def _class_bits(rows: Sequence[LabRow]) -> Floats:
    return np.array([r.ideal_bits for r in rows if r.klass in "1234"], np.float64)


def _whole(rows: Sequence[LabRow]) -> LabRow:
    return next(r for r in rows if r.klass == "all" and r.role == "value")


def _knee(sizes: Floats, losses: Floats, half: float) -> float:
    """The number of parameters at which a falling loss passes `half`; NaN where it does not."""
    for i in range(len(sizes) - 1):
        if losses[i] >= half > losses[i + 1]:
            part = (losses[i] - half) / (losses[i] - losses[i + 1])
            return float(np.exp(np.log(sizes[i]) + part * np.log(sizes[i + 1] / sizes[i])))
    return math.nan


def _findings(
    settings: ModelSettings, ladder: list[list[LabRow]], uniform: list[LabRow],
    doubled: list[LabRow],
) -> list[Finding]:  # fmt: skip
    recipe = settings.recipe()
    chances, bits = Source(recipe).chances, recipe.value_bits
    sizes = np.array([rows[0].parameters for rows in ladder], np.float64)
    losses = np.array([_class_bits(rows) for rows in ladder])
    whole = [_whole(rows) for rows in ladder]
    known = np.array([recipe.facts * bits - (r.ideal_bits or 0) for r in whole])
    capacity = known / sizes
    total = recipe.facts * bits

    order = int((np.diff(losses, axis=1) < -0.3).sum())
    e3 = [expect("sizes and classes out of order (a rarer class cheaper by 0.3 bits)", 0, order, 0)]
    knees = [_knee(sizes, losses[:, i], bits / 2) for i in range(CLASSES)]
    theory = [stored_for_half(chances, i, bits) for i in range(CLASSES)]
    for i in (2, 3):
        what = f"knee of class {i + 1} over that of class 2 (parameters at half the loss)"
        if math.isfinite(knees[i]) and math.isfinite(knees[1]):
            e3.append(expect(what, theory[i] / theory[1], knees[i] / knees[1], 0.3, relative=True))
        else:
            e3.append(Check(what, f"{theory[i] / theory[1]:.3f}", "± 30 %", "no knee", OPEN))
    drift = max(abs((r.ideal_bits or 0) / float(r.extra["float_bits"]) - 1) for r in whole)
    texts = [next(r for r in rows if r.role == "all") for rows in ladder]
    e3.append(expect(
        "exact against float bits of a text, largest distance", 0,
        max(abs((r.ideal_bits or 0) / float(r.extra["float_bits"]) - 1) for r in texts), 0.02,
    ))  # fmt: skip
    e3.append(expect("the same of all facts' values alone", 0, drift, 0.02))
    e3.append(_uniform_control(uniform))
    strangers = [
        (float(r.ideal_bits or 0), float(r.extra["error"]))
        for rows in (*ladder, uniform, doubled) for r in rows if r.klass == "unseen"
    ]  # fmt: skip
    e3.append(unseen_names_control(strangers))
    decoded = all(r.decoded for rows in ladder for r in rows if r.decoded is not None)
    e3.append(control("archives that decode to the text", "all", "all" if decoded else "not all",
                      decoded))  # fmt: skip

    e4 = []
    predicted = np.minimum(known / bits, recipe.facts)
    half = np.array([float(r.extra["half_rank"]) for r in whole])
    ratios = [h / k for h, k in zip(half, predicted, strict=True) if 32 < k < 0.9 * recipe.facts]
    for what, value in (("smallest", min(ratios, default=math.nan)),
                        ("largest", max(ratios, default=math.nan))):  # fmt: skip
        e4.append(expect(f"rank where half of the values are right, over k*: {what} of all sizes",
                         1, value, 0.3))  # fmt: skip
    first = ladder[settings.widths.index(settings.doubled_width)]
    before, after = (_threshold(rows, chances) for rows in (first, doubled))
    moved = abs(after / before - 1) if before else math.nan
    e4.append(Check(
        "threshold f* moves by doubling the sentences", "less than 25 %", "else limited by data",
        f"{100 * moved:.0f} %", "met" if moved < 0.25 else "limited by data",
    ))  # fmt: skip

    full = known < 0.8 * total
    e7 = [
        expect_range("bits a parameter, least of all sizes below 80 % of the facts", 0.5, 2.5,
                     float(capacity[full].min()) if full.any() else math.nan),
        expect_range("bits a parameter, most of them", 0.5, 2.5,
                     float(capacity[full].max()) if full.any() else math.nan),
    ]  # fmt: skip
    if full.sum() > 1:
        middle = float(np.median(capacity[full]))
        spread = float(np.abs(capacity[full] / middle - 1).max())
        e7.append(expect("largest distance from their median", 0, spread, 0.3))
    grid = np.geomspace(sizes[0] / 1.5, sizes[-1] * 1.5, 60)
    middle = float(np.median(capacity[full])) if full.any() else float(capacity.max())
    curves = []
    for i in range(CLASSES):
        curves.append(Curve(f"class {i + 1}", sizes.tolist(), losses[:, i].tolist(), colour=i))
        expected = [class_loss(chances, middle * n, bits)[i] for n in grid]
        curves.append(Curve(f"class {i + 1}, theory", grid.tolist(), expected, True, i))
    right = np.array([[r.correct for r in rows if r.klass in "1234"] for rows in ladder])
    accuracy = [
        Curve(f"{int(n):,} parameters", [1, 2, 3, 4], right[j].tolist(), colour=j)
        for j, n in enumerate(sizes)
    ]
    exposures = f"{settings.sentences / recipe.facts:,.0f} exposures a fact in the mean"
    return [
        Finding(
            "E3", "Model scaling by frequency class",
            "Pan, Wang and Li, Figure 1: frequent classes of knowledge fall first with the model's "
            "size, each to its plateau.",
            tuple(e3),
            (Plot("e3-classes", "Bits of a value by frequency class", ("parameters", "bits"),
                  tuple(curves), log_y=False,
                  note=f"Dashed: the commonest facts stored, {middle:.2f} bits a parameter."),),
            "A net keeps the facts that it meets most often and pays more than 12 bits for the "
            "others, of which it is wrongly sure. A larger net keeps more of them, and its classes "
            "fall in the order of their frequency.",
        ),
        Finding(
            "E4", "The threshold below which facts are hallucinated",
            "Pan, Wang and Li, Figure 2: below a frequency that the size decides, answers are "
            "wrong.",
            tuple(e4),
            (Plot("e4-accuracy", "Right values by frequency class", ("class", "part right"),
                  tuple(accuracy), log_x=False, log_y=False),),
            f"Half of the values near rank {min(ratios, default=0):.2f} to "
            f"{max(ratios, default=0):.2f} of k* are right. The threshold is soft: k* counts all "
            "bits that are known, and some of them are parts of values of rarer facts.",
        ),
        Finding(
            "E7", "Knowledge bits a parameter",
            "Allen-Zhu and Li, Physics of Language Models 3.3: about 2 bits a parameter at 1,000 "
            "exposures; knowledge counted as here, sum of 12 - loss over facts, never clipped.",
            tuple(e7),
            (Plot("e7-capacity", "Bits of knowledge", ("parameters", "bits"), (
                Curve("nets", sizes.tolist(), known.tolist()),
                Curve("all facts", sizes.tolist(), [total] * len(sizes), True, 1),
            )),),
            f"At {exposures}, rare facts far fewer, a parameter holds about {middle:.2f} bits.",
        ),
    ]  # fmt: skip


def _threshold(rows: Sequence[LabRow], chances: Floats) -> float:
    """f*: the probability of the rank where half of the values are right."""
    rank = int(float(_whole(rows).extra["half_rank"]))
    return float(chances[min(max(rank, 1), len(chances)) - 1])


def _uniform_control(rows: Sequence[LabRow]) -> Check:
    """Where all facts are equally frequent, rank says nothing."""
    mine = [r for r in rows if r.klass in "1234"]
    means = np.array([r.ideal_bits for r in mine], np.float64)
    errors = np.array([float(r.extra["error"]) for r in mine])
    middle = means.mean()
    worst = float((np.abs(means - middle) / errors).max())
    return control("uniform facts: distance of a class from the mean, in standard errors",
                   "at most 4", worst, worst <= 4)  # fmt: skip
