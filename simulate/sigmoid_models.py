"""Pose a hidden and an output layer with sigmoid units that saturate between them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InvalidInput, check_count, check_nonnegative, check_positive
from ..theory import derive
from .derived import compiled
from .problem import FloatArray, Problem, check_array, check_initial_state

__all__ = ["saturating_sigmoid_pair", "sigmoid_pull_ratio"]


def saturating_sigmoid_pair(
    *,
    norms_squared_start: ArrayLike,
    radial_pull: float,
    weight_decay: float,
    n_units: int,
    input_power: float,
    time: float,
) -> Problem:
    """Pose the squared norms of hidden and output layer where a sigmoid between them saturates.

    Parameters
    ----------
    norms_squared_start : (2,) or (n_paths, 2) array_like, weight^2
        Squared norm of the hidden and of the output layer.
    radial_pull : float, loss
        Pull on the output layer, constant.
    weight_decay : float
        Decay coefficient.
    n_units : int
        Hidden units that share the hidden layer's squared norm.
    input_power : float
        Variance of a pre-activation per squared norm of its unit's weights.
    time : float
        Time to integrate over, in learning rate times steps.

    Returns
    -------
    Problem

    Raises
    ------
    InvalidInput
        If a value is outside its range, or there are not two norms.

    Notes
    -----
    Both follow the derivation "norm-flow" without noise, the output layer under the pull P and the hidden layer
    under kappa(s) P, where s^2 = input_power R_hidden / n_units and kappa is `sigmoid_pull_ratio`. That ratio
    assumes Gaussian pre-activations, which real networks do not have: their hidden layer is pulled several times
    harder than this says.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> pair = saturating_sigmoid_pair(
    ...     norms_squared_start=[900.0, 10.0], radial_pull=0.1, weight_decay=1e-4, n_units=30, input_power=1.0, time=1e4
    ... )
    >>> pair.drift(0.0, pair.rows()).round(3)
    array([[-0.161,  0.198]])
    """
    pull, decay = check_nonnegative("radial_pull", radial_pull), check_nonnegative("weight_decay", weight_decay)
    per_norm = check_positive("input_power", input_power) / check_count("n_units", n_units)
    start = check_initial_state(norms_squared_start, positive=True, name="norms_squared_start")
    if start.shape[-1] != 2:
        raise InvalidInput(
            f"norms_squared_start has shape {start.shape}, but must have shape (2,) or (n_paths, 2): "
            "hidden and output layer"
        )
    rate = compiled(derive("norm-flow"), "rate")

    def drift(_t: float, y: FloatArray) -> FloatArray:
        ratio = sigmoid_pull_ratio(np.sqrt(per_norm * y[:, 0]))
        pulls = pull * np.stack([ratio, np.ones_like(ratio)], axis=1)
        return np.asarray(rate(norm_squared=y, radial_pull=pulls, weight_decay=decay, lr=0.0, gradient_power=0.0))

    return Problem(drift, y0=start, t_span=(0.0, check_positive("time", time)), positive=True)


def sigmoid_pull_ratio(spread: ArrayLike) -> Any:
    """Return hidden over output pull of sigmoid units with Gaussian pre-activations.

    Parameters
    ----------
    spread : float or array_like
        Standard deviation of the pre-activations, 0 or above.

    Returns
    -------
    float64 or ndarray
        kappa = E[phi' + z phi''] / E[phi'], z Gaussian with that spread: 1 where nothing saturates, about
        pi^2 / (3 spread^2) where everything does.

    Raises
    ------
    InvalidInput
        If a spread is negative or no number.

    Notes
    -----
    The two integrals of the derivation "sigmoid-saturation", by adaptive quadrature at 121 spreads between 1/100 and
    1000 and interpolated; beyond these, continued by its limits: 1 minus a multiple of spread^2, a multiple of
    1 / spread^2.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> round(float(sigmoid_pull_ratio(12.0)), 4)
    0.0221
    """
    s = check_array("spread", spread, "numbers of at least 0", finite=False)
    if np.any(~(s >= 0)):
        raise InvalidInput(f"spread contains {s[~(s >= 0)].flat[0]}, but must be 0 or above")
    low, high = 1e-2, 1e3
    inside = np.exp(_log_pull_ratio()(np.log(np.clip(s, low, high))))
    below = 1.0 - (1.0 - inside) * (s / low) ** 2
    above = inside * (high / np.maximum(s, high)) ** 2
    return np.where(s < low, below, above)[()]


@lru_cache(maxsize=1)
def _log_pull_ratio() -> Callable[[FloatArray], FloatArray]:
    from scipy.integrate import quad  # here, since it takes long to import
    from scipy.interpolate import CubicSpline

    saturation = derive("sigmoid-saturation")
    pull, slope = (compiled(saturation, f"{name}_integrand") for name in ("pull", "slope"))

    def ratio(s: float) -> float:
        reach = min(12.0 * s, 45.0)  # beyond, the Gaussian or the slope is below 1e-19 of its largest value

        def half(integrand: Callable[..., Any]) -> float:
            def at(z: float) -> float:
                return float(integrand(pre_activation=z, std=s))

            return float(quad(at, 0.0, reach, epsabs=0.0, epsrel=1e-11, limit=200)[0])

        return half(pull) / half(slope)

    logs = np.linspace(math.log(1e-2), math.log(1e3), 121)
    return CubicSpline(logs, [math.log(ratio(math.exp(s))) for s in logs])
