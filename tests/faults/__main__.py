"""python -m tests.faults: run everything, print a table, exit with 1 if a promise was broken.

--sample N: at most N failing calls a command (0: all)    --kills N    --commands NAME...
"""

from __future__ import annotations

import argparse
import collections
import errno
import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from .commands import COMMANDS, prepare
from .library import ERRORS, SHORT, build


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--sample", type=int, default=150)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--races", type=int, default=20)
    parser.add_argument("--states", type=int, default=20, help="drawn of a disk, after each call")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _name(error: int) -> str:
    return "short" if error == SHORT else errno.errorcode[error]


def _calls(harness, arguments, rng, report) -> None:
    """Fail calls one by one."""
    from .harness import Fault

    for name in arguments.commands:
        command = COMMANDS[name]
        with harness.run(command) as outcome:
            counts = outcome.counts
        faults = [
            Fault(kind, number, error)
            for kind, count in counts.items()
            for error in ERRORS[kind]
            for number in range(1, count + 1)
        ]
        report["possible"] += len(faults)
        if arguments.sample and len(faults) > arguments.sample:
            # As many of each kind and error as there is room for; then any others.
            rng.shuffle(faults)
            seen: collections.Counter[tuple[str | None, int]] = collections.Counter()
            ranks = {}
            for fault in faults:
                seen[fault.kind, fault.error] += 1
                ranks[fault] = seen[fault.kind, fault.error]
            faults = sorted(faults, key=ranks.__getitem__)[: arguments.sample]
        for fault in faults:
            with harness.run(command, fault) as outcome:
                result = "success" if outcome.code == 0 else "error"
                if not outcome.reached:
                    result = "not reached"
                report["outcomes"][fault.kind][result] += 1
                report["failed"] += outcome.reached
                found = harness.problems(name, outcome)
                lost = fault.error in (errno.EIO, errno.ENOSPC)
                if fault.kind == "fsync" and lost and outcome.reached and outcome.code == 0:
                    found.append("exit code 0, though the disk may not have it")
                for problem in found:
                    where = f"{name}: {fault.kind} {fault.number} {_name(fault.error)}"
                    last = outcome.messages[-1] if outcome.messages else ""
                    report["problems"].append(
                        f"{where}: {problem} (code {outcome.code}; {last[:140]})"
                    )


def _power(harness, arguments, rng, report) -> None:
    """Replay runs up to a loss of power; and once more without one of their calls of fsync each."""
    from .harness import same
    from .power import Judge, replay

    for name in arguments.commands:
        command = COMMANDS[name]
        for fresh in (False, True)[: 1 + bool(command.lines)]:
            folder = Path(tempfile.mkdtemp(dir=harness.root))
            prepare(folder, harness.packed)
            if command.lines and not fresh:
                (folder / command.lines).write_bytes(harness.first_lines)
            before = {
                str(path.relative_to(folder)): path.read_bytes()
                for path in folder.rglob("*")
                if path.is_file()
            }
            with harness.run(command, traced=True, folder=folder) as outcome:
                expected = {
                    file: outcome.read(file) or b""
                    for file in (*command.outputs, command.lines)
                    if file
                }
            judge = Judge(command, before, expected, harness.read_lines, same)
            states, problems = replay(
                judge, str(folder), outcome.trace, outcome.written, rng, arguments.states
            )
            report["power"] += states
            report["problems"] += [f"{name}: power: {text}" for text in problems]
            for i, call in enumerate(outcome.trace):
                if call[0] in ("fsync", "fdatasync"):
                    rest = outcome.trace[:i] + outcome.trace[i + 1 :]
                    noticed = replay(judge, str(folder), rest, outcome.written, rng, 0)[1]
                    report["without_fsync"] += 1
                    report["noticed"] += bool(noticed)
            shutil.rmtree(folder)


def _kills(harness, arguments, rng, report) -> None:
    for i in range(arguments.kills):
        name = arguments.commands[i % len(arguments.commands)]
        if not harness.seconds.get(name):
            start = time.monotonic()
            with harness.run(COMMANDS[name]):
                harness.seconds[name] = time.monotonic() - start
        moment = rng.random() * harness.seconds[name]
        with harness.run(COMMANDS[name], kill_after=moment) as outcome:
            report["killed"] += outcome.code == -9
            for problem in harness.problems(name, outcome, killed=outcome.code == -9):
                if not problem.startswith("left behind"):
                    report["problems"].append(f"{name}: SIGKILL after {moment:.3f} s: {problem}")


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if "LMZIP_FAULTS" not in os.environ:
            library = build(root)
            if library is None:
                print("there is no C compiler, or this is not Linux")
                return 77
            kept = os.environ | {"LD_PRELOAD": str(library), "LMZIP_FAULTS": "1"}
            words = [sys.executable, "-m", "tests.faults", *sys.argv[1:]]
            return os.spawnve(os.P_WAIT, sys.executable, words, kept)
        from .disk import fill_the_disk, race
        from .harness import Harness

        start = time.monotonic()
        harness = Harness(root)
        report = {
            "possible": 0, "failed": 0, "killed": 0, "power": 0, "without_fsync": 0, "noticed": 0,
            "races": 0, "full": 0,
            "outcomes": collections.defaultdict(collections.Counter), "problems": [],
        }  # fmt: skip
        rng = random.Random(arguments.seed)
        _calls(harness, arguments, rng, report)
        _power(harness, arguments, rng, report)
        _kills(harness, arguments, rng, report)
        fill_the_disk(harness, arguments, report)
        race(harness, arguments, rng, report)
        report["seconds"] = round(time.monotonic() - start, 1)
        if arguments.json:
            print(json.dumps(report))
        else:
            _print(report)
        return int(bool(report["problems"]))


def _print(report) -> None:
    print(f"{'call':12}{'failed':>8}{'exit 0':>8}{'exit > 0':>10}")
    for kind, results in sorted(report["outcomes"].items()):
        both = results["success"] + results["error"]
        print(f"{kind:12}{both:8}{results['success']:8}{results['error']:10}")
    print(
        f"{report['failed']} calls failed of {report['possible']} possible faults; "
        f"{report['killed']} runs killed; {report['power']} disks after a loss of power "
        f"({report['noticed']} of {report['without_fsync']} calls of fsync are missed if they are "
        f"left out); {report['full']} sizes of a full disk; {report['races']} races; "
        f"{report['seconds']} s"
    )
    print(f"{len(report['problems'])} broken promises")
    for problem in report["problems"]:
        print(f"  {problem}")


if __name__ == "__main__":
    sys.exit(main())
