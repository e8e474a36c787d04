"""E9: new facts for a net that is full, and for one that is not."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .bench import Bench, task_name
from .findings import Check, Curve, Finding, Plot, control, expect_range
from .model import CLASSES, ModelSettings, trained_net
from .model import quick_settings as quick_model
from .rows import LabRow
from .source import ROLES, Recipe, Source

if TYPE_CHECKING:
    from .nets import TinyNet

__all__ = ["FineTuneSettings", "fine_tuning", "forgetting_controls"]

Floats = NDArray[np.float64]
_BATCH = 256
_VALUE = slice(5, 7)
_SYNTAX = [i for i, role in enumerate(ROLES) if role == "syntax"]
KINDS = (
    "new templates", "old templates", "new templates, replay", "old facts in new templates",
    "old facts in old templates",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class FineTuneSettings:
    """Sizes of E9."""

    model: ModelSettings = dataclasses.field(default_factory=ModelSettings)
    small: int = 16
    """Width of the net at capacity; the other has about four times its parameters."""
    large: int = 32
    new_facts: int = 256
    steps: int = 600
    rate: float = 0.001
    replay: float = 0.1
    ignorance: float = 0.0
    """The part of what the net was trained on that taught it that it does not know other names."""
    seed: int = 1


def quick_settings() -> FineTuneSettings:
    return FineTuneSettings(model=quick_model(), new_facts=128, steps=300)


def _tuned(bench: Bench, settings: FineTuneSettings, width: int, kind: str) -> list[LabRow]:
    """Rows of one run: bits at some steps of new syntax and values and of old values by class."""
    from .nets import Schedule, train

    recipe = settings.model.recipe()
    trained, _ = trained_net(
        bench, recipe, width, settings.model.sentences, settings.model, ignorance=settings.ignorance
    )
    source = Source(recipe)
    new = _new_source(source, settings, kind)
    rng = np.random.default_rng([settings.seed, 9])
    mixed = round(settings.replay * _BATCH) if kind.endswith("replay") else 0
    old = source.draw(1 << 15, 5000).rows() if mixed else np.empty((0, 8), np.uint8)
    old_text = source.sentences_about(np.arange(recipe.facts), rng).rows()

    def new_facts(count: int) -> NDArray[np.int64]:
        """By the law of their source: the old one's, where they are its facts."""
        ends = np.cumsum(new.chances)
        return np.asarray(np.searchsorted(ends, rng.random(count) * ends[-1], side="right"))

    new_text = new.sentences_about(new_facts(1024), rng).rows()
    at = sorted({0, *np.unique(np.geomspace(1, settings.steps, 24).astype(int)).tolist()})
    found: list[LabRow] = []

    def batches(step: int) -> NDArray[np.uint8]:
        facts = new_facts(_BATCH - mixed)
        rows = new.sentences_about(facts, rng).rows()
        if mixed:
            rows = np.concatenate([rows, old[rng.integers(len(old), size=mixed)]])
        return rows

    def watch(step: int, net: TinyNet) -> bool:
        if step in at:
            fresh = net.bits(new_text)
            values = net.bits(old_text)[:, _VALUE].sum(axis=1)
            extra: dict[str, float | str] = {
                "step": step, "kind": kind, "width": width,
                "new_syntax": float(fresh[:, _SYNTAX].sum(axis=1).mean()),
                "new_values": float(fresh[:, _VALUE].sum(axis=1).mean()),
            }  # fmt: skip
            for i, part in enumerate(np.split(values, CLASSES)):
                extra[f"old_{i + 1}"] = float(part.mean())
            found.append(LabRow(
                "E9", "", "net", recipe.sha256, net.parameters, step * _BATCH, settings.seed,
                "value", ideal_bits=float(values.mean()), extra=extra,
            ))  # fmt: skip
        return False

    schedule = Schedule(
        settings.steps, rate=settings.rate, matrix_rate=settings.rate, warm_up=10, decay=0.3
    )  # fmt: skip
    net = trained.copy()
    _introduce(net, recipe)
    train(net, batches, schedule, watch=watch)
    return found


def _introduce(net: TinyNet, recipe: Recipe) -> None:
    """Templates never met begin as the mean of those that were, as tokens added to a vocabulary do.

    Training has only pushed their rows away as outputs: as inputs they would mean noise.
    """
    import torch

    known = [net.alphabet.index(0x20 + i) + 1 for i in range(recipe.templates)]
    new = [i + 1 for i, byte in enumerate(net.alphabet) if 0x20 + recipe.templates <= byte < 0x28]
    with torch.no_grad():
        rows = net.named(net.flat)["embed"]
        rows[new] = rows[known].mean(0)


def _new_source(source: Source, settings: FineTuneSettings, kind: str) -> Source:
    """Facts about names not used yet, or the old ones; in new templates, or the old ones."""
    recipe = source.recipe
    old_templates, old_facts = kind.endswith("old templates"), kind.startswith("old facts")
    count = recipe.facts if old_facts else settings.new_facts
    changed = Recipe(
        facts=count, law="uniform", seed=recipe.seed,
        first_template=0 if old_templates else recipe.templates,
    )  # fmt: skip
    new = Source(changed)
    if old_templates:
        new.template_chances, new.word_chances = source.template_chances, source.word_chances
    if old_facts:
        new.names, new.values = source.names, source.values
        new.__dict__["chances"] = source.chances
    else:
        rng = np.random.default_rng([settings.seed, 91])
        free = np.flatnonzero(source.fact_of_name < 0)
        new.names = rng.choice(free, count, replace=False).astype(np.int64)
        new.values = rng.integers(4096, size=count).astype(np.int64)
    return new


def _half_life(rows: list[LabRow], what: str, top: float) -> float:
    """Steps until half of a quantity's way from `top` (or from its beginning, where that is lower)
    to its least has been gone."""
    steps = [float(r.extra["step"]) for r in rows]
    bits = [float(r.extra[what]) for r in rows]
    half = (min(bits[0], top) + min(bits)) / 2
    for i in range(1, len(bits)):
        if bits[i] <= half:
            part = (bits[i - 1] - half) / max(bits[i - 1] - bits[i], 1e-9)
            return steps[i - 1] + part * (steps[i] - steps[i - 1])
    return float("inf")


def _forgotten(rows: list[LabRow]) -> float:
    """Bits of old values lost by the end, of all facts in the mean."""
    return float(rows[-1].ideal_bits or 0) - float(rows[0].ideal_bits or 0)


def _rise(rows: list[LabRow]) -> float:
    """By what part of themselves the bits of old values have risen by the end."""
    return float(rows[-1].ideal_bits or 0) / float(rows[0].ideal_bits or 0) - 1


def forgetting_controls(before: float, after: float, starts: list[float]) -> list[Check]:
    """Going on with the old text leaves the bits of its values alone; every run began alike."""
    rise = after / before - 1
    apart = max(starts) - min(starts)
    return [
        control("old facts in old templates: rise of the bits of old values", "less than 5 %",
                f"{100 * rise:.1f} %", rise < 0.05),
        control("bits of old values where runs of one net begin, largest difference", "0", apart,
                apart == 0),
    ]  # fmt: skip


def fine_tuning(bench: Bench, settings: FineTuneSettings | None = None) -> list[Finding]:
    """E9."""
    settings = settings or (quick_settings() if bench.quick else FineTuneSettings())
    runs: dict[tuple[int, str], list[LabRow]] = {}
    for width in (settings.small, settings.large):
        for kind in KINDS:
            task = task_name(width=width, kind=kind, settings=repr(settings))
            runs[width, kind] = bench.rows(
                "E9", task,
                lambda a=(width, kind), t=task: [  # type: ignore[misc]
                    dataclasses.replace(r, task=t) for r in _tuned(bench, settings, *a)
                ],
                f"width {width}, {kind}",
            )  # fmt: skip
    small = {kind: runs[settings.small, kind] for kind in KINDS}
    large = {kind: runs[settings.large, kind] for kind in KINDS}
    learned = small["new templates"]
    # To be less wrongly sure of a value, 12 bits from more, is not to know it.
    syntax = _half_life(learned, "new_syntax", float("inf"))
    values = _half_life(learned, "new_values", 12.0)
    checks = [
        expect_range("half-life of new syntax over that of new values", 0, 0.2, syntax / values),
        expect_range(
            "at capacity: bits forgotten with new templates over those with old ones", 1,
            float("inf"), _forgotten(small["new templates"]) / _forgotten(small["old templates"]),
        ),
        _rare_first(small["new templates"]),
        expect_range("bits forgotten with 10 % replay over those without", 0, 1,
                     _forgotten(small[KINDS[2]]) / _forgotten(small["new templates"])),
        expect_range("bits forgotten by the large net over those by the small one", 0, 0.5,
                     _forgotten(large["new templates"]) / _forgotten(small["new templates"])),
        *(
            expect_range(f"old facts in new templates: rise of old values' bits, {name} net",
                         -1, 0.05, _rise(nets["old facts in new templates"]))
            for name, nets in (("small", small), ("large", large))
        ),
        *forgetting_controls(
            float(small[KINDS[4]][0].ideal_bits or 0), float(small[KINDS[4]][-1].ideal_bits or 0),
            [float(small[kind][0].ideal_bits or 0) for kind in KINDS],
        ),
    ]  # fmt: skip
    curves: list[Curve] = []
    for number, kind in enumerate(KINDS[:3]):
        for rows, label, dashed in ((small[kind], "small", False), (large[kind], "large", True)):
            curves.append(Curve(
                f"{kind}, {label}", [max(0.7, float(r.extra["step"])) for r in rows],
                [float(r.ideal_bits or 0) for r in rows], dashed, number,
            ))  # fmt: skip
    steps = [max(0.7, float(r.extra["step"])) for r in learned]
    learning = [
        Curve(f"new {what}", steps, [float(r.extra[f"new_{what}"]) for r in learned], colour=i)
        for i, what in enumerate(("syntax", "values"))
    ]  # fmt: skip
    learning += [
        Curve(f"old values, class {i + 1}", steps,
              [float(r.extra[f"old_{i + 1}"]) for r in learned], colour=i + 2)
        for i in range(CLASSES)
    ]  # fmt: skip
    return [Finding(
        "E9", "Fine-tuning",
        "Pan, Wang and Li: form is learned fast and facts slowly; near capacity, new facts push "
        "out old ones.",
        tuple(checks),
        (
            Plot("e9-learning", "The net at capacity learns new facts in new templates",
                 ("steps", "bits"), tuple(learning), log_y=False),
            Plot("e9-forgetting", "Bits of all old values", ("steps", "bits"), tuple(curves),
                 log_y=False, note="Dashed: the large net."),
        ),
        f"New syntax is half learned after {syntax:.0f} steps, new values after {values:.0f}. "
        f"The small net loses {_forgotten(small['new templates']):.1f} bits a fact, the large one "
        f"{_forgotten(large['new templates']):.1f}.",
    )]  # fmt: skip


def _rare_first(rows: list[LabRow]) -> Check:
    """Of the classes that the net knew at least half of, the rarer one has lost more halfway."""
    before, middle = rows[0], rows[len(rows) // 2]
    known: list[Any] = [
        i for i in range(1, CLASSES + 1) if float(before.extra[f"old_{i}"]) < 6
    ]  # fmt: skip
    lost = [
        (float(middle.extra[f"old_{i}"]) - float(before.extra[f"old_{i}"]))
        / (12 - float(before.extra[f"old_{i}"])) for i in known
    ]  # fmt: skip
    if len(known) < 2:
        return Check("rare classes are forgotten first", "yes", "none",
                     "fewer than two classes were known", "not reached")  # fmt: skip
    return Check("rare classes are forgotten first (part lost halfway, by class)", "rising", "none",
                 ", ".join(f"{v:.2f}" for v in lost),
                 "met" if lost == sorted(lost) else "refuted")  # fmt: skip
