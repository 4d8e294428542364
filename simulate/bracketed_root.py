"""Find the root of a function between two values of opposite sign, without SciPy: importing its solvers takes long."""

from __future__ import annotations

import sys
from collections.abc import Callable

__all__ = ["bracketed_root"]

_SPACING = sys.float_info.epsilon


def bracketed_root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a continuous function changes its sign, to the last digits of floating-point numbers.

    Parameters
    ----------
    function : callable
        Takes and returns a number.
    low, high : float
        Where the function has opposite signs.

    Returns
    -------
    float

    Notes
    -----
    Chandrupatla's method: the interval is cut by inverse quadratic interpolation through three points where they lie
    such that its step is safe, else in two halves, so that the number of evaluations is small and bounded.

    References
    ----------
    chandrupatla1997

    Examples
    --------
    >>> round(bracketed_root(lambda size: size**2 - 2.0, 0.0, 2.0), 15)
    1.414213562373095
    """
    newest, at_newest = low, function(low)
    other, at_other = high, function(high)
    if at_newest == 0 or at_other == 0:
        return newest if at_newest == 0 else other
    cut = 0.5
    while True:
        guess = newest + cut * (other - newest)
        at_guess = function(guess)
        if (at_guess > 0) == (at_newest > 0):
            oldest, at_oldest = newest, at_newest
        else:
            oldest, at_oldest = other, at_other
            other, at_other = newest, at_newest
        newest, at_newest = guess, at_guess
        best, at_best = (newest, at_newest) if abs(at_newest) < abs(at_other) else (other, at_other)
        finest = (2.0 * _SPACING * abs(best) + sys.float_info.min) / abs(other - newest)
        if at_best == 0 or finest > 0.5:
            return best
        place = (newest - other) / (oldest - other)
        level = (at_newest - at_other) / (at_oldest - at_other)
        cut = 0.5
        if level**2 < place and (1.0 - level) ** 2 < 1.0 - place:
            cut = at_newest / (at_other - at_newest) * at_oldest / (at_other - at_oldest)
            cut += (
                (oldest - newest) / (other - newest) * at_newest / (at_oldest - at_newest)
                * at_other / (at_oldest - at_other)
            )  # fmt: skip
        cut = min(max(cut, finest), 1.0 - finest)
