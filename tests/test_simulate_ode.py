import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from weightdecay import theory
from weightdecay.errors import IntegrationError, InvalidInput
from weightdecay.simulate import (
    Linear,
    Problem,
    Status,
    Step,
    Tabulated,
    WarmUp,
    collapse,
    deep_linear_modes,
    homogeneous_layers,
    momentum_oscillator,
    norm_under_pull,
    problem_from_derivation,
    product_flow,
    pure_decay_floor,
    reaching,
    saturating_sigmoid_pair,
    scale_invariant_norm,
    sigmoid_pull_ratio,
    solve,
    tail_off,
)
from weightdecay.simulate.ode import default_method
from weightdecay.validate import load_mnist

METHODS = ("RK23", "RK45", "DOP853", "LSODA", "Radau", "BDF")
FOUNDING = {"lr": 0.1, "weight_decay": 1e-4, "n_steps": 150_000}
DECAY = Problem(lambda _, y: -y, y0=1, t_span=(0, 1))


def test_without_times_the_solvers_own_steps_are_kept():
    problem = Problem(lambda _, y: -y, y0=[1, 2], t_span=(0, 1))  # integers are converted
    solution = solve(problem)
    assert (0.0, 1.0) == (solution.t[0], solution.t[-1])
    assert (len(solution.t), 2) == solution.y.shape
    assert len(solution.t) - 1 == solution.n_steps
    assert np.exp(-solution.t)[:, None] * [1, 2] == pytest.approx(solution.y, rel=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_positive_state_stops_at_zero_where_its_drift_has_a_root(method):
    draining = Problem(lambda _, y: -np.sqrt(y), y0=1.0, t_span=(0, 4), positive=True)
    emptied = solve(draining, [1.0, 3.0, 4.0], method=method, rtol=1e-6)  # (1 - t/2)^2 until it is empty
    assert emptied.success
    assert emptied.y[:, 0] == pytest.approx([0.25, 0.0, 0.0], abs=1e-4)
    assert emptied.y.min() >= 0


@pytest.mark.parametrize("method", METHODS)
def test_an_inward_pull_stops_the_norm_at_zero_until_the_pull_turns_outwards(method):
    seen = []

    def watch(_t, y):
        seen.append(float(y[0]))
        return 1.0

    def pull(step):
        return -0.1 if step < 200_000 else 0.2  # no break, so that the turn lies inside a piece

    problem = norm_under_pull(norm_squared_start=2000.0, lr=0.1, weight_decay=1e-4, n_steps=300_000, radial_pull=pull)
    solution = solve(problem, [50_000, 100_000, 300_000], method=method, dense_output=True, events=[watch])
    assert [3000 / math.e - 1000, 0.0, 2000 * (1 - math.exp(-2))] == pytest.approx(solution.y[:, 0], rel=1e-6, abs=1e-9)
    assert 0.0 <= solution.sol(np.linspace(0, 300_000, 10_001)).min()
    assert 0.0 <= min(seen)


def test_the_exact_solution_stops_at_zero_too():
    emptied = norm_under_pull(norm_squared_start=2000.0, radial_pull=-0.1, **FOUNDING)
    assert [3000 * math.exp(-1) - 1000, 0.0] == pytest.approx(
        [emptied.exact(t)[0] for t in (50_000, 150_000)], rel=1e-9
    )


def test_every_piece_between_breaks_has_the_whole_budget_of_steps():
    lr = Step(0.1, 0.9, every=10)
    problem = norm_under_pull(norm_squared_start=1.0, lr=lr, weight_decay=0.01, n_steps=1000)
    solution = solve(problem, [1000.0], max_steps=60)
    assert solution.success
    assert solution.n_steps > 60
    assert math.exp(-0.02 * (1 - 0.9**100) * 10) == pytest.approx(solution.y[0, 0], rel=1e-6)


def test_a_drop_of_the_learning_rate_is_no_tail_off():
    options = {"norm_squared_start": 23520.0, "weight_decay": 1e-4, "radial_pull": 0.1, "n_steps": 10**7}
    problem = norm_under_pull(lr=Step(0.1, 0.05, at=(10_000,)), **options)
    solution = solve(problem, events=[tail_off(problem, share=0.1)], rtol=1e-10)
    rest, start = 1000.0, 1 - 1000 / 23520
    # the distance from equilibrium is that of decay by an integral of the learning rate, 1000 until the drop
    needed = math.log(22520 / (rest / (1 - 0.1 * start) - rest)) / 2e-4
    assert 10_000 + (needed - 1000) / 0.005 == pytest.approx(solution.t_events[0][0], rel=1e-6)


@pytest.mark.parametrize(("n_components", "method"), [(500, "LSODA"), (501, "RK45")])
def test_a_large_state_is_for_an_explicit_method(n_components, method):
    assert method == default_method(Problem(lambda _, y: -y, y0=np.ones(n_components), t_span=(0, 1)))


def test_the_product_flow_of_784_inputs_and_10_outputs_settles_without_a_dense_jacobian():
    rng = np.random.default_rng(0)
    V, _ = np.linalg.qr(rng.standard_normal((784, 784)))
    U, _ = np.linalg.qr(rng.standard_normal((10, 10)))
    variances = 20.0 / np.arange(1, 785)  # a spectrum as steep as that of pixels
    decay, rest, start = 0.1, np.linspace(0.5, 1.5, 10), 0.01
    flow = product_flow(
        product_start=start * U @ V[:, :10].T,
        input_covariance=(V * variances) @ V.T,
        correlation=(U * (variances[:10] * rest + decay)) @ V[:, :10].T,  # so that mode i rests at rest[i]
        depth=2,
        weight_decay=decay,
        time=2.0,
    )
    calls = []

    def counted(t, y):
        calls.append(t)
        return flow.drift(t, y)

    times = np.array([0.1, 0.5, 2.0])
    solution = solve(replace(flow, drift=counted), times, method=default_method(flow))
    assert len(calls) < 784 * 10 / 2  # a Jacobian by differences takes one call for each component
    strengths = np.einsum("ki,tkj,ji->ti", U, solution.y.reshape(3, 10, 784), V[:, :10])
    expected = rest / (1 + (rest / start - 1) * np.exp(-2 * variances[:10] * rest * times[:, None]))
    assert expected == pytest.approx(strengths, rel=1e-5)


def test_dense_output_runs_across_breaks():
    lr = Step(0.1, 0.5, at=(400, 700))
    problem = norm_under_pull(norm_squared_start=1.0, lr=lr, weight_decay=0.01, n_steps=1000)
    dense = solve(problem, dense_output=True, rtol=1e-10).sol
    times = np.array([0.0, 200.0, 400.0, 550.0, 700.0, 1000.0])
    passed = np.array([0.0, 20.0, 40.0, 47.5, 55.0, 62.5])  # the integral of the learning rate
    assert np.exp(-2 * 0.01 * passed) == pytest.approx(dense(times)[0], rel=1e-8)


def test_a_jump_of_the_schedule_costs_no_accuracy():
    lr = Step(0.1, 0.1, at=(333,))
    problem = norm_under_pull(norm_squared_start=1.0, lr=lr, weight_decay=0.01, n_steps=1000)
    solution = solve(problem, [333, 334, 1000], rtol=1e-9)
    passed = np.array([33.3, 33.31, 33.3 + 6.67])
    assert np.exp(-0.02 * passed) == pytest.approx(solution.y[:, 0], rel=1e-8)


@pytest.mark.parametrize("method", ["RK23", "RK45", "DOP853"])
def test_a_jump_at_a_break_costs_no_steps(method):
    # each piece is a straight line, for which every step is as long as the solver dares
    jumping = Problem(lambda t, y: (1.0 if t < 1 else 2.0) + 0 * y, y0=1.0, t_span=(0, 2), breaks=(1.0,))
    straight = Problem(lambda _, y: 1.0 + 0 * y, y0=1.0, t_span=(0, 1))
    across, along = solve(jumping, [2.0], method=method), solve(straight, [1.0], method=method)
    assert across.y[0, 0] == pytest.approx(4.0, rel=1e-12)
    assert across.n_steps == 2 * along.n_steps


def test_a_table_with_a_jump_is_integrated_like_the_step_schedule_that_it_lists():
    lr = Step(0.1, 0.1, at=(40,))
    listed = Tabulated(tuple(lr(np.arange(100))))
    by_step, by_table = (
        solve(norm_under_pull(norm_squared_start=1.0, lr=s, weight_decay=0.01, n_steps=100), [100.0], rtol=1e-10).y
        for s in (lr, listed)
    )
    assert by_step == pytest.approx(by_table, rel=1e-9)


def test_warm_up_and_decay_schedules_integrate_to_the_area_under_their_product():
    lr = WarmUp(100, Linear(0.1, 0.0, 900))
    weight_decay = Linear(0.02, 0.01, 1000)
    problem = norm_under_pull(norm_squared_start=1.0, lr=lr, weight_decay=weight_decay, n_steps=1000)
    t = np.linspace(0, 1000, 1_000_001)
    product = lr(t) * weight_decay(t)
    area = np.sum(0.5 * (product[1:] + product[:-1])) * 1e-3
    assert math.exp(-2 * area) == pytest.approx(solve(problem, [1000.0], rtol=1e-10).y[0, 0], rel=1e-7)


@pytest.mark.parametrize("factor", [2.0, 10.0])
def test_a_drop_of_the_learning_rate_turns_less_at_first_and_recovers_as_the_closed_form_says(factor):
    before, after, weight_decay, power = 0.1, 0.1 / factor, 0.05, 3.0
    block = scale_invariant_norm(
        norm_squared_start=math.sqrt(before * power / (2 * weight_decay)),  # at equilibrium
        lr=Step(before, 1 / factor, at=(500,)),
        weight_decay=weight_decay,
        unit_gradient_power=power,
        n_steps=2000,
    )
    steps = np.array([500.0, 600.0, 800.0, 2000.0])
    norm_squared = solve(block, steps, rtol=1e-10).y[:, 0]
    angular_update = after * np.sqrt(power) / norm_squared
    settled = math.sqrt(2 * after * weight_decay)
    expected = settled / np.sqrt(1 + (factor - 1) * np.exp(-4 * after * weight_decay * (steps - 500)))
    assert expected == pytest.approx(angular_update, rel=1e-7)


def test_the_same_drop_with_updates_of_fixed_size_recovers_at_half_the_pace():
    # AdamW and sign updates: gradient power does not depend on the norm, and the norm itself relaxes linearly
    block = norm_under_pull(
        norm_squared_start=0.1 / (2 * 0.05),
        lr=Step(0.1, 0.25, at=(500,)),
        weight_decay=0.05,
        gradient_power=1.0,
        n_steps=2000,
    )
    steps = np.array([500.0, 700.0, 2000.0])
    angular_update = 0.025 / np.sqrt(solve(block, steps, rtol=1e-10).y[:, 0])
    expected = math.sqrt(2 * 0.025 * 0.05) / np.sqrt(1 + 3 * np.exp(-2 * 0.025 * 0.05 * (steps - 500)))
    assert expected == pytest.approx(angular_update, rel=1e-7)


def test_the_floor_of_pure_decay_is_the_product_of_the_steps_for_any_schedule():
    lr, weight_decay = Linear(0.1, 0.0, 50), Step(0.5, 0.5, every=20)
    expected = [3.0]
    for step in range(60):
        expected.append(expected[-1] * (1 - lr(step) * weight_decay(step)) ** 2)
    assert expected == pytest.approx(pure_decay_floor(3.0, lr, weight_decay, 60).tolist(), rel=1e-13)


def test_the_founding_question_s_floor_is_five_percent_of_the_variance_after_thirty_epochs():
    floor = pure_decay_floor(1.01, 0.1, 1e-4, 150_000)
    assert 1.01 * math.exp(-3) == pytest.approx(floor[-1], rel=2e-5)
    assert 1.01 * (1 - 1e-5) ** 300_000 == pytest.approx(floor[-1], rel=1e-9)


def test_the_flow_stays_on_the_floor_and_ends_where_the_closed_form_says():
    problem = norm_under_pull(norm_squared_start=1.0, **FOUNDING)
    solution = solve(problem, np.linspace(0, 150_000, 4), rtol=1e-9)
    floor = pure_decay_floor(1.0, 0.1, 1e-4, 150_000)[::50_000]
    assert floor == pytest.approx(solution.y[:, 0], rel=2e-5)  # the flow is off by lr weight_decay per unit of decay


def test_time_to_a_size_agrees_with_the_derivation():
    problem = norm_under_pull(norm_squared_start=1.0, lr=0.1, weight_decay=1e-4, n_steps=10**6)
    size = 1 / 28  # one over the root of the fan-in
    event = solve(problem, events=[reaching(size**2)], rtol=1e-10).t_events[0]
    expected = theory.derive("decay-floor").numeric(
        "n_steps_to_size", lr=0.1, weight_decay=1e-4, size=size, size_start=1.0
    )
    assert expected == pytest.approx(event[0], rel=1e-4)
    assert 66.6 == pytest.approx(event[0] / 5000, abs=0.1)  # epochs


def test_an_event_ends_the_integration_or_only_notes_the_time():
    problem = Problem(lambda t, y: np.cos(t) * np.ones_like(y), y0=0.0, t_span=(0, 10))
    ended = solve(problem, events=[reaching(0.5)])
    assert Status.EVENT is ended.status
    assert ended.success
    assert math.pi / 6 == pytest.approx(ended.t[-1], abs=1e-6)
    noted = solve(problem, events=[reaching(0.5, terminal=False), reaching(0.5, direction="down", terminal=False)])
    turns = math.pi * np.array([1 / 6, 5 / 6, 13 / 6, 17 / 6])
    assert Status.REACHED_END is noted.status
    assert turns == pytest.approx(noted.t_events[0], abs=1e-6)
    assert turns[1::2] == pytest.approx(noted.t_events[1], abs=1e-6)
    assert (4, 1) == noted.y_events[0].shape


def test_decay_tails_off_where_the_relative_rate_has_fallen_to_the_share():
    problem = norm_under_pull(norm_squared_start=23520.0, radial_pull=0.1, lr=0.1, weight_decay=1e-4, n_steps=10**6)
    ended = solve(problem, events=[tail_off(problem, share=0.1)], rtol=1e-10)
    rest = 0.1 / 1e-4
    start = 1 - rest / 23520
    assert rest / (1 - 0.1 * start) == pytest.approx(ended.y_events[0][0, 0], rel=1e-6)


def test_pure_decay_never_tails_off_but_collapses():
    problem = norm_under_pull(norm_squared_start=1.0, lr=0.1, weight_decay=0.5, n_steps=1000)
    assert Status.REACHED_END is solve(problem, events=[tail_off(problem, share=0.5)]).status
    collapsed = solve(problem, events=[collapse(problem, share=1e-3)], rtol=1e-10)
    assert math.log(1e3) / 0.1 == pytest.approx(collapsed.t_events[0][0], rel=1e-7)


def test_a_stiff_problem_tells_an_explicit_method_what_to_try():
    stiff = Problem(lambda t, y: -1e7 * (y - np.cos(t)), y0=0.0, t_span=(0, 10))
    given_up = solve(stiff, np.linspace(0, 10, 11), method="RK45", max_steps=300)
    assert Status.TOO_STIFF is given_up.status
    assert "'Radau'" in given_up.status.value
    assert not given_up.success
    assert given_up.n_steps == 300
    assert given_up.t.tolist() == [0.0]
    for method in ("LSODA", "Radau", "BDF"):
        solved = solve(stiff, [10.0], method=method, max_steps=3000)
        assert solved.success
        assert math.cos(10) == pytest.approx(solved.y[0, 0], abs=1e-5)
    assert Status.TOO_MANY_STEPS is solve(stiff, method="BDF", max_steps=5).status


def test_a_singularity_is_reported_as_such():
    blow_up = Problem(lambda _, y: y * y, y0=1.0, t_span=(0, 2))
    assert Status.STEP_TOO_SMALL is solve(blow_up, method="RK45").status


def test_a_solver_that_makes_no_progress_within_a_step_is_stopped():
    problem = Problem(lambda t, y: np.cos(t) * np.ones_like(y), y0=0.0, t_span=(0, 10))
    with pytest.raises(IntegrationError, match="makes no progress at t=0; increase atol"):
        solve(problem, atol=1e-300, max_steps=100)


@pytest.mark.parametrize("method", METHODS)
def test_a_drift_that_stops_being_a_number_is_named_with_time_and_state(method):
    broken = Problem(lambda t, y: np.where(t > 0.5, np.nan, -y), y0=[1.0, 2.0], t_span=(0, 1))
    with pytest.raises(IntegrationError, match=r"drift\(t, y\) is nan at t=0\.5.*, y=\[.+ .+\], but must be finite"):
        solve(broken, method=method)


def test_many_initial_states_are_one_system_and_equal_single_solves():
    pulls = np.linspace(0.0, 0.2, 20)[:, None]
    together = norm_under_pull(norm_squared_start=np.full((20, 1), 50.0), radial_pull=pulls, **FOUNDING)
    for method in ("RK45", "LSODA", "BDF"):
        solution = solve(together, [75_000, 150_000], method=method)
        assert (20, 2, 1) == solution.y.shape
        single = norm_under_pull(norm_squared_start=50.0, radial_pull=float(pulls[7, 0]), **FOUNDING)
        assert solve(single, [75_000, 150_000], method=method).y == pytest.approx(solution.y[7], rel=1e-6)


def test_homogeneous_layers_forget_their_imbalance_and_reach_the_margin_s_fixed_point():
    weight_decay = 0.05
    layers = homogeneous_layers(norms_squared_start=[3.0, 1.0, 2.0], weight_decay=weight_decay, time=200.0)
    solution = solve(layers, [0.0, 10.0, 200.0], rtol=1e-10)
    differences = solution.y - solution.y[:, :1]
    assert differences[0] * math.exp(-2 * weight_decay * 10) == pytest.approx(differences[1], rel=1e-7, abs=1e-9)
    size = solution.y[-1].mean()
    z = size**1.5
    assert z * expit(-z) == pytest.approx(weight_decay * size, rel=1e-7)


def test_homogeneous_layers_collapse_beyond_the_fold():
    fold = 0.29985  # three logistic layers, in units of margin^(2/3)
    kept = homogeneous_layers(norms_squared_start=[2.0] * 3, weight_decay=0.99 * fold, time=500.0)
    lost = homogeneous_layers(norms_squared_start=[2.0] * 3, weight_decay=1.01 * fold, time=500.0)
    assert solve(kept, [500.0]).y.min() > 0.5
    assert solve(lost, [500.0]).y.max() < 1e-6


def test_deeper_linear_modes_rest_where_gain_and_decay_balance():
    modes = deep_linear_modes(strengths_start=[1.0, 0.01], targets=[1.0, 1.0], depth=3, weight_decay=0.3, time=300.0)
    strong, lost = solve(modes, [300.0]).y[0]
    assert 1.0 == pytest.approx(strong + 0.3 * strong ** (2 / 3 - 1), rel=1e-6)
    assert lost < 1e-6


def test_the_product_flow_of_whitened_data_moves_its_modes_as_the_modes_move_alone():
    rng = np.random.default_rng(3)
    U, _ = np.linalg.qr(rng.standard_normal((4, 4)))
    V, _ = np.linalg.qr(rng.standard_normal((9, 4)))
    strengths, targets = np.array([0.5, 0.3, 0.2, 0.1]), np.array([2.0, 1.0, 0.6, 0.1])
    for depth in (2, 3):
        flow = product_flow(
            product_start=(U * strengths) @ V.T,
            input_covariance=np.eye(9),
            correlation=(U * targets) @ V.T,
            depth=depth,
            weight_decay=0.1,
            time=3.0,
        )
        modes = deep_linear_modes(strengths_start=strengths, targets=targets, depth=depth, weight_decay=0.1, time=3.0)
        product = solve(flow, [3.0], rtol=1e-10).y.reshape(4, 9)
        assert np.diag(U.T @ product @ V) == pytest.approx(solve(modes, [3.0], rtol=1e-10).y[0], rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [2, 3])
def test_the_product_flow_on_the_digits_comes_to_rest_where_every_mode_is_in_balance(depth):
    digits = load_mnist()
    inputs = digits.train.images.astype(np.float64) * digits.pixel_scale
    covariance = inputs.T @ inputs / len(inputs)
    correlation = np.eye(10)[digits.train.labels].T @ inputs / len(inputs)
    decay = 0.1
    flow = product_flow(
        product_start=0.01 * np.random.default_rng(0).standard_normal(correlation.shape),
        input_covariance=covariance,
        correlation=correlation,
        depth=depth,
        weight_decay=decay,
        time=300.0,
    )
    solution = solve(flow, [300.0])
    assert solution.success
    product = solution.y[0].reshape(correlation.shape)
    left, modes, right = np.linalg.svd(product, full_matrices=False)
    slopes = left.T @ (product @ covariance - correlation) @ right.T
    alive = modes > 0.01 * modes[0]
    assert np.count_nonzero(alive) >= 3
    rates = theory.derive("product-flow").numeric(
        "mode_rate", mode=modes[alive], mode_slope=np.diag(slopes)[alive], depth=depth, weight_decay=decay
    )
    pull = depth * decay * modes[alive]
    assert np.all(np.abs(rates) < 1e-3 * pull)
    balance = decay * modes[alive] ** (2 / depth - 1)  # of the slope along each living mode, none across them
    across = slopes[np.ix_(alive, alive)] + np.diag(balance)
    assert np.abs(across).max() < 1e-2 * balance.min()
    if depth == 2:  # a convex problem, its penalty the sum of the modes: nothing outside is pulled harder than decay
        assert np.linalg.norm(product @ covariance - correlation, 2) < decay * (1 + 1e-3)


def test_the_product_flow_equals_the_gradient_flow_of_balanced_layers():
    rng = np.random.default_rng(5)
    start = 0.7 * rng.standard_normal((3, 3))
    U, S, V = np.linalg.svd(start)
    first, second = np.diag(np.sqrt(S)) @ V, U @ np.diag(np.sqrt(S))
    inputs = rng.standard_normal((3, 20))
    covariance, correlation = inputs @ inputs.T / 20, rng.standard_normal((3, 20)) @ inputs.T / 20

    def both(_t, y):
        A, B = y.reshape(2, 3, 3)
        gradient = B @ A @ covariance - correlation
        return -np.stack([B.T @ gradient + 0.2 * A, gradient @ A.T + 0.2 * B]).reshape(1, 18)

    layers = Problem(both, y0=np.stack([first, second]).ravel(), t_span=(0, 2))
    A, B = solve(layers, [2.0], rtol=1e-10).y.reshape(2, 3, 3)
    flow = product_flow(
        product_start=start, input_covariance=covariance, correlation=correlation, depth=2, weight_decay=0.2, time=2.0
    )
    assert B @ A == pytest.approx(solve(flow, [2.0], rtol=1e-10).y.reshape(3, 3), abs=1e-7)


def test_the_sigmoid_pull_ratio_agrees_with_a_direct_sum_and_with_its_limits():
    z = np.linspace(-60, 60, 400_001)
    slope = expit(z) * expit(-z)
    for s in (0.05, 1.0, 6.7, 12.7):
        weight = np.exp(-0.5 * (z / s) ** 2)
        curvature = -np.tanh(z / 2) * slope
        expected = np.sum(weight * (slope + z * curvature)) / np.sum(weight * slope)
        assert expected == pytest.approx(sigmoid_pull_ratio(s), rel=1e-6)
    assert math.pi**2 / 3 == pytest.approx(sigmoid_pull_ratio(1e5) * 1e10, rel=1e-4)
    assert 1.0 == sigmoid_pull_ratio(0.0)
    assert sigmoid_pull_ratio(1e-3) == pytest.approx(1 - 0.5 * 1e-6, abs=1e-9)


def test_the_saturating_pair_settles_where_pull_and_decay_balance():
    pair = saturating_sigmoid_pair(
        norms_squared_start=[23520.0, 300.0], radial_pull=0.13, weight_decay=1e-3, n_units=30, input_power=0.1, time=1e5
    )
    hidden, output = solve(pair, [1e5]).y[0]
    assert 130.0 == pytest.approx(output, rel=1e-6)
    assert 130.0 * sigmoid_pull_ratio(math.sqrt(0.1 * hidden / 30)) == pytest.approx(hidden, rel=1e-6)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Problem(lambda _, y: y[:, 0], y0=[1, 2], t_span=(0, 1)), InvalidInput,
         r"returned float64 of shape \(1,\), but must return real numbers of shape \(1, 2\) \(n_paths, dim\)"),
        (lambda: Problem(lambda _, y: y, y0="x", t_span=(0, 1)), InvalidInput, "y0 is 'x', but must be real numbers"),
        (lambda: Problem(lambda _, y: y, y0=[[[1.0]]], t_span=(0, 1)), InvalidInput, r"y0 has shape \(1, 1, 1\), but"),
        (lambda: Problem(lambda _, y: y, y0=[], t_span=(0, 1)), InvalidInput, r"y0 has shape \(0,\), but must have"),
        (lambda: Problem(lambda _, y: y, y0=math.nan, t_span=(0, 1)), InvalidInput, "y0 contains nan"),
        (lambda: Problem(lambda _, y: y, y0=1, t_span=(1, 1)), InvalidInput, r"t_span is \(1, 1\), but must be finite"),
        (lambda: Problem(lambda _, y: y, y0=1, t_span=3), InvalidInput, "t_span is 3, but must be two numbers"),
        (lambda: Problem(lambda _, y: y / 0.0, y0=0, t_span=(0, 1)), IntegrationError,
         r"drift\(t, y\) is nan at t=0, y=\[0\.\]"),
        (lambda: norm_under_pull(norm_squared_start=-1.0, **FOUNDING), InvalidInput,
         "norm_squared_start contains -1, but this state must be 0 or above"),
        (lambda: homogeneous_layers(norms_squared_start=[1, -1], weight_decay=0.1, time=1), InvalidInput,
         "norms_squared_start contains -1"),
        (lambda: deep_linear_modes(strengths_start=[-1], targets=[1], depth=2, weight_decay=0.1, time=1), InvalidInput,
         "strengths_start contains -1"),
        (lambda: reaching("x"), InvalidInput, "size is 'x', but must be a finite number"),
        (lambda: reaching(math.nan), InvalidInput, "size is nan, but must be a finite number"),
        (lambda: solve(DECAY, events=[reaching(0.5, component=3)]), InvalidInput,
         "component is 3, but must be a whole number from 0 to 0"),
        (lambda: tail_off(Problem(lambda _, y: y, y0=1, t_span=(0, 1))), InvalidInput,
         "is not drawn to an equilibrium"),
        (lambda: norm_under_pull(norm_squared_start=1.0, lr=0.1, weight_decay=20.0, n_steps=3), InvalidInput, "needs"),
        (lambda: scale_invariant_norm(norm_squared_start=0, lr=0.1, weight_decay=1, unit_gradient_power=1, n_steps=1),
         InvalidInput, "norm_squared_start contains 0, but must be above 0"),
        (lambda: solve(DECAY, [0.5, 0.5]), InvalidInput,
         "t_eval must rise, but 0.5 follows 0.5"),
        (lambda: solve(DECAY, [0.5, 1.5]), InvalidInput,
         "t_eval goes from 0.5 to 1.5, but must lie in t_span, 0 to 1"),
        (lambda: solve(DECAY, []), InvalidInput, "at least one time"),
        (lambda: solve(DECAY, method="RK54"), InvalidInput, "did you mean 'RK45'"),
        (lambda: solve(DECAY, method="euler"), InvalidInput,
         "method of an ordinary equation is 'euler'"),
        (lambda: solve(DECAY, dt=0.1), InvalidInput,
         "dt is for stochastic problems, but this one has no diffusion"),
        (lambda: solve(DECAY, rtol=-1), InvalidInput, "rtol is -1"),
        (lambda: solve(Problem(lambda _, y: -y, y0=[[1], [2]], t_span=(0, 1)), events=[reaching(1)]), InvalidInput,
         "events work on one initial state, but y0 has 2 rows"),
        (lambda: tail_off(Problem(lambda _, y: -y, y0=0, t_span=(0, 1))), InvalidInput, "has no relative distance"),
        (lambda: solve(DECAY).mean(), InvalidInput,
         r"at least 1 of them, but y has shape \(\d+, 1\) \(n_times, dim\); use n_paths"),
        (lambda: problem_from_derivation(theory.derive("norm-flow"), "lmbda", y0=1, t_span=(0, 1), values={}),
         InvalidInput, "the rate of 'norm-flow' does not depend on 'lmbda', but on"),
        (lambda: momentum_oscillator(charge_start=1, lr=0.1, weight_decay=0.1, momentum=1, time=1), InvalidInput,
         "momentum is 1, but must be a number from 0 to below 1"),
        (lambda: deep_linear_modes(strengths_start=[1, 2], targets=[1], depth=2, weight_decay=0.1, time=1),
         InvalidInput,
         r"targets have shape \(1,\), but must have shape \(2,\)"),
        (lambda: product_flow(product_start=np.ones((2, 3)), input_covariance=np.eye(2), correlation=np.ones((2, 3)),
                              depth=2, weight_decay=0.1, time=1), InvalidInput, r"and \(n_inputs, n_inputs\)"),
    ],
)  # fmt: skip
def test_bad_input_is_answered_with_what_is_allowed(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("positive", [False, True])
def test_dense_output_has_the_shape_of_the_initial_state(positive):
    rows = Problem(lambda _t, y: -y, y0=[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], t_span=(0, 1), positive=positive)
    one = Problem(lambda _t, y: -y, y0=[1.0, 2.0], t_span=(0, 1), positive=positive)
    times = np.array([0.0, 0.25, 1.0, 0.5])
    found = solve(rows, dense_output=True)
    assert (3, 2) == found.sol(0.5).shape
    expected = np.array(rows.y0)[:, :, None] * np.exp(-times)
    assert expected == pytest.approx(found.sol(times), rel=1e-6)
    assert (2,) == solve(one, dense_output=True).sol(0.5).shape
    assert (2, 4) == solve(one, dense_output=True).sol(times).shape
