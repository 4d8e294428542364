"""Hold what is to be integrated, and what came out."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import IntegrationError, InvalidInput, check_count

__all__ = ["Problem", "Solution", "Status", "check_array", "check_initial_state", "check_span"]

FloatArray = NDArray[np.float64]
Coefficient = Callable[[float, FloatArray], Any]


@dataclass(frozen=True, eq=False)
class Problem:
    """Hold dy = drift dt + diffusion dW with its initial state and time span.

    Parameters
    ----------
    drift : callable
        ``drift(t, y)`` gets y of shape (n_paths, dim) and returns that shape, or one number for all.
    diffusion : callable, optional
        ``diffusion(t, y)``, in the sense of Itô. Diagonal noise (component i has its own Brownian motion, and its
        coefficient depends on no other component) returns (n_paths, dim) or one number; general noise returns
        (n_paths, dim, n_noise). Without it the problem is an ordinary differential equation.
    y0 : float, (dim,) or (n_paths, dim) array_like
        Initial state; integers are converted.
    t_span : (float, float)
        Start and end, rising.
    exact : callable, optional
        Exact solution: ``exact(t)`` of an ordinary, ``exact(t, W)`` of a stochastic equation whose solution is a
        function of the Brownian motion W at t.
    diffusion_derivative : callable, optional
        ``diffusion_derivative(t, y)``, derivative of each component's diffusion with respect to that component, for
        Milstein's method; without it the derivative is replaced by a difference of the same order.
    positive : bool, optional
        Whether the state must not become negative: the coefficients are then evaluated at max(y, 0) and max(y, 0)
        is what the solution shows (full truncation).
    transition : callable, optional
        ``transition(rng, y, dt)`` draws the state a time `dt` after y from its exact law; the method "exact" needs it.
    law : callable, optional
        ``law(t)``, the exact law of the state at time t as a frozen distribution of SciPy.
    breaks : sequence of float, optional
        Times at which a coefficient jumps or bends in t; no step goes across one.

    Raises
    ------
    InvalidInput
        If a function or number is something else, a shape does not fit (the message names the one wanted), y0 is not
        finite or negative where it must not be, or t_span does not rise.
    IntegrationError
        If a coefficient is not finite at the start.

    Notes
    -----
    Full truncation is the variant of Euler's method with the least bias among those that keep square roots real.

    References
    ----------
    lord2010 for full truncation.

    Examples
    --------
    >>> decay = Problem(lambda t, y: -0.5 * y, y0=2, t_span=(0, 3))
    >>> decay.y0, decay.dim
    (array([2.]), 1)
    """

    drift: Coefficient
    diffusion: Coefficient | None = None
    _: KW_ONLY
    y0: ArrayLike
    t_span: tuple[float, float]
    exact: Callable[..., Any] | None = None
    diffusion_derivative: Coefficient | None = None
    positive: bool = False
    transition: Callable[[np.random.Generator, FloatArray, float], FloatArray] | None = None
    law: Callable[[float], Any] | None = None
    breaks: tuple[float, ...] = ()
    noise: Literal["none", "diagonal", "general"] = field(init=False)
    n_noise: int = field(init=False)

    def __post_init__(self) -> None:
        for name in ("drift", "diffusion", "exact", "diffusion_derivative", "transition", "law"):
            function = getattr(self, name)
            if not (callable(function) or (function is None and name != "drift")):
                raise InvalidInput(f"{name} is {function!r}, but must be a function, as help(Problem) says")
        start, end = check_span(self.t_span)
        y0 = check_initial_state(self.y0, positive=self.positive)
        breaks = check_array("breaks", self.breaks, "finite times, such as (0.5,)", ndim=1)
        values: dict[str, Any] = {"t_span": (start, end), "y0": y0, "noise": "none", "n_noise": 0}
        values["breaks"] = tuple(sorted({float(t) for t in breaks if start < t < end}))
        for name, value in values.items():
            object.__setattr__(self, name, value)
        rows = self.rows()
        for name in ("drift", "diffusion", "diffusion_derivative"):
            coefficient = getattr(self, name)
            if coefficient is not None:
                self._probe(name, coefficient, start, rows)

    def _probe(self, name: str, coefficient: Coefficient, t: float, rows: FloatArray) -> None:
        with np.errstate(all="ignore"):
            value = np.asarray(coefficient(t, rows))
        allowed = [(), rows.shape]
        wanted = f"{rows.shape} (n_paths, dim)"
        if name == "diffusion":
            wanted += f" for diagonal or {(*rows.shape, 'n_noise')} for general noise"
            if value.ndim == 3 and value.shape[:2] == rows.shape and value.shape[2] > 0:
                allowed.append(value.shape)
        if value.shape not in allowed or value.dtype.kind not in "iuf":
            raise InvalidInput(
                f"{name}(t, y) with y of shape {rows.shape} returned {value.dtype} of shape {value.shape}, "
                f"but must return real numbers of shape {wanted}"
            )
        if name != "diffusion_derivative" and not np.all(np.isfinite(value)):  # a square root's slope may be infinite
            raise IntegrationError(not_finite(name, t, rows, value))
        if name == "diffusion":
            object.__setattr__(self, "noise", "general" if value.ndim == 3 else "diagonal")
            object.__setattr__(self, "n_noise", value.shape[2] if value.ndim == 3 else self.dim)

    @property
    def dim(self) -> int:
        """Number of components of the state."""
        return int(np.shape(self.y0)[-1])

    def rows(self) -> FloatArray:
        """Return the initial state as a new array of shape (n_paths, dim)."""
        return np.array(self.y0, dtype=np.float64, ndmin=2)


class Status(enum.Enum):
    """How an integration ended; the value is the sentence.

    Notes
    -----
    Members: REACHED_END, EVENT, STEP_TOO_SMALL, TOO_MANY_STEPS, TOO_STIFF. `Solution.success` holds for the first two.

    Examples
    --------
    >>> [status.name for status in Status if "method='LSODA'" in status.value], len(Status)
    (['TOO_STIFF'], 5)
    """

    REACHED_END = "The end of the time span was reached."
    EVENT = "A terminating event was reached."
    STEP_TOO_SMALL = (
        "The solver's step fell below the spacing of floating-point numbers: the solution probably has a singularity "
        "there. Try a shorter t_span."
    )
    TOO_MANY_STEPS = "The maximum number of solver steps was reached. Try increasing max_steps."
    TOO_STIFF = (
        "The explicit solver used up its steps, as stiff problems make it do. Try method='LSODA', 'Radau' or 'BDF', "
        "or increase max_steps."
    )


@dataclass(frozen=True, eq=False)
class Solution:
    """Hold the states at chosen times.

    Parameters
    ----------
    t : (n_times,) ndarray
        Times.
    y : (n_times, dim) or (n_paths, n_times, dim) ndarray
        States; the axis of paths is there for stochastic problems and for several initial states.
    method : str
        Method that made it.
    status : Status
        How it ended; the value is a sentence.
    seed : int, mapping or None
        What the random numbers were made from: the integer given, or the state of the given generator's seed sequence.
    t_events, y_events : tuple of ndarray
        Times and states at which each event happened.
    sol : callable or None
        ``sol(t)`` gives the state between the times if dense output was asked for, with the time as last axis: shape
        (dim,) or (dim, n_times), and with several initial states (n_paths, dim) or (n_paths, dim, n_times).
    first_passage : (n_paths,) ndarray or None
        Time at which each path first reached the level asked for; NaN where it did not.
    n_steps : int
        Steps taken, by each path.

    Examples
    --------
    >>> from weightdecay.simulate import ornstein_uhlenbeck, solve
    >>> weight = ornstein_uhlenbeck(rate=1.0, level=0.0, volatility=1.0, y0=2.0, t_span=(0, 1))
    >>> found = solve(weight, [0.5, 1.0], dt=0.01, n_paths=1000, rng=1)
    >>> found.y.shape, found.n_steps, found.success
    ((1000, 2, 1), 100, True)
    >>> bool(abs(found.mean()[1, 0] - 0.7358) < 4 * found.standard_error()[1, 0])
    True
    """

    t: FloatArray
    y: FloatArray
    method: str
    status: Status
    seed: int | Mapping[str, Any] | None = None
    t_events: tuple[FloatArray, ...] = ()
    y_events: tuple[FloatArray, ...] = ()
    sol: Callable[[Any], FloatArray] | None = None
    first_passage: FloatArray | None = None
    n_steps: int = 0

    @property
    def success(self) -> bool:
        """Whether the end or a terminating event was reached."""
        return self.status in (Status.REACHED_END, Status.EVENT)

    def mean(self) -> FloatArray:
        """Return the mean over paths, shape (n_times, dim)."""
        return np.asarray(self._paths().mean(axis=0))

    def standard_error(self) -> FloatArray:
        """Return the standard error of the mean over paths, shape (n_times, dim)."""
        return np.asarray(np.sqrt(self.variance() / self._paths(least=2).shape[0]))

    def variance(self) -> FloatArray:
        """Return the unbiased variance over paths, shape (n_times, dim)."""
        return np.asarray(self._paths(least=2).var(axis=0, ddof=1))

    def moment(self, order: int) -> FloatArray:
        """Return the mean of the given whole power of the state, shape (n_times, dim)."""
        order = check_count("order", order, least=0)
        return np.asarray((self._paths() ** order).mean(axis=0))

    def quantiles(self, probabilities: ArrayLike) -> FloatArray:
        """Return quantiles over paths, shape (n_probabilities, n_times, dim)."""
        wanted = np.atleast_1d(check_array("probabilities", probabilities, "numbers from 0 to 1"))
        if wanted.ndim != 1 or not np.all((wanted >= 0) & (wanted <= 1)):
            raise InvalidInput(f"probabilities are {wanted.tolist()}, but must lie from 0 to 1")
        return np.asarray(np.quantile(self._paths(), wanted, axis=0))

    def histogram(
        self, bins: int | ArrayLike = 50, *, time_index: int = -1, component: int = 0
    ) -> tuple[FloatArray, FloatArray]:
        """Return the density of one component at one time over paths, and the edges of its bins."""
        _, n_times, dim = self._paths().shape
        time_index = check_count("time_index", time_index, least=-n_times, most=n_times - 1)
        component = check_count("component", component, least=-dim, most=dim - 1)
        if np.ndim(bins) == 0:
            bins = check_count("bins", bins)
        else:
            bins = check_array("bins", bins, "a number of bins, or their edges", ndim=1)
            if bins.size < 2 or not np.all(np.diff(bins) > 0):
                raise InvalidInput(f"bins has edges {bins.tolist()}, but needs at least two, and they must rise")
        counts, edges = np.histogram(self._paths()[:, time_index, component], bins=bins)
        if not counts.any():
            raise InvalidInput(f"no path lies between the edges {edges[0]:g} and {edges[-1]:g}; give wider bins")
        return counts / counts.sum() / np.diff(edges), edges

    def _paths(self, least: int = 1) -> FloatArray:
        if self.y.ndim != 3 or self.y.shape[0] < least:
            shape = f"{self.y.shape} (n_paths, n_times, dim)" if self.y.ndim == 3 else f"{self.y.shape} (n_times, dim)"
            raise InvalidInput(
                f"a statistic over paths needs at least {least} of them, but y has shape {shape}; use n_paths"
            )
        return self.y


def not_finite(name: str, t: float, y: FloatArray, value: Any) -> str:
    """Return the sentence that says where a coefficient is not finite, with the first such row of y."""
    bad = ~np.isfinite(np.broadcast_to(value, np.shape(value) or (1,)))
    row = int(np.argmax(bad.reshape(bad.shape[0], -1).any(axis=1)))
    found = np.ravel(value)[np.argmax(bad)]
    state = np.array2string(y[row], threshold=8)
    return f"{name}(t, y) is {found} at t={t:g}, y={state}, but must be finite"


def check_array(name: str, value: object, wanted: str, *, ndim: int | None = None, finite: bool = True) -> FloatArray:
    """Return a new array of the value if it is made of real numbers, finite ones unless said otherwise.

    >>> check_array("breaks", (1, 2), "times")
    array([1., 2.])
    """
    try:
        array = np.array(value)
    except (TypeError, ValueError):  # rows of several lengths
        array = np.array(None)
    fits = array.dtype.kind in "iuf" and (ndim is None or array.ndim == ndim)
    if not fits or (finite and not np.all(np.isfinite(array))):
        raise InvalidInput(f"{name} is {value!r}, but must be {wanted}")
    return array.astype(np.float64)


def check_span(t_span: Any) -> tuple[float, float]:
    """Return start and end of a time span as floats, if they rise."""
    times = check_array("t_span", t_span, "two numbers (start, end)", finite=False)
    if times.shape != (2,):
        raise InvalidInput(f"t_span is {t_span!r}, but must be two numbers (start, end)")
    start, end = (float(t) for t in times)
    if not (np.isfinite(start) and np.isfinite(end) and start < end):
        raise InvalidInput(f"t_span is ({start:g}, {end:g}), but must be finite and rise from start to end")
    return start, end


def check_initial_state(y0: ArrayLike, *, positive: bool, name: str = "y0") -> FloatArray:
    """Return the initial state as a read-only array of shape (dim,) or (n_paths, dim).

    >>> check_initial_state(-1, positive=True, name="norm_squared_start")
    Traceback (most recent call last):
    weightdecay.errors.InvalidInput: norm_squared_start contains -1, but this state must be 0 or above
    """
    state = check_array(name, y0, "real numbers of shape (dim,) or (n_paths, dim)", finite=False)
    state = np.atleast_1d(state)
    if state.ndim > 2 or state.size == 0:
        raise InvalidInput(f"{name} has shape {state.shape}, but must have shape (dim,) or (n_paths, dim)")
    if not np.all(np.isfinite(state)):
        raise InvalidInput(f"{name} contains {state[~np.isfinite(state)][0]}, but must be finite")
    if positive and np.any(state < 0):
        raise InvalidInput(f"{name} contains {state[state < 0][0]:g}, but this state must be 0 or above")
    state.flags.writeable = False
    return state
