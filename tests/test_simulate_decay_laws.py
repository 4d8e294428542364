import numpy as np
import pytest

from weightdecay.errors import InvalidInput
from weightdecay.simulate import Linear, decay_per_step, effective_weight_decay


def test_the_decay_laws_agree_at_the_largest_learning_rate_and_part_below_it():
    lr = Linear(0.1, 0.0, 4)
    falls = np.array([1.0, 0.75, 0.5, 0.25])
    expected = {
        "decoupled": 0.1 * 0.01 * falls,
        "coupled": 0.1 * 0.01 * falls,
        "fully-decoupled": 0.001 * falls,
        "adamc": 0.1 * 0.01 * falls**2,
    }
    for law, decays in expected.items():
        weight_decay = 0.001 if law == "fully-decoupled" else 0.01
        assert decays == pytest.approx(decay_per_step(lr, weight_decay, 4, law=law), rel=1e-14)


def test_a_given_largest_learning_rate_replaces_that_of_the_run():
    assert [0.005] * 2 == pytest.approx(decay_per_step(0.1, 0.01, 2, law="fully-decoupled", lr_max=0.2).tolist())


def test_the_effective_coefficient_times_the_learning_rate_is_the_decay_per_step():
    lr, weight_decay = Linear(0.1, 0.0, 4), Linear(0.001, 0.002, 3)
    for law in ("decoupled", "coupled", "fully-decoupled", "adamc"):
        coefficient = effective_weight_decay(lr, weight_decay, 4, law=law)
        steps = np.arange(4)
        expected = decay_per_step(lr, weight_decay, 4, law=law)
        assert expected == pytest.approx(lr(steps) * coefficient(steps), rel=1e-14)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: decay_per_step(0.1, 20.0, 3), "takes 2 of every weight at step 0, but must take less than 1"),
        (lambda: decay_per_step(0.0, 0.1, 3, law="adamc"), "the learning rate is 0 over the whole run"),
        (lambda: decay_per_step(0.1, 0.1, 3, law="uncoupled"), "did you mean 'coupled' or 'decoupled'"),
        (lambda: decay_per_step(0.1, 0.1, 3, lr_max=0.0), "lr_max is 0.0, but must be a finite number above 0"),
    ],
)
def test_a_decay_that_cannot_be_is_answered_with_what_is_allowed(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()
