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
        Decay at which nothing is left, geometric middle of the last step; nan if none was found.
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
        alive = np.flatnonzero(self.sizes > _ALIVE * self.sizes[0])
        return int(alive[-1]) if alive.size else -1


def raise_decay(
    settle: Callable[[Any, float], tuple[Any, float]],
    state: Any,
    *,
    first: float,
    most: float,
    growth: float,
    resolution: float,
) -> Sweep:
    """Raise the decay by a factor at a time; where nothing is left, go back one step and on with shorter ones.

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
        The sweep ends when a step shorter than this, relative to the decay, leaves nothing.

    Returns
    -------
    Sweep
        Every decay starts from the state of the largest smaller one at which something was left.

    Notes
    -----
    A long step can throw a state out of a basin that is still there at its end, so a decay that left nothing is tried
    again when the sweep comes to it in shorter steps; halving a bracket would trust it.

    Examples
    --------
    >>> sweep = raise_decay(lambda s, decay: (s, max(0.0, 1 - decay)), 0, first=0.5, most=4, growth=2, resolution=0.01)
    >>> round(sweep.end, 2), len(sweep.sizes)
    (1.0, 12)
    """
    state, size = settle(state, first)
    sizes, whole = {first: size}, size
    alive, step, found = first, growth, False
    while whole and not found and alive * step <= most:
        reached, size = settle(state, alive * step)
        sizes[alive * step] = size
        if size > _ALIVE * whole:
            state, alive = reached, alive * step
        elif step > 1 + resolution:
            step = np.sqrt(step)
        else:
            found = True
    decays = np.array(sorted(sizes))
    end = float(alive * np.sqrt(step)) if found else np.nan
    return Sweep(decays, np.array([sizes[decay] for decay in decays]), end, state)
