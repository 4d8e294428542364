"""Fit to the end of a log where a layer is heading, and take from all of it what the gradient gives."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..theory import derive

__all__ = ["Fit", "feed_ratios", "fitted", "left_by_decay", "steps_left"]

FloatArray = NDArray[np.float64]
_LEAST_ROWS = 4
_WINDOW = 0.5
"""Share of the log, its end, from which the equilibrium is fitted."""
_BLOCKS = 8
_LEAST_CHANGE = 0.01
"""Change of the feed over the window, as a share of the equilibrium, below which it counts as steady."""
_LONGEST = 700.0
"""Time constants after which nothing of a start is left in floating-point numbers."""
_MEMORIES = tuple(1.0 - 0.5**power for power in range(11))
"""Correlations of neighbouring residuals that are tried."""
_ROUNDING = 1e-9
"""Scatter, as a share of the size, that no likelihood tells from none."""
_LEAST_DECAY = 0.02
"""Decay (of the squared norm, over the window) below which the log cannot tell where a layer is heading."""


@dataclass(frozen=True, eq=False)
class Fit:
    """The equilibrium that the end of a log calls for.

    Attributes
    ----------
    rest : float or None
        Squared norm at which the feed would hold the layer: the feed of the last row if it was seen to change, else
        that of the whole window.
    error : float or None
        Half the width of an interval for where the layer will rest: the error of the fit, and as much as the feed
        changed over the window, or can have changed unseen, once more (over a time constant of squared norms at
        least). None if the rows are too few to tell.
    feed_change : float or None
        Relative change of the feed over the window, if more than scatter; None if not.
    reached : float or None
        Step from which on the layer was within the tolerance of rest.
    step, curve : (n_window,) ndarray
        The fitted curve.
    """

    rest: float | None = None
    error: float | None = None
    feed_change: float | None = None
    reached: float | None = None
    step: FloatArray = field(default_factory=lambda: np.zeros(0))
    curve: FloatArray = field(default_factory=lambda: np.zeros(0))


def left_by_decay(time: FloatArray, decay: float) -> FloatArray:
    """Return the part of a squared norm that decay alone leaves after a summed learning rate."""
    if decay == 0:
        return np.ones_like(time)
    flow = derive("norm-flow")
    lr = min(1.0, 0.5 / decay)  # without noise the flow does not depend on it, but lr*weight_decay must be below 1
    alone = {"radial_pull": 0.0, "gradient_power": 0.0, "lr": lr, "weight_decay": decay}
    return np.asarray(flow.numeric("norm_squared", norm_squared_start=1.0, time=time, **alone))


def fitted(step: FloatArray, time: FloatArray, norm_squared: FloatArray, decay: float, tolerance: float) -> Fit:
    """Fit size at the window's start, equilibrium, and its drift if there is one, to the end of a log."""
    if step.size < _LEAST_ROWS or time[-1] == 0:
        return Fit()
    window = np.flatnonzero(time >= (1.0 - _WINDOW) * time[-1])
    if window.size < _LEAST_ROWS:
        window = np.arange(step.size - _LEAST_ROWS, step.size)
    left = left_by_decay(time[window] - time[window[0]], decay)
    if 1.0 - left[-1] < _LEAST_DECAY:
        return Fit()
    sizes = norm_squared[window]
    steady = np.stack([left, 1.0 - left], axis=1)
    found = _least_squares(steady, sizes)
    rest, width, change = float(found.values[1]), None, None
    if window.size >= _LEAST_ROWS + 1:
        with np.errstate(divide="ignore"):
            passed = np.minimum(-np.log(left), _LONGEST)  # in time constants of squared norms
        drifting = _least_squares(np.column_stack([steady, passed - (1.0 - left)]), sizes)
        now = np.array([0.0, 1.0, passed[-1]])
        changed = float(drifting.values[2] * passed[-1])
        unseen = drifting.width(np.array([0.0, 0.0, passed[-1]]))
        width = found.width(np.array([0.0, 1.0]))
        if rest > 0 and abs(changed) > max(unseen, _LEAST_CHANGE * rest):
            found, rest, unseen = drifting, float(drifting.values @ now), 0.0
            width = drifting.width(now)
            change = changed / abs(rest - changed) if rest != changed else None
        width += max(abs(changed), unseen) * max(1.0, 1.0 / float(passed[-1]))
    curve = sizes - found.residuals
    reached = None
    if rest > 0:
        outside = np.flatnonzero(np.abs(norm_squared / rest - 1.0) > tolerance)
        last = int(outside[-1]) + 1 if outside.size else 0
        if abs(float(curve[-1]) / rest - 1.0) <= tolerance:  # a scattered last row is no departure
            reached = float(step[min(last, step.size - 1)])
    return Fit(rest, width, change, reached, step[window], curve)


@dataclass(frozen=True, eq=False)
class _Solved:
    """What least squares gives, and how its values scatter."""

    values: FloatArray
    residuals: FloatArray
    covariance: FloatArray

    def width(self, of: FloatArray) -> float:
        """Return half the width of a 95 % interval for a combination of the values."""
        free = max(self.residuals.size - self.values.size, 1)
        return (2.0 + 5.0 / free) * math.sqrt(max(float(of @ self.covariance @ of), 0.0))  # above Student's quantile


def _least_squares(basis: FloatArray, sizes: FloatArray) -> _Solved:
    """Return the least-squares values under residuals that are each correlated with the one before.

    The correlation, between that of measuring errors (0) and of a feed that scatters (near 1), is the one of greatest
    restricted likelihood.
    """
    scale = float(np.abs(sizes).max()) or 1.0
    free = max(sizes.size - basis.shape[1], 1)
    best, most = None, -np.inf
    for memory in _MEMORIES:
        first = np.sqrt(1.0 - memory**2)
        whitened = np.vstack([first * basis[:1], basis[1:] - memory * basis[:-1]])
        white = np.append(first * sizes[:1], sizes[1:] - memory * sizes[:-1])
        values = np.linalg.lstsq(whitened, white, rcond=None)[0]
        variance = float(np.sum((white - whitened @ values) ** 2)) / free
        normal = whitened.T @ whitened
        likelihood = -free * np.log(variance + (_ROUNDING * scale) ** 2)
        likelihood += 2.0 * np.log(first) - np.linalg.slogdet(normal)[1]
        if likelihood > most:
            most = likelihood
            best = _Solved(np.asarray(values), sizes - basis @ values, variance * np.linalg.pinv(normal))
    assert best is not None
    return best


def steps_left(fit: Fit, decay: float, lr: float, tolerance: float) -> float | None:
    """Return the steps until the fitted feed has brought a layer within the tolerance of its equilibrium."""
    if fit.rest is None or fit.rest <= 0 or lr == 0 or fit.curve[-1] <= 0:
        return None
    end = float(fit.curve[-1])
    target = fit.rest * (1.0 + tolerance if end > fit.rest else 1.0 - tolerance)
    if (end - target) * (fit.rest - target) >= 0:
        return 0.0
    values = {"lr": lr, "weight_decay": decay, "gradient_power": 0.0, "radial_pull": decay * fit.rest}
    flow = derive("norm-flow")
    time = flow.numeric("time_to_norm_squared", norm_squared_start=end, norm_squared_target=target, **values)
    return float(time) / lr


def feed_ratios(
    step: FloatArray, time: FloatArray, norm_squared: FloatArray, decay: float
) -> tuple[FloatArray, FloatArray]:
    """Return what the gradient gave over what decay took, in some blocks of the log."""
    if decay == 0 or time[-1] == 0 or step.size < 2:
        return np.zeros(0), np.zeros(0)
    edges = np.unique(np.searchsorted(time, np.linspace(0.0, time[-1], _BLOCKS + 1)).clip(0, step.size - 1))
    left = left_by_decay(np.diff(time[edges]), decay)
    before, after = norm_squared[edges[:-1]], norm_squared[edges[1:]]
    whole = (left < 1.0 - 1e-9) & (before + after > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (after - before * left) / (1.0 - left) / (0.5 * (before + after))
    middle = 0.5 * (step[edges[:-1]] + step[edges[1:]])
    return middle[whole], ratio[whole]
