"""The constants and the numpy forms of the exact arithmetic."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lmzip.engine import arithmetic, exact
from lmzip.errors import EngineError
from lmzip.extension import extension

torch = pytest.importorskip("torch")


def test_exp2_is_accurate_and_pinned():
    y = torch.linspace(-125, 125, 200_001)
    got = exact.exp2(y)
    relative = got.double() / torch.exp2(y.double()) - 1
    assert relative.abs().max() < 2e-7
    assert exact.exp2(torch.tensor([0.0, 1.0, -3.0, 125.0])).tolist() == [1, 2, 0.125, 2.0**125]
    # Beyond the limit it is clamped: no infinities, no subnormals.
    assert exact.exp2(torch.tensor([-1e30, 1e30])).tolist() == [2.0**-125, 2.0**125]
    digest = hashlib.sha256(got.numpy().astype("<f4").tobytes()).hexdigest()
    assert digest[:16] == EXP2_DIGEST


def test_coefficients_are_binary32():
    for c in arithmetic.EXP2_COEFFICIENTS:
        assert float(np.float32(c)) == c


def test_exponent_bounds_its_argument():
    x = torch.cat((torch.logspace(-18, 18, 1001), torch.tensor([1.0, 0.5, 2.0])))
    e = exact.exponent(x)
    assert (x < torch.exp2(e)).all()
    assert (x >= torch.exp2(e - 1)).all()


def test_sine_and_cosine():
    phase = np.random.default_rng(0).integers(0, 1 << 64, 20_000, dtype=np.uint64)
    phase = np.concatenate((phase, (np.arange(64, dtype=np.uint64) << np.uint64(58))))
    sine, cosine = arithmetic.sincos_turns(phase)
    angle = phase.astype(np.float64) * (2 * math.pi / 2**64)
    assert np.abs(sine - np.sin(angle)).max() < 2e-12
    assert np.abs(cosine - np.cos(angle)).max() < 2e-12


def test_rope_table_is_pinned_and_position_exact():
    turns = np.array([1 << 40, 123456789012345678], np.uint64)
    cosine, sine = arithmetic.rope_table(turns, 0, 300)
    far_cosine, far_sine = arithmetic.rope_table(turns, 290, 10)
    np.testing.assert_array_equal(cosine[290:], far_cosine)
    np.testing.assert_array_equal(sine[290:], far_sine)
    assert cosine.dtype == np.float32
    digest = hashlib.sha256(cosine.astype("<f4").tobytes() + sine.astype("<f4").tobytes())
    assert digest.hexdigest()[:16] == ROPE_DIGEST


WEIGHTS = hnp.arrays(
    np.int32,
    st.tuples(st.integers(1, 4), st.integers(1, 300)),
    elements=st.one_of(st.just(0), st.integers(0, 1 << 22)),
)


@given(WEIGHTS)
def test_frequencies_sum_and_order(weights):
    freqs = arithmetic.frequencies(weights)
    assert freqs.min() >= 1
    assert (freqs.sum(-1, dtype=np.int64) == 1 << 24).all()
    n = weights.shape[1]
    shares = weights / np.maximum(weights.sum(-1, keepdims=True, dtype=np.float64), 1)
    shares[weights.sum(-1) == 0] = 1 / n
    assert np.abs(freqs / 2**24 - shares).max() <= (n + 2) / 2**24


@given(WEIGHTS)
def test_native_frequencies_equal_their_twin(weights):
    native = pytest.importorskip("lmzip._native")
    out = np.empty_like(weights)
    native.frequencies(np.ascontiguousarray(weights), out)
    np.testing.assert_array_equal(out, arithmetic.frequencies(weights))


def test_native_frequencies_on_many_rows():
    native = pytest.importorskip("lmzip._native")
    rng = np.random.default_rng(5)
    for n in (1, 2, 37, 193, 256, 1024):
        weights = rng.integers(0, 1 << 22, (200, n), dtype=np.int32)
        weights[rng.random(weights.shape) < 0.8] = 0
        weights[0] = 1 << 22
        out = np.empty_like(weights)
        native.frequencies(weights, out)
        np.testing.assert_array_equal(out, arithmetic.frequencies(weights))


def test_the_native_extension_was_built():
    """`make` builds it: a silent fallback here would hide a broken set-up."""
    assert extension is not None


def test_native_frequencies_reject_other_shapes():
    native = pytest.importorskip("lmzip._native")
    weights = np.ones((2, 3), np.int32)
    with pytest.raises(ValueError, match="one shape"):
        native.frequencies(weights, np.empty((2, 4), np.int32))
    with pytest.raises(TypeError):
        native.frequencies(weights.astype(np.int64), np.empty((2, 3), np.int32))


@pytest.mark.parametrize("columns", [8, 64, 1040, 1041, 4096])
def test_products_are_exact_at_the_largest_magnitudes(columns):
    a = torch.full((5, columns), 127, dtype=torch.int8)
    a[1] = -127
    b = a[:2].repeat(4, 1)
    for native in (True, False):
        matmul = exact.IntMatmul(torch.device("cpu"))
        matmul.native = native and matmul.native
        expected = (a.double() @ b.double().T).to(torch.int32)
        assert torch.equal(matmul(a, b), expected)


def test_hadamard_is_its_own_inverse_but_for_the_block():
    x = torch.randn(70, 192)
    back = exact.hadamard(exact.hadamard(x)) / arithmetic.hadamard_block(192)
    assert torch.allclose(back, x, atol=1e-5)
    for width, block in ((192, 64), (48, 16), (40, 8), (7, 1), (1536, 64)):
        assert arithmetic.hadamard_block(width) == block


def test_square_roots_are_correctly_rounded():
    """Every mantissa, both parities of the exponent, against exact integer arithmetic's verdict."""
    x = torch.arange(0x3F800000, 0x40800000, 3, dtype=torch.int32).view(torch.float32)
    got = exact.square_root(x).double()
    ulp = 2.0**-24
    # |got - sqrt(x)| < ulp / 2 exactly when x lies between the squares of got -+ ulp / 2.
    low, high = (got - ulp) ** 2, (got + ulp) ** 2
    assert ((low < x.double()) & (x.double() < high)).all()


def test_this_machine_rounds_as_ieee_says(monkeypatch):
    exact.require_ieee(torch.device("cpu"))
    monkeypatch.setattr(exact, "square_root", lambda x: torch.sqrt(x) * (1 + 2**-22))
    with pytest.raises(EngineError, match="square root"):
        exact.require_ieee(torch.device("cpu"))


def test_quantize_stays_in_range_and_never_divides_by_zero():
    for x in (torch.zeros(1, 8), torch.full((1, 8), 1e-38), torch.tensor([[3e38, -3e38, 1.0]])):
        q, step = exact.quantize(x)
        assert q.abs().max() <= 127
        assert torch.isfinite(step).all()
        assert (step > 2.0**-80).all()


EXP2_DIGEST = "f399e78645688d11"
ROPE_DIGEST = "b2559e9c17311aab"
