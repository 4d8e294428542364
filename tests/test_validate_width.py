"""Width: on small made-up data in every detail, on MNIST for the numbers."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from weightdecay import validate
from weightdecay.errors import InvalidInput
from weightdecay.validate import Dataset, Part, Recording, TrainingConfig
from weightdecay.validate.width_comparisons import Runs, comparisons


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


@pytest.fixture(scope="module")
def small_report(small_data):
    return validate.run("width", data=small_data, n_jobs=1, rng=3, largest_width=100)


def made_runs(activation, hidden, norm_squared, *, gap=0.5, pull=0.5, power=0.0, weight_decay=0.05):
    """Return two seeds of one network whose averages are known."""
    config = TrainingConfig.pytorch(
        layers=[20, hidden, 10], lr=0.1, weight_decay=weight_decay, batch_size=10, epochs=1, activation=activation,
        output="softmax", biases=False,
    )  # fmt: skip
    record = SimpleNamespace(
        config=config,
        final=SimpleNamespace(weights=(np.zeros((hidden, 20)), np.zeros((10, hidden)))),
        mean_norm_squared=np.full((3, 2), norm_squared),
        radial_pull=np.full((3, 2), pull),
        gradient_power=np.full((3, 2), power),
        predictive_entropy=np.full(3, gap + 0.2),
        cost=np.full(3, 0.2),
    )
    return Runs([record, record], 0.1, weight_decay)


def by_key(runs):
    return {found.key: found for found in comparisons(runs)}


def test_equal_squared_norms_give_the_slope_of_the_law():
    found = by_key([made_runs("relu", hidden, 10.0) for hidden in (10, 30, 100, 1000)])
    for layer in (2, 3):
        compared = found[f"slope relu layer {layer}"]
        assert (compared.predicted, compared.measured) == pytest.approx((-0.5, -0.5), rel=1e-12)
        assert compared.tolerance == 0.02
        assert compared.tolerance_kind == "absolute"


def test_a_squared_norm_that_grows_with_the_width_changes_the_slope_by_half_its_power():
    runs = [made_runs("relu", hidden, 10.0 * hidden**0.06) for hidden in (30, 100, 1000)]
    compared = by_key(runs)["slope relu layer 2"]
    assert compared.measured == pytest.approx(-0.5 + 0.03, rel=1e-9)
    assert compared.passed is False


def test_narrow_networks_do_not_enter_the_judged_slope():
    runs = [made_runs("relu", 10, 1.0), *(made_runs("relu", hidden, 10.0) for hidden in (30, 100))]
    found = by_key(runs)
    assert found["slope relu layer 2"].measured == pytest.approx(-0.5)
    assert found["slope relu layer 2, narrow"].measured > -0.5 + 0.5
    assert found["slope relu layer 2, narrow"].tolerance is None


def test_the_gap_and_the_pull_predict_the_size():
    found = by_key([made_runs("relu", 30, 10.0), made_runs("relu", 100, 10.0)])
    assert found["gap relu 30 layer 2"].predicted == pytest.approx(np.sqrt(0.5 / 0.05 / 600))
    assert found["gap relu 30 layer 3"].ratio == pytest.approx(1)
    eps = 0.1 * 0.05
    expected = np.sqrt((2 * (1 - eps) * 0.5 + 0.1 * 0.2) / (0.05 * (2 - eps)) / 300)
    noisy = by_key([made_runs("sigmoid", 30, 10.0, power=0.2)])
    assert noisy["gradients sigmoid 30 layer 3"].predicted == pytest.approx(expected, rel=1e-12)


def test_over_confident_outputs_hold_no_weights_up():
    found = by_key([made_runs("relu", 30, 10.0, gap=-0.1)])
    assert found["gap relu 30 layer 2"].predicted == 0
    assert found["gap relu 30 layer 2"].passed is False


def test_sigmoid_layers_are_judged_by_their_gradients_alone():
    found = by_key([made_runs("sigmoid", 30, 10.0), made_runs("sigmoid", 100, 10.0)])
    assert {"gradients sigmoid 30 layer 2", "gradients sigmoid 30 layer 3", "gradients sigmoid 100 layer 2",
            "gradients sigmoid 100 layer 3"} == {key for key, each in found.items() if each.tolerance}  # fmt: skip


def test_what_the_gradients_say_holds_on_small_data(small_report):
    keys = [found.key for found in small_report.comparisons]
    assert len(keys) == len(set(keys))
    judged = [found for found in small_report.comparisons if found.key.startswith("gradients relu")]
    assert len(judged) == 6
    assert [] == [found.key for found in judged if not found.passed]


def test_the_averages_are_over_the_second_half(small_data):
    config = TrainingConfig.pytorch(
        layers=[16, 10, 10], lr=0.1, weight_decay=0.05, batch_size=100, epochs=8, output="softmax", biases=False
    )
    record = validate.train(config, small_data, rng=0, record=Recording(steps=(8,), evaluate=()))
    assert record.steps.tolist() == [0, 8, 16]
    runs = Runs([record], 0.1, 0.05)
    assert runs.rms(0)[0] == pytest.approx(np.sqrt(record.mean_norm_squared[-1, 0] / 160))


def test_the_result_does_not_depend_on_the_number_of_processes(small_data, small_report):
    again = validate.run("width", data=small_data, n_jobs=2, rng=3, largest_width=100)
    for part in ("comparisons", "curves"):
        assert json.dumps(again.to_dict()[part]) == json.dumps(small_report.to_dict()[part])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decay_share": 1.0}, "decay_share is 1, but must be below 1: above it the weights collapse to zero"),
        ({"decay_share": 0.0}, "decay_share is 0"),
        ({"largest_width": 99}, "largest_width is 99, but a slope needs two widths of 10, 30, 100, 300, 1000 from 30"),
        ({"largest_width": 0}, "largest_width is 0"),
        ({"hidden": 3}, "width has no option 'hidden'; it has: decay_share, largest_width"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_trained(small_data, options, message):
    with pytest.raises(InvalidInput, match=message):
        validate.run("width", data=small_data, **options)


def test_provenance_tells_how_to_run_it_again(small_report):
    assert "--largest-width 100" in small_report.provenance["command"]
    assert "--decay-share" not in small_report.provenance["command"]
    json.dumps(small_report.to_dict(), allow_nan=False)


@pytest.mark.slow
def test_on_mnist_the_size_goes_as_one_over_the_root_of_the_number_of_weights():
    report = validate.run("width")
    assert [] == [found.quantity for found in report.comparisons if found.passed is False]
    assert report.comparison("slope sigmoid layer 2").measured > -0.48
