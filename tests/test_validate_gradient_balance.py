"""Decay against pull plus noise: exact for any layer and window; an optimizer that does something else is found out."""

import contextlib
import dataclasses
import itertools

import numpy as np
import pytest

from weightdecay import theory, validate
from weightdecay.errors import InvalidInput
from weightdecay.validate import Dataset, Part, TrainingConfig
from weightdecay.validate.gradient_balance import DECAYS, OPTIMIZERS, TOLERANCE, _cases
from weightdecay.validate.gradient_books import WholeSetRun, WindowRun, input_power
from weightdecay.validate.optimizers import SGD
from weightdecay.validate.stepwise import taken_steps

MODULE = "weightdecay.validate.gradient_balance"


@pytest.fixture(scope="module")
def small_data():
    rng = np.random.default_rng(0)
    parts = []
    for rows in (205, 40, 40):
        labels = rng.integers(10, size=rows, dtype=np.uint8)
        images = rng.integers(0, 90, size=(rows, 16), dtype=np.uint8)
        images[np.arange(rows), labels] += 160
        images[:, [12, 15]] = 0
        parts.append(Part(images, labels))
    return Dataset("small", *parts, image_shape=(4, 4))


@contextlib.contextmanager
def short_runs():
    """Make runs short: a few steps, an epoch of few batches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{MODULE}._N_STEPS", 60)
        patch.setattr(f"{MODULE}._WHOLE", {"hidden": 5, "rate": 10.0, "steps_per_epoch": 21, "decay_per_epoch": 0.05,
                                           "n_warm_epochs": 1})  # fmt: skip
        patch.setattr(f"{MODULE}._WHOLE_SCALE", {"quick": {"n_seeds": 2, "n_epochs": 2, "every": 2, "n_fresh": 50}})
        yield


@pytest.fixture
def short():
    with short_runs():
        yield


@pytest.fixture(scope="module")
def small_report(small_data):
    with short_runs():
        return validate.run("gradient-balance", data=small_data, n_jobs=1, rng=3)


def configured(**changed):
    given = {"layers": [16, 6, 5, 10], "lr": 0.1, "weight_decay": 0.05, "batch_size": 10, "epochs": 3}
    given |= {"activation": "relu", "output": "softmax", "dtype": "float64", "initialization": "fan_in"}
    return TrainingConfig.pytorch(**(given | changed))


def test_the_full_scale_is_every_combination_of_the_five_factors():
    cases = _cases("full")
    assert len(cases) == 4 * 3 * 3 * 2 * len(DECAYS) == len(set(cases))


def test_the_quick_scale_holds_every_pair_of_two_factors_with_either_optimizer():
    cases, factors = _cases("quick"), ("activation", "output", "depth", "decay_per_step")
    assert len(cases) == 24 == len(set(cases))
    for optimizer, (one, two) in itertools.product(OPTIMIZERS, itertools.combinations(factors, 2)):
        met = {(getattr(case, one), getattr(case, two)) for case in cases if case.optimizer == optimizer}
        assert len(met) == (4 if one == "activation" else 3) * 3


def test_every_layer_balances_to_the_rounding_of_its_pulls(small_report):
    judged = [c for c in small_report.comparisons if c.tolerance is not None]
    assert len(judged) == 24 + 4
    for comparison in judged:
        assert comparison.tolerance == TOLERANCE == 0.005
        assert comparison.ratio == pytest.approx(1, abs=1e-4), comparison.quantity


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_the_books_agree_with_textbook_gradients(small_data, momentum):
    config = configured(optimizer=SGD(momentum=momentum))
    seed = np.random.SeedSequence(4)
    books = WindowRun(config, seed).start(small_data)
    steps = list(taken_steps(config, small_data, rng=np.random.default_rng(seed)))[:-1]
    norms = np.array([[np.vdot(w, w) for w in step.before.weights] for step in steps])
    pulls = np.array(
        [[-np.vdot(w, g) for w, g in zip(step.before.weights, step.weight_gradients, strict=True)] for step in steps]
    )
    np.testing.assert_allclose(books["decay"], 0.05 * norms.mean(axis=0), rtol=1e-10)
    factor = 1.0 if momentum else 2 * (1 - 0.005) / (2 - 0.005)
    np.testing.assert_allclose(books["pull"], factor * pulls.mean(axis=0), rtol=1e-8)
    np.testing.assert_allclose(books["balance"], books["decay"], rtol=1e-10)
    np.testing.assert_allclose(books["pull"] + books["noise"] + books["ends"], books["balance"], rtol=1e-12)


def test_without_the_ends_the_books_of_a_run_that_is_not_stationary_do_not_close(small_data):
    books = WindowRun(configured(), np.random.SeedSequence(4)).start(small_data)
    assert np.all(np.abs((books["balance"] - books["ends"]) / books["decay"] - 1) > 20 * TOLERANCE)


def test_an_optimizer_that_does_something_else_is_found_out(small_data):
    """Decoupled decay, Nesterov's momentum: the law of coupled heavy ball does not hold for either."""
    for optimizer in (SGD(momentum=0.9, coupling="decoupled"), SGD(momentum=0.9, nesterov=True)):
        books = WindowRun(configured(optimizer=optimizer), np.random.SeedSequence(4)).start(small_data)
        assert (
            np.max(np.abs(books["balance"] / books["decay"] - 1)) > 4 * TOLERANCE
        )  # the next of kin, Nesterov, differs by 3 %


def test_a_window_of_dampened_heavy_ball_balances_after_its_first_step():
    """By hand, in the plainest form: one weight, gradients from a table."""
    law, generator = theory.derive("heavy-ball-window"), np.random.default_rng(0)
    lr, weight_decay, momentum, dampening, n_steps = 0.3, 0.2, 0.7, 0.4, 9
    w, v = 1.3, -0.2
    start, overlap_start = w * w, w * v
    norms, pulls, powers = [], [], []
    for g in generator.standard_normal(n_steps):
        norms.append(w * w)
        pulls.append(-w * g)
        v = momentum * v + (1 - dampening) * (g + weight_decay * w)
        powers.append(v * v)
        w -= lr * v
    found = law.numeric(
        "decay_pull",
        lr=lr,
        momentum=momentum,
        dampening=dampening,
        radial_pull=np.mean(pulls),
        buffer_power=np.mean(powers),
        overlap_start=overlap_start,
        overlap_end=w * v,
        norm_squared_start=start,
        norm_squared_end=w * w,
        n_steps=n_steps,
    )
    assert weight_decay * np.mean(norms) == pytest.approx(found, rel=1e-13)


def test_fresh_examples_see_the_pull_of_the_whole_set(small_data):
    config = configured(layers=[16, 5, 10], sampling="with_replacement", epochs=1)
    told = WholeSetRun(config, 1, np.random.SeedSequence(2), n_fresh=20_000, every=1).start(small_data)
    warm, steps_seed, _ = np.random.SeedSequence(2).spawn(3)
    initial = validate.train(config, small_data, rng=np.random.default_rng(warm)).final
    x, y = small_data.train.images * small_data.pixel_scale, np.eye(10)[small_data.train.labels]
    pulls = []
    for step in taken_steps(config, small_data, rng=np.random.default_rng(steps_seed), initial=initial):
        gradients = step.before.gradients(x, y)[0]
        pulls.append([-np.vdot(w, g) for w, g in zip(step.before.weights, gradients, strict=True)])
    factor = 2 * (1 - 0.005) / (2 - 0.005)
    expected = told["noise"] + told["ends"] + factor * np.mean(pulls, axis=0)
    np.testing.assert_allclose(told["whole_set"].mean(axis=0), expected, atol=0.02 * np.abs(expected).max())


def test_reports_of_whole_sets_carry_the_error_of_their_sample(small_report):
    for sampling in ("reshuffled", "with_replacement"):
        for layer in (2, 3):
            reported = small_report.comparison(f"whole {sampling} layer {layer}")
            assert reported.tolerance is None
            assert reported.standard_error > 0


def test_the_same_seed_gives_the_same_report(small_data, small_report, short):  # noqa: ARG001
    again = validate.run("gradient-balance", data=small_data, n_jobs=1, rng=3)
    assert [c.measured for c in again.comparisons] == [c.measured for c in small_report.comparisons]


def test_curves_hold_every_layer_of_every_run(small_report):
    panels = {}
    for curve in small_report.curves:
        panels.setdefault((curve.panel, curve.kind), []).append(curve)
    for place in (("balance", "experiment"), ("residual", "experiment"), ("balance", "reference")):
        points = sum(len(curve.x) for curve in panels[place])
        assert (
            points == small_report.provenance["parameters"]["n_layers"] == sum(case.depth for case in _cases("quick"))
        )
    assert len(panels["whole set", "experiment"]) == 4


def test_the_comparisons_tell_of_the_worst_layer(small_report):
    told = [abs(c.ratio - 1) for c in small_report.comparisons if c.tolerance is not None and "own" not in c.key]
    drawn = [curve.y for curve in small_report.curves if (curve.panel, curve.kind) == ("residual", "experiment")]
    assert max(told) == pytest.approx(np.max(np.concatenate(drawn)), rel=1e-6)
    assert np.sum(told) > 1.5 * np.sum(np.sort(np.concatenate(drawn))[:24])


def test_a_run_that_diverges_fails_its_comparison_and_spares_the_others(small_data, short, monkeypatch):  # noqa: ARG001
    monkeypatch.setattr(f"{MODULE}._STABLE", {"sigmoid": 10.0, "softmax": 10.0, "linear": 1e9})
    report = validate.run("gradient-balance", data=small_data, n_jobs=1, rng=3)
    failed = {c.key for c in report.comparisons if c.passed is False}
    assert failed
    assert all(" linear " in key for key in failed)


def test_the_power_of_the_inputs_is_their_mean_squared_norm(small_data):
    x = small_data.train.images * small_data.pixel_scale
    assert input_power(small_data) == pytest.approx(np.mean(np.sum(x * x, axis=1)), rel=1e-12)


def test_a_network_that_does_not_fit_the_data_is_refused(small_data):
    config = configured(layers=[9, 10])
    for job in (WindowRun(config, np.random.SeedSequence(0)), WholeSetRun(config, 1, np.random.SeedSequence(0), 5, 1)):
        with pytest.raises(InvalidInput, match="9 inputs"):
            job.check(small_data)


def test_jobs_are_values():
    job = WindowRun(configured(), np.random.SeedSequence(0))
    with pytest.raises(dataclasses.FrozenInstanceError):
        job.config = configured()


@pytest.mark.slow
def test_on_mnist_every_layer_lies_on_the_line_and_the_whole_sets_pull_is_fair_only_with_replacement():
    report = validate.run("gradient-balance")
    assert [c.quantity for c in report.comparisons if c.passed is False] == []
    for layer in (2, 3):
        fair = report.comparison(f"whole with_replacement layer {layer}")
        assert abs(fair.measured - fair.predicted) < 4 * fair.standard_error
        biased = report.comparison(f"whole reshuffled layer {layer}")
        assert biased.measured - biased.predicted > 3 * biased.standard_error
