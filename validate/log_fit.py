"""Fit to the end of a log where a layer is heading, and take from all of it what the gradient gives."""

from __future__ import annotations

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
_LEAST_DECAY = 0.02
"""Decay (of the squared norm, over the window) below which the log cannot tell where a layer is heading."""


@dataclass(frozen=True, eq=False)
class Fit:
    """The equilibrium that the end of a log calls for."""

    rest: float | None = None
    error: float | None = None
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
    """Fit size at the window's start, and equilibrium, to the end of a log."""
    if step.size < _LEAST_ROWS or time[-1] == 0:
        return Fit()
    window = np.flatnonzero(time >= (1.0 - _WINDOW) * time[-1])
    if window.size < _LEAST_ROWS:
        window = np.arange(step.size - _LEAST_ROWS, step.size)
    left = left_by_decay(time[window] - time[window[0]], decay)
    if 1.0 - left[-1] < _LEAST_DECAY:
        return Fit()

    def solved(part: slice) -> NDArray[np.float64]:
        basis = np.stack([left[part], 1.0 - left[part]], axis=1)
        return np.asarray(np.linalg.lstsq(basis, norm_squared[window][part], rcond=None)[0])

    begin, rest = (float(value) for value in solved(slice(None)))
    half = window.size // 2
    error = None
    if half >= _LEAST_ROWS:
        first, second = (float(solved(part)[1]) for part in (slice(None, half), slice(half, None)))
        error = abs(second - first) / 2.0
    curve = begin * left + rest * (1.0 - left)
    reached = None
    if rest > 0:
        outside = np.flatnonzero(np.abs(norm_squared / rest - 1.0) > tolerance)
        last = int(outside[-1]) + 1 if outside.size else 0
        if abs(float(curve[-1]) / rest - 1.0) <= tolerance:  # a scattered last row is no departure
            reached = float(step[min(last, step.size - 1)])
    return Fit(rest, error, reached, step[window], curve)


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
