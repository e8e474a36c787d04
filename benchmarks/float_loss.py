"""What exact inference costs: bits of a pack against the same weights in float32, text by text.

`python benchmarks/float_loss.py --float FILE.gguf [TEXT...]`. Both read the same tokens in the same
windows, each from the start token on, without mixing.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parent.parent))

from lmzip.api import models_home
from lmzip.measure.causal import load_float_model
from lmzip.measure.exact import ExactScorer
from lmzip.measure.tokens import ideal_tokens
from lmzip.measure.windows import protocol
from lmzip.models.source import StoreModels
from lmzip.models.store import ModelStore

TEXTS = ("alice29.txt", "asyoulik.txt", "fields.c", "grammar.lsp", "lcet10.txt", "plrabn12.txt",
         "xargs.1")  # fmt: skip


@click.command()
@click.argument("texts", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("-m", "--model", default="smollm2-135m-instruct", show_default=True)
@click.option("--float", "source", required=True, help="The same model in float.")
@click.option("--window", default=1024, show_default=True)
@click.option("--limit", default=60_000, show_default=True, help="Bytes of each text.")
@click.option("--threads", type=int)
def main(
    texts: tuple[Path, ...], model: str, source: str, window: int, limit: int, threads: int | None
) -> None:
    """Print a Markdown table."""
    if not texts:
        texts = tuple(Path(os.environ["LMZIP_CORPORA"], "eval", name) for name in TEXTS)
    pack = StoreModels(model, store=ModelStore(models_home()), threads=threads).for_compression()
    exact, single = ExactScorer(pack, window), load_float_model(source, threads=threads)
    print(f"| text | bytes | tokens | {exact.name}, bits/byte | float32 | cost |")
    print("|---|---|---|---|---|---|")
    sums = [0.0, 0.0, 0.0, 0.0]
    for path in texts:
        data = path.read_bytes()[:limit].decode(errors="ignore").encode()
        tables = [ideal_tokens(s, protocol("codec"), window, path.name, data)
                  for s in (exact, single)]  # fmt: skip
        row = [len(data), len(tables[0].ids), *(float(t.bits.sum()) for t in tables)]
        sums = [a + b for a, b in zip(sums, row, strict=True)]
        show(path.name, row)
    show("all", sums)


def show(name: str, row: list[float]) -> None:
    """Print a row: bytes, tokens, bits of both."""
    content, tokens, exact, single = row
    print(
        f"| {name} | {content:,.0f} | {tokens:,.0f} | {exact / content:.4f} | "
        f"{single / content:.4f} | {exact / single - 1:+.2%} |", flush=True,
    )  # fmt: skip


if __name__ == "__main__":
    main()
