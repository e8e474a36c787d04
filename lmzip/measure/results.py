"""Measurements, their sums, and a file that keeps them: who is killed loses one document."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import CorruptError

__all__ = ["Measurement", "ResultStore", "pool", "result_key"]


def result_key(sha256: str, identity: str, settings: dict[str, int]) -> str:
    """Names a document, a model, and everything else that an archive's bytes depend on."""
    return json.dumps([sha256, identity, settings], sort_keys=True)


@dataclasses.dataclass(frozen=True)
class Measurement:
    """A document (or a sum of some) compressed with one model and one set of parameters."""

    document: str
    sha256: str
    """Of the document's bytes; empty for sums."""
    model: str
    identity: str
    """Of the model's pack."""
    model_bytes: int
    """Size of the pack: what a receiver without the model would need besides."""
    settings: dict[str, int]
    """Window, stream length and so on: all that changes the bytes."""
    content_bytes: int
    tokens: int
    """In the blocks that the model coded."""
    ideal_bits: float
    payload_bytes: int
    """Of the coded blocks, without the container."""
    archive_bytes: int
    """The whole file."""
    modelled_bytes: int
    """Contents of the blocks that the model coded; of the others zstd was smaller, or raw bytes."""
    compress_s: float
    decompress_s: float | None
    """None if it was not decoded; otherwise it came back equal."""
    documents: int = 1

    @property
    def bits_per_byte(self) -> float:
        """Of the file."""
        return 8 * self.archive_bytes / self.content_bytes

    @property
    def ideal_bits_per_byte(self) -> float:
        return self.ideal_bits / self.content_bytes

    @property
    def bits_per_token(self) -> float | None:
        """Ideal; None unless the model coded everything."""
        if not self.tokens or self.modelled_bytes != self.content_bytes:
            return None
        return self.ideal_bits / self.tokens

    @property
    def two_part_bits_per_byte(self) -> float:
        """The pack counted as part of the message, once."""
        return 8 * (self.archive_bytes + self.model_bytes) / self.content_bytes

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
            "two_part_bits_per_byte": self.two_part_bits_per_byte,
        }


_SUMMED = (
    "content_bytes", "tokens", "ideal_bits", "payload_bytes", "archive_bytes", "modelled_bytes",
    "compress_s", "documents",
)  # fmt: skip


def pool(measurements: Iterable[Measurement]) -> Measurement:
    """All bits over all bytes, of measurements with one model: never a mean of ratios."""
    parts = list(measurements)
    first = parts[0]
    assert all((m.identity, m.settings) == (first.identity, first.settings) for m in parts)
    sums = {name: sum(getattr(m, name) for m in parts) for name in _SUMMED}
    times = [m.decompress_s for m in parts]
    decoded = None if None in times else sum(t for t in times if t is not None)
    return dataclasses.replace(first, document="all", sha256="", decompress_s=decoded, **sums)


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
        if not _LINE_START.startswith(data[whole:][: len(_LINE_START)]):
            raise CorruptError(f"{path}: not a file of measurements")
        for number, line in enumerate(data[:whole].splitlines(), 1):
            try:
                fields = json.loads(line)
                names = {f.name for f in dataclasses.fields(Measurement)}
                measurement = Measurement(**{name: fields[name] for name in names})
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
        with self._path.open("ab") as file:
            file.write(json.dumps(measurement.as_dict(), sort_keys=True).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
