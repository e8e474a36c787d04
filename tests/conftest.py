"""Fixtures: small models made on the spot, and the shared texts where there are any."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

if os.environ.get("LMZIP_TEST_DEVICE", "cpu") == "cpu":
    # Triton asks once, when it is first imported, whether to interpret. PyTorch's compiler may
    # import it before the tests of Triton do.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        with contextlib.suppress(ImportError):
            import triton  # noqa: F401

from lmzip.codec import CodecModel, OneModel
from lmzip.engine import Pack
from lmzip.models.source import load_model

from . import tiny

# The same examples every time: a change that breaks something is what makes a test fail. New ones
# are tried by tests.fuzz, and here with HYPOTHESIS_PROFILE=default.
settings.register_profile("same", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama checkpoint with two layers and a few missing byte tokens."""
    return tiny.write_folder(
        tmp_path_factory.mktemp("tiny") / "tiny-llama", missing=(0x04, 0x06, 0xC0, 0xF5, 0xFF)
    )


@pytest.fixture(scope="session")
def tiny_pack() -> Pack:
    """The golden model: trained, so that it compresses English."""
    return Pack.open(GOLDEN / "golden-tiny.lmzpack")


@pytest.fixture(scope="session")
def tiny_model(tiny_pack: Pack) -> CodecModel:
    """The pack, loaded in the reference engine."""
    return load_model(tiny_pack, threads=1)


@pytest.fixture(scope="session")
def tiny_models(tiny_model: CodecModel) -> OneModel:
    """A model source with just that model."""
    return OneModel(tiny_model)


@pytest.fixture(scope="session")
def tiny_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An LMZIP_HOME with the golden model installed as `tiny`."""
    home = tmp_path_factory.mktemp("home")
    (home / "models").mkdir()
    shutil.copy(GOLDEN / "golden-tiny.lmzpack", home / "models" / "tiny.lmzpack")
    return home


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The shared texts; skips where LMZIP_CORPORA names none."""
    folder = os.environ.get("LMZIP_CORPORA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("LMZIP_CORPORA names no folder with the shared texts")
    return Path(folder)


Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def lmzip(tiny_home: Path, tmp_path: Path) -> Run:
    """Run the command as a user would, with the tiny model, in an empty folder."""

    def run(*args: str, stdin: bytes = b"", **extra: str) -> subprocess.CompletedProcess[bytes]:
        environment = os.environ | {
            "LMZIP_HOME": str(tiny_home),
            "LMZIP_MODEL": "tiny",
            "LMZIP_OFFLINE": "1",
            "LMZIP_THREADS": "1",
            **extra,
        }
        return subprocess.run(
            [sys.executable, "-m", "lmzip", *args],
            input=stdin,
            capture_output=True,
            cwd=tmp_path,
            env=environment,
            timeout=120,
            check=False,
        )

    return run
