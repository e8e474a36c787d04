"""Some failing system calls, kills, full disks, races, and the order in which runs synchronise.

`python -m tests.faults` does the same at length.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest

from .conftest import GOLDEN


def run(*words: str) -> dict:
    result = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--json", *words],
        cwd=GOLDEN.parent.parent, capture_output=True, check=False, timeout=600,
    )  # fmt: skip
    if result.returncode == 77:
        pytest.skip(result.stdout.decode().strip())
    assert result.stdout, result.stderr.decode()
    return json.loads(result.stdout)


def test_nothing_is_lost():
    report = run(
        "--sample", "12", "--kills", "6", "--races", "2", "--commands", "remove", "measure"
    )  # fmt: skip
    assert report["problems"] == []
    assert report["failed"] >= 20
    assert report["full"] > 0 and report["power"] > 0
    assert report["noticed"] == report["without_fsync"] > 0


CALLS = [
    ("open", "3", ".t.tmp", "", "3", "0"),
    ("write", "3", "", "", "9", "0"),
    ("fsync", "3", "", "", "0", "0"),
    ("link", "-1", ".t.tmp", "a.txt.lmz", "0", "0"),
    ("open", "4", ".", "", "4", "0"),
    ("fsync", "4", "", "", "0", "0"),
    ("unlink", "-1", "a.txt", "", "0", "0"),
]


@pytest.mark.parametrize(
    ("missing", "lost"),
    [
        (None, set()),
        (2, {"a.txt.lmz is there, but not whole", "a.txt is lost"}),
        (5, {"a.txt is lost"}),
    ],
)
def test_the_replay_of_a_loss_of_power_notices_what_was_not_synchronised(tmp_path, missing, lost):
    from .faults.commands import COMMANDS
    from .faults.power import Judge, replay

    judge = Judge(
        COMMANDS["remove"], {"a.txt": b"a text"}, {"a.txt.lmz": b"nine long"}, lambda data: data,
        lambda a, b: a == b,
    )  # fmt: skip
    calls = [call for i, call in enumerate(CALLS) if i != missing]
    states, problems = replay(judge, str(tmp_path), calls, b"nine long", random.Random(1), 10)
    assert states == 15 * (7 - (missing is not None))
    ended = "an output may be gone, though the command has ended with exit code 0"
    found = {problem.partition(", if ")[0] for problem in problems if not problem.startswith(ended)}
    assert found == lost
    assert any(problem.startswith(ended) for problem in problems) == bool(lost)


def test_lines_that_a_loss_of_power_has_torn_are_cut_off(tmp_path):
    from lmzip.errors import CorruptError
    from lmzip.rowfile import RowFile

    path = tmp_path / "rows.jsonl"
    first, second = b'{"a": 1}\n', b'{"a": 22}\n'

    def read(data: bytes) -> bytes:
        path.write_bytes(data)
        rows = []
        RowFile(path, one="a row", many="rows", line_start=b'{"a": ', load=rows.append)
        assert path.read_bytes().count(b"\n") == len(rows)
        return path.read_bytes()

    for torn in (
        b"",
        b"\0",
        bytes(9),
        b'{"a"\0\0',
        bytes(5) + second[5:],
        second[:4] + bytes(5) + b"\n",
    ):
        assert read(first + torn) == first
    assert read(bytes(700)) == b""
    for other in (
        bytes(5) + b"other",
        b"\0\0 other\n",
        first + b"other",
        first + bytes(3) + first + second,
    ):
        with pytest.raises(CorruptError):
            read(other)
        assert path.read_bytes() == other
