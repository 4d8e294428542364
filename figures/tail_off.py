"""Draw the tail-off: squared norms of both layers until they rest, and their sizes against what is called 1/sqrt(n).

Panels: (a) squared norm of each layer, the flow with the pull and noise of each epoch, where outputs or gradients put
the rest, and decay alone; (b) root mean square weights above the lines 1/sqrt(fan_in) and 1/sqrt(n_weights), and the
weights of dead pixels, which do come down to the lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..validate import Curve, Report, run
from .captions import number
from .drawing import BLACK, BLUE, VERMILLION, Look, by_panel, draw_curves, label_panel, narrow, plain_ticks

__all__ = ["ALT", "CAPTION", "EXPERIMENT", "ID", "REFERENCES", "TITLE", "compute", "draw", "facts"]

ID = EXPERIMENT = "tail-off"
TITLE = "Where weight decay tails off"
REFERENCES = ("nielsen2015", "vanlaarhoven2017")

CAPTION = """
The network of the book's chapter 3 [@nielsen2015] with {{ hidden }} sigmoid units on {{ data.name }}, from N(0, 1),
trained for {{ epochs }} epochs with η = {{ eta | given }}, λ = {{ lmbda | given }}, m = {{ batch_size }}; means over
{{ n_seeds }} seeds with standard errors.
(a) Squared norms: markers, trained; lines, added up from pull and noise of each epoch [@vanlaarhoven2017]; long dashes,
the rest predicted for layer 3 from entropy-loss gap, bias term and noise ({{ ratio[3] | number(4) }} measured over
predicted) and for layer 2 from pull and noise ({{ ratio[2] | number(4) }}); short dashes, decay alone. Layer 2 is
within {{ within | percent }} of its rest after {{ time.measured | number }} epochs
({{ time.predicted | number }} predicted).
(b) Rms weights end at {{ above[2] | number(2) }} (layer 2) and {{ above[3] | number(2) }} (layer 3) times
1/√n_weights of the network{% if has_dead %}; only weights of dead pixels, which decay alone moves, pass the
lines{% endif %}.
"""

ALT = """
Two panels against the epoch, on logarithmic scales. Left, the squared norm of layer 2 falls from
{{ start[2] | number }} and that of layer 3 rises from {{ start[3] | number }}; they level off at
{{ rest[2] | number }} and {{ rest[3] | number }} on the predicted lines, while decay alone goes on falling. Right, the
root mean square weights of both layers stay above the lines 1/√fan_in and 1/√n_weights.
"""

DEAD_LABEL = 0.025
"""Where the label of decay alone stands, as a share of the largest size."""
LAYERS = {2: (BLUE, "o"), 3: (VERMILLION, "s")}


def compute(**options: Any) -> Report:
    """Run the experiment; the options are those of `weightdecay.validate.run`."""
    return run(EXPERIMENT, **options)


def facts(report: Report) -> dict[str, Any]:
    """Return what caption and alternative text say, by name.

    Parameters
    ----------
    report : Report
        Of the experiment `tail-off`.

    Returns
    -------
    dict
        Parameters of the runs and numbers from the report's comparisons and curves.
    """
    told = dict(report.provenance["parameters"])
    norms = {layer: report.comparison(f"norm of layer {layer}") for layer in LAYERS}
    time = report.comparison("time of layer 2")
    return told | {
        "data": report.provenance["data"],
        "ratio": {layer: found.ratio for layer, found in norms.items()},
        "rest": {layer: found.measured for layer, found in norms.items()},
        "time": {"measured": time.measured, "predicted": time.predicted},
        "within": told["within"],
        "above": {
            layer: report.comparison(f"rms of layer {layer} against 1/sqrt(n_weights)").ratio for layer in LAYERS
        },
        "start": {
            layer: float(curve.y[0])
            for layer in LAYERS
            for curve in report.curves
            if (curve.panel, curve.name) == ("squared norm", f"layer {layer}, trained")
        },
        "has_dead": any("dead" in curve.name for curve in report.curves),
    }


def draw(report: Report, figure: Figure) -> list[Artist]:
    """Draw the figure.

    Parameters
    ----------
    report : Report
        Of the experiment `tail-off`.
    figure : Figure
        Empty figure in the style of the package, as wide as it is to be; the height is set here.

    Returns
    -------
    list of Artist
        Curves and their labels, panel by panel.
    """
    told = facts(report)
    tall = narrow(figure)
    figure.set_figheight(figure.get_figwidth() * (1.25 if tall else 0.4))
    axes = figure.subplot_mosaic("a\nb" if tall else "ab")
    panels = by_panel(report.curves)
    return [*_norms(axes["a"], panels["squared norm"], told), *_sizes(axes["b"], panels["rms weight"], told)]


def _norms(axes: Axes, curves: Sequence[Curve], told: dict[str, Any]) -> list[Artist]:
    looks: dict[str, Look] = {}
    for layer, (colour, marker) in LAYERS.items():
        looks |= {
            f"layer {layer}, trained": Look(colour, f"layer {layer}", marker=marker),
            f"layer {layer}, pull and noise of each epoch": Look(colour),
            f"layer {layer}, at rest": Look(BLACK, dashes=(0, (7, 2))),
            f"layer {layer}, decay alone": Look(colour, dashes=(0, (2, 1.5))),
        }
    axes.set_yscale("log")
    _epochs(axes, curves)
    drawn = draw_curves(axes, curves, looks)
    measured = np.concatenate([curve.y for curve in curves if curve.kind == "experiment"])
    axes.set_ylim(measured.min() / 3, measured.max() * 1.6)
    (alone,) = (curve for curve in curves if curve.name == "layer 2, decay alone")
    drawn.append(_beside(axes, alone, "decay alone", axes.get_ylim()[0]))
    plain_ticks(axes)
    axes.set_ylabel("squared norm (weight²)")
    label_panel(axes, "a", f"At rest: {number(told['rest'][2], 4)} and {number(told['rest'][3], 4)}, as predicted"
                if all(abs(ratio - 1) < told["tolerance"] for ratio in told["ratio"].values())
                else "Squared norms, predicted and measured")  # fmt: skip
    return drawn


def _beside(axes: Axes, curve: Curve, words: str, height: float) -> Artist:
    """Write what a falling curve is to the right of the place where it comes down to a height."""
    place = int(np.flatnonzero(curve.y >= height)[-1])
    where = (float(curve.x[place]), float(curve.y[place]))
    return axes.annotate(words, where, xytext=(7, 0), textcoords="offset points", va="bottom", fontsize=6.5)


def _sizes(axes: Axes, curves: Sequence[Curve], told: dict[str, Any]) -> list[Artist]:
    looks = {
        f"layer {layer}, trained": Look(colour, f"layer {layer}", marker=marker)
        for layer, (colour, marker) in LAYERS.items()
    }
    looks |= {
        "weights of dead pixels": Look("0.35", marker="x"),
        "decay alone": Look(BLACK, dashes=(0, (2, 1.5))),
        "1/sqrt(fan_in)": Look(BLACK, "1/√fan_in", dashes=(0, (1, 1.5))),
        "1/sqrt(n_weights)": Look(BLACK, "1/√n_weights", dashes=(0, (6, 1.5, 1, 1.5))),
    }
    axes.set_yscale("log")
    _epochs(axes, curves)
    lowest = min(float(curve.y[0]) for curve in curves if curve.name.startswith("1/"))
    highest = max(float(curve.y.max()) for curve in curves)
    axes.set_ylim(lowest / 3, 2 * highest)
    drawn = draw_curves(axes, curves, looks)
    fallen = {curve.name: curve for curve in curves if curve.name in ("weights of dead pixels", "decay alone")}
    words = "× dead pixels on\n   decay alone" if len(fallen) > 1 else "decay alone"
    drawn.append(_beside(axes, fallen["decay alone"], words, DEAD_LABEL * highest))
    plain_ticks(axes)
    axes.set_ylabel("rms weight")
    label_panel(axes, "b", f"Layer 2 ends at {number(told['above'][2], 2)} times 1/√n_weights")
    return drawn


def _epochs(axes: Axes, curves: Sequence[Curve]) -> None:
    last = max(float(curve.x.max()) for curve in curves)
    axes.set_xlim(-0.02 * last, 1.02 * last)
    axes.set_xlabel("epoch")
