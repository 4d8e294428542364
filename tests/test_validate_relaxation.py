"""The relaxation experiment finds the time constant of norms whose time constant is known."""

import numpy as np
import pytest

from weightdecay.validate import Dataset, Part, relaxation, run


def test_the_regression_finds_the_constant_of_a_norm_that_obeys_it_whatever_the_drive():
    rng = np.random.default_rng(0)
    constant = 50.0
    drive = rng.exponential(size=(400, 7))
    fourth = np.empty((400, 7))
    fourth[0] = 5.0
    for k in range(399):
        fourth[k + 1] = fourth[k] * (1 - 1 / constant) + 0.02 * drive[k]
    assert constant == pytest.approx(relaxation._regressed(fourth, drive, 0, 50, 350), rel=1e-9)
    assert constant == pytest.approx(relaxation._regressed(1e9 * fourth, 1e-9 * drive, 0, 10, 350), rel=1e-9)


@pytest.mark.parametrize("momentum", relaxation.MOMENTA)
def test_the_recursion_of_the_theory_rests_where_it_begins_without_kick_or_drop(momentum):
    fourth, _ = relaxation._theory_run(momentum, 2000)
    assert fourth[0, 0] == pytest.approx(fourth[-1, 0], rel=0.03)  # an empty buffer moves it a little


@pytest.mark.parametrize("momentum", relaxation.MOMENTA)
def test_after_a_kick_the_recursion_returns_within_a_few_time_constants(momentum):
    constant = relaxation._time_constant(momentum)
    fourth, _ = relaxation._theory_run(momentum, round(12 * constant), kick=2.0)
    assert 16.0 == pytest.approx(fourth[0, 0] / fourth[-1, 0], rel=0.03)


def test_a_slower_rate_takes_as_much_longer():
    assert 3.0 == pytest.approx(relaxation._time_constant(0.0, 3.0) / relaxation._time_constant(0.0), rel=0.01)


def small():
    rng = np.random.default_rng(1)
    parts = []
    for n_rows in (200, 40, 40):
        labels = rng.integers(3, size=n_rows, dtype=np.uint8)
        images = rng.integers(0, 90, size=(n_rows, 12), dtype=np.uint8)
        images[np.arange(n_rows), labels] += 160
        parts.append(Part(images, labels))
    return Dataset("small", *parts, image_shape=(3, 4))


def test_the_experiment_runs_on_any_data_and_comes_out_the_same_again(monkeypatch):
    monkeypatch.setattr(relaxation, "DECAY", 0.02)
    monkeypatch.setattr(relaxation, "N_SEEDS", {"quick": 2})
    data = small()
    report = run("relaxation", data=data, n_jobs=1, rng=3)
    again = run("relaxation", data=data, n_jobs=2, rng=3)
    assert report.to_dict()["comparisons"] == again.to_dict()["comparisons"]
    assert 12 == len(report.comparisons) == len({one.key for one in report.comparisons})
    assert 8 == sum(one.tolerance == relaxation.TOLERANCE for one in report.comparisons)
    assert {"SGD", "heavy ball", "time constants"} == {curve.panel for curve in report.curves}
    assert report.comparison("kick SGD, hidden layer").ratio == pytest.approx(1, abs=0.1)
