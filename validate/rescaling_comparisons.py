"""What a sweep of noiseless minima says of rescaling: its own fixed point, another decay's, and the envelope."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, PchipInterpolator

from ..theory import derive
from .comparison import Comparison, Curve, over_seeds, standard_error
from .descent import Minima

__all__ = ["Sweep", "comparisons", "curves", "fixed_point"]

Array = NDArray[np.float64]

FACTOR_TOLERANCE = 0.02
"""Of the factor: what a minimizer leaves unbalanced after some dozens of steps at each weight decay."""
ENVELOPE_TOLERANCE = 0.03
"""Of the size: a slope between two minima, each of them known to about a hundredth of their difference."""


_GONE = 1e-12
"""Squared norm that stands for zero where logarithms are taken."""


@dataclass(frozen=True)
class Sweep:
    """Hold the sweeps of one network that differ in their seed alone.

    Parameters
    ----------
    depth : int
        Layers of weights.
    per_decade : int
        Weight decays in a decade, over which they are spread evenly.
    minima : sequence of Minima
        One for each seed.
    """

    depth: int
    per_decade: int
    minima: Sequence[Minima]

    @property
    def weight_decay(self) -> Array:
        """Weight decays, rising."""
        return self.minima[0].weight_decay

    def norm_squared(self, place: int) -> Array:
        """Return the squared norm of a layer, the mean over layers, for each seed."""
        return np.array([found.norm_squared[place].mean() for found in self.minima])

    def between(self, place: int) -> Array:
        """Return the squared norm of the whole network, the mean over the decays from one to the next, for each seed.

        Sizes are interpolated in logarithms by cubics that keep them monotonic.
        """
        x = np.log(self.weight_decay)
        fine = np.linspace(self.weight_decay[place], self.weight_decay[place + 1], 201)
        sizes = [np.maximum(found.norm_squared.sum(axis=1), _GONE) for found in self.minima]
        splines = [PchipInterpolator(x, np.log(size)) for size in sizes]
        areas = [np.trapezoid(np.exp(spline(np.log(fine))), fine) for spline in splines]
        means: Array = np.array(areas) / (fine[-1] - fine[0])
        return means

    def from_curve(self, place: int) -> Array:
        """Return the same from the minimum of the regularized cost at both decays, for each seed."""
        lowest = [found.cost + found.weight_decay / 2 * found.norm_squared.sum(axis=1) for found in self.minima]
        values: Array = derive("envelope").numeric(
            "norm_squared_from_curve",
            minimum_below=np.array([curve[place] for curve in lowest]),
            minimum_above=np.array([curve[place + 1] for curve in lowest]),
            weight_decay_below=self.weight_decay[place],
            weight_decay_above=self.weight_decay[place + 1],
        )
        return values

    def unrest(self, place: int) -> float:
        """Return the largest part of the gradient that a minimum of this weight decay has left, over the decay's."""
        return float(np.max([minima.unrest[place] for minima in self.minima]))


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
    return [*_factors(sweep), *_envelope(sweep), *_extrapolated(sweep), *_equal_norms(sweep)]


def _factors(sweep: Sweep) -> list[Comparison]:
    return [
        over_seeds(
            f"factor at which the network trained with weight decay {decay:.3g} would rest, depth {sweep.depth}",
            1.0,
            [fixed_point(minima, place, float(decay)) for minima in sweep.minima],
            "one run's outputs",
            "a minimum is its own fixed point; the deviation is what the minimizer leaves",
            tolerance=FACTOR_TOLERANCE,
            key=f"factor {place} depth {sweep.depth}",
        )
        for place, decay in enumerate(sweep.weight_decay)
    ]


def _envelope(sweep: Sweep) -> list[Comparison]:
    return [
        over_seeds(
            f"squared norm of all layers, mean over weight decays from {below:.3g} to {above:.3g}, depth "
            f"{sweep.depth}, from the minimum of the regularized cost at both ends",
            sweep.from_curve(place),
            sweep.between(place),
            "loss curve",
            "exact at minima; the interpolation of sizes is left, and what the minimizer did not come down: where it "
            f"stopped, the gradient was {sweep.unrest(place):.2g} and {sweep.unrest(place + 1):.2g} of its decay part",
            unit="weight²",
            tolerance=ENVELOPE_TOLERANCE,
            key=f"envelope {place} depth {sweep.depth}",
        )
        for place, (below, above) in enumerate(pairwise(sweep.weight_decay))
    ]


def _extrapolated(sweep: Sweep) -> list[Comparison]:
    """Compare the size at one decay with what the outputs at a tenth of it, rescaled, would give."""
    found = []
    for start in range(0, len(sweep.weight_decay) - sweep.per_decade, sweep.per_decade // 2 or 1):
        place = start + sweep.per_decade
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
                key=f"extrapolated {place} depth {sweep.depth}",
            )
        )
    return found


def _equal_norms(sweep: Sweep) -> list[Comparison]:
    """Compare the layers with each other at the smallest decay, where they take longest to become equal."""
    return [
        over_seeds(
            f"squared norm of layer {layer + 2} at weight decay {sweep.weight_decay[0]:.3g}, depth {sweep.depth}, if "
            "it were that of layer 2",
            [minima.norm_squared[0, 0] for minima in sweep.minima],
            [minima.norm_squared[0, layer] for minima in sweep.minima],
            "the other layer's size",
            "told: equal at a minimum; the slowest thing for a minimizer to bring about",
            unit="weight²",
            key=f"equal norms layer {layer + 2} depth {sweep.depth}",
        )
        for layer in range(1, sweep.depth)
    ]


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
    for place in range(0, len(sweep.weight_decay), sweep.per_decade // 2 or 1):
        decay = float(sweep.weight_decay[place])
        pull = first.gap_at_factor[place] / (decay * first.norm_squared[place].mean() * first.factor**2)
        add(f"λ = {decay:.3g}", balance, "theory", first.factor[shown], pull[shown], "pull over decay", "1")
        factor = np.array([fixed_point(minima, place, decay) for minima in sweep.minima])
        add(
            f"λ = {decay:.3g}, fixed point", balance, "experiment", factor.mean(keepdims=True), np.ones(1),
            "pull over decay", "1",
        )  # fmt: skip
    decays = sweep.weight_decay
    middles = np.sqrt(decays[:-1] * decays[1:])
    measured = np.array([sweep.norm_squared(place) for place in range(len(decays))]).T
    gap = np.mean([minima.entropy_loss_gap for minima in sweep.minima], axis=0)
    held = derive("equal-pull").numeric("norm_squared_without_noise", entropy_loss_gap=gap, weight_decay=decays)
    envelope = np.mean([sweep.from_curve(place) for place in range(len(middles))], axis=1) / sweep.depth
    what, unit = "squared norm of a layer", "weight^2"
    add("gap over weight decay", size, "theory", decays, held, what, unit)
    add("slope of the minimum", size, "theory", middles, envelope, what, unit)
    start = len(decays) // 2
    factors = np.array([fixed_point(first, start, float(decay)) for decay in decays])
    rigid = factors**2 * first.norm_squared[start].mean()
    known = np.isfinite(rigid)
    add("one run's outputs rescaled", size, "theory", decays[known], rigid[known], what, unit)
    add("trained", size, "experiment", decays, measured.mean(axis=0), what, unit, standard_error(measured))
    return found
