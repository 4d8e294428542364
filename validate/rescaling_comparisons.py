"""What a sweep of noiseless minima says of rescaling: its own fixed point, another decay's, and the envelope."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from ..theory import derive
from .comparison import Comparison, Curve, over_seeds, standard_error
from .descent import Minima

__all__ = ["Sweep", "comparisons", "curves", "fixed_point"]

Array = NDArray[np.float64]

FACTOR_TOLERANCE = 0.02
"""Of the factor: what a minimizer leaves unbalanced after some dozens of iterations at each weight decay."""
ENVELOPE_TOLERANCE = 0.03
"""Of the size: a slope between two minima, each known to a thousandth or two."""


@dataclass(frozen=True)
class Sweep:
    """Hold the sweeps of one network that differ in their seed alone; weight decays come in pairs of neighbours.

    Parameters
    ----------
    depth : int
        Layers of weights.
    minima : sequence of Minima
        One for each seed.
    """

    depth: int
    minima: Sequence[Minima]

    @property
    def weight_decay(self) -> Array:
        """Weight decays, those of a pair beside each other."""
        return self.minima[0].weight_decay

    @property
    def centres(self) -> range:
        """Places of the first of each pair."""
        return range(0, len(self.weight_decay), 2)

    def norm_squared(self, place: int) -> Array:
        """Return the squared norm of a layer, the mean over layers, for each seed."""
        return np.array([found.norm_squared[place].mean() for found in self.minima])

    def total(self, place: int) -> Array:
        """Return the squared norm of the whole network, for each seed."""
        return np.array([found.norm_squared[place].sum() for found in self.minima])


def fixed_point(minima: Minima, place: int, weight_decay: float) -> float:
    """Return the factor at which a network's own outputs, all weights rescaled, balance a weight decay.

    Parameters
    ----------
    minima : Minima
        A sweep.
    place : int
        Which of its networks.
    weight_decay : float
        The decay to balance, its own or another.

    Returns
    -------
    float
        Nearest to 1, in ratio, of the factors at which the balance is stable; nan if there is none.

    Notes
    -----
    The entropy-loss gap of the outputs times factor^depth is what pulls each layer; decay takes its squared norm times
    factor^2.
    """
    gap = np.maximum(minima.gap_at_factor[place], 0.0)  # over-confident outputs pull inwards: no weights are held up
    held = derive("equal-pull").numeric("norm_squared_without_noise", entropy_loss_gap=gap, weight_decay=weight_decay)
    log_factor = np.log(minima.factor)
    surplus = CubicSpline(log_factor, held - minima.norm_squared[place].mean() * minima.factor**2)
    roots = surplus.roots(extrapolate=False)
    stable = [root for root in roots if surplus(root, 1) < 0]
    return math.exp(min(stable, key=abs)) if stable else math.nan


def comparisons(sweep: Sweep) -> list[Comparison]:
    """Return every comparison of a sweep: factors, the envelope, and what rescaling cannot say.

    Parameters
    ----------
    sweep : Sweep
        Minima over pairs of weight decays.

    Returns
    -------
    list of Comparison
    """
    found = []
    for place in sweep.centres:
        decay = float(sweep.weight_decay[place])
        found.append(
            over_seeds(
                f"factor at which the network trained with weight decay {decay:.3g} would rest, depth {sweep.depth}",
                1.0,
                [fixed_point(minima, place, decay) for minima in sweep.minima],
                "one run's outputs",
                "a minimum is its own fixed point; the deviation is what the minimizer leaves",
                tolerance=FACTOR_TOLERANCE,
                key=f"factor {place // 2} depth {sweep.depth}",
            )
        )
    for place in sweep.centres:
        below, above = (float(decay) for decay in sweep.weight_decay[place : place + 2])
        found.append(
            over_seeds(
                f"squared norm of all layers between weight decays {below:.3g} and {above:.3g}, "
                f"depth {sweep.depth}, from the minimum of the regularized cost at both",
                _from_curve(sweep, place),
                (sweep.total(place) + sweep.total(place + 1)) / 2,
                "loss curve",
                "exact for neighbours; the finite step and the minimizer's remainder are left",
                unit="weight²",
                tolerance=ENVELOPE_TOLERANCE,
                key=f"envelope {place // 2} depth {sweep.depth}",
            )
        )
    per_decade = _per_decade(sweep)
    for place in sweep.centres[per_decade:]:
        start = place - 2 * per_decade
        below, above = float(sweep.weight_decay[start]), float(sweep.weight_decay[place])
        factors = np.array([fixed_point(minima, start, above) for minima in sweep.minima])
        found.append(
            over_seeds(
                f"squared norm of a layer at weight decay {above:.3g}, depth {sweep.depth}, from the outputs at "
                f"{below:.3g} rescaled",
                factors**2 * sweep.norm_squared(start),
                sweep.norm_squared(place),
                "one run's outputs",
                "told: another decay changes the directions too, which rescaling holds",
                unit="weight²",
                key=f"extrapolated {place // 2} depth {sweep.depth}",
            )
        )
    for layer in range(1, sweep.depth):
        place = sweep.centres[0]
        found.append(
            over_seeds(
                f"squared norm of layer {layer + 2} at weight decay {sweep.weight_decay[place]:.3g}, depth "
                f"{sweep.depth}, if it were that of layer 2",
                [minima.norm_squared[place, 0] for minima in sweep.minima],
                [minima.norm_squared[place, layer] for minima in sweep.minima],
                "the other layer's size",
                "told: equal at a minimum; the slowest thing for a minimizer to bring about",
                unit="weight²",
                key=f"equal norms layer {layer + 2} depth {sweep.depth}",
            )
        )
    return found


def _from_curve(sweep: Sweep, place: int) -> Array:
    """Return the squared norm of the network from the regularized minimum at a pair of decays, for each seed."""
    minimum = [
        [found.cost[k] + found.weight_decay[k] / 2 * found.norm_squared[k].sum() for found in sweep.minima]
        for k in (place, place + 1)
    ]
    values: Array = derive("envelope").numeric(
        "norm_squared_from_curve",
        minimum_below=np.array(minimum[0]),
        minimum_above=np.array(minimum[1]),
        weight_decay_below=sweep.weight_decay[place],
        weight_decay_above=sweep.weight_decay[place + 1],
    )
    return values


def _per_decade(sweep: Sweep) -> int:
    """Return the number of centres in a decade."""
    ratio = sweep.weight_decay[2] / sweep.weight_decay[0]
    return max(1, round(1 / math.log10(ratio)))


def curves(sweep: Sweep) -> list[Curve]:
    """Return what the figure draws: the balance against the factor, and the size against the weight decay.

    Parameters
    ----------
    sweep : Sweep
        Minima over pairs of weight decays.

    Returns
    -------
    list of Curve
        Panels "balance" (of the first seed) and "size", both with the depth in their name.
    """
    found = []
    balance, size = f"balance, depth {sweep.depth}", f"size, depth {sweep.depth}"
    first = sweep.minima[0]

    def add(
        name: str, panel: str, kind: str, x: Array, y: Array, y_name: str, y_unit: str, error: Array | None = None
    ) -> None:
        x_name = "factor of all weights" if panel == balance else "weight decay"
        found.append(Curve(name, panel, kind, x, y, x_name, "1", y_name, y_unit, error))  # type: ignore[arg-type]

    shown = np.abs(np.log(first.factor)) < math.log(2.01)
    for place in sweep.centres:
        decay = float(sweep.weight_decay[place])
        pull = first.gap_at_factor[place] / (decay * first.norm_squared[place].mean() * first.factor**2)
        add(f"λ = {decay:.3g}", balance, "theory", first.factor[shown], pull[shown], "pull over decay", "1")
        factor = np.array([fixed_point(minima, place, decay) for minima in sweep.minima])
        add(
            f"λ = {decay:.3g}, fixed point", balance, "experiment", factor.mean(keepdims=True), np.ones(1),
            "pull over decay", "1",
        )  # fmt: skip
    decays = sweep.weight_decay
    middles = np.sqrt(decays[0::2] * decays[1::2])
    measured = np.array([sweep.norm_squared(place) for place in range(len(decays))]).T
    gap = np.mean([minima.entropy_loss_gap for minima in sweep.minima], axis=0)
    held = derive("equal-pull").numeric("norm_squared_without_noise", entropy_loss_gap=gap, weight_decay=decays)
    envelope = np.mean([_from_curve(sweep, place) for place in sweep.centres], axis=1) / sweep.depth
    what, unit = "squared norm of a layer", "weight^2"
    add("gap over weight decay", size, "theory", decays, held, what, unit)
    add("slope of the minimum", size, "simulation", middles, envelope, what, unit)
    start = sweep.centres[len(sweep.centres) // 2]
    factors = np.array([fixed_point(first, start, float(decay)) for decay in decays])
    rigid = factors**2 * first.norm_squared[start].mean()
    known = np.isfinite(rigid)
    add("one run's outputs rescaled", size, "theory", decays[known], rigid[known], what, unit)
    add("trained", size, "experiment", decays, measured.mean(axis=0), what, unit, standard_error(measured))
    return found
