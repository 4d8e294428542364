"""Rescaling: minima whose fixed points are known, small made-up data, and MNIST for the numbers."""

import json

import numpy as np
import pytest

from weightdecay import validate
from weightdecay.errors import InvalidInput
from weightdecay.validate import Dataset, Part, TrainingConfig
from weightdecay.validate.descent import Descent, Minima
from weightdecay.validate.rescaling_comparisons import Sweep, comparisons, fixed_point

FACTORS = np.geomspace(0.25, 4, 49)
DECAYS = np.geomspace(0.01, 1.0, 9)


@pytest.fixture(scope="module")
def small_data():
    rng = np.random.default_rng(0)
    parts = []
    for n_rows in (205, 40, 40):
        labels = rng.integers(10, size=n_rows, dtype=np.uint8)
        images = rng.integers(1, 30, size=(n_rows, 16), dtype=np.uint8)
        images[np.arange(n_rows), labels] += 200
        images[:, [12, 15]] = 0
        parts.append(Part(images, labels))
    return Dataset("small", *parts, image_shape=(4, 4))


@pytest.fixture(scope="module")
def small_report(small_data):
    return validate.run("rescaling", data=small_data, n_jobs=1, rng=3, hidden=8, largest_share=0.2)


def made_minima(*, exponent=1.0, power=0.5, stretch=1.0):
    """Return minima of a law: squared norms go as decay^-power, and the gap of one falls as factor^-exponent.

    The gap holds the norms at every decay if `stretch` is 1; otherwise it is that many times too large.
    """
    norm = 3.0 * DECAYS**-power
    gap = stretch * DECAYS * norm
    minimum = 2 * 3.0 * DECAYS ** (1 - power) / (1 - power) / 2  # its slope is half of both norms
    return Minima(
        weight_decay=DECAYS,
        norm_squared=np.stack([norm, norm], axis=1),
        cost=minimum - DECAYS / 2 * 2 * norm,
        entropy_loss_gap=gap,
        unrest=np.zeros(len(DECAYS)),
        factor=FACTORS,
        gap_at_factor=gap[:, None] * FACTORS[None, :] ** -exponent,
    )


def by_key(minima):
    return {found.key: found for found in comparisons(Sweep(2, 4, [minima]))}


@pytest.mark.parametrize("exponent", [-1.0, 0.5, 3.0])
@pytest.mark.parametrize("stretch", [0.7, 1.0, 1.4])
def test_the_fixed_point_of_a_power_law_is_found(exponent, stretch):
    minima = made_minima(exponent=exponent, stretch=stretch)
    # stretch * factor^-exponent = factor^2
    expected = stretch ** (1 / (2 + exponent))
    assert fixed_point(minima, 3, DECAYS[3]) == pytest.approx(expected, rel=1e-4)


def test_another_decay_has_another_fixed_point():
    minima = made_minima(exponent=1.0)
    expected = (DECAYS[0] / DECAYS[2]) ** (1 / 3)
    assert fixed_point(minima, 0, DECAYS[2]) == pytest.approx(expected, rel=1e-4)


def test_a_balance_that_drives_away_is_no_fixed_point():
    minima = made_minima(exponent=-4.0)  # the gap grows faster than what decay takes
    assert np.isnan(fixed_point(minima, 3, DECAYS[3]))


def test_without_gap_there_is_no_fixed_point():
    minima = made_minima()
    gone = Minima(**{**vars(minima), "gap_at_factor": -minima.gap_at_factor})
    assert np.isnan(fixed_point(gone, 0, DECAYS[0]))


def test_a_network_that_has_collapsed_fails_where_it_has_and_nowhere_else():
    minima = made_minima()
    norms, gaps, cost = minima.norm_squared.copy(), minima.gap_at_factor.copy(), minima.cost.copy()
    norms[-1], gaps[-1], cost[-1] = 0, 0, np.log(10)
    gone = Minima(**{**vars(minima), "norm_squared": norms, "gap_at_factor": gaps, "cost": cost})
    failed = {key for key, found in by_key(gone).items() if found.passed is False}
    assert failed == {"factor 8 depth 2", "envelope 7 depth 2"}


def test_the_envelope_of_a_power_law_is_exact():
    found = by_key(made_minima(power=0.5))
    for place in range(8):
        compared = found[f"envelope {place} depth 2"]
        low, high = DECAYS[place : place + 2]
        assert compared.predicted == pytest.approx(6 * 2 * (high**0.5 - low**0.5) / (high - low), rel=1e-9)
        assert compared.ratio == pytest.approx(1, abs=1e-4)


def test_a_cost_of_another_network_fails_the_envelope():
    minima = made_minima()
    other = Minima(**{**vars(minima), "cost": 1.1 * minima.cost})
    assert not all(found.passed for key, found in by_key(other).items() if key.startswith("envelope"))


def test_factors_and_envelope_are_judged_and_nothing_else():
    found = by_key(made_minima())
    judged = {key: each.tolerance for key, each in found.items() if each.tolerance is not None}
    expected = {f"factor {place} depth 2": 0.02 for place in range(9)}
    expected |= {f"envelope {place} depth 2": 0.03 for place in range(8)}
    assert expected == judged
    assert {"extrapolated 4 depth 2", "extrapolated 6 depth 2", "extrapolated 8 depth 2"} < set(found)


def test_everything_judged_holds_on_small_data(small_report):
    assert [] == [found.key for found in small_report.comparisons if found.passed is False]
    assert small_report.comparison("equal norms layer 3 depth 2").ratio == pytest.approx(1, abs=1e-3)


def test_a_descent_measures_the_network_that_it_brings_to_rest(small_data):
    config = TrainingConfig.pytorch(
        layers=[16, 8, 10], lr=0.1, weight_decay=0.01, batch_size=10, epochs=5, activation="relu", output="softmax",
        biases=False, initialization="he",
    )  # fmt: skip
    found = Descent(config, (0.01, 0.02), 200, 200, (0.5, 1.0, 2.0), np.random.SeedSequence(0)).start(small_data)
    assert found.unrest.max() < 0.02
    np.testing.assert_allclose(found.gap_at_factor[:, 1], found.entropy_loss_gap, rtol=1e-12)
    np.testing.assert_allclose(
        found.norm_squared, found.entropy_loss_gap[:, None] / [[0.01], [0.02]] * [1, 1], rtol=0.01
    )
    assert found.cost[1] > found.cost[0]


def test_the_result_does_not_depend_on_the_number_of_processes(small_data, small_report):
    again = validate.run("rescaling", data=small_data, n_jobs=2, rng=3, hidden=8, largest_share=0.2)
    assert json.dumps(again.to_dict()["comparisons"]) == json.dumps(small_report.to_dict()["comparisons"])
    other = validate.run("rescaling", data=small_data, n_jobs=1, rng=4, hidden=8, largest_share=0.2)
    assert other.comparison("factor 0 depth 2").measured != small_report.comparison("factor 0 depth 2").measured


def test_provenance_tells_how_to_run_it_again(small_report):
    told = small_report.provenance
    assert "--hidden 8" in told["command"]
    decays = told["parameters"]["weight_decays"]["2"]
    assert len(decays) == 9
    assert decays[-1] == pytest.approx(100 * decays[0])
    json.dumps(small_report.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"largest_share": 0.95},
            "largest_share is 0.95, but must be below 0.9: near the collapse no weights are left",
        ),
        ({"largest_share": -1}, "largest_share is -1"),
        ({"hidden": 0}, "hidden is 0"),
        ({"depth": 3}, "rescaling has no option 'depth'; it has: hidden, largest_share"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_trained(small_data, options, message):
    with pytest.raises(InvalidInput, match=message):
        validate.run("rescaling", data=small_data, **options)


@pytest.mark.slow
def test_on_mnist_the_trained_net_sits_at_its_own_fixed_point_and_on_the_envelope():
    report = validate.run("rescaling")
    assert [] == [found.quantity for found in report.comparisons if found.passed is False]
    assert report.comparison("extrapolated 4 depth 2").ratio < 0.9  # rescaling does not turn the weights
