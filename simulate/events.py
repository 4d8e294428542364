"""Name the moments that matter on the way to equilibrium, as events for `solve`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import InvalidInput, check_choice, check_count, check_finite, check_positive
from .problem import FloatArray, Problem

__all__ = ["collapse", "reaching", "tail_off"]

Event = Callable[[float, FloatArray], float]

_DIFFERENCE = float(np.finfo(float).eps ** (1 / 3))  # share of the state: the best for a central difference
_FAR = 1e6  # relative distance that stands for none, finite so that a root can be bracketed

_DIRECTIONS = {"either": 0.0, "up": 1.0, "down": -1.0}


def _event(function: Event, *, terminal: bool, direction: float) -> Event:
    function.terminal = terminal  # type: ignore[attr-defined]  # SciPy reads both as attributes of the function
    function.direction = direction  # type: ignore[attr-defined]
    return function


def reaching(size: float, *, component: int = 0, direction: str = "either", terminal: bool = True) -> Event:
    """Return the event that one component of the state reaches a size.

    Parameters
    ----------
    size : float
        The size, in the unit of the state; finite.
    component : int, optional
        Component of the state.
    direction : {"either", "up", "down"}, optional
        Whether it has to be reached from below, from above, or either.
    terminal : bool, optional
        Whether the integration ends there.

    Returns
    -------
    callable
        Event for ``solve(..., events=...)``.

    Raises
    ------
    InvalidInput
        If the size is no finite number, or, while solving, if the state has no such component.

    Examples
    --------
    >>> from weightdecay.simulate import Problem, solve
    >>> decay = Problem(lambda t, y: -y, y0=1.0, t_span=(0, 10))
    >>> solve(decay, events=[reaching(0.5)]).t_events[0].round(6)  # the logarithm of 2
    array([0.693147])
    """
    component = check_count("component", component, least=0)
    level = check_finite("size", size)

    def above(_t: float, y: FloatArray) -> float:
        if component >= y.size:
            raise InvalidInput(f"component is {component}, but must be a whole number from 0 to {y.size - 1}")
        return float(y[component]) - level

    return _event(
        above,
        terminal=terminal,
        direction=_DIRECTIONS[check_choice("direction", direction, _DIRECTIONS)],
    )


def collapse(problem: Problem, *, share: float = 1e-6, terminal: bool = True) -> Event:
    """Return the event that the state as a whole has shrunk to a share of its initial size.

    Parameters
    ----------
    problem : Problem
        Gives the initial state.
    share : float, optional
        Share of the initial Euclidean norm of the state that counts as collapsed.
    terminal : bool, optional
        Whether the integration ends there.

    Returns
    -------
    callable
        Event for ``solve(..., events=...)``.

    Examples
    --------
    >>> from weightdecay.simulate import Problem, solve
    >>> decay = Problem(lambda t, y: -y, y0=[3.0, 4.0], t_span=(0, 20))
    >>> solve(decay, events=[collapse(decay, share=1e-3)]).t_events[0].round(4)
    array([6.9078])
    """
    size = check_positive("share", share) * float(np.linalg.norm(problem.rows()))
    return _event(lambda _t, y: float(np.linalg.norm(y)) - size, terminal=terminal, direction=-1.0)


def tail_off(problem: Problem, *, share: float = 0.1, component: int = 0, terminal: bool = True) -> Event:
    """Return the event that a component's distance from its equilibrium has fallen to a share of its initial one.

    Parameters
    ----------
    problem : Problem
        Gives drift and initial state.
    share : float, optional
        Share of the initial relative distance.
    component : int, optional
        Component of the state.
    terminal : bool, optional
        Whether the integration ends there.

    Returns
    -------
    callable
        Event for ``solve(..., events=...)``.

    Raises
    ------
    InvalidInput
        If the component does not move, is zero, or is not drawn to an equilibrium at the start.

    Notes
    -----
    The distance is that of one Newton step, abs(drift / slope) / y, the slope being the drift's derivative with
    respect to the component, the others held: exactly abs(y - equilibrium) / y if the drift is linear in the component.
    A factor in front of the whole drift, such as the learning rate, cancels, so that a drop of it is no tail-off; an
    equilibrium that the schedules move is followed. Pure decay is at distance 1 for ever and never tails off.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> from weightdecay.simulate import Problem, solve
    >>> fed = Problem(lambda t, y: 1.0 - y, y0=1000.0, t_span=(0, 20))
    >>> solve(fed, events=[tail_off(fed, share=0.5)]).y_events[0].round(3)  # half the distance: y = 2
    array([[1.998]])
    """
    start, rows = problem.t_span[0], problem.rows()
    component = check_count("component", component, least=0, most=problem.dim - 1)

    def drift(t: float, y: FloatArray, change: float = 0.0) -> float:
        moved = y[None, :].copy()
        moved[0, component] += change
        return float(np.broadcast_to(problem.drift(t, moved), moved.shape)[0, component])

    def distance(t: float, y: FloatArray) -> float:
        size = abs(float(y[component]))
        change = _DIFFERENCE * size
        if change == 0:
            return _FAR
        slope = (drift(t, y, change) - drift(t, y, -change)) / (2.0 * change)
        rate = abs(drift(t, y))
        return min(rate / (-slope * size), _FAR) if -slope * size > rate / _FAR else _FAR

    if rows[0, component] == 0:
        raise InvalidInput(f"component {component} is 0 at the start and has no relative distance; start it elsewhere")
    if drift(start, rows[0]) == 0:
        raise InvalidInput(f"component {component} does not move at the start, so its decay cannot tail off")
    at_start = distance(start, rows[0])
    if at_start >= _FAR:
        raise InvalidInput(
            f"component {component} is not drawn to an equilibrium at the start, so it has no distance from it; "
            "start it where its drift falls as it grows"
        )
    level = check_positive("share", share) * at_start
    return _event(lambda t, y: distance(t, y) - level, terminal=terminal, direction=-1.0)
