"""Draw the founding question: two layers of one network, and what becomes of the exercise's three claims.

Panels: (a) variance of the weights, layer by layer, against decay alone; (b), (c) what each layer loses to decay and
gains by the data's pull and by gradient noise; (d) size of the weights from the old and from the new initialization;
(e) accuracy of the book's examples. A report at full scale adds the run of 300 epochs: (f) squared norms, (g), (h)
their budgets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..validate import Curve, Report, run
from .captions import number, percent
from .drawing import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    VERMILLION,
    Look,
    by_panel,
    draw_curves,
    label_panel,
    narrow,
    plain_ticks,
)
from .founding_caption import ALT, BUDGETS, CAPTION, LINEAR, LONG, LOSS, NOISE, PULL, facts, widths_of

__all__ = ["ALT", "CAPTION", "EXPERIMENT", "ID", "QUOTED", "REFERENCES", "TITLE", "compute", "draw", "facts"]

ID = "founding-question"
TITLE = "Does weight decay reduce weights? One network, two layers, three claims"
EXPERIMENT = "founding-question"
REFERENCES = ("nielsen2015", "krogh1991", "glorot2010")
QUOTED = "claim 2"


def compute(**options: Any) -> Report:
    """Run the experiment; the options are those of `weightdecay.validate.run`."""
    return run(EXPERIMENT, **options)


def draw(report: Report, figure: Figure) -> list[Artist]:
    """Draw the figure.

    Parameters
    ----------
    report : Report
        Of the experiment `founding-question`.
    figure : Figure
        Empty figure in the style of the package, as wide as it is to be; the height is set here.

    Returns
    -------
    list of Artist
        Curves and their labels, panel by panel.
    """
    told = facts(report)
    long = told["long"] is not None
    if narrow(figure):
        rows = ["aa", "bc", "dd", "ee", *(["ff", "gh"] if long else [])]
        figure.set_figheight(figure.get_figwidth() * 0.445 * len(rows))
        axes = figure.subplot_mosaic("\n".join(rows))
    else:
        rows = ["aabc", "ddee", *(["ffgh"] if long else [])]
        figure.set_figheight(figure.get_figwidth() * (0.28 * len(rows) + 0.02))
        axes = figure.subplot_mosaic("\n".join(rows), width_ratios=[0.75, 0.75, 1, 1])
    curves = by_panel(report.curves)

    artists = _variance(axes["a"], curves["variance"], told["variance"])
    panels = [("b", 2, ""), ("c", 3, "")] + ([("g", 2, LONG), ("h", 3, LONG)] if long else [])
    for letter, layer, suffix in panels:
        artists += _budget(axes[letter], letter, curves[BUDGETS[layer] + suffix], layer, suffix, told)
    for left, right in (("b", "c"), ("g", "h"))[: 1 + long]:
        axes[right].sharey(axes[left])
        axes[right].tick_params(labelleft=False)
    artists += _size(axes["d"], curves["size"])
    artists += _accuracy(axes["e"], curves["accuracy"])
    if long:
        artists += _tail_off(axes["f"], curves["tail-off"], told["long"]["rounded"])
    return artists


LAYERS = {2: BLUE, 3: VERMILLION}


def _variance(axes: Axes, curves: Sequence[Curve], told: Mapping[int, Mapping[str, float]]) -> list[Artist]:
    looks = {
        "decay alone": Look(BLACK, "decay alone", dashes=(0, (4, 2))),
        "weights of dead pixels": Look(BLACK, "dead pixels", marker="x"),
    }
    middle = "lines: pulls and noise added up"
    for layer, marker in ((2, "o"), (3, "s")):
        colour = LAYERS[layer]
        looks |= {
            f"layer {layer}, trained": Look(colour, f"layer {layer}", marker=marker),
            f"layer {layer}, pulls and noise added up": Look(colour, middle if layer == 3 else "", at=0.66, lift=-11),
            f"student, layer {layer}": Look(colour, "student", marker="D"),
        }
    axes.set_yscale("log")
    _epochs(axes, curves)
    drawn = draw_curves(axes, curves, looks)
    plain_ticks(axes)
    axes.set_ylabel("variance")
    title = ", ".join(f"layer {layer} {_change(found['end'] / found['start'])}" for layer, found in told.items())
    label_panel(axes, "a", title.capitalize())
    return drawn


def _change(ratio: float) -> str:
    return f"grows {number(ratio, 2)}-fold" if ratio >= 1 else f"shrinks {number(1 / ratio, 2)}-fold"


def _budget(
    axes: Axes, letter: str, curves: Sequence[Curve], layer: int, suffix: str, told: dict[str, Any]
) -> list[Artist]:
    names = {LOSS: ("decay", BLACK, "v"), PULL: ("pull", GREEN, "o"), NOISE: ("noise", PURPLE, "^")}
    looks = {
        f"layer {layer}, {name}{suffix}": Look(colour, label if layer == 3 else "", marker=marker)
        for name, (label, colour, marker) in names.items()
    }
    axes.set_yscale("symlog", linthresh=LINEAR)
    _epochs(axes, curves)
    axes.axhline(0, color="0.6", linewidth=0.5, zorder=0)
    drawn = draw_curves(axes, curves, looks)
    plain_ticks(axes, linear=LINEAR)
    if letter in "bg":
        axes.set_ylabel("gradient × weight (nat)")
    when, share = ("at the end", told["long"]["share"]) if suffix else ("in epoch 1", told["share"])
    if math.isfinite(share[layer]):  # without decay there is no loss
        margin = f"{when} gain\n= {percent(share[layer])} of loss"
        drawn.append(axes.text(0.98, 0.02, margin, transform=axes.transAxes, ha="right", va="bottom", fontsize=6.5))
    label_panel(axes, letter, f"Layer {layer}, long run" if suffix else f"Budget of layer {layer}")
    return drawn


def _starts(curves: Sequence[Curve]) -> str:
    return f"old and new start, {' and '.join(map(str, widths_of(curves)))} hidden"


def _examples(curves: Sequence[Curve]) -> dict[str, Look]:
    """Return looks of the book's examples: colour and form for the start, filled for fewer neurons."""
    widths = widths_of(curves)
    looks = {}
    for curve in curves:
        if curve.kind != "experiment":
            continue
        width, old = int(curve.name.split()[0]), "old" in curve.name
        looks[curve.name] = Look(
            BLUE if old else ORANGE,
            f"{'old' if old else 'new'}, {width}",
            marker="o" if old else "s",
            filled=width == widths[0],
        )
    return looks


def _size(axes: Axes, curves: Sequence[Curve]) -> list[Artist]:
    looks = _examples(curves) | {
        "decay alone": Look(BLACK, "decay alone", dashes=(0, (4, 2))),
        "1/sqrt(fan_in)": Look(BLACK, "1/√fan_in", dashes=(0, (1, 1.5))),
        "1/sqrt(n_weights)": Look(BLACK, "1/√n_weights", dashes=(0, (6, 1.5, 1, 1.5))),
    }
    axes.set_yscale("log")
    _epochs(axes, curves)
    drawn = draw_curves(axes, curves, looks)
    plain_ticks(axes)
    axes.set_ylabel("rms weight of layer 2")
    label_panel(axes, "d", f"Layer 2, {_starts(curves)}")
    return drawn


def _accuracy(axes: Axes, curves: Sequence[Curve]) -> list[Artist]:
    _epochs(axes, curves)
    drawn = draw_curves(axes, curves, _examples(curves))
    axes.set_ylabel("accuracy (%)")
    lowest = min(float(curve.y[1:].min()) for curve in curves if len(curve.y) > 1)
    axes.set_ylim(5 * math.floor(lowest / 5), 100)
    label_panel(axes, "e", f"Accuracy, {_starts(curves)}")
    return drawn


def _tail_off(axes: Axes, curves: Sequence[Curve], norms: Sequence[str]) -> list[Artist]:
    looks: dict[str, Look] = {}
    for layer, marker in ((2, "o"), (3, "s")):
        colour = LAYERS[layer]
        looks |= {
            f"layer {layer}, trained": Look(colour, f"layer {layer}", marker=marker),
            f"layer {layer}, size at which decay, pull and noise balance": Look(colour, "line: balance"),
            f"layer {layer}, decay alone": Look(colour, dashes=(0, (4, 2))),
        }
    axes.set_yscale("log")
    _epochs(axes, curves)
    drawn = draw_curves(axes, curves, looks)
    measured = np.concatenate([curve.y for curve in curves if curve.kind == "experiment"])
    axes.set_ylim(measured.min() / 2, measured.max() * 1.5)
    plain_ticks(axes)
    axes.set_ylabel("squared norm")
    label_panel(axes, "f", f"Squared norms end near {' and '.join(norms)}")
    return drawn


def _epochs(axes: Axes, curves: Sequence[Curve]) -> None:
    last = max(float(curve.x.max()) for curve in curves)
    axes.set_xlim(-0.02 * last, 1.02 * last)
    axes.set_xlabel("epoch")
