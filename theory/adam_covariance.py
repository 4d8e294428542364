"""Evaluate how Adam's updates are correlated when the gradients are Gaussian white noise, for any pair of betas.

Adam's update of one weight is u = m / sqrt(v), with m and v exponential moving averages of the gradient g and of its
square. Products of two updates have no closed mean, but an integral for it: with 1/sqrt(v) = (2/sqrt(pi)) times the
integral of exp(-y^2 v) over y > 0, the mean over independent Gaussian gradients is a product of elementary factors.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidInput

__all__ = ["adam_autocovariance", "adam_drift", "adam_update_power", "second_moment_correction"]

FloatArray = NDArray[np.float64]
_FEW = 0.1  # 1 - beta2 from which on a product over lags is short enough to be written out
_NEGLIGIBLE = 1e-13
_SPACING = 0.15  # of the trapezoidal rule in z, y = sinh(z): its error is exp(-2 pi (pi/4) / spacing)


def adam_autocovariance(lag: ArrayLike, beta1: ArrayLike, beta2: ArrayLike) -> FloatArray:
    """Return E[u_t u_(t+lag)] of Adam's update of one weight, for Gaussian white gradients.

    Parameters
    ----------
    lag : array_like of int
        Steps between the updates, 0 or more.
    beta1, beta2 : array_like
        Adam's coefficients, 0 <= beta1 < 1 and 0 < beta2 < 1; all three broadcast.

    Returns
    -------
    ndarray of float64, dimensionless

    Notes
    -----
    Products of different gradients vanish by their signs, so that

        E[u_t u_(t+k)] = (1-beta1)^2 sum_i beta1^(2i+k) E[g_(t-i)^2 / sqrt(v_t v_(t+k))].

    The gradient's scale drops out. Bias corrections and Adam's small constant in the denominator are left out. For
    beta2 near 1, where v no longer fluctuates, the result is (1-beta1)/(1+beta1) beta1^k.

    References
    ----------
    kingma2015 for Adam; the integral is our own derivation.

    Examples
    --------
    >>> float(adam_autocovariance(0, 0.9, 0.999).round(5))  # 0.05263 for a second moment that does not fluctuate
    0.05258
    """
    lags, first, second = np.broadcast_arrays(lag, np.asarray(beta1, float), np.asarray(beta2, float))
    result = np.empty(lags.shape)
    pairs = np.stack([first.ravel(), second.ravel()], axis=1)
    unique, where = np.unique(pairs, axis=0, return_inverse=True)
    flat, counts = result.reshape(-1), lags.ravel()
    for place, (one, two) in enumerate(unique):
        table = _table(float(one), float(two))
        mine = where.ravel() == place
        known = counts[mine].astype(np.int64)
        flat[mine] = np.where(known < table.size, table[np.minimum(known, table.size - 1)], 0.0)
    return result


def adam_update_power(beta1: ArrayLike, beta2: ArrayLike) -> FloatArray:
    """Return E[u^2] of Adam's update of one weight, for Gaussian white gradients.

    Parameters
    ----------
    beta1, beta2 : array_like, dimensionless
        Adam's coefficients, 0 <= beta1 < 1 and 0 < beta2 < 1; they broadcast.

    Returns
    -------
    ndarray of float64, dimensionless

    Raises
    ------
    InvalidInput
        If a coefficient is out of range.

    Notes
    -----
    The autocovariance at lag 0, see `adam_autocovariance`. Without momentum it is close to beta2, if that is near 1;
    where the second moment v no longer fluctuates it is (1-beta1)/(1+beta1).

    References
    ----------
    kingma2015 for Adam; the integral is our own derivation.

    Examples
    --------
    >>> float(adam_update_power(0.0, 0.99).round(4))  # RMSprop's: close to its smoothing
    0.9903
    """
    return adam_autocovariance(0, beta1, beta2)


def second_moment_correction(beta1: ArrayLike, beta2: ArrayLike) -> FloatArray:
    """Return c_u, the sum of E[u_t u_(t+k)] over all lags: 1 where the second moment does not fluctuate.

    Parameters
    ----------
    beta1, beta2 : array_like, dimensionless
        Adam's coefficients, 0 <= beta1 < 1 and 0 < beta2 < 1; they broadcast.

    Returns
    -------
    ndarray of float64, dimensionless

    Raises
    ------
    InvalidInput
        If a coefficient is out of range.

    Notes
    -----
    c_u = sum over k from -infinity to infinity of `adam_autocovariance` at lag abs(k), for Gaussian white gradients. By
    Green's and Kubo's relation AdamW's squared norm is lr n_weights c_u / (2 weight_decay), to leading order.

    References
    ----------
    kosson2023 for c_u = 1; the correction is our own derivation, ``second-moment-fluctuation``.

    Examples
    --------
    >>> second_moment_correction(0.9, [0.95, 0.999]).round(4)
    array([0.9793, 0.999 ])
    """
    first, second = np.broadcast_arrays(np.asarray(beta1, float), np.asarray(beta2, float))
    sums = [
        2.0 * _table(float(one), float(two)).sum() - _table(float(one), float(two))[0]
        for one, two in zip(first.ravel(), second.ravel(), strict=True)
    ]
    return np.array(sums).reshape(first.shape)


def adam_drift(beta1: ArrayLike, beta2: ArrayLike) -> FloatArray:
    """Return how strongly Adam's update follows a small constant in its gradients, in units of constant / std.

    Parameters
    ----------
    beta1, beta2 : array_like, dimensionless
        Adam's coefficients, 0 <= beta1 < 1 and 0 < beta2 < 1; they broadcast.

    Returns
    -------
    ndarray of float64, dimensionless

    Raises
    ------
    InvalidInput
        If a coefficient is out of range.

    Notes
    -----
    The derivative of E[m / sqrt(v)] with respect to a constant added to all gradients, which are Gaussian and white:
    E[v^(-1/2)] minus (1-beta1)(1-beta2) times the sum of (beta1 beta2)^i E[g_(t-i)^2 v^(-3/2)]. It goes to 1 for
    beta2 to 1.

    References
    ----------
    kingma2015 for Adam; the integral is our own derivation.

    Examples
    --------
    >>> adam_drift(0.9, [0.95, 0.999]).round(4)
    array([0.9853, 0.9994])
    """
    first, second = np.broadcast_arrays(np.asarray(beta1, float), np.asarray(beta2, float))
    values = [_drift(float(one), float(two)) for one, two in zip(first.ravel(), second.ravel(), strict=True)]
    return np.array(values).reshape(first.shape)


def _check_betas(beta1: float, beta2: float) -> None:
    if not (0 <= beta1 < 1 and 0 < beta2 < 1):
        raise InvalidInput(f"beta1={beta1:g}, beta2={beta2:g}, but they must lie from 0 to below 1, and beta2 above 0")


@functools.lru_cache(maxsize=256)
def _table(beta1: float, beta2: float) -> FloatArray:
    """Return E[u_t u_(t+k)] for k from 0 until it is negligible."""
    from scipy.interpolate import CubicSpline  # here, since it takes long to import

    _check_betas(beta1, beta2)
    y, weight = _nodes(beta2)
    inner = _terms(beta1**2)
    x = y**2
    exponents = np.log(np.concatenate([x[x > 0], [2.0 * x.max()]]))
    grid = np.arange(exponents.min() - 1.0, exponents.max() + 0.1, 0.02)
    at = np.exp(grid)
    summed = np.zeros_like(at)
    for i in range(inner):
        summed += beta1 ** (2 * i) / (1.0 + 2.0 * (1.0 - beta2) * beta2**i * at)
    older = CubicSpline(grid, _log_product(at, beta2) + np.log(summed))
    product = CubicSpline(grid, _log_product(at, beta2))
    table = []
    for k in range(_terms(beta1)):
        both = np.log(x[:, None] + beta2**k * x)
        newer = product(np.log(x)) - _either(product, np.log(x) + k * np.log(beta2), grid[0], beta2)
        value = weight @ np.exp(older(both) + newer) @ weight
        table.append((1.0 - beta1) ** 2 * beta1**k * 4.0 / np.pi * value)
    return np.array(table)


def _either(
    product: Callable[[FloatArray], FloatArray], exponent: FloatArray, lowest: float, beta2: float
) -> FloatArray:
    """Return the logarithm of the product where the spline reaches, and directly below that."""
    inside = np.maximum(exponent, lowest)
    return np.where(exponent >= lowest, product(inside), _log_product(np.exp(exponent), beta2))


@functools.lru_cache(maxsize=256)
def _drift(beta1: float, beta2: float) -> float:
    _check_betas(beta1, beta2)
    y, weight = _nodes(beta2)
    density = np.exp(_log_product(y**2, beta2))
    shared = np.zeros_like(y)
    for i in range(_terms(beta1 * beta2)):
        shared += (beta1 * beta2) ** i / (1.0 + 2.0 * (1.0 - beta2) * beta2**i * y**2)
    root = 2.0 / math.sqrt(math.pi) * (weight @ density)
    power = 4.0 / math.sqrt(math.pi) * (weight @ (y**2 * density * shared))
    return float(root - (1.0 - beta1) * (1.0 - beta2) * power)


def _terms(ratio: float) -> int:
    """Return after how many terms a geometric series is negligible."""
    return 1 if ratio == 0 else math.ceil(math.log(_NEGLIGIBLE) / math.log(ratio)) + 1


def _nodes(beta2: float) -> tuple[FloatArray, FloatArray]:
    """Return nodes y > 0 and weights of the trapezoidal rule for the integral over y, up to where nothing is left."""
    z = _SPACING * (np.arange(400) + 0.5)
    y = np.sinh(z)
    weight = _SPACING * np.cosh(z)
    left = _log_product(y**2, beta2) + np.log(weight)
    most = int(np.argmax(left < math.log(_NEGLIGIBLE * 1e-3))) or z.size
    return y[:most], weight[:most]


def _log_product(x: FloatArray, beta2: float) -> FloatArray:
    """Return the logarithm of E exp(-x v), the product over j of (1 + 2 (1-beta2) beta2^j x)^(-1/2).

    Close to beta2 = 1 the sum of logarithms is Euler's and Maclaurin's integral, a dilogarithm, with end corrections.
    """
    from scipy.special import spence  # here, since it takes long to import

    c = 2.0 * (1.0 - beta2) * x
    if 1.0 - beta2 > _FEW:
        lags = np.arange(_terms(beta2) + 200)
        return np.asarray(-0.5 * np.log1p(c[..., None] * beta2**lags).sum(axis=-1))
    rate = -math.log(beta2)
    p = c / (1.0 + c)
    slope = -rate * p
    third = -(rate**3) * p * (1.0 - p) * (1.0 - 2.0 * p)
    fifth = -(rate**5) * p * (1.0 - p) * (1.0 - 14.0 * p + 36.0 * p**2 - 24.0 * p**3)
    total = -spence(1.0 + c) / rate + np.log1p(c) / 2.0 - slope / 12.0 + third / 720.0 - fifth / 30240.0
    return np.asarray(-0.5 * total)
