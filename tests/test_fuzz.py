"""A few seconds of fuzzing, and every input that once found a fault (tests/fuzz)."""

from __future__ import annotations

import pytest

from .fuzz.__main__ import FOUND
from .fuzz.base import Target
from .fuzz.loop import attempt, fuzz
from .fuzz.targets import TARGETS

INPUTS = {"blocks": 150, "tokenizers": 150, "rows": 300, "packs": 200, "gguf": 200, "mixing": 12,
          "given": 60, "roundtrips": 60}  # fmt: skip
_NATIVE = {"ranges", "mixing", "blocks", "given", "roundtrips"}
_made: dict[str, Target] = {}


def target(name: str) -> Target:
    if name in _NATIVE:
        pytest.importorskip("lmzip._native")
    if name not in _made:
        _made[name] = TARGETS[name]()
    return _made[name]


@pytest.mark.parametrize("name", TARGETS)
def test_a_short_run_finds_nothing(name):
    result = fuzz(target(name), INPUTS.get(name, 500), seed=3)
    assert result.found == {}
    assert result.inputs == INPUTS.get(name, 500)
    assert 0 < result.accepted <= result.inputs


@pytest.mark.parametrize("path", sorted(FOUND.glob("*--*")), ids=lambda path: path.name)
def test_what_once_found_a_fault(path):
    made = target(path.name.partition("--")[0])
    assert attempt(made, path.read_bytes())[1] is None


def test_the_loop_notices_faults():
    class Wrong(Target):
        def __init__(self) -> None:
            self.seeds = [b"abc"]

        def run(self, data: bytes) -> None:
            if data != b"abc":
                raise KeyError("x")

    result = fuzz(Wrong(), 5, seed=1)
    assert list(result.found) == ["KeyError in ?"]
    assert result.accepted >= 1
