"""Take one step of a stochastic differential equation: Euler-Maruyama, Milstein, and a Runge-Kutta method.

Each function moves y in place from t to t + h, given the Brownian increment dW (and dZ, its integral over the step).
It may overwrite dW and dZ, but not what a coefficient returned: that may be the caller's own array, or y itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from .coefficients import Affine, Power
from .problem import FloatArray, Problem

__all__ = ["SCHEMES", "Coefficients", "Scheme"]


class Coefficients:
    """Drift and diffusion of a problem, evaluated where the scheme may look, with scratch space for one block."""

    def __init__(self, problem: Problem, shape: tuple[int, ...]) -> None:
        self.problem = problem
        self.pair = problem.drift, problem.diffusion
        self.last = math.inf  # the latest time that belongs to the piece in which the step lies
        self.unit = 1.0  # what Euler's dW still has to be multiplied by
        self.scratch = np.empty(shape)
        self._clipped = np.empty(shape) if problem.positive else None

    def drift(self, t: float, y: FloatArray) -> Any:
        """Return the drift, kept on this side of the next break."""
        return self.problem.drift(min(t, self.last), self._seen(y))

    def diffusion(self, t: float, y: FloatArray) -> Any:
        """Return the diffusion, kept on this side of the next break."""
        if self.problem.diffusion is None:
            return 0.0
        return self.problem.diffusion(min(t, self.last), self._seen(y))

    def _seen(self, y: FloatArray) -> FloatArray:
        if self._clipped is None:
            return y
        return np.maximum(y, 0.0, out=self._clipped)


def euler(f: Coefficients, t: float, h: float, y: FloatArray, dW: FloatArray, dZ: FloatArray | None) -> None:
    """Take a step of Euler-Maruyama: y + a h + b dW, in as few passes over memory as the coefficients allow."""
    del dZ
    seen, move, (drift, diffusion) = f._seen(y), f.scratch, f.pair
    if type(diffusion) is Power:
        if diffusion.exponent != 0:
            shape = np.sqrt(seen, out=move) if diffusion.exponent == 0.5 else seen
            np.multiply(dW, shape, out=dW)
        np.multiply(dW, diffusion.scale * f.unit, out=dW)
    else:
        b = diffusion(t, seen)  # type: ignore[misc]  # the engine admits only problems with diffusion
        if np.ndim(b) == 3:
            dW = f.unit * np.einsum("pdn,pn->pd", b, dW)
        elif np.ndim(b) == 0:
            np.multiply(dW, b * f.unit, out=dW)
        else:
            np.multiply(b, dW, out=dW)
            if f.unit != 1.0:
                np.multiply(dW, f.unit, out=dW)
    if type(drift) is Affine:
        np.multiply(seen, drift.slope * h, out=move)
        if drift.intercept != 0.0:
            np.add(move, drift.intercept * h, out=move)
    else:
        np.multiply(drift(t, seen), h, out=move)
    np.add(move, dW, out=move)
    np.add(y, move, out=y)  # last, since a coefficient may have returned y itself


def milstein(f: Coefficients, t: float, h: float, y: FloatArray, dW: FloatArray, dZ: FloatArray | None) -> None:
    """Take a step of Milstein: Euler-Maruyama plus b b' (dW^2 - h) / 2, the last factor exact or a difference."""
    del dZ
    seen = f._seen(y)
    a = f.problem.drift(t, seen)
    b = f.problem.diffusion(t, seen)  # type: ignore[misc]  # the engine admits only problems with diffusion
    derivative = f.problem.diffusion_derivative
    if derivative is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = b * derivative(t, seen)
        if f.problem.positive:
            slope = np.where(seen > 0, slope, 0.0)  # a square root's slope is infinite where its diffusion vanishes
        change = 0.5 * slope
    else:
        a, b = np.array(a), np.array(np.broadcast_to(b, y.shape))  # the probe overwrites the state they may be
        root = math.sqrt(h)
        probe = y + (a * h + b * root)
        change = (f.diffusion(t, probe) - b) / (2.0 * root)
    np.add(y, a * h + b * dW + change * (dW * dW - h), out=y)


def srk15(f: Coefficients, t: float, h: float, y: FloatArray, dW: FloatArray, dZ: FloatArray | None) -> None:
    """Take a step of Rößler's SRI1W1, strong order 1.5 for scalar or diagonal noise; notation as in rossler2010.

    Its tableau has c0 = (0, 3/4, 0, 0), c1 = (0, 1/4, 1, 1/4), and the drift's stages 3 and 4 equal stage 1.
    """
    root = math.sqrt(h)
    I10 = np.asarray(dZ) / h
    drift, diffusion = _of_state(f, y.shape)
    a1 = drift(t, y)
    b1 = diffusion(t, y)
    a2 = drift(t + 0.75 * h, y + 0.75 * h * a1 + 1.5 * b1 * I10)
    b2 = diffusion(t + 0.25 * h, y + 0.25 * h * a1 + 0.5 * root * b1)
    b3 = diffusion(t + h, y + h * a1 - root * b1)
    b4 = diffusion(t + 0.25 * h, y + 0.25 * h * a1 + root * (3.0 * b2 - 5.0 * b1 + 0.5 * b3))
    I11 = (dW * dW - h) / (2.0 * root)
    I111 = (dW * dW - 3.0 * h) * dW / (6.0 * h)
    y += h * (a1 + 2.0 * a2) / 3.0
    y += dW * (-b1 + (4.0 * b2 + 2.0 * b3) / 3.0)
    y += I11 * (-b1 + (4.0 * b2 - b3) / 3.0)
    y += I10 * (2.0 * b1 - (4.0 * b2 + 2.0 * b3) / 3.0)
    y += I111 * (-2.0 * b1 + (5.0 * b2 - 2.0 * b3) / 3.0 + b4)


def _of_state(f: Coefficients, shape: tuple[int, ...]) -> tuple[Callable[..., FloatArray], Callable[..., FloatArray]]:
    """Return drift and diffusion of the full shape; a single Brownian motion for all components has the shape too."""

    def drift(t: float, y: FloatArray) -> FloatArray:
        return np.array(np.broadcast_to(f.drift(t, y), shape))

    def diffusion(t: float, y: FloatArray) -> FloatArray:
        b = np.asarray(f.diffusion(t, y))
        return np.array(np.broadcast_to(b[:, :, 0] if b.ndim == 3 else b, shape))

    return drift, diffusion


@dataclass(frozen=True)
class Scheme:
    """Hold one method with the orders that it claims.

    Parameters
    ----------
    step : callable
        Takes one step in place.
    strong_order : mapping
        Strong order for "additive" noise (diffusion does not depend on the state), "diagonal" noise, "scalar" noise
        (one Brownian motion for all components) and "general" noise; a kind that the method cannot take is missing.
    weak_order : float
        Weak order.
    needs_dZ : bool
        Whether it uses the time integral of the Brownian motion.
    takes_unit : bool
        Whether it multiplies dW by ``Coefficients.unit`` itself, which saves a pass over memory.
    amplification : callable
        Factor by which its deterministic part multiplies the state of dy = r y dt in a step h, as a function of r h.
    """

    step: Callable[[Coefficients, float, float, FloatArray, FloatArray, FloatArray | None], None]
    strong_order: Mapping[str, float]
    weak_order: float
    needs_dZ: bool  # noqa: N815  # mathematics keeps its letters
    takes_unit: bool
    amplification: Callable[[complex], complex]


SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        "euler": Scheme(
            euler,
            {"additive": 1.0, "diagonal": 0.5, "general": 0.5},
            1.0,
            needs_dZ=False,
            takes_unit=True,
            amplification=lambda z: 1 + z,
        ),
        "milstein": Scheme(
            milstein,
            {"additive": 1.0, "diagonal": 1.0},
            1.0,
            needs_dZ=False,
            takes_unit=False,
            amplification=lambda z: 1 + z,
        ),
        "srk15": Scheme(
            srk15,
            {"additive": 1.5, "diagonal": 1.5, "scalar": 1.5},
            2.0,
            needs_dZ=True,
            takes_unit=False,
            amplification=lambda z: 1 + z + z * z / 2,
        ),
    }
)
"""Methods for stochastic equations by name."""
