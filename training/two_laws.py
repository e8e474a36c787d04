"""Both scaling laws in one picture: bits of x given y by width and by thoughts.

`python -m training.two_laws` trains the scratchpad's tasks at three widths, measures archives with
0 to 3 steps of thought, and draws bits against FLOPs: solid lines go along thoughts (one model),
dashed ones along parameters (one number of thoughts). What is measured is kept in
`two-laws.jsonl`, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from lmzip.complexity.scaling import scaling_points
from lmzip.engine import Pack
from lmzip.models.source import load_model
from lmzip.report.curves import Curve, curves_figure, standalone_svg
from lmzip.report.plots import require_matplotlib

from . import scratchpad
from .lookup import Task

WIDTHS = (32, 64, 96)


def measure(task: Task, width: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows of one model: a row a number of thoughts."""
    work = args.work / f"{task.name}-{width}"
    pack = work / f"{task.name}.lmzpack"
    if not pack.exists():
        pack = scratchpad.make_pack(task, scratchpad.train(task, args.steps, width=width), work)
    model = load_model(Pack.open(pack), threads=1, tokenizing=True)
    items = scratchpad.new_items(task, args.items)
    side = scratchpad.SideParameters(thoughts=scratchpad.thoughts(task, 1))
    rows = []
    for point in scaling_points(model, items, scratchpad.PARAMETERS, side, task.lengths):
        low, high = point.interval("ideal_bits")
        rows.append({
            "task": task.name, "width": width, "parameters": point.parameters,
            "think": point.think, "bits": point.mean("ideal_bits"), "low": low, "high": high,
            "payload_bits": point.mean("payload_bits"), "flops": point.mean("flops"),
            "steps": args.steps, "items": len(items),
        })  # fmt: skip
    return rows


def figure(rows: list[dict[str, Any]]) -> str:
    """An SVG file of one task."""
    curves = []
    widths = sorted({row["width"] for row in rows})
    for number, width in enumerate(widths):
        mine = sorted((r for r in rows if r["width"] == width), key=lambda r: r["think"])
        curves.append(Curve(
            f"{mine[0]['parameters']:,} parameters, T = {mine[0]['think']} to {mine[-1]['think']}",
            [r["flops"] for r in mine], [r["bits"] for r in mine], [r["low"] for r in mine],
            [r["high"] for r in mine], number,
        ))  # fmt: skip
    for number, think in enumerate(sorted({row["think"] for row in rows}), len(widths)):
        mine = sorted((r for r in rows if r["think"] == think), key=lambda r: r["width"])
        flops, bits = [r["flops"] for r in mine], [r["bits"] for r in mine]
        curves.append(Curve(f"T = {think}, all sizes", flops, bits, bits, bits, number, True))
    labels = ("FLOPs of y, thoughts and x (2 a parameter and token)", "bits of x given y")
    return standalone_svg(
        curves_figure("Two scaling laws", labels, curves, logarithmic=True, bare_dashes=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.two_laws", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/two-laws"))
    parser.add_argument("--out", type=Path, default=Path("docs/lab"), help="for rows and figures")
    parser.add_argument("--steps", type=int, default=scratchpad.STEPS)
    parser.add_argument("--items", type=int, default=scratchpad.ITEMS)
    parser.add_argument("--task", choices=[t.name for t in scratchpad.TASKS], action="append")
    parser.add_argument("--width", type=int, action="append", help="default: 32, 64, 96")
    args = parser.parse_args()
    require_matplotlib()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    kept = args.out / "two-laws.jsonl"
    rows = [json.loads(line) for line in kept.read_text("utf-8").splitlines()] if (
        kept.exists()) else []  # fmt: skip
    for task in scratchpad.TASKS:
        if args.task and task.name not in args.task:
            continue
        for width in args.width or WIDTHS:
            known = [r for r in rows if (r["task"], r["width"], r["steps"], r["items"]) == (
                task.name, width, args.steps, args.items)]  # fmt: skip
            if known:
                continue
            began = time.process_time()
            found = measure(task, width, args)
            rows += found
            with kept.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in found)
            shown = ", ".join(f"{r['bits']:.2f}" for r in found)
            print(f"{task.name}, width {width}: {shown} bits by T "
                  f"({time.process_time() - began:.0f} s of CPU)", flush=True)  # fmt: skip
        mine = [r for r in rows if r["task"] == task.name]
        if len({r["width"] for r in mine}) > 1:
            (args.out / f"two-laws-{task.name}.svg").write_text(figure(mine), "utf-8")
            best = min(mine, key=lambda r: r["bits"])
            print(f"{task.name}: least {best['bits']:.2f} bits, width {best['width']}, "
                  f"T = {best['think']}")  # fmt: skip


if __name__ == "__main__":
    main()
