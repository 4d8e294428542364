"""Every problem whose solution or law is known, through every method that applies to it."""

import math

import numpy as np
import pytest

from weightdecay.simulate import (
    SCHEMES,
    Problem,
    Status,
    brownian_paths,
    cox_ingersoll_ross,
    deep_linear_modes,
    geometric_brownian_motion,
    isotropic_noise_norm,
    momentum_oscillator,
    norm_under_pull,
    ornstein_uhlenbeck,
    scale_invariant_norm,
    solve,
)
from weightdecay.theory import derive

ODE_METHODS = ("RK23", "RK45", "DOP853", "LSODA", "Radau", "BDF")
FOUNDING = {"lr": 0.1, "weight_decay": 1e-4, "n_steps": 150_000}

ORDINARY = {
    "norm under constant pull": norm_under_pull(norm_squared_start=23520.0, radial_pull=0.1, **FOUNDING),
    "norm under pull and noise, many at once": norm_under_pull(
        norm_squared_start=[[30.0], [2000.0]],
        radial_pull=np.array([[0.1], [0.2]]),
        gradient_power=np.array([[1.0], [0.0]]),
        **FOUNDING,
    ),
    "scale-invariant norm": scale_invariant_norm(
        norm_squared_start=[[0.1], [1.0], [30.0]], lr=0.1, weight_decay=0.05, unit_gradient_power=1.0, n_steps=300
    ),
    "deep linear modes": deep_linear_modes(
        strengths_start=[0.01, 0.02, 0.5, 0.1], targets=[1.0, 0.5, 0.1, 0.3], depth=2, weight_decay=0.3, time=20.0
    ),
    "oscillator below": momentum_oscillator(
        charge_start=1.0, lr=0.1, weight_decay=0.5, momentum=0.9, time=8.0, drive=0.3
    ),
    "oscillator above": momentum_oscillator(charge_start=1.0, lr=0.1, weight_decay=0.001, momentum=0.5, time=8.0),
    "oscillator critical": momentum_oscillator(
        charge_start=1.0, charge_velocity_start=-0.5, lr=1.0, weight_decay=0.125, momentum=1 / 3, time=8.0, drive=1.0
    ),
}

STOCHASTIC = {
    "Ornstein-Uhlenbeck": ornstein_uhlenbeck(rate=2.0, level=0.5, volatility=0.7, y0=1.5, t_span=(0, 1)),
    "Cox-Ingersoll-Ross": cox_ingersoll_ross(rate=2.0, level=1.0, volatility=0.7, y0=1.5, t_span=(0, 1)),
    "geometric Brownian motion": geometric_brownian_motion(growth=-1.0, volatility=0.5, y0=1.0, t_span=(0, 1)),
    "norm under isotropic noise": isotropic_noise_norm(
        lr=0.1, weight_decay=0.5, noise_variance=2.0, n_weights=30, norm_squared_start=9.0, time=1.0
    ),
}


CURVATURE, WEIGHT_DECAY, LR = np.array([1.0, 3.0]), 0.2, 0.1
NOISE = np.array([[1.0, 0.6], [0.6, 2.0]])  # covariance of the gradient noise in the directions of the curvature
FACTOR = math.sqrt(LR) * np.linalg.cholesky(NOISE)

SEVERAL = {
    "weights in a quadratic loss with correlated noise": Problem(
        lambda _t, y: -(CURVATURE + WEIGHT_DECAY) * y,
        lambda _t, y: np.broadcast_to(FACTOR, (len(y), 2, 2)),
        y0=[1.0, -0.5],
        t_span=(0, 1),
    ),
}


@pytest.mark.parametrize(("n_components", "method"), [(500, "LSODA"), (501, "RK45")])
def test_a_large_state_is_given_to_an_explicit_method_unless_one_is_named(n_components, method):
    many = Problem(lambda _t, y: -y, y0=np.ones(n_components), t_span=(0, 1))
    assert method == solve(many, [1.0], rtol=1e-6).method
    assert "RK23" == solve(many, [1.0], rtol=1e-4, method="RK23").method


def agrees_with_the_exact_solution(problem, method):
    t = np.linspace(*problem.t_span, 7)
    solution = solve(problem, t, method=method, rtol=1e-7)
    expected = np.stack([problem.exact(time) for time in t], axis=-2)
    assert Status.REACHED_END is solution.status
    assert expected.shape == solution.y.shape
    # local errors of 1e-7 add up over at most a few hundred steps
    assert expected == pytest.approx(solution.y, rel=2e-5, abs=2e-5 * np.max(np.abs(expected)))


def agrees_with_the_law(problem, method):
    n_paths, n_steps = 20_000, 100
    if method == "exact":
        solution = solve(problem, method="exact", n_paths=n_paths, rng=1)
        bias = 0.0
    else:
        solution = solve(problem, method=method, dW=brownian_paths(n_paths, n_steps, 1 / n_steps, rng=1))
        bias = 3 / n_steps  # weak order 1 with the rates of these problems, 1 to 2
    law = problem.law(1.0)
    mean, variance = law.mean()[0], np.ravel(law.var())[0]
    assert Status.REACHED_END is solution.status
    assert solution.mean()[0, 0] == pytest.approx(mean, abs=4 * solution.standard_error()[0, 0] + bias * abs(mean))
    fourth = np.mean((solution.y - solution.mean()) ** 4)
    error = math.sqrt((fourth - variance**2) / n_paths)
    assert solution.variance()[0, 0] == pytest.approx(variance, abs=4 * error + bias * variance)
    if problem.exact is not None and method != "exact":
        paths = brownian_paths(n_paths, n_steps, 1 / n_steps, rng=1)
        along = problem.exact(1.0, paths.at_steps()[:, -1])
        assert np.abs(solution.y[:, 0] - along).mean() < {"euler": 0.03, "milstein": 0.01, "srk15": 0.001}[method]


def agrees_with_mean_and_covariance(problem, method):
    n_paths, n_steps = 20_000, 100
    solution = solve(problem, method=method, n_paths=n_paths, dt=1 / n_steps, rng=1)
    assert (n_paths, 1, 2) == solution.y.shape
    y = solution.y[:, 0]
    mean = np.array([1.0, -0.5]) * np.exp(-(CURVATURE + WEIGHT_DECAY))
    covariance = derive("ornstein-uhlenbeck-covariance").numeric(
        "covariance",
        lr=LR,
        noise_covariance=NOISE,
        curvature=CURVATURE[:, None],
        curvature_other=CURVATURE,
        weight_decay=WEIGHT_DECAY,
        covariance_start=0.0,
        time=1.0,
    )
    bias = 3 / n_steps * (1 + CURVATURE.max())  # weak order 1 with rates up to 3.2
    assert mean == pytest.approx(y.mean(axis=0), abs=4 * math.sqrt(covariance.max() / n_paths) + bias * 0.1)
    error = np.sqrt((np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2) / n_paths)
    assert np.all(np.abs(np.cov(y.T) - covariance) < 4 * error + bias * np.abs(covariance))


CASES = [
    pytest.param(check, problem, method, id=f"{method} on {name}")
    for problems, methods, check in (
        (ORDINARY, ODE_METHODS, agrees_with_the_exact_solution),
        (STOCHASTIC, (*SCHEMES, "exact"), agrees_with_the_law),
        (SEVERAL, ("euler",), agrees_with_mean_and_covariance),
    )
    for name, problem in problems.items()
    for method in methods
]


@pytest.mark.parametrize(("check", "problem", "method"), CASES)
def test_every_method_reproduces_every_known_solution(check, problem, method):
    check(problem, method)


@pytest.mark.parametrize("name", ORDINARY)
def test_every_exact_solution_starts_at_the_start_and_fulfils_its_equation(name):
    problem = ORDINARY[name]
    start, end = problem.t_span
    assert problem.rows() == pytest.approx(np.atleast_2d(problem.exact(start)), rel=1e-13, abs=1e-13)
    t, h = start + 0.3 * (end - start), 1e-5 * (end - start)
    slope = (problem.exact(t + h) - problem.exact(t - h)) / (2 * h)
    expected = problem.drift(t, np.atleast_2d(problem.exact(t)))
    assert expected == pytest.approx(np.atleast_2d(slope), rel=1e-6, abs=1e-6 * np.max(np.abs(expected)))
