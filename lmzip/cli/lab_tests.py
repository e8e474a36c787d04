"""`lmzip lab fit`, `density`, `correlate`, `heaps`, `same-source`: fits to given measurements."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import click

from ..errors import UsageError

__all__ = [
    "correlate_command", "density_command", "fit_command", "heaps_command", "same_source_command",
]  # fmt: skip

_TABLE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a CSV, TSV or JSON Lines file. Raises UsageError, OSError."""
    import csv

    ending = path.suffix.lower()
    try:
        text = path.read_text("utf-8")
        if ending in (".jsonl", ".ndjson"):
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            separator = "\t" if ending == ".tsv" else ","
            rows = list(csv.DictReader(text.splitlines(), delimiter=separator))
    except (ValueError, RecursionError, csv.Error) as error:
        raise UsageError(f"{path}: {error}") from None
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{path}: there are no rows")
    return rows


def _numbers(path: Path, rows: list[dict[str, Any]], *names: str) -> list[list[float]]:
    """Columns of numbers."""
    found = []
    for name in names:
        try:
            found.append([float(row[name]) for row in rows])
        except KeyError:
            raise UsageError(
                f"{path}: there is no column {name!r} (the columns are: {', '.join(rows[0])})"
            ) from None
        except (TypeError, ValueError):
            raise UsageError(
                f"{path}: column {name!r} holds a value that is not a number"
            ) from None
    return found


@click.command("fit", short_help="Fit a scaling law L(N, D) to a table.")
@click.argument("table", type=_TABLE)
@click.option("--parameters", "n", default="parameters", show_default=True, metavar="COLUMN")
@click.option("--data", "d", default="data", show_default=True, metavar="COLUMN")
@click.option("--loss", default="loss", show_default=True, metavar="COLUMN")
@click.option("--resamples", type=click.IntRange(2, 10000), default=200, show_default=True)
@click.help_option("-h", "--help")
def fit_command(table: Path, n: str, d: str, loss: str, resamples: int) -> None:
    """Fit L(N, D) = E + A/N^a + B/D^b to a table (CSV, TSV or JSON Lines), as Chinchilla did.

    The fit minimises the summed Huber loss of log L (delta 0.001) from many starting points.
    Standard errors come from a bootstrap over rows.
    """
    from ..lab.fits import fit_scaling_law

    columns = _numbers(table, _rows(table), n, d, loss)
    print(json.dumps(fit_scaling_law(*columns, resamples=resamples).as_dict()))


@click.command("density", short_help="Compute effective parameters of models by a scaling law.")
@click.argument("table", type=_TABLE)
@click.option("--name", default="model", show_default=True, metavar="COLUMN")
@click.option("--parameters", "n", default="parameters", show_default=True, metavar="COLUMN")
@click.option("--loss", default="loss", show_default=True, metavar="COLUMN")
@click.option("--ladder", metavar="PREFIX", help="Fit the law to the models whose names "
              "begin with PREFIX.  [default: each model by all others]")  # fmt: skip
@click.help_option("-h", "--help")
def density_command(table: Path, name: str, n: str, loss: str, ladder: str | None) -> None:
    """Compute each model's effective parameters by a scaling law, divided by its parameters."""
    from ..lab.fits import density

    rows = _rows(table)
    sizes, losses = _numbers(table, rows, n, loss)
    entries = [(str(row.get(name, i)), size, value) for i, (row, size, value) in
               enumerate(zip(rows, sizes, losses, strict=True), 1)]  # fmt: skip
    rungs = [e for e in entries if ladder is None or e[0].startswith(ladder)]
    for found in density(rungs, [e for e in entries if e not in rungs]):
        print(json.dumps(dataclasses.asdict(found) | {"density": found.density}))


@click.command("correlate", short_help="Correlate bits with scores of any kind.")
@click.argument("table", type=_TABLE)
@click.option("--bits", default="bits", show_default=True, metavar="COLUMN")
@click.option("--score", default="score", show_default=True, metavar="COLUMN")
@click.help_option("-h", "--help")
def correlate_command(table: Path, bits: str, score: str) -> None:
    """Correlate two columns, bits and any score: Pearson and Spearman, with intervals."""
    from ..lab.fits import correlate

    print(json.dumps(dataclasses.asdict(correlate(*_numbers(table, _rows(table), bits, score)))))


@click.command("heaps", short_help="Fit Heaps' and Zipf's laws to texts.")
@click.argument("texts", metavar="TEXT...", nargs=-1, required=True, type=_TABLE)
@click.option("--shuffle", is_flag=True, help="Shuffle the words first.")
@click.option(
    "--words", "most", type=click.IntRange(100), metavar="N", help="Use only the first N words."
)
@click.help_option("-h", "--help")
def heaps_command(texts: tuple[Path, ...], shuffle: bool, most: int | None) -> None:
    """Fit Heaps' law and Zipf's law to TEXTs.

    Heaps' law is distinct words against words, Zipf's law is frequency against rank. A word is a
    run of letters, in lower case.
    """
    from ..lab.fits import heaps_law
    from ..lab.text import words_of

    for path in texts:
        words = words_of(path.read_text("utf-8", "replace"))
        if shuffle:
            random.Random(0).shuffle(words)
        found = heaps_law(words[:most])
        print(json.dumps({"text": path.name, **dataclasses.asdict(found)}))


@click.command("same-source", short_help="Test whether one source made two texts.")
@click.argument("first", type=_TABLE)
@click.argument("second", type=_TABLE)
@click.option("-m", "--model", metavar="NAME", default="lmzip-3m", show_default=True)
@click.option("--block", type=click.IntRange(64, 1 << 20), default=2048, show_default=True,
              help="Length of the blocks that are exchanged at random, in bytes.")  # fmt: skip
@click.help_option("-h", "--help")
def same_source_command(first: Path, second: Path, model: str, block: int) -> None:
    """Test whether two texts may be samples of one source, by a model's bits of their blocks."""
    from ..lab.fits import same_source
    from ..lab.text import block_bits
    from .lab_models import opened_model

    loaded = opened_model(model)
    bits = [block_bits(loaded, path.read_bytes(), block) for path in (first, second)]
    print(json.dumps(dataclasses.asdict(same_source(*bits)) | {"model": model, "block": block}))
