"""The tail-off: on small made-up data in every detail, on MNIST for the numbers."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from weightdecay import validate
from weightdecay.errors import InvalidInput
from weightdecay.validate import Dataset, Part, Recording, TrainingConfig
from weightdecay.validate.tail_off_comparisons import WITHIN, Rest

OPTIONS = {"hidden": 6, "lmbda": 4.0}


def made_data(dead=(12, 15)):
    rng = np.random.default_rng(0)
    parts = []
    for n_rows in (205, 40, 40):
        labels = rng.integers(10, size=n_rows, dtype=np.uint8)
        images = rng.integers(1, 30, size=(n_rows, 16), dtype=np.uint8)
        images[np.arange(n_rows), labels] += 200
        images[:, list(dead)] = 0
        parts.append(Part(images, labels))
    return Dataset("small", *parts, image_shape=(4, 4))


@pytest.fixture(scope="module")
def small_data():
    return made_data()


@pytest.fixture(scope="module")
def small_report(small_data):
    return validate.run("tail-off", data=small_data, n_jobs=1, rng=3, **OPTIONS)


@pytest.fixture(scope="module")
def rest(small_data):
    """A run whose learning rate and decay are small enough for the flow to follow it."""
    config = TrainingConfig.pytorch(layers=[16, 6, 10], lr=0.05, weight_decay=0.02, batch_size=10, epochs=40)
    record = validate.train(config, small_data, rng=0, record=Recording(evaluate=()))
    return Rest(record, 0.05, 0.02, 20)


def test_every_comparison_has_a_key_of_its_own(small_report):
    keys = [found.key for found in small_report.comparisons]
    assert len(keys) == len(set(keys))
    judged = {found.key for found in small_report.comparisons if found.tolerance is not None}
    assert judged == {
        "norm of layer 3",
        "norm of layer 2",
        "dead pixels to 1/sqrt(fan_in)",
        "dead pixels to 1/sqrt(n_weights)",
        "time of layer 2",
    }
    assert {0.02} == {found.tolerance for found in small_report.comparisons if found.tolerance is not None}


def test_dead_weights_come_down_to_the_lines_when_decay_alone_says(small_report):
    for line in ("1/sqrt(fan_in)", "1/sqrt(n_weights)"):
        assert small_report.comparison(f"dead pixels to {line}").ratio == pytest.approx(1, abs=1e-6)


def test_the_times_of_dead_weights_scale_with_the_learning_rate(small_data, small_report):
    slower = validate.run("tail-off", data=small_data, n_jobs=1, rng=3, eta=0.25, epochs=90, **OPTIONS)
    key = "dead pixels to 1/sqrt(fan_in)"
    assert slower.comparison(key).measured == pytest.approx(2 * small_report.comparison(key).measured, rel=0.01)


def test_without_dead_pixels_there_is_no_control_group():
    report = validate.run("tail-off", data=made_data(dead=()), n_jobs=1, **OPTIONS)
    assert not [found for found in report.comparisons if "dead" in found.key]
    assert not [curve for curve in report.curves if "dead" in curve.name]


def test_outputs_and_gradients_say_the_same_of_the_output_layer(rest):
    assert rest.from_outputs[0] == pytest.approx(rest.from_gradients(1), rel=1e-5)
    assert rest.from_outputs[1] != pytest.approx(rest.from_gradients(1), rel=1e-3)  # their biases still drift


@pytest.mark.parametrize("layer", [0, 1])
def test_what_a_rest_misses_is_the_drift_over_its_averages(rest, layer):
    record, eps = rest.record, rest.lr * rest.weight_decay
    drift = record.norm_squared[-1, layer] - record.norm_squared[rest.first, layer]
    n_steps = record.steps[-1] - record.steps[rest.first]
    missed = rest.from_gradients(layer) - rest.norm_squared[layer]
    assert missed == pytest.approx(drift / (n_steps * eps * (2 - eps)), rel=1e-3)


@pytest.mark.parametrize("layer", [0, 1])
def test_the_flow_with_the_pull_of_each_epoch_follows_the_run(rest, layer):
    np.testing.assert_allclose(rest.course(layer), rest.record.norm_squared[:, layer], rtol=0.01)
    still = rest.record.radial_pull.copy()
    assert np.abs(still[1:, layer]).max() > 0.01  # without the pulls it would not


def test_the_arrival_is_interpolated_between_records():
    record = SimpleNamespace(epochs=np.array([0.0, 1.0, 2.0, 4.0]))
    rest = Rest(record, 0.1, 0.1, 1)
    assert rest.arrival(np.array([2.0, 1.2, 1.1, 1.0]), 1.0) == pytest.approx(3.0)
    assert rest.arrival(np.array([0.5, 0.9, 1.0, 1.0]), 1.0) == pytest.approx(1.5)  # from below, too
    assert rest.arrival(np.array([1 + WITHIN / 2, 3.0, 3.0, 3.0]), 1.0) == 0.0
    assert np.isnan(rest.arrival(np.array([2.0, 2.0, 2.0, 2.0]), 1.0))


def test_the_result_does_not_depend_on_the_number_of_processes(small_data, small_report):
    again = validate.run("tail-off", data=small_data, n_jobs=2, rng=3, **OPTIONS)
    for part in ("comparisons", "curves"):
        assert json.dumps(again.to_dict()[part]) == json.dumps(small_report.to_dict()[part])
    other = validate.run("tail-off", data=small_data, n_jobs=1, rng=4, **OPTIONS)
    assert other.comparison("norm of layer 2").measured != small_report.comparison("norm of layer 2").measured


def test_provenance_tells_what_was_run_and_how_to_run_it_again(small_report):
    told = small_report.provenance
    assert told["parameters"]["epochs"] == 60
    assert told["parameters"]["eta"] == 0.5
    assert "--hidden 6" in told["command"]
    assert "--lmbda 4.0" in told["command"]
    assert "--eta" not in told["command"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"epochs": 20},
            r"epochs is 20, but the start is forgotten after \d+ epochs only.* at least \d+; raise epochs",
        ),
        ({"lmbda": 0}, "lmbda is 0, but must be"),
        ({"eta": -0.5}, "eta is -0.5"),
        ({"hidden": 0}, "hidden is 0"),
        ({"batch_size": 206}, "batch_size is 206, but small has 205 training images"),
        ({"width": 3}, "tail-off has no option 'width'; it has: eta, lmbda, hidden, epochs, batch_size"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_trained(small_data, options, message):
    with pytest.raises(InvalidInput, match=message):
        validate.run("tail-off", data=small_data, **{**OPTIONS, **options})


@pytest.mark.slow
def test_on_mnist_both_layers_rest_where_predicted():
    report = validate.run("tail-off")
    assert [] == [found.quantity for found in report.comparisons if found.passed is False]
    assert report.comparison("norm of layer 2, equal pull").ratio < 0.9  # sigmoid layers are not pulled alike
    assert report.comparison("rms of layer 2 against 1/sqrt(n_weights)").ratio > 10
