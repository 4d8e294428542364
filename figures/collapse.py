"""Draw collapse: the size of two-layer networks against the decay, and its end at a threshold from the data alone.

Panels: (a) the whole curve, with the line of the linear network from the nuclear-norm problem; (b) its end on a linear
scale, with the predicted thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..validate import Curve, Report, run
from .captions import percent
from .drawing import BLACK, BLUE, GREEN, VERMILLION, Look, _ink, draw_curves, label_panel, narrow, plain_ticks

__all__ = ["ALT", "CAPTION", "EXPERIMENT", "ID", "REFERENCES", "TITLE", "compute", "draw", "facts"]

ID = EXPERIMENT = "collapse"
TITLE = "Above a threshold, decay leaves no weights at all"
REFERENCES = ("srebro2004", "ziyinueda2022")

CAPTION = """
Squared norm of each of two layers without biases, at rest on all {{ n_train }} training examples, against the weight
decay in PyTorch's sense, in units of the largest singular value of E[(y − p)xᵀ] at zero weights, which is
{{ unit | number(4) }}. (a) Markers, trained networks; line, the linear network's nuclear norm at the minimum of loss
plus decay times nuclear norm [@srebro2004], solved without a network: off by at most {{ curve | percent }}. (b) The
last of it. Black lines, thresholds from the data alone, above which zero weights are stable [@ziyinueda2022]; ReLU
collapses at {{ relu | number(4) }} of the unit. The trained networks end within
{% for name, off in ends %}{{ off | percent }} ({{ name }}){{ ", " if not loop.last }}{% endfor %} of theirs.
"""

ALT = """
Squared norm of linear, tanh and ReLU networks against weight decay. All fall continuously to zero: the linear and the
tanh network at {{ measured.linear | number(4) }} and {{ measured.tanh | number(4) }} of the predicted linear threshold,
the ReLU network at {{ measured.relu | number(4) }} of it. The predicted curve of the linear network runs through its
markers.
"""

_NAMES = {"linear": ("linear", BLUE, "o"), "tanh": ("tanh", VERMILLION, "s"), "relu": ("ReLU", GREEN, "^")}
_PREDICTED = "linear, nuclear norm"
_NEAR = 0.88
_SMALLEST = 3e-3
_LABELLED = {"linear": (0.6, 4, 5), "tanh": (0.68, -6, -3), "relu": (0.83, -6, -5)}
_LABELLED_NEAR = {"linear": (0.92, 5, 3), "tanh": (0.92, 5, 3), "relu": (0.92, -5, -8)}
"""By network: the decay at which its name stands beside its marker, and shifted by how many points."""
"""Decays at which the markers get their names, or the nearest of a sweep."""


def compute(**options: Any) -> Report:
    """Run the experiment; the options are those of `weightdecay.validate.run`."""
    return run(EXPERIMENT, **options)


def facts(report: Report) -> dict[str, Any]:
    """Return what caption and alternative text say."""
    ends = {name: report.comparison(f"threshold {name}") for name in _NAMES}
    curve = [found for found in report.comparisons if found.key.startswith("curve ")]
    unit = ends["linear"].predicted
    return {
        "n_train": report.provenance["data"]["n_train"],
        "unit": unit,
        "relu": ends["relu"].predicted / unit,
        "curve": max(abs(found.ratio - 1) for found in curve),
        "ends": [(_NAMES[name][0], abs(found.ratio - 1)) for name, found in ends.items()],
        "measured": {name: found.measured / unit for name, found in ends.items()},
    }


def draw(report: Report, figure: Figure) -> list[Artist]:
    """Draw the figure.

    Parameters
    ----------
    report : Report
        Of the experiment `collapse`.
    figure : Figure
        Empty figure in the style of the package, as wide as it is to be; the height is set here.

    Returns
    -------
    list of Artist
        Curves and their labels, panel by panel.
    """
    told = facts(report)
    slim = narrow(figure)
    figure.set_figheight(figure.get_figwidth() * (1.35 if slim else 0.42))
    axes = figure.subplot_mosaic("a\nb" if slim else "ab")
    curves = {curve.name: curve for curve in report.curves}
    looks = {f"{name}, trained": Look(colour, words, marker=marker) for name, (words, colour, marker) in _NAMES.items()}
    trained = [curves[name] for name in looks]

    whole = axes["a"]
    whole.set_yscale("log")
    line = curves[_PREDICTED]
    seen = replace(line, x=line.x[line.y > 0], y=line.y[line.y > 0])
    bare = {name: replace(look, label="") for name, look in looks.items()} | {_PREDICTED: Look(BLUE)}
    artists = draw_curves(whole, [seen, *trained], bare)
    artists += _name(whole, curves, _LABELLED)
    whole.set_xlim(0, 1.05)
    whole.set_ylim(_SMALLEST, 2 * max(float(curve.y.max()) for curve in trained))
    plain_ticks(whole)
    whole.set_ylabel("squared norm of each layer")
    label_panel(whole, "a", "More decay, smaller weights")

    last = axes["b"]
    left = _NEAR * min(1.0, told["relu"])
    highest = 1.15 * max(float(curve.y[curve.x >= left].max()) for curve in trained)
    artists += draw_curves(last, [line, *trained], bare)
    artists += _name(last, curves, _LABELLED_NEAR)
    for name, words, side in (("relu", f"ReLU {told['relu']:.3f}", "right"), ("linear", "linear, tanh 1", "left")):
        place = float(curves[f"{name}, threshold"].x[0])
        last.axvline(place, color=BLACK, linewidth=0.6, linestyle=(0, (4, 2)), zorder=1)
        artists.append(
            last.annotate(
                words,
                (place, 0.97 * highest),
                xytext=(3 if side == "left" else -3, 0),
                textcoords="offset points",
                ha=side,
                va="top",
                fontsize=6.5,
            )
        )
    last.set_xlim(left - 0.005, 1.045)
    last.set_ylim(-0.03 * highest, highest)
    last.set_ylabel("squared norm of each layer")
    worst = max(off for _, off in told["ends"])
    label_panel(last, "b", f"Zero within {percent(worst, 1)} of the prediction")
    for panel in axes.values():
        panel.set_xlabel("weight decay / linear threshold")
    return artists


def _name(axes: Axes, curves: Mapping[str, Curve], places: Mapping[str, tuple[float, float, float]]) -> list[Artist]:
    """Write the name of each network beside its marker at one decay, shifted by so many points."""
    drawn: list[Artist] = []
    for name, (at, right, up) in places.items():
        curve, (words, colour, _) = curves[f"{name}, trained"], _NAMES[name]
        place = int(np.argmin(np.abs(curve.x - at)))
        drawn.append(
            axes.annotate(
                f"{words}; line: predicted" if name == "linear" and axes.get_yscale() == "log" else words,
                (float(curve.x[place]), float(curve.y[place])),
                xytext=(right, up),
                textcoords="offset points",
                ha="left" if right > 0 else "right",
                va="bottom" if up > 0 else "center",
                fontsize=6.5,
                color=_ink(colour),
            )
        )
    return drawn
