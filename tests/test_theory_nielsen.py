"""The three claims of the exercise, and their verdicts on runs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightdecay import theory
from weightdecay.errors import InvalidInput

FOUNDING = {"lr": 0.1, "lmbda": 5.0, "n_train": 50000, "batch_size": 10}


def founding_layers(**changed):
    hidden = {"n_weights": 23520, "norm_squared_start": 23520.0, "norm_squared_end": 1810.0, "radial_pull": -0.06}
    output = {"n_weights": 300, "norm_squared_start": 300.0, "norm_squared_end": 1120.0, "radial_pull": 0.10}
    return [theory.LayerRun("layer 2", **hidden | changed), theory.LayerRun("layer 3", **output)]


def test_claim_one_is_true_of_the_hidden_layer_and_false_of_the_output_layer():
    hidden, output = theory.nielsen_claims(founding_layers(), **FOUNDING, epochs=30)[:2]
    assert (True, False) == (hidden.holds, output.holds)
    assert 39.2 == pytest.approx(hidden.margin, rel=1e-3)
    assert 0.3 == pytest.approx(output.margin, rel=1e-3)
    assert "shrinking the layer like decay" in hidden.sentence
    assert "would dominate with lmbda above 167" in output.sentence


def test_claim_one_turns_at_the_lmbda_it_names():
    claim = theory.derive("nielsen-claim-1")
    layer = {"radial_pull": 0.1, "gradient_power": 0.02, "norm_squared": 300.0}
    least = claim.numeric("lmbda_least", lr=0.1, n_train=50000, **layer)
    assert 1 == pytest.approx(claim.numeric(lr=0.1, n_train=50000, lmbda=least, **layer), rel=1e-4)


def test_claim_two_is_the_product_of_the_steps():
    claim = theory.derive("nielsen-claim-2")
    exponential = claim.numeric("factor_exponential", lr=0.1, lmbda=5, batch_size=10)
    exact = np.prod(np.full(5000, 1 - 0.1 * 5 / 50000))
    assert np.exp(-0.05) == pytest.approx(exponential)
    assert exact == pytest.approx(claim.numeric(**FOUNDING), rel=1e-11)
    assert 0 < 1 - exact / exponential <= claim.numeric("relative_error_bound", **FOUNDING)
    assert 20 == pytest.approx(claim.numeric("time_constant_epochs", lr=0.1, lmbda=5, batch_size=10))


def test_claim_two_fails_when_decay_is_not_small_against_the_training_set():
    verdicts = theory.nielsen_claims(founding_layers(), lr=10, lmbda=500, n_train=50000, batch_size=50000, epochs=30)
    assert [False, False] == [verdict.holds for verdict in verdicts if verdict.claim == 2]


def test_claim_three_needs_a_hundred_epochs_that_the_run_did_not_have():
    third = [v for v in theory.nielsen_claims(founding_layers(), **FOUNDING, epochs=30) if v.claim == 3]
    assert [False, False] == [verdict.holds for verdict in third]
    assert (1810 / 23520 * 23820) ** 0.5 == pytest.approx(third[0].margin)
    assert "30 epochs could not show it: decay alone needs 101" in third[0].sentence
    needed = theory.derive("nielsen-claim-3").numeric("epochs_needed", **FOUNDING, rms_start=1, n_weights_total=784)
    assert 66.6 == pytest.approx(needed, abs=0.05)


def test_claim_three_holds_for_a_layer_that_did_come_down():
    layers = founding_layers(norm_squared_end=1.2)
    verdict = theory.nielsen_claims(layers, **FOUNDING, epochs=200)[4]
    assert (3, "layer 2", True) == (verdict.claim, verdict.layer, verdict.holds)
    assert "could not show" not in verdict.sentence


def test_the_least_lmbda_just_comes_down_within_the_run():
    claim = theory.derive("nielsen-claim-3")
    start = {"rms_start": 1.0, "n_weights_total": 23820, "n_train": 50000, "batch_size": 10}
    least = claim.numeric("lmbda_least", lr=0.1, epochs=30, **start)
    assert 30 == pytest.approx(claim.numeric("epochs_needed", lr=0.1, lmbda=least, **start))


def test_a_layer_without_gradient_is_all_decay():
    verdict = theory.nielsen_claims(founding_layers(radial_pull=0.0), **FOUNDING, epochs=30)[0]
    assert verdict.holds
    assert np.inf == verdict.margin


def test_verdicts_are_plain_data():
    verdict = theory.nielsen_claims(founding_layers(), **FOUNDING, epochs=30)[0]
    assert {"claim", "layer", "holds", "margin", "sentence"} == verdict.to_dict().keys()
    assert (bool, float) == (type(verdict.holds), type(verdict.margin))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lr": 0}, "lr is 0, but must be a finite number above 0"),
        ({"lmbda": "5"}, "lmbda is '5'"),
        ({"batch_size": 60000}, "batch_size is 60000, but must be a whole number from 1 to 50000"),
        ({"lr": 1e5}, "needs lmbda\\*lr < n_train"),
    ],
)
def test_impossible_runs_are_refused(changed, message):
    with pytest.raises(InvalidInput, match=message):
        theory.nielsen_claims(founding_layers(), **FOUNDING | changed, epochs=30)


@pytest.mark.parametrize("layers", [[], ["layer 2"], [None]])
def test_layers_have_to_be_layers(layers):
    with pytest.raises(InvalidInput, match="LayerRun"):
        theory.nielsen_claims(layers, **FOUNDING, epochs=30)


@given(st.sampled_from(["norm_squared_start", "norm_squared_end"]), st.floats(max_value=0) | st.just(np.nan))
def test_a_layer_without_size_is_refused(field, wrong):
    with pytest.raises(InvalidInput, match=f"{field} of layer 2 is"):
        founding_layers(**{field: wrong})


def test_what_is_no_run_is_refused():
    with pytest.raises(InvalidInput, match="radial_pull of layer is 'x', but must be"):
        theory.LayerRun("layer", 3, 1.0, 1.0, radial_pull="x")
    with pytest.raises(InvalidInput, match="layers is 3, but must be a list"):
        theory.nielsen_claims(3, **FOUNDING, epochs=1)
