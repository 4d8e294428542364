"""Let optimizers walk on random gradients, and measure how large the weights become and how fast they turn."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import (
    DivergenceError,
    InvalidInput,
    check_choice,
    check_count,
    check_nonnegative,
    check_positive,
)
from .brownian import seed_of
from .random_gradients import GradientSource
from .update_rules import Muon, Rule, State

__all__ = ["Estimate", "Walk", "walk"]

Array = NDArray[np.float64]
_MEMORIES = 10.0  # default burn-in, in units of 1 / (lr * weight_decay): what is left of the start is exp(-20)


@dataclass(frozen=True)
class Estimate:
    """A mean over replicas and its standard error, each a number or an array.

    Parameters
    ----------
    value : float or ndarray
        The mean.
    standard_error : float or ndarray
        Its standard error, in the unit of the value.

    Examples
    --------
    >>> Estimate(1.0, 0.1).deviation(1.2).round(6)  # of the expectation from the estimate, in standard errors
    np.float64(-2.0)
    """

    value: Any
    standard_error: Any

    def deviation(self, expected: Any) -> Any:
        """Return how many standard errors the value lies above what was expected."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.subtract(self.value, expected) / self.standard_error


@dataclass(frozen=True, eq=False)
class Walk:
    """What a walk measured, each with its standard error over replicas.

    Attributes
    ----------
    norm_squared : Estimate, weight²
        Mean squared norm.
    one_minus_cosine : Estimate
        One minus the mean product of consecutive weights over the mean squared norm.
    angular_update : Estimate, rad
        Root-mean-square angle between consecutive weights.
    update_power : Estimate
        E||u||^2 of the update u, without decoupled decay.
    update_autocorrelation : Estimate
        E<u_t, u_(t+k)> / E||u||^2, arrays over k = 0, ..., max_lag.
    norm_squared_path : (n_steps,) ndarray, weight²
        Squared norm before each step that was measured, mean over replicas.
    n_steps, burn_in, n_replicas : int
        Steps measured, steps before, and replicas.
    seed : int, mapping or None
        What the random numbers were made from.

    Examples
    --------
    >>> from weightdecay.simulate import SGD, WhiteGradients
    >>> found = walk(SGD(0.1, weight_decay=0.5), WhiteGradients(), n_weights=100, n_steps=50, rng=1)
    >>> found.burn_in, found.norm_squared_path.shape, bool(abs(found.norm_squared.deviation(0.1 / (0.5 * 1.95))) < 4)
    (200, (50,), True)
    """

    norm_squared: Estimate
    one_minus_cosine: Estimate
    angular_update: Estimate
    update_power: Estimate
    update_autocorrelation: Estimate
    norm_squared_path: Array
    n_steps: int
    burn_in: int
    n_replicas: int
    seed: int | Mapping[str, Any] | None


@np.errstate(all="ignore")  # a walk that diverges overflows first, and is answered with an error
def walk(
    rule: Rule,
    gradients: GradientSource,
    *,
    n_weights: int | tuple[int, int],
    n_steps: int,
    rng: np.random.Generator | int | None = None,
    n_replicas: int = 32,
    burn_in: int | None = None,
    norm_squared_start: float = 0.0,
    symmetry: str = "none",
    max_lag: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> Walk:
    """Run an optimizer on random gradients, many replicas at once.

    Parameters
    ----------
    rule : Rule
        The optimizer with its learning rate and decay (see `weightdecay.simulate.update_rules`).
    gradients : GradientSource
        What draws the gradients; under the symmetry "scale", those at unit norm.
    n_weights : int or (int, int)
        Weights, or rows and columns of a weight matrix, which Muon needs.
    n_steps : int
        Steps to measure.
    rng : Generator or int, optional
        Source of random numbers, as in `weightdecay.simulate.solve`: a seed, or a Generator that is spawned from and
        left where it is; without it a fresh seed, which the result tells.
    n_replicas : int, optional
        Independent walks, at least 2.
    burn_in : int, optional
        Steps before measuring; by default 10 / (lr * weight_decay).
    norm_squared_start : float, optional
        Squared norm at the start, in a random direction; above 0 under the symmetry "scale".
    symmetry : {"none", "scale"}, optional
        "scale" makes each gradient perpendicular to the weights and divides it by their norm.
    max_lag : int, optional
        Largest lag of the updates' autocorrelation.
    progress : callable, optional
        Called as ``progress(steps_done, n_steps_in_all)`` about a hundred times.

    Returns
    -------
    Walk

    Raises
    ------
    InvalidInput
        If an argument is outside its range.
    DivergenceError
        If the weights, or the fourth power of their norm, leave the finite numbers; it says in which step.

    Notes
    -----
    Standard errors are over replicas; those of ratios to first order in the fluctuations of both parts. All replicas of
    `SampledGradients` draw from one set of examples, so that their standard errors are those for that set: how the
    result varies from set to set is not in them. To see it, repeat the walk with several seeds.

    References
    ----------
    kosson2023 for equilibrium as that of a random walk.

    Examples
    --------
    >>> from weightdecay.simulate import SGD, WhiteGradients
    >>> found = walk(SGD(0.1, weight_decay=0.5), WhiteGradients(), n_weights=1000, n_steps=200, rng=1)
    >>> round(found.norm_squared.value, 2), round(found.one_minus_cosine.value, 3)  # 0.1 / (0.5 * 1.95), 0.05
    (0.1, 0.05)
    """
    n_steps, n_replicas = check_count("n_steps", n_steps), check_count("n_replicas", n_replicas, least=2)
    max_lag = check_count("max_lag", max_lag, least=0, most=n_steps - 1)
    check_choice("symmetry", symmetry, ("none", "scale"))
    if not isinstance(rule, Rule):
        raise InvalidInput(f"rule is {rule!r}, but must be an optimizer, such as SGD(0.1, weight_decay=0.5)")
    if not isinstance(gradients, GradientSource) or isinstance(gradients, type):
        raise InvalidInput(f"gradients is {gradients!r}, but must be a source of gradients, such as WhiteGradients()")
    shape = _shape(n_weights)
    if isinstance(rule, Muon) and len(shape) != 2:
        raise InvalidInput(f"n_weights is {n_weights!r}, but Muon steps matrices: give (n_rows, n_columns)")
    eps = rule.lr * rule.weight_decay
    if burn_in is None:
        if not eps:
            raise InvalidInput("weight_decay is 0, so the start is never forgotten; give a decay, or a burn_in")
        burn_in = math.ceil(_MEMORIES / eps)
    burn_in = check_count("burn_in", burn_in, least=0)
    if progress is not None and not callable(progress):
        raise InvalidInput(f"progress is {progress!r}, but must be a function progress(steps_done, n_steps_in_all)")
    root, kind, seed = seed_of(rng)
    generator = np.random.Generator(kind(root.spawn(1)[0] if isinstance(rng, np.random.Generator) else root))
    weights = _start(generator, n_replicas, shape, norm_squared_start, symmetry)
    stream = gradients.stream(generator, n_replicas, shape)
    left = 1.0 - eps if rule.coupling == "decoupled" else 1.0
    state: State = ()
    recent: deque[Array] = deque(maxlen=max_lag + 1)
    norms = np.empty((n_steps, n_replicas))
    products, angles = np.zeros(n_replicas), np.zeros(n_replicas)
    covariances, counts = np.zeros((max_lag + 1, n_replicas)), np.zeros(max_lag + 1)
    squared = _inner(weights, weights)
    every = -(-(burn_in + n_steps) // 100)
    for step in range(burn_in + n_steps):
        if progress is not None and step and step % every == 0:
            progress(step, burn_in + n_steps)
        gradient = next(stream)
        if symmetry == "scale":
            gradient = _tangential(gradient, weights, squared)
        before, norm_before = weights, squared
        try:
            weights, state = rule.step(weights, gradient, state)
        except np.linalg.LinAlgError:  # a matrix that is not finite has no polar factor
            raise _diverged(step, rule) from None
        squared = _inner(weights, weights)
        if not np.all(np.isfinite(squared * squared)):  # the standard error needs the square too
            raise _diverged(step, rule)
        if step < burn_in:
            continue
        norms[step - burn_in] = norm_before
        product = _inner(before, weights)
        products += product
        cosine = product / np.sqrt(norm_before * squared)
        angles += np.arccos(np.clip(np.nan_to_num(cosine), -1.0, 1.0)) ** 2
        recent.appendleft((left * before - weights) / rule.lr)
        for lag, update in enumerate(recent):
            covariances[lag] += _inner(recent[0], update)
            counts[lag] += 1
    if progress is not None:
        progress(burn_in + n_steps, burn_in + n_steps)
    covariances /= counts[:, None]
    mean_norms = norms.mean(axis=0)
    alike = _ratio(products / n_steps, mean_norms)
    squared_angle = _mean(angles / n_steps)
    angle = math.sqrt(squared_angle.value)
    correlation = [_ratio(row, covariances[0]) for row in covariances]
    return Walk(
        norm_squared=_mean(mean_norms),
        one_minus_cosine=Estimate(1.0 - alike.value, alike.standard_error),
        angular_update=Estimate(angle, squared_angle.standard_error / (2.0 * angle)),
        update_power=_mean(covariances[0]),
        update_autocorrelation=Estimate(
            np.array([part.value for part in correlation]), np.array([part.standard_error for part in correlation])
        ),
        norm_squared_path=norms.mean(axis=1),
        n_steps=n_steps,
        burn_in=burn_in,
        n_replicas=n_replicas,
        seed=seed,
    )


def _diverged(step: int, rule: Rule) -> DivergenceError:
    told = {"lr": rule.lr, "weight_decay": rule.weight_decay}
    if is_dataclass(rule) and not isinstance(rule, type):
        told = asdict(rule)
    return DivergenceError(step + 1, 1, told)


def _shape(n_weights: int | tuple[int, int]) -> tuple[int, ...]:
    if isinstance(n_weights, tuple):
        if len(n_weights) != 2:
            raise InvalidInput(f"n_weights is {n_weights!r}, but must be a number of weights, or (n_rows, n_columns)")
        return tuple(check_count("n_weights", side) for side in n_weights)
    return (check_count("n_weights", n_weights, least=2),)


def _start(
    rng: np.random.Generator, n_replicas: int, shape: tuple[int, ...], norm_squared: float, symmetry: str
) -> Array:
    if symmetry == "scale":
        check_positive("norm_squared_start", norm_squared)
    size = check_nonnegative("norm_squared_start", norm_squared)
    weights = rng.standard_normal((n_replicas, *shape))
    axes = tuple(range(1, len(shape) + 1))
    return np.asarray(weights * np.sqrt(size / np.square(weights).sum(axis=axes, keepdims=True)))


def _tangential(gradient: Array, weights: Array, squared: Array) -> Array:
    """Return the gradient perpendicular to the weights, with its mean power kept, over the norm of the weights."""
    n_weights = gradient[0].size
    expand = (slice(None), *([None] * (gradient.ndim - 1)))
    along = _inner(gradient, weights) / squared
    scale = np.sqrt(n_weights / (n_weights - 1) / squared)
    return np.asarray((gradient - along[expand] * weights) * scale[expand])


def _inner(first: Array, second: Array) -> Array:
    """Return the inner product of each replica, shape (n_replicas,)."""
    return np.asarray(np.einsum("ij,ij->i", first.reshape(len(first), -1), second.reshape(len(second), -1)))


def _mean(values: Array) -> Estimate:
    return Estimate(float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size)))


def _ratio(above: Array, below: Array) -> Estimate:
    """Return the ratio of two means over replicas, and its standard error to first order."""
    ratio = above.mean() / below.mean()
    return Estimate(float(ratio), _mean(above - ratio * below).standard_error / abs(float(below.mean())))
