"""Descent without noise on scale-invariant losses of one angle, against the derived Jacobian."""

import numpy as np
import pytest

from weightdecay import theory
from weightdecay.errors import InvalidInput

ANGLE = 0.1


def displacement(slope, n_steps=400, kick=1e-4):
    """Return how far angle and squared norm are from equilibrium at every step, relatively, after a small kick."""
    left, lr = np.cos(2 * ANGLE), 1.0  # one less the decay at which this angle is kept
    norm_squared = lr * slope(ANGLE) / (left * np.tan(2 * ANGLE))
    w = np.sqrt(norm_squared) * np.array([np.cos(ANGLE * (1 + kick)), np.sin(ANGLE * (1 + kick))])
    found = []
    for _ in range(n_steps):
        across = np.array([-w[1], w[0]]) / np.sqrt(w @ w)
        w = left * w - lr * slope(np.arctan2(w[1], w[0])) / np.sqrt(w @ w) * across
        found.append((np.abs(np.arctan2(w[1], w[0])) / ANGLE - 1, w @ w / norm_squared - 1))
    return np.abs(np.array(found))


def test_the_equilibrium_without_noise_is_proven():
    theory.derive("noise-free-equilibrium").check()


@pytest.mark.parametrize("softening", [0.0, 1.5])
def test_a_displacement_grows_or_falls_by_the_root_of_the_determinant(softening):
    law = theory.derive("noise-free-equilibrium")

    def slope(angle):
        return angle - softening * angle**3

    determinant = law.numeric(angle=ANGLE, slope=slope(ANGLE), slope_of_slope=1 - 3 * softening * ANGLE**2)
    assert (determinant > 1) == (softening < 2 / 3)
    away = displacement(slope)
    measured = (away[340:].max() / away[:60].max()) ** (1 / 340)
    assert np.sqrt(determinant) == pytest.approx(measured, abs=5e-4)
    leading = law.numeric("determinant_leading", softening=softening, decay_per_step=1 - np.cos(2 * ANGLE))
    assert leading == pytest.approx(determinant, abs=1e-3)


def test_a_rayleigh_quotient_is_exactly_at_the_border():
    law = theory.derive("noise-free-equilibrium")
    angles = np.linspace(0.05, 0.7, 9)
    determinant = law.numeric(angle=angles, slope=np.sin(2 * angles), slope_of_slope=2 * np.cos(2 * angles))
    assert np.ones(9) == pytest.approx(determinant, rel=1e-13)
    away = displacement(lambda angle: np.sin(2 * angle), n_steps=2000)
    assert away[:100].max() == pytest.approx(away[-100:].max(), rel=0.01)


def test_the_angle_kept_is_that_of_the_decay():
    law = theory.derive("noise-free-equilibrium")
    step = theory.derive("scale-invariant-step").numeric("one_minus_cosine", lr=0.5, weight_decay=0.1)
    assert step == pytest.approx(law.numeric("decay_at_rest", angle=np.arccos(0.95) / 2), rel=1e-12)


def test_an_angle_that_cannot_be_kept_is_refused():
    with pytest.raises(InvalidInput, match="a step turns by less than a right angle"):
        theory.derive("noise-free-equilibrium").numeric("decay_at_rest", angle=1.0)
