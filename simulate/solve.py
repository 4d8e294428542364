"""Integrate a problem with a method of one's choice: the one door to all integrators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InvalidInput, check_choice, check_count, check_finite, check_positive
from .brownian import GROUP, BrownianPaths
from .coefficients import Affine, Power
from .ensemble import Plan, plan_pieces, run_ensemble
from .ode import ODE_METHODS, default_method, integrate
from .problem import Coefficient, FloatArray, Problem, Solution, check_array
from .sde_schemes import SCHEMES, Scheme

__all__ = ["solve"]


def solve(
    problem: Problem,
    t_eval: ArrayLike | None = None,
    *,
    method: str | None = None,
    dt: float | None = None,
    n_paths: int = 1,
    rng: np.random.Generator | int | None = None,
    dW: BrownianPaths | ArrayLike | None = None,
    first_passage: float | None = None,
    block_size: int | None = None,
    n_jobs: int = 1,
    rtol: float | None = None,
    atol: float | None = None,
    events: Callable[..., float] | Sequence[Callable[..., float]] = (),
    dense_output: bool = False,
    max_steps: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Solution:
    """Integrate an ordinary or stochastic differential equation.

    Parameters
    ----------
    problem : Problem
        Equation, initial state and time span.
    t_eval : (n_times,) array_like, optional
        Times to keep, rising, within t_span. Without it, an ordinary equation keeps every step of the solver and a
        stochastic one only the end, so that its memory does not grow with the number of steps.
    method : str, optional
        For ordinary equations "LSODA" (the default up to 500 components), "RK45" (the default above), "RK23", "DOP853",
        "Radau", "BDF" of SciPy; for stochastic ones "euler" (the default), "milstein", "srk15", or "exact" (drawn from
        the known transition law).
    dt : float, optional
        Longest step of a stochastic method; "exact" needs none, and `dW` has its own.
    n_paths : int, optional
        Paths of a stochastic equation; may be left out if y0 has several rows or `dW` is given.
    rng : Generator or int, optional
        Source of random numbers. Each group of 4096 paths has its own stream spawned from it.
    dW : BrownianPaths or (n_paths, n_steps, n_noise) array_like, optional
        Brownian increments to use instead of drawing them: equal steps over the whole of t_span.
    first_passage : float, optional
        Level of component 0 for which the time of first passage of each path is noted.
    block_size : int, optional
        Paths stepped together, rounded down to a multiple of 4096; by default 16384. It changes the speed and no
        number.
    n_jobs : int, optional
        Processes that share the blocks. It changes the speed and no number.
    rtol, atol : float, optional
        Tolerances of the solvers for ordinary equations; rtol is by default 1e-8, atol 1e-4 rtol times the largest
        initial value, or 1e-4 rtol if all are 0.
    events : callable or sequence of callable, optional
        SciPy's events for ordinary equations, such as those of `weightdecay.simulate.events`.
    dense_output : bool, optional
        Whether the solution shall have ``sol(t)``, for ordinary equations.
    max_steps : int, optional
        Steps after which a solver for ordinary equations gives up, by default 20000.
    progress : callable, optional
        Called as ``progress(paths_done, n_paths)`` after each block of paths.

    Returns
    -------
    Solution
        States at the kept times. A solver that does not reach the end says so in `status` and has the times before.

    Raises
    ------
    InvalidInput
        If an argument does not fit the problem or the method, or if dt is too large for a linear drift to be stable.
    IntegrationError
        If a coefficient or the state leaves the finite numbers.

    Examples
    --------
    >>> decay = Problem(lambda t, y: -y, y0=1.0, t_span=(0, 1))
    >>> solve(decay, [1.0]).y.round(7)
    array([[0.3678794]])
    >>> walk = Problem(lambda t, y: 0.0, lambda t, y: 1.0, y0=0.0, t_span=(0, 1))
    >>> solve(walk, dt=0.1, n_paths=3, rng=1).y.shape
    (3, 1, 1)
    """
    if not isinstance(problem, Problem):
        raise InvalidInput(f"problem is {problem!r}, but must be a Problem")
    times = None if t_eval is None else _times(problem, t_eval)
    events = _events(events)
    dt, atol, rtol = (
        value if value is None else check_positive(name, value)
        for name, value in (("dt", dt), ("atol", atol), ("rtol", rtol))
    )
    max_steps, block_size = (
        value if value is None else check_count(name, value)
        for name, value in (("max_steps", max_steps), ("block_size", block_size))
    )
    n_paths, n_jobs = check_count("n_paths", n_paths), check_count("n_jobs", n_jobs)
    problem = _with_coefficients_of_one_shape(problem)
    if problem.diffusion is None:
        unused = {"dt": dt, "dW": dW, "first_passage": first_passage, "rng": rng, "progress": progress}
        unused |= {"block_size": block_size}
        given = [name for name, value in unused.items() if value is not None]
        given += [name for name, value in {"n_paths": n_paths, "n_jobs": n_jobs}.items() if value != 1]
        if given:
            raise InvalidInput(f"{given[0]} is for stochastic problems, but this one has no diffusion; leave it out")
        return integrate(
            problem,
            times,
            method=check_choice("method of an ordinary equation", method or default_method(problem), ODE_METHODS),
            rtol=1e-8 if rtol is None else rtol,
            atol=atol,
            events=events,
            dense_output=dense_output,
            max_steps=20_000 if max_steps is None else max_steps,
        )
    ordinary = {"dense_output": dense_output or None, "events": events or None}
    for name, value in (ordinary | {"rtol": rtol, "atol": atol, "max_steps": max_steps}).items():
        if value is not None:
            instead = "t_eval or first_passage" if name in ordinary else "dt"
            raise InvalidInput(f"{name} is for problems without diffusion; use {instead} for this one")
    method = check_choice("method of a stochastic equation", method or "euler", (*SCHEMES, "exact"))
    times = np.array([problem.t_span[1]]) if times is None else times
    level = None if first_passage is None else check_finite("first_passage", first_passage)
    paths = None if dW is None else _shared(problem, dW, method)
    plan = _plan(problem, times, method, dt, paths, level)
    return run_ensemble(
        plan,
        method=method,
        n_paths=_n_paths(problem, n_paths, paths),
        rng=rng,
        dW=paths,
        block_size=4 * GROUP if block_size is None else block_size,
        n_jobs=n_jobs,
        progress=progress,
    )


def _plan(
    problem: Problem, times: FloatArray, method: str, dt: float | None, paths: BrownianPaths | None, level: float | None
) -> Plan:
    span = problem.t_span[1] - problem.t_span[0]
    if method == "exact":
        if problem.transition is None:
            raise InvalidInput("method 'exact' needs a problem with a known transition law; use 'euler' or 'srk15'")
        small_steps = {"first_passage": level, "dW": paths, "dt": dt}
        for name in (name for name, value in small_steps.items() if value is not None):
            raise InvalidInput(f"{name} needs a method that takes small steps, but 'exact' jumps from time to time")
        return Plan(problem, None, times, plan_pieces(problem, times, span, exactly=False), None)
    scheme = SCHEMES[method]
    if "general" not in scheme.strong_order and problem.noise == "general":
        scalar = problem.n_noise == 1 and "scalar" in scheme.strong_order
        if not scalar:
            raise InvalidInput(
                f"method {method!r} does not take general noise with {problem.n_noise} Brownian motions; use 'euler'"
            )
    if paths is not None:
        if dt is not None and abs(dt / paths.dt - 1) > 1e-9:
            raise InvalidInput(f"dt is {dt:g}, but the steps of dW have the length {paths.dt:g}; leave dt out")
        dt = paths.dt
    elif dt is None:
        raise InvalidInput(f"method {method!r} needs dt, the length of its steps, above 0 and at most {span:g}")
    if dt > span * (1 + 1e-9):
        raise InvalidInput(f"dt is {dt:g}, but must be at most the time span, {span:g}")
    _check_stability(problem, scheme, method, dt)
    if level is not None:  # the passages of all paths are wanted up to the end
        end = problem.t_span[1]
        pieces = plan_pieces(problem, np.union1d(times, [end]), dt, exactly=paths is not None)
        pieces = tuple(
            (*piece[:3], piece[3] and (k < len(pieces) - 1 or end in times)) for k, piece in enumerate(pieces)
        )
        return Plan(problem, scheme, times, pieces, level)
    return Plan(problem, scheme, times, plan_pieces(problem, times, dt, exactly=paths is not None), level)


def _times(problem: Problem, t_eval: ArrayLike) -> FloatArray:
    start, end = problem.t_span
    times = np.atleast_1d(check_array("t_eval", t_eval, "finite numbers of shape (n_times,)"))
    if times.ndim != 1 or times.size == 0:
        raise InvalidInput(f"t_eval has shape {times.shape}, but must have shape (n_times,) with at least one time")
    if not np.all(np.diff(times) > 0):
        place = int(np.argmin(np.diff(times) > 0))
        raise InvalidInput(f"t_eval must rise, but {times[place + 1]:g} follows {times[place]:g}")
    if not (times[0] >= start and times[-1] <= end):
        raise InvalidInput(
            f"t_eval goes from {times[0]:g} to {times[-1]:g}, but must lie in t_span, {start:g} to {end:g}"
        )
    return times


def _events(events: Any) -> tuple[Callable[..., float], ...]:
    try:
        found = (events,) if callable(events) else tuple(events)
        if not all(map(callable, found)):
            raise TypeError
    except TypeError:
        raise InvalidInput(f"events is {events!r}, but must be one function event(t, y), or several") from None
    return found


def _with_coefficients_of_one_shape(problem: Problem) -> Problem:
    """Return the problem with functions that are refused when they change their shape, which broadcasting would hide.

    Ready-made coefficients cannot, and stay as they are: the schemes know them by their type.
    """
    tails = {"drift": (), "diffusion_derivative": (), "diffusion": (problem.n_noise,)[: problem.noise == "general"]}
    ready = (Affine, Power)
    functions = {name: getattr(problem, name) for name in tails}
    checked: dict[str, Any] = {
        name: _of_one_shape(name, function, tails[name])
        for name, function in functions.items()
        if function is not None and not isinstance(function, ready)
    }
    return replace(problem, **checked) if checked else problem


def _of_one_shape(name: str, coefficient: Coefficient, tail: tuple[int, ...]) -> Coefficient:
    wanted = "(n_paths, dim, n_noise)" if tail else "(n_paths, dim)"

    def checked(t: float, y: FloatArray) -> Any:
        value = coefficient(t, y)
        shape = np.shape(value)
        if shape != y.shape + tail and (shape or tail):
            raise InvalidInput(
                f"{name}(t, y) returned the shape {shape} at t={t:g}, but must return {y.shape + tail} {wanted} "
                "at all times"
            )
        return value

    return checked


def _n_paths(problem: Problem, n_paths: int, paths: BrownianPaths | None) -> int:
    n_paths = check_count("n_paths", n_paths)
    known = {"y0": problem.rows().shape[0], "dW": 1 if paths is None else paths.dW.shape[0]}
    largest = max(n_paths, *known.values())
    for name, count in (*known.items(), ("n_paths", n_paths)):
        if count not in (1, largest) or (name == "dW" and paths is not None and count != largest):
            raise InvalidInput(f"{name} has {count} paths, but must have {largest}")
    return int(largest)


def _shared(problem: Problem, dW: BrownianPaths | ArrayLike, method: str) -> BrownianPaths:
    span = problem.t_span[1] - problem.t_span[0]
    if isinstance(dW, BrownianPaths):
        paths = dW
    else:
        if method in SCHEMES and SCHEMES[method].needs_dZ:
            raise InvalidInput(
                f"method {method!r} needs more than dW; give the BrownianPaths that brownian_paths returns"
            )
        array = check_array("dW", dW, "finite numbers of shape (n_paths, n_steps, n_noise)")
        array = array[:, :, None] if array.ndim == 2 else array
        if array.ndim != 3 or array.size == 0:
            raise InvalidInput(f"dW has shape {array.shape}, but must have shape (n_paths, n_steps, n_noise)")
        paths = BrownianPaths(span / array.shape[1], array, array)
    if paths.dW.shape[2] != problem.n_noise:
        raise InvalidInput(
            f"dW has shape {paths.dW.shape}, but must have shape (n_paths, n_steps, {problem.n_noise}) for this problem"
        )
    if abs(paths.dt * paths.n_steps / span - 1) > 1e-9:
        raise InvalidInput(
            f"dW covers {paths.n_steps} steps of {paths.dt:g}, but must cover the time span, {span:g}, exactly"
        )
    return paths


def _check_stability(problem: Problem, scheme: Scheme, method: str, dt: float) -> None:
    """Refuse a step beyond the stability bound, if the drift is linear (where the bound is a fact) and small enough."""
    y0, t0, dim = problem.rows()[:1], problem.t_span[0], problem.dim
    if dim > 64:
        return
    moves = np.vstack([np.zeros(dim), np.eye(dim), 2.0 * np.eye(dim), np.ones(dim)]) * (1.0 + np.abs(y0))
    try:  # a drift may insist on its own number of paths, or on an admissible state; then nothing is known
        with np.errstate(all="ignore"):
            values = np.array([np.broadcast_to(problem.drift(t0, y0 + move), (1, dim))[0] for move in moves])
    except (ValueError, IndexError, FloatingPointError):
        return
    rise, twice = values[1 : dim + 1] - values[0], values[dim + 1 : 2 * dim + 1] - values[0]
    scale = 1e-9 * np.max(np.abs(values), initial=0.0)
    together = np.abs(values[-1] - values[0] - rise.sum(axis=0))
    if not (np.all(np.abs(twice - 2.0 * rise) <= scale) and np.all(together <= scale)):
        return
    rates = np.linalg.eigvals((rise / np.diag(moves[1 : dim + 1])[:, None]).T)
    damped = rates[rates.real < 0]
    if damped.size == 0 or max(abs(scheme.amplification(rate * dt)) for rate in damped) <= 1 + 1e-12:
        return
    low, high = 0.0, dt
    for _ in range(60):
        middle = 0.5 * (low + high)
        if max(abs(scheme.amplification(rate * middle)) for rate in damped) <= 1 + 1e-12:
            low = middle
        else:
            high = middle
    raise InvalidInput(
        f"dt is {dt:g}, but method {method!r} is stable for this linear drift only up to {low:.6g}; use a smaller dt"
    )
