"""Derive the equilibrium of Adam with L2 regularization, which normalizes the decay along with the gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .green_kubo import BARE, MANY_WEIGHTS
from .nonlinear_optimizers import (
    BETA1,
    BETA2,
)
from .notation import quantity, symbols_of
from .proofs import difference, equation, premise, proof
from .registry import by_derivation, derivation, derive
from .steps import Step
from .unequal_gradients import UNEQUAL, UNEQUAL_SIZES, unequal_steps
from .validity import forgets

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _n_weights, _gradient_power = symbols_of("lr weight_decay n_weights gradient_power")
_stationary, _angle, _momentum, _unit_power = symbols_of(
    "norm_squared_stationary angular_update momentum unit_gradient_power"
)
_EPS = _lr * _weight_decay
_BETAS = tuple(forgets(line.symbol) for line in (BETA1, BETA2))


@derivation("optimizer-adam-coupled")
def _adam_coupled() -> Derivation:
    """Derive the equilibrium of Adam with L2 regularization, which normalizes the decay along with the gradient."""
    beta1 = BETA1.symbol
    std = quantity(
        "gradient_std", r"\sigma", "σ", "loss / weight", "standard deviation of a weight's gradient", positive=True
    )
    size = quantity("weight_power", "v", "v", "weight²", "second moment of a weight", positive=True)
    relative = quantity("relative_power", "y", "y", "1", "(λ/σ)² E w²", positive=True)
    step = quantity("relative_step", "s", "s", "1", "ηλ/σ, decay per step as Adam feels it", positive=True)
    series = quantity("relative_power_series", "y_{1}", "y_1", "1", "y with its first correction", real=True)
    scaled = quantity(
        "norm_squared_scale",
        r"\tilde R_{*}",
        "R̃_*",
        "weight²",
        "squared norm of a scale-invariant block",
        positive=True,
    )
    rate = quantity("relaxation_rate", r"\kappa", "κ", "1 / step", "rate at which R returns", positive=True)
    scale_rate = quantity(
        "relaxation_rate_scale",
        r"\tilde\kappa",
        "κ̃",
        "1 / step",
        "rate at which R returns, for a scale-invariant block",
        real=True,
    )
    sigma, v, y, s = std.symbol, size.symbol, relative.symbol, step.symbol
    small = sp.Dummy("small", positive=True)
    fed = sp.sqrt(sigma**2 + _weight_decay**2 * v)
    filtered = (
        _lr
        / fed
        * sigma**2
        * (1 + beta1)
        / (_weight_decay * (2 * (1 + beta1) - _lr / fed * _weight_decay * (1 - beta1)))
    )
    grown = (1 - beta1) / (2 * (1 + beta1)) - sp.Rational(1, 4)

    def cubic(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        gap = (earlier["size"].lhs - earlier["size"].rhs) * _weight_decay**2 / sigma**2
        relative_gap = gap.subs(v, y * sigma**2 / _weight_decay**2).subs(_lr, s * sigma / _weight_decay)
        relative_gap = sp.cancel(sp.together(sp.powsimp(relative_gap.subs(sigma, 1)).subs(sp.sqrt(1 + y), 1 / small)))
        claimed = sp.cancel(sp.together((expression.lhs - expression.rhs).subs(sp.sqrt(1 + y), 1 / small)))
        below = 2 * (1 + beta1) / small - s * (1 - beta1)
        return (sp.cancel((relative_gap * below - claimed).subs(y, 1 / small**2 - 1)),)

    def rests(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        gap = difference(earlier["cubic"]).subs(y, expression.rhs)
        expanded = sp.series(gap.subs(s, small * s), small, 0, 3).removeO()
        return (sp.cancel(expanded.coeff(small, 1)), sp.cancel(expanded.coeff(small, 2)))

    def average_power() -> Any:
        """Return the power of a moving average of gradients of power 1, read off from its angle and squared norm."""
        average = derive("optimizer-ema-coupled").results
        power = average["angular_update_leading"] ** 2 * average["norm_squared_leading"] / (_lr**2 * _gradient_power)
        return power.subs(_momentum, beta1)

    def leading(earlier: Mapping[str, Any]) -> Any:
        """Return a weight's second moment to leading order."""
        return sigma**2 / _weight_decay**2 * sp.diff(earlier["series"].rhs, s).subs(s, 0) * _EPS / sigma

    def loss(earlier: Mapping[str, Any]) -> Any:
        return earlier["relaxation"].rhs.subs(_gradient_power, _unit_power / scaled.symbol) * scaled.symbol

    per_step = _EPS * sp.sqrt(_n_weights / _gradient_power)
    steps = (
        Step(
            "size",
            "With a steady second moment, that of gradient plus decay, Adam is a moving average with the learning rate "
            "lr over its root (derivation optimizer-ema-coupled): per weight,",
            equation(v, filtered),
            by_derivation(
                "optimizer-ema-coupled",
                "norm_squared_stationary",
                put_in={_lr: _lr / fed, _gradient_power: sigma**2, _momentum: beta1},
            ),
        ),
        Step(
            "cubic",
            "In units of σ/λ, with s = ηλ/σ, that is an equation for y = (λ/σ)² v:",
            equation(2 * (1 + beta1) * y * sp.sqrt(1 + y), s * (1 + beta1 + (1 - beta1) * y)),
            proof("the equation before, in these units and without denominators", cubic),
        ),
        Step(
            "series",
            "For small s its solution is",
            equation(series.symbol, s / 2 * (1 + grown * s)),
            proof("put back into that equation, which it fulfils up to the second order", rests),
        ),
        *unequal_steps(sp.S.Half, leading, sigma),
        Step(
            "spread",
            "If all weights of the block have gradients of the same size,",
            equation(sigma, sp.sqrt(_gradient_power / _n_weights)),
            premise(),
        ),
        Step(
            "norm",
            "the squared norm is to leading order",
            equation(_stationary, _lr * sp.sqrt(_n_weights * _gradient_power) / (2 * _weight_decay)),
            proof(
                "the number of weights times σ²/λ² times the leading term",
                lambda expression, earlier: (
                    sp.powsimp(expression.rhs / (_n_weights * leading(earlier)).subs(sigma, earlier["spread"].rhs)) - 1,
                ),
            ),
        ),
        Step(
            "angle",
            "the angle",
            equation(_angle, _lr * sp.sqrt(_n_weights * (1 - beta1) / ((1 + beta1) * _stationary))),
            proof(
                "the square is the power of a moving average's updates, times lr², over the squared norm; positive",
                lambda expression, _earlier: (
                    sp.cancel(expression.rhs**2 * _stationary / (_lr**2 * _n_weights) - average_power()),
                    sp.true if expression.rhs.as_coeff_Mul()[0] > 0 else sp.false,
                ),
            ),
        ),
        Step(
            "scale",
            "If the block is scale-invariant, the gradient power is that at unit norm over R, and R the root",
            equation(
                scaled.symbol,
                (_lr * sp.sqrt(_n_weights * _unit_power) / (2 * _weight_decay)) ** sp.Rational(2, 3),
            ),
            proof(
                "put back into the squared norm at that gradient power, which it fulfils",
                lambda expression, earlier: (
                    sp.powsimp(
                        sp.expand_power_base(
                            earlier["norm"].rhs.subs(_gradient_power, _unit_power / expression.rhs) / expression.rhs
                        ),
                        force=True,
                    )
                    - 1,
                ),
            ),
        ),
        Step(
            "relaxation",
            "A perturbation of the squared norm returns at the rate",
            equation(rate.symbol, 2 * per_step),
            proof(
                "that of the moving average, 2ηλ, at the learning rate over σ",
                lambda expression, earlier: (
                    sp.powsimp(
                        expression.rhs
                        / derive("optimizer-ema-coupled")
                        .results["relaxation_rate"]
                        .subs(_lr, _lr / sigma)
                        .subs(sigma, earlier["spread"].rhs)
                    )
                    - 1,
                ),
            ),
        ),
        Step(
            "relaxation-scale",
            "and, if the block is scale-invariant, at",
            equation(scale_rate.symbol, 3 * _EPS * sp.sqrt(_n_weights * scaled.symbol / _unit_power)),
            proof(
                "slope of κR, what decay takes in a step, in R, with κ growing as √R",
                lambda expression, earlier: (sp.powsimp(expression.rhs / sp.diff(loss(earlier), scaled.symbol)) - 1,),
            ),
        ),
    )
    found = {part.key: part.expression for part in steps}
    keys = ("norm", "size-unequal", "scale-unequal", "series", "angle", "scale", "relaxation", "relaxation-scale")
    return Derivation(
        name="optimizer-adam-coupled",
        title="Equilibrium of Adam with L2 regularization on random gradients",
        assumptions=(
            "Gradients are Gaussian white noise.",
            UNEQUAL_SIZES,
            "The second moment hardly fluctuates: 1 − beta2 small.",
            BARE,
            MANY_WEIGHTS,
        ),
        steps=steps,
        equation=found["cubic"],
        results={str(found[key].lhs): found[key].rhs for key in keys},
        conditions=_BETAS[:1],
        zero_allowed=frozenset({"beta1"}),
        references=("kingma2015", "kosson2023"),
        quantities=(std, size, relative, step, series, scaled, rate, scale_rate, BETA1, *UNEQUAL),
    )
