"""Collapse: above which weight decay a two-layer network without biases has no weights left, and how it gets there.

Linear, tanh and ReLU networks are trained on the whole training set from small decay to large, each from where the one
before rests. Their squared norms fall to zero continuously, at a decay that the theory finds from the data alone: the
largest singular value of the correlation of residuals with inputs (linear, tanh), or the largest signal of any ReLU
unit. For the linear network the whole curve is predicted, by a convex problem for the product of both layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import check_choice, check_positive
from .collapse_threshold import relu_threshold, smooth_threshold
from .comparison import Comparison, Curve, Report, over_seeds
from .configuration import ACTIVATIONS
from .datasets import Dataset
from .full_batch import check_pixels, come_to_rest, draw_weights, living_examples
from .product_penalty import least_product
from .provenance import provenance
from .seeds import fresh_generator, spawned_seeds
from .sweep import compute_all

__all__ = ["ReluSignal", "TwoLayerProducts", "TwoLayerSweep", "run", "vanishing_decay"]

Array = NDArray[np.float64]

_ACTIVATIONS = ("linear", "tanh", "relu")
_CURVE = {
    "quick": (0.1, 0.3, 0.45, 0.6, 0.75, 0.9),
    "full": (0.1, 0.15, 0.2, 0.25, 0.3, 0.38, 0.45, 0.53, 0.6, 0.68, 0.75, 0.83, 0.9),
}
"""Decays of the whole curve over the threshold of the linear network. Below a tenth the minimum takes long to reach."""
_NEAR = {"quick": (0.92, 0.94, 0.96, 0.98, 1.02), "full": (0.92, 0.93, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99, 1.01, 1.02)}
"""Decays near the threshold, over that of each activation. A wrong threshold shows: the sizes, not the grid, say where
the last weight goes."""
_FROM = {"quick": 0.6, "full": 0.2}
"""Where the sweeps of tanh and ReLU begin: they take longer than the linear ones, and only their ends are compared."""
_N_SEEDS = {"quick": 1, "full": 3}
_THRESHOLD_TOLERANCE, _CURVE_TOLERANCE, _GONE_TOLERANCE = 0.01, 0.015, 1e-3
_ALIVE = 1e-3
"""Share of its squared norm at the first decay near the threshold below which a network counts as collapsed."""
_POINTS = 3
_THRESHOLD_REASON = (
    "fixed beforehand: the sizes near the threshold leave their parabola, and the trainings their rest, by less"
)
_CURVE_REASON = "fixed beforehand: both the convex problem and the training stop at a small gradient, not at none"
_GONE_REASON = "fixed beforehand: what is left where training stops because the weights are next to nothing"


@dataclass(frozen=True)
class TwoLayerSweep:
    """Train one two-layer network at rising decays, each from where the one before rests.

    Parameters
    ----------
    activation : str
        Of the hidden units, of which there are as many as classes: no product of two layers needs more.
    weight_decays : tuple of float
        In ascending order.
    seed : SeedSequence
        Of the first weights.
    """

    activation: str
    weight_decays: tuple[float, ...]
    seed: np.random.SeedSequence

    def check(self, data: Dataset) -> None:
        """Raise InvalidInput if the sweep has no sense or the data no pixel."""
        check_choice("activation", self.activation, ACTIVATIONS)
        check_positive("weight_decay", self.weight_decays[0])
        check_pixels(data)

    def start(self, data: Dataset) -> dict[str, Array]:
        """Return squared norms (n_decays, 2), unrest (n_decays,) and passes over the data (n_decays,)."""
        examples = living_examples(data)
        widths = (examples.inputs.shape[1], examples.n_classes, examples.n_classes)
        weights = draw_weights(widths, fresh_generator(self.seed))
        norms, unrest, passes = [], [], []
        for decay in self.weight_decays:
            rest = come_to_rest(weights, self.activation, examples, decay)
            weights = rest.weights
            norms.append(rest.norms_squared)
            unrest.append(rest.unrest)
            passes.append(rest.n_gradients)
        return {"norms_squared": np.array(norms), "unrest": np.array(unrest), "n_gradients": np.array(passes)}


@dataclass(frozen=True)
class TwoLayerProducts:
    """Solve the convex problem for the product of two linear layers at falling decays.

    Parameters
    ----------
    weight_decays : tuple of float
        In descending order.
    """

    weight_decays: tuple[float, ...]

    def check(self, data: Dataset) -> None:
        """Raise InvalidInput if a decay is out of range or the data have no pixel."""
        for decay in self.weight_decays:
            check_positive("weight_decay", decay)
        check_pixels(data)

    def start(self, data: Dataset) -> dict[str, Array]:
        """Return the squared norm of each layer and the unrest, for each decay."""
        examples, matrix = living_examples(data), None
        norms, unrest = [], []
        for decay in self.weight_decays:
            product = least_product(examples, decay, 2, matrix)
            matrix = product.matrix
            norms.append(product.norm_squared)
            unrest.append(product.unrest)
        return {"norm_squared": np.array(norms), "unrest": np.array(unrest)}


@dataclass(frozen=True)
class ReluSignal:
    """Find the largest signal of a ReLU unit.

    Parameters
    ----------
    seed : SeedSequence
        Of the starts.
    """

    seed: np.random.SeedSequence

    def check(self, data: Dataset) -> None:
        """Raise InvalidInput if the data have no pixel."""
        check_pixels(data)

    def start(self, data: Dataset) -> dict[str, float]:
        """Return the threshold."""
        return {"threshold": relu_threshold(living_examples(data), fresh_generator(self.seed))}


def vanishing_decay(weight_decays: ArrayLike, sizes: ArrayLike) -> float:
    """Return the decay at which a size that falls continuously reaches zero.

    Parameters
    ----------
    weight_decays, sizes : (n_decays,) array_like
        Rising decays and squared norms at rest.

    Returns
    -------
    float
        Value at size zero of the parabola through the last three points that have not collapsed; nan with fewer.

    Examples
    --------
    >>> round(vanishing_decay([0.92, 0.94, 0.96, 1.02], [0.08, 0.06, 0.04, 1e-9]), 12)
    1.0
    """
    shares = np.asarray(sizes) / np.asarray(sizes)[0]
    alive = np.flatnonzero(shares > _ALIVE)[-_POINTS:]
    if len(alive) < _POINTS:
        return np.nan
    scaled = shares[alive]
    return float(np.polynomial.Polynomial.fit(scaled, np.asarray(weight_decays)[alive], _POINTS - 1)(0.0))


def run(
    *,
    scale: str,
    n_jobs: int | None,
    rng: np.random.Generator | int,
    data: Dataset,
    progress: Callable[[int, int, str], None] | None,
) -> Report:
    """Train two-layer networks through their collapse.

    Parameters
    ----------
    scale, n_jobs, rng, data, progress
        As in `weightdecay.validate.run`.

    Returns
    -------
    Report
        Thresholds of three activations, and the curve of the linear network; all predictions from the data alone.

    Raises
    ------
    InvalidInput
        If the training images have no pixel that is not black.
    """
    check_pixels(data)
    threshold = smooth_threshold(living_examples(data))
    check_positive("largest singular value of residuals and inputs", threshold)
    relu_seed, *sweep_seeds = spawned_seeds(rng, 1 + len(_ACTIVATIONS))
    curve, near = _CURVE[scale], _NEAR[scale]
    solved = curve + tuple(fraction for fraction in near if fraction < 1)
    first_jobs: list[Any] = [
        TwoLayerProducts(tuple(threshold * fraction for fraction in reversed(solved))),
        ReluSignal(relu_seed),
    ]
    products, signal = compute_all(first_jobs, data, n_jobs=n_jobs, progress=progress, what="predicting")
    thresholds = {"linear": threshold, "tanh": threshold, "relu": signal["threshold"]}
    grids = {
        activation: _grid(curve, near, own / threshold, curve[0] if activation == "linear" else _FROM[scale])
        for activation, own in thresholds.items()
    }
    jobs = [
        TwoLayerSweep(activation, tuple(threshold * fraction for fraction in grids[activation]), own)
        for activation, seed in zip(_ACTIVATIONS, sweep_seeds, strict=True)
        for own in seed.spawn(_N_SEEDS[scale])
    ]
    sweeps = compute_all(jobs, data, n_jobs=n_jobs, progress=progress)

    # sizes by activation, (n_seeds, n_decays): the mean of both layers
    n_seeds = _N_SEEDS[scale]
    by_activation = {
        activation: np.array([found["norms_squared"].mean(axis=1) for found in sweeps[first : first + n_seeds]])
        for first, activation in zip(range(0, len(sweeps), n_seeds), _ACTIVATIONS, strict=True)
    }
    predicted = products["norm_squared"][::-1]
    comparisons = [
        *_thresholds(thresholds, by_activation, near),
        *_curve_comparisons(curve, predicted[: len(curve)], by_activation["linear"][:, : len(curve)]),
    ]
    return Report(
        experiment="collapse",
        comparisons=tuple(comparisons),
        curves=tuple(_curves(threshold, thresholds, solved, predicted, grids, by_activation)),
        provenance=provenance(
            experiment="collapse",
            scale=scale,
            seed=rng if isinstance(rng, int) else None,
            parameters={
                "threshold_linear": threshold,
                "threshold_relu": thresholds["relu"],
                "fractions": grids,
                "hidden": data.n_classes,
                "n_seeds": n_seeds,
                "unrest_of_linear_trainings": float(
                    max(np.max(found["unrest"][: len(curve)]) for found in sweeps[:n_seeds])
                ),
                "unrest_of_predictions": float(np.nanmax(products["unrest"])),
                "n_gradients": int(sum(found["n_gradients"].sum() for found in sweeps)),
            },
            data=data,
        ),
    )


def _grid(curve: Sequence[float], near: Sequence[float], own: float, first: float) -> tuple[float, ...]:
    """Return the decays of a sweep over the linear threshold, for a network whose own threshold is that many of it."""
    whole = [fraction for fraction in curve if first <= fraction < near[0] * own]
    return (*whole, *(own * fraction for fraction in near))


def _thresholds(thresholds: dict[str, float], sizes: dict[str, Array], near: Sequence[float]) -> list[Comparison]:
    words = {"linear": "linear", "tanh": "tanh", "relu": "ReLU"}
    found = []
    for activation, threshold in thresholds.items():
        decays = threshold * np.array(near)
        by_seed = sizes[activation][:, -len(near) :]
        found.append(
            over_seeds(
                f"decay at which the trained {words[activation]} network loses its last weight",
                threshold,
                [vanishing_decay(decays, own) for own in by_seed],
                "data",
                _THRESHOLD_REASON,
                unit="nat/weight^2",
                tolerance=_THRESHOLD_TOLERANCE,
                key=f"threshold {activation}",
            )
        )
        found.append(
            over_seeds(
                f"squared norm of the {words[activation]} network at {near[-1]:g} of its threshold, over that "
                f"at {near[0]:g}",
                0.0,
                by_seed[:, -1] / by_seed[:, 0],
                "data",
                _GONE_REASON,
                tolerance=_GONE_TOLERANCE,
                tolerance_kind="absolute",
                key=f"above {activation}",
            )
        )
    return found


def _curve_comparisons(fractions: Sequence[float], predicted: Array, measured: Array) -> list[Comparison]:
    return [
        over_seeds(
            f"squared norm of each layer of the linear network at {fraction:g} of its threshold",
            here,
            there,
            "data",
            _CURVE_REASON,
            unit="weight^2",
            tolerance=_CURVE_TOLERANCE,
            key=f"curve {fraction:g}",
        )
        for fraction, here, there in zip(fractions, predicted, measured.T, strict=True)
    ]


def _curves(
    unit: float,
    thresholds: dict[str, float],
    fractions: Sequence[float],
    predicted: Array,
    grids: dict[str, tuple[float, ...]],
    sizes: dict[str, Array],
) -> list[Curve]:
    names = ("weight decay over the linear threshold", "1", "squared norm of each layer", "weight^2")
    zero = np.zeros(1)
    curves = [
        Curve("linear, nuclear norm", "size", "theory", np.append(fractions, 1.0), np.append(predicted, 0.0), *names)
    ]
    for activation, threshold in thresholds.items():
        by_seed = sizes[activation]
        error = by_seed.std(axis=0, ddof=1) / np.sqrt(len(by_seed)) if len(by_seed) > 1 else None
        curves.append(
            Curve(
                f"{activation}, trained",
                "size",
                "experiment",
                np.array(grids[activation]),
                by_seed.mean(axis=0),
                *names,
                standard_error=error,
            )
        )
        curves.append(Curve(f"{activation}, threshold", "size", "theory", zero + threshold / unit, zero, *names))
    return curves
