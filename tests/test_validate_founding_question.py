"""The founding question: on small made-up data in every detail, on MNIST for the numbers."""

import json
import re

import numpy as np
import pytest

from weightdecay import validate
from weightdecay.errors import DivergenceError, InvalidInput
from weightdecay.validate import Comparison, Dataset, Part, Recording, TrainingConfig
from weightdecay.validate.founding_comparisons import STUDENT, Findings


@pytest.fixture(scope="module")
def small_data():
    rng = np.random.default_rng(0)
    parts = []
    for n_rows in (205, 40, 40):
        labels = rng.integers(10, size=n_rows, dtype=np.uint8)
        images = rng.integers(0, 90, size=(n_rows, 16), dtype=np.uint8)
        images[np.arange(n_rows), labels] += 160
        images[:, [12, 15]] = 0
        parts.append(Part(images, labels))
    return Dataset("small", *parts, image_shape=(4, 4))


@pytest.fixture(scope="module")
def small_report(small_data):
    return validate.run("founding-question", data=small_data, n_jobs=1, hidden=6, epochs=4, lmbda=0.5, rng=3)


@pytest.fixture(scope="session")
def mnist_report():
    return validate.run("founding-question")


def found(report, *words):
    chosen = [c for c in report.comparisons if all(word in c.quantity for word in words)]
    assert len(chosen) == 1, [c.quantity for c in chosen]
    return chosen[0]


def test_every_comparison_with_a_tolerance_is_within_it(small_report):
    judged = [c for c in small_report.comparisons if c.tolerance is not None]
    assert len(judged) == 6
    assert [c.quantity for c in judged if not c.passed] == []
    assert small_report.passed


def test_dead_weights_decay_by_the_product_of_all_steps_the_last_smaller_one_included(small_report):
    n_steps = 4 * 21
    eps = 0.1 * 0.5 / 205
    assert found(small_report, "dead pixels: squared norm").predicted == pytest.approx(
        (1 - eps) ** (2 * n_steps), rel=1e-12
    )
    assert found(small_report, "claim 2", "exact product").predicted == pytest.approx((1 - eps) ** 20.5, rel=1e-12)


def test_without_the_students_run_his_numbers_are_left_out(small_report):
    assert not [c for c in small_report.comparisons if "student" in c.quantity]
    assert not [curve for curve in small_report.curves if curve.kind == "reference"]


def test_curves_fill_their_panels(small_report):
    panels = {}
    for curve in small_report.curves:
        panels.setdefault(curve.panel, []).append(curve.name)
    assert set(panels) == {"variance", "budget of layer 2", "budget of layer 3", "size", "accuracy"}
    for panel, names in panels.items():
        assert len(set(names)) == len(names), panel
    for curve in small_report.curves:
        assert np.isfinite(curve.x).all()
        assert np.isfinite(curve.y).all()
        assert (curve.kind == "experiment") == (curve.standard_error is not None)


def test_the_budget_closes_over_every_epoch(small_data):
    config = TrainingConfig.pytorch(layers=[16, 6, 10], lr=0.1, weight_decay=0.01, batch_size=10, epochs=4)
    record = validate.train(config, small_data, rng=0, record=Recording(evaluate=()))
    findings = Findings([record], small_data, 0.1, 0.01)
    for layer in (0, 1):
        book = findings.budget(record, layer)
        gained = 2 * 0.1 * 21 * (book["pull"] + book["noise"] - book["decay"])
        np.testing.assert_allclose(np.diff(record.norm_squared[:, layer]), gained, rtol=1e-4)


def test_the_result_does_not_depend_on_the_number_of_processes(small_data, small_report):
    again = validate.run("founding-question", data=small_data, n_jobs=2, hidden=6, epochs=4, lmbda=0.5, rng=3)
    for part in ("comparisons", "curves"):
        assert json.dumps(again.to_dict()[part]) == json.dumps(small_report.to_dict()[part])
    other = validate.run("founding-question", data=small_data, n_jobs=1, hidden=6, epochs=4, lmbda=0.5, rng=4)
    assert other.comparisons[3].measured != small_report.comparisons[3].measured


def test_provenance_names_data_seeds_and_the_command_that_rebuilds_it(small_report):
    told = small_report.provenance
    assert told["data"]["n_train"] == 205
    assert told["seed"] == 3
    assert told["parameters"]["hidden"] == 6
    assert "--hidden 6" in told["command"]
    assert "--epochs 4" in told["command"]
    assert len({json.dumps(seed) for seed in told["parameters"]["seeds"]}) == 7


def test_progress_counts_the_runs(small_data):
    told = []
    validate.run(
        "founding-question", data=small_data, n_jobs=1, hidden=3, epochs=1, progress=lambda *report: told.append(report)
    )
    assert told == [(done, 7, "training") for done in range(8)]


def test_a_report_becomes_plain_json(small_report):
    told = small_report.to_dict()
    assert set(told) == {"experiment", "passed", "comparisons", "curves", "provenance"}
    assert set(told["comparisons"][0]) == set(Comparison.__dataclass_fields__)
    json.dumps(told, allow_nan=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hiden": 3}, "founding-question has no option 'hiden'; it has: eta, lmbda, hidden, epochs, batch_size"),
        ({"hidden": 0}, "hidden is 0, but must be a whole number of at least 1"),
        ({"batch_size": 206}, "batch_size is 206, but small has 205 training images"),
        ({"eta": -1.0}, "eta is -1.0"),
        ({"lmbda": 3000.0}, r"eta\*lmbda/n_train is .* but must be below 1"),
        ({"scale": "huge"}, "scale is 'huge', but must be one of: quick, full"),
        ({"n_jobs": 0}, "n_jobs is 0"),
        ({"rng": "seed"}, "rng is 'seed'"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_trained(small_data, options, message):
    with pytest.raises(InvalidInput, match=message):
        validate.run("founding-question", data=small_data, **options)


def test_without_decay_the_question_is_answered_all_the_same(small_data):
    report = validate.run("founding-question", data=small_data, n_jobs=1, hidden=3, epochs=1, lmbda=0)
    assert report.passed
    assert found(report, "claim 3: epochs", "layer 2").predicted == np.inf
    json.dumps(report.to_dict(), allow_nan=False)


def test_a_run_that_diverges_names_step_and_layer_also_from_another_process(small_data):
    for n_jobs in (1, 2):
        with pytest.raises(DivergenceError, match=r"training diverged at step \d+ in the weights of layer \d"):
            validate.run("founding-question", data=small_data, n_jobs=n_jobs, hidden=3, epochs=1, eta=1e38, lmbda=0)


def test_an_unknown_experiment_is_refused_with_the_near_ones():
    with pytest.raises(InvalidInput, match="did you mean 'founding-question'"):
        validate.run("founding-questions")


@pytest.mark.slow
def test_mnist_gives_the_variances_of_the_question(mnist_report):
    layer_2, layer_3 = (
        found(mnist_report, "variance of layer 2 after 30"),
        found(mnist_report, "variance of layer 3 after 30"),
    )
    assert layer_2.measured == pytest.approx(0.077, abs=0.003)
    assert layer_3.measured == pytest.approx(3.75, abs=0.25)
    assert layer_2.measured > 1.3 * layer_2.predicted
    assert layer_3.measured > 50 * layer_3.predicted


@pytest.mark.slow
def test_mnist_agrees_with_every_exact_law(mnist_report):
    assert [c.quantity for c in mnist_report.comparisons if c.passed is False] == []
    dead = found(mnist_report, "dead pixels: squared norm")
    assert dead.ratio == pytest.approx(1, abs=1e-5)
    assert re.search(r"their 2010 weights", dead.quantity)


@pytest.mark.slow
def test_the_students_norms_lie_among_the_seeds(mnist_report):
    for layer in STUDENT:
        for when in ("before", "after"):
            z_score = found(mnist_report, "student's largest column sum", f"layer {layer} {when}")
            assert abs(z_score.measured) < 3


@pytest.mark.slow
def test_the_data_first_shrink_layer_2_and_feed_layer_3(mnist_report):
    assert found(mnist_report, "claim 1", "layer 2").measured < 0
    assert found(mnist_report, "claim 1", "layer 3").ratio > 2
    assert 0.2 < found(mnist_report, "radial pull of layer 2").ratio < 0.8
