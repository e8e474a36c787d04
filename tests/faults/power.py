"""A loss of power, judged from the calls that a run made: what was not synchronised may be gone.

After any call the power may go. Then data that no fsync came behind may be missing though the
file's name is there, and a name may be missing though the call that made it has returned, unless
its folder was synchronised since; while a removal may have taken effect at once. So: data is
synchronised before it takes its name, the name before the input goes, and both before the command
ends well.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence

from .commands import Command


@dataclasses.dataclass
class _File:
    """What the disk has of a file, or of a folder."""

    unsynchronised: bool = False
    """Whether bytes, or, of a folder, names in it may be gone."""


class Disk:
    """Follows the calls of a run."""

    def __init__(self, command: Command, folder: str) -> None:
        self._command, self._folder = command, folder
        self._open: dict[int, str] = {}
        self._files: dict[str, _File] = {}
        self.problems: list[str] = []

    def _path(self, path: str) -> str:
        return os.path.normpath(os.path.join(self._folder, path))

    def _file(self, path: str) -> _File:
        return self._files.setdefault(path, _File())

    def _watched(self, path: str) -> str:
        """The name of an output that must be whole, or of a file of lines; else empty."""
        for name in (*self._command.outputs, self._command.lines):
            if name and self._path(name) == path:
                return name
        return ""

    def follow(self, calls: Iterable[Sequence[str]]) -> None:
        """Collect in `problems` what a loss of power would have cost."""
        for kind, number, first, second, _result, _offset in calls:
            fd = int(number)
            if kind == "open":
                path = self._path(first)
                if path not in self._files and not os.path.isdir(path):
                    self._file(os.path.dirname(path)).unsynchronised = True
                self._open[fd] = path
                if second == "truncate" and self._watched(path):
                    self.problems.append(f"{self._watched(path)} is overwritten in place")
            elif kind in ("write", "pwrite", "ftruncate") and fd in self._open:
                path = self._open[fd]
                self._file(path).unsynchronised = True
                if path in map(self._path, self._command.outputs):
                    self.problems.append("an output is written to under its final name")
            elif kind in ("fsync", "fdatasync") and fd in self._open:
                self._file(self._open[fd]).unsynchronised = False
            elif kind == "close":
                self._open.pop(fd, None)
            elif kind in ("rename", "link"):
                self._name(self._path(first), self._path(second))
            elif kind == "unlink":
                self._remove(self._path(first))

    def _name(self, old: str, new: str) -> None:
        if self._file(old).unsynchronised and self._watched(new):
            self.problems.append(
                f"{self._watched(new)} has its name before its data is on the disk"
            )
        self._files[new] = self._file(old)
        self._file(os.path.dirname(new)).unsynchronised = True

    def _remove(self, path: str) -> None:
        if self._command.removed and path == self._path(self._command.removed):
            self._require_outputs("when the input is removed")

    def _require_outputs(self, when: str) -> None:
        for name in (*self._command.outputs, *filter(None, (self._command.lines,))):
            path = self._path(name)
            if self._file(path).unsynchronised:
                self.problems.append(f"the data of {name} may be gone {when}")
            if self._file(os.path.dirname(path)).unsynchronised:
                self.problems.append(f"the name {name} may be gone {when}")

    def ended_well(self) -> None:
        """The command is done, with exit code 0."""
        if not self._command.removed:  # the input's own removal may be undone without harm
            self._require_outputs("when the command has ended")
