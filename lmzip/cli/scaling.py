"""`lmzip scaling`: bits of X given Y against parameters and against generated tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from ..files import atomic_output
from .checks import refuse_options, refuse_overwriting
from .options import F, FilePath, coding_options, models_options, side_options
from .say import say

if TYPE_CHECKING:
    from ..complexity.scaling import Exchange, Item, ScalingPoint
    from ..report.html import Table

__all__ = ["scaling"]

_PATH = FilePath(exists=True, path_type=Path)
_OWN = ("given", "think")
"""Options for side information that this command defines itself."""


def _thinking_options(function: F) -> F:
    """How to generate tokens, as when compressing."""

    @side_options
    def holder() -> None: ...

    for option in holder.__click_params__:  # type: ignore[attr-defined]
        if option.name not in _OWN:
            click.decorators._param_memo(function, option)
    return function


@click.command("scaling")
@click.argument("x", type=_PATH)
@click.option(
    "--given", "y", type=_PATH, required=True, help="Side information, which decoding needs too."
)
@click.option(
    "--think",
    metavar="T,T,...",
    default="0",
    show_default=True,
    help="Numbers of tokens that the model generates before X; 0 is none.",
)
@_thinking_options
@click.option(
    "--control",
    "controls",
    type=click.Choice(["filler", "shuffled", "other"]),
    multiple=True,
    help="Also measure a control for every number of generated tokens: as many tokens of filler, "
    "the generated tokens in another order, or those generated for the next item. May be repeated.",
)
@click.option(
    "--filler", default=".", show_default=True, help="Text that --control filler repeats."
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Use only the first N items.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
@click.option(
    "--plot",
    metavar="FILE",
    type=FilePath(dir_okay=False, path_type=Path),
    help="Draw bits against computation in an SVG file.",
)
@click.option("-q", "--quiet", is_flag=True, help="Do not show progress or notices.")
@coding_options
@models_options
@click.help_option("-h", "--help")
def scaling(x: Path, y: Path, **given: Any) -> None:
    """Measure the bits of X given Y for models of several sizes and numbers of generated tokens.

    The option -m may be repeated, and --think takes several numbers. X and Y are two files, two
    JSON Lines files with the same number of lines, or two folders with the same number of files.
    Each line or file of X is an item, coded given its counterpart in Y.

    Everything is coded given Y, in archives that are decoded and compared. Payload bits are the
    bits of X alone. File bits are everything that a decoder with Y and the model needs (zstd is not
    tried here; 'lmzip --given' would use it where it is shorter). Ideal bits are the information of
    X under the predictions, without rounding to words of 32 bits. Computation is two operations for
    each parameter and each token of Y, of the generated tokens and of X. Intervals are 95 %
    bootstrap intervals of the mean over items.

    In a control, the model is given other tokens instead of those that it generates. Archives of
    controls decode only with the same tokens, so their bits are for X alone.
    """
    from ..complexity.scaling import exchange_rates, scaling_points
    from ..report import markdown
    from .choices import chosen_model, chosen_parameters
    from .side import chosen_side_parameters

    think = _numbers(given["think"])
    refuse_overwriting(given, [str(p.resolve()) for p in (x, y)])
    if given["controls"] and not max(think):
        raise UsageError("--control needs --think with a number above 0")
    if not given["filler"]:
        raise UsageError("--filler is empty")
    if "filler" not in given["controls"]:
        refuse_options(["filler"], "this option is only for --control filler")
    if given["plot"]:
        from ..report.plots import require_matplotlib

        require_matplotlib()
    side = chosen_side_parameters(given | {"given": ("y",), "think": max(think) or None})
    items = _items(x, y)[: given["limit"]]
    names = dict.fromkeys(given["model"]) or (None,)
    chosen = {str(chosen_parameters(given, name)[1]) for name in names}
    if len(chosen) > 1 and not given["quiet"]:
        say("the models code with different windows and streams; a level, such as -3, makes them "
            "the same")  # fmt: skip
    points: list[ScalingPoint] = []
    for name in names:
        model, parameters = chosen_model(given | {"model": name})
        for point in scaling_points(
            model, items, parameters, side, think,
            controls=tuple(dict.fromkeys(given["controls"])),
            filler=given["filler"].encode(), memory_limit=given["memory_limit"],
        ):  # fmt: skip
            points.append(point)
            if not given["quiet"]:
                done = f"{point.model}, T = {point.think}, {_shown(point.kind)}"
                say(f"{done}: {point.mean('ideal_bits'):,.1f} bits")
    rates = exchange_rates(points)
    if given["plot"]:
        with atomic_output(given["plot"], overwrite=True) as out:
            out.write(_svg(points).encode())
    if given["as_json"]:
        found = {"points": [p.as_dict() for p in points], "exchange": [r.as_dict() for r in rates]}
        print(json.dumps({"x": str(x), "given": str(y), **found}))
    else:
        print(markdown(_tables(points, rates)))


def _numbers(text: str) -> list[int]:
    """Different numbers of tokens, ascending."""
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise UsageError(f"--think {text!r}: not a list of numbers separated by commas") from None
    if found[0] < 0:
        raise UsageError("--think: numbers must not be negative")
    return found


def _parts(path: Path) -> list[tuple[str, bytes]]:
    """Names and contents of a path's items; empty ones too."""
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
        return [(p.name, p.read_bytes()) for p in files]
    data = path.read_bytes()
    if path.suffix.lower() not in (".jsonl", ".ndjson"):
        return [(path.name, data)]
    return [(f"line {i}", line) for i, line in enumerate(data.splitlines(), 1)]


def _items(x: Path, y: Path) -> list[Item]:
    """Each part of X with its counterpart. Raises UsageError where there is none."""
    from ..complexity.scaling import Item

    parts = _parts(x), _parts(y)
    if len(parts[0]) != len(parts[1]):
        raise UsageError(f"{x} has {len(parts[0])} items, {y} has {len(parts[1])}")
    if not parts[0]:
        raise UsageError(f"{x} has no items")
    for path, found in zip((x, y), parts, strict=True):
        for name, data in found:
            if not data:
                raise UsageError(f"{path}: {name} is empty")
    return [Item(name, a, b) for (name, a), (_, b) in zip(*parts, strict=True)]


def _shown(kind: str) -> str:
    """The word for people of a point's kind, which is "thought" in JSON."""
    return "generated" if kind == "thought" else kind


def _interval(ends: tuple[float, float], items: int) -> str:
    """Of a mean over so many; one says nothing of others."""
    return f"{ends[0]:,.1f} to {ends[1]:,.1f}" if items > 1 else "-"


def _tables(points: Sequence[ScalingPoint], rates: Sequence[Exchange]) -> list[Table]:
    from ..report.html import Table

    count = len(points[0].items)
    rows: list[tuple[Any, ...]] = []
    for p in points:
        rows.append((
            p.model, p.parameters / 1e6, p.think, _shown(p.kind), p.mean("payload_bits"),
            p.mean("file_bits"), p.mean("ideal_bits"), _interval(p.interval("ideal_bits"), count),
            p.mean("flops") / 1e9,
        ))  # fmt: skip
    columns = ("model", "parameters, M", "T", "kind", "payload bits", "file bits", "ideal bits",
               "95 % of ideal", "GFLOP")  # fmt: skip
    note = f"Means over {count} item{'s' if count > 1 else ''}, each coded given its y."
    odd = sum(not item.modelled for p in points for item in p.items)
    if odd:
        note += f" {odd} archives hold an item that the model makes longer; it is stored or zstd's."
    if any(p.kind != "thought" for p in points):
        note += " Bits of controls are for x alone, for a decoder that has the same tokens."
    main = Table("Bits of X given Y", columns, tuple(rows), note, (0, 3, 0, 0, 1, 1, 2, 0, 6))
    rated: list[tuple[Any, ...]] = []
    for rate in rates:
        found = rate.as_dict()
        a, b = rate.cheaper, rate.dearer
        more = f"{a.model}, T {a.think} to {b.think}"
        if rate.axis == "parameters":
            more = f"{a.model} to {b.model}, T {a.think}"
        rated.append((
            more, found["saved_bits"], _interval(found["saved_bits_interval"], count),
            found["more_flops"] / 1e9, found["saved_bits_per_gigaflop"],
        ))  # fmt: skip
    of_rates = ("more of", "ideal bits saved", "95 %", "more GFLOP", "bits per GFLOP")
    return [main, Table("Exchange rates", of_rates, tuple(rated), "", (0, 2, 0, 6, 2))]


def _svg(points: Sequence[ScalingPoint]) -> str:
    """Ideal bits against computation: a curve for each model, controls dashed."""
    from ..report.curves import Curve, curves_figure, standalone_svg

    curves = []
    models = list(dict.fromkeys(p.model for p in points))
    for model, kind in dict.fromkeys((p.model, p.kind) for p in points):
        mine = [p for p in points if (p.model, p.kind) == (model, kind)]
        ends = [p.interval("ideal_bits") for p in mine]
        curves.append(Curve(
            model if kind == "thought" else f"{model}, {kind}",
            [p.mean("flops") for p in mine], [p.mean("ideal_bits") for p in mine],
            [low for low, _ in ends], [high for _, high in ends],
            colour=models.index(model), dashed=kind != "thought",
        ))  # fmt: skip
    labels = ("floating-point operations per item", "ideal bits of x given y and generated tokens")
    return standalone_svg(curves_figure("Scaling", labels, curves, logarithmic=True))
