"""Derive how much smaller than a polar factor the update of Muon is that five Newton-Schulz steps make."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike, NDArray
from sympy.utilities.lambdify import implemented_function

from .derivation import Derivation
from .nonlinear_optimizers import N_ROWS
from .notation import quantity
from .proofs import equation, premise, proof
from .registry import derivation
from .steps import Step

__all__ = ["newton_schulz_power"]

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5
_NODES = 4000


def newton_schulz_power(n_rows: ArrayLike) -> NDArray[np.float64]:
    """Return E||u||^2 over the side of a large square matrix, after five Newton-Schulz steps from a Gaussian matrix.

    Parameters
    ----------
    n_rows : array_like
        Side of the matrix.

    Returns
    -------
    ndarray of float64
        1 would be a polar factor's.

    Notes
    -----
    The mean of y_5^2 with y_0 = x / sqrt(n_rows), y' = a y + b y^3 + c y^5, and x^2 = 4 cos(phi)^2 under the semicircle
    of large square Gaussian matrices, by the quadrature that is Gauss's for that law.

    References
    ----------
    jordan2024muon for the coefficients; the mean is our own derivation.

    Examples
    --------
    >>> newton_schulz_power([64, 128]).round(4)
    array([0.7667, 0.7866])
    """
    angle = np.arange(1, _NODES + 1) * np.pi / (_NODES + 1)
    weight = 2.0 / (_NODES + 1) * np.sin(angle) ** 2
    size = 2.0 * np.cos(angle) / np.sqrt(np.asarray(n_rows, dtype=np.float64))[..., None]
    a, b, c = _COEFFICIENTS
    for _ in range(_STEPS):
        size = size * (a + size**2 * (b + c * size**2))
    return np.asarray(size**2 @ weight)


_function = implemented_function("newton_schulz_mean", newton_schulz_power)


@derivation("newton-schulz-power")
def _newton_schulz_power() -> Derivation:
    """Derive the power of Muon's update after one Newton-Schulz step exactly, and after five by quadrature."""
    value = quantity("singular_value", "y", "y", "1", "singular value over the Frobenius norm", real=True)
    after = quantity(
        "singular_value_next", "y'", "y'", "1", "singular value over the Frobenius norm, after a step", real=True
    )
    scaled = quantity("scaled_value", "x", "x", "1", "singular value over the root of the side", real=True)
    first = quantity("first_power", "p_{1}", "p_1", "1", "mean square of the singular values after one step")
    fifth = quantity("power_over_side", "p_{5}", "p_5", "1", "mean square after five steps, 1 for a polar factor")
    mean = quantity(
        "newton_schulz_mean",
        r"\mathrm{NS}",
        "NS",
        "1",
        "mean square of the singular values after five steps, as a function of the side",
    )
    y, x, n = value.symbol, scaled.symbol, N_ROWS.symbol
    a, b, c = (sp.Rational(str(part)) for part in _COEFFICIENTS)
    square = (a**2, 2 * a * b, b**2 + 2 * a * c, 2 * b * c, c**2)

    def of_moments(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        """Integrate the square of one step over the semicircle, power by power."""
        polynomial = earlier["step"].rhs.subs(y, earlier["start"].rhs)
        total = sp.S.Zero
        z = sp.Symbol("z")  # exp(i phi), whose powers but the 0th have mean 0 over the circle
        twice_cosine = z + 1 / z
        density = 2 - twice_cosine**2 / 2  # 2 sin^2 phi, over the uniform law of phi
        for (power,), part in sp.Poly(sp.expand(polynomial**2), x).terms():
            total += part * sp.expand(twice_cosine**power * density).coeff(z, 0)
        at_a_positive = earlier["start"].rhs.subs(x, sp.Dummy("x", positive=True))  # singular values have no sign
        return (sp.expand(expression.rhs - total), sp.true if at_a_positive.is_positive else sp.false)

    def by_quadrature(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        """Compose the premise's own step five times and integrate adaptively."""
        from scipy.integrate import quad  # here, since it takes long to import

        step = sp.lambdify(y, earlier["step"].rhs)
        start = sp.lambdify((x, n), earlier["start"].rhs)
        told = sp.lambdify(n, expression.rhs)

        def at(angle: float, side: int) -> float:
            size = start(2.0 * math.cos(angle), side)
            for _ in range(_STEPS):
                size = step(size)
            return float(2.0 / math.pi * math.sin(angle) ** 2 * size**2)

        sides = (8, 40)
        wanted = [2.0 * quad(at, 0.0, math.pi / 2, args=(side,), limit=400)[0] for side in sides]
        return tuple(
            sp.true if abs(told(side) - true) < 1e-7 else sp.false for side, true in zip(sides, wanted, strict=True)
        )

    steps = (
        Step(
            "step",
            "A Newton-Schulz step of Muon takes each singular value, of a matrix divided by its Frobenius norm, to",
            equation(after.symbol, a * y + b * y**3 + c * y**5),
            premise(),
        ),
        Step(
            "start",
            "The Frobenius norm of a large square Gaussian matrix of unit entries is its side, and its singular values "
            "are x times the root of the side, so that the first step begins from",
            equation(y, x / sp.sqrt(n)),
            premise(),
        ),
        Step(
            "first",
            "With x = 2 cos φ, whose law is the semicircle, one step leaves the mean square",
            equation(
                first.symbol,
                sp.Add(*(sp.catalan(k + 1) * part / n ** (k + 1) for k, part in enumerate(square))),
            ),
            proof(
                "the square integrated over the semicircle, power by power; what starts is positive for positive x",
                of_moments,
            ),
        ),
        Step(
            "fifth",
            "and five steps the mean",
            equation(fifth.symbol, _function(n)),
            proof("the step composed five times, integrated adaptively for two sides: agrees to 1e-7", by_quadrature),
        ),
    )
    return Derivation(
        name="newton-schulz-power",
        title="The size of Muon's update after five Newton-Schulz steps",
        assumptions=(
            "The momentum is a large square matrix of independent Gaussian entries, so that its singular values have "
            "their limiting law and its Frobenius norm is sharp.",
            "Arithmetic is exact; the small constant beside the Frobenius norm is negligible.",
        ),
        steps=steps,
        equation=steps[3].expression,
        results={"power_over_side": steps[3].expression.rhs, "first_power": steps[2].expression.rhs},
        references=("jordan2024muon", "ginibre1965"),
        quantities=(value, after, scaled, first, fifth, mean, N_ROWS),
    )
