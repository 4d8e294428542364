"""Name the moments that matter on the way to equilibrium, as events for `solve`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import InvalidInput, check_choice, check_count, check_positive
from .problem import FloatArray, Problem

__all__ = ["collapse", "reaching", "tail_off"]

Event = Callable[[float, FloatArray], float]

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
        The size, in the unit of the state.
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

    Examples
    --------
    >>> from weightdecay.simulate import Problem, solve
    >>> decay = Problem(lambda t, y: -y, y0=1.0, t_span=(0, 10))
    >>> solve(decay, events=[reaching(0.5)]).t_events[0].round(6)  # the logarithm of 2
    array([0.693147])
    """
    component = check_count("component", component, least=0)
    return _event(
        lambda _t, y: float(y[component]) - size,
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
    """Return the event that a component's relative rate of change has fallen to a share of its initial one.

    Parameters
    ----------
    problem : Problem
        Gives drift and initial state.
    share : float, optional
        Share of the initial relative rate ``abs(dy/dt) / y``.
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
        If the component does not move, or is zero, at the start.

    Notes
    -----
    Pure decay has a constant relative rate and never tails off. Once something feeds the weights, the rate falls, and
    the weights are within about `share` of their equilibrium when it has fallen to `share` of its initial value.

    Examples
    --------
    >>> from weightdecay.simulate import Problem, solve
    >>> fed = Problem(lambda t, y: 1.0 - y, y0=1000.0, t_span=(0, 20))
    >>> solve(fed, events=[tail_off(fed, share=0.5)]).y_events[0].round(3)  # half the rate: y = 2
    array([[1.998]])
    """
    start, rows = problem.t_span[0], problem.rows()
    component = check_count("component", component, least=0, most=problem.dim - 1)

    def relative_rate(t: float, y: FloatArray) -> float:
        rate = np.broadcast_to(problem.drift(t, y[None, :]), (1, y.size))
        return float(abs(rate[0, component]) / abs(y[component]))

    if rows[0, component] == 0:
        raise InvalidInput(f"component {component} is 0 at the start and has no relative rate; start it elsewhere")
    level = check_positive("share", share) * relative_rate(start, rows[0])
    if level == 0:
        raise InvalidInput(f"component {component} does not move at the start, so its decay cannot tail off")
    return _event(lambda t, y: relative_rate(t, y) - level, terminal=terminal, direction=-1.0)
