"""Depth: two linear layers collapse continuously, three or more all at once, and come back only if kicked.

Deep linear networks are trained on the whole training set while the decay is raised until nothing is left. The product
of their layers feels decay as a penalty on its singular values, so that its minima can be followed from the data alone,
by the same protocol and without a network. Beyond two layers zero weights are stable at every decay: after the collapse
the network is put back to a known fraction of its last weights at a smaller decay, beneath and above the barrier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import check_positive
from .collapse_threshold import smooth_threshold
from .comparison import Comparison, Curve, Report, over_seeds
from .datasets import Dataset
from .depth_sweeps import DeepNetworks, DeepProducts
from .full_batch import check_pixels, living_examples
from .provenance import provenance
from .seeds import spawned_seeds
from .sweep import compute_all

__all__ = ["run"]

Array = NDArray[np.float64]

_DEPTHS = (2, 3, 4)
_FIRST, _MOST = {2: 0.6, 3: 0.25, 4: 0.25}, 1.5
"""Smallest decay, well beneath every jump, and the largest one tried, both over the threshold of two linear layers. Of
these the experiment `collapse` shows what is below 0.6."""
_GROWTH = {"quick": 1.2, "full": 1.04}
_PREDICTED_GROWTH = {"quick": 1.2, "full": 1.01}
"""A finer ladder at full scale, so that prediction and training do not agree because they stop at the same rungs."""
_RESOLUTION = {"quick": 0.03, "full": 0.002}
_N_SEEDS = {"quick": 1, "full": 3}
_KICKS = {"quick": (0.75, 1.33), "full": (0.5, 0.75, 1.33, 2.0)}
"""Kicks over the barrier: a quarter off it, since the directions of the layers relax during the fall or the rise."""
_KICKED_AT = 0.75
_TOLERANCE, _DROP_TOLERANCE, _GONE_TOLERANCE = 0.05, 0.01, 1e-3
_JUMP_REASON = "fixed beforehand: where a minimum vanishes depends on how far the last steps reach"
_DROP_REASON = "fixed beforehand: two layers vanish continuously, up to the resolution of the sweep"
_SIZE_REASON = "the fold is a square root: the last size depends on how near to the jump the sweep happened to stop"
_KICK_REASON = "fixed beforehand, as for the place of the jump"
_GONE_REASON = "fixed beforehand: what is left where training stops because the weights are next to nothing"


def run(
    *,
    scale: str,
    n_jobs: int | None,
    rng: np.random.Generator | int,
    data: Dataset,
    progress: Callable[[int, int, str], None] | None,
) -> Report:
    """Train linear networks of two, three and four layers through their collapse, and kick them back.

    Parameters
    ----------
    scale, n_jobs, rng, data, progress
        As in `weightdecay.validate.run`.

    Returns
    -------
    Report
        Place of the collapse, last size before it, and what kicks do; all predictions from the data alone.

    Raises
    ------
    InvalidInput
        If the training images have no pixel that is not black.
    """
    check_pixels(data)
    unit = check_positive("largest singular value of residuals and inputs", smooth_threshold(living_examples(data)))
    steps: dict[str, Any] = {"most": _MOST * unit, "resolution": _RESOLUTION[scale]}
    ladders: dict[int, dict[str, Any]] = {
        depth: {"depth": depth, "first": _FIRST[depth] * unit, **steps} for depth in _DEPTHS
    }
    growth = _PREDICTED_GROWTH[scale]
    products: list[dict[str, Any]] = compute_all(
        [DeepProducts(**ladders[depth], growth=growth, kicks=_KICKS[scale], kicked_at=_KICKED_AT) for depth in _DEPTHS],
        data,
        n_jobs=n_jobs,
        progress=progress,
        what="predicting",
    )
    predicted = dict(zip(_DEPTHS, products, strict=True))
    n_seeds = _N_SEEDS[scale]
    seeds = spawned_seeds(rng, len(_DEPTHS))
    jobs = [
        DeepNetworks(
            **ladders[depth],
            growth=_GROWTH[scale],
            seed=own,
            kick_decay=float(np.nan_to_num(predicted[depth]["kick_decay"], nan=unit)),
            kicks=tuple(float(kick) for kick in predicted[depth]["kicks"] if np.isfinite(kick)),
        )
        for depth, seed in zip(_DEPTHS, seeds, strict=True)
        for own in seed.spawn(n_seeds)
    ]
    trained = compute_all(jobs, data, n_jobs=n_jobs, progress=progress)
    measured = {depth: trained[place * n_seeds : (place + 1) * n_seeds] for place, depth in enumerate(_DEPTHS)}
    comparisons, curves = [], []
    for depth in _DEPTHS:
        comparisons += _places(depth, unit, predicted[depth], measured[depth])
        comparisons += _kicks(depth, _KICKS[scale], predicted[depth], measured[depth])
        curves += _curves(depth, unit, predicted[depth], measured[depth])
    return Report(
        experiment="depth",
        comparisons=tuple(comparisons),
        curves=tuple(curves),
        provenance=provenance(
            experiment="depth",
            scale=scale,
            seed=rng if isinstance(rng, int) else None,
            parameters={
                "depths": _DEPTHS,
                "threshold_of_two_layers": unit,
                "growth": _GROWTH[scale],
                "growth_of_predictions": growth,
                "resolution": _RESOLUTION[scale],
                "hidden": data.n_classes,
                "n_seeds": n_seeds,
                "kicks_over_barrier": _KICKS[scale],
                "kicked_at": _KICKED_AT,
                "modes_before_collapse": {str(depth): len(found["last_modes"]) for depth, found in predicted.items()},
                "n_gradients": int(sum(found["n_gradients"] for found in trained)),
            },
            data=data,
        ),
    )


def _last(found: Mapping[str, Any]) -> float:
    """Return the size before the collapse, over the one at the smallest decay."""
    before = np.asarray(found["weight_decays"]) < found["end"]
    return float(found["sizes"][before][-1] / found["sizes"][0]) if before.any() else np.nan


def _places(
    depth: int, unit: float, predicted: Mapping[str, Any], measured: Sequence[Mapping[str, Any]]
) -> list[Comparison]:
    name = f"the linear network of {depth} layers"
    continuous = depth == 2
    return [
        over_seeds(
            f"decay at which {name} collapses",
            unit if continuous else predicted["end"],
            [found["end"] for found in measured],
            "data",
            _JUMP_REASON,
            unit="nat/weight^2",
            tolerance=_TOLERANCE,
            key=f"collapse {depth}",
        ),
        over_seeds(
            f"squared norm of {name} just before it collapses, over that at {_FIRST[depth]:g} of the threshold of two",
            0.0 if continuous else _last(predicted),
            [_last(found) for found in measured],
            "data",
            _DROP_REASON if continuous else _SIZE_REASON,
            tolerance=_DROP_TOLERANCE if continuous else None,
            tolerance_kind="absolute" if continuous else "relative",
            key=f"last size {depth}",
        ),
    ]


def _kicks(
    depth: int, kicks: Sequence[float], predicted: Mapping[str, Any], measured: Sequence[Mapping[str, Any]]
) -> list[Comparison]:
    comparisons = []
    for place, kick in enumerate(kicks):
        to = float(predicted["kicked_to"][place])
        gone = to < _GONE_TOLERANCE
        against = "the barrier" if depth > 2 else "a hundredth of its first weights"
        reached = [found["kicked_to"][place] if place < len(found["kicked_to"]) else np.nan for found in measured]
        comparisons.append(
            over_seeds(
                f"squared norm of each of {depth} linear layers after a kick to {kick:g} of {against}, at "
                f"{_KICKED_AT:g} of the decay of collapse",
                to,
                reached,
                "data",
                _GONE_REASON if gone else _KICK_REASON,
                unit="weight^2",
                tolerance=_GONE_TOLERANCE if gone else _TOLERANCE,
                tolerance_kind="absolute" if gone else "relative",
                key=f"kick {depth} {kick:g}",
            )
        )
    return comparisons


def _curves(
    depth: int, unit: float, predicted: Mapping[str, Any], measured: Sequence[Mapping[str, Any]]
) -> list[Curve]:
    names = ("weight decay over the threshold of two linear layers", "1", "squared norm of each layer", "weight^2")
    end = unit if depth == 2 else predicted["end"]
    before = predicted["weight_decays"] < predicted["end"]
    decays, sizes = predicted["weight_decays"][before], predicted["sizes"][before]
    tail = [end, end] if depth > 2 else [end]
    last = [sizes[-1] if sizes.size else np.nan, 0.0] if depth > 2 else [0.0]
    panel, first = f"{depth} layers", measured[0]
    curves = [
        Curve("predicted", panel, "theory", np.append(decays, tail) / unit, np.append(sizes, last), *names),
        Curve("trained, decay raised", panel, "experiment", first["weight_decays"] / unit, first["sizes"], *names),
    ]
    for others, found in enumerate(measured[1:], start=2):
        label = f"trained, decay raised, run {others}"
        curves.append(Curve(label, panel, "experiment", found["weight_decays"] / unit, found["sizes"], *names))
    at = np.full(len(first["kicked_to"]), predicted["kick_decay"] / unit)
    curves.append(Curve("trained, kicked to", panel, "reference", at, first["kicked_from"], *names))
    curves.append(Curve("trained, after the kick", panel, "experiment", at, first["kicked_to"], *names))
    if depth > 2:
        rising = slice(0, int(np.argmax(predicted["ray_decays"])) + 1)
        scaled = predicted["ray_scales"][rising] ** 2 * (sizes[-1] if sizes.size else np.nan)
        curves.append(Curve("barrier", panel, "theory", predicted["ray_decays"][rising] / unit, scaled, *names))
    return curves
