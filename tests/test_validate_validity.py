"""Validity: its structure on small made-up data, and what the parts that need no network must say."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from weightdecay import theory, validate
from weightdecay.validate import Dataset, Part, validity
from weightdecay.validate.optimizers import SGD, Adam


@pytest.fixture(scope="module")
def reports():
    rng = np.random.default_rng(0)
    parts = []
    for n_rows in (200, 40, 40):
        labels = rng.integers(10, size=n_rows, dtype=np.uint8)
        images = rng.integers(1, 30, size=(n_rows, 16), dtype=np.uint8)
        images[np.arange(n_rows), labels] += 200
        parts.append(Part(images, labels))
    data = Dataset("small", *parts, image_shape=(4, 4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validity, "DECAYS", (0.1, 0.3))
        patch.setattr(validity, "MEMORY_DECAY", 0.1)
        patch.setattr(validity, "EPOCH_DECAY", 0.1)
        return [validate.run("validity", data=data, n_jobs=n_jobs, rng=3) for n_jobs in (1, 2)]


def test_the_result_does_not_depend_on_the_number_of_processes(reports):
    for part in ("comparisons", "curves"):
        assert json.dumps(reports[0].to_dict()[part]) == json.dumps(reports[1].to_dict()[part])


def test_nothing_has_a_tolerance_and_every_key_is_one_comparison(reports):
    keys = [one.key for one in reports[0].comparisons]
    assert all(keys)
    assert len(keys) == len(set(keys))
    assert {None} == {one.tolerance for one in reports[0].comparisons}
    assert all(one.reason for one in reports[0].comparisons)


def test_exact_formulas_are_nearer_to_networks_than_leading_ones_where_decay_is_large(reports):
    for words in ("SGD at 0.3", "heavy ball 0.9 at 0.3"):
        leading, exact = (
            reports[0].comparison(f"squared norm {order} {words}").measured for order in ("leading", "exact")
        )
        assert abs(exact - 1) < abs(leading - 1)


def test_all_panels_are_there(reports):
    panels = {curve.panel for curve in reports[0].curves}
    by = {f"{what} by {of}" for what in ("squared norm", "angular update") for of in ("decay", "momentum")}
    assert by | {"epochs", "formats"} == panels


@pytest.mark.parametrize(("number_format", "bits"), [("float32", 24), ("float16", 11), ("bfloat16", 8)])
def test_rounding_loses_the_decay_that_the_theory_says(number_format, bits):
    floor = validity._floor(number_format)
    assert floor.predicted == 2.0 ** -(bits + 1)
    assert floor.measured == pytest.approx(floor.predicted, rel=0.01)


def test_sgd_at_a_decay_of_03_has_twice_its_leading_norm_over_17():
    ratio = validity._over_leading("SGD", "coupled", "norm_squared", lr=1.0, weight_decay=0.3)
    assert ratio == pytest.approx(2 / 1.7, rel=1e-12)
    angle = validity._over_leading("SGD", "coupled", "angular_update", lr=1.0, weight_decay=0.3)
    assert angle == pytest.approx(math.acos(0.7) / math.sqrt(0.6), rel=1e-12)


def made_record(**motion):
    rows = {name: (np.array([[np.nan] * 3, values]),) for name, values in motion.items()}
    return SimpleNamespace(neuron_motion=rows, final=SimpleNamespace(weights=(np.zeros((3, 20)),)))


def test_a_norm_is_told_over_that_of_its_gradients_and_dead_neurons_do_not_count():
    setting = validity.Setting("SGD", SGD(), 0.1)
    record = made_record(norm_squared=[5.0, 3.0, 5.0], gradient_power=[2.0, 0.0, 2.0])
    expected = 5.0 / (setting.lr * 2.0 / (setting.rates["weight_decay"] * 1.9))
    assert validity._ratio(setting, record, "norm_squared", "exact") == pytest.approx(expected, rel=1e-12)


def test_the_least_norm_is_that_of_the_window_over_its_root_mean_square():
    record = made_record(gradient_power=[1.0, 0.0, 1.0])
    record.steps = np.array([0, 2, 4])
    record.step_neuron_norm_squared = (
        np.array([[0.1] * 3, [9.0] * 3, [1.0, 7.0, 1.0], [0.36] * 3, [1.64, 5.0, 1.64]]),
    )
    assert 0.6 == pytest.approx(validity._lowest(record))


def test_only_coupled_momentum_counts_what_gradients_have_in_common():
    record = made_record(norm_squared=[1.0] * 3, gradient_power=[1.0] * 3, measured_power=[4.0] * 3)
    for coupling, power in (("coupled", 4.0), ("decoupled", 1.0)):
        setting = validity.Setting("heavy ball", SGD(momentum=0.9, coupling=coupling), 0.01)
        formula = theory.equilibrium(theory.HEAVY_BALL, coupling=coupling)
        size = formula.numeric(gradient_power=power, momentum=0.9, dampening=0.0, **setting.rates)
        assert validity._ratio(setting, record, "norm_squared", "exact") == pytest.approx(1 / size, rel=1e-12)


def test_white_norms_come_from_the_power_at_unit_norm_or_from_the_number_of_weights():
    record = made_record(norm_squared=[2.0] * 3, gradient_power=[3.0] * 3)
    ball = validity.Setting("heavy ball", SGD(momentum=0.9), 0.01)
    expected = theory.equilibrium(theory.HEAVY_BALL, symmetry="scale").numeric(
        gradient_power=6.0, momentum=0.9, dampening=0.0, **ball.rates
    )
    assert validity._white(ball, record) == pytest.approx(np.full(3, expected), rel=1e-12)
    adam = validity.Setting("AdamW", Adam(coupling="decoupled"), 0.01)
    expected = theory.equilibrium(theory.ADAM, coupling="decoupled", symmetry="scale").numeric(
        n_weights=20, beta1=0.9, beta2=0.999, **adam.rates
    )
    assert validity._white(adam, record) == pytest.approx(np.full(3, expected), rel=1e-12)
