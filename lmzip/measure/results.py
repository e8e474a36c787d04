"""Measurements, their sums, and a file that keeps them: who is killed loses one document."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import CorruptError
from ..files import append_line

__all__ = ["Measurement", "ResultStore", "Settings", "pool", "result_key"]


Settings = dict[str, int | str]


def result_key(sha256: str, identity: str, settings: Settings) -> str:
    """Names a document, what measured it, and everything else that the bits depend on."""
    return json.dumps([sha256, identity, settings], sort_keys=True)


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What one method makes of a document, or of the sum of some."""

    document: str
    sha256: str
    """Of the document's bytes; empty for sums."""
    model: str
    """The method's name: a model's, or a classical compressor's."""
    kind: str
    """`archive`: the size of an lmzip file. `classical`: the size of a known format's. `command`:
    the size of what a user's command wrote. `ideal`: the information under a model's predictions,
    which nothing was coded with."""
    identity: str
    """Of the model's pack, or what else determines the bits."""
    content_bytes: int
    compress_s: float
    archive_bytes: int | None = None
    """The whole file; None if there is none."""
    ideal_bits: float | None = None
    """The information under the predictions that are coded with; of blocks that the model does not
    code, their payload's bits. None for other programs."""
    payload_bytes: int | None = None
    """Of the coded blocks, without the container."""
    modelled_bytes: int = 0
    """Contents that the model coded, or (`ideal`) that a protocol scored. Of the other blocks of an
    archive zstd was smaller, or raw bytes."""
    tokens: int = 0
    unscored_tokens: int = 0
    """Tokens that a protocol leaves out."""
    model_bytes: int = 0
    """Size of the pack or the weights: what a receiver without the model would need besides."""
    parameters: int = 0
    flops_per_token: float = 0.0
    """Two for every weight of a matrix that a token goes through; attention is not counted."""
    settings: Settings = dataclasses.field(default_factory=dict)
    """Window, stream length and so on: all that changes the bits."""
    decompress_s: float | None = None
    """None if it was not decoded; otherwise it came back equal."""
    documents: int = 1
    resumed: bool = dataclasses.field(default=False, compare=False)
    """Taken from a store: the times are those of another run."""

    @property
    def complete(self) -> bool:
        """Whether every byte is counted."""
        return self.kind != "ideal" or not self.unscored_tokens

    @property
    def rankable(self) -> bool:
        """Whether every byte is counted, and, of a user's command, the way back was gone.

        Nobody knows whether what a command wrote is a code before it was decoded.
        """
        return self.complete and (self.kind != "command" or self.decompress_s is not None)

    @property
    def counted_bytes(self) -> int:
        """The denominator: all contents, or what the protocol scored of them."""
        return self.content_bytes if self.complete else self.modelled_bytes

    @property
    def total_bits(self) -> float:
        """Of the file, if there is one, else the ideal ones."""
        if self.archive_bytes is not None:
            return 8.0 * self.archive_bytes
        assert self.ideal_bits is not None
        return self.ideal_bits

    @property
    def bits_per_byte(self) -> float:
        return self.total_bits / self.counted_bytes

    @property
    def modelled_share(self) -> float:
        """How much of the contents the model coded, or a protocol scored; 0 to 1."""
        return self.modelled_bytes / self.content_bytes

    @property
    def _model_bits(self) -> float | None:
        """The ideal bits, if they are of the model's predictions alone."""
        return self.ideal_bits if self.modelled_bytes == self.counted_bytes else None

    @property
    def ideal_bits_per_byte(self) -> float | None:
        """None unless the model coded everything."""
        bits = self._model_bits
        return None if bits is None else bits / self.counted_bytes

    @property
    def bits_per_token(self) -> float | None:
        """Ideal; None unless the model coded everything."""
        bits, scored = self._model_bits, self.tokens - self.unscored_tokens
        return None if bits is None or not scored else bits / scored

    @property
    def two_part_bits_per_byte(self) -> float:
        """The model counted as part of the message, once."""
        return (self.total_bits + 8 * self.model_bytes) / self.counted_bytes

    @property
    def flops_per_byte(self) -> float:
        return self.flops_per_token * self.tokens / self.content_bytes

    @property
    def key(self) -> str:
        """What was measured, by which model, how."""
        return result_key(self.sha256, self.identity, self.settings)

    def as_dict(self) -> dict[str, Any]:
        """For machines: the fields and what follows from them."""
        return dataclasses.asdict(self) | {
            "bits_per_byte": self.bits_per_byte,
            "ideal_bits_per_byte": self.ideal_bits_per_byte,
            "bits_per_token": self.bits_per_token,
            "complete": self.complete,
            "two_part_bits_per_byte": self.two_part_bits_per_byte,
            "flops_per_byte": self.flops_per_byte,
        }


_SUMMED = (
    "content_bytes", "tokens", "unscored_tokens", "modelled_bytes", "compress_s", "documents",
)  # fmt: skip
_SUMMED_IF_ALL = ("ideal_bits", "payload_bytes", "archive_bytes", "decompress_s")
"""What is None for the sum if it is for one part."""


def pool(measurements: Iterable[Measurement]) -> Measurement:
    """All bits over all bytes, of measurements with one model: never a mean of ratios."""
    parts = list(measurements)
    first = parts[0]
    assert all((m.identity, m.settings) == (first.identity, first.settings) for m in parts)
    sums: dict[str, Any] = {name: sum(getattr(m, name) for m in parts) for name in _SUMMED}
    sums["resumed"] = any(m.resumed for m in parts)
    for name in _SUMMED_IF_ALL:
        values = [getattr(m, name) for m in parts]
        sums[name] = None if None in values else sum(values)
    return dataclasses.replace(first, document="all", sha256="", **sums)


_LINE_START = b'{"archive_bytes": '
"""How every line begins."""


class ResultStore:
    """A file of JSON lines, one a measurement, written as soon as it is made."""

    def __init__(self, path: Path) -> None:
        """Raises CorruptError if the file holds something else, OSError if it cannot be written."""
        self._path = path
        self._known: dict[str, Measurement] = {}
        with path.open("ab"):
            pass
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        tail = data[whole:]
        # A line cut short is ours if whole ones stand before it, or if it says so itself.
        ours = tail.startswith(_LINE_START) or (whole > 0 and _LINE_START.startswith(tail))
        if tail and not ours:
            raise CorruptError(f"{path}: not a file of measurements")
        names = [f.name for f in dataclasses.fields(Measurement)]
        for number, line in enumerate(data[:whole].splitlines(), 1):
            try:
                fields = json.loads(line)
                known = {n: fields[n] for n in names if n in fields}
                measurement = dataclasses.replace(Measurement(**known), resumed=True)
                if measurement.archive_bytes is None and measurement.ideal_bits is None:
                    raise ValueError("no bits")
            except (ValueError, KeyError, TypeError):
                raise CorruptError(f"{path}, line {number}: not a measurement") from None
            self._known[measurement.key] = measurement
        if whole < len(data):
            # Killed while writing: that document is measured again.
            os.truncate(path, whole)

    def find(self, key: str) -> Measurement | None:
        """What was measured before."""
        return self._known.get(key)

    def add(self, measurement: Measurement) -> None:
        """Keep it, on the disk when this returns."""
        self._known[measurement.key] = measurement
        append_line(self._path, json.dumps(measurement.as_dict(), sort_keys=True).encode() + b"\n")
