"""Integrate ordinary differential equations with SciPy, piece by piece between breaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import IntegrationError, InvalidInput
from .problem import FloatArray, Problem, Solution, Status, not_finite

__all__ = ["EXPLICIT_METHODS", "ODE_METHODS", "default_method", "integrate"]

EXPLICIT_METHODS = ("RK23", "RK45", "DOP853")
ODE_METHODS = (*EXPLICIT_METHODS, "LSODA", "Radau", "BDF")

_DENSE = 500  # components beyond which an implicit solver's Jacobian costs more than the steps that it saves


def default_method(problem: Problem) -> str:
    """Return the method for ordinary equations of which no method is asked.

    Examples
    --------
    >>> default_method(Problem(lambda t, y: -y, y0=1.0, t_span=(0, 1)))
    'LSODA'
    >>> default_method(Problem(lambda t, y: -y, y0=np.ones(7840), t_span=(0, 1)))
    'RK45'
    """
    return "LSODA" if problem.dim <= _DENSE else "RK45"


def integrate(
    problem: Problem,
    t_eval: FloatArray | None,
    *,
    method: str,
    rtol: float,
    atol: float | None,
    events: Sequence[Callable[..., float]],
    dense_output: bool,
    max_steps: int,
) -> Solution:
    """Return the solution of an ordinary differential equation; the arguments are those of `solve`, checked.

    Several initial states are integrated as one system, which is much faster than one call for each.
    """
    rows = problem.rows()
    if events and rows.shape[0] > 1:
        raise InvalidInput(f"events work on one initial state, but y0 has {rows.shape[0]} rows; solve them one by one")
    from scipy.integrate import OdeSolution  # here, since it takes long to import

    right, budget = _RightSide(problem, rows.shape), _Budget()
    watched = [_on_clipped(event) for event in events] if problem.positive else list(events)
    options = _jacobian(method, rows.shape) | {
        "method": method,
        "rtol": rtol,
        "atol": atol if atol is not None else 1e-4 * rtol * (float(np.max(np.abs(rows))) or 1.0),
        "dense_output": dense_output,
    }
    edges = (problem.t_span[0], *problem.breaks, problem.t_span[1])
    flat = rows.ravel()
    times, states, knots, pieces = [], [], [edges[0]], []
    found: list[list[tuple[FloatArray, FloatArray]]] = [[] for _ in events]
    status = Status.REACHED_END
    for begin, end in pairwise(edges):
        right.last = float(np.nextafter(end, begin))  # a jump at the end belongs to what comes after it
        wanted = None
        if t_eval is not None:
            inside = t_eval[(t_eval > begin) & (t_eval <= end)]
            wanted = np.unique(np.concatenate(([begin], inside, [end])))
        right.left = max_steps * (20 + rows.size)  # every piece has its own budget, so schedules may have many breaks
        budget.most = budget.steps + max_steps
        outcome = right.run((begin, end), flat, t_eval=wanted, events=[*watched, budget], **options)
        flat = outcome.y[:, -1]
        first = 0 if begin == edges[0] else 1
        times.append(outcome.t[first:])
        states.append(outcome.y[:, first:])
        for place, (t_found, y_found) in enumerate(zip(outcome.t_events[:-1], outcome.y_events[:-1], strict=True)):
            found[place].append((t_found, y_found.reshape(len(t_found), flat.size)))
        if outcome.sol is not None:
            knots.extend(outcome.sol.ts[1:])
            pieces.extend(outcome.sol.interpolants)
        if outcome.status != 0:
            status = _why(outcome.status, budget, method)
            break
    t, y = np.concatenate(times), np.concatenate(states, axis=1)
    if t_eval is not None:
        keep = np.isin(t, t_eval)
        t, y = t[keep], y[:, keep]
    t_events, y_events = ([np.concatenate([part[k] for part in parts]) for parts in found] for k in (0, 1))
    if problem.positive:
        y, y_events = np.maximum(y, 0.0), [np.maximum(states_there, 0.0) for states_there in y_events]
    shaped = np.moveaxis(y.reshape(*rows.shape, t.size), -1, 1)
    return Solution(
        t=t,
        y=shaped if np.ndim(problem.y0) == 2 else shaped[0],
        method=method,
        status=status,
        t_events=tuple(t_events),
        y_events=tuple(y_events),
        sol=_dense(OdeSolution(knots, pieces), np.shape(problem.y0), positive=problem.positive) if pieces else None,
        n_steps=int(budget.steps),
    )


def _on_clipped(event: Callable[..., float]) -> Callable[..., float]:
    """Return the event as it sees a state that must not be negative."""

    def clipped(t: float, y: FloatArray) -> float:
        return event(t, np.maximum(y, 0.0))

    for name in ("terminal", "direction"):  # SciPy reads them as attributes of the function
        if hasattr(event, name):
            setattr(clipped, name, getattr(event, name))
    return clipped


def _dense(raw: Callable[[Any], FloatArray], shape: tuple[int, ...], *, positive: bool) -> Callable[[Any], FloatArray]:
    """Return the solver's interpolant in the shape of y0; where the state must not be negative its dips are clipped."""

    def sol(t: Any) -> FloatArray:
        state = raw(t).reshape(*shape, *np.shape(t))
        return np.maximum(state, 0.0) if positive else state

    return sol


class NoProgress(IntegrationError):
    """A solver that tries forever within one step."""


class _RightSide:
    """Drift on flat states; stops at the last moment before a break and remembers where it was not finite.

    A state that must not be negative stays where it is below 0 until its drift at 0 points upwards again.
    """

    def __init__(self, problem: Problem, shape: tuple[int, ...]) -> None:
        self.problem, self.shape, self.last, self.left = problem, shape, np.inf, 0
        self.offence: str | None = None

    def __call__(self, t: float, flat: FloatArray) -> FloatArray:
        self.left -= 1
        if self.left < 0:  # a solver can try forever within one step, where no event counts
            raise NoProgress(f"the solver makes no progress at t={t:g}; increase atol or rtol, or max_steps")
        t = min(t, self.last)
        rows = flat.reshape(self.shape)
        with np.errstate(all="ignore"):
            value = self.problem.drift(t, np.maximum(rows, 0.0) if self.problem.positive else rows)
        if self.offence is None and not np.all(np.isfinite(value)):
            self.offence = not_finite("drift", t, rows, value)
        value = np.broadcast_to(value, self.shape)
        if self.problem.positive:
            value = np.where(rows < 0.0, np.maximum(value, 0.0), value)
        return value.ravel()

    def run(self, t_span: tuple[float, float], flat: FloatArray, **options: Any) -> Any:
        """Run the solver; if it fails after a value that was not finite, say so (a rejected trial is no failure)."""
        from scipy.integrate import solve_ivp  # here, since it takes long to import

        try:
            with np.errstate(all="ignore"):
                outcome = solve_ivp(self, t_span, flat, **options)
        except (ValueError, np.linalg.LinAlgError):
            if self.offence is None:
                raise
            raise IntegrationError(self.offence) from None
        if self.offence is not None and (outcome.status == -1 or not np.all(np.isfinite(outcome.y))):
            raise IntegrationError(self.offence)
        return outcome


class _Budget:
    """Event that ends the integration after a number of steps: SciPy calls it once per step and has no such limit."""

    terminal = True
    direction = -1.0

    def __init__(self) -> None:
        self.most, self.steps, self.end, self.spent = 0, 0, -np.inf, False

    def __call__(self, t: float, _y: FloatArray) -> float:
        if t > self.end and not self.spent:
            self.spent = self.steps >= self.most
            if not self.spent:
                self.steps += self.end > -np.inf
                self.end = t
        return 1.0 if t <= self.end else -1.0


def _why(code: int, budget: _Budget, method: str) -> Status:
    if code == -1:
        return Status.STEP_TOO_SMALL
    if not budget.spent:
        return Status.EVENT
    return Status.TOO_STIFF if method in EXPLICIT_METHODS else Status.TOO_MANY_STEPS


def _jacobian(method: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """Tell implicit solvers that the rows do not depend on one another."""
    n_rows, dim = shape
    if n_rows == 1:
        return {}
    if method in ("Radau", "BDF"):
        from scipy import sparse  # here, since it takes long to import

        return {"jac_sparsity": sparse.kron(sparse.eye(n_rows), np.ones((dim, dim)), format="csc")}
    if method == "LSODA":
        return {"lband": dim - 1, "uband": dim - 1}
    return {}
