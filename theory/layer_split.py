"""Derive how balanced linear layers share one mode, and so what decay asks of the product of any number of layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .evaluation import Condition
from .notation import quantity, symbols_of
from .proofs import equation, premise, proof
from .registry import derivation
from .steps import Step
from .validity import exactly_where

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_weight_decay, _depth = symbols_of("weight_decay depth")
_MODE = quantity(
    "mode", "\\sigma", "σ", "1", "strength of the mode in the network (singular value of the product)", positive=True
)
_LAYER = quantity("layer_factor", "a", "a", "weight", "weight of the mode in each layer", positive=True)
_SIZE = quantity(
    "norm_squared_layer", "R_{\\ell}", "R_l", "weight²", "squared norm of the mode in each layer", positive=True
)
_PENALTY = quantity("penalty", "\\Omega", "Ω", "loss", "what decay adds to the loss for this mode", positive=True)
_SLOPE = quantity(
    "penalty_slope", "\\Omega'", "Ω'", "loss", "slope of the penalty against the strength of the mode", positive=True
)
_BEND = quantity(
    "penalty_bend",
    "\\Omega''",
    "Ω''",
    "loss",
    "second derivative of the penalty: negative beyond two layers",
    nonpositive=True,
)
_STRETCH = quantity("stretch", "c", "c", "1", "factor from one layer to another, at a fixed product", positive=True)
_SPLIT = quantity("penalty_split", "\\Omega_{c}", "Ω_c", "loss", "the penalty of layers so unequal", positive=True)


@derivation("layer-split")
def _layer_split() -> Derivation:
    """Derive that a mode of strength sigma has sigma^(2/depth) in each layer, so decay is a Schatten penalty."""
    a, c, sigma = _LAYER.symbol, _STRETCH.symbol, _MODE.symbol
    lam, depth = _weight_decay, _depth

    def least(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        split = earlier["unequal"].rhs
        slope, bend = (sp.diff(split, c, order).subs(c, 1) for order in (1, 2))
        return (split.subs(c, 1) - expression.rhs, slope, sp.true if bend.is_positive else sp.false)

    def sized(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        product = earlier["product"].rhs.subs(a, sp.sqrt(expression.rhs))
        return (sp.powsimp(sp.powdenest(product)) - sigma,)

    def told(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (earlier["equal"].rhs.subs(a, sp.sqrt(earlier["size"].rhs)) - expression.rhs,)

    steps = (
        Step("product", "With all layers alike, the mode is", equation(sigma, a**depth), premise()),
        Step(
            "unequal",
            "A factor c moved from one layer to another leaves the product and makes the penalty",
            equation(_SPLIT.symbol, lam / 2 * ((c * a) ** 2 + (a / c) ** 2 + (depth - 2) * a**2)),
            premise(),
        ),
        Step(
            "equal",
            "which is least for layers that are alike:",
            equation(_PENALTY.symbol, lam * depth * a**2 / 2),
            proof("at the factor 1 the slope in the factor vanishes and the bend is positive", least),
        ),
        Step(
            "size",
            "Each then has of the mode the squared norm",
            equation(_SIZE.symbol, sigma ** (2 / depth)),
            proof("put back into the product", sized),
        ),
        Step(
            "penalty",
            "and decay adds to the loss",
            equation(_PENALTY.symbol, lam * depth * sigma ** (2 / depth) / 2),
            proof("the penalty of equal layers at this size", told),
        ),
        Step(
            "slope",
            "which rises with the mode as",
            equation(_SLOPE.symbol, lam * sigma ** (2 / depth - 1)),
            proof(
                "derivative of the penalty with respect to the mode",
                lambda expression, earlier: (
                    sp.powsimp(sp.expand(sp.diff(earlier["penalty"].rhs, sigma) - expression.rhs)),
                ),
            ),
        ),
        Step(
            "bend",
            "and, beyond two layers, ever less steeply: strong modes pay less than weak ones.",
            equation(_BEND.symbol, lam * (2 / depth - 1) * sigma ** (2 / depth - 2)),
            proof(
                "derivative of the slope with respect to the mode",
                lambda expression, earlier: (
                    sp.powsimp(sp.expand(sp.diff(earlier["slope"].rhs, sigma) - expression.rhs)),
                ),
            ),
        ),
    )
    found = {step.key: step.expression for step in steps}
    return Derivation(
        name="layer-split",
        title="Linear layers share every mode equally: decay is a Schatten penalty on their product",
        assumptions=(
            "Linear layers without biases, all with the same decay, at a minimum of the regularized loss.",
            "Each mode of the product runs through one direction of every hidden layer, and no hidden layer is "
            "narrower than the number of modes.",
            "The product of all layers then minimizes the loss plus this penalty summed over its singular values: the "
            "nuclear norm for two layers, a quasi-norm that is not convex for more.",
        ),
        steps=steps,
        equation=found["penalty"],
        results={
            "norm_squared_layer": found["size"].rhs,
            "penalty": found["penalty"].rhs,
            "penalty_slope": found["slope"].rhs,
            "penalty_bend": found["bend"].rhs,
        },
        conditions=(
            Condition(
                depth >= 2, "one layer alone shares nothing", exactly_where("the number of other layers", depth - 1)
            ),
        ),
        references=("srebro2004", "arora2018"),
        quantities=(_MODE, _LAYER, _SIZE, _PENALTY, _SLOPE, _BEND, _STRETCH, _SPLIT),
    )
