"""Say in one sentence where a layer of a log is, and where it is heading."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["verdict"]

_WIDE = 0.5
"""A fit whose halves differ by more than this share of it is told as a guess."""


def verdict(found: Mapping[str, Any], *, per_weight: bool, last_step: float, per_epoch: float | None) -> str:
    """Return the verdict on a layer.

    Parameters
    ----------
    found : mapping
        The numbers of `LayerDiagnosis`, by name.
    per_weight : bool
        Whether squared norms are means over the weights.
    last_step : float
        Last step of the log.
    per_epoch : float or None
        Steps of an epoch.

    Returns
    -------
    str
        One sentence without its full stop.

    Examples
    --------
    >>> verdict({"state": "no-decay", "norm_squared_start": 4.0, "norm_squared_end": 5.0, "norm_squared_alone": 4.0},
    ...         per_weight=False, last_step=10, per_epoch=None)
    'there is no decay, so that nothing holds its squared norm, which went from 4 to 5'
    """
    start, end, alone = (found[f"norm_squared_{name}"] for name in ("start", "end", "alone"))
    what = "mean square" if per_weight else "squared norm"
    way = f"{what} went from {start:.4g} to {end:.4g}"
    state = found["state"]
    if start == end == 0:
        return f"its {what} is 0 at both ends of the log: it holds no weights that decay could shrink"
    if state == "no-decay":
        return f"there is no decay, so that nothing holds its {way.replace(' went', ', which went')}"
    if state == "unknown":
        return (
            f"its {way}, but the log is too short against the time constant of decay to tell where it is heading: "
            f"decay alone would have left {alone:.4g}"
        )
    if state == "shrinking":
        return (
            f"its {way}, less than the {alone:.4g} that decay alone would leave or on the way below it: the gradient "
            "shrinks it too, or learning rate and decay are not those of the run"
        )
    rest, error = found["norm_squared_fitted"], found["fit_error"]
    size = _size(rest, found["n_weights"], per_weight)
    within = "" if error is None else f" ± {error:.2g}"
    at = f"{rest:.4g}{within}{size}"
    ratio = f"the gradient gives {found['pull_to_decay']:.3g} times what decay takes"
    first = found["pull_to_decay_first"]
    since_first = "" if first is None else f" ({first:.2g} times at first)"
    if state == "equilibrium":
        since = _when(found["reached_step"], per_epoch)
        return f"in equilibrium since {since}: its {what} rests at {at}, where {ratio}"
    steps = found["steps_to_equilibrium"]
    when = "" if steps is None else f", there {_when(last_step + steps, per_epoch, 'after')}"
    guess = " (a guess: the feed still changes)" if error is not None and error > _WIDE * rest else ""
    place = "still on its decay transient" if state == "falling" else "fed faster than it decays"
    return (
        f"{place}: its {way} (decay alone would leave {alone:.4g}), {ratio}{since_first}, "
        f"and, if that feed lasts, it is heading for {at}"
        f"{when}{guess}{_alone(found, last_step, per_epoch)}"
    )


def _alone(found: Mapping[str, Any], last_step: float, per_epoch: float | None) -> str:
    """Return how long decay alone would need to the sizes that claims about 1/√n speak of, if the run is shorter."""
    named = (("1/√fan_in", "steps_alone_to_fan_in_size"), ("1/√(all weights)", "steps_alone_to_network_size"))
    told = [(name, found[key]) for name, key in named if found[key]]
    if not told or any(steps <= last_step for _, steps in told):
        return ""
    times = " and ".join(f"{_when(steps, per_epoch, 'until')} to {name}" for name, steps in told)
    return f"; decay alone would need {times}: the run is too short to show it there"


def _size(norm_squared: float, n_weights: int | None, per_weight: bool) -> str:
    count = 1 if per_weight else n_weights
    return "" if count is None else f" (rms {math.sqrt(norm_squared / count):.3g})"


def _when(step: float, per_epoch: float | None, word: str = "") -> str:
    before = f"{word} " if word else ""
    return f"{before}step {step:.4g}" if per_epoch is None else f"{before}epoch {step / per_epoch:.3g}"
