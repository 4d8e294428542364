"""Draw how depth changes collapse: continuous with two linear layers, at once with more, and back only by a kick.

One panel for each depth: the predicted size with its jump, the barrier below it, trained networks while the decay is
raised, and arrows for the kicks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..validate import Curve, Report, run
from .captions import number
from .drawing import BLACK, BLUE, VERMILLION, Look, draw_curves, label_panel, narrow

__all__ = ["ALT", "CAPTION", "EXPERIMENT", "ID", "REFERENCES", "TITLE", "compute", "draw", "facts"]

ID = EXPERIMENT = "depth"
TITLE = "Deeper networks collapse all at once, and do not come back"
REFERENCES = ("arora2018", "ziyin2022", "ziyinueda2022")

CAPTION = """
Squared norm of each layer of linear networks with {{ depths | join(", ") }} layers of weights, at rest on all
{{ n_train }} training examples, while the weight decay is raised. Its unit is the threshold of two layers,
{{ unit | number(4) }}. Blue line, minimum of the loss plus the penalty that decay is for the product of balanced layers
[@arora2018], followed from the data alone, without a network; circles, trained networks. Two layers vanish
continuously; more jump to zero [@ziyin2022], from {% for place in jumps %}{{ place.last | number(2) }} at
{{ place.predicted | number(4) }} ({{ place.depth }} layers; trained: {{ place.measured | number(4) }})
{{- ", " if not loop.last }}{% endfor %}. Beyond two layers zero stays stable whatever the decay [@ziyinueda2022]: put
back (open diamonds) beneath the barrier (dashed, along the direction of the last weights), a network falls to zero
again; put above it, it returns (arrows).
"""

ALT = """
{% for place in places %}Panel {{ loop.index }}: {{ place.depth }} layers
{%- if place.depth == 2 %} shrink continuously to zero at {{ place.measured | number(4) }} of the threshold.
{%- else %} jump from a squared norm of {{ place.last | number(2) }} to zero at {{ place.measured | number(4) }} of the
threshold of two layers, predicted {{ place.predicted | number(4) }}; kicks beneath a barrier die, kicks above it
return.{% endif %} {% endfor %}
"""

_TRAINED, _KICKED, _AFTER, _PREDICTED, _BARRIER = (
    "trained, decay raised",
    "trained, kicked to",
    "trained, after the kick",
    "predicted",
    "barrier",
)


def compute(**options: Any) -> Report:
    """Run the experiment; the options are those of `weightdecay.validate.run`."""
    return run(EXPERIMENT, **options)


def facts(report: Report) -> dict[str, Any]:
    """Return what caption and alternative text say."""
    told = report.provenance["parameters"]
    unit, places = told["threshold_of_two_layers"], []
    for depth in told["depths"]:
        found = report.comparison(f"collapse {depth}")
        line = _panel(report, depth)[_PREDICTED]
        before = line.y[line.y > 0]
        places.append(
            {
                "depth": depth,
                "predicted": found.predicted / unit,
                "measured": found.measured / unit,
                "last": float(before[-1]) if before.size else 0.0,
            }
        )
    return {
        "n_train": report.provenance["data"]["n_train"],
        "depths": told["depths"],
        "unit": unit,
        "places": places,
        "jumps": [place for place in places if place["depth"] > 2],
    }


def draw(report: Report, figure: Figure) -> list[Artist]:
    """Draw the figure.

    Parameters
    ----------
    report : Report
        Of the experiment `depth`.
    figure : Figure
        Empty figure in the style of the package, as wide as it is to be; the height is set here.

    Returns
    -------
    list of Artist
        Curves, arrows and labels, panel by panel.
    """
    told = facts(report)
    slim = narrow(figure)
    letters = "abcdefgh"[: len(told["places"])]
    figure.set_figheight(figure.get_figwidth() * (0.62 * len(letters) if slim else 0.44))
    axes = figure.subplot_mosaic("\n".join(letters) if slim else letters)
    artists: list[Artist] = []
    for letter, place in zip(letters, told["places"], strict=True):
        panel = axes[letter]
        artists += _draw_depth(panel, _panel(report, place["depth"]), deep=place["depth"] > 2)
        panel.set_xlabel("weight decay / threshold of two layers")
        if slim or letter == "a":
            panel.set_ylabel("squared norm of each layer")
        how = f"a jump at {number(place['measured'], 3)}" if place["depth"] > 2 else "no jump"
        label_panel(panel, letter, f"{place['depth']} layers: {how}")
    return artists


def _panel(report: Report, depth: int) -> dict[str, Curve]:
    return {curve.name: curve for curve in report.curves if curve.panel == f"{depth} layers"}


def _draw_depth(axes: Axes, curves: Mapping[str, Curve], *, deep: bool) -> list[Artist]:
    looks = {
        _PREDICTED: Look(BLUE),
        _TRAINED: Look(BLUE),
        _BARRIER: Look(BLACK, dashes=(0, (3, 2))),
        _KICKED: Look(VERMILLION, marker="D"),
        _AFTER: Look(VERMILLION, marker="s"),
    }
    wanted = [name for name in (_PREDICTED, _BARRIER, _TRAINED, _KICKED, _AFTER) if name in curves]
    if not deep:
        wanted = [name for name in wanted if name not in (_KICKED, _AFTER)]
    artists = draw_curves(axes, [curves[name] for name in wanted], looks)
    line, trained = curves[_PREDICTED], curves[_TRAINED]
    highest = 1.08 * max(float(np.nanmax(curve.y)) for curve in (line, trained))
    axes.set_ylim(-0.04 * highest, highest)
    first, last = float(trained.x.min()), float(trained.x.max())
    room = 0.5 if deep else 0.1
    axes.set_xlim(first - 0.1 * (last - first), last + room * (last - first))
    corner: dict[str, Any] = {"transform": axes.transAxes, "ha": "right", "va": "top", "fontsize": 6.5}
    artists.append(axes.text(0.98, 0.98, "line: predicted\ncircles: trained", **corner))
    if not deep:
        return artists
    start, end = curves[_KICKED], curves[_AFTER]
    for x, low, high in zip(start.x, start.y, end.y, strict=True):
        if np.isfinite(low + high):
            axes.annotate(
                "", (x, high), xytext=(x, low), arrowprops={"arrowstyle": "->", "color": VERMILLION, "linewidth": 0.9}
            )
    artists.append(_words(axes, "all at once", float(line.x[-1]), float(line.y[-2]) / 2))
    if end.x.size:
        artists.append(_words(axes, "kicks", float(end.x[-1]), float(np.nanmax(end.y)), left=True))
    barrier = curves[_BARRIER]
    seen = barrier.x > first
    if seen.any():
        artists.append(_words(axes, "barrier", first, float(np.interp(first, barrier.x, barrier.y)), below=-7))
    return artists


def _words(axes: Axes, words: str, x: float, y: float, *, below: float = 0.0, left: bool = False) -> Artist:
    """Write words to the right of a point, or to the left, lowered by so many points."""
    return axes.annotate(
        words,
        (x, y),
        xytext=(-6 if left else 6, -below),
        textcoords="offset points",
        ha="right" if left else "left",
        va="center",
        fontsize=6.5,
    )
