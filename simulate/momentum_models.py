"""Pose what a symmetry conserves as an oscillator, which momentum makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import check_choice, check_finite, check_positive
from ..theory import derive
from .derived import compiled
from .problem import FloatArray, Problem
from .update_rules import check_fractions

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
    The equation of the derivation "momentum-oscillator", q'' + 2 damping q' + stiffness q = drive. It oscillates where
    the stiffness exceeds the square of the damping, and creeps where it does not.

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
    check_fractions(momentum=momentum)
    charge_start = check_finite("charge_start", charge_start)
    charge_velocity_start = check_finite("charge_velocity_start", charge_velocity_start)
    drive = drive if callable(drive) else check_finite("drive", drive)
    degree = 1 if check_choice("symmetry", symmetry, ("scale", "rescale", "translation")) == "translation" else 2
    oscillator = derive("momentum-oscillator")
    damping = float(oscillator.numeric("damping", lr=lr, momentum=momentum))
    stiffness = float(
        oscillator.numeric("stiffness", lr=lr, momentum=momentum, weight_decay=weight_decay, degree=degree)
    )
    detuning = float(oscillator.function("detuning")(damping, stiffness))
    critical = float(oscillator.numeric("critical_decay_per_step", momentum=momentum, degree=degree))
    regime = "critical" if detuning == 0 else "overdamped" if lr * weight_decay < critical else "underdamped"
    free = compiled(oscillator, f"charge_{regime}")
    law, rest_at = compiled(oscillator, "charge_acceleration"), compiled(oscillator, "charge_stationary")

    def acceleration(place: Any, speed: Any, force: Any) -> Any:
        return law(charge=place, charge_rate=speed, damping=damping, drive=force, stiffness=stiffness)

    def drift(t: float, y: FloatArray) -> FloatArray:
        force = drive(t) if callable(drive) else drive
        return np.stack([y[:, 1], acceleration(y[:, 0], y[:, 1], force)], axis=1)

    def exact(t: float) -> FloatArray:
        rest = float(rest_at(drive=drive, stiffness=stiffness))
        start = np.array([charge_start - rest, charge_velocity_start])
        rate = np.array([charge_velocity_start, acceleration(start[0], start[1], 0.0)])
        # the velocity obeys the equation without drive too
        moved = free(charge_start=start, charge_rate_start=rate, damping=damping, detuning=detuning, time=t)
        return np.asarray(moved + np.array([rest, 0.0]))

    return Problem(
        drift,
        y0=[charge_start, charge_velocity_start],
        t_span=(0.0, check_positive("time", time)),
        exact=None if callable(drive) else exact,
    )
