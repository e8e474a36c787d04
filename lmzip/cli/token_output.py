"""What commands write about single tokens: rows of --per-token, and what --html shows of a text."""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ..errors import UsageError
from ..files import atomic_output
from .outcome import Outcome

if TYPE_CHECKING:
    from ..measure import Document, Measurement, Method, TokenTable
    from ..report.html import HeatMap

__all__ = ["TokenOutput"]

_SHOWN_ALTERNATIVES = 4


class TokenOutput:
    """Collects tokens as documents are measured, if anything is to be written about them."""

    def __init__(self, given: dict[str, Any], outcome: Outcome) -> None:
        self._given, self._outcome = given, outcome
        self._stack = contextlib.ExitStack()
        self._writer: Any = None
        self.tables: list[TokenTable] = []
        """Without texts, for sums."""
        self.heat_maps: list[HeatMap] = []
        self.command = shlex.join(["lmzip", *sys.argv[1:]])

    def __enter__(self) -> TokenOutput:
        for option in ("html", "plots"):  # found out before hours of measuring, not behind
            target = self._given.get(option)
            if target is None:
                continue
            folder = target if option == "plots" and target.is_dir() else target.parent
            if not os.access(folder, os.W_OK):
                raise UsageError(f"{target}: its folder is not writable")
        if self._given.get("html") or self._given.get("plots"):
            from ..report.plots import require_matplotlib

            require_matplotlib()
        path = self._given.get("per_token")
        if path is not None:
            from ..measure import TokenWriter

            file = self._stack.enter_context(self._output(path))
            try:
                self._writer = TokenWriter(file, parquet=path.suffix == ".parquet")
            except BaseException:
                self._stack.__exit__(*sys.exc_info())
                raise
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            if self._writer is not None and error[0] is None:
                self._writer.close()
        finally:
            self._stack.__exit__(*error)

    @property
    def wanted(self) -> bool:
        return self._writer is not None or bool(self._given.get("html"))

    def add(self, method: Method, document: Document, measurement: Measurement) -> None:
        """Note a measured document's tokens."""
        if not self.wanted:
            return
        data = document.read()
        table = method.tokens(document.name, data, top=self._given.get("alternatives") or 0)
        if table is None:
            return
        table = dataclasses.replace(table, model=method.name)
        others = int((np.isnan(table.bits) & ~np.isnan(table.model_bits)).sum())
        if others:
            self._outcome.notice(
                f"{document.name} ({method.name}): {others} of {len(table.ids)} tokens have no "
                "bits, because their blocks are smaller without the model"
            )
        if self._writer is not None:
            self._writer.add(table)
        if self._given.get("html"):
            self.tables.append(dataclasses.replace(table, texts=(), alternatives=()))
            self._add_heat_map(method, document.name, data)

    def _add_heat_map(self, method: Method, name: str, data: bytes) -> None:
        from ..report.pages import heat_map

        shown, patterns = self._given["heat_map"], self._given["heat_map_of"]
        if not shown or (patterns and not any(fnmatch.fnmatch(name, p) for p in patterns)):
            return
        part = data[:shown]
        while part and len(part) < len(data) and data[len(part)] & 0xC0 == 0x80:
            part = part[:-1]  # between characters
        table = method.tokens(name, part, top=_SHOWN_ALTERNATIVES)
        if table is not None:
            table = dataclasses.replace(table, model=method.name)
            self.heat_maps.append(heat_map(table, len(part), len(part) == len(data)))

    def write_page(self, page: str) -> None:
        """The page at --html, whole or not at all."""
        with self._output(self._given["html"]) as out:
            out.write(page.encode())

    def _output(self, path: Path) -> contextlib.AbstractContextManager[BinaryIO]:
        """A file that shows the texts, so no more public than they are."""
        return atomic_output(path, overwrite=True, within=self._given.get("within", 0o777))
