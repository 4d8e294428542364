"""Evaluate how much the polar factors of two correlated Gaussian matrices overlap: Muon's autocorrelation law.

For X and Y with independent standard normal entries and correlation rho between them, the overlap is
q(rho) = E<polar(X), polar(Y)> / r, with polar(X) = X (X^T X)^(-1/2) and r the smaller of the two sides.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import check_count

__all__ = ["large_matrix_overlap", "overlap_coefficients", "polar_overlap"]

FloatArray = NDArray[np.float64]
_ENTRIES = 2**22  # of all sampled matrices together: their statistical error in q is below a thousandth
_MOST_CIRCLES = 4000
_LARGE = 32  # smaller side from which on what differs from the law of large matrices falls as its inverse
_CIRCLE = 24
_HARMONICS = 6
_SEED = 20240  # of the sample that stands for the mean; any other gives the same within its error


def overlap_coefficients(aspect: float, n_terms: int) -> FloatArray:
    """Return s_j in q(rho) = sum over j of s_j^2 rho^(2j+1), for large matrices.

    Parameters
    ----------
    aspect : float
        Smaller over larger side, 0 < aspect <= 1.
    n_terms : int
        How many.

    Returns
    -------
    (n_terms,) ndarray of float64, dimensionless

    Notes
    -----
    The polar factor is an odd function of the matrix. In the limit of large matrices, odd polynomials that are
    orthogonal under the law of singular values keep their correlation: theirs is rho^(2j+1), as that of Hermite
    polynomials of correlated normal numbers. With t the squared singular value over the larger side, t times its
    density (Marchenko and Pastur's) is a semicircle of radius 2 sqrt(aspect) around 1 + aspect, under which
    Chebyshev's U_j are orthogonal; so s_j is the mean of t^(-1/2) U_j over the semicircle,

        s_j = (2/pi) integral of sin((j+1) phi) sin(phi) / sqrt(1 + aspect + 2 sqrt(aspect) cos(phi)), phi from 0 to pi.

    For square matrices s_j = (4/pi) (-1)^j (2j+2) / ((2j+1)(2j+3)), and s_0^2 = (8/(3 pi))^2 is the slope at rho = 0.

    References
    ----------
    Our own derivation, ``optimizer-muon``; ginibre1965 and edelman1989 for the matrices.

    Examples
    --------
    >>> (overlap_coefficients(1.0, 2) * 3 * np.pi / 8).round(9)
    array([ 1. , -0.4])
    """
    from scipy.fft import dst  # here, since it takes long to import

    if aspect == 1.0:
        j = np.arange(n_terms)
        return np.asarray(4.0 / np.pi * (-1.0) ** j * (2 * j + 2) / ((2 * j + 1) * (2 * j + 3)))
    nodes = max(256, 4 * n_terms, int(80.0 / (1.0 - math.sqrt(aspect))))
    phi = (np.arange(nodes) + 0.5) * np.pi / nodes
    weight = np.sin(phi) / np.sqrt(1.0 + aspect + 2.0 * math.sqrt(aspect) * np.cos(phi))
    return np.asarray(dst(weight, type=2)[:n_terms] / nodes)  # the midpoint rule for all j at once


def large_matrix_overlap(rho: ArrayLike, aspect: float) -> FloatArray:
    """Return q(rho) in the limit of large matrices.

    Parameters
    ----------
    rho : array_like
        Correlation of the entries, from -1 to 1.
    aspect : float
        Smaller over larger side, 0 < aspect <= 1.

    Returns
    -------
    ndarray of float64, dimensionless

    Notes
    -----
    The series of `overlap_coefficients`. For square matrices it has a closed sum,
    q = (4/pi^2) ((1 + rho^-2) chi_2(rho) - (rho^-2 - 1) artanh(rho)), with Legendre's chi_2.

    References
    ----------
    Our own derivation; ginibre1965 and edelman1989 for the matrices.

    Examples
    --------
    >>> large_matrix_overlap([0.5, 0.9, 1.0], 1.0).round(4)
    array([0.3764, 0.7892, 1.    ])
    """
    size = np.asarray(rho, dtype=np.float64)
    if aspect == 1.0:
        return np.asarray(np.sign(size) * _square(np.abs(size)))
    ratio = math.sqrt(aspect)
    squares = overlap_coefficients(aspect, int(40.0 / -math.log(ratio)) + 2 if ratio < 0.99 else 4000) ** 2
    squares[-1] += max(0.0, 1.0 - squares.sum())  # they add up to 1; what is left lies beyond the last
    return np.asarray(size * np.polynomial.polynomial.polyval(size**2, squares))


def polar_overlap(rho: ArrayLike, n_rows: int, n_columns: int) -> FloatArray:
    """Return q(rho) for matrices of a given size.

    Parameters
    ----------
    rho : array_like
        Correlation of the entries, from -1 to 1.
    n_rows, n_columns : int
        Size of the matrices.

    Returns
    -------
    ndarray of float64, dimensionless

    Raises
    ------
    InvalidInput
        If a side is not a whole number of at least 1.

    Notes
    -----
    The law of large matrices plus what a fixed sample of pairs of matrices (the real Ginibre ensemble where they are
    square) shows beyond it, interpolated by sines of 2 k phi with rho = sin(phi). Beyond a smaller side of 32 the
    sample is one of side 32 and the same aspect, and what it shows is scaled down by the inverse of the side.

    References
    ----------
    Our own derivation; ginibre1965 and edelman1989 for the matrices.

    Examples
    --------
    >>> float(polar_overlap(0.5, 1, 1).round(2)), round(2 / math.pi * math.asin(0.5), 2)  # single numbers have signs
    (0.33, 0.33)
    """
    rows, columns = check_count("n_rows", n_rows), check_count("n_columns", n_columns)
    short, long = sorted((rows, columns))
    law = large_matrix_overlap(rho, short / long)
    angle = np.arcsin(np.clip(rho, -1.0, 1.0))
    scale = min(1.0, _LARGE / short)
    sampled = (short, long) if short <= _LARGE else (_LARGE, round(_LARGE * long / short))
    harmonics = scale * _finite_size(*sampled, _entries(scale))
    return np.asarray(law + sum(part * np.sin(2 * (k + 1) * angle) for k, part in enumerate(harmonics)))[()]


def _square(rho: FloatArray) -> FloatArray:
    """Return the closed sum for square matrices, rho >= 0."""
    with np.errstate(all="ignore"):
        squared = rho**2
        dilogarithms = _legendre_chi(rho)
        closed = (4.0 / np.pi**2) * ((1.0 + 1.0 / squared) * dilogarithms - (1.0 / squared - 1.0) * np.arctanh(rho))
    squares = overlap_coefficients(1.0, 12) ** 2
    series = rho * np.polynomial.polynomial.polyval(squared, squares)
    return np.where(rho < 0.1, series, np.where(rho >= 1.0, 1.0, closed))


def _legendre_chi(x: FloatArray) -> FloatArray:
    from scipy.special import spence

    return np.asarray((spence(1.0 - x) - spence(1.0 + x)) / 2.0)


def _entries(scale: float) -> int:
    """Return the size of a sample whose result, and so its error, is scaled down: a power of 2 that is large enough."""
    return _ENTRIES >> int(-2.0 * math.log2(scale))


@functools.lru_cache(maxsize=64)
def _finite_size(short: int, long: int, n_entries: int) -> FloatArray:
    """Return the coefficients of sin(2 k phi) in what finite matrices overlap beyond the law of large ones.

    Each pair X, Z gives matrices X cos(a) + Z sin(a) on a circle of angles a, any two of which are a pair of
    correlation cos(difference): many pairs from few polar factors, and their mean correlation is exact.
    """
    rng = np.random.default_rng((_SEED, short, long))
    n_circles = min(_MOST_CIRCLES, max(4, n_entries // (_CIRCLE * short * long)))
    around = np.arange(_CIRCLE) * np.pi / _CIRCLE
    total = np.zeros((_CIRCLE, _CIRCLE))
    for _ in range(n_circles):
        first, second = rng.standard_normal((2, short, long))
        factors = _polar(np.cos(around)[:, None, None] * first + np.sin(around)[:, None, None] * second)
        flat = factors.reshape(_CIRCLE, -1)
        total += flat @ flat.T / short
    both = np.block([[total, -total]]) / n_circles  # the polar factor of -X is minus that of X
    steps = np.arange(1, _CIRCLE // 2)
    overlap = np.array([np.mean(both[np.arange(_CIRCLE), np.arange(_CIRCLE) + step]) for step in steps])
    angles = np.pi / 2 - steps * np.pi / _CIRCLE
    beyond = overlap - large_matrix_overlap(np.sin(angles), short / long)
    k = np.arange(1, _HARMONICS + 1)
    return np.asarray(4.0 / _CIRCLE * np.sin(2.0 * k[:, None] * angles) @ beyond)


def _polar(matrices: FloatArray) -> FloatArray:
    """Return the polar factors of a stack of matrices, shape (n, short, long)."""
    squares, left = np.linalg.eigh(matrices @ matrices.swapaxes(-1, -2))  # half the time of singular values
    return np.asarray((left / np.sqrt(squares)[:, None, :]) @ (left.swapaxes(-1, -2) @ matrices))
