"""The base installation: everything but what an extra is for, with the extras' packages blocked."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lmzip import extras
from lmzip.errors import MissingPackageError, UsageError

TEXT = b"The base installation compresses, lists and measures without PyTorch.\n" * 20
ROOT = Path(__file__).parent.parent
BLOCKED = sorted(extras._EXTRAS)

PROGRAM = f"""
import importlib.metadata
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

def version(name):
    if name in {BLOCKED}:
        raise importlib.metadata.PackageNotFoundError(name)
    return installed(name)

sys.meta_path.insert(0, Blocked())
installed, importlib.metadata.version = importlib.metadata.version, version
from lmzip.cli.main import main
main()
"""


@pytest.fixture
def light(tiny_home, tmp_path):
    """Run the command in a Python that has no extra's package."""

    def run(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        environment = os.environ | {"LMZIP_HOME": str(tiny_home), "LMZIP_OFFLINE": "1"}
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, *words],
            input=stdin,
            capture_output=True,
            cwd=tmp_path,
            env=environment,
            timeout=120,
            check=False,
        )

    return run


def test_what_the_base_does(light, tmp_path):
    (tmp_path / "note").write_bytes(TEXT)
    for words in (["note"], ["-t", "note.lmz"], ["-d", "note.lmz", "-o", "back"]):
        result = light(*words)
        assert (result.returncode, result.stderr) == (0, b"")
    assert (tmp_path / "back").read_bytes() == TEXT
    listed = light("-l", "note.lmz")
    assert listed.returncode == 0 and b"lmzip-3m" in listed.stdout
    known = light("models", "list")
    assert known.returncode == 0 and b"built in" in known.stdout
    measured = light("measure", "-q", "-m", "tiny", "note")
    assert measured.returncode == 0 and b"tiny" in measured.stdout, measured.stderr
    compared = light("compare", "-q", "-m", "tiny", "note")
    assert compared.returncode == 0 and b"xz" in compared.stdout, compared.stderr


def test_a_checkpoint_is_converted_without_pytorch(light, tiny_folder, tiny_home):
    result = light("models", "add", "-q", "--name", "light", str(tiny_folder))
    assert (result.returncode, result.stderr) == (0, b"")
    packed = light("-c", "-m", "light", stdin=TEXT)
    assert light("-dc", stdin=packed.stdout).stdout == TEXT
    (tiny_home / "models" / "light.lmzpack").unlink()


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        ("--engine reference -c note", "torch"),
        ("--engine triton -c note", "gpu"),
        ("train note -o my-model", "torch"),
        ("measure -m float:gpt2 note", "torch"),
        ("lab run capacity --quick", "torch"),
        ("compare note -m tiny -c ppmd", "compare"),
        ("measure rows.parquet --field text", "data"),
        ("distance note note2 --plot tree.svg", "plot"),
        ("compare -m tiny note --plots plots", "plot"),
    ],
)
def test_what_needs_an_extra_says_which(light, tmp_path, words, extra):
    for name in ("note", "note2", "rows.parquet"):
        (tmp_path / name).write_bytes(TEXT)
    result = light(*words.split())
    assert result.returncode in (1, 2) and not result.stdout
    assert f"pip install 'lmzip[{extra}]' installs it" in result.stderr.decode(), result.stderr
    assert result.stderr.count(b"\n") == 1


def test_packages_that_are_there_and_missing(monkeypatch):
    extras.require_packages("this", "json")
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(MissingPackageError, match=r"scipy is missing for trees: pip .*\[plot\]"):
        extras.require_packages("trees", "scipy")
    assert issubclass(MissingPackageError, UsageError)
    assert extras.extra_of("torch.nn") == "torch" and extras.extra_of("os") is None


def test_every_extra_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {
        name: {word.partition(">")[0].partition(";")[0].strip() for word in words}
        for name, words in project["optional-dependencies"].items()
    }
    base = {word.partition(">")[0] for word in project["dependencies"]}
    for module, (_title, extra) in extras._EXTRAS.items():
        assert module in declared[extra]
        assert module not in base
        assert extra in next(iter(declared["all"]))
