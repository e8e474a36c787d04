"""Runs of the command in forked children of one process that has loaded all modules already.

So a run takes a small part of a second, and no fault falls on Python's own loading of modules.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from .commands import COMMANDS, ENVIRONMENT, TEXT, TIMES, Command, prepare
from .library import Injector

LIMIT_S = 120.0
_REPORT = ".report"
_TRACE = ".trace"
_WRITTEN = ".written"
_MESSAGES = ".messages"


@dataclasses.dataclass
class Outcome:
    """What a run left behind."""

    folder: Path
    code: int
    """Negative: the signal that ended it."""
    messages: list[str]
    """Lines of standard error."""
    reached: bool = True
    """Whether the fault happened."""
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    trace: list[list[str]] = dataclasses.field(default_factory=list)
    """The calls that changed files: kind, descriptor, names, result, offset."""
    written: bytes = b""
    """What those calls wrote, one after another."""

    @property
    def errors(self) -> list[str]:
        """The messages without the warning of a model that cannot be looked at."""
        return [line for line in self.messages if "skipped: " not in line]

    def read(self, name: str) -> bytes | None:
        """A file's contents, None if it is not there."""
        try:
            return (self.folder / name).read_bytes()
        except FileNotFoundError:
            return None


@dataclasses.dataclass(frozen=True)
class Fault:
    """The call that fails."""

    kind: str | None = None
    number: int = 0
    error: int = 0


def _command(words: tuple[str, ...]) -> int:
    """The exit code that the command would have."""
    from lmzip.cli.main import main

    sys.argv = ["lmzip", *words]
    try:
        main()
    except SystemExit as stopped:
        return stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1


def _redirect(command: Command) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(command.stdout or os.devnull, flags, 0o600), 1)
    os.dup2(os.open(_MESSAGES, flags, 0o600), 2)


class Harness:
    """Folders and children."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._injector = Injector()
        os.environ |= ENVIRONMENT
        self.packed = b""
        self.first_lines = b""
        """Of files that lines are appended to."""
        self.seconds: dict[str, float] = {}
        """How long commands take."""
        self._load_modules()
        self.first_lines = self._first_lines()
        self.expected = {name: self._expected(name) for name in COMMANDS}

    def _first_lines(self) -> bytes:
        """A measurement of another text, which stands in the file already."""
        words = tuple("b.txt" if w == "a.txt" else w for w in COMMANDS["measure"].words)
        with self.run(Command(words)) as outcome:
            return outcome.read(COMMANDS["measure"].lines) or b""

    def _load_modules(self) -> None:
        """What the commands import, this process imports, too."""
        sources = [Command(("-o", "p2.lmz", "a.txt"))]
        for command in (*sources, *COMMANDS.values()):
            with self.run(command, names_modules=True) as outcome:
                if outcome.code:
                    raise RuntimeError(f"{command.words} fails without a fault: {outcome.messages}")
                if command in sources:
                    self.packed = outcome.read("p2.lmz") or b""
                names = json.loads((outcome.folder / ".modules").read_text())
            for name in names:
                if name not in sys.modules and name != "__main__":
                    with contextlib.suppress(Exception):
                        importlib.import_module(name)

    def _expected(self, name: str) -> dict[str, bytes]:
        command = COMMANDS[name]
        with self.run(command) as outcome:
            wanted = [*command.outputs, *filter(None, (command.stdout, command.lines))]
            return {file: outcome.read(file) or b"" for file in wanted}

    @contextlib.contextmanager
    def run(
        self,
        command: Command,
        fault: Fault | None = None,
        *,
        traced: bool = False,
        names_modules: bool = False,
        before: Callable[[], None] | None = None,
        kill_after: float | None = None,
        folder: Path | None = None,
    ) -> Iterator[Outcome]:
        """What came of a run. `before` is called in the child, ahead of the command."""
        own = folder is None
        folder = folder or Path(tempfile.mkdtemp(dir=self.root))
        try:
            if own:
                prepare(folder, self.packed)
                if command.lines:
                    (folder / command.lines).write_bytes(self.first_lines)
            child = self.start(command, folder, fault, traced, names_modules, before)
            code = self.wait(child, kill_after)
            yield self.outcome(folder, code)
        finally:
            if own:
                shutil.rmtree(folder, ignore_errors=True)

    def start(
        self,
        command: Command,
        folder: Path,
        fault: Fault | None = None,
        traced: bool = False,
        names_modules: bool = False,
        before: Callable[[], None] | None = None,
    ) -> int:
        """The process number of a child that runs the command there."""
        child = os.fork()
        if child:
            return child
        try:
            os.chdir(folder)
            if before is not None:
                before()
            _redirect(command)
            files = (_TRACE, _WRITTEN) if traced else ()
            logs = [os.open(file, os.O_WRONLY | os.O_CREAT, 0o600) for file in files]
            fault = fault or Fault()
            self._injector.arm(fault.kind, fault.number, fault.error, *logs)
            code = _command(command.words)
            reached, counts = self._injector.disarm()
            if before is None:
                Path(_REPORT).write_text(json.dumps([reached, counts]))
            if names_modules:
                Path(".modules").write_text(json.dumps(list(sys.modules)))
        except BaseException:
            traceback.print_exc()
            code = 99
        os._exit(code)

    @staticmethod
    def wait_a_little(rng: random.Random) -> None:
        """At most some milliseconds."""
        time.sleep(rng.random() * 0.02)

    @staticmethod
    def wait(child: int, kill_after: float | None = None) -> int:
        """The exit code of a child; it is killed after so many seconds."""
        limit = LIMIT_S if kill_after is None else kill_after
        end = time.monotonic() + limit
        pause = 0.0005
        while True:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() >= end:
                os.kill(child, signal.SIGKILL)
                _, status = os.waitpid(child, 0)
                return os.waitstatus_to_exitcode(status)
            time.sleep(min(pause, max(0.0, end - time.monotonic())))
            pause = min(2 * pause, 0.01)

    @staticmethod
    def outcome(folder: Path, code: int) -> Outcome:
        """What stands in the folder."""
        messages = folder / _MESSAGES
        lines = messages.read_text(errors="replace").splitlines() if messages.exists() else []
        outcome = Outcome(folder, code, lines)
        if (folder / _REPORT).exists():
            outcome.reached, outcome.counts = json.loads((folder / _REPORT).read_text())
        if (folder / _TRACE).exists():
            rows = (folder / _TRACE).read_text().splitlines()
            outcome.trace = [row.split("\t") for row in rows]
            outcome.written = (folder / _WRITTEN).read_bytes()
        return outcome

    def read_lines(self, data: bytes) -> bytes | None:
        """What a file of measurements holds once it was opened again, None if that fails."""
        from lmzip.errors import LmzipError
        from lmzip.measure.results import ResultStore

        path = self.root / "lines.jsonl"
        path.write_bytes(data)
        try:
            ResultStore(path)
        except LmzipError:
            return None
        return path.read_bytes()

    def problems(self, name: str, outcome: Outcome, *, killed: bool = False) -> list[str]:
        """What is wrong with what a run left behind; nothing if it is all as promised."""
        command, found = COMMANDS[name], []
        expected = self.expected[name]
        whole = True
        for file in command.outputs:
            data = outcome.read(file)
            right = data == expected[file]
            whole &= right
            before = b"what was here before" if file == "old.lmz" else None
            if not right and data != before:
                found.append(f"{file} is there, but not whole")
        if command.stdout:
            whole &= same(outcome.read(command.stdout), expected[command.stdout])
        if command.lines:
            data = outcome.read(command.lines) or b""
            if not data.startswith(self.first_lines):
                found.append(f"lines of {command.lines} are lost")
            whole &= same(data, expected[command.lines])
            tail = data.rpartition(b"\n")[2]
            if tail and not killed:
                found.append(f"{command.lines} ends in a line cut short")
        for file, data in (("a.txt", TEXT), ("p.lmz", self.packed)):
            there = outcome.read(file)
            if there != data and not (there is None and file == command.removed and whole):
                found.append(f"the input {file} is lost")
        if killed:
            return found
        if outcome.code < 0:
            found.append(f"ended by signal {-outcome.code}")
        if outcome.code == 0 and not whole:
            found.append("exit code 0, but the output is not whole")
        if outcome.code == 0 and command.removed and outcome.read(command.removed) is not None:
            found.append("exit code 0, but the input was not removed")
        if any("Traceback" in line for line in outcome.messages):
            found.append("a traceback")
        elif outcome.code and len(outcome.errors) != 1:
            found.append(f"{len(outcome.messages)} lines of messages")
        left = [p.name for p in outcome.folder.rglob("*") if ".tmp" in p.name or ".pull" in p.name]
        if left:
            found.append(f"left behind: {', '.join(left)}")
        return found


def same(data: bytes | None, expected: bytes) -> bool:
    """Whether they are equal, but for the times in lines of JSON."""
    if data is None or not expected.startswith(b"{"):
        return data == expected
    return _timeless(data) == _timeless(expected)


def _timeless(data: bytes) -> object:
    try:
        rows = [json.loads(line) for line in data.splitlines()]
    except ValueError:
        return data
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows]
