"""How often guesses of the next tokens are right: steps a forward pass, by text and level.

`python benchmarks/guesses.py FILE...`. What is guessed depends on the tokens alone, so that no
model has to run: a pass costs nothing here, and the counts are those of decoding.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from lmzip.codec.lookahead import LookAhead
from lmzip.codec.streams import round_lengths, split_streams
from lmzip.levels import level
from lmzip.models.source import load_model
from lmzip.models.store import ModelStore


class _Nothing:
    """Stands for the engine, the cache and the predictions; it computes nothing."""

    def __init__(self, streams: int = 1, shape: tuple[int, int] = (1, 1)) -> None:
        self.row_cost = 0.13  # of the native engine's threads, if there are two or more
        self.lead, self.guessing_streams, self._shape = max(1, 256 // streams), streams, shape

    def choose(self, rows: Any, position: int) -> None:
        """See `RewindingCache`."""

    def forward(self, tokens: Any, cache: Any) -> _Nothing:
        """See `Engine`."""
        return _Nothing(1, tokens.shape)

    def high(self) -> Any:
        """See `Predictions`."""
        return np.ones((*self._shape, 1), np.int32)


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--bytes", "limit", default=160_000, show_default=True, help="Of each file.")
@click.option("--level", "levels", multiple=True, type=int, default=(9,), show_default=True)
def main(files: tuple[Path, ...], limit: int, levels: tuple[int, ...]) -> None:
    """Print a table."""
    home = os.environ.get("LMZIP_HOME")
    print(f"{'text':28} level streams   steps  passes steps/pass fed/pass fed/step")
    for number in levels:
        chosen = level(number)
        store = ModelStore(Path(home) if home else None)
        tokenizer = load_model(store.pull(chosen.model), threads=1, tokenizing=True).tokenizer
        p = chosen.parameters
        for file in files:
            ids = tokenizer.tokenize(file.read_bytes()[:limit])
            start = steps = passes = fed = streams = 0
            for count in round_lengths(len(ids), p.stream_tokens, p.streams_at_once):
                rows = split_streams(ids[start : start + count], p.stream_tokens)
                start += count
                streams = len(rows)
                nothing: Any = _Nothing(streams)
                ahead = LookAhead(nothing, nothing, *rows.shape)
                inputs = np.zeros((streams, 1), np.int64)
                for t in range(rows.shape[1]):
                    ahead.forward(inputs)
                    inputs = rows[:, t : t + 1]
                steps, passes, fed = steps + rows.shape[1], passes + ahead.passes, fed + ahead.fed
            print(
                f"{file.name:28} {-number:5} {streams:7} {steps:7} {passes:7} "
                f"{steps / passes:10.3f} {fed / passes:8.2f} {fed / steps:8.2f}"
            )


if __name__ == "__main__":
    main()
