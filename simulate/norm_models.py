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
from .problem import FloatArray, Problem, check_array, check_initial_state, check_span
from .schedules import ScheduleLike, as_schedule

__all__ = ["norm_under_pull", "problem_from_derivation", "pure_decay_floor", "scale_invariant_norm"]


def problem_from_derivation(
    derivation: Derivation,
    state: str,
    *,
    rate: str = "rate",
    diffusion: str | None = None,
    y0: ArrayLike,
    t_span: tuple[float, float],
    values: Mapping[str, Any],
    clock: Callable[[float], float] | None = None,
    positive: bool = True,
    exact: Callable[..., Any] | None = None,
    breaks: tuple[float, ...] = (),
) -> Problem:
    """Make a problem from a derivation whose results are the drift of one quantity and, if it is random, its diffusion.

    Parameters
    ----------
    derivation : Derivation
        Where the equation comes from; it is compiled once.
    state : str
        The argument of the results that is the state.
    rate : str, optional
        Name of the result that is the state's rate of change, or its drift.
    diffusion : str, optional
        Name of the result that is the state's diffusion, in the sense of Itô. Without it the problem is an ordinary
        differential equation.
    y0, t_span, positive, exact, breaks
        As in `Problem`. Each component of the state follows the same equation, each path and component may have its
        own values, and in a stochastic problem each has its own noise.
    values : mapping
        Every other argument of the results: a number, an array that broadcasts with the state, or a function of time.
    clock : callable, optional
        Factor from the derivation's unit of time to the problem's, as a function of time: the learning rate, where
        the equation is in learning rate times steps and the problem in steps. Diffusion gets its square root.

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

    The squared norm under pure gradient noise, as a stochastic equation:

    >>> noise = {"lr": 0.1, "weight_decay": 0.5, "noise_variance": 1.0, "n_weights": 10}
    >>> norm = problem_from_derivation(
    ...     derive("cox-ingersoll-ross"), "norm_squared", rate="drift", diffusion="diffusion", y0=4.0, t_span=(0, 1),
    ...     values=noise,
    ... )
    >>> norm.diffusion(0.0, norm.rows()).round(6)  # 2 sqrt(0.1 * 1 * 4)
    array([[1.264911]])
    """
    start, results = check_span(t_span)[0], [rate] if diffusion is None else [rate, diffusion]
    at_start = {name: value(start) if callable(value) else value for name, value in values.items()}
    origin = np.atleast_1d(check_array("y0", y0, "real numbers of shape (dim,) or (n_paths, dim)"))
    wanted = {result: derivation.arguments(result) for result in results}
    for result, names in wanted.items():
        if state not in names and result == rate:
            raise InvalidInput(
                f"the {result} of {derivation.name!r} does not depend on {state!r}, but on {', '.join(names)}"
            )
        own = {state: origin, **at_start}
        others = {name for group in wanted.values() for name in group} - set(names)
        derivation.numeric(result, **{name: value for name, value in own.items() if name not in others})

    def coefficient(result: str, power: float) -> Callable[[float, FloatArray], Any]:
        function, names = compiled(derivation, result), set(wanted[result]) - {state}
        depends = state in wanted[result]

        def at(t: float, y: FloatArray) -> Any:
            now = {name: values[name](t) if callable(values[name]) else values[name] for name in names}
            value = function(**now, **({state: y} if depends else {}))
            return value if clock is None else clock(t) ** power * value

        return at

    return Problem(
        coefficient(rate, 1.0),
        None if diffusion is None else coefficient(diffusion, 0.5),
        y0=y0,
        t_span=t_span,
        positive=positive,
        exact=exact,
        breaks=breaks,
    )


def norm_under_pull(
    *,
    norm_squared_start: ArrayLike,
    lr: ScheduleLike,
    weight_decay: ScheduleLike,
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
    start = check_initial_state(norm_squared_start, positive=True, name="norm_squared_start")
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
    lr: ScheduleLike,
    weight_decay: ScheduleLike,
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

    Raises
    ------
    InvalidInput
        If a value is outside its range.

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
    start = check_initial_state(norm_squared_start, positive=True, name="norm_squared_start")
    if not np.all(start > 0):
        raise InvalidInput(f"norm_squared_start contains {start.min():g}, but must be above 0 for this block")
    power = check_positive("unit_gradient_power", unit_gradient_power)
    n_steps = check_count("n_steps", n_steps)
    flow = derive("scale-invariant-flow")
    rates, decays = as_schedule(lr, n_steps), as_schedule(weight_decay, n_steps)
    coefficient = effective_weight_decay(rates, decays, n_steps, law=law, lr_max=lr_max)

    def exact(step: float) -> FloatArray:
        constants = {"lr": rates(0), "weight_decay": coefficient(0), "unit_gradient_power": power}
        return np.asarray(flow.numeric("norm_squared", norm_squared_start=start, time=rates(0) * step, **constants))

    steady = rates.kind == decays.kind == "constant"
    return problem_from_derivation(
        flow,
        "norm_squared",
        y0=norm_squared_start,
        t_span=(0.0, float(n_steps)),
        values={"lr": rates, "weight_decay": coefficient, "unit_gradient_power": power},
        clock=rates,
        positive=False,  # its rate is infinite at 0, so it never gets there
        exact=exact if steady else None,
        breaks=tuple(map(float, {*rates.breaks(n_steps), *decays.breaks(n_steps)})),
    )


def pure_decay_floor(
    norm_squared_start: float, lr: ScheduleLike, weight_decay: ScheduleLike, n_steps: int, *, law: str = "decoupled"
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
