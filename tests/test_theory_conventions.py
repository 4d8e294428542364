"""One regularizer under many names."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightdecay import theory
from weightdecay.errors import InvalidInput

RUN = {"lr": 0.1, "lr_max": 0.1, "n_train": 50000, "batch_size": 10}
FOUNDING = {
    "nielsen": 5,
    "pytorch": 1e-4,
    "keras": 5e-5,
    "scikit-learn": 1e-3,
    "scikit-learn-lbfgs": 5,
    "fully-decoupled": 1e-5,
    "adamc": 1e-4,
}
PENALTIES = {
    "nielsen": lambda w, c: c / (2 * 50000) * np.sum(w**2),
    "pytorch": lambda w, c: c / 2 * np.sum(w**2),
    "keras": lambda w, c: c * np.sum(w**2),
    "scikit-learn": lambda w, c: c / 2 * np.sum(w**2) / 10,
    "scikit-learn-lbfgs": lambda w, c: c / 2 * np.sum(w**2) / 50000,
}


def test_every_convention_says_the_founding_run():
    assert FOUNDING == pytest.approx({name: theory.convert(5, "nielsen", name, **RUN) for name in theory.CONVENTIONS})


@pytest.mark.parametrize("name", PENALTIES)
def test_one_step_with_the_programs_own_penalty_decays_as_derived(name):
    w, value, small = np.array([0.3, -1.2, 2.0]), FOUNDING[name], 1e-3
    slope = [
        (PENALTIES[name](w + small * unit, value) - PENALTIES[name](w - small * unit, value)) / (2 * small)
        for unit in np.eye(3)
    ]
    claim = theory.derive(f"convention-{name}")
    arguments = {key: RUN[key] for key in claim.arguments("decay_per_step") if key in RUN}
    decay = claim.numeric("decay_per_step", **arguments, **{theory.CONVENTIONS[name]: value})
    assert (w - 0.1 * np.array(slope)) / w == pytest.approx(np.full(3, 1 - decay), rel=1e-10)
    assert 1e-5 == pytest.approx(decay)


@pytest.mark.parametrize("name", theory.CONVENTIONS)
def test_all_conventions_share_the_factor_of_an_epoch(name):
    claim = theory.derive(f"convention-{name}")
    arguments = {key: RUN[key] for key in claim.arguments("factor_per_epoch") if key in RUN}
    factor = claim.numeric("factor_per_epoch", **arguments, **{theory.CONVENTIONS[name]: FOUNDING[name]})
    assert np.exp(-0.05) == pytest.approx(factor, rel=1e-6)


@pytest.mark.parametrize("name", theory.CONVENTIONS)
def test_all_conventions_share_the_time_constant_of_nielsens_run(name):
    claim = theory.derive(f"convention-{name}")
    for result, expected in (("time_constant_steps", 1e5), ("time_constant_epochs", 20)):
        arguments = {key: RUN[key] for key in claim.arguments(result) if key in RUN}
        assert expected == pytest.approx(
            claim.numeric(result, **arguments, **{theory.CONVENTIONS[name]: FOUNDING[name]})
        )


def test_pytorchs_convention_is_also_that_of_adamw():
    claim = theory.derive("convention-pytorch")
    assert all(program in claim.title for program in ("SGD", "AdamW", "optax.adamw"))
    assert any("weight_decay times lr" in sentence for sentence in claim.assumptions)


@pytest.mark.parametrize("name", theory.CONVENTIONS)
def test_that_means_over_outputs_change_the_run_is_said(name):
    assert any(
        "over the outputs" in sentence and "mean" in sentence
        for sentence in theory.derive(f"convention-{name}").assumptions
    )


@given(
    st.floats(1e-9, 1e3),
    st.sampled_from(sorted(theory.CONVENTIONS)),
    st.sampled_from(sorted(theory.CONVENTIONS)),
    st.floats(1e-6, 10),
    st.integers(1, 10**6),
)
def test_there_and_back_is_the_same_value(value, source, target, lr, batch_size):
    run = {"lr": lr, "lr_max": 2 * lr, "n_train": 10**6, "batch_size": batch_size}
    there = theory.convert(value, source, target, **run)
    assert value == pytest.approx(theory.convert(there, target, source, **run), rel=1e-12)


def test_what_a_conversion_lacks_is_named():
    with pytest.raises(InvalidInput, match="converting nielsen to scikit-learn also needs n_train: give them by name"):
        theory.convert(5, "nielsen", "scikit-learn", batch_size=10)


def test_an_unknown_convention_gets_near_names():
    with pytest.raises(InvalidInput, match="did you mean 'scikit-learn'"):
        theory.convert(5, "nielsen", "scikit-lern", **RUN)
