"""Compute polar factors of stacks of matrices, exactly or by Muon's iteration."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_blas_funcs
from scipy.linalg.lapack import dsyevd

__all__ = ["PolarFactor", "polar_factors"]

Array = NDArray[Any]

# singular values below this share of the largest are taken for zero
RANK_TOLERANCE = 1e-7
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Muon's polynomial a X + b X X^T X + c X X^T X X^T X
SMALLEST_NORM = 1e-7  # added to the norm that Muon's iteration divides by


def polar_factors(matrices: Array, newton_schulz_steps: int = 0, smallest: Any = SMALLEST_NORM) -> Array:
    """Return for each matrix the nearest one with singular values 1, or 0 where the matrix has none.

    Parameters
    ----------
    matrices : (n_runs, n_rows, n_columns) ndarray
        One for each run.
    newton_schulz_steps : int, optional
        0 for the exact factor, otherwise the steps of Muon's iteration.
    smallest : float or (n_runs, 1, 1) ndarray, optional
        What is added to the norm in Muon's iteration.

    Notes
    -----
    Singular vectors of singular value 0 are left out, so that a row or column of zeros stays one. Single-precision
    matrices M are made orthogonal by (M M^T)^(-1/2) in double precision: the error, 1e-16 over the square of a relative
    singular value, stays below that of the entries of M, 1e-7 over it. Double-precision ones take the singular value
    decomposition, which is slower.

    Examples
    --------
    >>> polar_factors(np.array([[[3.0, 4.0, 0.0], [0.0, 0.0, 0.0]]])).round(12)
    array([[[0.6, 0.8, 0. ],
            [0. , 0. , 0. ]]])
    """
    if matrices.shape[1] > matrices.shape[2]:
        return polar_factors(matrices.swapaxes(1, 2), newton_schulz_steps, smallest).swapaxes(1, 2)
    if newton_schulz_steps:
        return _iterated(matrices, newton_schulz_steps, smallest)
    finite = np.isfinite(matrices.sum(axis=(1, 2), keepdims=True))
    if not finite.all():
        return np.where(finite, polar_factors(np.where(finite, matrices, 0)), np.nan).astype(matrices.dtype)
    if matrices.dtype == np.float64:
        left, values, right = np.linalg.svd(matrices, full_matrices=False)
        kept = values > RANK_TOLERANCE * values[:, :1]
        return np.asarray((left * kept[:, None, :]) @ right)
    one = PolarFactor(matrices.shape[1:], matrices.dtype)
    return np.stack([one(each, 0, smallest).copy() for each in matrices])


def _iterated(matrices: Array, n_steps: int, smallest: Any) -> Array:
    first, third, fifth = NEWTON_SCHULZ
    norms = np.sqrt(np.einsum("rij,rij->r", matrices, matrices))[:, None, None]
    factor: Array = matrices * (1 / (norms + smallest)).astype(matrices.dtype)
    diagonal = first * np.eye(matrices.shape[1], dtype=matrices.dtype)
    for _ in range(n_steps):
        square = factor @ factor.swapaxes(1, 2)
        polynomial = fifth * (square @ square)
        polynomial += third * square
        polynomial += diagonal
        factor = polynomial @ factor
    return factor


class PolarFactor:
    """Compute the polar factors of one matrix after the other in the same memory, which is faster for large ones.

    Parameters
    ----------
    shape : tuple of int
        (n_rows, n_columns) of the matrices.
    dtype : dtype
        Of the matrices.

    Examples
    --------
    >>> PolarFactor((1, 2), np.dtype("float32"))(np.array([[3, 4]], np.float32), 0, 0.0).round(4)
    array([[0.6, 0.8]], dtype=float32)
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.turned = shape[0] > shape[1]
        wide = shape[::-1] if self.turned else shape
        self.result = np.empty(shape, dtype)
        self.one, self.other = np.empty(wide, dtype), np.empty(wide, dtype)
        self.doubled = np.empty(wide)
        self.diagonal = NEWTON_SCHULZ[0] * np.eye(wide[0], dtype=dtype)
        self.gemm, self.double_gemm = (get_blas_funcs("gemm", dtype=each) for each in (dtype, np.dtype(np.float64)))

    def __call__(self, matrix: Array, newton_schulz_steps: int, smallest: float) -> Array:
        """Return the factor of a matrix, as `polar_factors` does; the next call overwrites it."""
        np.copyto(self.one, matrix.T if self.turned else matrix)
        if newton_schulz_steps:
            found = self._iterated(newton_schulz_steps, smallest)
        elif self.one.dtype == np.float64 or not np.isfinite(self.one.sum()):
            found = polar_factors(self.one[None])[0]
        else:
            found = self._by_gram()
        if not self.turned:
            return found
        np.copyto(self.result, found.T)
        return self.result

    def _by_gram(self) -> Array:
        np.copyto(self.doubled, self.one)
        values, vectors, _ = dsyevd(self.double_gemm(1.0, self.doubled.T, self.doubled.T, trans_a=1))
        kept = values > RANK_TOLERANCE**2 * values[-1]
        inverse = np.zeros(len(values))
        inverse[kept] = 1 / np.sqrt(values[kept])
        np.matmul(((vectors * inverse) @ vectors.T).astype(self.one.dtype), self.one, self.other)
        return self.other

    def _iterated(self, n_steps: int, smallest: float) -> Array:
        _, third, fifth = NEWTON_SCHULZ
        factor, spare = self.one, self.other
        np.multiply(factor, 1 / (math.sqrt(np.vdot(factor, factor)) + smallest), factor)
        for _ in range(n_steps):
            square = self.gemm(1.0, factor.T, factor.T, trans_a=1)  # NumPy's way to A A^T is four times slower
            polynomial = fifth * (square @ square)
            polynomial += third * square
            polynomial += self.diagonal
            np.matmul(polynomial, factor, spare)
            factor, spare = spare, factor
        return factor
