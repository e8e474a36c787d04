"""python -m tests.fuzz NAME... --inputs N --seed S: run targets; without names, list them."""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from pathlib import Path

from .coverage import reached
from .loop import attempt, fuzz
from .targets import TARGETS

FOUND = Path(__file__).parent / "found"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TARGETS))
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="for each target")
    parser.add_argument("--keep", action="store_true", help="write what was found to found/")
    parser.add_argument("--missed", action="store_true", help="list lines that were not reached")
    parser.add_argument(
        "--no-memory-limit", action="store_true", help="for runs under AddressSanitizer"
    )
    arguments = parser.parse_args()
    if not arguments.names:
        print("\n".join(f"{name:12}{made.__doc__}" for name, made in TARGETS.items()))
    faults = 0
    for name in arguments.names:
        target = TARGETS[name]()
        before = time.process_time()
        result = fuzz(target, arguments.inputs, arguments.seed, arguments.seconds,
                      limit_memory=not arguments.no_memory_limit)  # fmt: skip
        processor = time.process_time() - before
        print(
            f"{name:12}{result.inputs:9} inputs {result.accepted:8} accepted {len(result.lines):5} lines "
            f"{result.kept:5} kept {result.seconds:7.1f} s ({processor:.1f} s of processor)  {len(result.found)} faults",
            flush=True,
        )
        for module, (there, all_, missed) in reached(result.lines, target.modules).items():
            print(f"    {module}: {there} of {all_} lines of functions ({there / all_:.0%})"
                  + (f", not {missed}" if arguments.missed else ""), flush=True)  # fmt: skip
        for problem, data in result.found.items():
            faults += 1
            print(f"    {attempt(target, data)[1] or problem} <- {data[:120]!r}", flush=True)
            if arguments.keep:
                file = FOUND / f"{name}--{hashlib.sha256(data).hexdigest()[:10]}"
                file.write_bytes(data)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
