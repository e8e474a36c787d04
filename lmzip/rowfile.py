"""A file of JSON lines that only grows: who is killed while writing loses one line.

What measurements, lengths of codings and the laboratory's rows are kept in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .errors import CorruptError
from .files import append_line

__all__ = ["RowFile"]


class RowFile:
    """Rows of one kind, each on the disk as soon as it is added."""

    def __init__(
        self,
        path: Path,
        *,
        one: str,
        many: str,
        line_start: bytes,
        load: Callable[[dict[str, Any]], None],
        sort_keys: bool = False,
    ) -> None:
        """Open or create the file and `load` every row that it holds, in order.

        `one` and `many` are what people call a row and rows; every line begins with `line_start`,
        by which a line that was cut short is known as the file's own. `load` raises ValueError,
        KeyError or TypeError for what is no such row. Raises CorruptError if the file holds
        something else, OSError if it cannot be read or written.
        """
        self._path, self._sort_keys = path, sort_keys
        with path.open("ab"):
            pass
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        # After a loss of power, the line that was being written may have zeros for its parts.
        if b"\0" in data[(last := data.rfind(b"\n", 0, max(0, whole - 1)) + 1) : whole]:
            whole = last
        tail = data[whole:]
        # A line cut short is ours if whole ones stand before it, or if it says so itself.
        ours = tail.startswith(line_start) or (
            (line_start.startswith(tail) or b"\0" in tail) if whole else not tail.strip(b"\0")
        )
        if tail and not ours:
            raise CorruptError(f"{path}: not a file of {many}")
        for number, line in enumerate(data[:whole].splitlines(), 1):
            try:
                load(json.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError):
                raise CorruptError(f"{path}, line {number}: not {one}") from None
        if tail:  # killed, or without power, while writing
            os.truncate(path, whole)

    def append(self, row: Mapping[str, Any]) -> None:
        """Write a row; it is on the disk when this returns."""
        line = json.dumps(row, sort_keys=self._sort_keys).encode() + b"\n"
        append_line(self._path, line)
