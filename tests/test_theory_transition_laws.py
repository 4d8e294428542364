"""The laws to which stochastic equations bring a state, held against random walks, SciPy and their own limits."""

import numpy as np
import pytest
from scipy import stats

from weightdecay import theory
from weightdecay.errors import InvalidInput

ROOT = theory.derive("cox-ingersoll-ross-transition")
CONSTANT = theory.derive("ornstein-uhlenbeck-transition")
PROPORTIONAL = theory.derive("geometric-brownian-transition")
BACK = {"return_rate": 0.7, "level": 1.3}


def numbers(law, quantity, **values):
    """Return a result from whichever of the values it depends on."""
    return law.numeric(quantity, **{name: values[name] for name in law.arguments(quantity)})


def chi_square(**values):
    """Return SciPy's law of a state under noise that grows with its root."""
    values["scale"] = numbers(ROOT, "scale", **values)
    freedom, apart = (numbers(ROOT, name, **values) for name in ("degrees", "noncentrality"))
    return stats.ncx2(freedom, apart, scale=values["scale"])


@pytest.mark.parametrize("time", [0.01, 0.4, 3.0, 30.0])
@pytest.mark.parametrize("start", [0.2, 4.0])
def test_the_chi_square_law_of_scipy_has_the_moments_of_the_moment_equations(time, start):
    values = BACK | {"volatility": 0.9, "time": time, "state_start": start}
    law = chi_square(**values)
    assert numbers(ROOT, "mean_state", **values) == pytest.approx(law.mean(), rel=1e-10)
    assert numbers(ROOT, "state_variance", **values) == pytest.approx(law.var(), rel=1e-10)


def test_a_state_at_zero_leaves_it_by_a_central_law():
    values = BACK | {"volatility": 0.9, "time": 0.5, "state_start": 0.0}
    assert 0 == numbers(ROOT, "noncentrality", **values, scale=1.0)
    scale, degrees = numbers(ROOT, "scale", **values), numbers(ROOT, "degrees", **values)
    assert degrees * scale == pytest.approx(numbers(ROOT, "mean_state", **values), rel=1e-12)
    assert 2 * degrees * scale**2 == pytest.approx(numbers(ROOT, "state_variance", **values), rel=1e-12)


def test_after_a_long_time_the_squared_norm_has_its_gamma_law():
    hyper = {"lr": 0.1, "weight_decay": 0.3, "noise_variance": 2.0, "n_weights": 6}
    rest = theory.derive("cox-ingersoll-ross")
    values = {name: numbers(rest, name, **hyper) for name in ("return_rate", "level", "volatility")}
    law = chi_square(**values, time=200.0, state_start=5.0)
    gamma = stats.gamma(numbers(rest, "shape", **hyper), scale=numbers(rest, "scale", **hyper))
    places = np.linspace(0.1, 10, 30)
    np.testing.assert_allclose(gamma.pdf(places), law.pdf(places), rtol=1e-9)
    mean = numbers(rest, "mean_norm_squared", **hyper, norm_squared_start=5.0, time=0.8)
    assert mean == pytest.approx(ROOT.numeric("mean_state", **_mean(values), time=0.8, state_start=5.0), rel=1e-13)


def _mean(values):
    return {name: values[name] for name in ("return_rate", "level")}


def test_steps_in_a_row_have_the_law_of_one_long_step():
    values = BACK | {"volatility": 0.9}
    first = numbers(CONSTANT, "mean_state", **values, time=0.3, state_start=2.0)
    spreads = [numbers(CONSTANT, "spread", **values, time=time) for time in (0.3, 0.5, 0.8)]
    shrunk = np.exp(-0.7 * 0.5)
    both = numbers(CONSTANT, "mean_state", **values, time=0.5, state_start=first)
    assert both == pytest.approx(numbers(CONSTANT, "mean_state", **values, time=0.8, state_start=2.0), rel=1e-13)
    assert spreads[2] ** 2 == pytest.approx((shrunk * spreads[0]) ** 2 + spreads[1] ** 2, rel=1e-13)


@pytest.mark.parametrize(
    ("law", "noise"), [(CONSTANT, lambda x: np.ones_like(x)), (ROOT, lambda x: np.sqrt(np.maximum(x, 0)))]
)
def test_a_fine_random_walk_has_the_derived_mean_and_variance(law, noise):
    rng, n_paths, n_steps, time = np.random.default_rng(1), 40_000, 400, 0.8
    dt, state = time / n_steps, np.full(n_paths, 2.0)
    for _ in range(n_steps):
        state = state + 0.7 * (1.3 - state) * dt + 0.5 * noise(state) * np.sqrt(dt) * rng.standard_normal(n_paths)
    values = BACK | {"volatility": 0.5, "time": time, "state_start": 2.0}
    error = state.std() / np.sqrt(n_paths)
    # the walk's own bias is of order dt: 0.002 of both
    assert abs(state.mean() - numbers(law, "mean_state", **values)) < 4 * error + 0.002
    expected = numbers(law, "state_variance", **values)
    assert abs(state.var() / expected - 1) < 4 * np.sqrt(2 / n_paths) + 0.004


def test_the_log_normal_law_of_scipy_has_the_moments_of_the_moment_equations():
    values = {"growth": -0.3, "volatility": 0.8, "time": 1.7, "state_start": 2.5}
    law = stats.lognorm(numbers(PROPORTIONAL, "log_spread", **values), scale=numbers(PROPORTIONAL, "median", **values))
    assert numbers(PROPORTIONAL, "mean_state", **values) == pytest.approx(law.mean(), rel=1e-12)
    assert numbers(PROPORTIONAL, "state_variance", **values) == pytest.approx(law.var(), rel=1e-12)
    path = numbers(PROPORTIONAL, "state", **values, brownian=np.sqrt(1.7) * stats.norm.ppf([0.1, 0.9]))
    np.testing.assert_allclose(law.ppf([0.1, 0.9]), path, rtol=1e-12)


@pytest.mark.parametrize("time", [1e-12, 1e-7, 1e-3])
def test_short_times_keep_their_digits(time):
    values = BACK | {"volatility": 0.9, "time": time}
    assert numbers(ROOT, "scale", **values) == pytest.approx(0.81 * -np.expm1(-0.7 * time) / 2.8, rel=1e-14)
    spread = 0.9 * np.sqrt(-np.expm1(-1.4 * time) / 1.4)
    assert numbers(CONSTANT, "spread", **values) == pytest.approx(spread, rel=1e-14)


def test_long_times_do_not_overflow():
    values = BACK | {"volatility": 0.9, "time": 1e6, "state_start": 5.0}
    assert 0 == numbers(ROOT, "noncentrality", **values, scale=1.0)
    assert 1.3 == numbers(CONSTANT, "mean_state", **values)


def test_a_constant_noise_of_zero_is_allowed_and_a_negative_state_under_the_root_is_not():
    assert 0 == CONSTANT.numeric("spread", return_rate=0.7, volatility=0.0, time=1.0)
    with pytest.raises(InvalidInput, match="state_start is -1, but must be a finite number, 0 or above"):
        ROOT.numeric("mean_state", **BACK, time=1.0, state_start=-1.0)
