"""Moments of probit units against quadrature, and the width that stands for a sigmoid."""

import numpy as np
import pytest
from scipy.integrate import dblquad, quad
from scipy.special import expit, ndtr

from weightdecay import theory

POINTS = [(0.0, 1.0, 1.7), (1.3, 0.2, 0.8), (-4.0, 30.0, 1.7)]


def gaussian_mean(function, mean, variance):
    def integrand(u):
        return function(mean + np.sqrt(variance) * u) * np.exp(-u * u / 2) / np.sqrt(2 * np.pi)

    return quad(integrand, -12, 12, points=[-mean / np.sqrt(variance)], epsabs=1e-12, limit=200)[0]


@pytest.mark.parametrize(("mean", "variance", "width"), POINTS)
def test_the_moments_of_a_probit_unit_are_those_of_quadrature(mean, variance, width):
    def slope(z):
        return np.exp(-((z / width) ** 2) / 2) / (width * np.sqrt(2 * np.pi))

    given = {"pre_activation_mean": mean, "pre_activation_variance": variance, "switch_width": width}
    found = theory.derive("probit-unit")
    for result, function in {
        "mean_activation": lambda z: ndtr(z / width),
        "mean_slope": slope,
        "mean_squared_slope": lambda z: slope(z) ** 2,
    }.items():
        expected = gaussian_mean(function, mean, variance)
        assert expected == pytest.approx(float(found.numeric(result, **given)), rel=1e-8), result


def test_no_other_width_comes_nearer_to_the_sigmoid():
    z = np.linspace(-9, 9, 18001)

    def largest(width):
        return np.abs(ndtr(z / width) - expit(z)).max()

    best = theory.probit_width()
    assert largest(best) == pytest.approx(0.0095, abs=1e-4)
    assert largest(best) < min(largest(best * 1.002), largest(best / 1.002))


@pytest.mark.parametrize(("first", "second", "correlation"), [(0.3, -1.1, 0.6), (0.0, 0.7, -0.8), (2.0, 2.0, 0.95)])
def test_the_probability_below_two_bounds_is_that_of_quadrature(first, second, correlation):
    q = 1 - correlation**2

    def density(y, x):
        return np.exp(-(x * x - 2 * correlation * x * y + y * y) / (2 * q)) / (2 * np.pi * np.sqrt(q))

    expected = dblquad(density, -9, first, -9, second, epsabs=1e-9)[0]
    assert expected == pytest.approx(theory.bivariate_normal_cdf(first, second, correlation), abs=1e-7)


def test_the_mean_square_of_a_unit_is_the_probability_that_two_noisy_thresholds_lie_below():
    mean, variance, width = 0.7, 3.0, 1.2
    expected = gaussian_mean(lambda z: ndtr(z / width) ** 2, mean, variance)
    bound = mean / np.sqrt(variance + width**2)
    assert expected == pytest.approx(
        theory.bivariate_normal_cdf(bound, bound, variance / (variance + width**2)), abs=1e-10
    )
