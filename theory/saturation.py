"""Derive how far a sigmoid hidden layer is pulled less than the output layer, when its pre-activations are Gaussian."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike

from .derivation import Derivation
from .notation import quantity
from .proofs import equation, premise, proof
from .registry import derivation, derive
from .steps import Step

__all__ = ["saturation_ratio"]


@derivation("sigmoid-saturation")
def _sigmoid_saturation() -> Derivation:
    """Derive kappa(s) = E[phi' + z phi''] / E[phi'] and its limit pi^2 / (3 s^2) for wide pre-activations."""
    place = quantity("pre_activation", "z", "z", "1", "input of a hidden sigmoid", real=True)
    spread = quantity("std", "s", "s", "1", "standard deviation of the pre-activations", positive=True)
    ratio = quantity(
        "saturation_ratio",
        "\\kappa",
        "κ",
        "1",
        "radial pull of the hidden layer over that of the output layer",
        real=True,
    )
    wide = quantity(
        "saturation_ratio_wide",
        "\\kappa_{\\infty}",
        "κ_∞",
        "1",
        "pull of the hidden over that of the output layer, for wide pre-activations",
        positive=True,
    )
    over = quantity(
        "pull_integrand", "k", "k", "1", "integrand of the numerator, over the density at 0", nonnegative=True
    )
    under = quantity(
        "slope_integrand", "k_{0}", "k_0", "1", "integrand of the denominator, over the density at 0", positive=True
    )
    term = quantity("order", "j", "j", "1", "order of a term", positive=True, integer=True)
    part = quantity("exponential", "x", "x", "1", "e^(−z)", positive=True)
    density = quantity("density", "p", "p", "1", "Gaussian density of the pre-activation")
    function = quantity("back_function", "h", "h", "1", "any smooth function of the pre-activation")
    activation = quantity("activation", "\\varphi", "φ", "1", "activation of the hidden layer")
    slope = quantity("activation_slope", "\\varphi'", "φ'", "1", "slope of the sigmoid")
    z, s, j, x = place.symbol, spread.symbol, term.symbol, part.symbol
    p, h, phi, slope_at = (sp.Function(line.name) for line in (density, function, activation, slope))
    gaussian = sp.exp(-(z**2) / (2 * s**2)) / (s * sp.sqrt(2 * sp.pi))
    sigmoid_slope = sp.exp(-z) / (1 + sp.exp(-z)) ** 2
    window = sp.exp(-(z**2) / (2 * s**2))

    def mean(inside: Any) -> Any:
        return sp.Integral(inside * p(z), (z, -sp.oo, sp.oo))

    def stein(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        moving = sp.diff(h(z) * earlier["density"].rhs, z)
        claimed = expression.rhs.subs(p(z), earlier["density"].rhs)
        return (sp.expand((moving - claimed) / earlier["density"].rhs), expression.lhs - sp.Derivative(h(z) * p(z), z))

    def by_parts(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        own = z * sp.diff(phi(z), z)
        exact = earlier["stein"].rhs.subs(h(z), own).doit() / p(z)
        (shifted,) = sp.fraction(expression.rhs)[0].atoms(sp.Integral)
        numerator = sp.fraction(earlier["ratio"].rhs)[0].function / p(z)
        rest = sp.expand(exact - numerator + shifted.function / p(z) / s**2)
        whole = expression.rhs * s**2 * sp.fraction(earlier["ratio"].rhs)[1] / shifted - 1
        return (rest, whole)

    def integrand(power: int) -> Any:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            integrals = sorted(earlier["by-parts"].rhs.atoms(sp.Integral), key=lambda one: one.function.has(z**2))
            inside = integrals[power // 2].function.subs(sp.Derivative(phi(z), z), earlier["slope"].rhs)
            full = inside.subs(p(z), earlier["density"].rhs) / earlier["density"].rhs.subs(z, 0) / s**power
            return (sp.simplify(full - expression.rhs),)

        return proof("integrand of the step before, over the density at 0, with the sigmoid's slope put in", residual)

    def geometric(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        in_x = earlier["slope"].rhs.subs(sp.exp(-z), x)
        term_of = expression.rhs.function
        orders = range(1, 9)
        series = sp.series(in_x, x, 0, 9).removeO()
        ratio_of_terms = sp.simplify(term_of.subs(j, j + 1) / term_of)
        return (
            expression.lhs - in_x,
            *(series.coeff(x, order) - term_of.subs(j, order) / x**order for order in orders),
            ratio_of_terms + x * (j + 1) / j,
        )

    def whole_slope(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        sigmoid = 1 / (1 + sp.exp(-z))
        rise = sp.limit(sigmoid, z, sp.oo) - sp.limit(sigmoid, z, -sp.oo)
        return (rise - expression.rhs, sp.diff(sigmoid, z) - earlier["slope"].rhs)

    def second_moment(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        each = sp.integrate(z**2 * earlier["series"].rhs.function.subs(x, sp.exp(-z)), (z, 0, sp.oo))
        return (2 * sp.summation(sp.simplify(each), (j, 1, sp.oo)) - expression.rhs,)

    def in_the_limit(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        seen = sp.limit(earlier["pull"].rhs * s**2 / z**2 / earlier["slope"].rhs, s, sp.oo)
        below = sp.limit(earlier["below"].rhs / earlier["slope"].rhs, s, sp.oo)
        claimed = earlier["second-moment"].rhs / (s**2 * earlier["zeroth-moment"].rhs)
        return (seen - 1, below - 1, expression.rhs - claimed)

    steps = (
        Step("density", "Gaussian pre-activations have the density", equation(p(z), gaussian), premise()),
        Step(
            "normalized",
            "which integrates to one.",
            equation(sp.Integral(p(z), (z, -sp.oo, sp.oo)), 1),
            proof(
                "the density put in and integrated",
                lambda expression, earlier: (
                    sp.integrate(earlier["density"].rhs, (z, -sp.oo, sp.oo)) - expression.rhs,
                ),
            ),
        ),
        Step(
            "stein",
            "For every function the density moves with its argument by (the integral over all is zero: Stein's lemma)",
            equation(sp.Derivative(h(z) * p(z), z), sp.Derivative(h(z), z) * p(z) - z * h(z) * p(z) / s**2),
            proof("product rule with the density put in", stein),
        ),
        Step(
            "ratio",
            "The hidden layer's pull is the mean of back-signal times z φ', the output layer's of back-signal times φ; "
            "with both jointly Gaussian, Stein's lemma turns them into means of derivatives.",
            equation(
                ratio.symbol,
                mean(sp.Derivative(phi(z), z) + z * sp.Derivative(phi(z), z, z)) / mean(sp.Derivative(phi(z), z)),
            ),
            premise(),
        ),
        Step(
            "by-parts",
            "Used once more, the lemma leaves only the slope, which lives near the threshold.",
            equation(ratio.symbol, mean(z**2 * sp.Derivative(phi(z), z)) / (s**2 * mean(sp.Derivative(phi(z), z)))),
            proof("Stein's lemma for z φ', compared under the integral", by_parts),
        ),
        Step(
            "slope",
            "The sigmoid has the slope",
            equation(slope_at(z), sigmoid_slope),
            proof(
                "derivative of 1 / (1 + exp(−z))",
                lambda expression, _earlier: (sp.diff(1 / (1 + sp.exp(-z)), z) - expression.rhs,),
            ),
        ),
        Step(
            "pull",
            "so the integrand above is",
            equation(over.symbol, z**2 * sigmoid_slope * window / s**2),
            integrand(2),
        ),
        Step("below", "and below", equation(under.symbol, sigmoid_slope * window), integrand(0)),
        Step(
            "series",
            "In powers of x = exp(−z) the slope is",
            equation(x / (1 + x) ** 2, sp.Sum(-((-1) ** j) * j * x**j, (j, 1, sp.oo))),
            proof(
                "the first eight coefficients, and the ratio of neighbouring terms of a squared geometric series",
                geometric,
            ),
        ),
        Step(
            "zeroth-moment",
            "The slope integrates to",
            equation(sp.Integral(slope_at(z), (z, -sp.oo, sp.oo)), 1),
            proof("the sigmoid at both ends", whole_slope),
        ),
        Step(
            "second-moment",
            "and its second moment is",
            equation(sp.Integral(z**2 * slope_at(z), (z, -sp.oo, sp.oo)), sp.pi**2 / 3),
            proof("twice the integral from 0, the series integrated and summed term by term", second_moment),
        ),
        Step(
            "wide",
            "For wide pre-activations the density is flat where the slope lives, and",
            equation(wide.symbol, sp.pi**2 / (3 * s**2)),
            proof(
                "both integrands go to the slope's moments, below an integrable bound (the slope itself)", in_the_limit
            ),
        ),
    )
    found = {step.key: step.expression for step in steps}
    return Derivation(
        name="sigmoid-saturation",
        title="Saturated sigmoids: how much less the hidden layer is pulled",
        assumptions=(
            "Pre-activations of a hidden unit are Gaussian over the data, and jointly Gaussian with the back-signal.",
            "The hidden layer has no share of its bias in the pull.",
            "A closure, not an identity: trained networks have two-humped pre-activations and a larger ratio.",
        ),
        steps=steps,
        equation=found["by-parts"],
        results={
            "saturation_ratio_wide": found["wide"].rhs,
            "pull_integrand": found["pull"].rhs,
            "slope_integrand": found["below"].rhs,
        },
        references=("weightdecay", "price1958"),
        quantities=(place, spread, ratio, wide, over, under, term, part, density, function, activation, slope),
    )


def saturation_ratio(std: ArrayLike) -> Any:
    """Return the pull of a sigmoid hidden layer over that of the output layer, for Gaussian pre-activations.

    Parameters
    ----------
    std : float or array_like, dimensionless
        Standard deviation of the pre-activations.

    Returns
    -------
    float64 or ndarray of float64, dimensionless

    Raises
    ------
    InvalidInput
        If a value is not a finite number above 0.

    Notes
    -----
    kappa(s) = E[z^2 phi'(z)] / (s^2 E[phi'(z)]) with z ~ N(0, s^2), from the derivation ``sigmoid-saturation``; both
    integrals by adaptive quadrature, since Gauss-Hermite rules miss the narrow slope of the sigmoid when s is large.

    References
    ----------
    Price (price1958) for means of products with Gaussian arguments; the closure is this package's own.

    Examples
    --------
    >>> [round(float(kappa), 4) for kappa in saturation_ratio([1.0, 6.7, 12.7])]
    [0.698, 0.0659, 0.0198]
    """
    from scipy.integrate import quad  # heavy, and needed here only

    closure = derive("sigmoid-saturation")
    closure.numeric(std=std)  # refuses what is no standard deviation

    def ratio(width: float) -> float:
        # both integrands fall like exp(-z) at least, so that nothing is left beyond 60
        def integral(name: str) -> float:
            def integrand(z: float) -> float:
                return float(closure.numeric(name, pre_activation=z, std=width))

            cut = (min(4.0, width),)
            return float(quad(integrand, 0, min(60.0, 40 * width), points=cut, epsrel=1e-10, epsabs=0, limit=200)[0])

        return integral("pull_integrand") / integral("slope_integrand")

    return np.vectorize(ratio, otypes=[np.float64])(std)[()]
