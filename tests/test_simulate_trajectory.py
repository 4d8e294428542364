import functools
import json
import math

import numpy as np
import pytest

from weightdecay.errors import IntegrationError, InvalidInput
from weightdecay.simulate import Constant, Cosine, Linear, Step, norm_trajectory, pure_decay_floor, solve, trajectory

FOUNDING = {"lr": 0.1, "weight_decay": 1e-4, "n_steps": 150_000}


def test_time_to_equilibrium_is_that_of_the_exponential_also_beyond_the_run():
    for n_steps in (100_000, 300_000, 1_000_000):
        run = norm_trajectory(norm_squared_start=23520.0, lr=0.1, weight_decay=1e-4, radial_pull=0.1, n_steps=n_steps)
        expected = math.log(22520 / 50) / 2e-5
        assert expected == pytest.approx(run.steps_to_equilibrium, rel=1e-6)
        assert min(1.0, expected / n_steps) == pytest.approx(run.share_out_of_equilibrium, abs=1e-4)


@pytest.mark.parametrize(
    ("lr", "passed", "last"),
    [(Step(0.1, 0.5, every=50_000), 8750.0, 0.025), (Linear(0.1, 0.0, 300_000), 11_250.0, 0.1 * 150_001 / 300_000)],
)
def test_after_the_run_the_hyperparameters_of_its_last_step_stay(lr, passed, last):
    run = norm_trajectory(norm_squared_start=23520.0, lr=lr, weight_decay=1e-4, radial_pull=0.1, n_steps=150_000)
    left = 22520 * math.exp(-2e-4 * passed)  # passed is the integral of the learning rate over the run
    assert 150_000 + math.log(left / 50) / (2e-4 * last) == pytest.approx(run.steps_to_equilibrium, rel=1e-7)


def test_a_jump_at_the_very_end_is_no_part_of_the_run():
    lr = Step(0.1, 0.1, at=(5,))  # would put equilibrium, 1 until then, at 0.1, where the norm happens to be
    run = norm_trajectory(norm_squared_start=0.05, lr=lr, weight_decay=0.05, gradient_power=1.0, n_steps=5)
    assert 0.1 == pytest.approx(run.norm_squared[-1], rel=0.05)
    assert math.log(0.95 / 0.05) / 0.01 == pytest.approx(run.steps_to_equilibrium, rel=1e-6)


def test_a_scale_invariant_block_goes_on_after_a_schedule_too():
    lr = Step(0.1, 0.5, at=(1000,))
    run = norm_trajectory(norm_squared_start=9.0, lr=lr, weight_decay=0.01, unit_gradient_power=0.04, n_steps=1500)
    hot, cold = 0.1 * 0.04 / 0.02, 0.05 * 0.04 / 0.02  # squares of the two equilibria
    at_drop = hot + (81 - hot) * math.exp(-4 * 0.1 * 0.01 * 1000)
    expected = 1000 + math.log((at_drop - cold) / (cold * (1.05**2 - 1))) / (4 * 0.05 * 0.01)
    assert expected > 1500
    assert expected == pytest.approx(run.steps_to_equilibrium, rel=1e-6)


def test_pure_decay_keeps_its_relative_accuracy_down_to_the_smallest_numbers():
    run = norm_trajectory(norm_squared_start=23520.0, lr=0.1, weight_decay=1.0, n_steps=3500, n_points=8)
    assert 23520 * np.exp(-0.2 * run.step) == pytest.approx(run.norm_squared, rel=1e-12)
    assert run.norm_squared.min() > 0


@pytest.mark.parametrize("lr", [0.1, Linear(0.1, 0.05, 300_000)])
def test_an_inward_pull_ends_at_zero(lr):
    run = norm_trajectory(norm_squared_start=23520.0, lr=lr, weight_decay=1e-4, radial_pull=-0.1, n_steps=300_000)
    assert 0.0 == run.norm_squared[-1] == run.norm_squared.min()
    assert math.inf == run.steps_to_equilibrium


def test_a_solver_that_gives_up_is_no_never_and_is_told_without_options_that_are_not_there(monkeypatch):
    options = {"norm_squared_start": 2.0, "lr": Linear(0.1, 0.0, 900), "weight_decay": 0.05, "n_steps": 1000}
    monkeypatch.setattr(trajectory, "solve", functools.partial(solve, max_steps=3))
    with pytest.raises(
        IntegrationError, match=r"gave up at step \d+ of 1000, .* or make the schedules smoother"
    ) as told:
        norm_trajectory(**options)
    assert "max_steps" not in str(told.value)


def test_the_trajectory_has_the_closed_form_the_floor_and_the_equilibrium():
    run = norm_trajectory(norm_squared_start=23520.0, radial_pull=0.1, gradient_power=2.0, n_points=4, **FOUNDING)
    rest = 0.1 / 1e-4 + 0.1 * 2.0 / 2e-4
    assert [0.0, 50_000.0, 100_000.0, 150_000.0] == run.step.tolist()
    assert rest + (23520 - rest) * np.exp(-2e-5 * run.step) == pytest.approx(run.norm_squared, rel=1e-7)
    assert run.equilibrium == pytest.approx(np.full(4, rest), rel=1e-12)
    # 300000 factors, each rounded to 1e-16
    assert pure_decay_floor(23520.0, 0.1, 1e-4, 150_000)[::50_000] == pytest.approx(run.pure_decay_floor, rel=3e-11)
    assert run.decay_per_step == pytest.approx(np.full(4, 1e-5), rel=1e-12)


def test_a_scale_invariant_block_relaxes_twice_as_fast_towards_its_own_equilibrium():
    run = norm_trajectory(norm_squared_start=9.0, lr=0.1, weight_decay=0.01, unit_gradient_power=4.0, n_steps=10_000)
    rest = math.sqrt(0.1 * 4.0 / 0.02)
    assert run.equilibrium == pytest.approx(np.full(21, rest), rel=1e-12)
    expected = math.log((81 / rest**2 - 1) / (1.05**2 - 1)) / (4 * 0.1 * 0.01)
    assert expected == pytest.approx(run.steps_to_equilibrium, rel=1e-6)


def test_weights_that_start_in_equilibrium_are_there_at_once_and_leave_it_when_the_learning_rate_drops():
    lr = Step(0.1, 0.1, at=(5000,))
    run = norm_trajectory(
        norm_squared_start=math.sqrt(0.1 / 0.02), lr=lr, weight_decay=0.01, unit_gradient_power=1.0, n_steps=20_000
    )
    assert run.steps_to_equilibrium == 0.0
    back = math.log((10 - 1) / (1.05**2 - 1)) / (4 * 0.01 * 0.01)  # R^2 is ten times its new rest at first
    assert min(back, 15_000) / 20_000 == pytest.approx(run.share_out_of_equilibrium, abs=2e-4)


def test_without_anything_that_feeds_the_weights_equilibrium_is_never_reached():
    run = norm_trajectory(norm_squared_start=1.0, **FOUNDING)
    assert run.steps_to_equilibrium == math.inf
    assert run.share_out_of_equilibrium == 1.0
    assert json.loads(json.dumps(run.to_dict()))["steps_to_equilibrium"] is None


def test_without_decay_there_is_no_equilibrium_either():
    run = norm_trajectory(norm_squared_start=1.0, lr=0.1, weight_decay=0.0, radial_pull=0.1, n_steps=1000)
    assert run.steps_to_equilibrium == math.inf
    assert np.all(np.isinf(run.equilibrium))


def test_schedules_and_laws_enter_the_decay_and_the_equilibrium():
    lr = Cosine(0.1, 0.0, 1000)
    options = {"norm_squared_start": 1.0, "lr": lr, "n_steps": 1000, "gradient_power": 1.0, "n_points": 11}
    decoupled = norm_trajectory(weight_decay=0.01, law="decoupled", **options)
    adamc = norm_trajectory(weight_decay=0.01, law="adamc", **options)
    now = np.minimum(decoupled.step, 999)
    assert lr(now) == pytest.approx(decoupled.lr, rel=1e-12)
    assert lr(now) * 0.01 == pytest.approx(decoupled.decay_per_step, rel=1e-12)
    assert lr(now) ** 2 / 0.1 * 0.01 == pytest.approx(adamc.decay_per_step, rel=1e-12)
    # with that law decay falls with the learning rate as noise does, so the equilibrium stays put
    assert adamc.equilibrium[:-1] == pytest.approx(np.full(10, 0.1 / 0.02), rel=1e-9)
    assert lr(decoupled.step) / 0.02 == pytest.approx(decoupled.equilibrium, rel=1e-12, abs=1e-300)


def test_any_callable_is_tabulated_and_equals_the_schedule_that_it_copies():
    schedule = Linear(0.1, 0.05, 200)
    options = {"norm_squared_start": 2.0, "weight_decay": 0.05, "gradient_power": 1.0, "n_steps": 200}
    by_schedule = norm_trajectory(lr=schedule, **options)
    by_callable = norm_trajectory(lr=lambda step: 0.1 - 0.05 * step / 200, **options)
    assert by_schedule.norm_squared == pytest.approx(by_callable.norm_squared, rel=1e-5)


def test_a_steady_run_may_be_as_long_as_it_likes():
    options = {"norm_squared_start": 2.0, "weight_decay": 1e-7, "radial_pull": 1e-7, "n_points": 3}
    run = norm_trajectory(lr=0.1, n_steps=10**8, **options)
    assert run.norm_squared[-1] == pytest.approx(1 + math.exp(-2), rel=1e-7)
    assert run.pure_decay_floor[-1] == pytest.approx(2 * math.exp(-2), rel=1e-7)
    with pytest.raises(InvalidInput, match="n_steps is 100000000, but must be at most 20000000 with schedules"):
        norm_trajectory(lr=Linear(0.1, 0.0, 100), n_steps=10**8, **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm_squared_start": -1.0}, "norm_squared_start is -1.0, but must be a finite number above 0"),
        ({"lr": Constant(0.1), "weight_decay": 20.0}, "takes 2 of every weight at step 0"),
        ({"n_steps": 0}, "n_steps is 0"),
        (
            {"n_steps": 10**20},
            "n_steps is 100000000000000000000, but must be a whole number from 1 to 1000000000000000",
        ),
        ({"tolerance": 0.0}, "tolerance is 0.0"),
        ({"n_points": 1}, "n_points is 1, but must be a whole number of at least 2"),
        ({"unit_gradient_power": 1.0, "radial_pull": 0.1}, "a scale-invariant block has no radial_pull"),
        ({"unit_gradient_power": 0.0}, "unit_gradient_power is 0.0"),
        ({"gradient_power": -1.0}, "gradient_power is -1.0"),
        ({"law": "adam"}, "did you mean 'adamc'"),
    ],
)
def test_bad_input_is_answered_with_what_is_allowed(change, message):
    options = {"norm_squared_start": 1.0, **FOUNDING, **change}
    with pytest.raises(InvalidInput, match=message):
        norm_trajectory(**options)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"lr": Step(0.1, 0.5, at=(900,))},
        {"lr": Step(0.1, 0.5, at=(900,)), "weight_decay": Linear(0.05, 0.02, 1000)},
    ],
)
def test_a_trajectory_is_read_at_other_steps_without_integrating_again(change, monkeypatch):
    options = {
        "norm_squared_start": 100.0,
        "lr": 0.1,
        "weight_decay": 0.01,
        "radial_pull": 0.1,
        "n_steps": 1000,
    } | change
    coarse, fine = (norm_trajectory(n_points=n_points, **options) for n_points in (3, 11))
    monkeypatch.setattr(trajectory, "solve", None)
    read = coarse.at(fine.step)
    for name in ("norm_squared", "equilibrium", "pure_decay_floor", "lr", "decay_per_step"):
        assert getattr(fine, name).tobytes() == getattr(read, name).tobytes()
    held = coarse.at([1000, 5000]).norm_squared
    lr, decay = fine.lr[-1], fine.decay_per_step[-1] / fine.lr[-1]
    rest = 0.1 / decay
    assert held[1] == pytest.approx(rest + (held[0] - rest) * math.exp(-2 * lr * decay * 4000), rel=1e-9)
    with pytest.raises(InvalidInput, match="step contains -1, but steps are counted from 0"):
        coarse.at([-1])


def test_a_run_that_ends_without_decay_has_no_after():
    run = norm_trajectory(
        norm_squared_start=1.0, lr=0.1, weight_decay=Linear(0.1, 0.0, 9), radial_pull=0.1, n_steps=100
    )
    with pytest.raises(InvalidInput, match="step goes to 101, but this run ends at 100 without decay to follow"):
        run.at([101])
