"""E8: prequential codes, two-part codes, and the information that a learner absorbs."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bench import Bench, task_name
from .capacity import ALPHABET, noise
from .data import DataSettings
from .findings import Check, Curve, Finding, Plot, control, expect
from .netdata import NetDataSettings, fitted_net
from .oracle import expected_new_values, held_out_value_bits, learner_for, marginal_bits
from .pycode import encode_py
from .rows import LabRow
from .source import Recipe, Source

__all__ = ["PrequentialSettings", "absorbed_share", "absorption_controls", "prequential"]

Floats = NDArray[np.float64]
SHARES = {1.5: 0.425, 2.0: 0.505, 3.0: 0.653}
"""K_auc / I of values at M = 2^14 and 2^15 sentences, derived beforehand."""
_HASH_BITS = 256


@dataclasses.dataclass(frozen=True)
class PrequentialSettings:
    """Sizes of E8."""

    facts: int = 4096
    first: int = 8
    last: int = 13
    """Blocks of 2^first, 2^first, 2^(first+1), ... sentences, 2^last in all."""
    width: int = 32
    epochs: int = 150
    decode: int = 6
    """Blocks that are decoded by training again."""
    share_seeds: int = 3
    """Corpora of E1's size whose absorbed share is taken."""
    noise_sequences: int = 100_000
    noise_repeated: int = 64
    seed: int = 1

    def net(self) -> NetDataSettings:
        return NetDataSettings(facts=self.facts, width=self.width, epochs=self.epochs,
                               seed=self.seed)  # fmt: skip


def quick_settings() -> PrequentialSettings:
    return PrequentialSettings(facts=1024, last=11, width=24, epochs=60, decode=2,
                               noise_sequences=40_000)  # fmt: skip


def absorbed_share(chances: Floats, count: int) -> float:
    """K_auc / I exactly: the area above the final loss over that under the curve of value bits."""
    information = float(expected_new_values(chances, [count])[0])
    last = float(held_out_value_bits(chances, [count])[0])
    return 1 - count * last / information


def _blocks(settings: PrequentialSettings) -> list[tuple[int, int]]:
    ends = [0, *(1 << e for e in range(settings.first, settings.last + 1))]
    return list(itertools.pairwise(ends))


def _block(
    bench: Bench, settings: PrequentialSettings, start: int, end: int, decode: bool
) -> LabRow:
    """A block coded by the pack that was trained on what stands before it."""
    from .exact import archive_rows, export_net, open_model, uniform_pack

    recipe = Recipe(facts=settings.facts, power=1.5, seed=settings.seed)
    rows = Source(recipe).draw(1 << settings.last).rows()
    if not start:
        pack, again = uniform_pack(), True
        coded = archive_rows(open_model(pack, bench.threads), rows[:end])
    else:
        net, _ = fitted_net(bench, recipe, rows[:start], settings.net())
        path = bench.folder / f"prequential-{start}.lmzpack"
        pack = export_net(net, f"prequential-{start}", path)
        coded = archive_rows(open_model(pack, bench.threads), rows[start:end])
        again = True
        if decode:  # as the decoder does: from what it has decoded, with nothing kept
            other, _ = fitted_net(Bench(), recipe, rows[:start], settings.net())
            path = bench.folder / f"prequential-{start}-again.lmzpack"
            again = export_net(other, f"prequential-{start}", path).identity == pack.identity
    return LabRow(
        "E8", "", "prequential net", recipe.sha256, n=end - start, seed=settings.seed,
        ideal_bits=coded.ideal_bits, payload_bits=coded.payload_bits,
        file_bits=coded.file_bits + _HASH_BITS, decoded=coded.decoded,
        extra={"start": start, "trained_again": str(again) if decode else "not tried"},
    )  # fmt: skip


def _two_part(bench: Bench, settings: PrequentialSettings) -> list[LabRow]:
    """The last pack of the ladder, coarser and coarser, with all the text."""
    from ..models.squeeze import coarsen, decoder_bytes
    from .exact import archive_rows, export_net, open_model

    recipe = Recipe(facts=settings.facts, power=1.5, seed=settings.seed)
    rows = Source(recipe).draw(1 << settings.last).rows()
    found = []
    for width in sorted({settings.width // 2, settings.width}):
        chosen = dataclasses.replace(settings.net(), width=width)
        net, _ = fitted_net(bench, recipe, rows, chosen)
        path = bench.folder / f"two-part-{width}.lmzpack"
        pack = export_net(net, f"two-part-{width}", path)
        for step in range(6):
            coarse = coarsen(pack, step=step)
            coded = archive_rows(open_model(coarse, bench.threads), rows)
            found.append(LabRow(
                "E8", "", "two-part net", recipe.sha256, net.parameters, len(rows),
                settings.seed, ideal_bits=coded.ideal_bits, payload_bits=coded.payload_bits,
                file_bits=coded.file_bits, decoded=coded.decoded,
                extra={"weight_bits": 8 * decoder_bytes(coarse), "step": step, "width": width},
            ))  # fmt: skip
    return found


def _mix(bench: Bench, settings: PrequentialSettings) -> LabRow:
    """Adaptive mixing over a uniform model, in one stream."""
    import tempfile
    from pathlib import Path

    from .folder import code_folder, make_folder

    recipe = Recipe(facts=settings.facts, power=1.5, seed=settings.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "corpus")
        make_folder(recipe, 1 << settings.last, folder)
        coded = code_folder(folder, "mix")
    return LabRow("E8", "", "mix", recipe.sha256, n=coded.count, seed=settings.seed,
                  ideal_bits=coded.bits["in all"], payload_bits=coded.payload_bits,
                  file_bits=coded.file_bits, decoded=True)  # fmt: skip


def _noise(bench: Bench, settings: PrequentialSettings, repeated: bool) -> LabRow:
    """Area above the final loss over all bits shown, of noise met once or again and again."""
    from .nets import Schedule, TinyNet, shape_for, train

    shape = shape_for(12, length=16)
    steps = settings.noise_sequences // 64
    few = noise(settings.noise_repeated, settings.seed)

    def make(net: TinyNet) -> dict[str, Any]:
        done = train(
            net, lambda step: few if repeated else noise(64, settings.seed + 1 + step),
            Schedule(steps, rate=0.01, matrix_rate=0.01),
        )  # fmt: skip
        last = float(done.losses[-max(1, steps // 20) :].mean())
        # The first steps learn that there are sixteen symbols: that is no noise.
        warm = steps // 20
        area = float((done.losses[warm:] - last).sum())
        return {"area": area / float(done.losses[warm:].sum()), "last": last}

    task = task_name(kind="E8 noise", repeated=repeated, steps=steps, few=len(few),
                     seed=settings.seed)  # fmt: skip
    net, notes = bench.net(task, shape, ALPHABET, make)
    return LabRow("E8", "", "net", parameters=net.parameters, n=64 * steps, seed=settings.seed,
                  klass="repeated" if repeated else "once", ideal_bits=notes["last"],
                  extra={"absorbed": notes["area"]})  # fmt: skip


def absorption_controls(once: float, repeated: float) -> list[Check]:
    """Noise met once absorbs nothing; the same noise again and again does."""
    return [
        control("noise met once: absorbed part of its bits", "at most 0.01", once, once <= 0.01),
        control("noise repeated: absorbed part of the bits shown, over that", "at least 10 times",
                repeated / max(abs(once), 1e-3), repeated >= 10 * max(abs(once), 1e-3)),
    ]  # fmt: skip


def prequential(bench: Bench, settings: PrequentialSettings | None = None) -> list[Finding]:
    """E8."""
    settings = settings or (quick_settings() if bench.quick else PrequentialSettings())
    values = dataclasses.asdict(settings)
    del values["share_seeds"]  # which no row depends on

    def rows(name: str, make: Any, **more: Any) -> list[LabRow]:
        task = task_name(name=name, **more, **values)
        return bench.rows("E8", task, lambda: [
            dataclasses.replace(r, task=task) for r in make()
        ], name + "".join(f", {k} {v}" for k, v in more.items()))  # fmt: skip

    blocks = []
    for number, (start, end) in enumerate(_blocks(settings)):
        blocks += rows("block", lambda s=start, e=end, d=number < settings.decode: [
            _block(bench, settings, s, e, d)], start=start, end=end)  # fmt: skip
    two = rows("two-part", lambda: _two_part(bench, settings))
    mix = rows("mix", lambda: [_mix(bench, settings)])[0]
    noises = [rows("noise", lambda r=r: [_noise(bench, settings, r)], repeated=r)[0]
              for r in (False, True)]  # fmt: skip
    recipe = Recipe(facts=settings.facts, power=1.5, seed=settings.seed)
    sentences = Source(recipe).draw(1 << settings.last)
    learner = learner_for(recipe)
    py = 8 * len(encode_py(recipe, learner, sentences)[0])
    total = float(sum(r.file_bits or 0 for r in blocks))
    best = min(float(r.extra["weight_bits"]) + float(r.file_bits or 0) for r in two)

    checks: list[Check] = []
    order = py < total < best
    checks.append(Check(
        "py, prequential net, best two-part net (bits)", "each longer than the one before", "none",
        f"{py:,.0f}, {total:,.0f}, {best:,.0f}", "met" if order else "refuted",
    ))  # fmt: skip
    documented = dataclasses.replace(DataSettings(), seeds=settings.share_seeds)
    for power, expected in SHARES.items():
        checks.append(_share_check(documented, power, expected))
    checks += absorption_controls(*(float(r.extra["absorbed"]) for r in noises))
    tried = [r.extra["trained_again"] for r in blocks if r.extra["trained_again"] != "not tried"]
    checks.append(control("packs that training again gives once more (same machine)",
                          f"all {len(tried)}", f"{tried.count('True')}",
                          tried.count("True") == len(tried)))  # fmt: skip
    decoded = all(r.decoded for r in (*blocks, *two, mix))
    checks.append(control("archives that decode", "all", "all" if decoded else "not all", decoded))
    bits = marginal_bits(recipe, learner, sentences).sum(axis=1)
    at = [end for _, end in _blocks(settings)]
    curves = (
        Curve("py", at, [float(bits[s:e].mean()) for s, e in _blocks(settings)], True, 1),
        Curve("prequential net", at, [float(r.file_bits or 0) / r.n for r in blocks], colour=0),
    )  # fmt: skip
    return [Finding(
        "E8", "Prequential codes, two-part codes, information absorbed",
        "Blier and Ollivier; Optimal Learning; Epiplexity (2601.03220): a code that learns as it "
        "goes needs no weights sent, and its loss curve's area is what was learned.",
        tuple(checks),
        (Plot("e8-prequential", "Bits a sentence, block by block", ("sentences read", "bits"),
              curves, log_y=False),),
        f"The text has {8 * 8 * len(sentences):,} bits. py takes {py:,}, adaptive mixing "
        f"{mix.file_bits or 0:,}, nets trained again and again {total:,.0f}, one net with its "
        f"weights {best:,.0f}. The prequential net decodes on the same machine and PyTorch only; "
        "py, mix and two-part codes decode anywhere.",
    )]  # fmt: skip


def _share_check(settings: DataSettings, power: float, expected: float) -> Check:
    """K_auc / I of the marginal learner's values on corpora of E1's size, over three seeds."""
    count = 1 << settings.exponents[-1]
    shares = []
    for seed in range(1, settings.seeds + 1):
        recipe = settings.recipe(power, seed)
        source = Source(recipe)
        seen = np.unique(source.facts_of(source.draw(count)))
        last = recipe.value_bits * (1 - float(source.chances[seen].sum()))
        shares.append(1 - count * last / (recipe.value_bits * len(seen)))
    return expect(f"K_auc / I of values, power {power:g}", expected, float(np.mean(shares)), 0.02)
