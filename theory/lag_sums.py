"""Sum over lags: a function of SymPy that stands for an infinite sum, and evaluates it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from sympy.utilities.lambdify import implemented_function

from ..errors import InvalidInput
from .evaluation import compiled

__all__ = ["LAG", "lag_sums"]

LAG = sp.Symbol("lag", positive=True, integer=True)
"""Steps between two updates."""

_BLOCK = 128
_MOST = 2**21


@functools.lru_cache(maxsize=256)  # the same sum is the same function, in whatever expressions it meets
def lag_sums(name: str, autocorrelation: Any) -> Callable[[int, Any], Any]:
    """Return ``total(moment, left)``, the sum over lags k >= 1 of k^moment left^(k-1) autocorrelation(k).

    Parameters
    ----------
    name : str
        Name of the function that stands for the sum in expressions.
    autocorrelation : sympy.Expr
        Function of `LAG`, falling at least geometrically; its other symbols become arguments.

    Returns
    -------
    callable
        Of a moment, 0 or 1, and `left`, 0 < left <= 1. Its result is a closed form if the autocorrelation is geometric,
        else a function that evaluates itself.

    Raises
    ------
    InvalidInput
        When evaluated, if the sum does not converge.

    Notes
    -----
    With left = 1 - lr*weight_decay and moment 0 it is what Green's and Kubo's relation needs; moment 1 gives its first
    correction. Of a geometric autocorrelation c r^(k-1) the sum is c / (1 - r left)^(1 + moment).

    References
    ----------
    Our own derivation, ``green-kubo``.

    Examples
    --------
    >>> memory = sp.Symbol("memory", positive=True)
    >>> lag_sums("total", memory**LAG)(0, 1)
    memory/(1 - memory)
    >>> arcsine = lag_sums("total", 2 / sp.pi * sp.asin(memory**LAG))(0, 1)
    >>> round(float(sp.lambdify(memory, arcsine)(0.9)), 4)
    6.1394
    """
    if autocorrelation == 0:
        return lambda _moment, _left: sp.S.Zero
    ratio = sp.powsimp(sp.expand_power_exp(autocorrelation.subs(LAG, LAG + 1) / autocorrelation))
    if not ratio.has(LAG):
        first = autocorrelation.subs(LAG, 1)
        return lambda moment, left: first / (1 - ratio * left) ** (1 + moment)
    own = sorted(autocorrelation.free_symbols - {LAG}, key=lambda symbol: str(symbol.name))
    term = compiled(autocorrelation)
    place = sorted((*own, LAG), key=lambda symbol: str(symbol.name)).index(LAG)

    def total(moment: Any, left: Any, *values: Any) -> Any:
        shape = np.broadcast_shapes(np.shape(left), *(np.shape(value) for value in values))
        flat = [np.broadcast_to(value, shape).reshape(1, -1).astype(np.float64) for value in (left, *values)]
        return _sum(name, int(moment), term, place, flat[0], flat[1:]).reshape(shape)[()]

    function = implemented_function(name, total)
    return lambda moment, left: function(moment, left, *own)


def _sum(
    name: str,
    moment: int,
    term: Callable[..., Any],
    place: int,
    left: NDArray[np.float64],
    values: list[NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Add terms in blocks of lags until a block no longer counts."""
    total = np.zeros(left.shape[1])
    for start in range(1, _MOST, _BLOCK):
        lags = np.arange(start, start + _BLOCK, dtype=np.float64)[:, None]
        arguments = [*values[:place], lags, *values[place:]]
        terms = lags**moment * left ** (lags - 1) * term(*arguments)
        block = terms.sum(axis=0)
        total += block
        size = np.abs(terms).sum(axis=0)
        if np.all(size <= 1e-17 * (1.0 + np.abs(total))) or not np.all(np.isfinite(total)):
            return total
    raise InvalidInput(
        f"the {name} does not converge within {_MOST} lags; the autocorrelation must fall off faster (lower momentum)"
    )
