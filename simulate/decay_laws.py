"""Say what share of the weights decay takes at each step, by the conventions of different optimizers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidInput, check_choice, check_positive
from ..theory import derive
from .derived import compiled
from .schedules import ScheduleLike, as_schedule

__all__ = ["decay_per_step", "effective_weight_decay"]

_LAWS = ("decoupled", "coupled", "fully-decoupled", "adamc")


def effective_weight_decay(
    lr: ScheduleLike,
    weight_decay: ScheduleLike,
    n_steps: int,
    *,
    law: str = "decoupled",
    lr_max: float | None = None,
) -> Callable[[ArrayLike], Any]:
    """Return the coefficient that, times the learning rate, is the decay per step under a law.

    Parameters
    ----------
    lr, weight_decay, n_steps, law, lr_max
        As in `decay_per_step`.

    Returns
    -------
    callable
        ``coefficient(steps)``, also between whole steps: the decay coefficient in PyTorch's sense.

    Raises
    ------
    InvalidInput
        If a value is outside its range, or the law is unknown.

    Examples
    --------
    >>> from weightdecay.simulate import Linear
    >>> coefficient = effective_weight_decay(Linear(0.1, 0.0, 2), 1e-3, 2, law="fully-decoupled")
    >>> float(coefficient(1))
    0.01
    """
    check_choice("law", law, _LAWS)
    rates, decays = as_schedule(lr, n_steps), as_schedule(weight_decay, n_steps)
    if law in ("decoupled", "coupled"):
        return decays
    largest = rates.largest(n_steps) if lr_max is None else check_positive("lr_max", lr_max)
    if largest == 0:
        raise InvalidInput(f"the learning rate is 0 over the whole run, but the {law} law divides by its largest value")
    rule = compiled(derive(f"convention-{law}"), "weight_decay")
    if law == "fully-decoupled":
        return lambda steps: rule(decoupled_weight_decay=decays(steps), lr_max=largest)
    return lambda steps: rule(adamc_weight_decay=decays(steps), lr=rates(steps), lr_max=largest)


def decay_per_step(
    lr: ScheduleLike,
    weight_decay: ScheduleLike,
    n_steps: int,
    *,
    law: str = "decoupled",
    lr_max: float | None = None,
) -> NDArray[np.float64]:
    """Return the fraction of every weight that decay takes at each step of a run.

    Parameters
    ----------
    lr, weight_decay : float, Schedule or callable
        Learning rate and decay coefficient, each with its own schedule.
    n_steps : int
        Length of the run.
    law : {"decoupled", "coupled", "fully-decoupled", "adamc"}, optional
        How the two make the decay, see Notes.
    lr_max : float, optional
        Largest learning rate, by default that of the schedule over the run.

    Returns
    -------
    (n_steps,) ndarray of float64, dimensionless
        The decay per step: weights are multiplied by one minus it.

    Raises
    ------
    InvalidInput
        If a decay per step reaches 1, or if a law that divides by the largest learning rate finds it 0.

    Notes
    -----
    ================= =======================================
    law               decay per step
    ================= =======================================
    decoupled         lr * weight_decay
    coupled           lr * weight_decay: the same number, but taken through the gradient, so that buffers and
                      normalizers act on it (for plain SGD there is no difference)
    fully-decoupled   weight_decay * lr / lr_max
    adamc             weight_decay * lr**2 / lr_max
    ================= =======================================

    These are conventions of optimizers; the last two are the derivations "convention-fully-decoupled" and
    "convention-adamc".

    References
    ----------
    defazio2025 for the last law.

    Examples
    --------
    >>> from weightdecay.simulate import Linear
    >>> decay_per_step(Linear(0.1, 0.0, 2), 1e-3, 2, law="adamc").round(9)
    array([1.0e-04, 2.5e-05])
    """
    if lr_max is not None:
        check_positive("lr_max", lr_max)
    lr = as_schedule(lr, n_steps)
    steps = np.arange(n_steps)
    decays = np.asarray(lr(steps) * effective_weight_decay(lr, weight_decay, n_steps, law=law, lr_max=lr_max)(steps))
    if np.any(decays >= 1):
        step = int(np.argmax(decays >= 1))
        raise InvalidInput(
            f"decay takes {decays[step]:g} of every weight at step {step}, but must take less than 1; "
            "lower weight_decay or lr"
        )
    return decays
