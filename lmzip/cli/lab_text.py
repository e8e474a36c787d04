"""`lmzip lab facts`, `draw`, `positions`: real models on real texts."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import click

__all__ = ["draw_command", "facts_command", "positions_command"]

_TEXT = click.Path(exists=True, dir_okay=False, path_type=Path)


def _read(path: Path) -> bytes:
    """Contents; of *.xz, what is in it."""
    import lzma

    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


@click.command("facts", short_help="Measure the bits of names and numbers in texts.")
@click.argument("texts", metavar="TEXT...", nargs=-1, required=True, type=_TEXT)
@click.option("--training", multiple=True, required=True, type=_TEXT,
              help="A training text of the models (also *.xz); may be repeated.")  # fmt: skip
@click.option("-m", "--model", "models", multiple=True, required=True, metavar="NAME",
              help="May be repeated.")  # fmt: skip
@click.option("--bytes", "size", type=click.IntRange(1), metavar="N",
              help="The first N bytes of each TEXT only.")  # fmt: skip
@click.help_option("-h", "--help")
def facts_command(
    texts: tuple[Path, ...], training: tuple[Path, ...], models: tuple[str, ...], size: int | None
) -> None:
    """Measure the bits of names and numbers in TEXTs.

    The output has one JSON object for each model, kind and class. Classes are ranges of how often
    a name or number occurs in the training texts. Only its first occurrence in a text counts, under
    the model's own predictions, without mixing.
    """
    from ..lab.realtext import count_facts, fact_bits
    from .lab_models import opened_model

    contents = [_cut(path, size) for path in texts]
    counts = count_facts(_read(path).decode("utf-8", "replace") for path in training)
    print(f"lmzip: {sum(counts.values()):,} facts in training, {len(counts):,} of them distinct",
          file=sys.stderr)  # fmt: skip
    for name in models:
        for found in fact_bits(opened_model(name), contents, counts):
            print(json.dumps({"model": name, **dataclasses.asdict(found)}), flush=True)


@click.command("draw", short_help="Let a model generate a text.")
@click.option("-m", "--model", required=True, metavar="NAME")
@click.option("-n", "--tokens", type=click.IntRange(1, 1 << 24), default=65536, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path))
@click.help_option("-h", "--help")
def draw_command(model: str, tokens: int, seed: int, output: Path) -> None:
    """Let a model generate a text, for comparison with texts that people wrote."""
    from ..files import atomic_output
    from ..lab.text import draw_text
    from .lab_models import opened_model

    with atomic_output(output, overwrite=True) as file:
        file.write(draw_text(opened_model(model), tokens, seed=seed))


@click.command("positions", short_help="Measure bits per byte by position in sentence and text.")
@click.argument("texts", metavar="TEXT...", nargs=-1, required=True, type=_TEXT)
@click.option("-m", "--model", "models", multiple=True, required=True, metavar="NAME",
              help="May be repeated.")  # fmt: skip
@click.option("--bytes", "size", type=click.IntRange(1), metavar="N",
              help="The first N bytes of each TEXT only.")  # fmt: skip
@click.help_option("-h", "--help")
def positions_command(texts: tuple[Path, ...], models: tuple[str, ...], size: int | None) -> None:
    """Measure bits per byte by position.

    Positions are the word in its sentence, and the sentence in its text (in doubling ranges).
    """
    from ..lab.realtext import position_bits
    from .lab_models import opened_model

    contents = [_cut(path, size) for path in texts]
    for name in models:
        for found in position_bits(opened_model(name), contents):
            print(json.dumps({"model": name, **dataclasses.asdict(found)}), flush=True)


def _cut(path: Path, size: int | None) -> bytes:
    """The text's beginning, whole characters."""
    return _read(path)[:size].decode("utf-8", "ignore").encode()
