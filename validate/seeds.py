"""Begin a random stream again, so that a job does the same however often it is started."""

from __future__ import annotations

import numpy as np

__all__ = ["fresh_generator", "unspawned"]


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
