"""Compare the power of Newton-Schulz steps with those steps on random matrices."""

import numpy as np
import pytest

from weightdecay import theory
from weightdecay.theory.polar_overlap import overlap_coefficients


@pytest.mark.parametrize("side", [64, 128])
def test_five_steps_on_random_matrices_have_the_derived_power(side):
    powers = []
    for seed in range(6):
        matrix = np.random.default_rng(seed).standard_normal((side, side))
        matrix /= np.linalg.norm(matrix)
        for _ in range(5):
            gram = matrix @ matrix.T
            matrix = 3.4445 * matrix + (-4.7750 * gram + 2.0315 * gram @ gram) @ matrix
        powers.append(np.sum(matrix**2) / side)
    derived = theory.derive("newton-schulz-power").numeric(n_rows=side)
    assert derived == pytest.approx(
        np.mean(powers), rel=2.0 / side
    )  # what finite matrices differ by, of order 1 / side


def test_the_update_is_a_fifth_smaller_than_a_polar_factor():
    powers = theory.derive("newton-schulz-power").numeric(n_rows=np.array([64, 128, 256, 1024]))
    assert np.all((powers > 0.75) & (powers < 0.85))


def test_one_step_leaves_the_mean_square_of_its_polynomial():
    rng = np.random.default_rng(0)
    values = np.linalg.svd(rng.standard_normal((300, 300)), compute_uv=False) / 300.0
    stepped = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    derived = theory.derive("newton-schulz-power").numeric("first_power", n_rows=300)
    assert derived == pytest.approx(np.mean(stepped**2), rel=0.02)


@pytest.mark.parametrize("aspect", [0.1, 0.3])
def test_the_ratio_for_oblong_matrices_is_that_of_the_overlap_evaluated(aspect):
    first = overlap_coefficients(aspect, 1)[0]
    derived = theory.derive("published-approximations").numeric("polar_momentum_ratio_oblong", aspect=aspect)
    assert derived == pytest.approx(1.0 / first**2, abs=0.1 * aspect**3)  # the next term of the series
