"""Polar factors are the nearest orthogonal matrices, in both number formats and by Muon's iteration."""

import numpy as np
import pytest

from weightdecay.simulate import polar_factor
from weightdecay.validate.polar import polar_factors

SHAPES = [(3, 5, 8), (2, 8, 5), (2, 6, 6), (4, 1, 7), (4, 7, 1)]


@pytest.mark.parametrize("n_steps", [0, 1, 5])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-10), ("float32", 2e-5)])
def test_polar_factors_are_those_of_simulate(dtype, rtol, shape, n_steps):
    matrices = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    found = polar_factors(matrices, n_steps)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, polar_factor(matrices.astype(float), n_steps), rtol=0, atol=rtol)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_zero_stays_zero_and_the_rest_is_orthogonal(dtype):
    rng = np.random.default_rng(1)
    matrix = (rng.standard_normal((6, 2)) @ rng.standard_normal((2, 9))).astype(dtype)
    matrix[3], matrix[:, 4] = 0, 0
    (factor,) = polar_factors(matrix[None])
    assert np.abs(factor[3]).max() < 1e-15
    assert not factor[:, 4].any()  # exactly: dead inputs have no other update
    values = np.linalg.svd(factor.astype(float), compute_uv=False)
    np.testing.assert_allclose(values, [1, 1, 0, 0, 0, 0], atol=3e-5 if dtype == "float32" else 1e-9)
    assert not polar_factors(np.zeros((2, 3, 4), dtype)).any()


def test_single_precision_loses_no_more_than_its_own_rounding():
    rng = np.random.default_rng(2)
    left, right = (np.linalg.qr(rng.standard_normal((n_rows, 5)))[0] for n_rows in (5, 40))
    values = 10.0 ** -np.arange(5)
    matrix = ((left * values) @ right.T).astype(np.float32)
    expected = polar_factor(matrix.astype(float))
    (found,) = polar_factors(matrix[None])
    assert np.abs(found - expected).max() < 1e-7 / values[-1]


def test_a_run_that_has_diverged_does_not_touch_the_others():
    matrices = np.random.default_rng(3).standard_normal((3, 4, 6)).astype(np.float32)
    alone = polar_factors(matrices)
    matrices[1, 2, 3] = np.nan
    found = polar_factors(matrices)
    assert np.isnan(found[1]).all()
    np.testing.assert_array_equal(found[[0, 2]], alone[[0, 2]])
