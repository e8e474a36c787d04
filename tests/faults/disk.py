"""A disk that is full at every 4 KiB, and two processes that write one file."""

from __future__ import annotations

import contextlib
import resource
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .commands import COMMANDS, prepare

STEP = 4096
_MOST = 14
"""Sizes that are tried of a command whose output is long."""


@contextlib.contextmanager
def _small_disk(root: Path, size: int) -> Iterator[Path | None]:
    """A file system of so many bytes, None where none may be mounted."""
    place = Path(tempfile.mkdtemp(dir=root))
    words = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(words, capture_output=True).returncode:
        yield None
        return
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def _limit_file_size(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def fill_the_disk(harness, arguments, report) -> None:
    """Every command with room for 0, 4096, 8192, ... bytes of its output, up to what it needs."""
    for name in arguments.commands:
        command, expected = COMMANDS[name], harness.expected[name]
        longest = max(map(len, expected.values()), default=0)
        sizes = list(range(0, longest + STEP, STEP))
        if len(sizes) > _MOST:
            sizes = sizes[:4] + sizes[4 : -4 : max(1, len(sizes) // (_MOST - 8))] + sizes[-4:]
        if arguments.sample and arguments.sample < 50:
            sizes = sizes[-3:]
        for size in sizes:
            with _small_disk(harness.root, 2 << 20) as place:
                if place is not None:
                    _on_small_disk(harness, name, place, size, report)
            before = size  # a limit on the file's length, which every system has

            def limit(before: int = before) -> None:
                _limit_file_size(before)

            with harness.run(command, before=limit) as outcome:
                outcome.reached = True
                _judge(harness, name, outcome, f"files of at most {size} bytes", report)


def _on_small_disk(harness, name: str, place: Path, size: int, report) -> None:
    import os

    prepare(place, harness.packed)
    for fixed in (COMMANDS[name].lines, COMMANDS[name].stdout, ".messages"):
        if fixed:
            (place / fixed).write_bytes(harness.first_lines if fixed.endswith("l") else b"")
    (place / ".messages").write_bytes(b"\n" * STEP)  # room for what is said
    room = os.statvfs(place)
    filler = room.f_bavail * room.f_frsize - size
    with open(place / ".filler", "wb") as file:
        file.write(bytes(filler))
    command = COMMANDS[name]
    child = harness.start(command, place, before=lambda: None)
    code = harness.wait(child)
    outcome = harness.outcome(place, code)
    outcome.messages = [line for line in outcome.messages if line.strip("\0")]
    _judge(harness, name, outcome, f"a disk with {size} bytes left", report)


def _judge(harness, name: str, outcome, where: str, report) -> None:
    report["full"] += 1
    for problem in harness.problems(name, outcome):
        if "lines of messages" in problem and not outcome.messages:
            continue  # there may be no room for them
        last = outcome.messages[-1] if outcome.messages else ""
        report["problems"].append(f"{name}: {where}: {problem} (code {outcome.code}; {last[:140]})")


def race(harness, arguments, rng, report) -> None:
    """Two processes that write the same file: one of them may fail, the file is whole."""
    names = [name for name in arguments.commands if COMMANDS[name].outputs]
    for i in range(arguments.races if names else 0):
        name = names[i % len(names)]
        command = COMMANDS[name]
        folder = Path(tempfile.mkdtemp(dir=harness.root))
        prepare(folder, harness.packed)
        first = harness.start(command, folder, before=lambda: None)
        harness.wait_a_little(rng)
        second = harness.start(command, folder, before=lambda: None)
        codes = harness.wait(first), harness.wait(second)
        report["races"] += 1
        outcome = harness.outcome(folder, min(codes))
        outcome.messages = outcome.messages[:1]  # both write to one file
        found = [p for p in harness.problems(name, outcome) if "lines of messages" not in p]
        report["problems"] += [f"{name}: two at once: {text} (codes {codes})" for text in found]
        shutil.rmtree(folder)
