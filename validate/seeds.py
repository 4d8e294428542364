"""Give each job a random stream of its own, and begin it again however often the job is started."""

from __future__ import annotations

import numpy as np

from ..errors import check_rng

__all__ = ["fresh_generator", "spawned_seeds", "unspawned"]


def spawned_seeds(rng: np.random.Generator | int, n_seeds: int) -> list[np.random.SeedSequence]:
    """Return seeds of independent random streams.

    Raises
    ------
    InvalidInput
        If rng is neither a generator nor a whole number that is not negative.

    Examples
    --------
    >>> [seed.spawn_key for seed in spawned_seeds(1, 2)]
    [(0,), (1,)]
    """
    return list(check_rng(rng).bit_generator.seed_seq.spawn(n_seeds))  # type: ignore[attr-defined]


def unspawned(seed: np.random.SeedSequence) -> np.random.SeedSequence:
    """Return the same seed as it was before anything was spawned from it.

    Examples
    --------
    >>> seed = np.random.SeedSequence(1)
    >>> seed.spawn(2)[0].spawn_key, unspawned(seed).spawn(1)[0].spawn_key, seed.spawn(1)[0].spawn_key
    ((0,), (0,), (2,))
    """
    return np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key)


def fresh_generator(seed: np.random.SeedSequence) -> np.random.Generator:
    """Return a generator at the beginning of a stream, whatever has been spawned from the seed since.

    Examples
    --------
    >>> seed = np.random.SeedSequence(1)
    >>> [int(fresh_generator(seed).integers(1000)) for _ in range(2)]
    [473, 473]
    """
    return np.random.default_rng(unspawned(seed))
