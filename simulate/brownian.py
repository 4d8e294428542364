"""Draw Brownian paths that methods and step sizes can share, and random streams that belong to groups of paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidInput, check_count, check_positive, check_rng
from .problem import FloatArray

__all__ = ["GROUP", "BrownianPaths", "brownian_paths", "group_streams", "integrate_motion", "seed_of"]

GROUP = 4096
"""Paths that share one random stream: fixed, so that no choice of block size or processes changes a number."""


@dataclass(frozen=True, eq=False)
class BrownianPaths:
    """Hold the increments of Brownian motions over equal steps.

    Parameters
    ----------
    dt : float
        Length of a step.
    dW : (n_paths, n_steps, n_noise) ndarray
        Increments over the steps.
    dZ : (n_paths, n_steps, n_noise) ndarray
        Integrals of W minus its value at the start of the step, over each step: methods of order 1.5 need them.

    Examples
    --------
    >>> fine = brownian_paths(2, 8, 0.5, rng=1)
    >>> coarse = fine.coarsened(4)
    >>> coarse.dt, coarse.dW.shape
    (2.0, (2, 2, 1))
    """

    dt: float
    dW: FloatArray  # noqa: N815  # mathematics keeps its letters
    dZ: FloatArray  # noqa: N815

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        return int(self.dW.shape[1])

    def at_steps(self) -> FloatArray:
        """Return W at the start and after each step, shape (n_paths, n_steps + 1, n_noise)."""
        return np.concatenate([np.zeros_like(self.dW[:, :1]), np.cumsum(self.dW, axis=1)], axis=1)

    def coarsened(self, factor: int) -> BrownianPaths:
        """Return the same paths over steps that are `factor` times as long.

        Raises
        ------
        InvalidInput
            If the number of steps is not a multiple of the factor.
        """
        factor = check_count("factor", factor)
        if self.n_steps % factor:
            raise InvalidInput(f"factor is {factor}, but must divide the number of steps, {self.n_steps}")
        n_paths, _, n_noise = self.dW.shape
        dW = self.dW.reshape(n_paths, -1, factor, n_noise)
        before = np.cumsum(dW, axis=2) - dW
        dZ = self.dZ.reshape(dW.shape) + self.dt * before
        return BrownianPaths(self.dt * factor, dW.sum(axis=2), dZ.sum(axis=2))


def brownian_paths(
    n_paths: int, n_steps: int, dt: float, *, n_noise: int = 1, rng: np.random.Generator | int | None = None
) -> BrownianPaths:
    """Draw increments of Brownian motions and their time integrals.

    Parameters
    ----------
    n_paths, n_steps : int
        Number of paths and of steps.
    dt : float
        Length of a step.
    n_noise : int, optional
        Independent motions per path.
    rng : Generator or int, optional
        Source of random numbers.

    Returns
    -------
    BrownianPaths
        For ``solve(..., dW=...)``.

    Notes
    -----
    Over a step h, dW has variance h, dZ has variance h^3/3, and their covariance is h^2/2.

    References
    ----------
    kloeden1992

    Examples
    --------
    >>> paths = brownian_paths(20000, 1, 0.01, rng=1)
    >>> paths.dW.shape, round(float(paths.dW.var()), 3)
    ((20000, 1, 1), 0.01)
    """
    shape = (check_count("n_paths", n_paths), check_count("n_steps", n_steps), check_count("n_noise", n_noise))
    h = check_positive("dt", dt)
    generator = np.random.default_rng() if rng is None else check_rng(rng)
    dW = np.sqrt(h) * generator.standard_normal(shape)
    dZ = generator.standard_normal(shape)
    integrate_motion(dW, dZ, h)
    return BrownianPaths(h, dW, dZ)


def integrate_motion(dW: FloatArray, normals: FloatArray, h: float) -> None:
    """Turn independent standard normals, in place, into the time integral of a motion whose increment over h is dW."""
    np.multiply(normals, h * np.sqrt(h / 12.0), out=normals)
    np.add(normals, 0.5 * h * dW, out=normals)


def group_streams(
    rng: np.random.Generator | int | None, n_paths: int
) -> tuple[list[np.random.SeedSequence], type[Any], int | Mapping[str, Any]]:
    """Spawn one seed per group of `GROUP` paths; return also the kind of generator and what to record as the seed."""
    root, kind, seed = seed_of(rng)
    return root.spawn(-(-n_paths // GROUP)), kind, seed


def seed_of(
    rng: np.random.Generator | int | None,
) -> tuple[np.random.SeedSequence, type[Any], int | Mapping[str, Any]]:
    """Return the seed sequence behind `rng`, its kind of generator, and what to record as the seed.

    A seed of one's own gives an integer that, given again, repeats the run; so does that of None, which is fresh. A
    Generator is spawned from and left where it is.

    >>> seed_of(7)[2]
    7
    """
    kind: type[Any] = np.random.PCG64
    if isinstance(rng, np.random.Generator):
        root = rng.bit_generator.seed_seq
        if not isinstance(root, np.random.SeedSequence):
            raise InvalidInput("this generator cannot spawn others; make it with numpy.random.default_rng(seed)")
        kind = type(rng.bit_generator)
        seed: int | Mapping[str, Any] = root.state
    else:
        root = np.random.SeedSequence(None if rng is None else check_count("rng", rng, least=0))
        entropy = root.entropy
        seed = entropy if isinstance(entropy, int) else root.state
    return root, kind, seed
