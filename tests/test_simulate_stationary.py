import math

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad

from weightdecay import theory
from weightdecay.errors import IntegrationError, InvalidInput
from weightdecay.simulate import (
    Problem,
    cox_ingersoll_ross,
    geometric_brownian_motion,
    isotropic_noise_norm,
    ornstein_uhlenbeck,
    solve,
    stationary_law,
)

SPAN = (0, 1)


def cir(rate, level, volatility):
    problem = cox_ingersoll_ross(rate=rate, level=level, volatility=volatility, y0=level, t_span=SPAN)
    return problem, stats.gamma(2 * rate * level / volatility**2, scale=volatility**2 / (2 * rate))


def student():
    """Linear return with noise that grows with the distance: tails fall as a power."""
    problem = Problem(lambda _t, y: -y, lambda _t, y: np.sqrt(1 + y * y), y0=0.0, t_span=SPAN)
    return problem, stats.t(3, scale=1 / math.sqrt(3))


KNOWN = {
    "Ornstein-Uhlenbeck": (
        ornstein_uhlenbeck(rate=2.0, level=0.5, volatility=0.7, y0=0.0, t_span=SPAN),
        stats.norm(0.5, 0.35),
    ),
    "narrow, far from zero": (
        ornstein_uhlenbeck(rate=1.0, level=1e3, volatility=1e-3, y0=0.0, t_span=SPAN),
        stats.norm(1e3, 1e-3 / math.sqrt(2)),
    ),
    "Cox-Ingersoll-Ross": cir(1.0, 2.0, 1.0),
    "Cox-Ingersoll-Ross, infinite density at zero": cir(1.0, 0.05, 1.0),
    "Cox-Ingersoll-Ross, nearly Gaussian": cir(1.0, 1.0, 0.01),
    "power tails": student(),
    "between walls": (
        Problem(lambda _t, _y: -1.0, lambda _t, _y: 1.0, y0=0.5, t_span=SPAN),
        stats.truncexpon(b=4.0, scale=0.5),
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_density_is_the_known_one(name):
    problem, law = KNOWN[name]
    found = stationary_law(problem, bounds=(0.0, 2.0) if name == "between walls" else None)
    at = law.ppf([0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
    assert law.pdf(at) == pytest.approx(found.pdf(at), rel=1e-7)
    assert law.cdf(at) == pytest.approx(found.cdf(at), abs=1e-8)
    if name != "power tails":
        assert law.mean() == pytest.approx(found.mean, rel=1e-8)
        assert law.var() == pytest.approx(found.variance, rel=1e-6)
    assert found.pdf(found.y[::400]) == pytest.approx(found.density[::400], rel=1e-9)


def test_the_norm_under_isotropic_noise_has_the_gamma_law_of_the_theory():
    norm = isotropic_noise_norm(
        lr=0.1, weight_decay=0.5, noise_variance=2.0, n_weights=30, norm_squared_start=1.0, time=1.0
    )
    law = stats.gamma(30 / 2, scale=0.1 * 2.0 / 0.5)
    at = law.ppf([0.01, 0.5, 0.99])
    assert law.pdf(at) == pytest.approx(stationary_law(norm).pdf(at), rel=1e-7)


def test_the_slope_of_the_density_is_that_of_the_derivation():
    bent = Problem(lambda _t, y: 1 - y**3, lambda _t, y: 0.5 + 0.2 * np.cos(y), y0=0.0, t_span=SPAN)
    found, y, h = stationary_law(bent), np.array([-0.5, 0.3, 1.0, 1.4]), 1e-5
    slope = (np.log(found.pdf(y + h)) - np.log(found.pdf(y - h))) / (2 * h)
    expected = theory.derive("fokker-planck-stationary").numeric(
        "log_slope", drift=1 - y**3, diffusion=0.5 + 0.2 * np.cos(y), diffusion_slope=-0.2 * np.sin(y)
    )
    assert expected == pytest.approx(slope, rel=1e-6, abs=1e-6)


def test_two_wells_are_both_found():
    wells = Problem(lambda _t, y: y - y**3, lambda _t, _y: 0.4, y0=1.0, t_span=SPAN)
    found = stationary_law(wells)
    weight = lambda y: math.exp(2 / 0.16 * (y**2 / 2 - y**4 / 4))  # noqa: E731
    total = quad(weight, -4, 4, epsabs=0, epsrel=1e-12, limit=200)[0]
    at = np.array([-1.2, -1.0, 0.0, 0.5, 1.0])
    assert np.array([weight(y) / total for y in at]) == pytest.approx(found.pdf(at), rel=1e-7)
    assert found.cdf(0.0) == pytest.approx(0.5, abs=1e-9)


def test_a_sampled_histogram_agrees_with_the_density():
    norm = cox_ingersoll_ross(rate=1.0, level=1.0, volatility=0.8, y0=1.0, t_span=(0, 12))
    solution = solve(norm, method="exact", n_paths=100_000, rng=3)
    found = stationary_law(norm)
    assert stats.kstest(solution.y[:, 0, 0], found.cdf).pvalue > 1e-3
    density, edges = solution.histogram(np.linspace(0.2, 2.0, 19))
    inside = np.diff(found.cdf(edges))
    counts = inside * 100_000
    expected = inside / inside.sum() / np.diff(edges)
    assert expected == pytest.approx(density, rel=5 / math.sqrt(counts.min()))


@pytest.mark.parametrize(
    "problem",
    [
        geometric_brownian_motion(growth=-1.0, volatility=0.5, y0=1.0, t_span=SPAN),
        Problem(lambda _t, y: y, lambda _t, _y: 1.0, y0=0.0, t_span=SPAN),
        Problem(lambda _t, _y: 0.0, lambda _t, _y: 1.0, y0=0.0, t_span=SPAN),
    ],
)
def test_where_there_is_no_stationary_law_it_says_so(problem):
    bounds = (0.0, math.inf) if problem.exact is not None else None
    with pytest.raises(IntegrationError, match="there is no stationary law: the density cannot be normalized towards"):
        stationary_law(problem, bounds=bounds)


def test_tails_that_only_just_can_be_normalized_have_a_law():
    # drift -0.4 y and diffusion sqrt(1 + y^2): the density is proportional to (1 + y^2)^(-1.4), so a Student law
    problem = Problem(lambda _t, y: -0.4 * y, lambda _t, y: np.sqrt(1 + y * y), y0=0.0, t_span=SPAN)
    law, found = stats.t(1.8, scale=1 / math.sqrt(1.8)), stationary_law(problem)
    at = law.ppf([0.01, 0.2, 0.5, 0.8, 0.99])
    assert law.pdf(at) == pytest.approx(found.pdf(at), rel=1e-7)
    assert law.cdf(at) == pytest.approx(found.cdf(at), abs=1e-8)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Problem(lambda _t, y: -y, y0=1.0, t_span=SPAN), InvalidInput, "this problem has dim 1 and none noise"),
        (lambda: Problem(lambda _t, y: -y, lambda _t, _y: 1.0, y0=[1.0, 2.0], t_span=SPAN), InvalidInput, "has dim 2"),
        (lambda: Problem(lambda t, y: -t * y, lambda _t, _y: 1.0, y0=1.0, t_span=SPAN), InvalidInput,
         "the drift depends on time"),
        (lambda: Problem(lambda _t, y: -y, lambda _t, _y: 0.0, y0=1.0, t_span=SPAN), IntegrationError,
         "the diffusion vanishes"),
    ],
)  # fmt: skip
def test_bad_input_is_answered_with_what_is_allowed(make, error, message):
    with pytest.raises(error, match=message):
        stationary_law(make())


def test_bounds_must_rise():
    with pytest.raises(InvalidInput, match=r"bounds are \(2, 1\), but must rise"):
        stationary_law(KNOWN["Ornstein-Uhlenbeck"][0], bounds=(2.0, 1.0))
