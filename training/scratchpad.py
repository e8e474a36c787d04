"""The scratchpad experiment: bits of x given y and T tokens of thought, where thinking must help.

`python -m training.scratchpad` trains a tiny model for each of two tasks (`homes.py`, `orbits.py`),
exports it as a pack, and measures archives of x given y with thoughts of T steps, beside controls
that think nothing, their own steps in another order, or another puzzle's. It writes
`scratchpad.json` and a figure for each task.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lmzip.codec import (
    CodecModel,
    CodingParameters,
    SideInformation,
    SideParameters,
    model_reference,
)
from lmzip.codec.side import Conditioning
from lmzip.complexity.scaling import (
    CONTROLS,
    THOUGHT,
    CodedItem,
    Item,
    ScalingPoint,
    exchange_rates,
    scaling_points,
)
from lmzip.complexity.scripted import ScriptedEngine, ThoughtPlaces
from lmzip.engine import RADIX, Pack
from lmzip.format import Thoughts
from lmzip.models.source import load_model
from lmzip.report.plots import require_matplotlib
from lmzip.training.model import Model, head_loss, token_loss
from lmzip.training.optimizer import Optimizer
from lmzip.training.shape import Schedule, Shape

from .export import export_pack
from .homes import TASK as HOMES
from .lookup import CLOSE, FILLER, OPEN, Batch, Task, tokenizer_json, vocabulary_size
from .orbits import TASK as ORBITS

TASKS = (HOMES, ORBITS)
SHAPE = Shape(width=64, layers=3, heads=2, kv_heads=1, ffn_width=128, head_width=32, context=256)
SCHEDULE = Schedule(seed=1, muon_lr=0.02, muon_decay=0.01, adam_lr=3e-3, gain_lr=3e-3)
STEPS, ROWS, WARM_UP, DECAY = 1800, 32, 50, 0.3
"""Steps, rows in each; steps over which the rate rises; the part of all over which it falls."""
FILLERS = MISLEADING = 0.1
"""Parts of the scratchpads in training that hold dots, or wrong words."""
ITEMS, ITEM_SEED = 256, 1_000_003
PARAMETERS = CodingParameters(window=SHAPE.context, mixing_bits=0)


def shape(task: Task, width: int = SHAPE.width) -> Shape:
    """The model's, of that width."""
    return dataclasses.replace(
        SHAPE, vocab=vocabulary_size(task.words), width=width, ffn_width=2 * width,
        head_width=width // SHAPE.heads,
    )  # fmt: skip


def train(
    task: Task, steps: int, *, rows: int = ROWS, log: Any = print, width: int = SHAPE.width
) -> Model:
    """A model that has seen `steps` batches."""
    torch.manual_seed(SCHEDULE.seed)
    rng = np.random.default_rng(SCHEDULE.seed)
    model = Model(shape(task, width))
    optimizer = Optimizer(model, SCHEDULE)
    began, cpu = time.monotonic(), time.process_time()
    for step in range(1, steps + 1):
        if step <= min(task.practice, steps // 2):
            batch = task.practice_batch(rng, rows)
        else:
            length = int(rng.choice(task.hops, p=task.chances))
            batch = task.training_batch(
                rng, rows, length,
                questions=task.questions, fillers=FILLERS, misleading=MISLEADING,
            )  # fmt: skip
        loss = batch_loss(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step(min(1.0, step / WARM_UP, (steps - step + 1) / (DECAY * steps)))
        if step % 100 == 0 or step == steps:
            bits = " ".join(f"{b:.2f}" for b in _answer_bits(task, model, rows))
            spent = f"{time.monotonic() - began:.0f} s, {time.process_time() - cpu:.0f} s of CPU"
            log(f"step {step}: bits an answer by T: {bits} ({spent})")
    return model


def batch_loss(model: Model, batch: Batch) -> torch.Tensor:
    """Mean cross-entropy in nats of what is wanted of it."""
    tokens = torch.from_numpy(batch.tokens)
    wanted = torch.from_numpy(batch.wanted[:, 1:])
    hidden = model(tokens[:, :-1])[wanted][None]
    targets = tokens[:, 1:][wanted][None]
    return head_loss(hidden, model.embed_tokens.weight, targets) / targets.numel()


@torch.no_grad()
def _answer_bits(task: Task, model: Model, rows: int) -> list[float]:
    """Bits an answer behind right scratchpads of each length."""
    found = []
    for length in task.lengths:
        batch = task.training_batch(np.random.default_rng(0), 8 * rows, length)
        tokens = torch.from_numpy(batch.tokens)
        step = length + 3 if length else 1
        ends = [tokens.shape[1] - 1 - i * step for i in range(task.answers)]
        hidden = model(tokens[:, :-1])[:, [end - 1 for end in ends]]
        losses = token_loss(hidden, model.embed_tokens.weight, tokens[:, ends])
        found.append(float(losses.mean()) / math.log(2))
    return found


def make_pack(task: Task, model: Model, work: Path) -> Path:
    """The exact pack of a trained model, in `work`."""
    work.mkdir(parents=True, exist_ok=True)
    torch.save({"model": model.state_dict()}, work / "final.pt")
    (work / "tokenizer.json").write_text(tokenizer_json(task.words), "utf-8")
    return export_pack(task.name, model.shape, work / "final.pt", work / "tokenizer.json", work)


def thoughts(task: Task, tokens: int) -> Thoughts:
    """How to think, as the model has been taught to: before every answer."""
    every = 1 if task.answers > 1 else 0
    return Thoughts(tokens, temperature=0, every=every, before=OPEN.encode(), behind=CLOSE.encode())


def new_items(task: Task, count: int) -> list[Item]:
    """Puzzles that training has not seen, but by a chance of 1 in many."""
    found = task.puzzles(count, ITEM_SEED)
    return [Item(f"puzzle {i}", p.x.encode(), p.y.encode()) for i, p in enumerate(found, 1)]


def right_answers(task: Task, model: CodecModel, item: Item, think: int, coded: CodedItem) -> float:
    """The part of x's tokens that are the likeliest ones, those before them known."""
    told = model
    if think:
        places = ThoughtPlaces(coded.y_tokens + 1, think, think + 3, task.answers)
        told = dataclasses.replace(model, engine=ScriptedEngine(model.engine, places, coded.chain))
    reference = model_reference(model, PARAMETERS)
    side = SideParameters(thoughts=thoughts(task, think) if think else None)
    given = SideInformation.of(item.y)
    engine = Conditioning.for_encoding(given, side, told, reference, 1 << 30).engine
    ids = model.tokenizer.tokenize(item.x)
    fed = np.concatenate([[engine.config.bos], ids[:-1]])[None]
    cache = engine.new_cache(1, reference.window, reference.sinks, len(ids))
    predictions = engine.forward(fed, cache)
    high = predictions.high()[0].argmax(axis=1)
    low = predictions.low(ids[None] // RADIX)[0].argmax(axis=1)
    return float(((high == ids // RADIX) & (low == ids % RADIX)).mean())


def measure(
    task: Task, model: CodecModel, items: Sequence[Item], log: Any = print
) -> dict[str, Any]:
    """All points, their part of right answers, and rates of exchange."""
    side = SideParameters(thoughts=thoughts(task, 1))
    points: list[ScalingPoint] = []
    rows = []
    for point in scaling_points(
        model, items, PARAMETERS, side, task.lengths, controls=CONTROLS, filler=FILLER.encode()
    ):
        points.append(point)
        right = [
            right_answers(task, model, item, point.think, coded)
            for item, coded in zip(items, point.items, strict=True)
        ]
        rows.append(point.as_dict() | {"right": float(np.mean(right))})
        log(
            f"T = {point.think}, {point.kind}: {point.mean('ideal_bits'):.3f} bits "
            f"({point.mean('payload_bits'):.2f} of payload), {np.mean(right):.1%} right"
        )
    return {
        "task": {"name": task.name, "hops": task.hops, "example": _example(items[0])},
        "points": rows,
        "exchange": [e.as_dict() for e in exchange_rates(points)],
    }


def _example(item: Item) -> dict[str, str]:
    return {"y": item.y.decode(), "x": item.x.decode()}


def figure(found: dict[str, Any]) -> str:
    """An SVG file: bits of x against T, thoughts and controls."""
    from lmzip.report.curves import Curve, curves_figure, standalone_svg

    names = {
        THOUGHT: "the model's own thoughts", "filler": "dots",
        "shuffled": "its thoughts, shuffled", "other": "another puzzle's thoughts",
    }  # fmt: skip
    zero = [p for p in found["points"] if p["think"] == 0]
    curves = []
    for i, (kind, name) in enumerate(names.items()):
        mine = zero + [p for p in found["points"] if p["kind"] == kind and p["think"]]
        low, high = zip(*(p["ideal_bits_interval"] for p in mine), strict=True)
        curves.append(Curve(
            name, [p["think"] for p in mine], [p["ideal_bits"] for p in mine], low, high,
            colour=i, dashed=kind != THOUGHT,
        ))  # fmt: skip
    labels = ("T: steps on the scratchpad", "bits of x given y and thoughts")
    return standalone_svg(curves_figure("Scratchpad", labels, curves))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.scratchpad", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("build/scratchpad"))
    parser.add_argument("--out", type=Path, default=Path("docs"), help="for the figure and data")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only-measure", action="store_true", help="the pack that is there")
    args = parser.parse_args()
    require_matplotlib()  # before ten minutes of work
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    results = []
    for task in TASKS:
        began, cpu = time.monotonic(), time.process_time()
        pack = args.work / task.name / f"{task.name}.lmzpack"
        if not args.only_measure:
            pack = make_pack(task, train(task, args.steps), args.work / task.name)
        trained = time.process_time()
        model = load_model(Pack.open(pack), threads=args.threads, tokenizing=True)
        results.append(measure(task, model, new_items(task, args.items)))
        name = f"scratchpad-{task.name}.svg"
        (args.out / name).write_text(figure(results[-1]), "utf-8")
        print(
            f"{task.name}, CPU: {trained - cpu:.0f} s of training, "
            f"{time.process_time() - trained:.0f} s of measuring; "
            f"{time.monotonic() - began:.0f} s in all"
        )
    (args.out / "scratchpad.json").write_text(json.dumps(results, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
