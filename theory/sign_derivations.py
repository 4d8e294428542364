"""Derive the equilibrium of sign descent, with decoupled decay and with L2 regularization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .green_kubo import CORRELATION_SUM, GREEN_KUBO, MANY_WEIGHTS, ONE_MINUS_COSINE, UPDATE_POWER
from .notation import quantity, symbols_of
from .proofs import definition, equation, premise, proof
from .registry import by_derivation, derivation
from .steps import Step
from .unequal_gradients import UNEQUAL, UNEQUAL_SIZES, unequal_steps
from .validity import STABLE

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _n_weights, _gradient_power, _unit_power = symbols_of(
    "lr weight_decay n_weights gradient_power unit_gradient_power"
)
_stationary, _angle = symbols_of("norm_squared_stationary angular_update")
_EPS = _lr * _weight_decay
_power, _sum, _turn = UPDATE_POWER.symbol, CORRELATION_SUM.symbol, ONE_MINUS_COSINE.symbol


@derivation("optimizer-sign-decoupled")
def _sign_decoupled() -> Derivation:
    """Derive the equilibrium of sign descent with decoupled decay, which needs only the signs of the gradients."""
    steps = (
        Step(
            "power",
            "Every weight moves by one unit in either direction, so that the update has the power",
            equation(_power, _n_weights),
            premise(),
        ),
        Step(
            "white",
            "Signs of independent gradients are uncorrelated, and so is their sum over lags.",
            equation(_sum, 0),
            premise(),
        ),
        Step(
            "size",
            "Green and Kubo's relation gives the squared norm, exactly,",
            equation(_stationary, _lr * _n_weights / (_weight_decay * (2 - _EPS))),
            by_derivation("green-kubo", "norm_squared_stationary", "power", "white"),
        ),
        Step(
            "cosine",
            "and the rotation, exactly too,",
            equation(_turn, _EPS),
            by_derivation("green-kubo", "one_minus_cosine", "white"),
        ),
        Step(
            "angle",
            "which is the angle",
            equation(_angle, sp.acos(1 - _EPS)),
            proof(
                "one minus its cosine is the step before",
                lambda expression, earlier: (1 - sp.cos(expression.rhs) - earlier["cosine"].rhs,),
            ),
        ),
    )
    found = {step.key: step.expression for step in steps}
    return Derivation(
        name="optimizer-sign-decoupled",
        title="Equilibrium of sign descent with decoupled decay on random gradients",
        assumptions=("Gradients are independent from step to step, and no weight prefers a sign.", MANY_WEIGHTS),
        steps=steps,
        equation=found["size"],
        results={str(found[key].lhs): found[key].rhs for key in ("size", "cosine", "angle")},
        conditions=(STABLE,),
        references=("bernstein2018", "kosson2023"),
        quantities=GREEN_KUBO,
    )


@derivation("optimizer-sign-coupled")
def _sign_coupled() -> Derivation:
    """Derive the equilibrium of sign descent with L2 regularization, with its first correction."""
    w = quantity("weight", "w", "w", "weight", "a weight", real=True)
    std = quantity(
        "gradient_std", r"\sigma", "σ", "loss / weight", "standard deviation of a weight's gradient", positive=True
    )
    mean = quantity("mean_update", r"\bar u", "ū", "1", "mean update of a weight, given the weight", real=True)
    near = quantity("mean_update_series", r"\bar u_{3}", "ū_3", "1", "mean update up to the third order", real=True)
    product = quantity("mean_product", "M", "M", "weight", "mean product of weight and update", real=True)
    size = quantity("weight_power", "v", "v", "weight²", "second moment of a weight", positive=True)
    rate = quantity("relaxation_rate", r"\kappa", "κ", "1 / step", "rate at which R returns", positive=True)
    scale_norm = quantity(
        "norm_squared_scale",
        r"\tilde R_{*}",
        "R̃_*",
        "weight²",
        "squared norm of a scale-invariant block",
        positive=True,
    )
    sigma, v = std.symbol, size.symbol
    scaled = _weight_decay * w.symbol / sigma
    expected = sp.sqrt(sp.pi / 8) * _lr * sigma / _weight_decay
    correction = sp.sqrt(sp.pi / 2) * _EPS / (4 * sigma)
    small = sp.Dummy("small", positive=True)

    def mean_sign(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        density = sp.exp(-(scaled**2) / 2) / sp.sqrt(2 * sp.pi)
        slope = 2 * density * _weight_decay / sigma
        return (sp.diff(expression.rhs, w.symbol) - slope, expression.rhs.subs(w.symbol, 0))

    def gaussian(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        moments = {2: v, 4: 3 * v**2}
        inside = sp.Poly(w.symbol * earlier["series"].rhs, w.symbol)
        return (expression.rhs - sum(part * moments[power] for (power,), part in inside.terms()),)

    def rests(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        balance = earlier["balance"].rhs.subs(product.symbol, earlier["moments"].rhs) - v
        left = sp.expand(balance.subs(v, expression.rhs).subs(_lr, small * _lr))
        return (left.coeff(small, 2), left.coeff(small, 3), left.coeff(small, 1))

    steps = (
        Step(
            "mean",
            "With a Gaussian gradient on top of λw, the sign is on average",
            equation(mean.symbol, sp.erf(scaled / sp.sqrt(2))),
            proof("zero at w = 0, with twice the density of the gradient at −λw as its slope", mean_sign),
        ),
        Step(
            "series",
            "which for small weights is",
            equation(near.symbol, sp.sqrt(2 / sp.pi) * (scaled - scaled**3 / 6)),
            proof(
                "series in the weight",
                lambda expression, earlier: (
                    sp.series(earlier["mean"].rhs, w.symbol, 0, 5).removeO() - expression.rhs,
                ),
            ),
        ),
        Step(
            "moments",
            "Weights that are the sum of many steps are Gaussian to this order, with w⁴ three times the square of w².",
            equation(
                product.symbol,
                sp.sqrt(2 / sp.pi) * (_weight_decay * v / sigma - _weight_decay**3 * v**2 / (2 * sigma**3)),
            ),
            proof("moments of a Gaussian put into the series times the weight", gaussian),
        ),
        Step(
            "balance",
            "A step of size lr leaves the second moment as it was if",
            equation(v, v - 2 * _lr * product.symbol + _lr**2),
            premise(),
        ),
        Step(
            "weight",
            "which holds, with the first correction, for",
            equation(v, expected * (1 + correction)),
            proof("put back into the balance, which it fulfils up to the second order beyond the leading one", rests),
        ),
        *unequal_steps(
            sp.sqrt(sp.pi / 8), lambda earlier: _lr * sp.diff(earlier["weight"].rhs, _lr).subs(_lr, 0), sigma
        ),
        Step(
            "spread",
            "If all weights of the block have gradients of the same size, that is",
            equation(sigma, sp.sqrt(_gradient_power / _n_weights)),
            definition(),
        ),
        Step(
            "size",
            "and the squared norm sums over the weights: to leading order,",
            equation(_stationary, sp.sqrt(sp.pi / 8) * _lr * sp.sqrt(_n_weights * _gradient_power) / _weight_decay),
            proof(
                "the number of weights times the leading term",
                lambda expression, earlier: (
                    sp.limit(
                        sp.powsimp(expression.rhs / (_n_weights * earlier["weight"].rhs))
                        .subs(sigma, earlier["spread"].rhs)
                        .subs(_lr, small),
                        small,
                        0,
                    )
                    - 1,
                ),
            ),
        ),
        Step(
            "scale",
            "or, if the block is scale-invariant, with the gradient power at unit norm over the squared norm,",
            equation(
                scale_norm.symbol,
                (sp.sqrt(sp.pi / 8) * _lr * sp.sqrt(_n_weights * _unit_power) / _weight_decay) ** sp.Rational(2, 3),
            ),
            proof(
                "put back into the squared norm at that gradient power, which it fulfils",
                lambda expression, earlier: (
                    sp.powsimp(
                        sp.expand_power_base(
                            earlier["size"].rhs.subs(_gradient_power, _unit_power / expression.rhs) / expression.rhs
                        ),
                        force=True,
                    )
                    - 1,
                ),
            ),
        ),
        Step(
            "cosine",
            "Every step has the length lr√n, which by itself gives the rotation, exactly,",
            equation(_turn, _lr**2 * _n_weights / (2 * _stationary)),
            proof(
                "the squared length of the step over twice the squared norm",
                lambda expression, earlier: (
                    expression.rhs - _n_weights * earlier["balance"].rhs.coeff(_lr, 2) * _lr**2 / (2 * _stationary),
                ),
            ),
        ),
        Step(
            "angle",
            "and to leading order the angle.",
            equation(_angle, _lr * sp.sqrt(_n_weights / _stationary)),
            proof(
                "half its square is one minus the cosine, and it is positive",
                lambda expression, earlier: (
                    expression.rhs**2 / 2 - earlier["cosine"].rhs,
                    sp.true if expression.rhs.subs(_stationary, v).is_positive else sp.false,
                ),
            ),
        ),
        Step(
            "relaxation",
            "A perturbation of the squared norm returns at the rate",
            equation(rate.symbol, sp.sqrt(8 / sp.pi) * _EPS / sigma),
            proof(
                "minus the slope of the balance, to leading order",
                lambda expression, earlier: (
                    expression.rhs
                    + sp.diff(
                        (earlier["balance"].rhs - v).subs(product.symbol, earlier["moments"].rhs),
                        v,
                    ).subs(v, 0),
                ),
            ),
        ),
    )
    found = {step.key: step.expression for step in steps}
    keys = ("size", "size-unequal", "scale-unequal", "scale", "weight", "cosine", "angle", "relaxation")
    return Derivation(
        name="optimizer-sign-coupled",
        title="Equilibrium of sign descent with L2 regularization on random gradients",
        assumptions=(
            "Gradients are Gaussian white noise.",
            UNEQUAL_SIZES,
            "Decay is slow: lr*weight_decay is small against the standard deviation of a gradient.",
            MANY_WEIGHTS,
        ),
        steps=steps,
        equation=found["weight"],
        results={str(found[key].lhs): found[key].rhs for key in keys},
        references=("bernstein2018",),
        quantities=(ONE_MINUS_COSINE, w, std, mean, near, product, size, rate, scale_norm, *UNEQUAL),
    )
