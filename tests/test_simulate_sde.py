import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from weightdecay.errors import IntegrationError, InvalidInput
from weightdecay.simulate import (
    SCHEMES,
    Problem,
    brownian_paths,
    cox_ingersoll_ross,
    geometric_brownian_motion,
    isotropic_noise_norm,
    ornstein_uhlenbeck,
    solve,
)

WALK = Problem(lambda _t, _y: 0.0, lambda _t, _y: 1.0, y0=0.0, t_span=(0, 1))
OU = ornstein_uhlenbeck(rate=2.0, level=0.5, volatility=0.7, y0=1.5, t_span=(0, 1))
GBM = geometric_brownian_motion(growth=-1.0, volatility=0.8, y0=1.0, t_span=(0, 1))
CIR = cox_ingersoll_ross(rate=2.0, level=1.0, volatility=0.7, y0=1.5, t_span=(0, 1))  # far from 0

PENDULUM = Problem(lambda _t, y: np.sin(3 * y), lambda _t, _y: 0.7, y0=0.5, t_span=(0, 1))


def saturating(c=0.8, y0=0.3):
    """Tanh of a Brownian motion: non-linear in drift and diffusion, with an exact solution."""
    return Problem(
        lambda _t, y: -c * c * y * (1 - y * y),
        lambda _t, y: c * (1 - y * y),
        y0=y0,
        t_span=(0, 1),
        exact=lambda _t, W: np.tanh(c * W + np.arctanh(y0)),
        diffusion_derivative=lambda _t, y: -2 * c * y,
    )


def two_noises():
    """A multiple of itself driven by two Brownian motions, which is general noise."""
    b = np.array([0.5, -0.4])
    return Problem(
        lambda _t, y: -y,
        lambda _t, y: y[:, :, None] * b,
        y0=1.0,
        t_span=(0, 1),
        exact=lambda t, W: np.exp((-1 - 0.5 * b @ b) * t + W @ b)[:, None],
    )


def one_noise_for_two():
    """Two components driven by the same Brownian motion."""
    b = np.array([0.5, -0.4])
    return Problem(
        lambda _t, y: -y,
        lambda _t, y: (y * b)[:, :, None],
        y0=[1.0, 2.0],
        t_span=(0, 1),
        exact=lambda t, W: np.array([1.0, 2.0]) * np.exp((-1 - 0.5 * b * b) * t + W * b),
    )


STRONG = [
    ("geometric", GBM, "diagonal", ("euler", "milstein", "srk15")),
    ("saturating", saturating(), "diagonal", ("euler", "milstein", "srk15")),
    ("two noises", two_noises(), "general", ("euler",)),
    ("one noise for two", one_noise_for_two(), "scalar", ("srk15",)),
    ("Ornstein-Uhlenbeck", OU, "additive", ("euler", "milstein")),
    ("additive noise, drift not linear", PENDULUM, "additive", ("euler", "milstein", "srk15")),
    ("Cox-Ingersoll-Ross", CIR, "diagonal", ("euler", "milstein", "srk15")),
]


@pytest.mark.parametrize(
    ("problem", "noise", "method"),
    [
        pytest.param(problem, noise, method, id=f"{method} on {name}")
        for name, problem, noise, methods in STRONG
        for method in methods
    ],
)
def test_the_measured_strong_order_is_the_declared_one(problem, noise, method):
    # Steps from 1/64 to 1/1024: with longer ones the error of order 1 in Euler's drift still shows beside that of order
    # 1/2 in its noise. Where no exact solution is known, a Runge-Kutta solution on steps of 1/8192 stands for it.
    fine = brownian_paths(500, 8192, 1 / 8192, n_noise=problem.n_noise, rng=11)
    if problem.exact is not None:
        expected = problem.exact(1.0, fine.at_steps()[:, -1])
    else:
        expected = solve(problem, method="srk15", dW=fine).y[:, 0]
    steps, errors = [], []
    for factor in (8, 16, 32, 64, 128):
        coarse = fine.coarsened(factor)
        found = solve(problem, method=method, dW=coarse).y[:, 0]
        steps.append(coarse.dt)
        errors.append(np.mean(np.abs(found - expected)))
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert SCHEMES[method].strong_order[noise] == pytest.approx(slope, abs=0.1)


def test_milstein_without_the_derivative_keeps_its_order():
    fine = brownian_paths(1000, 512, 1 / 512, rng=12)
    problem = Problem(GBM.drift, GBM.diffusion, y0=1.0, t_span=(0, 1))
    expected = GBM.exact(1.0, fine.at_steps()[:, -1])
    coarse = [fine.coarsened(factor) for factor in (1, 2, 4, 8, 16)]
    errors = [np.abs(solve(problem, method="milstein", dW=paths).y[:, 0] - expected).mean() for paths in coarse]
    slope = np.polyfit(np.log([paths.dt for paths in coarse]), np.log(errors), 1)[0]
    assert slope == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("method", SCHEMES)
@pytest.mark.parametrize("power", [1, 2])
def test_the_measured_weak_order_is_the_declared_one(method, power):
    # The exact solution on the same paths is the control variate; the sampling error of each mean is required to be
    # small against its bias. Powers of the state up to the second are the test functions.
    problem = geometric_brownian_motion(growth=-1.0, volatility=0.2, y0=1.0, t_span=(0, 1))
    fine = brownian_paths(2**16, 128, 1 / 128, rng=13)
    exact = problem.exact(1.0, fine.at_steps()[:, -1]) ** power
    steps, errors = [], []
    for factor in (2, 4, 8, 16, 32):
        paths = fine.coarsened(factor)
        difference = solve(problem, method=method, dW=paths).y[:, 0] ** power - exact
        assert difference.std() / math.sqrt(difference.size) < abs(difference.mean()) / 15
        steps.append(paths.dt)
        errors.append(abs(difference.mean()))
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert SCHEMES[method].weak_order == pytest.approx(slope, abs=0.2)


def _deterministic_step(method, a, t, h, y):
    if method == "srk15":
        first = a(t, y)
        return y + h * (first + 2 * a(t + 0.75 * h, y + 0.75 * h * first)) / 3
    return y + h * a(t, y)


@pytest.mark.parametrize(
    ("method", "noise"),
    [
        (method, noise)
        for method in SCHEMES
        for noise in ("number", "diagonal", "general")
        if (method, noise) != ("milstein", "general")  # which it does not take
    ],
)
def test_without_diffusion_a_scheme_is_its_own_deterministic_scheme(method, noise):
    def drift(t, y):
        return np.cos(3 * t) - y**3 + 0.5 * y[:, ::-1]

    shapes = {"number": lambda _t, _y: 0.0, "diagonal": lambda _t, y: 0 * y, "general": lambda _t, y: 0 * y[:, :, None]}
    y = np.array([[1.0, -2.0], [0.3, 0.1]])
    problem = Problem(drift, shapes[noise], y0=y, t_span=(0, 1))
    times = np.linspace(0, 1, 51)
    found = solve(problem, times, method=method, dt=0.02, rng=1).y
    for k, t in enumerate(times):
        assert y == pytest.approx(found[:, k], rel=1e-12, abs=1e-12)
        y = _deterministic_step(method, drift, t, 0.02, y)


LAWS = {
    "Ornstein-Uhlenbeck": OU,
    "Cox-Ingersoll-Ross": CIR,
    "Cox-Ingersoll-Ross that touches zero": cox_ingersoll_ross(
        rate=1.0, level=0.2, volatility=1.0, y0=0.3, t_span=(0, 1)
    ),
    "Cox-Ingersoll-Ross from zero": cox_ingersoll_ross(rate=1.0, level=1.0, volatility=1.0, y0=0.0, t_span=(0, 1)),
    "geometric": GBM,
    "norm under isotropic noise": isotropic_noise_norm(
        lr=0.1, weight_decay=0.5, noise_variance=2.0, n_weights=30, norm_squared_start=9.0, time=1.0
    ),
}


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("jumps", [1, 3])
def test_exact_sampling_draws_from_the_law(name, jumps):
    problem = LAWS[name]
    times = np.linspace(0, 1, jumps + 1)[1:]
    solution = solve(problem, times, method="exact", n_paths=100_000, rng=21)
    for k in {0, jumps - 1}:
        law = problem.law(times[k])
        assert stats.kstest(solution.y[:, k, 0], lambda y, law=law: law.cdf(y)).pvalue > 1e-4


@pytest.mark.parametrize("name", LAWS)
def test_the_law_obeys_the_equations_of_its_moments(name):
    # d mean/dt = E[drift], d variance/dt = E[diffusion^2] + 2 Cov(drift, y), by quadrature over the law itself
    problem, t, h = LAWS[name], 0.6, 1e-4
    levels = (np.arange(200_000) + 0.5) / 200_000
    y = problem.law(t).ppf(levels)[:, None]
    drift, diffusion = np.broadcast_to(problem.drift(t, y), y.shape), np.broadcast_to(problem.diffusion(t, y), y.shape)
    mean_rate = (problem.law(t + h).mean() - problem.law(t - h).mean()) / (2 * h)
    variance_rate = (problem.law(t + h).var() - problem.law(t - h).var()) / (2 * h)
    spread = np.mean(diffusion**2)
    assert mean_rate[0] == pytest.approx(drift.mean(), rel=2e-4, abs=2e-4)
    expected = spread + 2 * np.mean((drift - drift.mean()) * (y - y.mean()))
    assert np.ravel(variance_rate)[0] == pytest.approx(expected, abs=2e-3 * spread)


@pytest.mark.parametrize("method", [*SCHEMES, "exact"])
@pytest.mark.parametrize("name", ["Ornstein-Uhlenbeck", "Cox-Ingersoll-Ross", "geometric"])
def test_no_choice_of_blocks_or_processes_changes_a_byte(name, method):
    options = {"method": method, "dt": None if method == "exact" else 0.1, "n_paths": 10_000, "rng": 5}
    reference = solve(LAWS[name], [0.5, 1.0], **options)
    for block_size in (1, 4096, 100_000):
        assert reference.y.tobytes() == solve(LAWS[name], [0.5, 1.0], block_size=block_size, **options).y.tobytes()


@pytest.mark.parametrize(
    ("method", "small_steps"),
    [("euler", {"dt": 0.1, "first_passage": 0.4}), ("srk15", {"dt": 0.1, "first_passage": 0.4}), ("exact", {})],
)
def test_processes_share_the_work_and_change_no_byte(method, small_steps):
    options = {"method": method, "n_paths": 10_000, "rng": 5, "block_size": 4096, **small_steps}
    alone, shared = solve(GBM, **options), solve(GBM, n_jobs=2, **options)
    assert alone.y.tobytes() == shared.y.tobytes()
    if small_steps:
        assert alone.first_passage.tobytes() == shared.first_passage.tobytes()


def test_a_seed_makes_the_run_and_is_in_the_result():
    runs = [solve(GBM, dt=0.1, n_paths=5, rng=seed) for seed in (7, 7, 8)]
    assert runs[0].y.tobytes() == runs[1].y.tobytes() != runs[2].y.tobytes()
    assert [7, 7, 8] == [run.seed for run in runs]
    fresh = solve(GBM, dt=0.1, n_paths=5)
    assert fresh.y.tobytes() == solve(GBM, dt=0.1, n_paths=5, rng=fresh.seed).y.tobytes()
    generator = np.random.default_rng(7)
    first, second = (solve(GBM, dt=0.1, n_paths=5, rng=generator) for _ in range(2))
    assert runs[0].y.tobytes() == first.y.tobytes() != second.y.tobytes()
    assert first.seed["entropy"] == 7
    assert np.random.default_rng(7).random() == generator.random()  # the caller's own stream is left alone


def test_asking_for_more_times_or_for_passages_changes_no_path():
    end = solve(GBM, dt=0.1, n_paths=50, rng=3).y[:, -1]
    assert end.tobytes() == solve(GBM, np.linspace(0, 1, 11), dt=0.1, n_paths=50, rng=3).y[:, -1].tobytes()
    assert end.tobytes() == solve(GBM, dt=0.1, n_paths=50, rng=3, first_passage=0.5).y[:, -1].tobytes()


def test_memory_does_not_grow_with_the_number_of_steps():
    peaks = []
    for n_steps in (10, 200):
        tracemalloc.start()
        solve(OU, dt=1 / n_steps, n_paths=100_000, rng=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.02 * peaks[0]
    assert peaks[1] < 4 * 100_000 * 8


@pytest.mark.parametrize("method", SCHEMES)
def test_square_root_diffusion_stays_positive_and_keeps_its_mean(method):
    problem = cox_ingersoll_ross(
        rate=1.0, level=0.1, volatility=1.0, y0=0.05, t_span=(0, 2)
    )  # zero is hit all the time
    solution = solve(problem, [1.0, 2.0], method=method, dt=0.01, n_paths=20_000, rng=2)
    assert np.all(np.isfinite(solution.y))
    assert solution.y.min() == 0.0
    if method == "euler":  # full truncation: a small bias near zero, declared for Euler's method only
        expected = [problem.law(t).mean()[0] for t in (1.0, 2.0)]
        assert expected == pytest.approx(solution.mean()[:, 0], abs=0.005)


def test_the_ensemble_s_mean_variance_moments_and_quantiles_are_those_of_the_law():
    solution = solve(CIR, [0.5, 1.0], method="exact", n_paths=200_000, rng=4)
    law = CIR.law(1.0)
    assert solution.mean()[1, 0] == pytest.approx(law.mean()[0], abs=4 * solution.standard_error()[1, 0])
    assert solution.standard_error()[1, 0] == pytest.approx(law.std()[0] / math.sqrt(200_000), rel=0.01)
    assert solution.variance()[1, 0] == pytest.approx(law.var()[0], rel=0.02)
    assert solution.moment(3)[1, 0] == pytest.approx(float(law.moment(3)[0]), rel=0.02)
    quantiles = solution.quantiles([0.05, 0.5, 0.95])
    assert quantiles.shape == (3, 2, 1)
    assert law.ppf([0.05, 0.5, 0.95]) == pytest.approx(quantiles[:, 1, 0], rel=0.01)
    density, edges = solution.histogram(np.linspace(0.5, 2.5, 21))
    inside = law.cdf(2.5)[0] - law.cdf(0.5)[0]
    expected = np.diff(law.cdf(edges)) / np.diff(edges) / inside
    assert expected == pytest.approx(density, abs=0.03)


def test_first_passage_times_of_a_drifting_walk_follow_the_inverse_gaussian():
    drift, level = 1.0, 1.0
    walk = Problem(lambda _t, _y: drift, lambda _t, _y: 1.0, y0=0.0, t_span=(0, 40))
    times = solve(walk, dt=0.02, n_paths=20_000, rng=6, first_passage=level).first_passage
    assert not np.any(np.isnan(times))
    law = stats.invgauss(mu=1 / (level * drift), scale=level**2)
    assert stats.kstest(times, law.cdf).pvalue > 1e-3


def test_a_walk_that_drifts_away_passes_with_the_known_probability():
    walk = Problem(lambda _t, _y: -1.0, lambda _t, _y: 1.0, y0=1.0, t_span=(0, 20))
    n_paths = 20_000
    times = solve(walk, dt=0.1, n_paths=n_paths, rng=7, first_passage=1.5).first_passage
    expected = math.exp(-2 * 0.5)
    error = math.sqrt(expected * (1 - expected) / n_paths)
    assert np.mean(~np.isnan(times)) == pytest.approx(expected, abs=4 * error)


def test_passages_are_noted_up_to_the_end_whatever_times_are_kept():
    kept, none = (solve(WALK, times, dt=0.05, n_paths=500, rng=8, first_passage=0.8) for times in ([0.25, 0.5], None))
    assert none.first_passage == pytest.approx(kept.first_passage, rel=1e-12, nan_ok=True)
    assert kept.y.shape == (500, 2, 1)
    assert np.nanmax(kept.first_passage) > 0.5


def test_brownian_paths_coarsen_to_the_same_motion():
    fine = brownian_paths(3, 24, 0.5, n_noise=2, rng=9)
    by_two = fine.coarsened(4).coarsened(3)
    at_once = fine.coarsened(12)
    assert at_once.dW == pytest.approx(by_two.dW, rel=1e-12, abs=1e-13)
    assert at_once.dZ == pytest.approx(by_two.dZ, rel=1e-12, abs=1e-13)
    assert fine.at_steps()[:, ::12] == pytest.approx(at_once.at_steps(), rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("factor", [1, 8])
def test_increments_and_their_integrals_have_the_known_covariance(factor):
    n_paths, h = 200_000, 0.3
    paths = brownian_paths(n_paths, factor, h / factor, rng=10).coarsened(factor)
    pair = np.stack([paths.dW[:, 0, 0], paths.dZ[:, 0, 0]])
    expected = np.array([[h, h**2 / 2], [h**2 / 2, h**3 / 3]])
    assert expected / np.cov(pair) == pytest.approx(np.ones((2, 2)), abs=4 * 2 / math.sqrt(n_paths))


def test_the_runge_kutta_scheme_integrates_the_motion_that_it_draws():
    # a Brownian motion and its time integral, for which the scheme is exact at any step
    n_paths = 200_000
    pair = Problem(
        lambda _t, y: np.stack([0 * y[:, 0], y[:, 0]], axis=1),
        lambda _t, _y: np.broadcast_to([1.0, 0.0], _y.shape),
        y0=[0.0, 0.0],
        t_span=(0, 2),
    )
    for dt in (2.0, 0.5):
        found = np.cov(solve(pair, method="srk15", dt=dt, n_paths=n_paths, rng=17).y[:, 0].T)
        expected = np.array([[2.0, 2.0], [2.0, 8 / 3]])
        assert expected / found == pytest.approx(np.ones((2, 2)), abs=4 * 2 / math.sqrt(n_paths))


@pytest.mark.parametrize("derivative", [None, lambda _t, _y: 1.0], ids=["by difference", "given"])
@pytest.mark.parametrize("positive", [False, True])
def test_a_coefficient_may_return_the_state_itself(positive, derivative):
    options = {"y0": 1.0, "t_span": (0, 1), "positive": positive, "diffusion_derivative": derivative}
    itself = Problem(lambda _t, y: y, lambda _t, y: y, **options)
    copied = Problem(lambda _t, y: 1.0 * y, lambda _t, y: 1.0 * y, **options)
    paths = brownian_paths(4, 8, 1 / 8, rng=1)
    for method in SCHEMES:
        expected = solve(copied, method=method, dW=paths).y
        assert expected.tobytes() == solve(itself, method=method, dW=paths).y.tobytes()
    expected = np.prod(1 + 1 / 8 + paths.dW, axis=1)
    assert expected == pytest.approx(solve(itself, method="euler", dW=paths).y[:, 0], rel=1e-13)


def test_plain_increments_serve_the_methods_that_need_no_more():
    paths = brownian_paths(4, 8, 1 / 8, rng=1)
    expected = solve(GBM, method="milstein", dW=paths).y
    assert expected.tobytes() == solve(GBM, method="milstein", dW=paths.dW).y.tobytes()
    assert expected.tobytes() == solve(GBM, method="milstein", dW=paths.dW[:, :, 0]).y.tobytes()
    with pytest.raises(InvalidInput, match="give the BrownianPaths that brownian_paths returns"):
        solve(GBM, method="srk15", dW=paths.dW)


@pytest.mark.parametrize("method", SCHEMES)
def test_no_step_goes_across_a_break(method):
    jumping = Problem(
        lambda t, _y: 1.0 if t < 1 / 3 else 10.0, lambda _t, _y: 0.0, y0=0.0, t_span=(0, 1), breaks=(1 / 3,)
    )
    assert solve(jumping, method=method, dt=0.4).y[0, 0, 0] == pytest.approx(1 / 3 + 10 * 2 / 3, rel=1e-12)


@pytest.mark.parametrize("method", SCHEMES)
def test_noise_that_stops_at_a_break_is_not_seen_before_or_after_it(method):
    stopping = Problem(lambda _t, _y: 0.0, lambda t, _y: 1.0 if t < 0.5 else 0.0, y0=0.0, t_span=(0, 1), breaks=(0.5,))
    paths = brownian_paths(3, 4, 0.25, rng=18)
    found = solve(stopping, method=method, dW=paths).y[:, 0]
    assert paths.at_steps()[:, 2] == pytest.approx(found, rel=1e-12)


@pytest.mark.parametrize(("method", "bound"), [("euler", 0.2), ("milstein", 0.2), ("srk15", 0.2)])
def test_a_step_too_large_for_a_linear_drift_is_refused_with_the_bound(method, bound):
    problem = ornstein_uhlenbeck(rate=10.0, level=1.0, volatility=1.0, y0=0.0, t_span=(0, 10))
    with pytest.raises(InvalidInput, match=rf"dt is 0\.21, but method '{method}' is stable .* only up to {bound}"):
        solve(problem, method=method, dt=0.21)
    assert np.abs(solve(problem, method=method, dt=0.199, n_paths=10, rng=1).y).max() < 100


def test_the_stability_bound_of_a_spiral_is_that_of_its_complex_rates():
    spiral = Problem(
        lambda _t, y: y @ np.array([[-1.0, 3.0], [-3.0, -1.0]]), lambda _t, _y: 0.1, y0=[1.0, 0.0], t_span=(0, 10)
    )
    with pytest.raises(InvalidInput, match="only up to 0.2; use"):  # 2 / 10, since abs(1 + (-1 + 3i) dt) <= 1
        solve(spiral, dt=0.25)


def test_a_drift_that_is_not_linear_has_no_stability_bound_to_be_refused_for():
    cubic = Problem(lambda _t, y: -10 * y**3, lambda _t, _y: 0.01, y0=0.1, t_span=(0, 10))
    assert np.isfinite(solve(cubic, dt=0.3, rng=1).y).all()


@pytest.mark.parametrize("method", SCHEMES)
def test_a_coefficient_that_stops_being_a_number_is_named_with_time_and_state(method):
    broken = Problem(lambda t, y: np.where(t > 0.5, np.nan, -y), lambda _t, _y: 0.0, y0=[1.0, 2.0], t_span=(0, 1))
    with pytest.raises(IntegrationError, match=r"drift\(t, y\) is nan at t=0\.5.?.*, y=\[0\..+ 1\..+\], but must be"):
        solve(broken, method=method, dt=0.01, n_paths=5000)


def test_a_state_that_leaves_the_finite_numbers_is_named():
    blow_up = Problem(lambda _t, y: y**3, lambda _t, y: 0 * y, y0=2.0, t_span=(0, 10))
    with pytest.raises(IntegrationError, match=r"drift\(t, y\) is inf at t=0.21, y=\[1\..+e\+223\].* use a smaller dt"):
        solve(blow_up, dt=0.01)


def test_integers_are_accepted_as_initial_state_and_rows_as_paths():
    integers = Problem(lambda _t, y: -y, lambda _t, y: 0.5 * y, y0=[[1], [2], [3]], t_span=(0, 1))
    floats = Problem(lambda _t, y: -y, lambda _t, y: 0.5 * y, y0=[[1.0], [2.0], [3.0]], t_span=(0, 1))
    solution = solve(integers, dt=0.1, rng=1)
    assert solution.y.shape == (3, 1, 1)
    assert solve(floats, dt=0.1, rng=1).y.tobytes() == solution.y.tobytes()


def test_progress_is_told_after_each_block():
    told = []
    solve(OU, dt=0.5, n_paths=10_000, rng=1, block_size=4096, progress=lambda done, total: told.append((done, total)))
    assert told == [(4096, 10_000), (8192, 10_000), (10_000, 10_000)]


TWO_ROWS = Problem(lambda _t, y: -y, lambda _t, y: 0.5 * y, y0=[[1], [2]], t_span=(0, 1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Problem(lambda _t, y: y, lambda _t, _y: np.ones(3), y0=[1, 2], t_span=(0, 1)),
         r"shape \(1, 2\) \(n_paths, dim\) for diagonal or \(1, 2, 'n_noise'\) for general noise"),
        (lambda: cox_ingersoll_ross(rate=1, level=1, volatility=1, y0=-1, t_span=(0, 1)),
         "y0 contains -1, but this state must be 0 or above"),
        (lambda: solve(GBM), "method 'euler' needs dt, the length of its steps, above 0 and at most 1"),
        (lambda: solve(GBM, dt=1.5), "dt is 1.5, but must be at most the time span, 1"),
        (lambda: solve(GBM, dt=0), "dt is 0, but must be a finite number above 0"),
        (lambda: solve(GBM, dt=0.1, n_paths=0), "n_paths is 0"),
        (lambda: solve(GBM, dt=0.1, rng=-1), "rng is -1, but must be a whole number of at least 0"),
        (lambda: solve(GBM, dt=0.1, method="milsten"), "did you mean 'milstein'"),
        (lambda: solve(GBM, dt=0.1, events=[lambda _t, y: y[0]]), "events is for problems without diffusion"),
        (lambda: solve(GBM, dt=0.1, dense_output=True), "dense_output is for problems without diffusion"),
        (lambda: solve(GBM, [0.5, 0.2], dt=0.1), "t_eval must rise, but 0.2 follows 0.5"),
        (lambda: solve(saturating(), method="exact"), "needs a problem with a known transition law"),
        (lambda: solve(GBM, method="exact", first_passage=2.0), "first_passage needs a method that takes small steps"),
        (lambda: solve(GBM, dt=0.1, first_passage=math.inf), "first_passage is inf, but must be a finite number"),
        (lambda: solve(two_noises(), method="milstein", dt=0.1), "does not take general noise with 2 Brownian motions"),
        (lambda: solve(TWO_ROWS, dt=0.1, n_paths=3), "y0 has 2 paths, but must have 3"),
        (lambda: solve(GBM, dW=np.ones(4)), r"dW has shape \(4,\), but must have shape \(n_paths, n_steps, n_noise\)"),
        (lambda: solve(GBM, dW=np.ones((4, 8, 2))), r"must have shape \(n_paths, n_steps, 1\) for this problem"),
        (lambda: solve(GBM, dW=brownian_paths(2, 4, 0.1, rng=1)), "dW covers 4 steps of 0.1, but must cover the time"),
        (lambda: solve(GBM, [0.3], dW=brownian_paths(2, 4, 0.25, rng=1)), "the time 0.3 does not lie on the grid"),
        (lambda: solve(GBM, dW=brownian_paths(2, 4, 0.25, rng=1), n_paths=3), "dW has 2 paths, but must have 3"),
        (lambda: brownian_paths(2, 4, 0.25, rng=1).coarsened(3), "factor is 3, but must divide the number of steps, 4"),
        (lambda: solve(GBM, dt=0.5, n_paths=3).quantiles(1.5), r"probabilities are \[1.5\], but must lie from 0 to 1"),
        (lambda: solve(GBM, dt=0.5).variance(), r"needs at least 2 of them, but y has shape \(1, 1, 1\)"),
    ],
)  # fmt: skip
def test_bad_input_is_answered_with_what_is_allowed(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()


@settings(max_examples=50, deadline=None)
@given(
    dt=st.floats(0.01, 1.0),
    times=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6, unique=True).map(sorted),
    n_paths=st.integers(1, 5),
)
def test_any_times_and_any_step_give_the_deterministic_end_and_the_shape_asked_for(dt, times, n_paths):
    constant = Problem(lambda _t, _y: 2.0, lambda _t, _y: 0.0, y0=1.0, t_span=(0, 1))
    solution = solve(constant, times, dt=dt, n_paths=n_paths, rng=1)
    assert solution.y.shape == (n_paths, len(times), 1)
    assert solution.y[0, :, 0] == pytest.approx(1 + 2 * np.array(times), rel=1e-12)
