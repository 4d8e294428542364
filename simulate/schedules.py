"""Say how a learning rate or a weight decay changes from step to step.

A schedule is a frozen value: it compares, hashes, pickles, travels as JSON, and is called with steps counted from 0.
Between whole steps, where only differential equations look, it is continued: smoothly, except at its breaks.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidInput, check_choice, check_count, check_nonnegative, check_positive

__all__ = [
    "Constant",
    "Cosine",
    "Linear",
    "Schedule",
    "ScheduleLike",
    "Step",
    "Tabulated",
    "WarmUp",
    "as_schedule",
    "schedule_from_dict",
]

_JUMP = 0.01  # relative change within one step of a table that a solver is told about as a break


@dataclass(frozen=True)
class Schedule:
    """Give a value, finite and not negative, for every step of a run.

    The kinds are `Constant`, `Step`, `Linear`, `Cosine`, `WarmUp` and `Tabulated`.

    Notes
    -----
    A base class: `Constant`, `Step`, `Linear`, `Cosine`, `WarmUp` and `Tabulated` are the schedules, and `as_schedule`
    makes one of a number or a function.

    Examples
    --------
    >>> from weightdecay.simulate import Linear
    >>> rate = Linear(0.1, 0.0, n_steps=100)
    >>> rate(50), rate.largest(100)
    (np.float64(0.05), 0.1)
    """

    kind: ClassVar[str]

    def __call__(self, steps: ArrayLike) -> Any:
        """Return the values at the given steps.

        Parameters
        ----------
        steps : int, float or array_like
            Steps counted from 0; fractions are allowed and lie between steps.

        Returns
        -------
        float64 or ndarray of float64
            Values, with the shape of `steps`.

        Raises
        ------
        InvalidInput
            If a step is negative or not a number.
        """
        at = np.asarray(steps, dtype=np.float64)
        if not np.all(at >= 0):
            raise InvalidInput(f"steps are counted from 0, but one is {at[~(at >= 0)].flat[0]}")
        # arrays only: NumPy's power of a single number may differ from that of an array in the last bit
        return self._values(at.ravel()).reshape(at.shape)[()]

    def breaks(self, n_steps: float) -> tuple[int, ...]:
        """Return the steps strictly between 0 and `n_steps` where the schedule jumps or bends."""
        return tuple(step for step in self._breaks(n_steps) if 0 < step < n_steps)

    def largest(self, n_steps: int) -> float:
        """Return the largest value over the steps 0 to ``n_steps - 1``."""
        return float(np.max(self(np.arange(check_count("n_steps", n_steps)))))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values from which `schedule_from_dict` makes the same schedule."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        plain = {
            name: value.to_dict() if isinstance(value, Schedule) else list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }
        return {"kind": self.kind, **plain}

    def _values(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        raise NotImplementedError

    def _breaks(self, n_steps: float) -> Sequence[int]:
        del n_steps
        return ()

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Constant(Schedule):
    """Keep one value.

    Parameters
    ----------
    value : float
        The value, 0 or above.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    Examples
    --------
    >>> Constant(0.1)(7)
    np.float64(0.1)
    """

    kind = "constant"
    value: float

    def __post_init__(self) -> None:
        self._set(value=check_nonnegative("value", self.value))

    def _values(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.full(at.shape, self.value)


@dataclass(frozen=True)
class Step(Schedule):
    """Multiply a value by a factor at given steps, or at every so many steps.

    Parameters
    ----------
    value : float
        Value at step 0.
    factor : float
        What the value is multiplied by each time.
    every : int, optional
        Multiply at the steps `every`, 2 `every`, 3 `every`, ...
    at : sequence of int, optional
        Multiply at these steps, which must rise. Give either `every` or `at`.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    Examples
    --------
    >>> Step(0.1, 0.5, at=[2, 3])([0, 1, 2, 3])
    array([0.1  , 0.1  , 0.05 , 0.025])
    """

    kind = "step"
    value: float
    factor: float
    every: int | None = None
    at: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        self._set(value=check_nonnegative("value", self.value), factor=check_positive("factor", self.factor))
        if (self.every is None) == (self.at is None):
            raise InvalidInput(f"a step schedule has either every or at, but every={self.every} and at={self.at}")
        if self.every is not None:
            self._set(every=check_count("every", self.every))
        if self.at is not None:
            at = tuple(check_count("a step of at", step) for step in self.at)
            if any(later <= earlier for earlier, later in pairwise(at)):
                raise InvalidInput(f"at is {list(at)}, but its steps must rise")
            self._set(at=at)

    def _values(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.every is not None:
            times = np.floor(at / self.every)
        else:
            times = np.searchsorted(np.asarray(self.at, dtype=np.float64), at, side="right").astype(np.float64)
        with np.errstate(under="ignore"):
            return np.asarray(self.value * self.factor**times)

    def _breaks(self, n_steps: float) -> Sequence[int]:
        if self.every is not None:
            return range(self.every, math.ceil(n_steps), self.every)
        return self.at or ()


@dataclass(frozen=True)
class Linear(Schedule):
    """Go from one value to another in a straight line and stay there.

    Parameters
    ----------
    start, end : float
        Value at step 0, and from step `n_steps` on.
    n_steps : int
        Length of the line.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    Examples
    --------
    >>> Linear(1.0, 0.0, 4)([0, 1, 4, 9])
    array([1.  , 0.75, 0.  , 0.  ])
    """

    kind = "linear"
    start: float
    end: float
    n_steps: int

    def __post_init__(self) -> None:
        self._set(
            start=check_nonnegative("start", self.start),
            end=check_nonnegative("end", self.end),
            n_steps=check_count("n_steps", self.n_steps),
        )

    def _values(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        done = np.minimum(at / self.n_steps, 1.0)
        return np.asarray((1.0 - done) * self.start + done * self.end)

    def _breaks(self, n_steps: float) -> Sequence[int]:
        del n_steps
        return (self.n_steps,)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Go from one value to another along half a cosine and stay there.

    Parameters
    ----------
    start, end : float
        Value at step 0, and from step `n_steps` on.
    n_steps : int
        Length of the half wave.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    Examples
    --------
    >>> Cosine(1.0, 0.0, 4)([0, 2, 4]).round(12)
    array([1. , 0.5, 0. ])
    """

    kind = "cosine"
    start: float
    end: float
    n_steps: int

    def __post_init__(self) -> None:
        self._set(
            start=check_nonnegative("start", self.start),
            end=check_nonnegative("end", self.end),
            n_steps=check_count("n_steps", self.n_steps),
        )

    def _values(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        done = np.sin(0.5 * np.pi * np.minimum(at / self.n_steps, 1.0)) ** 2
        return np.asarray((1.0 - done) * self.start + done * self.end)

    def _breaks(self, n_steps: float) -> Sequence[int]:
        del n_steps
        return (self.n_steps,)


@dataclass(frozen=True)
class WarmUp(Schedule):
    """Rise in a straight line to the first value of another schedule, then follow that schedule.

    Parameters
    ----------
    n_steps : int
        Number of rising steps. The first has 1/`n_steps` of the full value (not 0, which would waste it),
        the last the full value.
    then : Schedule or float
        What follows; its own steps count from the end of the warm-up.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    Examples
    --------
    >>> WarmUp(4, Constant(1.0))([0, 1, 3, 4, 99])
    array([0.25, 0.5 , 1.  , 1.  , 1.  ])
    """

    kind = "warm-up"
    n_steps: int
    then: Schedule

    def __post_init__(self) -> None:
        then = self.then if isinstance(self.then, Schedule) else Constant(check_nonnegative("then", self.then))
        self._set(n_steps=check_count("n_steps", self.n_steps), then=then)

    def _values(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        risen = np.minimum((at + 1.0) / self.n_steps, 1.0)
        return np.asarray(risen * self.then(np.maximum(at - self.n_steps, 0.0)))

    def _breaks(self, n_steps: float) -> Sequence[int]:
        later = self.then.breaks(n_steps - self.n_steps) if n_steps > self.n_steps else ()
        return (self.n_steps - 1, self.n_steps, *(self.n_steps + step for step in later))


@dataclass(frozen=True, repr=False)
class Tabulated(Schedule):
    """Look each step's value up in a table; after its end the last value stays.

    Parameters
    ----------
    values : sequence of float
        One value per step, from step 0.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    Notes
    -----
    Between steps the table is interpolated linearly, except where neighbours differ by more than 1 %: that is taken
    for a jump, the earlier value holds until it, and the solvers are told of a break.

    Examples
    --------
    >>> Tabulated([3, 2, 1])([0, 1, 2, 3])
    array([3., 2., 1., 1.])
    """

    kind = "tabulated"
    values: tuple[float, ...]
    _knots: NDArray[np.float64] = field(init=False, compare=False)
    _heights: NDArray[np.float64] = field(init=False, compare=False)
    _jumps: tuple[int, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        try:
            table = np.array(self.values, dtype=np.float64)
        except (TypeError, ValueError):
            raise InvalidInput("the values of a tabulated schedule must be a sequence of numbers") from None
        if table.ndim != 1 or table.size == 0:
            raise InvalidInput(
                f"the values of a tabulated schedule have shape {table.shape}, but must have shape (n_steps,)"
            )
        wrong = np.flatnonzero(~((table >= 0) & np.isfinite(table)))
        if wrong.size:
            raise InvalidInput(
                f"the schedule's value at step {wrong[0]} is {table[wrong[0]]}, but must be a finite number, 0 or above"
            )
        jumps = 1 + np.flatnonzero(np.abs(np.diff(table)) > _JUMP * np.maximum(table[1:], table[:-1]))
        steps = np.arange(table.size, dtype=np.float64)
        self._set(
            values=tuple(table.tolist()),
            _knots=np.insert(steps, jumps, np.nextafter(steps[jumps], 0.0)),
            _heights=np.insert(table, jumps, table[jumps - 1]),
            _jumps=tuple(jumps.tolist()),
        )

    def __repr__(self) -> str:
        if len(self.values) <= 8:
            return f"Tabulated({list(self.values)})"
        return f"Tabulated(<{len(self.values)} values from {self.values[0]:g} to {self.values[-1]:g}>)"

    def _values(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.interp(at, self._knots, self._heights))

    def _breaks(self, n_steps: float) -> Sequence[int]:
        last = len(self.values) - 1
        bend = (last,) if last and last not in self._jumps else ()
        return tuple(step for step in (*self._jumps, *bend) if step < n_steps)


ScheduleLike = float | Schedule | Callable[[int], float]
"""What may stand for a schedule: see `as_schedule`."""

_KINDS: dict[str, type[Schedule]] = {kind.kind: kind for kind in (Constant, Step, Linear, Cosine, WarmUp, Tabulated)}


def schedule_from_dict(plain: Mapping[str, Any]) -> Schedule:
    """Make a schedule from what `Schedule.to_dict` returned.

    Parameters
    ----------
    plain : mapping
        The kind under "kind", and the arguments of that kind under their names.

    Returns
    -------
    Schedule
        Equal to the one that was written down.

    Raises
    ------
    InvalidInput
        If the kind, an argument's name or a value is not one that exists.

    Examples
    --------
    >>> schedule_from_dict(Linear(1.0, 0.0, 4).to_dict())
    Linear(start=1.0, end=0.0, n_steps=4)
    """
    if not isinstance(plain, Mapping) or "kind" not in plain:
        raise InvalidInput(f"a schedule is written as a JSON object with a kind, but this is {plain!r}")
    kind = _KINDS[check_choice("kind", plain["kind"], _KINDS)]
    given = {name: value for name, value in plain.items() if name != "kind"}
    known = [f.name for f in fields(kind) if f.init]
    for name in given:
        check_choice(f"an argument of the {plain['kind']} schedule", name, known)
    if "then" in given and isinstance(given["then"], Mapping):
        given["then"] = schedule_from_dict(given["then"])
    try:
        return kind(**given)
    except TypeError as error:
        raise InvalidInput(f"the {plain['kind']} schedule takes {', '.join(known)}, but got {given!r}") from error


def as_schedule(value: ScheduleLike, n_steps: int) -> Schedule:
    """Return a schedule for whatever may stand for one.

    Parameters
    ----------
    value : float, Schedule or callable
        A number becomes a `Constant`; a schedule is returned as it is; any other callable is called once with
        each step of the run and becomes a `Tabulated`.
    n_steps : int
        Length of the run.

    Returns
    -------
    Schedule
        The schedule.

    Raises
    ------
    InvalidInput
        If a value is not a finite number, 0 or above, or cannot be understood.

    Examples
    --------
    >>> as_schedule(lambda step: 1 / (1 + step), 3)([0, 1, 2])
    array([1.        , 0.5       , 0.33333333])
    """
    n_steps = check_count("n_steps", n_steps)
    if isinstance(value, Schedule):
        return value
    if isinstance(value, (numbers.Real, np.generic, np.ndarray)) and np.ndim(value) == 0:
        return Constant(value)
    if callable(value):
        return Tabulated(tuple(_table_entry(value(step), step) for step in range(n_steps)))
    raise InvalidInput(
        f"a schedule is a number, a schedule such as Constant(0.1), or a function of the step, but this is {value!r}; "
        "a sequence of values goes into Tabulated(values)"
    )


def _table_entry(value: object, step: int) -> float:
    return check_nonnegative(f"the schedule's value at step {step}", value)
