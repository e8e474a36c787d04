"""`lmzip train`: train a model on given texts."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ..files import shared_mode
from .inputs import contents_unpacker
from .progress import TrainingBar

if TYPE_CHECKING:
    from ..models.store import ModelStore
    from ..training.own import Texts

__all__ = ["train"]

_RECORD, _RECORDS = 1000, 100


@click.command("train")
@click.argument("corpora", metavar="PATH...", nargs=-1, required=True)
@click.option("-o", "--output", "name", metavar="NAME", required=True, help="The new model's name.")
@click.option("-m", "--model", metavar="NAME", help="Begin with this model.  [default: lmzip's]")
@click.option(
    "--minutes",
    type=click.FloatRange(0.1, 10080),
    default=10.0,
    show_default=True,
    help="Train for about this long.",
)
@click.option(
    "--tokens", type=click.IntRange(1), help="Train on this many tokens, instead of --minutes."
)
@click.option(
    "--field",
    metavar="NAME",
    help="In JSON Lines and Parquet files, train on this field of every row.",
)
@click.option(
    "--from-scratch", is_flag=True, help="Begin with random weights, not those of the model."
)
@click.option(
    "--workers", type=click.Choice(["1", "2", "4"]), help="Number of processes.  [default: cores]"
)
@click.option(
    "--compile",
    "compiled",
    is_flag=True,
    help="Compile the network first. This takes a minute or two, makes training faster and "
    "needs a C++ compiler.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed for all random numbers.")
@click.option("--restart", is_flag=True, help="Discard a stopped training run of that name.")
@click.option("-f", "--force", is_flag=True, help="Replace an installed model of that name.")
@click.option("-q", "--quiet", is_flag=True, help="Do not show progress or notices.")
@click.help_option("-h", "--help")
def train(corpora: tuple[str, ...], name: str, quiet: bool, **given: Any) -> int:
    """Train a model on texts and install it as NAME, for 'lmzip -m NAME'.

    PATHs are files, folders, patterns, and JSON Lines or Parquet files with --field. The last 2 %
    of the text are held out. A run that was stopped continues when the same command is given again,
    and gives the same model. At the end, the held-out text is compressed with the old model, with
    the new model, and with zstd and a dictionary trained on the same text.
    """
    from ..errors import MissingPackageError, UsageError
    from ..extras import how_to_install

    try:
        from ..training.own import Order, Training, default_workers, split
    except ImportError:
        raise MissingPackageError(how_to_install("torch", "training")) from None
    from ..api import models_home
    from ..measure import find_documents
    from ..models.registry import default_name
    from ..models.store import ModelStore

    store = ModelStore(models_home(), offline=True)
    store.require_free(name, force=given["force"])
    begin = given["model"] or default_name()
    base = store.open(begin)
    documents = find_documents(corpora, field=given["field"], offline=True,
                               unpack=contents_unpacker(offline=True))  # fmt: skip
    if documents.places.unreadable:
        raise UsageError(documents.places.unreadable[0])
    # A model may say what it was trained on: it is no more public than that.
    within = shared_mode(os.stat(file) for file in documents.places.files if os.path.exists(file))
    texts = split([document.read() for document in documents])
    workers = int(given["workers"] or default_workers())
    order = Order(
        name,
        minutes=given["minutes"],
        tokens=given["tokens"] or 0,
        from_scratch=given["from_scratch"],
        workers=workers,
        compiled=given["compiled"],
        seed=given["seed"],
    )
    folder = store.folder.parent / "training" / name
    notice = _notice(quiet)
    if given["restart"]:
        Training.forget_folder(folder)
    training = Training(base, texts, order, folder, notice=notice)
    sizes = sum(map(len, texts.training)), training.held_out_bytes
    notice(
        f"{sizes[0]:,} bytes to train on, {sizes[1]:,} held out, {training.total_tokens:,} tokens"
    )
    bar = TrainingBar(training.total_tokens, show=not quiet)
    try:
        pack = training.run(lambda progress, bits: bar(progress.tokens, bits))
    finally:
        bar.close()
    if pack is None:
        print("lmzip: stopped; the same command continues the run", file=sys.stderr)
        return 130
    installed = store.install(pack, force=given["force"], within=within)
    training.forget()
    print(f"{name}: identity {installed.identity.hex()}")
    if not quiet:
        _compare(store, (begin, name), texts)
    return 0


def _notice(quiet: bool) -> Callable[[str], None]:
    def notice(line: str) -> None:
        if not quiet:
            from tqdm import tqdm

            tqdm.write(line, file=sys.stderr)

    return notice


def _records(parts: Sequence[bytes]) -> Iterator[bytes]:
    """Pieces of about 1,000 bytes, whole lines where lines are shorter."""
    for part in parts:
        record = b""
        for line in part.splitlines(keepends=True):
            record += line
            while len(record) >= _RECORD:
                yield record[: 2 * _RECORD]
                record = record[2 * _RECORD :]
        if len(record) >= _RECORD // 2:
            yield record


def _compare(store: ModelStore, models: tuple[str, str], texts: Texts) -> None:
    """Print a table: bytes of the held-out text, whole and as records, by whom."""
    from ..api import compress
    from ..codec import OneModel
    from ..errors import UsageError
    from ..measure.classical import zstd_with_dictionary
    from ..models.source import load_model

    whole = b"".join(texts.held_out)
    records = list(_records(texts.held_out))
    records = records[:: max(1, len(records) // _RECORDS)][:_RECORDS]
    ways: list[tuple[str, Callable[[bytes], bytes]]] = []
    for name in models:
        model = OneModel(load_model(store.open(name), tokenizing=True))
        ways.append((name, partial(compress, level=3, model=model)))
    try:
        ways.append(("zstd -19, dictionary", zstd_with_dictionary(list(_records(texts.training)))))
    except UsageError as error:
        print(f"lmzip: {error}", file=sys.stderr)
    total = sum(map(len, records))
    print(f"{'held out':24} {'whole':>10} {'bits/byte':>10} {'records':>10} {'bits/byte':>10}")
    print(f"{'bytes':24} {len(whole):10,} {'':10} {total:10,}")
    for name, way in ways:
        one, each = len(way(whole)), sum(len(way(record)) for record in records)
        print(f"{name[:24]:24} {one:10,} {8 * one / len(whole):10.3f} "
              f"{each:10,} {8 * each / total:10.3f}")  # fmt: skip
