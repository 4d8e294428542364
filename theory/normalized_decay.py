"""Evaluate how weights settle when decay goes into a gradient that is then normalized: Adam and sign descent with L2.

Per weight, with gradients of standard deviation sigma, everything depends on s = lr * weight_decay / sigma.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .adam_covariance import adam_drift, adam_update_power, second_moment_correction

__all__ = ["adam_root", "adam_size", "adam_turn", "sign_root", "sign_size"]

FloatArray = NDArray[np.float64]
_NEWTON_STEPS = 40
_SMALL = 1e-5  # below it the series of sign_size is exact to its square


def adam_size(s: ArrayLike, beta1: ArrayLike, beta2: ArrayLike) -> FloatArray:
    """Return (weight_decay / sigma)^2 E w^2 of Adam with L2.

    Parameters
    ----------
    s : array_like, dimensionless
        lr * weight_decay over the standard deviation sigma of the weight's gradient, above 0.
    beta1, beta2 : array_like, dimensionless
        Adam's coefficients; all broadcast.

    Returns
    -------
    ndarray of float64, dimensionless

    Notes
    -----
    With a second moment that has averaged out, Adam is a filter with learning rate
    lr / sqrt(sigma^2 + weight_decay^2 E w^2); the exact equilibrium of that filter gives a cubic for the size y,

        2 (1 + beta1) y sqrt(1 + y) = s (1 + beta1 + (1 - beta1) y).

    The fluctuation of the second moment multiplies it by `second_moment_correction` / `adam_drift`, to leading order
    in s. Gradients are Gaussian white noise.

    References
    ----------
    Our own derivation, ``optimizer-adam-coupled``.

    Examples
    --------
    >>> float(adam_size(0.1, 0.9, 0.999).round(5))
    0.04893
    """
    s, beta1, beta2 = np.broadcast_arrays(*(np.asarray(part, float) for part in (s, beta1, beta2)))
    return np.asarray(_spread(beta1, beta2) * _size_of(s, beta1))


def adam_turn(s: ArrayLike, beta1: ArrayLike, beta2: ArrayLike) -> FloatArray:
    """Return one minus the cosine between consecutive weights, of Adam with L2.

    Parameters
    ----------
    s : array_like, dimensionless
        lr * weight_decay over the standard deviation sigma of the weight's gradient, above 0.
    beta1, beta2 : array_like, dimensionless
        Adam's coefficients; all broadcast.

    Returns
    -------
    ndarray of float64, dimensionless

    Notes
    -----
    The power of an update over twice the size, with y as in `adam_size`: E u^2 / spread * s / sqrt(1 + y), for many
    weights with the same Gaussian gradients.

    References
    ----------
    Our own derivation, ``optimizer-adam-coupled``.

    Examples
    --------
    >>> round(float(adam_turn(0.1, 0.9, 0.999)), 3)
    0.005
    """
    s, beta1, beta2 = np.broadcast_arrays(*(np.asarray(part, float) for part in (s, beta1, beta2)))
    y = _size_of(s, beta1)
    return np.asarray(adam_update_power(beta1, beta2) / _spread(beta1, beta2) * s / np.sqrt(1.0 + y))


def adam_root(x: ArrayLike, beta1: ArrayLike, beta2: ArrayLike) -> FloatArray:
    """Return the s with s^4 = x adam_size(s), for scale-invariant weights.

    Parameters
    ----------
    x : array_like, dimensionless
        s^4 over the size at which the weights rest; above 0.
    beta1, beta2 : array_like, dimensionless
        Adam's coefficients; all broadcast.

    Returns
    -------
    ndarray of float64, dimensionless

    Notes
    -----
    Gradients of standard deviation sigma = sigma_1 / norm make s depend on the size that it sets; Newton's method on
    the logarithm of y, the size without fluctuation, from its leading order.

    References
    ----------
    Our own derivation, ``optimizer-adam-coupled``.

    Examples
    --------
    >>> s = adam_root(0.01, 0.9, 0.999)
    >>> bool(np.isclose(s**4, 0.01 * adam_size(s, 0.9, 0.999))), round(float(s), 3)
    (True, 0.169)
    """
    x, beta1, beta2 = np.broadcast_arrays(*(np.asarray(part, float) for part in (x, beta1, beta2)))
    target = x * _spread(beta1, beta2)
    log_y = np.log(target / 2.0) / 3.0 - np.log(2.0)
    for _ in range(_NEWTON_STEPS):
        s, slope = _inverse(np.exp(log_y), beta1)
        log_y = log_y - (4.0 * np.log(s) - log_y - np.log(target)) / (4.0 * slope - 1.0)
    return np.asarray(_inverse(np.exp(log_y), beta1)[0])


def _spread(beta1: FloatArray, beta2: FloatArray) -> FloatArray:
    return np.asarray(second_moment_correction(beta1, beta2) / adam_drift(beta1, beta2))


def _size_of(s: FloatArray, beta1: FloatArray) -> FloatArray:
    log_s = np.log(s)
    log_y = log_s - np.log(2.0)
    for _ in range(_NEWTON_STEPS):
        at, slope = _inverse(np.exp(log_y), beta1)
        log_y = log_y - (np.log(at) - log_s) / slope
    return np.asarray(np.exp(log_y))


def _inverse(y: FloatArray, beta1: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the s of a size y, and the slope of its logarithm in that of y."""
    below = 1.0 + beta1 + (1.0 - beta1) * y
    s = 2.0 * (1.0 + beta1) * y * np.sqrt(1.0 + y) / below
    return s, 1.0 + y / (2.0 * (1.0 + y)) - (1.0 - beta1) * y / below


def sign_size(s: ArrayLike) -> FloatArray:
    """Return (weight_decay / sigma)^2 E w^2 of sign descent with L2, for Gaussian gradients.

    Parameters
    ----------
    s : array_like, dimensionless
        lr * weight_decay over the standard deviation sigma of the weight's gradient, above 0.

    Returns
    -------
    ndarray of float64, dimensionless

    Notes
    -----
    The weight walks on a lattice of spacing lr, up with probability Phi(-x) and down with Phi(x) at
    x = weight_decay * w / sigma. Detailed balance between neighbours gives its stationary law. A lattice that does not
    contain 0 gives the same up to exp(-12 / s).

    References
    ----------
    Our own derivation, ``optimizer-sign-coupled``.

    Examples
    --------
    >>> float(sign_size(0.1).round(5))  # sqrt(pi/8) * 0.1 to leading order
    0.06465
    """
    values = np.asarray(s, dtype=np.float64)
    return np.array([_lattice_size(float(one)) for one in values.ravel()]).reshape(values.shape)


def _lattice_size(s: float) -> float:
    from scipy.special import log_ndtr  # here, since it takes long to import

    slope, grown = np.sqrt(np.pi / 8.0), np.sqrt(np.pi / 2.0) / 4.0
    if s < _SMALL:
        return float(slope * s * (1.0 + grown * s))
    reach = int(14.0 * np.sqrt(slope / s * (1.0 + s))) + 12
    x = s * np.arange(reach)
    log_weight = np.concatenate([[0.0], np.cumsum(log_ndtr(-x[:-1]) - log_ndtr(x[1:]))])
    weight = np.exp(log_weight)
    weight[1:] *= 2.0  # both signs
    return float((weight @ x**2) / weight.sum())


def sign_root(x: ArrayLike) -> FloatArray:
    """Return the s with s^4 = x sign_size(s), for scale-invariant weights.

    Parameters
    ----------
    x : array_like, dimensionless
        s^4 over the size at which the weights rest; above 0.

    Returns
    -------
    ndarray of float64, dimensionless

    Notes
    -----
    As `adam_root`, by Brent's method on logarithms.

    References
    ----------
    Our own derivation, ``optimizer-sign-coupled``.

    Examples
    --------
    >>> s = sign_root(0.01)
    >>> bool(np.isclose(s**4, 0.01 * sign_size(s))), round(float(s), 3)
    (True, 0.188)
    """
    values = np.asarray(x, dtype=np.float64)
    return np.array([_solve(float(one), _lattice_size) for one in values.ravel()]).reshape(values.shape)


def _solve(x: float, size: Callable[[float], float]) -> float:
    from scipy.optimize import brentq  # here, since it takes long to import

    guess = np.log(x * np.sqrt(np.pi / 8.0)) / 3.0

    def excess(log_s: float) -> float:
        return float(4.0 * log_s - np.log(x) - np.log(size(float(np.exp(log_s)))))

    return float(np.exp(brentq(excess, guess - 1.0, guess + 5.0, xtol=1e-13)))
