"""Take what decay alone does from the schedules of a run, whatever feeds the weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import InvalidInput
from ..theory import derive
from .decay_laws import decay_per_step, effective_weight_decay
from .norm_models import pure_decay_floor
from .problem import FloatArray
from .schedules import Constant, Schedule, as_schedule

__all__ = ["DecayingRun", "steps_of_decay"]

_LONGEST = 20_000_000
_SAMPLES = 20_001


@dataclass(frozen=True)
class DecayingRun:
    """Hold the schedules of a run.

    Parameters
    ----------
    lr, weight_decay : Schedule
        Learning rate and decay coefficient.
    n_steps : int
        Length.
    law : str
        How the two make the decay of a step, as in `decay_per_step`.

    Raises
    ------
    InvalidInput
        If a run with schedules is too long to look at step by step, or decay takes all of a weight.
    """

    lr: Schedule
    weight_decay: Schedule
    n_steps: int
    law: str

    def __post_init__(self) -> None:
        if self.n_steps > _LONGEST and not self.steady:
            raise InvalidInput(
                f"n_steps is {self.n_steps}, but must be at most {_LONGEST} with schedules; count several as one"
            )
        self.samples()  # refuses what takes all of a weight

    @property
    def steady(self) -> bool:
        """Whether all steps are alike."""
        return isinstance(self.lr, Constant) and isinstance(self.weight_decay, Constant)

    @property
    def _checked(self) -> int:
        return 1 if self.steady else self.n_steps

    @cached_property
    def lr_max(self) -> float | None:
        """Largest learning rate; None if it is 0."""
        return self.lr.largest(self._checked) or None

    def faster(self, factor: float) -> DecayingRun:
        """Return the run with decay so many times as fast."""
        if factor == 1.0:
            return self
        decays = self.weight_decay
        if isinstance(decays, Constant):
            scaled: Schedule = Constant(float(decays(0)) * factor)
        else:
            scaled = as_schedule(lambda step: float(decays(step)) * factor, self.n_steps)
        return DecayingRun(self.lr, scaled, self.n_steps, self.law)

    @cached_property
    def _decays(self) -> FloatArray:
        return decay_per_step(self.lr, self.weight_decay, self._checked, law=self.law, lr_max=self.lr_max)

    def samples(self) -> FloatArray:
        """Return the decay of steps, all or evenly spread ones, with the first, last and largest among them."""
        decays = self._decays
        places = np.unique(np.linspace(0, decays.size - 1, _SAMPLES).astype(int))
        return np.asarray(decays[np.unique(np.append(places, np.argmax(decays)))])

    def peak(self) -> tuple[float, float]:
        """Return learning rate and decay coefficient, in PyTorch's sense, where the decay of a step is largest."""
        step = int(np.argmax(self._decays))
        if self._decays[step] == 0:
            return self.lr_max or 0.0, 0.0
        coefficient = effective_weight_decay(self.lr, self.weight_decay, self.n_steps, law=self.law, lr_max=self.lr_max)
        return float(self.lr(step)), float(coefficient(step))

    def left(self) -> float:
        """Return the part of the start's squared norm that decay alone leaves at the end."""
        if self.steady:
            return float(self._power(self.n_steps))
        return float(self._floor[-1])

    def n_time_constants(self) -> float:
        """Return the length of the run in time constants of decay: in powers of e by which weights fall."""
        left = self.left()
        return math.inf if left == 0 else -0.5 * math.log(left)

    def steps_to_leave(self, part: float) -> float:
        """Return the steps until decay alone leaves that part of the squared norm; infinite if that is after the run.

        With constant hyperparameters the run has no end.
        """
        if not self.steady:
            below = np.flatnonzero(self._floor <= part)
            return float(below[0]) if below.size else math.inf
        decay = float(self.samples()[0])
        if decay == 0:
            return math.inf
        return steps_of_decay(decay, 1.0, math.sqrt(part))

    def _power(self, n_steps: Any) -> Any:
        constants = {"lr": 1.0, "weight_decay": float(self.samples()[0]), "n_steps": n_steps}
        return derive("decay-floor").numeric("norm_squared", norm_squared_start=1.0, **constants)

    @cached_property
    def _floor(self) -> FloatArray:
        return pure_decay_floor(1.0, self.lr, self.weight_decay, self.n_steps, law=self.law)


def steps_of_decay(decay_per_step: float, size_start: float, size: float) -> float:
    """Return the steps that decay alone needs from one size to a smaller one.

    Parameters
    ----------
    decay_per_step : float
        Learning rate times weight decay, above 0 and below 1.
    size_start, size : float
        Norm before and after, in one unit.

    Returns
    -------
    float
        0 if the size is no smaller.

    Notes
    -----
    The derivation "decay-floor", solved for the number of steps.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> round(steps_of_decay(0.5, 8.0, 1.0), 9)
    3.0
    """
    if size >= size_start:
        return 0.0
    values = {"lr": 1.0, "weight_decay": decay_per_step, "size_start": size_start, "size": size}
    return float(derive("decay-floor").numeric("n_steps_to_size", **values))
