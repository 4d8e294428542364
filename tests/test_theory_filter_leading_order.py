"""The leading order of any filter is that of every single one."""

import numpy as np
import pytest
import sympy as sp
from scipy.signal import lfilter

from weightdecay import theory
from weightdecay.errors import InvalidInput
from weightdecay.theory import B, LinearOptimizer

INVENTED = LinearOptimizer("invented", (1 + B / 2) / (1 - B / 3 - B**2 / 4))
OPTIMIZERS = {
    "sgd": (theory.SGD, {}),
    "heavy ball": (theory.HEAVY_BALL, {"momentum": 0.9, "dampening": 0.3}),
    "nesterov": (theory.NESTEROV, {"momentum": 0.8}),
    "ema": (theory.EMA, {"momentum": 0.9}),
    "invented": (INVENTED, {}),
}
QUANTITIES = {
    ("none", "norm_squared"): "norm_squared",
    ("none", "angular_update"): "angular_update",
    ("none", "relaxation_rate"): "relaxation_rate",
    ("scale", "norm_squared"): "norm_squared_scale",
    ("scale", "relaxation_rate"): "relaxation_rate_scale",
}
VALUES = {"lr": 0.1, "weight_decay": 1e-3, "gradient_power": 2.0, "unit_gradient_power": 2.0}


def _numbers_of(optimizer, hyperparameters):
    above, below = optimizer.coefficients(**hyperparameters)
    impulse = lfilter(above, below, np.eye(1, 2000)[0])
    return {"filter_gain": impulse.sum(), "filter_power": (impulse**2).sum()}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("coupling", ["coupled", "decoupled"])
@pytest.mark.parametrize(("symmetry", "quantity"), QUANTITIES)
def test_two_numbers_of_a_filter_give_its_leading_order(name, coupling, symmetry, quantity):
    optimizer, hyperparameters = OPTIMIZERS[name]
    leading = theory.equilibrium(optimizer, coupling=coupling, symmetry=symmetry, order="leading")
    values = VALUES | hyperparameters
    expected = leading.numeric(quantity, **{key: values[key] for key in leading.arguments(quantity)})
    general = theory.derive("filter-leading-order")
    result = f"{QUANTITIES[symmetry, quantity]}_{coupling}"
    values = VALUES | _numbers_of(optimizer, hyperparameters)
    actual = general.numeric(result, **{key: values[key] for key in general.arguments(result)})
    assert expected == pytest.approx(actual, rel=1e-12)


@pytest.mark.parametrize("coupling", ["coupled", "decoupled"])
def test_the_exact_squared_norm_goes_to_it_in_proportion_to_the_decay(coupling):
    exact = theory.equilibrium(INVENTED, coupling=coupling)
    general = theory.derive("filter-leading-order")
    gain = float(sp.Rational(3, 2) / (1 - sp.Rational(1, 3) - sp.Rational(1, 4)))
    errors = [
        exact.numeric(lr=0.1, weight_decay=decay, gradient_power=1.0)
        / general.numeric(f"norm_squared_{coupling}", lr=0.1, weight_decay=decay, gradient_power=1.0, filter_gain=gain)
        - 1
        for decay in (1e-3, 1e-4)
    ]
    assert 10 == pytest.approx(errors[0] / errors[1], rel=0.01)


def test_the_gain_must_be_above_zero():
    with pytest.raises(InvalidInput, match="filter_gain"):
        theory.derive("filter-leading-order").numeric(lr=0.1, weight_decay=1e-3, gradient_power=1.0, filter_gain=-1.0)
