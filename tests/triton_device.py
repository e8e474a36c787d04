"""Where Triton's tests run: in its interpreter, or on the device that LMZIP_TEST_DEVICE names.

Importing this skips the tests where Triton is not installed.
"""

from __future__ import annotations

import os

import pytest

DEVICE = os.environ.get("LMZIP_TEST_DEVICE", "cpu")

with pytest.MonkeyPatch.context() as patch:  # Triton asks once, when it is first imported
    patch.setenv("TRITON_INTERPRET", "1" if DEVICE == "cpu" else "0")
    triton = pytest.importorskip("triton", reason="Triton is not installed (the extra gpu has it)")
    import triton.language as tl

    from lmzip.engine.triton import arithmetic as functions
    from lmzip.engine.triton import probe  # noqa: F401

    @triton.jit
    def elementwise_kernel(x, out, count, WHAT: tl.constexpr, SIZE: tl.constexpr):
        place = tl.program_id(0) * SIZE + tl.arange(0, SIZE)
        y = tl.load(x + place, mask=place < count, other=1.0)
        if WHAT == "rint":
            y = functions.rint(y)
        if WHAT == "ceiling":
            y = functions.ceiling(y)
        if WHAT == "exponent":
            y = functions.exponent(y)
        if WHAT == "exp2":
            y = functions.exp2(y)
        tl.store(out + place, y, mask=place < count)


interpreted = pytest.mark.skipif(DEVICE != "cpu", reason="about the interpreter")


@pytest.fixture(autouse=True)
def interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton asks again when the first kernel runs."""
    if DEVICE == "cpu":
        monkeypatch.setenv("TRITON_INTERPRET", "1")
