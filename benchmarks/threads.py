"""Threads against processes of one thread, and this version against another, in one run.

`python benchmarks/threads.py FILE [--other PYTHON]` starts every measurement as a process of its
own, in turns, so that a noisy machine disturbs all alike, and prints medians: kB/s both ways, and
the processor time of the whole process. PYTHON is the interpreter of another version's environment.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

import click

PROGRAM = """
import io, os, sys, time
from pathlib import Path
from lmzip.codec import OneModel, compress_stream, decompress_stream
from lmzip.levels import level
from lmzip.models.source import load_model
from lmzip.models.store import ModelStore
file, limit, number, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
chosen, home = level(number), os.environ.get("LMZIP_HOME")
pack = ModelStore(Path(home) if home else None).open(chosen.model)
models = OneModel(load_model(pack, threads=threads, tokenizing=True))
data, archive, back = Path(file).read_bytes()[:limit], io.BytesIO(), io.BytesIO()
begun = time.perf_counter()
compress_stream(io.BytesIO(data), archive.write, models, chosen.parameters)
half = time.perf_counter()
decompress_stream(io.BytesIO(archive.getvalue()), back.write, models)
end = time.perf_counter()
assert back.getvalue() == data, "the round trip failed"
print(len(data) / (half - begun) / 1e3, len(data) / (end - half) / 1e3, time.process_time(),
      len(archive.getvalue()))
"""


def measure(python: str, arguments: list[str], processes: int) -> tuple[float, float, float, int]:
    """kB/s compressing and decompressing and seconds of processor time, of all; archive bytes."""
    started = [
        subprocess.Popen([python, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    rows = []
    for process in started:
        out, _ = process.communicate()
        if process.returncode:
            sys.exit(f"a measurement failed with exit code {process.returncode}")
        rows.append([float(word) for word in out.split()])
    compress, decompress, cpu, _ = (sum(column) for column in zip(*rows, strict=True))
    return compress, decompress, cpu, int(rows[0][3])


@click.command()
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@click.option("--bytes", "limit", default=300_000, show_default=True, help="Bytes of the file.")
@click.option("--level", "number", default=3, show_default=True)
@click.option("-T", "--threads", default=2, show_default=True)
@click.option("--turns", default=5, show_default=True)
@click.option("--other", help="The Python interpreter of another version's environment.")
def main(file: Path, limit: int, number: int, threads: int, turns: int, other: str | None) -> None:
    """Print a small table."""
    cases = {
        "1 thread": (sys.executable, 1, 1),
        f"{threads} threads": (sys.executable, threads, 1),
        f"{threads} processes of 1 thread": (sys.executable, 1, threads),
    }
    if other:
        cases["the other version, 1 thread"] = other, 1, 1
        cases[f"the other version, {threads} threads"] = other, threads, 1
    found: dict[str, list[tuple[float, float, float, int]]] = {name: [] for name in cases}
    for _ in range(turns):
        for name, (python, count, processes) in cases.items():
            arguments = [str(file.resolve()), str(limit), str(number), str(count)]
            found[name].append(measure(python, arguments, processes))
    sizes = {row[3] for rows in found.values() for row in rows}
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0
    print(f"level {number}, {limit} bytes of {file.name}, archives of {sizes} bytes")
    print(f"medians of {turns}; load average at the end: {load:.1f}")
    print(f"{'':36} {'compress':>9} {'decompress':>11} {'processor':>10}")
    for name, rows in found.items():
        middle = [statistics.median(column) for column in zip(*rows, strict=True)]
        print(f"{name:36} {middle[0]:6.1f} kB/s {middle[1]:6.1f} kB/s {middle[2]:8.1f} s")


if __name__ == "__main__":
    main()
