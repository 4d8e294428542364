"""Derive the stationary density of a stochastic equation in one dimension, from Fokker and Planck's equation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .notation import quantity
from .proofs import definition, equation, premise, proof
from .registry import derivation, derive
from .steps import Step

__all__ = ["flux_of"]

_LINES = (
    quantity("state", "x", "x", "any", "what the stochastic equation moves", real=True),
    quantity("drift", "b", "b", "state / time", "drift b of dx = b dt + s dB", real=True),
    quantity("diffusion", "s", "s", "state / √time", "diffusion s of dx = b dt + s dB", positive=True),
    quantity("diffusion_slope", "s'", "s'", "1 / √time", "derivative of the diffusion in the state", real=True),
    quantity("density", "p", "p", "1 / state", "stationary probability density", positive=True),
    quantity("flux", "J", "J", "1 / time", "probability that passes a point per time", real=True),
    quantity("log_slope", "(\\log p)'", "(log p)'", "1 / state", "slope of the logarithm of the density", real=True),
    quantity("lower", "x_{0}", "x_0", "any", "where the integral begins", real=True),
    quantity("y", "y", "y", "any", "integration variable", real=True),
)
_BY_NAME = {line.name: line.symbol for line in _LINES}
_drift, _diffusion = _BY_NAME["drift"], _BY_NAME["diffusion"]


def flux_of(density: Any, drift: Any, diffusion: Any, state: Any) -> Any:
    """Return the flux of probability of dx = b dt + s dB, for a given density, drift and diffusion.

    Parameters
    ----------
    density, drift, diffusion : sympy.Expr
        p, b and s as functions of the state.
    state : sympy.Symbol
        Their variable.

    Returns
    -------
    sympy.Expr, per time

    Notes
    -----
    J = b p - (s^2 p)' / 2, read from the derivation ``fokker-planck-stationary``. A stationary density without flux
    through the ends has J = 0 everywhere.

    References
    ----------
    risken1989

    Examples
    --------
    >>> x = sp.Symbol("x", real=True)
    >>> sp.simplify(flux_of(sp.exp(-(x**2)), -x, sp.S.One, x))  # Ornstein and Uhlenbeck's process at rest
    0
    """
    general = derive("fokker-planck-stationary").step("flux").expression.rhs
    x = _BY_NAME["state"]
    functions = {"drift": drift, "diffusion": diffusion, "density": density}
    for name, given in functions.items():
        general = general.replace(sp.Function(name), lambda argument, given=given: given.subs(state, argument))
    return general.doit().subs(x, state)


@derivation("fokker-planck-stationary")
def _fokker_planck_stationary() -> Derivation:
    """Derive the stationary density (2 / s^2) exp(integral of 2 b / s^2) of dx = b dt + s dB."""
    x, lower, place, slope = (_BY_NAME[name] for name in ("state", "lower", "y", "diffusion_slope"))
    b, s, p, flux = (sp.Function(name) for name in ("drift", "diffusion", "density", "flux"))
    exponent = sp.Integral(2 * b(place) / s(place) ** 2, (place, lower, x))

    def divergence(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        change = earlier["fokker-planck"].rhs + sp.diff(earlier["flux"].rhs, x)
        return (change.doit().expand(), expression.rhs + sp.diff(flux(x), x))

    def no_flux(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        put_in = earlier["flux"].rhs.subs(p(x), expression.rhs).doit(integrals=False)
        weight = sp.exp(exponent)
        return (sp.expand(put_in / weight), expression.lhs - p(x), (expression.rhs / weight).subs(s(x), 1) - 2)

    def logarithm(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        density = earlier["density"].rhs
        ratio = sp.expand(sp.diff(density, x).doit(integrals=False) / density)
        named = ratio.subs(sp.diff(s(x), x), slope).subs({b(x): _drift, s(x): _diffusion})
        return (sp.cancel(named - expression.rhs), expression.lhs - _BY_NAME["log_slope"])

    steps = (
        Step(
            "fokker-planck",
            "The density of dx = b dt + s dB (in Itô's sense) changes by Fokker and Planck's equation,",
            equation(
                sp.Function("rate")(x), -sp.Derivative(b(x) * p(x), x) + sp.Derivative(s(x) ** 2 * p(x), (x, 2)) / 2
            ),
            premise(),
        ),
        Step(
            "flux",
            "With the flux",
            equation(flux(x), b(x) * p(x) - sp.Derivative(s(x) ** 2 * p(x), x) / 2),
            definition(),
        ),
        Step(
            "divergence",
            "it is",
            equation(sp.Function("rate")(x), -sp.Derivative(flux(x), x)),
            proof("the flux differentiated: the sum with Fokker and Planck's right side is zero", divergence),
        ),
        Step(
            "density",
            "and at rest with reflecting ends, up to normalization, the density is",
            equation(p(x), 2 / s(x) ** 2 * sp.exp(exponent)),
            proof("put into the flux, which vanishes everywhere", no_flux),
        ),
        Step(
            "log-slope",
            "The slope of its logarithm needs no integral:",
            equation(_BY_NAME["log_slope"], 2 * (_drift - _diffusion * slope) / _diffusion**2),
            proof("logarithmic derivative of the density", logarithm),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="fokker-planck-stationary",
        title="The stationary density of a stochastic equation in one dimension",
        assumptions=(
            "One dimension, drift and diffusion that do not depend on time, diffusion above 0 inside.",
            "No probability passes the ends, and the density can be normalized.",
        ),
        steps=steps,
        equation=found["density"],
        results={"log_slope": found["log-slope"].rhs},
        references=("risken1989", "uhlenbeck1930", "kloeden1992"),
        quantities=(
            *_LINES,
            quantity("rate", "\\partial_t p", "dp/dt", "1 / state / time", "rate of the density", real=True),
        ),
    )
