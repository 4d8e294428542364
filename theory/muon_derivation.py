"""Derive the equilibrium of Muon, and how much the polar factors of two correlated matrices overlap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp

from .derivation import Derivation
from .green_kubo import (
    CORRELATION_TIME,
    GREEN_KUBO,
    MANY_WEIGHTS,
    NORM_SQUARED_LEADING,
    UPDATE_POWER,
)
from .nonlinear_optimizers import N_COLUMNS, N_ROWS
from .notation import quantity, symbols_of
from .proofs import definition, equation, premise, proof
from .registry import by_derivation, derivation
from .steps import Step
from .validity import STABLE

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _angle = symbols_of("lr weight_decay angular_update")
_EPS = _lr * _weight_decay
_power, _time = UPDATE_POWER.symbol, CORRELATION_TIME.symbol


@derivation("optimizer-muon")
def _muon() -> Derivation:
    """Derive the equilibrium of Muon, and how much polar factors of large correlated square matrices overlap."""
    index = quantity("index", "j", "j", "1", "number of an odd polynomial, from 0", nonnegative=True, integer=True)
    coefficient = quantity(
        "coefficient", "s_{j}", "s_j", "1", "component of the polar factor along polynomial j", real=True
    )
    half = quantity("half_angle", r"\varphi", "φ", "rad", "half the angle that parametrizes the semicircle", real=True)
    rho = quantity("rho", r"\rho", "ρ", "1", "correlation of two matrices", real=True)
    overlap = quantity("overlap", "q", "q", "1", "overlap of their polar factors", real=True)
    slope = quantity("overlap_slope", "q'", "q'", "1", "slope of the overlap at ρ = 0", real=True)
    j, psi, ratio = index.symbol, half.symbol, rho.symbol
    term = quantity("overlap_term", "q_{j}", "q_j", "1", "term of the overlap of order 2j + 1", real=True)
    first, smaller = 6, sp.Min(N_ROWS.symbol, N_COLUMNS.symbol)
    closed = 4 * (-1) ** j * (2 * j + 2) / (sp.pi * (2 * j + 1) * (2 * j + 3))

    def at_points(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(
            sp.simplify(earlier["coefficient"].rhs.subs(j, number).doit() - expression.rhs.subs(j, number))
            for number in range(first)
        )

    def semicircle(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        (integral,) = expression.rhs.atoms(sp.Integral)
        density = 2 / sp.pi * sp.sin(2 * psi) ** 2 * 2  # of t = 4 cos(psi)^2, by d psi: twice that of phi = 2 psi
        chebyshev = sp.sin((j + 1) * 2 * psi) / sp.sin(2 * psi)
        wanted = density * chebyshev / (2 * sp.cos(psi))
        given = expression.rhs / integral * integral.function
        values = [(given - wanted).subs({j: number, psi: sp.Rational(number + 1, 7)}).evalf(30) for number in range(4)]
        return (
            *(sp.true if abs(value) < 1e-25 else sp.false for value in values),
            sp.true if integral.limits == (sp.Tuple(psi, 0, sp.pi / 2),) else sp.false,
        )

    steps = (
        Step(
            "coefficient",
            "The polar factor is the sign of the singular values. For large square matrices, t, their square over the "
            "side, weights odd polynomials with a semicircle, t = 2 + 2 cos(2φ), under which Chebyshev's U are "
            "orthogonal. The component of t^(−1/2) along them is",
            equation(
                coefficient.symbol,
                4 / sp.pi * sp.Integral(sp.sin((2 * j + 2) * psi) * sp.sin(psi), (psi, 0, sp.pi / 2)),
            ),
            proof("the mean of U over 2 cos(φ) under the semicircle, at four points of the integrand", semicircle),
        ),
        Step(
            "closed",
            "which is",
            equation(coefficient.symbol, closed),
            proof(f"the integral, exactly, for j from 0 to {first - 1}", at_points),
        ),
        Step(
            "term",
            "The polynomials of two matrices of correlation ρ have the correlation ρ^(2j+1), so that the overlap has "
            "the terms",
            equation(term.symbol, coefficient.symbol**2 * ratio ** (2 * j + 1)),
            definition(),
        ),
        Step(
            "overlap",
            "and is their sum.",
            equation(overlap.symbol, sp.Sum(closed**2 * ratio ** (2 * j + 1), (j, 0, sp.oo))),
            proof(
                "each term with the closed coefficient; at ρ = 1 their sum is 1",
                lambda expression, earlier: (
                    sp.simplify(
                        expression.rhs.function - earlier["term"].rhs.subs(earlier["closed"].lhs, earlier["closed"].rhs)
                    ),
                    _adds_up(expression.rhs, ratio, j),
                ),
            ),
        ),
        Step(
            "slope",
            "Its slope at ρ = 0 is the first coefficient squared,",
            equation(slope.symbol, (sp.Integer(8) / (3 * sp.pi)) ** 2),
            proof(
                "the derivative of the first term",
                lambda expression, earlier: (
                    expression.rhs - sp.diff(earlier["overlap"].rhs.function.subs(j, 0), ratio).subs(ratio, 0),
                ),
            ),
        ),
        Step(
            "power",
            "A polar factor has as many singular values of 1 as the smaller side.",
            equation(_power, smaller),
            premise(),
        ),
        Step(
            "size-leading",
            "Green and Kubo's relation then gives to leading order the squared norm",
            equation(NORM_SQUARED_LEADING.symbol, _lr * smaller * _time / (2 * _weight_decay)),
            by_derivation("green-kubo", "norm_squared_leading", "power"),
        ),
        Step(
            "angle",
            "and the angle, with the autocorrelation time τ_u = 1 + 2 Σ q(μ^k).",
            equation(_angle, sp.sqrt(2 * _EPS / _time)),
            by_derivation("green-kubo", "angular_update"),
        ),
    )
    found = {step.key: step.expression for step in steps}
    return Derivation(
        name="optimizer-muon",
        title="Equilibrium of Muon with decoupled decay on random gradients",
        assumptions=(
            "Gradients are Gaussian white noise, with the same standard deviation in every weight of the matrix.",
            "The polar factor is exact.",
            "For the overlap: the matrix is square and large, so that singular values have their limiting law, under "
            "which odd polynomials that are orthogonal keep their correlation to its own power.",
            MANY_WEIGHTS,
        ),
        steps=steps,
        equation=found["overlap"],
        results={
            "norm_squared_leading": found["size-leading"].rhs,
            "angular_update": found["angle"].rhs,
            "overlap_slope": found["slope"].rhs,
            "coefficient": found["closed"].rhs,
        },
        conditions=(STABLE,),
        references=("jordan2024muon", "ginibre1965", "edelman1989"),
        quantities=(
            *GREEN_KUBO,
            *(NORM_SQUARED_LEADING, index, coefficient, half, rho, overlap, slope, term, N_ROWS, N_COLUMNS),
        ),
    )


def _adds_up(total: Any, ratio: Any, index: Any) -> Any:
    """Return true if the sum is 1 at correlation 1: its first terms and a bound on the rest say so."""
    if total.limits != (sp.Tuple(index, 0, sp.oo),):
        return sp.false
    terms = sp.lambdify(index, total.function.subs(ratio, 1))(np.arange(200000))
    return sp.true if abs(np.sum(terms) - 1.0) < 1e-5 else sp.false
