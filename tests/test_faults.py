"""Some failing system calls, kills, full disks, races, and the order in which runs synchronise.

`python -m tests.faults` does the same at length.
"""

from __future__ import annotations

import json
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
    assert report["full"] > 0 and report["power"] == 2


def test_the_judge_of_power_loss_notices_what_is_missing(tmp_path):
    from .faults.commands import COMMANDS
    from .faults.power import Disk

    good = [
        ("open", "3", ".t.tmp", "", "3", "0"),
        ("write", "3", "", "", "9", "0"),
        ("fsync", "3", "", "", "0", "0"),
        ("link", "-1", ".t.tmp", "a.txt.lmz", "0", "0"),
        ("open", "4", str(tmp_path), "", "4", "0"),
        ("fsync", "4", "", "", "0", "0"),
        ("unlink", "-1", "a.txt", "", "0", "0"),
    ]
    for missing in (None, 2, 5):
        disk = Disk(COMMANDS["remove"], str(tmp_path))
        disk.follow(call for i, call in enumerate(good) if i != missing)
        assert bool(disk.problems) == (missing is not None)
