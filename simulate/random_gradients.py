"""Draw gradients that know nothing of the weights: white, autoregressive, or mini-batches of a finite set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInput, check_count, check_finite, check_positive

__all__ = ["AutoregressiveGradients", "GradientSource", "SampledGradients", "WhiteGradients"]

Array = NDArray[np.float64]


@runtime_checkable
class GradientSource(Protocol):
    """What makes gradients: a mean of their squared norm, and an endless stream."""

    @property
    def power(self) -> float:
        """Second moment E||g||^2 of a gradient."""

    def stream(self, rng: np.random.Generator, n_replicas: int, shape: tuple[int, ...]) -> Iterator[Array]:
        """Yield gradients of shape (n_replicas, *shape), one per step."""


@dataclass(frozen=True)
class WhiteGradients:
    """Independent Gaussian gradients.

    Parameters
    ----------
    power : float, optional
        E||g||^2.
    fixed_norm : bool, optional
        Whether each gradient has that norm exactly, instead of on average.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    Examples
    --------
    >>> gradient = next(WhiteGradients(4.0, fixed_norm=True).stream(np.random.default_rng(1), 2, (3,)))
    >>> (gradient**2).sum(axis=1).round(12)
    array([4., 4.])
    """

    power: float = 1.0
    _: KW_ONLY
    fixed_norm: bool = False

    def __post_init__(self) -> None:
        check_positive("power", self.power)

    def stream(self, rng: np.random.Generator, n_replicas: int, shape: tuple[int, ...]) -> Iterator[Array]:
        """Yield gradients of shape (n_replicas, *shape), one per step."""
        size = np.sqrt(self.power / np.prod(shape))
        axes = tuple(range(1, len(shape) + 1))
        while True:
            gradient = rng.standard_normal((n_replicas, *shape))
            if self.fixed_norm:
                gradient *= np.sqrt(self.power / np.square(gradient).sum(axis=axes, keepdims=True))
            else:
                gradient *= size
            yield gradient


@dataclass(frozen=True)
class AutoregressiveGradients:
    """Gaussian gradients that remember: g' = correlation * g + noise, with E||g||^2 the same at every step.

    Parameters
    ----------
    power : float, optional
        E||g||^2.
    correlation : float
        Correlation of consecutive gradients, above -1 and below 1.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    Examples
    --------
    >>> source = AutoregressiveGradients(correlation=0.5).stream(np.random.default_rng(1), 1, (100000,))
    >>> first, second = next(source), next(source)
    >>> float(np.vdot(first, second).round(2))
    0.5
    """

    power: float = 1.0
    _: KW_ONLY
    correlation: float

    def __post_init__(self) -> None:
        check_positive("power", self.power)
        if not -1 < check_finite("correlation", self.correlation) < 1:
            raise InvalidInput(f"correlation is {self.correlation!r}, but must be a number above -1 and below 1")

    def stream(self, rng: np.random.Generator, n_replicas: int, shape: tuple[int, ...]) -> Iterator[Array]:
        """Yield gradients of shape (n_replicas, *shape), one per step."""
        size = np.sqrt(self.power / np.prod(shape))
        gradient = size * rng.standard_normal((n_replicas, *shape))
        fresh = size * np.sqrt(1.0 - self.correlation**2)
        while True:
            yield gradient
            gradient = self.correlation * gradient + fresh * rng.standard_normal((n_replicas, *shape))


@dataclass(frozen=True)
class SampledGradients:
    """Mini-batches of a finite set of examples, whose gradients are Gaussian, fixed, and add up to zero.

    Parameters
    ----------
    power : float, optional
        E||g||^2 of a mini-batch drawn with replacement.
    n_examples : int
        Examples in the set.
    batch_size : int
        Examples in a mini-batch; it must divide n_examples.
    replacement : bool, optional
        Whether mini-batches are drawn independently, or are the parts of reshuffled epochs.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    Notes
    -----
    In a reshuffled epoch every example comes once, so that its mini-batches add up to zero: their gradients are
    anticorrelated within the epoch. Their second moment is (n_examples - batch_size) / (n_examples - 1) times that of
    independent mini-batches.

    All replicas draw from the same examples, each in its own order.

    Examples
    --------
    >>> source = SampledGradients(n_examples=6, batch_size=2, replacement=False)
    >>> epoch = source.stream(np.random.default_rng(1), 1, (3,))
    >>> float(np.abs(next(epoch) + next(epoch) + next(epoch)).max().round(12))
    0.0
    """

    power: float = 1.0
    _: KW_ONLY
    n_examples: int
    batch_size: int
    replacement: bool = True

    def __post_init__(self) -> None:
        check_positive("power", self.power)
        n_examples = check_count("n_examples", self.n_examples, least=2)
        if n_examples % check_count("batch_size", self.batch_size, most=n_examples):
            raise InvalidInput(
                f"batch_size is {self.batch_size} and n_examples {n_examples}, but an epoch must be whole mini-batches"
            )

    def stream(self, rng: np.random.Generator, n_replicas: int, shape: tuple[int, ...]) -> Iterator[Array]:
        """Yield gradients of shape (n_replicas, *shape), one per step."""
        examples = rng.standard_normal((self.n_examples, *shape))
        examples -= examples.mean(axis=0)
        examples *= np.sqrt(self.power * self.batch_size * self.n_examples / np.square(examples).sum())
        order = np.tile(np.arange(self.n_examples), (n_replicas, 1))
        while True:
            drawn = rng.integers(self.n_examples, size=order.shape) if self.replacement else rng.permuted(order, axis=1)
            for start in range(0, self.n_examples, self.batch_size):
                yield examples[drawn[:, start : start + self.batch_size]].mean(axis=1)
