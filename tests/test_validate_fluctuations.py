"""Fluctuations: its structure on small made-up data, and the laws on noise that fulfils them."""

import json

import numpy as np
import pytest

from weightdecay import validate
from weightdecay.theory import derive
from weightdecay.validate import Dataset, Part, fluctuations


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
        patch.setattr(fluctuations, "DECAY", 0.005)
        patch.setattr(fluctuations, "BURN_IN", 5)
        patch.setattr(fluctuations, "WINDOW", {"quick": 10})
        patch.setattr(fluctuations, "N_SEEDS", {"quick": 2})
        return [validate.run("fluctuations", data=data, n_jobs=n_jobs, rng=3) for n_jobs in (1, 2)]


def test_the_result_does_not_depend_on_the_number_of_processes(reports):
    for part in ("comparisons", "curves"):
        assert json.dumps(reports[0].to_dict()[part]) == json.dumps(reports[1].to_dict()[part])


def test_nothing_has_a_tolerance_and_both_layers_are_told(reports):
    keys = [one.key for one in reports[0].comparisons]
    laws = ("independent", "leading", "driven", "distance independent", "distance driven")
    assert {f"{law} {layer}" for law in laws for layer in ("hidden", "output")} == set(keys)
    assert len(keys) == len(set(keys))
    assert {None} == {one.tolerance for one in reports[0].comparisons}


def test_the_linear_equation_driven_by_the_power_follows_the_norms_of_a_network(reports):
    for layer in ("hidden", "output"):
        assert reports[0].comparison(f"driven {layer}").ratio == pytest.approx(1, abs=0.25)


def test_histograms_are_densities(reports):
    for curve in reports[0].curves:
        if curve.panel.startswith("density"):
            assert np.trapezoid(curve.y, curve.x) == pytest.approx(1, abs=0.05)


def test_independent_noise_makes_the_spread_and_the_law_that_the_theory_says():
    rng = np.random.default_rng(1)
    lr, weight_decay, c = 0.1, 0.02, 0.7
    drive = c * rng.standard_normal((400_000, 4))
    fourth = fluctuations._driven(drive, np.zeros(4), lr, weight_decay)
    law = derive("norm-fourth-fluctuation").numeric(
        "norm_fourth_std", coefficient_of_variation=c, lr=lr, weight_decay=weight_decay
    )
    assert fourth.std(axis=0) == pytest.approx(np.full(4, float(law)), rel=0.04)
    assert fluctuations._distance(fourth[2000:] / law) < 0.02
    assert fluctuations._distance(1.5 * fourth[2000:] / law) > 0.05


def test_without_drive_a_deviation_dies_at_four_times_the_decay():
    relative = fluctuations._driven(np.zeros((50, 1)), np.array([0.3]), 0.1, 0.05)[:, 0]
    assert relative[0] == pytest.approx(0.3)
    assert relative[1:] / relative[:-1] == pytest.approx(np.full(49, 2 * 0.995**2 - 1), rel=1e-12)


def test_the_law_is_that_of_each_neurons_own_coefficient_of_variation():
    found = {"variation hidden": np.array([0.5, 1.0])}
    one, two = fluctuations._law(found, "hidden", "norm_fourth_std_leading")
    assert (one, two) == pytest.approx((0.5 * np.sqrt(2 * fluctuations.DECAY), np.sqrt(2 * fluctuations.DECAY)))
