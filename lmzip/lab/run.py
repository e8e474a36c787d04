"""The experiments by name, from the cheapest on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from .bench import Bench
from .findings import Finding

__all__ = ["EXPERIMENTS", "run_experiments"]


def _data(bench: Bench) -> list[Finding]:
    from .data import data_scaling
    from .netdata import net_data_scaling

    return [data_scaling(bench), *net_data_scaling(bench)]


def _model(bench: Bench) -> list[Finding]:
    from .model import model_scaling

    return [f for f in model_scaling(bench) if f.experiment == "E3"]


def _threshold(bench: Bench) -> list[Finding]:
    from .model import model_scaling

    return [f for f in model_scaling(bench) if f.experiment == "E4"]


def _knowledge(bench: Bench) -> list[Finding]:
    from .model import model_scaling

    return [f for f in model_scaling(bench) if f.experiment == "E7"]


def _structure(bench: Bench) -> list[Finding]:
    from .structure import structure_function

    return structure_function(bench)


def _capacity(bench: Bench) -> list[Finding]:
    from .capacity import capacity

    return capacity(bench)


def _prequential(bench: Bench) -> list[Finding]:
    from .prequential import prequential

    return prequential(bench)


def _finetune(bench: Bench) -> list[Finding]:
    from .finetune import fine_tuning

    return fine_tuning(bench)


def _fits(bench: Bench) -> list[Finding]:
    from .selftests import fits_finding

    return [fits_finding(bench)]


EXPERIMENTS: dict[str, Callable[[Bench], list[Finding]]] = {
    "fits": _fits,
    "data": _data,
    "capacity": _capacity,
    "model": _model,
    "threshold": _threshold,
    "knowledge": _knowledge,
    "structure": _structure,
    "prequential": _prequential,
    "finetune": _finetune,
}
"""E10, E1 and E2, E6, E3, E4, E7, E5, E8, E9. Those of one ladder of nets share its rows."""


def run_experiments(bench: Bench, names: Sequence[str]) -> Iterator[list[Finding]]:
    """What each experiment found, as soon as it is done."""
    for name in names:
        yield EXPERIMENTS[name](bench)
