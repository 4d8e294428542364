"""The trainer's optimizers are those of simulate: same parameters, same defaults, same ranges."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightdecay.errors import InvalidInput
from weightdecay.simulate import update_rules
from weightdecay.validate.optimizers import OPTIMIZERS, SGD, Adam, Lion, Muon, Optimizer, optimizer_from_dict


@pytest.mark.parametrize("name", sorted(update_rules.RULES))
def test_every_rule_has_its_optimizer_with_the_same_parameters_and_defaults(name):
    rule, optimizer = update_rules.RULES[name](0.5), OPTIMIZERS[name]()
    parameters = {field.name: getattr(rule, field.name) for field in dataclasses.fields(rule)}
    assert {**optimizer.parameters(), "lr": 0.5, "weight_decay": 0.0} == parameters
    assert optimizer.rule(0.25, 0.125) == dataclasses.replace(rule, lr=0.25, weight_decay=0.125)


numbers = st.floats(0, 0.99)
optimizers = (
    st.builds(SGD, numbers, coupling=st.sampled_from(["coupled", "decoupled"]))
    | st.builds(Adam, numbers, numbers, numbers)
    | st.builds(Lion, numbers, numbers)
    | st.builds(Muon, numbers, st.integers(0, 9))
)


@given(optimizers)
def test_every_optimizer_survives_json(optimizer):
    assert optimizer_from_dict(json.loads(json.dumps(optimizer.to_dict()))) == optimizer


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(momentum=1), "momentum is 1.0, but must be a number from 0 to below 1"),
        (lambda: SGD(momentum="a"), "momentum is 'a', but must be a finite number, 0 or above"),
        (lambda: SGD(nesterov=True), "it needs a momentum above 0"),
        (lambda: SGD(momentum=0.9, nesterov=1), "nesterov is 1, but must be True or False"),
        (lambda: Adam(eps=-1), "eps is -1.0, but must be a finite number, 0 or above"),
        (lambda: Adam(coupling="couple"), "coupling is 'couple', .*did you mean 'coupled'"),
        (lambda: Muon(newton_schulz_steps=0.5), "newton_schulz_steps is 0.5, but must be a whole number"),
        (lambda: Optimizer(), "take SGD\\(\\) or another of them"),
        (lambda: optimizer_from_dict({"name": "sdg"}), "optimizer is 'sdg', .*did you mean 'sgd'"),
        (lambda: optimizer_from_dict({"name": "lion"}), "the optimizer 'lion' is told by"),
        (lambda: optimizer_from_dict(3), "an optimizer is told by its name and parameters, but this is 3"),
    ],
)
def test_optimizers_that_cannot_be_name_value_and_range(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()
