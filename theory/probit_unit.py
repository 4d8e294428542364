"""Derive the moments of a hidden unit that switches like a Gaussian distribution, for Gaussian pre-activations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike

from .derivation import Derivation
from .notation import quantity
from .proofs import equation, premise, proof
from .registry import derivation
from .steps import Step

__all__ = ["bivariate_normal_cdf", "probit_width"]

_TINY = 1e-12
"""Bounds nearer to 0 are moved there, where Owen's arguments would be divided by 0; the value changes by as little."""

_LINES = (
    quantity("pre_activation", "z", "z", "1", "input of a hidden unit", real=True),
    quantity("pre_activation_mean", "m", "m", "1", "mean of the pre-activation", real=True),
    quantity("pre_activation_variance", "S", "S", "1", "variance of the pre-activation", positive=True),
    quantity("switch_width", "w", "w", "1", "width within which the unit switches", positive=True),
    quantity("unit_slope", "\\varphi'", "φ'", "1", "slope of the unit", positive=True),
    quantity("density", "p", "p", "1", "Gaussian density of the pre-activation"),
    quantity("mean_slope", "\\nu", "ν", "1", "mean slope", positive=True),
    quantity("mean_squared_slope", "\\nu_{2}", "ν_2", "1", "mean squared slope", positive=True),
    quantity("mean_activation", "a", "a", "1", "mean activation", positive=True),
    quantity("spread_gain", "a_{S}", "a_S", "1", "change of the mean activation with the variance", real=True),
)


@derivation("probit-unit")
def _probit_unit() -> Derivation:
    """Derive mean activation, mean slope and mean squared slope of a unit with Gaussian pre-activations."""
    z, m, variance, width, slope, density, mean_slope, squared, mean, gain = (line.symbol for line in _LINES)
    slope_at, density_at = sp.Function(slope.name), sp.Function(density.name)
    total = variance + width**2

    def normal(at: Any, spread: Any) -> Any:
        return sp.exp(-(at**2) / (2 * spread)) / sp.sqrt(2 * sp.pi * spread)

    def over_density(power: int) -> Any:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            # one Gaussian in z: its exponent is a quadratic, of which the square is completed
            logarithm = sp.expand(
                sp.expand_log(sp.log(earlier["slope"].rhs ** power * earlier["density"].rhs), force=True)
            )
            square, line, rest = sp.Poly(logarithm, z).all_coeffs()
            found = sp.exp(rest - line**2 / (4 * square)) * sp.sqrt(-sp.pi / square)
            same = sp.simplify(sp.expand_log(sp.log(found) - sp.log(expression.rhs), force=True))
            return (same, expression.lhs - (mean_slope, squared)[power - 1])

        return proof("slope times density, the square completed and the Gaussian integrated", residual)

    def whole(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (
            sp.simplify(sp.diff(expression.rhs, m) / earlier["mean-slope"].rhs - 1),
            sp.limit(expression.rhs.subs({variance: 1, width: 1}), m, -sp.oo),
            expression.lhs - mean,
        )

    def heat(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        activation = earlier["mean"].rhs
        return (
            sp.simplify(expression.rhs / sp.diff(activation, variance) - 1),
            sp.simplify(sp.diff(activation, variance) - sp.diff(activation, m, 2) / 2),
            expression.lhs - gain,
        )

    steps = (
        Step(
            "slope",
            "A unit that switches within a width w has the slope",
            equation(slope_at(z), normal(z, width**2)),
            premise(),
        ),
        Step(
            "density",
            "Its pre-activations have the density",
            equation(density_at(z), normal(z - m, variance)),
            premise(),
        ),
        Step("mean-slope", "The mean slope is", equation(mean_slope, normal(m, total)), over_density(1)),
        Step(
            "mean-squared-slope",
            "and the mean squared slope",
            equation(
                squared,
                sp.exp(-(m**2) / (width**2 + 2 * variance)) / (2 * sp.pi * width * sp.sqrt(width**2 + 2 * variance)),
            ),
            over_density(2),
        ),
        Step(
            "mean",
            "The mean activation grows with the mean pre-activation by the mean slope, from 0 on:",
            equation(mean, (1 + sp.erf(m / sp.sqrt(2 * total))) / 2),
            proof("its derivative is the mean slope, and its limit at minus infinity vanishes", whole),
        ),
        Step(
            "spread",
            "With the variance it changes by half its second derivative (Price's theorem):",
            equation(gain, -m * normal(m, total) / (2 * total)),
            proof("the mean differentiated once in the variance, and twice in the mean pre-activation", heat),
        ),
    )
    found = {step.key: step.expression for step in steps}
    return Derivation(
        name="probit-unit",
        title="A probit unit under Gaussian pre-activations: mean, slope and squared slope in closed form",
        assumptions=(
            "The unit is a Gaussian distribution function of its pre-activation; of such a width that it differs least "
            "from the sigmoid, it stands for one (`probit_width`).",
            "Pre-activations are Gaussian.",
        ),
        steps=steps,
        equation=found["mean"],
        results={
            "mean_activation": found["mean"].rhs,
            "mean_slope": found["mean-slope"].rhs,
            "mean_squared_slope": found["mean-squared-slope"].rhs,
            "spread_gain": found["spread"].rhs,
        },
        references=("price1958", "weightdecay"),
        quantities=_LINES,
    )


def probit_width() -> float:
    """Return the width of the Gaussian distribution function that differs least from the sigmoid.

    Returns
    -------
    float, dimensionless
        w of Phi(z / w).

    Notes
    -----
    Of all widths this one has the smallest largest difference |Phi(z/w) - 1/(1 + exp(-z))|, 0.0095. There the largest
    difference of either sign (for z > 0) is the same, which is what is solved.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> round(probit_width(), 4)
    1.7017
    """
    from scipy.optimize import brentq  # heavy, and needed here only
    from scipy.special import expit, ndtr

    def excess(width: float) -> float:
        z = np.linspace(0.0, 8.0, 8001)
        difference = ndtr(z / width) - expit(z)
        return float(difference.max() + difference.min())

    return float(brentq(excess, 1.5, 2.0, xtol=1e-12))


def bivariate_normal_cdf(first: ArrayLike, second: ArrayLike, correlation: ArrayLike) -> Any:
    """Return the probability that two correlated standard normal numbers are both below their bounds.

    Parameters
    ----------
    first, second : float or array_like, dimensionless
        Bounds.
    correlation : float or array_like, dimensionless
        Correlation of the two, above -1 and below 1.

    Returns
    -------
    float64 or ndarray of float64, dimensionless

    Notes
    -----
    By Owen's T function, Phi2 = (Phi(h) + Phi(k)) / 2 - T(h, a) - T(k, b) - [h k < 0] / 2 with a = (k - r h) / (h q),
    b = (h - r k) / (k q), q = sqrt(1 - r^2). The mean of the product of two probit units of width w is Phi2 at
    m_i / sqrt(S_ii + w^2) with correlation S_ij / sqrt((S_ii + w^2)(S_jj + w^2)); for one unit squared, i = j.

    References
    ----------
    Our own derivation of the probit units' moments; Owen's T is SciPy's.

    Examples
    --------
    >>> float(bivariate_normal_cdf(0.0, 0.0, 0.5).round(9)), round(1 / 3, 9)
    (0.333333333, 0.333333333)
    """
    from scipy.special import ndtr, owens_t  # heavy, and needed here only

    h, k = (np.where(np.abs(bound) < _TINY, _TINY, bound) for bound in (first, second))
    r = np.asarray(correlation)
    q = np.sqrt(1 - r * r)
    corners = owens_t(h, (k - r * h) / (h * q)) + owens_t(k, (h - r * k) / (k * q))
    return ((ndtr(h) + ndtr(k)) / 2 - corners - np.where(h * k < 0, 0.5, 0.0))[()]
