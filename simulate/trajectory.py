"""Answer how long the weights of a run take to reach equilibrium, and how much of the run they spend outside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import IntegrationError, InvalidInput, check_count, check_nonnegative, check_positive
from ..theory import derive
from .decay_laws import decay_per_step, effective_weight_decay
from .derived import compiled
from .norm_models import norm_under_pull, pure_decay_floor, scale_invariant_norm
from .ode import NoProgress
from .problem import FloatArray, Problem, Status, check_array
from .schedules import ScheduleLike, as_schedule
from .solve import solve

__all__ = ["Trajectory", "norm_trajectory"]

_FINE = 20_000  # intervals on which the share of the run is measured
_LONGEST = 20_000_000  # steps of a run that are looked at one by one
_RESOLVED = 1e-3  # relative rounding of a tolerance from which on it is finer than floating-point numbers are
_MOST = 10**15  # steps of any run, so that each step has its own floating-point number


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Hold how a squared norm goes along a run, beside the equilibrium that its hyperparameters call for.

    Parameters
    ----------
    step : (n_points,) ndarray
        Steps taken.
    lr, decay_per_step : (n_points,) ndarray
        Learning rate and decay of the next step (the last, after the end).
    norm_squared : (n_points,) ndarray, weight^2
        Squared norm.
    equilibrium : (n_points,) ndarray, weight^2
        Squared norm at which the hyperparameters of that moment would hold the weights.
    pure_decay_floor : (n_points,) ndarray, weight^2
        What decay alone would leave.
    tolerance : float
        Relative distance from equilibrium that counts as being there.
    steps_to_equilibrium : float
        Steps until the norm is there for the first time, also if that is after the run (with the hyperparameters of
        its last step held); infinite if never.
    share_out_of_equilibrium : float
        Share of the run spent outside.

    Examples
    --------
    >>> run = norm_trajectory(norm_squared_start=23520, lr=0.1, weight_decay=1e-4, radial_pull=0.1, n_steps=150000)
    >>> run.at([0, 150000, 305507]).norm_squared.round(1)  # the last is after the run, where it is in equilibrium
    array([23520. ,  2121.2,  1050. ])
    """

    step: FloatArray
    lr: FloatArray
    decay_per_step: FloatArray
    norm_squared: FloatArray
    equilibrium: FloatArray
    pure_decay_floor: FloatArray
    tolerance: float
    steps_to_equilibrium: float
    share_out_of_equilibrium: float
    _at: Callable[[FloatArray], dict[str, Any]] = field(repr=False)

    def at(self, step: ArrayLike) -> Trajectory:
        """Return the same trajectory at other steps, with nothing integrated again.

        Parameters
        ----------
        step : (n_points,) array_like
            Steps from 0 on, whole ones for an exact floor; after the end of the run its last hyperparameters are held.

        Returns
        -------
        Trajectory

        Raises
        ------
        InvalidInput
            If a step is negative or not finite.
        """
        wanted = check_array("step", step, "finite numbers of shape (n_points,), 0 or above", ndim=1)
        if np.any(wanted < 0):
            raise InvalidInput(f"step contains {wanted[wanted < 0][0]:g}, but steps are counted from 0")
        return replace(self, **self._at(wanted))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; infinity becomes None."""

        def plain(value: Any) -> Any:
            if isinstance(value, np.ndarray):
                return [plain(item) for item in value.tolist()]
            return value if math.isfinite(value) else None

        return {f.name: plain(getattr(self, f.name)) for f in fields(self) if f.name != "_at"}


def norm_trajectory(
    *,
    norm_squared_start: float,
    lr: ScheduleLike,
    weight_decay: ScheduleLike,
    n_steps: int,
    radial_pull: float = 0.0,
    gradient_power: float = 0.0,
    unit_gradient_power: float | None = None,
    law: str = "decoupled",
    tolerance: float = 0.05,
    n_points: int = 21,
) -> Trajectory:
    """Integrate the squared norm of a block over a run and tell when it is in equilibrium.

    Parameters
    ----------
    norm_squared_start : float, weight^2
        Squared norm at the start.
    lr, weight_decay : float, Schedule or callable
        Learning rate and decay coefficient over the steps.
    n_steps : int
        Length of the run.
    radial_pull : float, loss
        Pull of the data, constant.
    gradient_power : float, (loss/weight)^2
        Second moment of the mini-batch gradient, constant.
    unit_gradient_power : float, optional, loss^2
        For a scale-invariant block instead of the two above: second moment of the gradient at unit norm.
    law : str, optional
        How learning rate and weight decay make the decay, as in `decay_per_step`.
    tolerance : float, optional
        Relative distance from equilibrium that counts as being there.
    n_points : int, optional
        Points of the trajectory to keep, evenly spaced from first to last step.

    Returns
    -------
    Trajectory

    Raises
    ------
    InvalidInput
        If a value is outside its range, or a scale-invariant block is given a pull as well.
    IntegrationError
        If the solver cannot follow the schedules to the end of the run.

    Notes
    -----
    Equilibrium is where the derivation "norm-flow", or "scale-invariant-flow", has its fixed point at the learning
    rate and decay of the moment, so it moves with the schedules. Without anything that feeds the weights it is 0
    and never reached. Constant hyperparameters use the exact solution, schedules a solver; what comes after the run is
    exact in both cases.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> run = norm_trajectory(norm_squared_start=23520, lr=0.1, weight_decay=1e-4, radial_pull=0.1, n_steps=150000)
    >>> round(run.steps_to_equilibrium), round(run.share_out_of_equilibrium, 3)  # 61 epochs, in a run of 30
    (305507, 1.0)
    """
    count = check_count("n_steps", n_steps, most=_MOST)
    points = check_count("n_points", n_points, least=2)
    width = check_positive("tolerance", tolerance)
    rates, decays = as_schedule(lr, count), as_schedule(weight_decay, count)
    steady = rates.kind == decays.kind == "constant"
    if count > _LONGEST and not steady:
        raise InvalidInput(f"n_steps is {count}, but must be at most {_LONGEST} with schedules; count several as one")
    checked = 1 if steady else count  # all steps of a steady run are alike
    decay = decay_per_step(rates, decays, checked, law=law)
    largest = rates.largest(checked) or None
    coefficient = effective_weight_decay(rates, decays, count, law=law, lr_max=largest)
    start = check_positive("norm_squared_start", norm_squared_start)
    scale_invariant = unit_gradient_power is not None
    if scale_invariant and (radial_pull or gradient_power):
        raise InvalidInput(
            "a scale-invariant block has no radial_pull, and its gradient_power follows from the norm; leave them out"
        )
    power = (
        check_nonnegative("gradient_power", gradient_power)
        if unit_gradient_power is None
        else check_positive("unit_gradient_power", unit_gradient_power)
    )
    fed = {"unit_gradient_power": power} if scale_invariant else {"radial_pull": radial_pull, "gradient_power": power}
    flow = derive("scale-invariant-flow" if scale_invariant else "norm-flow")

    def pose(size: float, **hyperparameters: Any) -> Problem:
        if scale_invariant:
            return scale_invariant_norm(norm_squared_start=size, unit_gradient_power=power, **hyperparameters)
        pulled: dict[str, Any] = {"radial_pull": radial_pull, "gradient_power": power}
        return norm_under_pull(norm_squared_start=size, **pulled, **hyperparameters)

    fixed_point = compiled(flow, "norm_squared_stationary")

    def equilibrium(step: Any) -> Any:
        with np.errstate(divide="ignore", invalid="ignore"):
            size = fixed_point(lr=rates(step), weight_decay=coefficient(step), **fed)
        return np.maximum(np.nan_to_num(size, nan=0.0, posinf=np.inf), 0.0)

    def outside(step: Any, norm_squared: Any) -> Any:
        within = np.minimum(step, np.nextafter(float(count), 0.0))  # a jump at the end is no part of the run
        with np.errstate(divide="ignore", invalid="ignore"):
            away = np.abs(norm_squared / equilibrium(within) - 1.0)
        return np.nan_to_num(away, nan=np.inf, posinf=np.inf) - width

    def held_from(step: int, size: float) -> Callable[[Any], Any] | None:
        """Return the squared norm under the hyperparameters of a step held for ever, if they decay."""
        held_lr, held_decay = float(rates(step)), float(coefficient(step))
        if not held_lr * held_decay > 0:
            return None
        return pose(size, lr=held_lr, weight_decay=held_decay, n_steps=1).exact

    def after(step: int, size: float) -> float:
        """Return how many steps the hyperparameters of a step would have to be held."""
        rest, held = float(equilibrium(step)), held_from(step, size)
        if held is None or not 0 < rest < math.inf:
            return math.inf
        if not scale_invariant:  # closed, and SciPy's solvers take long to import
            if abs(size / rest - 1.0) <= width:
                return 0.0
            target = rest * (1.0 + math.copysign(width, size - rest))
            if abs(abs(target / rest - 1.0) - width) > _RESOLVED * width:
                return math.inf  # a tolerance below what floating-point numbers resolve
            now = {"lr": float(rates(step)), "weight_decay": float(coefficient(step)), **fed}
            ends = {"norm_squared_start": size, "norm_squared_target": target}
            return float(flow.numeric("time_to_norm_squared", **ends, **now)) / now["lr"]
        time_constant = 0.5 / float(rates(step) * coefficient(step))
        return _falls_below(lambda t: float(np.abs(held(t)[0] / rest - 1.0)) - width, time_constant)

    fine = np.linspace(0.0, count, _FINE + 1)
    problem = pose(start, lr=rates, weight_decay=decays, law=law, lr_max=largest, n_steps=count)
    norm_at = problem.exact if steady and decay[0] > 0 and problem.exact else _integrated(problem)
    beyond = outside(fine, norm_at(fine))
    if steady:
        steps = after(0, start)
    elif np.all(beyond > 0):
        steps = count + after(count - 1, float(norm_at(np.array([float(count)]))[0]))
    else:
        steps = _first_inside(lambda t: float(outside(t, norm_at(np.array([t]))[0])), fine, beyond)
    floor = None if steady else pure_decay_floor(start, rates, decays, count, law=law)
    left_by_decay = derive("decay-floor")

    def at(step: FloatArray) -> dict[str, Any]:
        now, within, later = np.minimum(step, count - 1), np.minimum(step, float(count)), np.maximum(step - count, 0.0)
        size = np.asarray(norm_at(within))
        if np.any(later):
            held = held_from(count - 1, float(norm_at(np.array([float(count)]))[0]))
            if held is None:
                raise InvalidInput(f"step goes to {step.max():g}, but this run ends at {count} without decay to follow")
            size = np.where(later > 0, held(later), size)
        constants = {"lr": 1.0, "weight_decay": float(decay[-1]), "n_steps": step if floor is None else later}
        whole = start if floor is None else floor[within.astype(int)]
        alone = left_by_decay.numeric("norm_squared", norm_squared_start=whole, **constants)
        return {
            "step": step,
            "lr": np.asarray(rates(now.astype(int))),
            "decay_per_step": decay[now.astype(int) % checked],
            "norm_squared": size,
            "equilibrium": np.broadcast_to(equilibrium(np.where(later > 0, now, step)), step.shape),
            "pure_decay_floor": np.asarray(alone),
        }

    return Trajectory(
        **at(np.linspace(0.0, count, points).round()),
        tolerance=width,
        steps_to_equilibrium=steps,
        share_out_of_equilibrium=float(np.mean(0.5 * ((beyond[1:] > 0).astype(float) + (beyond[:-1] > 0)))),
        _at=at,
    )


def _integrated(problem: Problem) -> Callable[[FloatArray], FloatArray]:
    """Return the squared norm as a function of the step, or say where the solver gave up."""
    try:
        path = solve(problem, dense_output=True, rtol=1e-9)
        reached = float(path.t[-1])
    except NoProgress:
        path, reached = None, 0.0
    if path is None or path.status is not Status.REACHED_END or path.sol is None:
        raise IntegrationError(
            f"the solver gave up at step {reached:.0f} of {problem.t_span[1]:.0f}, as the norm changes too fast there; "
            "lower lr or weight_decay, or make the schedules smoother or the run shorter"
        )
    dense = path.sol
    return lambda step: np.asarray(dense(step)[0])


def _first_inside(away: Callable[[float], float], fine: FloatArray, beyond: FloatArray) -> float:
    """Return the first step of the run at which the norm is inside, between the points of a grid."""
    first = int(np.flatnonzero(beyond <= 0)[0])
    if first == 0:
        return 0.0
    if not math.isfinite(beyond[first - 1]):
        return float(fine[first])
    return _root(away, float(fine[first - 1]), float(fine[first]))


def _falls_below(away: Callable[[float], float], time_constant: float) -> float:
    """Return when a distance that relaxes to minus the tolerance is 0; at once if it is below."""
    if away(0.0) <= 0:
        return 0.0
    late = time_constant
    while away(late) > 0:
        late *= 2.0
        if late > 1e6 * time_constant:  # a tolerance below what floating-point numbers resolve
            return math.inf
    return _root(away, 0.0, late)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    from scipy.optimize import brentq  # here, since it takes long to import

    return float(brentq(function, low, high))
