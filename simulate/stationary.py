"""Find the law that a one-dimensional stochastic equation settles into, by quadrature of its Fokker-Planck equation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import IntegrationError, InvalidInput
from .problem import FloatArray, Problem, check_array

__all__ = ["StationaryLaw", "stationary_law"]

_PANELS = 4000
_DEPTH = 45.0  # what lies e^-45 below the peak does not count
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(5)


@dataclass(frozen=True, eq=False)
class StationaryLaw:
    """Hold a stationary density on a grid fine enough for cubic interpolation.

    Parameters
    ----------
    y : (n_grid,) ndarray
        States, rising.
    density : (n_grid,) ndarray
        Density there, with integral 1.
    mean, variance : float
        First two moments.

    Examples
    --------
    >>> from weightdecay.simulate import isotropic_noise_norm
    >>> options = {"lr": 0.1, "weight_decay": 0.5, "noise_variance": 1.0, "n_weights": 10}
    >>> law = stationary_law(isotropic_noise_norm(norm_squared_start=1.0, time=1.0, **options))
    >>> round(law.mean, 6), round(float(law.cdf(1.0)), 4)  # a Gamma law of shape 5
    (1.0, 0.5595)
    """

    y: FloatArray
    density: FloatArray
    mean: float
    variance: float
    _coordinate: Callable[[FloatArray], FloatArray]
    _log_density: Callable[[FloatArray], FloatArray]
    _below: Callable[[FloatArray], FloatArray]

    def pdf(self, y: ArrayLike) -> Any:
        """Return the density at the given states; 0 outside the grid, where it is below e^-45 of its peak."""
        at = np.asarray(y, dtype=np.float64)
        inside = (at >= self.y[0]) & (at <= self.y[-1])
        x = self._coordinate(np.where(inside, at, self.y[self.y.size // 2]))
        return np.where(inside, np.exp(self._log_density(x)), 0.0)[()]

    def cdf(self, y: ArrayLike) -> Any:
        """Return the probability to be at or below the given states."""
        at = np.clip(np.asarray(y, dtype=np.float64), self.y[0], self.y[-1])
        return np.clip(self._below(self._coordinate(at)), 0.0, 1.0)[()]


@dataclass(frozen=True)
class _Map:
    """Unbounded coordinate x for the states, with y(x), dy/dx and x(y)."""

    state: Callable[[FloatArray], FloatArray]
    log_slope: Callable[[FloatArray], FloatArray]
    coordinate: Callable[[FloatArray], FloatArray]
    reach: float


def stationary_law(problem: Problem, *, bounds: tuple[float, float] | None = None) -> StationaryLaw:
    """Return the stationary law of dy = drift dt + diffusion dW in one dimension, if there is one.

    Parameters
    ----------
    problem : Problem
        Stochastic, with one component and coefficients that do not depend on time.
    bounds : (float, float), optional
        Interval in which the state stays, by default above 0 for a positive problem and else the whole line. No
        probability flows through its ends.

    Returns
    -------
    StationaryLaw
        Density, distribution function, mean and variance.

    Raises
    ------
    InvalidInput
        If the problem is not of that kind.
    IntegrationError
        If there is no stationary law: the density cannot be normalized.

    Notes
    -----
    Without flow of probability, p(y) is proportional to exp(integral of 2 drift / diffusion^2) / diffusion^2. The
    exponent is integrated by Gauss-Legendre quadrature in a coordinate that reaches towards both ends by many powers of
    ten; the grid is narrowed around the bulk until that fills it. It is normalizable if, in that coordinate, it falls
    off exponentially on both sides.

    References
    ----------
    risken1989 for the density without flow of probability.

    Examples
    --------
    >>> from weightdecay.simulate import ornstein_uhlenbeck
    >>> law = stationary_law(ornstein_uhlenbeck(rate=2.0, level=1.0, volatility=1.0, y0=0.0, t_span=(0, 1)))
    >>> round(law.mean, 9), round(law.variance, 9)  # variance 1 / (2 times 2)
    (1.0, 0.25)
    """
    ratio, log_square = _coefficients(problem)
    chart = _chart(problem, bounds)
    low, high = -chart.reach, chart.reach
    for _ in range(60):
        x = np.linspace(low, high, _PANELS + 1)
        log_mass = _log_mass(chart, ratio, log_square, x)
        x, log_mass = _finite_part(x, log_mass)
        peak = int(np.argmax(log_mass))
        _check_ends(chart, x, log_mass, peak)
        bulk = np.flatnonzero(log_mass > log_mass[peak] - _DEPTH)
        first, last = max(bulk[0] - 1, 0), min(bulk[-1] + 1, x.size - 1)
        if last - first > 0.5 * (x.size - 1):
            return _law(chart, x, log_mass)
        low, high = float(x[first]), float(x[last])
    raise IntegrationError("the stationary density is narrower than floating-point numbers resolve; shift or scale y")


def _coefficients(problem: Problem) -> tuple[Callable[..., FloatArray], Callable[..., FloatArray]]:
    if problem.diffusion is None or problem.dim != 1 or problem.noise != "diagonal":
        raise InvalidInput(
            f"a stationary law needs one component and diffusion of shape (n_paths, 1), but this problem has dim "
            f"{problem.dim} and {problem.noise} noise"
        )
    start, end = problem.t_span
    rows = problem.rows()
    for name in ("drift", "diffusion"):
        coefficient = getattr(problem, name)
        if np.any(np.asarray(coefficient(start, rows)) != np.asarray(coefficient(end, rows))):
            raise InvalidInput(f"the {name} depends on time, so there is no stationary law; freeze it at one time")

    def square(y: FloatArray) -> FloatArray:
        return np.broadcast_to(problem.diffusion(start, y[:, None]), (y.size, 1))[:, 0] ** 2  # type: ignore[misc]  # checked above

    def ratio(y: FloatArray) -> FloatArray:
        drift = np.broadcast_to(problem.drift(start, y[:, None]), (y.size, 1))[:, 0]
        return 2.0 * drift / square(y)

    return ratio, lambda y: np.log(square(y))


def _chart(problem: Problem, bounds: tuple[float, float] | None) -> _Map:
    if bounds is None:
        bounds = (0.0 if problem.positive else -math.inf, math.inf)
    ends = check_array("bounds", bounds, "two numbers (low, high), which may be infinite", ndim=1, finite=False)
    if ends.size != 2:
        raise InvalidInput(f"bounds is {bounds!r}, but must be two numbers (low, high), which may be infinite")
    low, high = map(float, ends)
    if not low < high:
        raise InvalidInput(f"bounds are ({low:g}, {high:g}), but must rise")
    center = float(problem.rows()[0, 0])
    if math.isinf(low) and math.isinf(high):
        unit = 1e-3 * (1.0 + abs(center))
        return _Map(
            lambda x: center + unit * np.sinh(x),
            lambda x: math.log(unit) + np.logaddexp(x, -x) - math.log(2.0),
            lambda y: np.arcsinh((y - center) / unit),
            340.0,
        )
    if math.isinf(high):
        return _Map(lambda x: low + np.exp(x), lambda x: x, lambda y: np.log(y - low), 700.0)
    if math.isinf(low):
        return _Map(lambda x: high - np.exp(-x), lambda x: -x, lambda y: -np.log(high - y), 700.0)
    width = high - low
    return _Map(
        lambda x: low + width / (1.0 + np.exp(-x)),
        lambda x: math.log(width) - np.logaddexp(0.0, x) - np.logaddexp(0.0, -x),
        lambda y: np.log((y - low) / (high - y)),
        36.0,
    )


def _log_mass(
    chart: _Map, ratio: Callable[..., FloatArray], log_square: Callable[..., FloatArray], x: FloatArray
) -> FloatArray:
    """Return the logarithm of the density with respect to x, up to a constant."""
    half = 0.5 * (x[-1] - x[0]) / (x.size - 1)  # not x[1] - x[0], which rounding spoils on a narrow grid
    inner = (0.5 * (x[1:] + x[:-1]))[:, None] + half * _NODES
    with np.errstate(all="ignore"):
        slopes = ratio(chart.state(inner.ravel())) * np.exp(chart.log_slope(inner.ravel()))
        rises = half * (slopes.reshape(inner.shape) @ _WEIGHTS)
        middle = x.size // 2
        exponent = np.empty_like(x)
        exponent[middle] = 0.0
        exponent[middle + 1 :] = np.cumsum(rises[middle:])
        exponent[:middle] = -np.cumsum(rises[:middle][::-1])[::-1]
        return np.asarray(exponent - log_square(chart.state(x)) + chart.log_slope(x))


def _finite_part(x: FloatArray, log_mass: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Cut off the ends at which the coefficients overflow."""
    finite = np.isfinite(log_mass)
    if not finite[x.size // 2]:
        raise IntegrationError("the coefficients are not finite, or the diffusion vanishes, inside the bounds")
    bad = np.flatnonzero(~finite)
    first = bad[bad < x.size // 2].max(initial=-1) + 1
    last = bad[bad > x.size // 2].min(initial=x.size)
    return x[first:last], log_mass[first:last]


def _check_ends(chart: _Map, x: FloatArray, log_mass: FloatArray, peak: int) -> None:
    for end, inner in ((0, 1), (-1, -2)):
        fall = (log_mass[inner] - log_mass[end]) / abs(x[inner] - x[end])
        negligible = log_mass[end] < log_mass[peak] - _DEPTH
        if not negligible and not fall > 1e-3:
            raise IntegrationError(
                f"there is no stationary law: the density cannot be normalized towards y = {chart.state(x[end]):.3g}"
            )


def _law(chart: _Map, x: FloatArray, log_mass: FloatArray) -> StationaryLaw:
    from scipy.interpolate import CubicSpline  # here, since it takes long to import

    y = chart.state(x)
    mass = np.exp(log_mass - log_mass.max())
    step = (x[-1] - x[0]) / (x.size - 1)
    total = step * (mass.sum() - 0.5 * (mass[0] + mass[-1]))
    mass /= total
    log_density = log_mass - log_mass.max() - math.log(total) - chart.log_slope(x)
    mean = float(step * np.sum(mass * y))
    below = CubicSpline(x, mass).antiderivative()
    return StationaryLaw(
        y=y,
        density=np.exp(log_density),
        mean=mean,
        variance=float(step * np.sum(mass * (y - mean) ** 2)),
        _coordinate=chart.coordinate,
        _log_density=CubicSpline(x, log_density),
        _below=below,
    )
