"""What symmetries conserve: laws held against the trainer's own steps, and a trainer with other steps found out."""

import numpy as np
import pytest

from weightdecay import validate
from weightdecay.errors import InvalidInput
from weightdecay.validate import Dataset, Part, TrainingConfig
from weightdecay.validate.charges import conserved_by
from weightdecay.validate.conservation import LABELS, TOLERANCES, ChargeRun
from weightdecay.validate.optimizers import SGD
from weightdecay.validate.stepwise import epochs_of, taken_steps


def made_data(*, dead=True, n_rows=205):
    rng = np.random.default_rng(0)
    parts = []
    for rows in (n_rows, 40, 40):
        labels = rng.integers(10, size=rows, dtype=np.uint8)
        images = rng.integers(0, 90, size=(rows, 16), dtype=np.uint8)
        images[np.arange(rows), labels] += 160
        images[:, [12, 15]] = 0 if dead else 7
        parts.append(Part(images, labels))
    return Dataset("small", *parts, image_shape=(4, 4))


def configured(**changed):
    given = {"layers": [16, 6, 5, 10], "lr": 0.1, "weight_decay": 0.05, "batch_size": 10, "epochs": 2}
    given |= {"activation": "relu", "output": "softmax", "dtype": "float64", "initialization": "he"}
    return TrainingConfig.pytorch(**(given | changed))


@pytest.fixture(scope="module")
def small_data():
    return made_data()


@pytest.fixture(scope="module")
def small_report(small_data):
    patch = pytest.MonkeyPatch()
    patch.setattr("weightdecay.validate.conservation._N_STEPS", {"quick": 90})
    yield validate.run("conservation", data=small_data, n_jobs=1, rng=3)
    patch.undo()


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"dtype": "float32", "decay_biases": True},
        {"sampling": "with_replacement", "activation": "sigmoid", "output": "sigmoid"},
        {"optimizer": SGD(momentum=0.9)},
        {"activation": "tanh", "output": "linear", "lr": 0.01},
    ],
    ids=str,
)
def test_the_steps_are_those_of_train_small_last_batches_included(small_data, changed):
    config = configured(**changed)
    *_, last = taken_steps(config, small_data, rng=np.random.default_rng(5))
    trained = validate.train(config, small_data, rng=np.random.default_rng(5)).final
    rounding = 1e-5 if config.dtype == "float32" else 1e-12
    for expected, actual in zip(trained.weights + trained.biases, last.after.weights + last.after.biases, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=rounding, atol=rounding)


def test_a_step_is_the_textbook_gradient_and_decay(small_data):
    for step in taken_steps(configured(), small_data, rng=np.random.default_rng(1), n_steps=30):
        for w, gradient, after in zip(step.before.weights, step.weight_gradients, step.after.weights, strict=True):
            np.testing.assert_allclose(after, (1 - 0.1 * 0.05) * w - 0.1 * gradient, rtol=0, atol=1e-14)
        for b, gradient, after in zip(step.before.biases, step.bias_gradients, step.after.biases, strict=True):
            np.testing.assert_allclose(after, b - 0.1 * gradient, rtol=0, atol=1e-14)


def test_the_gradients_the_trainer_went_by_are_the_textbooks_up_to_rounding(small_data):
    for decay_biases in (False, True):
        config = configured(decay_biases=decay_biases)
        for step in taken_steps(config, small_data, rng=np.random.default_rng(1), n_steps=10):
            moved = step.moved(decay_biases=decay_biases)
            for name in ("weight_gradients", "bias_gradients"):
                for expected, actual in zip(getattr(step, name), getattr(moved, name), strict=True):
                    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-13)


def test_no_more_steps_are_taken_than_there_are(small_data):
    assert len(list(taken_steps(configured(), small_data, rng=np.random.default_rng(0), n_steps=1000))) == 42
    assert list(taken_steps(configured(), small_data, rng=np.random.default_rng(0), n_steps=0)) == []
    with pytest.raises(InvalidInput, match="n_steps is -1"):
        list(taken_steps(configured(), small_data, rng=np.random.default_rng(0), n_steps=-1))


def test_the_last_epoch_is_counted_whole():
    assert (epochs_of(21, 205, 10), epochs_of(22, 205, 10), epochs_of(1, 205, 10)) == (1, 2, 1)


def test_every_law_holds_to_rounding_in_both_formats(small_report):
    judged = [c for c in small_report.comparisons if c.tolerance is not None]
    assert len(judged) == 20
    assert [c.quantity for c in judged if not c.passed] == []
    for comparison in judged:
        assert comparison.tolerance == TOLERANCES[comparison.key.rpartition(" ")[2]]
        assert comparison.measured > 0 or "dead-input" in comparison.key


def test_laws_fail_where_the_symmetry_is_missing(small_report):
    for law in ("translation-symmetry", "rescale-symmetry-undecayed-bias"):
        assert small_report.comparison(f"{law} control").measured > 1e6 * TOLERANCES["float64"]


def test_textbook_gradients_do_as_well_away_from_kinks(small_report):
    for law in list(LABELS)[2:]:
        assert small_report.comparison(f"{law} textbook").measured < TOLERANCES["float32"]


def test_what_gradient_flow_misses_is_far_more_than_rounding(small_report):
    for law in list(LABELS)[2:]:
        assert small_report.comparison(f"{law} first_order").measured > 1e-4


def test_the_same_seed_gives_the_same_report(small_data, small_report, monkeypatch):
    monkeypatch.setattr("weightdecay.validate.conservation._N_STEPS", {"quick": 90})
    again = validate.run("conservation", data=small_data, n_jobs=1, rng=3)
    other = validate.run("conservation", data=small_data, n_jobs=1, rng=4)
    assert [c.measured for c in again.comparisons] == [c.measured for c in small_report.comparisons]
    assert [c.measured for c in other.comparisons] != [c.measured for c in small_report.comparisons]


def test_curves_fill_their_panels(small_report):
    panels = {}
    for curve in small_report.curves:
        panels.setdefault(curve.panel, []).append(curve.name)
        assert np.isfinite(curve.y).all()
    assert {name: len(names) for name, names in panels.items()} == {"float32": 6, "float64": 7, "charge": 10}


def test_without_dead_pixels_the_other_laws_are_left(monkeypatch):
    monkeypatch.setattr("weightdecay.validate.conservation._N_STEPS", {"quick": 5})
    report = validate.run("conservation", data=made_data(dead=False), n_jobs=1)
    assert len([c for c in report.comparisons if c.tolerance is not None]) == 16
    assert report.passed


def test_fewer_images_than_a_mini_batch_are_one_batch(monkeypatch):
    monkeypatch.setattr("weightdecay.validate.conservation._N_STEPS", {"quick": 3})
    assert validate.run("conservation", data=made_data(n_rows=7), n_jobs=1).passed


def test_the_laws_of_a_network_follow_from_its_units(small_data):
    def laws(**changed):
        return [each.law for each in conserved_by(configured(**changed), small_data)]

    assert laws() == ["dead-input", "translation-symmetry", "rescale-symmetry-undecayed-bias"]
    assert laws(decay_biases=True)[2] == "rescale-symmetry"
    assert laws(biases=False)[2] == "rescale-symmetry"
    assert laws(activation="linear", biases=False)[2] == "deep-linear-symmetry"
    assert laws(layers=[16, 10]) == ["dead-input", "translation-symmetry"]


@pytest.mark.parametrize("law", LABELS)
def test_a_trainer_that_decays_otherwise_is_found_out(small_data, law):
    """Decay of another size, one part in a thousand off, breaks every law by far more than rounding."""
    changed = {
        "rescale-symmetry": {"decay_biases": True},
        "deep-linear-symmetry": {"activation": "linear", "biases": False},
    }.get(law, {})
    config = configured(**changed)
    (conserved,) = [each for each in conserved_by(config, small_data) if each.law == law]
    step = next(taken_steps(config, small_data, rng=np.random.default_rng(2), n_steps=1))
    before = conserved.charge(step.before.weights, step.before.biases)
    after = conserved.charge(step.after.weights, step.after.biases)
    size = conserved.size(step.before.weights, step.before.biases)
    wrong = type(step)(**{**vars(step), "weight_decay": 1.001 * step.weight_decay})
    assert np.max(np.abs(conserved.predictor()(before, step) - after) / size) < TOLERANCES["float64"]
    for told in (wrong, wrong.moved(decay_biases=config.decay_biases)):  # a wrong decay does not hide in the gradient
        assert np.max(np.abs(conserved.predictor()(before, told) - after) / size) > 1e5 * TOLERANCES["float64"]


def test_a_network_that_does_not_fit_the_data_is_refused(small_data):
    job = ChargeRun(configured(layers=[9, 10]), np.random.SeedSequence(0), 3)
    with pytest.raises(InvalidInput, match="9 inputs"):
        job.check(small_data)


def test_the_experiment_has_no_options_of_its_own(small_data):
    with pytest.raises(InvalidInput, match="conservation has no option 'hidden'"):
        validate.run("conservation", data=small_data, hidden=3)


@pytest.mark.slow
def test_on_mnist_every_law_holds_within_the_rounding_of_its_format():
    report = validate.run("conservation")
    assert [c.quantity for c in report.comparisons if c.passed is False] == []
    assert len([c for c in report.comparisons if c.passed]) == 20
