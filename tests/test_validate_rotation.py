"""Rotation: its structure on small made-up data; a wrong autocovariance or decay would be seen."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest

from weightdecay import validate
from weightdecay.validate import Dataset, Part, rotation


@pytest.fixture(scope="module")
def small_data():
    rng = np.random.default_rng(0)
    parts = []
    for n_rows in (200, 40, 40):
        labels = rng.integers(10, size=n_rows, dtype=np.uint8)
        images = rng.integers(1, 30, size=(n_rows, 16), dtype=np.uint8)
        images[np.arange(n_rows), labels] += 200
        parts.append(Part(images, labels))
    return Dataset("small", *parts, image_shape=(4, 4))


@pytest.fixture
def short(monkeypatch):
    """Make the runs short: both judged cases and one other, short windows."""
    monkeypatch.setattr(rotation, "CASES", tuple(case for case in rotation.CASES if case.name in CHOSEN))
    monkeypatch.setattr(rotation, "JUDGED_DECAY", 0.02)
    monkeypatch.setattr(rotation, "OTHERS_DECAY", 0.05)
    monkeypatch.setattr(rotation, "WINDOW", {"quick": (20, 10)})


CHOSEN = ("SGD", "heavy ball", "Lion")


def test_the_judged_ones_are_those_whose_rotation_is_exact():
    assert [case.name for case in rotation.CASES if case.judged] == ["SGD", "heavy ball"]
    assert len(rotation.CASES) == 10


@pytest.mark.usefixtures("short")
def test_the_report_compares_every_layer_of_every_optimizer(small_data):
    report = validate.run("rotation", data=small_data, n_jobs=1, rng=3)
    keys = [one.key for one in report.comparisons]
    assert len(keys) == len(set(keys))
    for name in CHOSEN:
        judged = name in ("SGD", "heavy ball")
        for layer in ("hidden", "output"):
            one = report.comparison(f"angular update of {name}, {layer} layer")
            assert one.tolerance == (0.005 if judged else None)
            assert 0 < one.measured < 1
            other = report.comparison(f"{'squared norm' if judged else 'identity'} of {name}, {layer} layer")
            assert other.tolerance == (0.005 if judged else 0.03)
            assert other.measured == pytest.approx(1, abs=0.2)
    assert {curve.name for curve in report.curves if curve.panel == "sum against cut-off"} == {"Lion"}
    again = validate.run("rotation", data=small_data, n_jobs=2, rng=3)
    for part in ("comparisons", "curves"):
        assert json.dumps(report.to_dict()[part]) == json.dumps(again.to_dict()[part])


def made_record(autocovariance, norm, n_neurons=3):
    """Return what the Green-Kubo sum of a record needs."""
    lags = np.array(autocovariance)[:, None] * np.ones(n_neurons)
    return SimpleNamespace(
        update_autocovariance=(lags,), neuron_motion={"norm_squared": (np.full((2, n_neurons), norm),)}
    )


def test_the_sum_of_autocovariances_is_the_squared_norm_they_make():
    rates = {"lr": 0.1, "weight_decay": 0.5}
    left = 1 - 0.05
    record = made_record([2.0, 1.0, -0.5], 1.0)
    expected = 0.01 / (1 - left**2) * (2.0 + 2 * (left * 1.0 + left**2 * -0.5))
    assert rotation._green_kubo(record, 0, rates) == pytest.approx(np.full(3, expected), rel=1e-12)
    expected = 0.01 / (1 - left**2) * (2.0 + 2 * left * 1.0)
    assert rotation._green_kubo(record, 0, rates, 1) == pytest.approx(np.full(3, expected), rel=1e-12)


def test_dead_neurons_are_counted_and_kept_out_of_the_medians():
    power = np.array([[np.nan] * 3, [0.0, 1.0, 3.0]])
    record = SimpleNamespace(neuron_motion={"gradient_power": (power, power)})
    assert rotation._median(record, 0, np.array([100.0, 2.0, 4.0])) == 3.0
    (case,) = (case for case in rotation.CASES if case.name == "Lion")
    assert rotation._dead(case, [record, record]).measured == 2.0


def test_decay_is_that_in_one_memory_of_the_momentum():
    by_name = {case.name: case for case in rotation.CASES}
    assert rotation._decay(by_name["SGD"]) == rotation.JUDGED_DECAY
    assert rotation._decay(by_name["heavy ball"]) == pytest.approx(rotation.JUDGED_DECAY / 10)
    assert rotation._decay(by_name["Nesterov"]) == rotation.OTHERS_DECAY
    assert dataclasses.replace(by_name["SGD"], name="other").judged
