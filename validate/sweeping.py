"""Raise the decay until nothing is left, and find the place: the same protocol for networks and for predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sweep", "raise_decay"]

Array = NDArray[np.float64]

_ALIVE = 1e-4
"""Share of the squared norm at the first decay below which nothing is left. A size that falls continuously comes under
it within a tenth of a percent of its end."""


@dataclass(frozen=True, eq=False)
class Sweep:
    """Hold what became of a size at rising decays.

    Parameters
    ----------
    weight_decays, sizes : (n_decays,) ndarray
        Decays in ascending order, and the squared norms at rest there.
    end : float
        Decay at which nothing is left, geometric middle of the last bracket; nan if none was found.
    last : object
        State at the largest decay where something is left.
    """

    weight_decays: Array
    sizes: Array
    end: float
    last: Any

    @property
    def last_alive(self) -> int:
        """Place of the largest decay where something is left; -1 if there is none."""
        return int(np.sum(self.sizes > _ALIVE * self.sizes[0])) - 1 if self.sizes[0] else -1


def raise_decay(
    settle: Callable[[Any, float], tuple[Any, float]],
    state: Any,
    *,
    first: float,
    most: float,
    growth: float,
    resolution: float,
) -> Sweep:
    """Raise the decay by a factor at a time until nothing is left, then halve the bracket.

    Parameters
    ----------
    settle : callable
        settle(state, weight_decay) returns the state at rest there, and its squared norm.
    state : object
        Where to start.
    first, most : float
        Smallest decay, and the largest one that is tried.
    growth : float
        Factor from one decay to the next, above 1.
    resolution : float
        The bracket ends when the larger decay is less than this above the smaller, relative to it.

    Returns
    -------
    Sweep
        Every decay starts from the state of the largest smaller one at which something was left.

    Examples
    --------
    >>> sweep = raise_decay(lambda s, decay: (s, max(0.0, 1 - decay)), 0, first=0.5, most=4, growth=2, resolution=0.01)
    >>> round(sweep.end, 2), len(sweep.sizes)
    (1.0, 9)
    """
    state, size = settle(state, first)
    sizes, whole = {first: size}, size
    alive, dead = first, first * growth
    while whole and dead <= most:
        reached, sizes[dead] = settle(state, dead)
        if sizes[dead] <= _ALIVE * whole:
            break
        state, alive, dead = reached, dead, dead * growth
    found = bool(whole) and dead <= most
    while found and dead > alive * (1 + resolution):
        middle = np.sqrt(alive * dead)
        reached, sizes[middle] = settle(state, middle)
        if sizes[middle] <= _ALIVE * whole:
            dead = middle
        else:
            state, alive = reached, middle
    decays = np.array(sorted(sizes))
    end = float(np.sqrt(alive * dead)) if found else np.nan
    return Sweep(decays, np.array([sizes[decay] for decay in decays]), end, state)
