"""Pose stochastic problems whose law is known at every time, and the squared norm under isotropic gradient noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InvalidInput, check_count, check_finite, check_positive
from ..theory import derive
from .coefficients import Affine, Power
from .derived import compiled
from .problem import FloatArray, Problem, check_initial_state, check_span

__all__ = ["cox_ingersoll_ross", "geometric_brownian_motion", "isotropic_noise_norm", "ornstein_uhlenbeck"]


def ornstein_uhlenbeck(
    *, rate: float, level: float, volatility: float, y0: ArrayLike, t_span: tuple[float, float]
) -> Problem:
    """Pose dy = rate (level - y) dt + volatility dW.

    Parameters
    ----------
    rate : float, 1 / time
        Rate of return, above 0.
    level : float
        Where it returns to.
    volatility : float, 1 / sqrt(time)
        Strength of the noise, above 0: without noise the state has no density, and `Problem` poses the equation.
    y0, t_span
        As in `Problem`.

    Returns
    -------
    Problem
        With exact transitions and, for one initial state, its law at every time.

    Notes
    -----
    A weight under decay and white gradient noise does this (mandt2017). Its law is that of the derivation
    "ornstein-uhlenbeck-transition": after a time t Gaussian with mean level + (y0 - level) e^(-rate t) and variance
    volatility^2 (1 - e^(-2 rate t)) / (2 rate).

    References
    ----------
    mandt2017, uhlenbeck1930

    Examples
    --------
    >>> weight = ornstein_uhlenbeck(rate=1.0, level=0.0, volatility=1.0, y0=2.0, t_span=(0, 1))
    >>> round(float(weight.law(1.0).mean()[0]), 6)
    0.735759
    """
    rate, volatility = check_positive("rate", rate), check_positive("volatility", volatility)
    level = check_finite("level", level)
    start, origin = check_span(t_span)[0], check_initial_state(y0, positive=False)
    theory = derive("ornstein-uhlenbeck-transition")
    mean, spread = compiled(theory, "mean_state"), compiled(theory, "spread")

    def moments(y: FloatArray, dt: float) -> tuple[FloatArray, float]:
        return (
            mean(level=level, return_rate=rate, state_start=y, time=dt),
            float(spread(return_rate=rate, volatility=volatility, time=dt)),
        )

    def transition(rng: np.random.Generator, y: FloatArray, dt: float) -> FloatArray:
        middle, deviation = moments(y, dt)
        return middle + deviation * rng.standard_normal(y.shape)

    def law(t: float) -> Any:
        return _scipy_stats().norm(*moments(origin, _elapsed(t, start)))

    return Problem(
        Affine(rate * level, -rate),
        Power(volatility, 0.0),
        y0=y0,
        t_span=t_span,
        diffusion_derivative=lambda _t, _y: 0.0,
        transition=transition,
        law=law,
    )


def cox_ingersoll_ross(
    *, rate: float, level: float, volatility: float, y0: ArrayLike, t_span: tuple[float, float]
) -> Problem:
    """Pose dy = rate (level - y) dt + volatility sqrt(y) dW, which never becomes negative.

    Parameters
    ----------
    rate : float, 1 / time
        Rate of return, above 0.
    level : float
        Mean of the stationary law, above 0.
    volatility : float
        Strength of the noise, above 0.
    y0, t_span
        As in `Problem`.

    Returns
    -------
    Problem
        With exact transitions and, for one initial state, its law at every time.

    Notes
    -----
    Its law is that of the derivation "cox-ingersoll-ross-transition": after a time t, y / c is non-central chi-square
    with 4 rate level / volatility^2 degrees of freedom and non-centrality y0 e^(-rate t) / c, where
    c = volatility^2 (1 - e^(-rate t)) / (4 rate). Zero is never reached if 2 rate level >= volatility^2.

    References
    ----------
    cox1985

    Examples
    --------
    >>> norm = cox_ingersoll_ross(rate=1.0, level=2.0, volatility=1.0, y0=1.0, t_span=(0, 9))
    >>> round(float(norm.law(9.0).mean()[0]), 4)
    1.9999
    """
    rate, level = check_positive("rate", rate), check_positive("level", level)
    volatility = check_positive("volatility", volatility)
    start, origin = check_span(t_span)[0], check_initial_state(y0, positive=False)
    diffusion = Power(volatility, 0.5)
    theory = derive("cox-ingersoll-ross-transition")
    freedom = float(theory.numeric("degrees", return_rate=rate, level=level, volatility=volatility))
    scale_after, noncentrality = compiled(theory, "scale"), compiled(theory, "noncentrality")

    def scale_and_rest(y: FloatArray, dt: float) -> tuple[float, FloatArray]:
        scale = float(scale_after(return_rate=rate, volatility=volatility, time=dt))
        return scale, noncentrality(return_rate=rate, scale=scale, state_start=y, time=dt)

    def transition(rng: np.random.Generator, y: FloatArray, dt: float) -> FloatArray:
        scale, rest = scale_and_rest(y, dt)
        return scale * rng.noncentral_chisquare(freedom, rest)

    def law(t: float) -> Any:
        scale, rest = scale_and_rest(origin, _elapsed(t, start))
        return _scipy_stats().ncx2(freedom, rest, scale=scale)

    return Problem(
        Affine(rate * level, -rate),
        diffusion,
        y0=y0,
        t_span=t_span,
        diffusion_derivative=diffusion.derivative,
        positive=True,
        transition=transition,
        law=law,
    )


def geometric_brownian_motion(
    *, growth: float, volatility: float, y0: ArrayLike, t_span: tuple[float, float]
) -> Problem:
    """Pose dy = growth y dt + volatility y dW.

    Parameters
    ----------
    growth : float, 1 / time
        Rate of growth of the mean; decay if negative.
    volatility : float, 1 / sqrt(time)
        Relative strength of the noise, above 0.
    y0, t_span
        As in `Problem`.

    Returns
    -------
    Problem
        With its exact solution along a Brownian path, exact transitions and, for one initial state, its law.

    Raises
    ------
    InvalidInput
        If a value is outside its range; from its law, if the initial state is not above 0.

    Notes
    -----
    A weight whose decay fluctuates does this. Path and law are those of the derivation
    "geometric-brownian-transition": y(t) = y0 exp((growth - volatility^2/2) t + volatility W(t)).

    References
    ----------
    kloeden1992

    Examples
    --------
    >>> price = geometric_brownian_motion(growth=-1.0, volatility=0.5, y0=1.0, t_span=(0, 1))
    >>> round(float(price.exact(1.0, 0.0)[0]), 6)  # along a path that comes back to 0
    0.324652
    """
    growth, volatility = check_finite("growth", growth), check_positive("volatility", volatility)
    start, origin = check_span(t_span)[0], check_initial_state(y0, positive=False)
    theory = derive("geometric-brownian-transition")
    path, median, spread = (compiled(theory, name) for name in ("state", "median", "log_spread"))

    def after(elapsed: float, y: FloatArray, brownian: FloatArray) -> FloatArray:
        values = {"growth": growth, "volatility": volatility, "time": elapsed}
        return np.asarray(path(brownian=brownian, state_start=y, **values))

    def law(t: float) -> Any:
        if np.any(origin <= 0):
            raise InvalidInput(f"y0 is {origin.tolist()}, but its law is lognormal only from a state above 0")
        values = {"volatility": volatility, "time": _elapsed(t, start)}
        return _scipy_stats().lognorm(spread(**values), scale=median(growth=growth, state_start=origin, **values))

    return Problem(
        Affine(0.0, growth),
        Power(volatility, 1.0),
        y0=y0,
        t_span=t_span,
        exact=lambda t, W: after(t - start, origin, np.asarray(W)),
        diffusion_derivative=lambda _t, _y: volatility,
        transition=lambda rng, y, dt: after(dt, y, math.sqrt(dt) * rng.standard_normal(y.shape)),
        law=law,
    )


def isotropic_noise_norm(
    *,
    lr: float,
    weight_decay: float,
    noise_variance: float,
    n_weights: int,
    norm_squared_start: ArrayLike,
    time: float,
) -> Problem:
    """Pose the squared norm of weights whose gradient is nothing but isotropic noise.

    Parameters
    ----------
    lr, weight_decay : float
        Learning rate and decay coefficient.
    noise_variance : float, (loss/weight)^2
        Variance of each component of the gradient.
    n_weights : int
        Number of weights.
    norm_squared_start : float or (n_paths, 1) array_like, weight^2
        Squared norm at the start.
    time : float
        Time to integrate over, in learning rate times steps.

    Returns
    -------
    Problem
        A Cox-Ingersoll-Ross process in time = learning rate times steps.

    Notes
    -----
    Rate, level and volatility are those of the derivation "cox-ingersoll-ross". Stationary: a Gamma law of shape
    n_weights / 2, scale lr noise_variance / weight_decay.

    References
    ----------
    cox1985

    Examples
    --------
    >>> norm = isotropic_noise_norm(
    ...     lr=0.1, weight_decay=0.5, noise_variance=1.0, n_weights=10, norm_squared_start=0.0, time=20.0
    ... )
    >>> round(float(norm.law(20.0).mean()[0]), 6)  # 10/2 times 0.1/0.5
    1.0
    """
    lr, weight_decay = check_positive("lr", lr), check_positive("weight_decay", weight_decay)
    power = check_positive("noise_variance", noise_variance)
    n_weights = check_count("n_weights", n_weights)
    law = derive("cox-ingersoll-ross")
    noise = {"lr": lr, "noise_variance": power}
    return cox_ingersoll_ross(
        rate=float(law.numeric("return_rate", weight_decay=weight_decay)),
        level=float(law.numeric("level", n_weights=n_weights, weight_decay=weight_decay, **noise)),
        volatility=float(law.numeric("volatility", **noise)),
        y0=check_initial_state(norm_squared_start, positive=True, name="norm_squared_start"),
        t_span=(0.0, check_positive("time", time)),
    )


def _scipy_stats() -> Any:
    from scipy import stats  # here, since it takes long to import

    return stats


def _elapsed(t: float, start: float) -> float:
    if not check_finite("t", t) > start:
        raise InvalidInput(f"t is {t:g}, but the state has a density only after the start, {start:g}")
    return float(t) - start
