"""What is no number, no function, or does not belong to a method is answered with one sentence."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightdecay.errors import InvalidInput
from weightdecay.simulate import (
    SCHEMES,
    FilteredGradient,
    Problem,
    brownian_paths,
    cox_ingersoll_ross,
    geometric_brownian_motion,
    isotropic_noise_norm,
    momentum_oscillator,
    ornstein_uhlenbeck,
    saturating_sigmoid_pair,
    sigmoid_pull_ratio,
    solve,
    stationary_law,
)

SPAN = (0, 1)
DECAY = Problem(lambda _t, y: -y, y0=1.0, t_span=SPAN)
GBM = geometric_brownian_motion(growth=-1.0, volatility=0.8, y0=1.0, t_span=SPAN)
OU = {"rate": 1.0, "level": 0.0, "volatility": 1.0, "y0": 0.0, "t_span": SPAN}
PATHS = brownian_paths(2, 4, 0.25, rng=1)
ENSEMBLE = solve(GBM, [0.5, 1.0], dt=0.5, n_paths=3, rng=1)


def still(_t, y):
    return 0.0 * y


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Problem(3, y0=1, t_span=SPAN), "drift is 3, but must be a function"),
        (lambda: Problem(None, y0=1, t_span=SPAN), "drift is None, but must be a function"),
        (lambda: Problem(still, 0.5, y0=1, t_span=SPAN), "diffusion is 0.5, but must be a function"),
        (lambda: Problem(still, y0=1, t_span=SPAN, exact=1.0), "exact is 1.0, but must be a function"),
        (lambda: Problem(still, y0=1, t_span=SPAN, breaks=0.5), r"breaks is 0.5, but must be finite times, such as \("),
        (lambda: Problem(still, y0=1, t_span=SPAN, breaks=("a",)), r"breaks is \('a',\), but must be finite times"),
        (lambda: Problem(still, y0=1, t_span=SPAN, breaks=(math.nan,)), r"breaks is \(nan,\), but must be finite"),
        (lambda: Problem(still, y0=1, t_span=3), r"t_span is 3, but must be two numbers \(start, end\)"),
        (lambda: Problem(still, y0=1, t_span=(0, 1, 2)), r"t_span is \(0, 1, 2\), but must be two numbers"),
        (lambda: Problem(still, y0=1, t_span=(0, math.nan)), r"t_span is \(0, nan\), but must be finite and rise"),
        (lambda: Problem(still, y0=[[1, 2], [3]], t_span=SPAN), r"y0 is \[\[1, 2\], \[3\]\], but must be real numbers"),
        (lambda: Problem(still, y0=1j, t_span=SPAN), "y0 is 1j, but must be real numbers"),
    ],
)
def test_a_problem_is_made_of_functions_and_numbers(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()


@pytest.mark.parametrize(
    ("problem", "options", "message"),
    [
        (3, {}, "problem is 3, but must be a Problem"),
        (DECAY, {"t_eval": "x"}, "t_eval is 'x', but must be finite numbers of shape"),
        (DECAY, {"events": 3}, "events is 3, but must be one function"),
        (DECAY, {"events": [3]}, r"events is \[3\], but must be one function"),
        (DECAY, {"rng": 1}, "rng is for stochastic problems, but this one has no diffusion; leave it out"),
        (DECAY, {"n_jobs": 2}, "n_jobs is for stochastic problems"),
        (DECAY, {"progress": print}, "progress is for stochastic problems"),
        (DECAY, {"n_jobs": "x"}, "n_jobs is 'x', but must be a whole number"),
        (GBM, {"dt": 0.1, "rtol": -1}, "rtol is -1, but must be a finite number above 0"),
        (GBM, {"dt": 0.1, "atol": 0}, "atol is 0, but must be a finite number above 0"),
        (GBM, {"dt": 0.1, "max_steps": 0}, "max_steps is 0, but must be a whole number of at least 1"),
        (GBM, {"dt": 0.1, "rtol": 1e-6}, "rtol is for problems without diffusion; use dt for this one"),
        (GBM, {"dt": 0.1, "atol": 1e-6}, "atol is for problems without diffusion"),
        (GBM, {"dt": 0.1, "max_steps": 100}, "max_steps is for problems without diffusion"),
        (DECAY, {"block_size": 4096}, "block_size is for stochastic problems"),
        (DECAY, {"block_size": 0}, "block_size is 0, but must be a whole number of at least 1"),
        (GBM, {"method": "exact", "dt": 0.1}, "dt needs a method that takes small steps, but 'exact' jumps"),
        (GBM, {"method": "exact", "dt": "x"}, "dt is 'x', but must be a finite number above 0"),
        (GBM, {"dt": 0.1, "first_passage": "x"}, "first_passage is 'x', but must be a finite number"),
        (GBM, {"dt": 0.1, "rng": "x"}, "rng is 'x', but must be"),
        (GBM, {"dW": "abc"}, "dW is 'abc', but must be finite numbers of shape"),
        (GBM, {"dW": [[math.nan]]}, r"dW is \[\[nan\]\], but must be finite"),
        (GBM, {"dW": PATHS, "dt": 0.5}, "dt is 0.5, but the steps of dW have the length 0.25; leave dt out"),
    ],
)
def test_solve_refuses_what_it_cannot_use(problem, options, message):
    with pytest.raises(InvalidInput, match=message):
        solve(problem, **options)


def test_a_step_that_is_that_of_the_shared_paths_may_be_named():
    assert solve(GBM, dW=PATHS).y.tobytes() == solve(GBM, dW=PATHS, dt=0.25).y.tobytes()


def test_one_event_needs_no_list():
    def half(_t, y):
        return y[0] - 0.5

    alone, listed = solve(DECAY, events=half), solve(DECAY, events=[half])
    assert listed.t_events[0].tobytes() == alone.t_events[0].tobytes()
    assert alone.t_events[0] == pytest.approx([math.log(2)], rel=1e-6)


@pytest.mark.parametrize("method", ["LSODA", "RK45", "BDF"])
@pytest.mark.parametrize("later", [np.ones(2), np.ones((1, 1)), np.ones((2, 2)), np.ones(3)], ids=np.shape)
def test_a_drift_that_changes_its_shape_on_the_way_is_refused(method, later):
    changing = Problem(lambda t, y: -y if t < 0.5 else later, y0=[1.0, 2.0], t_span=SPAN)
    with pytest.raises(InvalidInput, match=r"returned the shape \(.*\) at t=0\.[5-9].*, but must return \(1, 2\)"):
        solve(changing, method=method)


@pytest.mark.parametrize("method", SCHEMES)
@pytest.mark.parametrize("later", [np.ones(2), np.ones((1, 2)), np.ones((3, 1)), np.ones((3, 2, 1))], ids=np.shape)
@pytest.mark.parametrize("name", ["drift", "diffusion"])
def test_a_coefficient_of_a_stochastic_problem_that_changes_its_shape_on_the_way_is_refused(method, later, name):
    functions = {"drift": lambda _t, y: -y, "diffusion": lambda _t, y: 0.1 * y}
    steady = functions[name]
    functions[name] = lambda t, y: steady(t, y) if t < 0.5 else later
    changing = Problem(**functions, y0=[1.0, 2.0], t_span=SPAN)
    with pytest.raises(InvalidInput, match=rf"{name}\(t, y\) returned the shape \(.*, but must return \(3, 2\)"):
        solve(changing, method=method, dt=0.1, n_paths=3, rng=1)


def test_a_diffusion_of_general_noise_keeps_its_number_of_motions():
    changing = Problem(
        lambda _t, y: -y, lambda t, y: np.ones((*y.shape, 2 if t < 0.5 else 1)), y0=[1.0, 2.0], t_span=SPAN
    )
    with pytest.raises(InvalidInput, match=r"shape \(3, 2, 1\) at t=.*must return \(3, 2, 2\)"):
        solve(changing, dt=0.1, n_paths=3, rng=1)


def test_the_start_of_a_ready_problem_is_named_as_its_argument():
    noise = {"lr": 0.1, "weight_decay": 0.5, "noise_variance": 1.0, "n_weights": 3, "time": 1.0}
    with pytest.raises(InvalidInput, match="norm_squared_start contains -1, but this state must be 0 or above"):
        isotropic_noise_norm(norm_squared_start=-1.0, **noise)
    pair = {"radial_pull": 0.1, "weight_decay": 0.1, "n_units": 3, "input_power": 1.0, "time": 1.0}
    with pytest.raises(InvalidInput, match="norms_squared_start contains -1, but this state must be 0 or above"):
        saturating_sigmoid_pair(norms_squared_start=[-1, 1], **pair)
    with pytest.raises(InvalidInput, match=r"norms_squared_start has shape \(1,\), but must have shape \(2,\)"):
        saturating_sigmoid_pair(norms_squared_start=1, **pair)
    with pytest.raises(InvalidInput, match="spread is 'x', but must be numbers of at least 0"):
        sigmoid_pull_ratio("x")
    with pytest.raises(InvalidInput, match="momentum is 'x', but must be a finite number"):
        momentum_oscillator(charge_start=1, lr=0.1, weight_decay=0.1, momentum="x", time=1)
    with pytest.raises(InvalidInput, match="charge_start is nan, but must be a finite number"):
        momentum_oscillator(charge_start=math.nan, lr=0.1, weight_decay=0.1, momentum=0.5, time=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: brownian_paths(1, 1, 1.0, rng=-1),
            "rng is -1, but must be a numpy.random.Generator or a whole number",
        ),
        (lambda: brownian_paths(1, 1, 1.0, rng="x"), "rng is 'x', but must be a numpy.random.Generator or a whole"),
        (lambda: ornstein_uhlenbeck(**OU | {"level": "x"}), "level is 'x', but must be a finite number"),
        (lambda: ornstein_uhlenbeck(**OU | {"t_span": 3}), "t_span is 3, but must be two numbers"),
        (lambda: ornstein_uhlenbeck(**OU | {"y0": "x"}), "y0 is 'x', but must be real numbers"),
        (lambda: cox_ingersoll_ross(**OU | {"level": 1, "y0": "x"}), "y0 is 'x', but must be real numbers"),
        (lambda: geometric_brownian_motion(growth=0, volatility=1, y0="x", t_span=SPAN), "y0 is 'x', but must be real"),
        (lambda: geometric_brownian_motion(growth=None, volatility=1, y0=1, t_span=SPAN), "growth is None, but must"),
        (lambda: stationary_law(GBM, bounds=3), r"bounds is 3, but must be two numbers \(low, high\)"),
        (lambda: stationary_law(GBM, bounds=(0, "x")), r"bounds is \(0, 'x'\), but must be two numbers"),
        (lambda: stationary_law(GBM, bounds=(0, 1, 2)), r"bounds is \(0, 1, 2\), but must be two numbers"),
        (lambda: FilteredGradient(0.1, numerator=("x",)), r"numerator is \('x',\), but must be finite coefficients"),
        (lambda: FilteredGradient(0.1, numerator=3.0), "numerator is 3.0, but must be finite coefficients"),
        (
            lambda: FilteredGradient(0.1, denominator=(1.0, math.inf)),
            r"denominator is \(1.0, inf\), but must be finite",
        ),
    ],
)
def test_ready_made_problems_and_laws_take_numbers_only(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: ENSEMBLE.histogram(time_index=9), "time_index is 9, but must be a whole number from -2 to 1"),
        (lambda: ENSEMBLE.histogram(component=1), "component is 1, but must be a whole number from -1 to 0"),
        (lambda: ENSEMBLE.histogram(0), "bins is 0, but must be a whole number of at least 1"),
        (lambda: ENSEMBLE.histogram("auto"), "bins is 'auto', but must be a whole number"),
        (lambda: ENSEMBLE.histogram([0.0, "x"]), r"bins is \[0.0, 'x'\], but must be a number of bins, or their edges"),
        (lambda: ENSEMBLE.histogram([1.0]), r"bins has edges \[1.0\], but needs at least two, and they must rise"),
        (lambda: ENSEMBLE.histogram([1.0, 0.0]), r"bins has edges \[1.0, 0.0\], but needs at least two"),
        (lambda: ENSEMBLE.histogram([-2.0, -1.0]), "no path lies between the edges -2 and -1; give wider bins"),
        (lambda: ENSEMBLE.moment("x"), "order is 'x', but must be a whole number of at least 0"),
        (lambda: ENSEMBLE.moment(-1), "order is -1, but must be a whole number of at least 0"),
        (lambda: ENSEMBLE.quantiles("x"), "probabilities is 'x', but must be numbers from 0 to 1"),
    ],
)
def test_a_statistic_that_cannot_be_had_is_refused(ask, message):
    with pytest.raises(InvalidInput, match=message):
        ask()


def test_a_histogram_of_all_paths_is_a_density():
    density, edges = ENSEMBLE.histogram(4, time_index=-2)
    expected = np.histogram(ENSEMBLE.y[:, 0, 0], bins=4, density=True)
    assert expected[0] == pytest.approx(density, rel=1e-14)
    assert expected[1].tobytes() == edges.tobytes()
    assert np.sum(density * np.diff(edges)) == pytest.approx(1.0, rel=1e-14)


def test_a_law_without_a_density_is_refused_instead_of_being_nan():
    with pytest.raises(InvalidInput, match="volatility is 0.0, but must be a finite number above 0"):
        ornstein_uhlenbeck(**OU | {"volatility": 0.0})
    for problem in (ornstein_uhlenbeck(**OU), cox_ingersoll_ross(**OU | {"level": 1.0, "y0": 1.0}), GBM):
        with pytest.raises(InvalidInput, match="t is 0, but the state has a density only after the start, 0"):
            problem.law(0.0)
    falling = geometric_brownian_motion(growth=-1.0, volatility=1.0, y0=-1.0, t_span=SPAN)
    with pytest.raises(InvalidInput, match=r"y0 is \[-1.0\], but its law is lognormal only from a state above 0"):
        falling.law(1.0)


@given(st.text() | st.none() | st.booleans() | st.complex_numbers() | st.just([]) | st.just([[1], [1, 2]]))
def test_no_time_span_of_another_kind_is_taken(wrong):
    with pytest.raises(InvalidInput, match="t_span is"):
        Problem(still, y0=1.0, t_span=wrong)


@pytest.mark.parametrize("method", SCHEMES)
@given(wrong=st.text() | st.booleans() | st.floats(max_value=0) | st.just(math.nan))
def test_no_step_of_another_kind_is_taken(method, wrong):
    with pytest.raises(InvalidInput, match="dt is"):
        solve(GBM, method=method, dt=wrong)
