"""Draw the curves of a panel: theory as a line, simulation as a thin line, experiment as markers with error bars.

Somebody else's numbers are open markers. What a figure says of its curves (colour, marker, label) is a `Look`; the
rest follows from the kind of the curve, so that all figures speak one language.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import color_sequences
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from scipy.optimize import isotonic_regression

from ..validate import Curve
from .captions import given

__all__ = [
    "BLACK",
    "COLOURS",
    "Look",
    "by_panel",
    "draw_curves",
    "label_panel",
    "narrow",
    "place_labels",
    "plain_ticks",
]

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = map(to_hex, color_sequences["okabe_ito"])
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY)
GLYPHS = {"o": "●○", "s": "■□", "v": "▼▽", "^": "▲△", "D": "◆◇", "x": "××"}
"""Markers as letters, filled and open, so that a label says in grey too what it belongs to."""
MOST_MARKERS = 31
MOST_TICKS = 9
DARKER = 0.65
NARROW = 5.0  # inches: half way between one column and a page
EDGE, INSIDE = "label at the edge", "label inside"
GAP = 1.15
"""Distance between the middles of neighbouring labels, in heights of a line of text."""


@dataclass(frozen=True)
class Look:
    """Say how one curve is drawn.

    Parameters
    ----------
    colour : str
        Any Matplotlib colour.
    label : str, optional
        Text at the end of the curve; none if empty.
    marker : str, optional
        Marker of measured points.
    dashes : str or tuple, optional
        Line style of a theory's line.
    filled : bool, optional
        Whether measured points are filled.
    at : float or None, optional
        Place of the label along the curve, 0 at its first and 1 at its last x; None is the right edge, outside the
        axes.
    lift : float, optional
        For a label inside the axes: its distance above the curve (below if negative), in points.
    """

    colour: str
    label: str = ""
    marker: str = "o"
    dashes: Any = "-"
    filled: bool = True
    at: float | None = None
    lift: float = 3.0


def narrow(figure: Figure) -> bool:
    """Return whether a figure is as wide as one column, so that its panels stand below each other.

    Examples
    --------
    >>> narrow(Figure(figsize=(3.5, 3.5))), narrow(Figure(figsize=(7.2, 3.5)))
    (True, False)
    """
    return bool(figure.get_figwidth() < NARROW)


def by_panel(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    """Return the curves of each panel, in their order."""
    found: dict[str, list[Curve]] = {}
    for curve in curves:
        found.setdefault(curve.panel, []).append(curve)
    return found


def draw_curves(axes: Axes, curves: Sequence[Curve], looks: Mapping[str, Look]) -> list[Artist]:
    """Draw curves, each by its kind and its look, and put their labels in place.

    Parameters
    ----------
    axes : Axes
        Where to draw; scale and limits are set before.
    curves : sequence of Curve
        What to draw, later ones on top of earlier ones of the same kind.
    looks : mapping of str to Look
        By name of the curve; others are drawn in black without a label.

    Returns
    -------
    list of Artist
        One for each curve, then the labels.

    Notes
    -----
    Of a long row of markers every k-th is drawn, so that there are at most 31; the table keeps all of them.
    """
    drawn, labels = [], []
    for curve in curves:
        look = looks.get(curve.name, Look(BLACK))
        drawn.append(_KINDS[curve.kind](axes, curve, look))
        if look.label:
            labels.append(_label(axes, curve, look))
    return [*drawn, *labels]


def _draw_theory(axes: Axes, curve: Curve, look: Look) -> Artist:
    return axes.plot(curve.x, curve.y, color=look.colour, linestyle=look.dashes, zorder=2)[0]


def _draw_simulation(axes: Axes, curve: Curve, look: Look) -> Artist:
    return axes.plot(curve.x, curve.y, color=look.colour, linewidth=0.5, zorder=1.5)[0]


def _draw_experiment(axes: Axes, curve: Curve, look: Look) -> Artist:
    every = math.ceil(len(curve.x) / MOST_MARKERS)
    face = look.colour if look.filled else "white"
    errors = curve.standard_error
    line, _, _ = axes.errorbar(
        curve.x,
        curve.y,
        None if errors is None or not np.isfinite(errors).any() else np.nan_to_num(errors),
        color=look.colour,
        linestyle="none",
        marker=look.marker,
        markerfacecolor=face,
        markevery=every,
        errorevery=every,
        elinewidth=0.7,
        zorder=3,
    )
    artist: Artist = line
    return artist


def _draw_reference(axes: Axes, curve: Curve, look: Look) -> Artist:
    style = {"markersize": 5, "markerfacecolor": "none", "markeredgewidth": 1.0, "clip_on": False}
    return axes.plot(curve.x, curve.y, look.marker, color=look.colour, linestyle="none", zorder=4, **style)[0]  # type: ignore[arg-type]


_KINDS: dict[str, Callable[[Axes, Curve, Look], Artist]] = {
    "theory": _draw_theory,
    "simulation": _draw_simulation,
    "experiment": _draw_experiment,
    "reference": _draw_reference,
}


def _label(axes: Axes, curve: Curve, look: Look) -> Artist:
    """Write a label at the right edge, to be moved apart from others by `place_labels`, or along the curve."""
    words = look.label
    if curve.kind in ("experiment", "reference"):
        words = f"{GLYPHS[look.marker][not look.filled or curve.kind == 'reference']} {words}"
    if look.at is None:
        text = axes.annotate(
            words,
            (1, float(curve.y[-1])),
            xycoords=axes.get_yaxis_transform(),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            annotation_clip=False,
        )
    else:
        x = float(curve.x[0] + look.at * (curve.x[-1] - curve.x[0]))
        text = axes.annotate(
            words,
            (x, float(np.interp(x, curve.x, curve.y))),
            xytext=(0, look.lift),
            textcoords="offset points",
            ha="center",
            va="bottom" if look.lift >= 0 else "top",
        )
    text.set(color=_ink(look.colour), fontsize=6.5, label=EDGE if look.at is None else INSIDE)
    return text


def _ink(colour: str) -> tuple[float, float, float]:
    """Return a colour dark enough for small letters on white, of the same hue."""
    red, green, blue = (DARKER * part for part in to_rgb(colour))
    return red, green, blue


def place_labels(axes: Axes) -> None:
    """Move the labels at the right edge apart, each as little as possible.

    Parameters
    ----------
    axes : Axes
        Axes whose layout is final; call ``figure.draw_without_rendering()`` before.

    Notes
    -----
    Wanted places y_i in ascending order may move to places at least a gap apart. With y_i less i gaps, that is least
    squares under an ascending order: isotonic regression.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    labels = [text for text in axes.texts if text.get_label() == EDGE]
    if not labels:
        return
    pixels = 72 / figure.dpi
    wanted = [axes.transData.transform((0, text.xy[1]))[1] * pixels for text in labels]  # type: ignore[attr-defined]
    order = np.argsort(wanted)
    heights = np.array(
        [labels[place].get_fontsize() * GAP * (1 + labels[place].get_text().count("\n")) for place in order]
    )
    steps = np.concatenate([[0.0], np.cumsum((heights[1:] + heights[:-1]) / 2)])
    box = axes.get_window_extent()
    low, high = box.y0 * pixels, box.y1 * pixels
    places = isotonic_regression(np.clip(np.array(wanted)[order], low, high) - steps).x + steps
    for place, y in zip(order, places, strict=True):
        labels[place].set_position((4, y - wanted[place]))


def plain_ticks(axes: Axes, *, linear: float = 0.0) -> None:
    """Put ticks with plain decimals on a logarithmic y axis: powers of ten would be printed smaller than text may be.

    Parameters
    ----------
    axes : Axes
        Axes whose curves are drawn.
    linear : float, optional
        For a symmetric logarithmic axis: where its linear part ends, which is where ticks begin.
    """
    low, high = axes.get_ylim()
    for leading in ((1, 3), (1,)):
        sizes = [factor * 10.0**power for power in range(-12, 13) for factor in leading]
        ticks = [size for size in sizes if size >= linear]
        if linear:
            ticks = [-size for size in ticks] + [-linear / 2, 0, linear / 2] + ticks
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) <= MOST_TICKS:
            break
    axes.set_yticks(ticks)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: given(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())


def label_panel(axes: Axes, letter: str, title: str) -> None:
    """Write a panel's letter in bold and its message beside it, above the axes."""
    axes.set_title(title, pad=5)
    axes.annotate(
        letter,
        (0, 1),
        xycoords=axes.transAxes,
        xytext=(-24, 5),
        textcoords="offset points",
        fontsize=8.5,
        fontweight="bold",
        va="baseline",
    )
