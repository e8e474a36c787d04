"""E5: the Kolmogorov structure function of a corpus, as two-part codes of a declared family."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bench import Bench, task_name
from .capacity import ENTROPY
from .findings import Check, Curve, Finding, Plot, control, expect, expect_range
from .oracle import by_role, first_sightings, source_bits
from .rows import LabRow
from .source import ROLES, Recipe, Sentences, Source

__all__ = ["StructureSettings", "envelope", "structure_function", "table_totals"]

Floats = NDArray[np.float64]
_BATCH = 256
DOCUMENTED = {0: 653_848, 1024: 289_528, 2048: 286_600, 4096: 309_784}
"""Bits of frozen tables of the k commonest facts (names at the source's cost, no syntax), derived
beforehand from one corpus of M = 4,096, power 1.5, n = 2^15."""
DOCUMENTED_PREQUENTIAL = 286_588


@dataclasses.dataclass(frozen=True)
class StructureSettings:
    """Sizes of E5."""

    facts: int = 4096
    sentences: int = 1 << 15
    widths: tuple[int, ...] = (8, 12, 16, 24, 32, 48)
    steps: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    """J of coarser weights."""
    prunes: tuple[float, ...] = (0.0, 0.5)
    epochs: int = 40
    fresh_widths: tuple[int, ...] = (8, 16, 32)
    """Of the control without facts."""
    fresh_epochs: int = 6
    noise_widths: tuple[int, ...] = (8, 16)
    seed: int = 1

    def recipe(self, *, fresh: bool = False) -> Recipe:
        return Recipe(facts=self.facts, power=1.5, seed=self.seed, fresh_values=fresh)


def quick_settings() -> StructureSettings:
    return StructureSettings(
        facts=1024, sentences=1 << 13, widths=(8, 12, 16, 24), epochs=50, fresh_widths=(8, 16),
        prunes=(0.0,),
    )  # fmt: skip


def table_totals(source: Source, sentences: Sentences, sizes: Sequence[int]) -> Floats:
    """Bits of names (at the source's cost) and values with a frozen table of the k commonest facts
    of the text, for each k: 12 a fact in it, 12 a sentence about another."""
    bits = source.recipe.value_bits
    names = by_role(source_bits(source, sentences))["name"]
    counts = np.sort(np.bincount(source.facts_of(sentences), minlength=source.recipe.facts))[::-1]
    covered = np.concatenate([[0], np.cumsum(counts)])
    return np.array([names + bits * (k + len(sentences) - covered[k]) for k in sizes])


def envelope(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The running minimum of h over alpha: (alpha, h) where it falls, alpha ascending."""
    found: list[tuple[float, float]] = []
    for alpha, h in sorted(points):
        if not found or h < found[-1][1]:
            found.append((alpha, h))
    return found


def _rows_of(settings: StructureSettings, kind: str) -> tuple[NDArray[np.uint8], bytes]:
    """The corpus that nets of a kind are trained on and code, and its alphabet."""
    if kind == "noise":
        from .capacity import ALPHABET, noise

        return noise(settings.sentences // 16, settings.seed), ALPHABET
    recipe = settings.recipe(fresh=kind == "fresh")
    return Source(recipe).draw(settings.sentences).rows(), recipe.alphabet()


def _points(
    bench: Bench, settings: StructureSettings, kind: str, width: int, epochs: int
) -> list[LabRow]:
    """Two-part codes by one net: each step and part pruned."""
    from ..models.squeeze import coarsen, decoder_bytes
    from .exact import archive_rows, exact_bits, export_net, open_model
    from .nets import Schedule, TinyNet, shape_for, train

    rows, alphabet = _rows_of(settings, kind)
    task = task_name(kind=f"E5 {kind}", width=width, epochs=epochs, facts=settings.facts,
                     n=settings.sentences, seed=settings.seed)  # fmt: skip

    def make(net: TinyNet) -> dict[str, Any]:
        rng = np.random.default_rng([settings.seed, 5])
        part: NDArray[np.int64] = np.empty(0, np.int64)

        def batches(step: int) -> NDArray[np.uint8]:
            nonlocal part
            while len(part) < _BATCH:
                part = np.concatenate([part, rng.permutation(len(rows))])
            mine, part = part[:_BATCH], part[_BATCH:]
            return rows[mine]

        train(net, batches, Schedule(epochs * len(rows) // _BATCH, rate=0.02, matrix_rate=0.02))
        return {}

    net, _ = bench.net(task, shape_for(width, length=rows.shape[1]), alphabet, make)
    path = bench.folder / f"structure-{kind}-{width}-{settings.sentences}.lmzpack"
    pack = export_net(net, f"structure-{kind}-{width}", path)
    found = []
    for step in settings.steps:
        for prune in settings.prunes:
            coarse = coarsen(pack, step=step, prune=prune)
            model = open_model(coarse, bench.threads)
            bits = exact_bits(model, rows)
            extra: dict[str, float | str] = {
                "weight_bits": float(8 * decoder_bytes(coarse)), "step": step, "prune": prune,
                "kind": kind, "width": width,
            }  # fmt: skip
            if kind != "noise":
                for role in dict.fromkeys(ROLES):
                    columns = [i for i, r in enumerate(ROLES) if r == role]
                    extra[f"{role}_bits"] = float(bits[:, columns].sum())
            row = LabRow("E5", "", "net", parameters=net.parameters, n=len(rows),
                         seed=settings.seed, ideal_bits=float(bits.sum()), extra=extra)  # fmt: skip
            if step in (0, 3) and not prune:
                coded = archive_rows(model, rows)
                row = dataclasses.replace(
                    row, payload_bits=coded.payload_bits, file_bits=coded.file_bits,
                    decoded=coded.decoded,
                )  # fmt: skip
            found.append(row)
    return found


def _total(row: LabRow) -> float:
    return float(row.extra["weight_bits"]) + _data_bits(row)


def _data_bits(row: LabRow) -> float:
    """Of the archive's payload where one was made; else ideal bits and a word of 32."""
    return float(row.payload_bits or (row.ideal_bits or 0) + 32)


def structure_function(bench: Bench, settings: StructureSettings | None = None) -> list[Finding]:
    """E5."""
    settings = settings or (quick_settings() if bench.quick else StructureSettings())
    jobs = [("facts", w, settings.epochs) for w in settings.widths]
    jobs += [("fresh", w, settings.fresh_epochs) for w in settings.fresh_widths]
    jobs += [("noise", w, settings.epochs) for w in settings.noise_widths]
    found: dict[str, list[LabRow]] = {"facts": [], "fresh": [], "noise": []}
    for kind, width, epochs in jobs:
        values = {k: v for k, v in dataclasses.asdict(settings).items()
                  if k in ("facts", "sentences", "steps", "prunes", "seed")}  # fmt: skip
        task = task_name(kind=kind, width=width, epochs=epochs, **values)
        found[kind] += bench.rows(
            "E5", task,
            lambda a=(kind, width, epochs), t=task: [  # type: ignore[misc]
                dataclasses.replace(r, task=t) for r in _points(bench, settings, *a)
            ],
            f"{kind}, width {width}",
        )  # fmt: skip
    source = Source(settings.recipe())
    sentences = source.draw(settings.sentences)
    sizes = [0, *(settings.facts * i // 16 for i in range(1, 17))]
    totals = table_totals(source, sentences, sizes)
    bits = source.recipe.value_bits
    names = by_role(source_bits(source, sentences))["name"]
    prequential = names + bits * int(first_sightings(sentences.names).sum())

    checks: list[Check] = []
    if settings == StructureSettings():
        for k, expected in DOCUMENTED.items():
            checks.append(expect(
                f"table of the {k:,} commonest facts: bits", expected,
                float(table_totals(source, sentences, [k])[0]), 0.02, relative=True,
            ))  # fmt: skip
        checks.append(expect("prequential table: bits", DOCUMENTED_PREQUENTIAL, prequential, 0.02,
                             relative=True))  # fmt: skip
    best = int(np.argmin(totals))
    checks.append(control("table totals are U-shaped: the best size is inside", "yes",
                          f"{sizes[best]:,} of {sizes[-1]:,}",
                          0 < best < len(sizes) - 1))  # fmt: skip
    mine = found["facts"]
    net_totals = [_total(r) - float(r.extra["syntax_bits"]) for r in mine]
    checks.append(expect_range(
        "best net's total without syntax over the best table's", 1, math.inf,
        min(net_totals) / float(totals.min()),
    ))  # fmt: skip
    by_width = [min(_total(r) for r in mine if r.extra["width"] == w) for w in settings.widths]
    inside = 0 < int(np.argmin(by_width)) < len(by_width) - 1
    checks.append(Check("nets' totals are U-shaped over sizes", "yes", "none",
                        "yes" if inside else f"least at width "
                        f"{settings.widths[int(np.argmin(by_width))]}",
                        "met" if inside else "refuted"))  # fmt: skip
    checks += _controls(settings, found)
    points = [(float(r.extra["weight_bits"]), _data_bits(r)) for r in mine]
    lowest = envelope(points)
    shortest = min(a + h for a, h in points)
    span = np.geomspace(min(a for a, _ in points), shortest * 0.98, 60)
    table = [(bits * k, float(t) - bits * k) for k, t in zip(sizes, totals, strict=True) if k]
    syntax = by_role(source_bits(source, sentences))["syntax"]
    curves = [
        Curve("nets, all points", [a for a, _ in sorted(points)],
              [h for _, h in sorted(points)], colour=6),
        Curve("nets, envelope", [a for a, _ in lowest], [h for _, h in lowest], colour=0),
        Curve("tables and the source's syntax", [a for a, _ in table],
              [h + syntax for _, h in table], True, 1),
        Curve("sufficiency: alpha + h shortest known", span.tolist(),
              [shortest - a for a in span], True, 2),
    ]  # fmt: skip
    at = min(points, key=sum)
    return [Finding(
        "E5", "The structure function",
        "Pan, Wang and Li, Figures 3 and 4: the least bits of the data given a model of alpha "
        "bits; where alpha + h is shortest, the model holds what is regular in the data.",
        tuple(checks),
        (Plot("e5-structure", "Bits of the data against bits of the model",
              ("alpha: bits of squeezed weights", "h: bits of the archive"), tuple(curves)),),
        f"The shortest two-part code by nets has {at[0]:,.0f} bits of weights and {at[1]:,.0f} of "
        f"data. A table of the same facts takes {totals.min() + syntax:,.0f} in all: the running "
        "minimum over this family is an upper bound of the structure function and no more.",
    )]  # fmt: skip


def _controls(settings: StructureSettings, found: dict[str, list[LabRow]]) -> list[Check]:
    from .capacity import noise_bound_control

    noise = [
        (float(r.extra["weight_bits"]), float(r.ideal_bits or 0), ENTROPY * r.n)
        for r in found["noise"]
    ]  # fmt: skip
    fresh = found["fresh"]
    best = min(fresh, key=_total)
    checks = [
        noise_bound_control(noise),
        control("values drawn anew: width of the best net", f"least, {settings.fresh_widths[0]}",
                f"{best.extra['width']:g}", best.extra["width"] == settings.fresh_widths[0]),
    ]  # fmt: skip
    points = [(float(r.extra["weight_bits"]), _data_bits(r)) for r in found["facts"]]
    heights = [h for _, h in envelope(points)]
    checks.append(control("the envelope never rises", "yes", "yes", heights == sorted(
        heights, reverse=True)))  # fmt: skip
    recipe = settings.recipe()
    least = source_bits(Source(recipe), Source(recipe).draw(settings.sentences)).sum()
    shortest = min(a + h for a, h in points)
    checks.append(control("shortest two-part code over the source's bits", "at least 1",
                          shortest / float(least), shortest >= least))  # fmt: skip
    decoded = [r.decoded for rows in found.values() for r in rows if r.decoded is not None]
    checks.append(control("archives that decode", "all", "all" if all(decoded) else "not all",
                          all(decoded)))  # fmt: skip
    return checks
