"""Sum the equilibrium of normalized updates with L2 regularization over weights whose gradients differ in size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .notation import quantity, symbols_of
from .proofs import definition, equation, proof
from .steps import Step

__all__ = ["UNEQUAL", "UNEQUAL_SIZES", "unequal_steps"]

_lr, _weight_decay, _n_weights = symbols_of("lr weight_decay n_weights")

_TOTAL = quantity(
    "gradient_std_total",
    r"\sigma_{\Sigma}",
    "σ_Σ",
    "loss / weight",
    "sum over the weights of the standard deviations of their gradients",
    positive=True,
)
_UNIT_TOTAL = quantity(
    "unit_gradient_std_total",
    r"\tilde\sigma_{\Sigma}",
    "σ̃_Σ",
    "loss",
    "sum of the standard deviations at unit norm; a scale-invariant block of squared norm R has it over √R",
    positive=True,
)
_SIZE = quantity(
    "norm_squared_unequal", r"R_{\sigma}", "R_σ", "weight²", "squared norm with gradients of any sizes", positive=True
)
_SCALE = quantity(
    "norm_squared_scale_unequal",
    r"\tilde R_{\sigma}",
    "R̃_σ",
    "weight²",
    "squared norm of a scale-invariant block with gradients of any sizes",
    positive=True,
)
UNEQUAL = (_TOTAL, _UNIT_TOTAL, _SIZE, _SCALE, quantity("i", "i", "i", "1", "number of a weight", integer=True))
UNEQUAL_SIZES = (
    "Every weight has a gradient of its own standard deviation σ_i, which does not change; weights are balanced one by "
    "one. Results in gradient_power or unit_gradient_power take all σ_i to be equal."
)


def unequal_steps(prefactor: Any, per_weight: Any, sigma: Any) -> tuple[Step, ...]:
    """Return the steps from one weight's second moment to the squared norm of a block, whatever the gradients' sizes.

    Parameters
    ----------
    prefactor : sympy.Expr
        What a second moment to leading order is over lr sigma / weight_decay.
    per_weight : callable
        ``per_weight(earlier)`` returns that second moment to leading order, from the steps before.
    sigma : sympy.Symbol
        Standard deviation of that weight's gradient.

    Returns
    -------
    tuple of three Step

    Notes
    -----
    R = prefactor lr / weight_decay sum_i sigma_i; for a scale-invariant block, sigma_i = sigma~_i / sqrt(R), and
    R^(3/2) = prefactor lr / weight_decay sum_i sigma~_i. Weights are balanced one by one.

    References
    ----------
    Our own derivation; kosson2023 for the balance per weight.

    Examples
    --------
    >>> sigma, half = sp.Symbol("gradient_std", positive=True), sp.Rational(1, 2)
    >>> unequal_steps(half, lambda earlier: half * _lr * sigma / _weight_decay, sigma)[1].expression
    Eq(norm_squared_unequal, gradient_std_total*lr/(2*weight_decay))
    """
    sigmas = sp.IndexedBase(sigma.name, positive=True)
    i = sp.Symbol("i", integer=True)
    total, unit, size, scale = (line.symbol for line in UNEQUAL[:4])

    def term_by_term(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        named = earlier["total"].rhs
        return (
            expression.rhs.subs(total, named.function) - per_weight(earlier).subs(sigma, sigmas[i]),
            sp.true if named.limits == (sp.Tuple(i, 1, _n_weights),) else sp.false,
        )

    def put_back(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        ratio = earlier["size-unequal"].rhs.subs(total, unit / sp.sqrt(expression.rhs)) / expression.rhs
        return (sp.powsimp(sp.expand_power_base(ratio), force=True) - 1,)

    return (
        Step(
            "total",
            "Name the sum of the standard deviations of all gradients,",
            equation(total, sp.Sum(sigmas[i], (i, 1, _n_weights))),
            definition(),
        ),
        Step(
            "size-unequal",
            "so that the second moments, to leading order, add up to the squared norm",
            equation(size, prefactor * _lr * total / _weight_decay),
            proof("the leading second moment of each weight, compared term by term", term_by_term),
        ),
        Step(
            "scale-unequal",
            "and, if the block is scale-invariant and standard deviations fall off as 1/√R, to",
            equation(scale, (prefactor * _lr * unit / _weight_decay) ** sp.Rational(2, 3)),
            proof("put back into the squared norm with that sum, which it fulfils", put_back),
        ),
    )
