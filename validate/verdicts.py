"""Say in one sentence where a layer of a log is and where it is heading, and in one how all layers are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["closing", "verdict"]

_WIDE = 0.5
"""A fit whose error is more than this share of it is told as a guess."""
_DIGITS = 5e-5
"""Share of a size that its four printed digits do not show."""
_SHOWN = 6
"""Names of layers that the closing sentence lists of each kind."""


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
    within = "" if error is None or error < _DIGITS * rest else f" ± {float(f'{error:.2g}'):.4g}"
    ratio = f"the gradient gives {found['pull_to_decay']:.3g} times what decay takes"
    first = found["pull_to_decay_first"]
    if first is not None:
        ratio += f" ({first:.2g} times at first{', when it shrank the layer too' if first < 0 else ''})"
    change = found["feed_change"]
    feed = "" if change is None else f"its feed still {'grows' if change > 0 else 'falls'}"
    much = f"{abs(change or 0.0):.0%}" if abs(change or 0.0) < 1 else f"{abs(change or 0.0):.2g} times itself"
    if state == "equilibrium":
        since = _when(found["reached_step"], per_epoch)
        slowly = f"; {feed} slowly, by {much} over the second half of the log" if feed else ""
        return f"in equilibrium since {since}: its {what} rests at {rest:.4g}{within}{size}, where {ratio}{slowly}"
    place = "still on its decay transient" if state == "falling" else "fed faster than it decays"
    told = f"{place}: its {way} (decay alone would leave {alone:.4g}), and {ratio}"
    steps = found["steps_to_equilibrium"]
    when = "" if steps is None else f", there {_when(last_step + steps, per_epoch, 'after')}"
    if feed:
        further = rest + error if change > 0 else max(rest - error, 0.0)
        told += (
            f"; where it will rest is not determined, since {feed}, by {much} over the log's second half: the feed "
            f"at its end would hold it at {rest:.4g}{size}{when}, and as much change again at {further:.4g}"
        )
    else:
        few = " (a guess: the log has too few rows to tell whether the feed changes)"
        wide = " (a guess: the log is too short, or scatters too much, to tell better)"
        guess = few if error is None else wide if error > _WIDE * rest else ""
        told += f"; if that feed lasts, it is heading for {rest:.4g}{within}{size}{when}{guess}"
    return told + _alone(found, last_step, per_epoch)


def closing(layers: Sequence[tuple[str, str, float | None, float | None]], per_epoch: float | None) -> str:
    """Return one sentence on all layers of a log: which are in equilibrium, and what would bring the others there.

    Parameters
    ----------
    layers : sequence of (str, str, float or None, float or None)
        Name, state, steps to equilibrium and change of the feed of each, as in `LayerDiagnosis`.
    per_epoch : float or None
        Steps of an epoch.

    Returns
    -------
    str
        One sentence without its full stop.

    Examples
    --------
    >>> closing([("a", "equilibrium", 0.0, None), ("b", "falling", 500.0, None)], None)
    'a is in equilibrium with decay, but b is still falling: that takes some 5e+02 more steps like the last, or ...'
    """
    by_state: dict[str, list[str]] = {}
    for name, state, _, _ in layers:
        by_state.setdefault(state, []).append(name)
    resting = by_state.pop("equilibrium", [])
    bare = by_state.pop("no-decay", [])
    n_decaying = len(layers) - len(bare)
    others = f"; {_names(bare)} {_are(bare)} not decayed, so that nothing holds {_them(bare)}" if bare else ""
    if not n_decaying:
        return "no layer is decayed, so that there is no equilibrium with decay to reach; a weight decay would make one"
    if len(resting) == n_decaying:
        all_of = {1: "the only decayed layer is", 2: "both decayed layers are"}.get(
            n_decaying, f"all {n_decaying} decayed layers are"
        )
        return (
            f"{all_of} in equilibrium with decay at the end of the log, so that sizes no longer tell how they started; "
            f"another learning rate, weight decay or feed would change them{others}"
        )
    moving = [f"{_names(names)} {_are(names)} {_WORDS[state]}" for state, names in by_state.items()]
    start = f"{_names(resting)} {_are(resting)} in equilibrium with decay, but " if resting else (
        "no decayed layer is in equilibrium at the end of the log: " if n_decaying > 1 else ""
    )  # fmt: skip
    told = f"{start}{' and '.join(moving)}"
    waits = [steps for _, state, steps, _ in layers if state in ("falling", "growing") and steps]
    drifts = any(change is not None for _, state, _, change in layers if state in ("falling", "growing"))
    if waits:
        more = f"{max(waits):.2g} more steps" if per_epoch is None else f"{max(waits) / per_epoch:.2g} more epochs"
        least = "at least" if drifts else "some"
        told += (
            f": that takes {least} {more} like the last, or a larger product of learning rate and weight decay, which "
            "shortens all times in proportion"
        )
    elif "unknown" in by_state:
        told += ": a longer run, or a larger product of learning rate and weight decay, would tell"
    return told + others


_WORDS = {
    "falling": "still falling",
    "growing": "still growing",
    "shrinking": "being shrunk by the gradient too",
    "zero": "0 throughout",
    "unknown": "too early in the run to judge",
}


def _names(names: Sequence[str]) -> str:
    shown = list(names[:_SHOWN])
    if len(names) > _SHOWN:
        shown.append(f"{len(names) - _SHOWN} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _them(names: Sequence[str]) -> str:
    return "it" if len(names) == 1 else "them"


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
