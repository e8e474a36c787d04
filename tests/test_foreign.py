"""Archives decode in C++ alone, here and on other processors by emulation.

Building for another processor and emulating it takes minutes, so these tests run where
LMZIP_FOREIGN is set, and where a compiler and qemu's user emulation are installed for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import GOLDEN

NATIVE = GOLDEN.parent.parent / "native"
MACHINES = ["here", "aarch64", "s390x"]


def found_emulator(machine: str) -> str | None:
    """qemu's user emulation of a processor: Debian has it in two packages, with two names."""
    return shutil.which(f"qemu-{machine}-static") or shutil.which(f"qemu-{machine}")


def run(machine: str, program: Path, *words: object) -> str:
    """What a program prints; it must end well."""
    emulator = [] if machine == "here" else [found_emulator(machine)]
    words = tuple(map(str, (program, *words)))
    return subprocess.run([*emulator, *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module", params=MACHINES)
def machine(request):
    compiler = "g++" if request.param == "here" else f"{request.param}-linux-gnu-g++"
    if not os.environ.get("LMZIP_FOREIGN"):
        pytest.skip("LMZIP_FOREIGN is not set")
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    if request.param != "here" and not found_emulator(request.param):
        pytest.skip(f"qemu's user emulation of {request.param} is not installed")
    return request.param, compiler


@pytest.fixture(scope="module")
def programs(machine, tmp_path_factory):
    name, compiler = machine
    folder = tmp_path_factory.mktemp(name)
    flags = ["-std=c++20", "-O2", "-ffp-contract=off", "-pthread"]
    sources = [p for p in NATIVE.rglob("*.cpp") if p.parent.name != "tests"]
    objects = []
    for source in sources:
        if source.name == "bindings.cpp":
            continue
        objects.append(folder / f"{source.parent.name}-{source.name}.o")
        subprocess.run([compiler, *flags, "-c", source, "-o", objects[-1]], check=True)
    for test in ("decode", "coding", "range_coder"):
        source = NATIVE / "tests" / f"{test}.cpp"
        words = [compiler, *flags, "-static", source, *objects, "-o", folder / test]
        subprocess.run(words, check=True)
    return name, folder


def test_archives_decode(programs, tmp_path):
    pytest.importorskip("lmzip._native")
    from .foreign import golden

    (tmp_path / "golden").write_bytes(golden())
    name, folder = programs
    out = run(name, folder / "decode", tmp_path / "golden")
    assert out.startswith("big" if name == "s390x" else "little")
    assert out.endswith(" 0 failures\n")


def test_coding_gives_the_same_bytes_on_every_machine(programs):
    name, folder = programs
    assert run(name, folder / "coding") == CODING
    run(name, folder / "range_coder")


CODING = "coding       198 checks, checksum a928b039d9dba7dd\n"
