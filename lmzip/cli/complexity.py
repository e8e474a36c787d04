"""`lmzip complexity`: how much information two files share."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import FilePath, coding_options, model_options
from .progress import CodingBar
from .say import clean

if TYPE_CHECKING:
    from ..complexity.pairs import PairComplexity

__all__ = ["complexity"]

_ROWS = (
    ("C(x)", "x"), ("C(y)", "y"),
    ("C(x given y)", "x_given_y"), ("C(y given x)", "y_given_x"),
    ("C(x, y), x first", "x_then_y"), ("C(x, y), y first", "y_then_x"),
    ("I(x : y) = C(x) - C(x given y)", "information_about_x"),
    ("I(y : x) = C(y) - C(y given x)", "information_about_y"),
    ("order bias", "order_bias"), ("NCD", "ncd"), ("NID, by conditionals", "nid"),
)  # fmt: skip


@click.command("complexity")
@click.argument("x", type=FilePath(exists=True, dir_okay=False, path_type=Path))
@click.argument("y", type=FilePath(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option("--no-decode", is_flag=True, help="Do not verify every file by decoding it.")
@click.option("--no-controls", is_flag=True, help="Leave out zstd and xz.")
@click.option("-q", "--quiet", is_flag=True, help="Do not show progress or notices.")
@coding_options
@model_options
@click.help_option("-h", "--help")
def complexity(x: Path, y: Path, **given: Any) -> None:
    """Measure the complexity of two files: alone, given each other, and together.

    All numbers are lengths in bits of real files, which are verified by decoding. They are upper
    bounds on Kolmogorov complexity, up to the length of the program and the model. The table also
    shows the numbers of zstd (with y as a dictionary) and of xz (what x adds after y).
    """
    from ..complexity.coders import LmzipCoder, XzCoder, ZstdCoder
    from ..complexity.pairs import CODINGS_OF_EACH, pair_complexity
    from ..errors import UsageError
    from .choices import chosen_model

    contents = [path.read_bytes() for path in (x, y)]
    for path, data in zip((x, y), contents, strict=True):
        if not data:
            raise UsageError(f"{path} is empty, so it cannot be measured")
    model, parameters = chosen_model(given)
    limit = given["memory_limit"]
    coders: list[Any] = [
        LmzipCoder(model, parameters, memory_limit=limit, decode=not given["no_decode"])
    ]
    if not given["no_controls"]:
        coders += [ZstdCoder(), XzCoder()]
    found = []
    work = CODINGS_OF_EACH * sum(map(len, contents))
    for coder in coders:
        with CodingBar(coder.name, work, show=not given["quiet"]) as bar:
            found.append(pair_complexity(coder, *contents, progress=bar))
    _show(x, y, contents, found, model.pack_bytes, given["as_json"])


def _show(
    x: Path,
    y: Path,
    contents: list[bytes],
    found: list[PairComplexity],
    pack_bytes: int,
    as_json: bool,
) -> None:
    sizes = [len(data) for data in contents]
    if as_json:
        rows = [dataclasses.asdict(c) | {n: getattr(c, n) for _, n in _ROWS} for c in found]
        files = [{"file": str(p), "bytes": n} for p, n in zip((x, y), sizes, strict=True)]
        print(json.dumps({"x": files[0], "y": files[1], "model_bytes": pack_bytes, "by": rows}))
        return
    names = [f"{n} = {clean(p)} ({s:,} bytes)" for n, p, s in zip("xy", (x, y), sizes, strict=True)]
    print(f"{', '.join(names)}; numbers in bits\n")
    print(f"{'':32}" + "".join(f"{c.coder:>22}" for c in found))
    for label, name in _ROWS:
        cells = [getattr(c, name) for c in found]
        shown = [f"{v:,}" if isinstance(v, int) else f"{v:.3g}" for v in cells]
        print(f"{label:32}" + "".join(f"{cell:>22}" for cell in shown))
    print(
        f"\nThe model's own {8 * pack_bytes:,} bits are not counted: the decoder has it."
        + (" The numbers of xz are differences of lengths." if len(found) > 1 else "")
    )
