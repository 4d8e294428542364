"""Pose the equations of one block's squared norm from their derivations, and the floor below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InvalidInput, check_count, check_positive
from ..theory import Derivation, derive
from .decay_laws import decay_per_step, effective_weight_decay
from .derived import compiled
from .problem import FloatArray, Problem
from .schedules import Schedule, as_schedule

__all__ = ["check_state", "norm_under_pull", "problem_from_derivation", "pure_decay_floor", "scale_invariant_norm"]

Value = float | Schedule | Callable[[int], float]


def check_state(name: str, value: ArrayLike) -> FloatArray:
    """Return an initial state that must not be negative as an array of at least one dimension.

    >>> check_state("norm_squared_start", -1)
    Traceback (most recent call last):
    weightdecay.errors.InvalidInput: norm_squared_start contains -1, but must be finite and 0 or above
    """
    try:
        state = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError):
        raise InvalidInput(f"{name} is {value!r}, but must be numbers that are finite and 0 or above") from None
    wrong = state[~(np.isfinite(state) & (state >= 0))]
    if wrong.size:
        raise InvalidInput(f"{name} contains {wrong[0]:g}, but must be finite and 0 or above")
    return state


def problem_from_derivation(
    derivation: Derivation,
    state: str,
    *,
    rate: str = "rate",
    y0: ArrayLike,
    t_span: tuple[float, float],
    values: Mapping[str, Any],
    clock: Callable[[float], float] | None = None,
    positive: bool = True,
    exact: Callable[..., Any] | None = None,
    breaks: tuple[float, ...] = (),
) -> Problem:
    """Make a problem from a derivation whose result is the rate of change of one quantity.

    Parameters
    ----------
    derivation : Derivation
        Where the equation comes from; it is compiled once.
    state : str
        The argument of the result that is the state.
    rate : str, optional
        Name of the result that is the state's rate of change.
    y0, t_span, positive, exact, breaks
        As in `Problem`. Each component of the state follows the same equation, each path and component may have its
        own values.
    values : mapping
        Every other argument of the result: a number, an array that broadcasts with the state, or a function of time.
    clock : callable, optional
        Factor from the derivation's unit of time to the problem's, as a function of time: the learning rate, where
        the equation is in learning rate times steps and the problem in steps.

    Returns
    -------
    Problem

    Raises
    ------
    InvalidInput
        If the values at the start are not those that the derivation takes.

    Examples
    --------
    >>> flow = derive("norm-flow")
    >>> values = {"lr": 0.1, "weight_decay": 0.5, "radial_pull": 1.0, "gradient_power": 0.0}
    >>> problem = problem_from_derivation(flow, "norm_squared", y0=1.0, t_span=(0, 1), values=values)
    >>> problem.drift(0.0, problem.rows())  # 2 pull minus 2 weight_decay times the squared norm
    array([[1.]])
    """
    start = float(t_span[0])
    wanted = derivation.arguments(rate)
    if state not in wanted:
        raise InvalidInput(
            f"the {rate} of {derivation.name!r} does not depend on {state!r}, but on {', '.join(wanted)}"
        )
    at_start = {name: value(start) if callable(value) else value for name, value in values.items()}
    derivation.numeric(rate, **{state: np.atleast_1d(np.asarray(y0, dtype=np.float64)), **at_start})
    right = compiled(derivation, rate)

    def drift(t: float, y: FloatArray) -> Any:
        now = {name: value(t) if callable(value) else value for name, value in values.items()}
        change = right(**{state: y, **now})
        return change if clock is None else clock(t) * change

    return Problem(drift, y0=y0, t_span=t_span, positive=positive, exact=exact, breaks=breaks)


def norm_under_pull(
    *,
    norm_squared_start: ArrayLike,
    lr: Value,
    weight_decay: Value,
    n_steps: int,
    radial_pull: ArrayLike | Callable[[float], float] = 0.0,
    gradient_power: ArrayLike | Callable[[float], float] = 0.0,
    law: str = "decoupled",
    lr_max: float | None = None,
) -> Problem:
    """Pose the squared norm of a block that decays, is pulled by the data and fed by gradient noise.

    Parameters
    ----------
    norm_squared_start : float or (n_paths, 1) array_like, weight^2
        Squared norm at the start.
    lr, weight_decay : float, Schedule or callable
        Learning rate and decay coefficient over the steps.
    n_steps : int
        Length of the run.
    radial_pull : float, array_like or callable, loss
        Pull of the mini-batches, constant or as a function of the step.
    gradient_power : float, array_like or callable, (loss/weight)^2
        Second moment of the mini-batch gradient.
    law, lr_max : str and float, optional
        How learning rate and weight decay make the decay, as in `decay_per_step`.

    Returns
    -------
    Problem
        Its time is counted in steps; it has its exact solution if nothing depends on the step and there is decay.

    Notes
    -----
    The equation of the derivation "norm-flow"; one step of SGD does the same up to terms of second order in
    lr * weight_decay. A pull inwards stops at 0, where there is no weight left to pull.

    References
    ----------
    vanlaarhoven2017

    Examples
    --------
    >>> from weightdecay.simulate import solve
    >>> layer = norm_under_pull(norm_squared_start=23520, lr=0.1, weight_decay=1e-4, radial_pull=0.1, n_steps=150000)
    >>> solve(layer, [150000]).y.round(1)  # the pull holds what 30 epochs of decay leave
    array([[2121.2]])
    """
    start = check_state("norm_squared_start", norm_squared_start)
    n_steps = check_count("n_steps", n_steps)
    flow = derive("norm-flow")
    rates, decays = as_schedule(lr, n_steps), as_schedule(weight_decay, n_steps)
    coefficient = effective_weight_decay(rates, decays, n_steps, law=law, lr_max=lr_max)
    values: dict[str, Any] = {
        "lr": rates,
        "weight_decay": coefficient,
        "radial_pull": radial_pull,
        "gradient_power": gradient_power,
    }
    steady = rates.kind == decays.kind == "constant" and not callable(radial_pull) and not callable(gradient_power)

    def exact(step: float) -> FloatArray:
        constants = {name: value(0) if callable(value) else value for name, value in values.items()}
        size = flow.numeric(norm_squared_start=start, time=constants["lr"] * step, **constants)
        return np.asarray(np.maximum(size, 0.0))

    return problem_from_derivation(
        flow,
        "norm_squared",
        y0=norm_squared_start,
        t_span=(0.0, float(n_steps)),
        values=values,
        clock=rates,
        exact=exact if steady and coefficient(0) > 0 else None,
        breaks=tuple(map(float, {*rates.breaks(n_steps), *decays.breaks(n_steps)})),
    )


def scale_invariant_norm(
    *,
    norm_squared_start: ArrayLike,
    lr: Value,
    weight_decay: Value,
    unit_gradient_power: float,
    n_steps: int,
    law: str = "decoupled",
    lr_max: float | None = None,
) -> Problem:
    """Pose the squared norm of a scale-invariant block, such as weights before a normalization.

    Parameters
    ----------
    norm_squared_start : float or (n_paths, 1) array_like, weight^2
        Squared norm at the start, above 0.
    lr, weight_decay : float, Schedule or callable
        Learning rate and decay coefficient over the steps.
    unit_gradient_power : float, loss^2
        Second moment of the gradient at unit norm.
    n_steps : int
        Length of the run.
    law, lr_max : str and float, optional
        How learning rate and weight decay make the decay, as in `decay_per_step`.

    Returns
    -------
    Problem
        Its time is counted in steps; it has its exact solution if nothing depends on the step.

    Notes
    -----
    The equation of the derivation "scale-invariant-flow": there is no pull, as the gradient is tangential, and its
    power is unit_gradient_power / norm_squared. The square of the squared norm obeys a linear equation.

    References
    ----------
    vanlaarhoven2017, lilyuarora2020

    Examples
    --------
    >>> block = scale_invariant_norm(
    ...     norm_squared_start=1.0, lr=0.1, weight_decay=0.05, unit_gradient_power=4.0, n_steps=4000
    ... )
    >>> round(float(block.exact(4000)[0]), 6)  # the square root of 0.1 times 4 / (2 times 0.05)
    2.0
    """
    start = check_state("norm_squared_start", norm_squared_start)
    if not np.all(start > 0):
        raise InvalidInput(f"norm_squared_start contains {start.min():g}, but must be above 0 for this block")
    power = check_positive("unit_gradient_power", unit_gradient_power)
    n_steps = check_count("n_steps", n_steps)
    flow = derive("scale-invariant-flow")
    rate = compiled(flow, "rate")
    rates, decays = as_schedule(lr, n_steps), as_schedule(weight_decay, n_steps)
    coefficient = effective_weight_decay(rates, decays, n_steps, law=law, lr_max=lr_max)

    def drift(t: float, y: FloatArray) -> Any:
        now = rates(t)
        return now * rate(norm_squared=y, unit_gradient_power=power, lr=now, weight_decay=coefficient(t))

    def exact(step: float) -> FloatArray:
        constants = {"lr": rates(0), "weight_decay": coefficient(0), "unit_gradient_power": power}
        return np.asarray(flow.numeric("norm_squared", norm_squared_start=start, time=rates(0) * step, **constants))

    steady = rates.kind == decays.kind == "constant"
    return Problem(
        drift,
        y0=norm_squared_start,
        t_span=(0.0, float(n_steps)),
        exact=exact if steady else None,
        breaks=tuple(map(float, {*rates.breaks(n_steps), *decays.breaks(n_steps)})),
    )


def pure_decay_floor(
    norm_squared_start: float, lr: Value, weight_decay: Value, n_steps: int, *, law: str = "decoupled"
) -> FloatArray:
    """Return the squared norm that decay alone leaves after each step; data that pull inwards can go below it.

    Parameters
    ----------
    norm_squared_start : float, weight^2
        Squared norm, or variance, at the start.
    lr, weight_decay : float, Schedule or callable
        Learning rate and decay coefficient over the steps.
    n_steps : int
        Length of the run.
    law : str, optional
        As in `decay_per_step`.

    Returns
    -------
    (n_steps + 1,) ndarray, weight^2
        Before the first step and after each, exact for any schedule: the product of the steps' factors.

    Examples
    --------
    >>> pure_decay_floor(1.01, 0.1, 1e-4, 150000)[-1].round(5)  # the founding run's layer 2 after 30 epochs
    np.float64(0.05028)
    """
    decays = decay_per_step(lr, weight_decay, n_steps, law=law)
    floor = derive("decay-floor")
    start = floor.numeric("norm_squared", norm_squared_start=norm_squared_start, lr=1.0, weight_decay=0.0, n_steps=0)
    factors = floor.numeric("factor", lr=1.0, weight_decay=decays, n_steps=1)
    return np.asarray(start * np.concatenate(([1.0], np.cumprod(np.square(factors)))))
