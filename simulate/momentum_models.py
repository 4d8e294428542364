"""Pose what a symmetry conserves as an oscillator, which momentum makes of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..errors import InvalidInput, check_choice, check_positive
from .problem import FloatArray, Problem

__all__ = ["momentum_oscillator"]


def momentum_oscillator(
    *,
    charge_start: float,
    charge_velocity_start: float = 0.0,
    lr: float,
    weight_decay: float,
    momentum: float,
    drive: float | Callable[[float], float] = 0.0,
    symmetry: str = "scale",
    time: float,
) -> Problem:
    """Pose what a symmetry conserves, under decay and momentum: an oscillator driven by the motion of the weights.

    Parameters
    ----------
    charge_start, charge_velocity_start : float
        Conserved quantity and its rate of change at the start.
    lr, weight_decay, momentum : float
        Hyperparameters of SGD with a heavy ball, no dampening.
    drive : float or callable, optional
        Right side: twice the squared velocity of the weights that enter a quadratic charge (with the sign in which they
        enter), 0 for translation.
    symmetry : {"scale", "rescale", "translation"}, optional
        Scale and rescale conserve quadratic quantities, translation a linear one.
    time : float
        Time to integrate over, in learning rate times steps.

    Returns
    -------
    Problem
        Its state is the charge and its velocity; with its exact solution if the drive is constant.

    Notes
    -----
    q'' + 2 gamma q' + omega^2 q = drive, with gamma = (1 - momentum) / (lr (1 + momentum)) and
    omega^2 = 4 weight_decay / (lr (1 + momentum)), or half of that for translation. With gamma below omega it
    oscillates, above it creeps.

    References
    ----------
    kunin2021

    Examples
    --------
    >>> charge = momentum_oscillator(charge_start=1.0, lr=0.1, weight_decay=0.01, momentum=0.9, time=50.0)
    >>> charge.exact(0.0)
    array([1., 0.])
    """
    lr, weight_decay = check_positive("lr", lr), check_positive("weight_decay", weight_decay)
    if not 0 <= momentum < 1:
        raise InvalidInput(f"momentum is {momentum!r}, but must be from 0 to below 1")
    factor = {"scale": 4.0, "rescale": 4.0, "translation": 2.0}[
        check_choice("symmetry", symmetry, ("scale", "rescale", "translation"))
    ]
    gamma = (1.0 - momentum) / (lr * (1.0 + momentum))
    stiffness = factor * weight_decay / (lr * (1.0 + momentum))

    def drift(t: float, y: FloatArray) -> FloatArray:
        force = drive(t) if callable(drive) else drive
        return np.stack([y[:, 1], force - 2.0 * gamma * y[:, 1] - stiffness * y[:, 0]], axis=1)

    def exact(t: float) -> FloatArray:
        rest = float(drive) / stiffness  # type: ignore[arg-type]  # given only where the drive is a number
        root = np.sqrt(complex(gamma**2 - stiffness))
        away = charge_start - rest
        cosh, sinhc = np.cosh(root * t), (np.sinh(root * t) / root if root else t)
        fall = math.exp(-gamma * t)
        place = fall * (away * cosh + (charge_velocity_start + gamma * away) * sinhc)
        speed = fall * (charge_velocity_start * cosh - (stiffness * away + gamma * charge_velocity_start) * sinhc)
        return np.array([rest + place.real, speed.real])

    return Problem(
        drift,
        y0=[charge_start, charge_velocity_start],
        t_span=(0.0, check_positive("time", time)),
        exact=None if callable(drive) else exact,
    )
