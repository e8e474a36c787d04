"""A loss of power at any moment of a run: what the disk may hold then, and what is lost.

The calls of a run are replayed into a model of a disk. Contents of a file are safe once the file
was synchronised, names in a folder once the folder was. Of what was done since, any part may have
reached the disk, in any order and in parts of 512 bytes: also names without contents, and removals
without the names that came before them. After every call, some of these states are looked at: an
output must be whole, or what it was before; no input may be gone without its output; lines that
were there before are there still, and their file can be read. At the end, with exit code 0, every
output must be there in every state.
"""

from __future__ import annotations

import dataclasses
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from .commands import Command

SECTOR = 512
State = dict[str, bytes]
"""Contents of files by their path."""
_Land = Callable[[str], bool]
"""Whether a waiting change of that kind (`contents`, `name`, `removal`) has reached the disk."""


@dataclasses.dataclass(eq=False)
class _File:
    """Contents as the program sees them, as they are safe, and the changes between the two."""

    now: bytearray
    safe: bytes
    waiting: list[tuple[int, bytes | None]] = dataclasses.field(default_factory=list)
    """Offset and bytes; None: the file was cut off there."""

    def change(self, offset: int, data: bytes | None) -> None:
        self.waiting.append((offset, data))
        _apply(self.now, offset, data)

    def synchronise(self) -> None:
        self.safe, self.waiting = bytes(self.now), []

    def after(self, land: _Land) -> bytes:
        out = bytearray(self.safe)
        for offset, data in self.waiting:
            if data is None:
                if land("contents"):
                    _apply(out, offset, None)
                continue
            for start in range(0, len(data), SECTOR):
                if land("contents"):
                    _apply(out, offset + start, data[start : start + SECTOR])
        return bytes(out)


def _apply(contents: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del contents[offset:]
        return
    contents.extend(bytes(max(0, offset - len(contents))))
    contents[offset : offset + len(data)] = data


class Disk:
    """Follows the calls of a run."""

    def __init__(self, folder: str, files: Mapping[str, bytes]) -> None:
        """`files`, by their paths in the folder, are on the disk already."""
        self._folder = folder
        self._now = {self._path(name): _File(bytearray(d), d) for name, d in files.items()}
        self._safe = dict(self._now)
        self._waiting: list[tuple[str, list[tuple[str, _File | None]]]] = []
        """Of a folder: names and what they name, None: nothing; all of a change or none of it."""
        self._open: dict[int, tuple[str, _File | None, bool]] = {}

    def _path(self, path: str) -> str:
        return os.path.normpath(os.path.join(self._folder, path))

    def _name(self, *names: tuple[str, _File | None]) -> None:
        """Names of one folder change, all at once."""
        folders = {os.path.dirname(path) for path, _file in names}
        if len(folders) != 1:
            raise NotImplementedError(f"a change of several folders: {sorted(folders)}")
        self._waiting.append((folders.pop(), list(names)))
        for path, file in names:
            if file is None:
                self._now.pop(path, None)
            else:
                self._now[path] = file

    def follow(self, call: Sequence[str], data: bytes) -> bool:
        """Apply a call, with the bytes that it wrote; false if it changes nothing on the disk."""
        kind, number, first, second, _result, offset = call
        fd, at = int(number), int(offset)
        if kind == "open":
            return self._opened(fd, self._path(first), second == "truncate", at == 1)
        path, file, appending = self._open.get(fd, ("", None, False))
        if kind in ("write", "pwrite") and file is not None:
            file.change(len(file.now) if appending else at, data)
        elif kind == "ftruncate" and file is not None:
            file.change(int(call[4]), None)
        elif kind in ("fsync", "fdatasync") and file is not None:
            file.synchronise()
        elif kind in ("fsync", "fdatasync") and path:
            self._synchronise_folder(path)
        elif kind == "link":
            self._name((self._path(second), self._now[self._path(first)]))
        elif kind == "rename":
            old, new = self._path(first), self._path(second)
            self._name((old, None), (new, self._now[old]))
        elif kind == "unlink":
            self._name((self._path(first), None))
        else:
            if kind == "close":
                self._open.pop(fd, None)
            return False
        return True

    def _opened(self, fd: int, path: str, truncated: bool, appending: bool) -> bool:
        changed = False
        if os.path.isdir(path):
            self._open[fd] = path, None, False
            return False
        if not path.startswith(self._folder):
            self._open.pop(fd, None)
            return False
        if path not in self._now:
            self._name((path, _File(bytearray(), b"")))
            changed = True
        elif truncated:
            self._now[path].change(0, None)
            changed = True
        self._open[fd] = path, self._now[path], appending
        return changed

    def _synchronise_folder(self, folder: str) -> None:
        for place, names in self._waiting:
            if place == folder:
                _take(self._safe, names)
        self._waiting = [item for item in self._waiting if item[0] != folder]

    def states(self, rng: random.Random, drawn: int) -> Iterator[tuple[str, State]]:
        """What the disk may hold now: five extremes, and as many drawn at random."""
        plans: dict[str, _Land] = {
            "nothing had reached the disk": lambda kind: False,
            "everything had reached the disk": lambda kind: True,
            "names had reached the disk": lambda kind: kind != "contents",
            "contents had reached the disk": lambda kind: kind == "contents",
            "removals had reached the disk": lambda kind: kind == "removal",
        }
        for what, plan in plans.items():
            yield what, self._state(plan)
        for _ in range(drawn):
            likely = rng.random()
            yield "a part had reached the disk", self._state(lambda kind: rng.random() < likely)  # noqa: B023

    def _state(self, land: _Land) -> State:
        names = dict(self._safe)
        for _folder, change in self._waiting:
            removal = all(file is None for _path, file in change)
            if land("removal" if removal else "name"):
                _take(names, change)
        return {os.path.relpath(p, self._folder): f.after(land) for p, f in names.items()}


def _take(names: dict[str, _File], change: list[tuple[str, _File | None]]) -> None:
    for path, file in change:
        if file is None:
            names.pop(path, None)
        else:
            names[path] = file


@dataclasses.dataclass(frozen=True)
class Judge:
    """What must be there of a command's files, whatever the disk holds."""

    command: Command
    before: State
    expected: State
    """Of outputs and of the file of lines, when all went well."""
    read_lines: Callable[[bytes], bytes | None]
    """What is left of a file of lines once it was opened again, None if it cannot be."""
    same: Callable[[bytes | None, bytes], bool]

    def problems(self, state: State, *, ended: bool) -> Iterator[str]:
        """What was lost. `ended`: the command has ended, with exit code 0."""
        whole = True
        for name in self.command.outputs:
            right = state.get(name) == self.expected[name]
            whole &= right
            if not right and state.get(name) != self.before.get(name):
                yield f"{name} is there, but not whole"
        for name, data in self.before.items():
            if name in self.command.outputs or name == self.command.lines:
                continue
            gone = name == self.command.removed and whole and name not in state
            if state.get(name) != data and not gone:
                yield f"{name} is lost"
        if name := self.command.lines:
            before, now = self.before.get(name, b""), state.get(name, b"")
            if not now.startswith(before):
                yield f"lines of {name} are lost"
            read = self.read_lines(now)
            if before and (read is None or not read.startswith(before)):
                yield f"{name} cannot be read any more"
            whole &= self.same(now, self.expected[name])
        if ended and not whole:
            yield "an output may be gone, though the command has ended with exit code 0"


def replay(
    judge: Judge,
    folder: str,
    trace: Sequence[Sequence[str]],
    written: bytes,
    rng: random.Random,
    drawn: int,
) -> tuple[int, list[str]]:
    """How many states of the disk were looked at, and what was lost in them."""
    disk, place, states = Disk(folder, judge.before), 0, 0
    problems: dict[str, None] = {}
    for number, call in enumerate([*trace, None]):
        if call is not None:
            size = int(call[4]) if call[0] in ("write", "pwrite") else 0
            place += size
            if not disk.follow(call, written[place - size : place]):
                continue
        after = "at the end" if call is None else f"after {call[0]} ({number})"
        for what, state in disk.states(rng, drawn):
            states += 1
            for problem in judge.problems(state, ended=call is None):
                problems.setdefault(f"{problem}, if {what} {after}")
    return states, list(problems)
