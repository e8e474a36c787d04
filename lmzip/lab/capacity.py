"""E6: how many bits of noise a net can memorise, by its size."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bench import Bench, task_name
from .findings import Check, Curve, Finding, Plot, control, expect, expect_range, log_slope
from .rows import LabRow

__all__ = ["CapacitySettings", "capacity", "noise_bound_control"]

_SYMBOLS, _LENGTH, _FIRST = 16, 16, 0x40
ENTROPY = 64.0
"""Bits of a sequence: 16 symbols of 16."""
_BATCH = 256


@dataclasses.dataclass(frozen=True)
class CapacitySettings:
    """Sizes of E6."""

    widths: tuple[int, ...] = (12, 16, 24, 36)
    """3 to 24 thousand parameters."""
    predicted: float = 2.0
    """Bits a parameter, by which numbers of sequences are chosen."""
    ratios: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
    steps: int = 5000
    """Of training, with all sequences in a batch or 256 of them."""
    seed: int = 1


def quick_settings() -> CapacitySettings:
    return CapacitySettings(widths=(12, 16, 24), steps=1500)


def noise(count: int, seed: int) -> NDArray[np.uint8]:
    """Rows [count, 16] of symbols drawn evenly."""
    rng = np.random.default_rng([seed, 6])
    return (_FIRST + (rng.random((count, _LENGTH)) * _SYMBOLS).astype(np.uint8)).astype(np.uint8)


ALPHABET = bytes(range(_FIRST, _FIRST + _SYMBOLS))


def _memorise(bench: Bench, settings: CapacitySettings, width: int, ratio: float) -> list[LabRow]:
    from ..models.squeeze import coarsen, decoder_bytes
    from .exact import archive_rows, exact_bits, export_net, open_model
    from .nets import Schedule, TinyNet, shape_for, train

    shape = shape_for(width, length=_LENGTH)
    size = TinyNet(shape, ALPHABET).parameters
    count = max(8, round(ratio * settings.predicted * size / ENTROPY))
    batch = min(_BATCH, count)
    rows = noise(count, settings.seed)
    order = np.random.default_rng([settings.seed, 66])
    task = task_name(kind="noise", width=width, count=count, steps=settings.steps,
                     seed=settings.seed)  # fmt: skip

    def make(net: TinyNet) -> dict[str, Any]:
        part: NDArray[np.int64] = np.empty(0, np.int64)

        def batches(step: int) -> NDArray[np.uint8]:
            nonlocal part
            if len(part) < batch:
                part = np.concatenate([part, order.permutation(count)])
            mine, part = part[:batch], part[batch:]
            return rows[mine]

        done = train(net, batches, Schedule(settings.steps, rate=0.02, matrix_rate=0.02))
        ends = np.unique(np.geomspace(1, len(done.losses), 25).astype(int))
        exposures = [float(e * batch / count) for e in ends]
        curve = [float(ENTROPY - done.losses[max(0, e - 10) : e].mean()) * count / size
                 for e in ends]  # fmt: skip
        return {"exposures": exposures, "curve": curve}

    net, notes = bench.net(task, shape, ALPHABET, make)
    pack = export_net(
        net, f"noise-{width}-{count}", bench.folder / f"noise-{width}-{count}.lmzpack"
    )
    model = open_model(pack, bench.threads)
    coded = archive_rows(model, rows)
    fresh = archive_rows(model, noise(count, settings.seed + 1000))
    found = []
    for step in range(5):
        coarse = coarsen(pack, step=step)
        bits = exact_bits(open_model(coarse, bench.threads), rows).sum()
        found.append(LabRow(
            "E6", "", "net", parameters=size, n=count, seed=settings.seed,
            klass=f"J = {step}", ideal_bits=float(bits),
            extra={"weight_bits": 8 * decoder_bytes(coarse), "width": width, "ratio": ratio},
        ))  # fmt: skip
    return [
        LabRow(
            "E6", "", "net", parameters=size, n=count, seed=settings.seed,
            ideal_bits=coded.ideal_bits, payload_bits=coded.payload_bits,
            file_bits=coded.file_bits, decoded=coded.decoded,
            extra={
                "width": width, "ratio": ratio, "fresh_payload_bits": fresh.payload_bits,
                "exposures": repr(notes["exposures"]), "curve": repr(notes["curve"]),
            },
        ),
        *found,
    ]  # fmt: skip


def noise_bound_control(totals: Sequence[tuple[float, float, float]]) -> Check:
    """On noise no two-part code is below the entropy: (bits of the model, of the data, entropy).

    A violation of more than s bits has a chance of 2^-s; 20 are allowed.
    """
    least = min(model + data - entropy for model, data, entropy in totals)
    return control("noise: model and data together, less the entropy (bits, least)",
                   "at least 0", least, least >= -20)  # fmt: skip


def capacity(bench: Bench, settings: CapacitySettings | None = None) -> list[Finding]:
    """E6."""
    settings = settings or (quick_settings() if bench.quick else CapacitySettings())
    done: dict[int, list[list[LabRow]]] = {}
    for width in settings.widths:
        for ratio in settings.ratios:
            task = task_name(width=width, ratio=ratio, predicted=settings.predicted,
                             steps=settings.steps, seed=settings.seed)  # fmt: skip
            done.setdefault(width, []).append(bench.rows(
                "E6", task,
                lambda w=width, r=ratio, t=task: [  # type: ignore[misc]
                    dataclasses.replace(row, task=t) for row in _memorise(bench, settings, w, r)
                ],
                f"width {width}, {ratio:g} of the predicted capacity",
            ))  # fmt: skip
    sizes, plateaus, low, curves, exposure_curves = [], [], [], [], []
    fresh, totals, decoded = [], [], []
    for number, tasks in enumerate(done.values()):
        mine = [done_task[0] for done_task in tasks]
        memorised = [ENTROPY * r.n - (r.payload_bits or 0) for r in mine]
        sizes.append(float(mine[0].parameters))
        plateaus.append(max(memorised))
        low.append(memorised[0] / (ENTROPY * mine[0].n))
        label = f"{mine[0].parameters:,} parameters"
        curves.append(Curve(label, [ENTROPY * r.n for r in mine], memorised, colour=number))
        last = mine[-1]
        exposure_curves.append(Curve(
            label, _numbers(last.extra["exposures"]), _numbers(last.extra["curve"]), colour=number
        ))  # fmt: skip
        for made, row in zip(tasks, mine, strict=True):
            fresh.append(ENTROPY * row.n - float(row.extra["fresh_payload_bits"]))
            decoded.append(bool(row.decoded))
            totals += [
                (float(r.extra["weight_bits"]), float(r.ideal_bits or 0), ENTROPY * r.n)
                for r in made[1:]
            ]  # fmt: skip
    per = [p / s for p, s in zip(plateaus, sizes, strict=True)]
    checks = [
        expect_range("bits a parameter at the plateau, least of all sizes", 1.5, 3.5, min(per)),
        expect_range("bits a parameter at the plateau, most", 1.5, 3.5, max(per)),
        expect("slope of capacity against parameters (logarithms)", 1,
               log_slope(sizes, plateaus), 0.15),
        expect_range("part memorised at a quarter of the predicted capacity, least", 0.95, 1,
                     min(low)),
        control("fresh sequences: bits memorised, most", "at most 0", max(fresh),
                max(fresh) <= 0),
        noise_bound_control(totals),
        control("archives that decode to the sequences", "all",
                "all" if all(decoded) else "not all", all(decoded)),
    ]  # fmt: skip
    most = [ENTROPY * max(t[0].n for t in tasks) for tasks in done.values()]
    line = [min(c.x[0] for c in curves), max(most)]
    return [Finding(
        "E6", "Capacity for noise",
        "Morris et al. (2505.24832): models memorise 3.5 to 3.8 bits a parameter, and no more. "
        "Counted here: 16 tokens a sequence, all of them coded; parameters that training reaches.",
        tuple(checks),
        (
            Plot("e6-capacity", "Bits memorised", ("bits of noise shown", "bits memorised"),
                 (*curves, Curve("everything", line, line, True, 7))),
            Plot("e6-exposures", "Bits a parameter against exposures (twice the capacity shown)",
                 ("exposures of a sequence", "bits a parameter"), tuple(exposure_curves),
                 log_y=False),
        ),
        f"These nets hold {min(per):.2f} to {max(per):.2f} bits a parameter in int8 weights of the "
        "exact engine. What is memorised is no gain once the weights are paid for: on noise no "
        "two-part code goes below the entropy.",
    )]  # fmt: skip


def _numbers(text: Any) -> list[float]:
    """A list of numbers, as Python writes it."""
    return [float(part) for part in str(text).strip("[]").split(",")]
