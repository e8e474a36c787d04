"""Where the bits go: each token of a document and its price, sums by position and frequency."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from ..codec import (
    DEFAULT_MEMORY_LIMIT,
    CodecModel,
    CodingParameters,
    model_reference,
    token_costs,
)
from ..errors import MissingPackageError
from ..extras import how_to_install
from .exact import ExactScorer
from .scoring import Floats, Scorer, Scores, Tokens, score_windows
from .windows import Protocol, Window

__all__ = [
    "Bin",
    "TokenTable",
    "TokenWriter",
    "archive_tokens",
    "bits_by_frequency",
    "bits_by_position",
    "ideal_tokens",
]


@dataclasses.dataclass(frozen=True)
class TokenTable:
    """The n tokens of a document (or of its beginning), in order."""

    document: str
    model: str
    ids: Tokens
    starts: Tokens
    """The byte at which each begins."""
    texts: tuple[str, ...]
    bits: Floats
    """As coded; NaN where a protocol does not score, and in blocks that the model did not code."""
    model_bits: Floats
    """Before mixing; in all blocks."""
    positions: Tokens
    """How many tokens the model had read since it last started afresh, the start token included."""
    entropy_bits: Floats | None
    """Of the model's distribution; None without details."""
    alternatives: tuple[tuple[tuple[str, float], ...], ...]
    """The model's likeliest tokens with their probabilities, best first; empty without details."""

    def rows(self) -> Iterator[dict[str, Any]]:
        """One a token; what is not known is None."""
        for i, token in enumerate(self.ids.tolist()):
            row: dict[str, Any] = {
                "document": self.document,
                "model": self.model,
                "offset": int(self.starts[i]),
                "token": token,
                "text": self.texts[i],
                "position": int(self.positions[i]),
                "bits": _number(self.bits[i]),
                "model_bits": _number(self.model_bits[i]),
                "entropy_bits": None
                if self.entropy_bits is None
                else _number(self.entropy_bits[i]),
            }
            if self.alternatives:
                row["alternatives"] = [list(pair) for pair in self.alternatives[i]]
            yield row


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _alternatives(scorer: Scorer, scores: Scores) -> tuple[tuple[tuple[str, float], ...], ...]:
    if scores.top_ids is None or scores.top_pmf is None:
        return ()
    return tuple(
        tuple((scorer.token_text(t), round(p, 6)) for t, p in zip(row, pmf, strict=True))
        for row, pmf in zip(scores.top_ids.tolist(), scores.top_pmf.tolist(), strict=True)
    )


def _positions(tokens: int, windows: Sequence[Window], start: bool) -> Tokens:
    positions = np.zeros(tokens, np.int64)
    for w in windows:
        read = (w.start and start) - w.context
        positions[w.first : w.end] = np.arange(w.first, w.end) + read
    return positions


def archive_tokens(
    model: CodecModel,
    parameters: CodingParameters,
    document: str,
    data: bytes,
    *,
    top: int = 0,
    memory_limit: int = DEFAULT_MEMORY_LIMIT,
) -> TokenTable:
    """What the tokens of a document cost in its archive.

    With `top`, the model runs a second time over the whole distributions, for entropies and that
    many alternatives.
    """
    costs = token_costs(model, data, parameters, memory_limit=memory_limit)
    reference = model_reference(model, parameters)
    scorer = ExactScorer(model, reference.window, reference.sinks)
    windows = [Window(a, a, b, start=True) for a, b in costs.streams]
    scores = score_windows(scorer, costs.ids, windows, top=top) if top else None
    return TokenTable(
        document=document,
        model=model.name,
        ids=costs.ids,
        starts=scorer.token_starts(costs.ids),
        texts=tuple(scorer.token_text(i) for i in costs.ids.tolist()),
        bits=costs.bits,
        model_bits=costs.model_bits,
        positions=_positions(len(costs.ids), windows, True),
        entropy_bits=None if scores is None else scores.entropy_bits,
        alternatives=() if scores is None else _alternatives(scorer, scores),
    )


def ideal_tokens(
    scorer: Scorer,
    protocol: Protocol,
    window: int,
    document: str,
    data: bytes,
    *,
    top: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> TokenTable:
    """What the tokens of a document cost under a model's predictions and a protocol.

    `progress(tokens, of)` is called as tokens get done.
    """
    ids, starts = scorer.tokenize(data)
    windows = protocol.windows(len(ids), protocol.window_for(window, scorer.context))

    def report(done: int) -> None:
        if progress is not None:
            progress(done, len(ids))

    scores = score_windows(scorer, ids, windows, top=top, progress=report)
    ends = [*starts[1:].tolist(), len(data)]
    # Of the tokens that share a character, the last one shows it.
    texts = tuple(
        data[a:b].decode("utf-8", "backslashreplace")
        for a, b in zip(starts.tolist(), ends, strict=True)
    )
    return TokenTable(
        document=document,
        model=scorer.name,
        ids=ids,
        starts=starts,
        texts=texts,
        bits=scores.bits,
        model_bits=scores.bits,
        positions=_positions(len(ids), windows, scorer.start is not None),
        entropy_bits=scores.entropy_bits,
        alternatives=_alternatives(scorer, scores),
    )


@dataclasses.dataclass(frozen=True)
class Bin:
    """Some tokens that have something in common."""

    low: int
    high: int
    """The first and the last value of what they have in common."""
    tokens: int
    bits: float
    """Of all of them."""

    @property
    def bits_per_token(self) -> float:
        return self.bits / self.tokens


def _binned(values: Tokens, bits: Floats) -> list[Bin]:
    """Sums by value, in bins that double: 0, 1, 2 to 3, 4 to 7, ..."""
    scored = ~np.isnan(bits)
    values, bits = values[scored], bits[scored]
    bins = []
    low = 0
    while len(values) and low <= values.max():
        high = max(2 * low - 1, low) if low else 0
        chosen = (values >= low) & (values <= high)
        if chosen.any():
            bins.append(Bin(low, high, int(chosen.sum()), float(bits[chosen].sum())))
        low = high + 1
    return bins


def bits_by_position(tables: Iterable[TokenTable]) -> list[Bin]:
    """Bits against how much the model had read: the curve that falls to the entropy rate."""
    tables = list(tables)
    positions = np.concatenate([t.positions for t in tables])
    return _binned(positions, np.concatenate([t.bits for t in tables]))


def bits_by_frequency(tables: Iterable[TokenTable]) -> list[Bin]:
    """Bits against how often a token occurs in all these documents together (of one model)."""
    tables = list(tables)
    ids = np.concatenate([t.ids for t in tables])
    _unique, inverse, counts = np.unique(ids, return_inverse=True, return_counts=True)
    return _binned(counts[inverse], np.concatenate([t.bits for t in tables]))


class TokenWriter:
    """A file of rows: Parquet if it is to be, else JSON lines."""

    def __init__(self, file: BinaryIO, *, parquet: bool) -> None:
        """Raises MissingPackageError if Parquet is asked for and pyarrow is not installed."""
        self._file = file
        self._parquet: Any = _parquet_writer(file) if parquet else None

    def add(self, table: TokenTable) -> None:
        """Write a table's rows."""
        if self._parquet is None:
            lines = (json.dumps(row).encode() + b"\n" for row in table.rows())
            self._file.write(b"".join(lines))
            return
        import pyarrow

        rows = []
        for row in table.rows():
            pairs = [{"text": _utf8(t), "pmf": p} for t, p in row.get("alternatives", ())]
            texts = {name: _utf8(row[name]) for name in ("document", "model", "text")}
            rows.append(row | texts | {"alternatives": pairs})
        self._parquet.write_table(pyarrow.Table.from_pylist(rows, self._parquet.schema))

    def close(self) -> None:
        """Finish what was begun; the file stays open."""
        if self._parquet is not None:
            self._parquet.close()


def _utf8(text: str) -> str:
    """Lone surrogates have no place in Parquet's strings."""
    return text.encode("utf-8", "backslashreplace").decode()


def _parquet_writer(file: BinaryIO) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingPackageError(how_to_install("pyarrow", "writing Parquet")) from None
    text, number, real = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
    alternatives = pyarrow.list_(pyarrow.struct([("text", text), ("pmf", real)]))
    schema = pyarrow.schema(
        [
            ("document", text), ("model", text), ("offset", number), ("token", number),
            ("text", text), ("position", number), ("bits", real), ("model_bits", real),
            ("entropy_bits", real), ("alternatives", alternatives),
        ]
    )  # fmt: skip
    return pyarrow.parquet.ParquetWriter(file, schema)
