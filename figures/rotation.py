"""Draw how fast normalized weights turn under every optimizer, and which lags of their updates set the norm."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from ..validate import Comparison, Curve, Report, run
from .drawing import BLACK, BLUE, COLOURS, VERMILLION, Look, _ink, draw_curves, label_panel, narrow, plain_ticks

__all__ = ["ALT", "CAPTION", "EXPERIMENT", "ID", "REFERENCES", "TITLE", "compute", "draw", "facts"]

ID = EXPERIMENT = "rotation"
TITLE = "How fast normalized weights turn, and what sets their norm"
REFERENCES = ("wan2020", "kosson2023")

CAPTION = """
Normalized neurons of a network that learns {{ data.name }}, at rest under weight decay; medians over the neurons.
(a) Angle of a step over that of the theory, for the hidden (circles) and the output layer (squares). Filled:
{{ judged | join(" and ") }}, where the angle follows from the hyperparameters whatever the gradients are [@wan2020];
they are off by at most {{ judged_worst | percent }}. Open: optimizers whose angle is known for white gradients alone
[@kosson2023]; real gradients are not white, and turn the weights {{ low | number(3) }} to {{ high | number(3) }} times
as fast. (b) Sum of the autocovariances of the updates up to a lag, which makes the squared norm when it is complete:
at {{ cut_off }} memories of the weights, 1/(lr·weight_decay) steps each, the sums of both layers are within
{{ identity_worst | percent }} of the squared norms. It settles within 10 % only at lags of {{ first | number(2) }} to
{{ last | number(2) }} memories, far later than a momentum forgets: the slow part of the updates sets the norm.
"""

ALT = """
Panel a, dots beside a line at 1: the angular updates of {{ judged | join(" and ") }} lie on the line, those of the
other optimizers between {{ low | number(3) }} and {{ high | number(3) }} times the value for white gradients. Panel b:
for {{ n_sums }} optimizers the sum of update autocovariances over the measured squared norm starts between
{{ start_low | number(2) }} and {{ start_high | number(2) }} and comes to 1 near the memory of the weights.
"""

_LAYERS = {"hidden layer": "o", "output layer": "s"}
_SETTLED = 0.1


def compute(**options: Any) -> Report:
    """Run the experiment; the options are those of `weightdecay.validate.run`."""
    return run(EXPERIMENT, **options)


def facts(report: Report) -> dict[str, Any]:
    """Return what caption and alternative text say."""
    angles = _angles(report)
    judged, others = (
        [abs(one.ratio - 1) if known else one.ratio for one in angles.values() if (one.tolerance is not None) == known]
        for known in (True, False)
    )
    names = list(dict.fromkeys(key.split(", ")[0] for key, one in angles.items() if one.tolerance is not None))
    identities = [abs(one.ratio - 1) for one in report.comparisons if one.key.startswith("identity of ")]
    sums = _sums(report)
    settled = [_settled(curve) for curve in sums]
    return {
        "data": report.provenance["data"],
        "cut_off": report.provenance["parameters"]["cut_off"],
        "judged": names,
        "judged_worst": max(judged),
        "low": min(others),
        "high": max(others),
        "identity_worst": max(identities),
        "n_sums": len(sums),
        "first": min(settled),
        "last": max(settled),
        "start_low": min(float(curve.y[0]) for curve in sums),
        "start_high": max(float(curve.y[0]) for curve in sums),
    }


def draw(report: Report, figure: Figure) -> list[Artist]:
    """Draw the figure.

    Parameters
    ----------
    report : Report
        Of the experiment `rotation`.
    figure : Figure
        Empty figure in the style of the package, as wide as it is to be; the height is set here.

    Returns
    -------
    list of Artist
        Points, curves and their labels, panel by panel.
    """
    slim = narrow(figure)
    figure.set_figheight(figure.get_figwidth() * (1.6 if slim else 0.44))
    axes = figure.subplot_mosaic("a\nb" if slim else "ab")
    return [*_draw_angles(axes["a"], report), *_draw_sums(axes["b"], _sums(report))]


def _angles(report: Report) -> dict[str, Comparison]:
    """Return the comparisons of angles by "optimizer, layer"."""
    head = "angular update of "
    return {one.key.removeprefix(head): one for one in report.comparisons if one.key.startswith(head)}


def _sums(report: Report) -> list[Curve]:
    return [curve for curve in report.curves if curve.panel == "sum against cut-off"]


def _settled(curve: Curve) -> float:
    """Return the cut-off from which on the sum stays within a tenth of the measured squared norm."""
    off = np.flatnonzero(np.abs(curve.y - 1) > _SETTLED)
    return float(curve.x[min(off[-1] + 1, len(curve.x) - 1)]) if off.size else float(curve.x[0])


def _draw_angles(axes: Axes, report: Report) -> list[Artist]:
    angles = _angles(report)
    names = list(dict.fromkeys(key.split(", ")[0] for key in angles))
    axes.axvline(1, color=BLACK, linewidth=0.8, zorder=1)
    artists: list[Artist] = []
    for layer, marker in _LAYERS.items():
        shift = -0.13 if marker == "o" else 0.13
        for row, name in enumerate(names):
            one = angles[f"{name}, {layer}"]
            judged = one.tolerance is not None
            colour = BLUE if judged else VERMILLION
            error = one.standard_error or 0.0
            points, _, _ = axes.errorbar(
                [one.ratio],
                [row + shift],
                xerr=[error / one.predicted if np.isfinite(error) else 0.0],
                color=colour,
                marker=marker,
                markersize=3.6,
                markerfacecolor=colour if judged else "white",
                linestyle="none",
                elinewidth=0.7,
                zorder=3,
            )
            artists.append(points)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("angle of a step, measured / theory")
    split = sum(angles[f"{name}, hidden layer"].tolerance is not None for name in names)
    for place, words, colour in (
        ((split - 1) / 2, "● hidden  ■ output:\npredicted", BLUE),
        (len(names) - 2.5, "○ hidden  □ output:\ntheory for white gradients", VERMILLION),
    ):
        artists.append(
            axes.annotate(
                words,
                (1, place),
                xycoords=axes.get_yaxis_transform(),
                ha="right",
                va="center",
                fontsize=6.5,
                color=_ink(colour),
            )
        )
    label_panel(axes, "a", "SGD and heavy ball turn as predicted")
    return artists


def _draw_sums(axes: Axes, curves: Sequence[Curve]) -> list[Artist]:
    colours = [*COLOURS, BLACK, "0.5"]
    looks = {curve.name: Look(colours[place % len(colours)], curve.name, at=0.0) for place, curve in enumerate(curves)}
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.axhline(1, color="0.6", linewidth=0.5, zorder=0)
    axes.axvline(1, color="0.6", linewidth=0.5, zorder=0)
    artists = draw_curves(axes, curves, looks)
    for line in artists[: len(curves)]:
        line.set(linewidth=1.1)
    start, end = min(float(curve.x[0]) for curve in curves), max(float(curve.x[-1]) for curve in curves)
    axes.set_xlim(start / 6, end)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high)
    labels = artists[len(curves) :]
    places = _apart([float(np.log(curve.y[0] / low) / np.log(high / low)) for curve in curves])
    for label, place in zip(labels, places, strict=True):
        label.xy = (start, low * (high / low) ** place)  # type: ignore[attr-defined]
        label.set(ha="right", va="center", position=(-3, 0))
    artists.append(
        axes.annotate(
            "memory of\nthe weights",
            (1, 1),
            xycoords=("data", "axes fraction"),
            xytext=(-2, -2),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=6.5,
            color="0.35",
        )
    )
    plain_ticks(axes)
    axes.set_xticks([tick for tick in (0.001, 0.01, 0.1, 1, 10) if start <= tick <= end])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("largest lag × lr·weight_decay")
    axes.set_ylabel("sum of autocovariances / squared norm")
    label_panel(axes, "b", "The slow part of the updates sets the norm")
    return artists


def _apart(places: Sequence[float], gap: float = 0.06) -> list[float]:
    """Return places of labels, moved up where they would be nearer to the one below than a gap."""
    moved = list(places)
    order = np.argsort(places)
    for below, above in pairwise(order):
        moved[above] = max(moved[above], moved[below] + gap)
    return moved
