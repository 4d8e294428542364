"""Draw relaxation: how fast norms come back after a kick, and the time constants at the drive that there was.

Panels: (a), (b) the difference between a kicked network and its twin, for SGD and heavy ball, beside the theory's
exponential; (c) measured over predicted time constants.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..validate import Curve, Report, run
from .drawing import BLACK, BLUE, VERMILLION, Look, draw_curves, label_panel, narrow, plain_ticks

__all__ = ["ALT", "CAPTION", "EXPERIMENT", "ID", "REFERENCES", "TITLE", "compute", "draw", "facts"]

ID = EXPERIMENT = "relaxation"
TITLE = "The norm forgets a kick at the rate that learning rate, decay and momentum set"
REFERENCES = ("vanlaarhoven2017", "wan2020")

CAPTION = """
Normalized networks on {{ data.name }}, all norms multiplied by {{ kick | given }} at step 0. (a, b) Difference of
norm⁴ between the kicked network and its twin on the same mini-batches, means over {{ n_seeds }} seeds with standard
errors; line, exp(−t/T), T = {{ constants.SGD | number(4) }} steps with SGD and
{{ constants["heavy ball"] | number(4) }} with heavy ball from the hyperparameters alone
[@vanlaarhoven2017; @wan2020]. It leaves that line where the gradients at unit norm answer to the kick, since longer
weights turn more slowly; heavy ball begins late, for its running mean of gradients starts at zero. (c) Time constants
of norm⁴ with the gradients that there were, so that their answer does not count, after the kick and after the learning
rate was divided by {{ drop | given }}, over those of the theory: within {{ worst | percent }} (shaded, the tolerance of
{{ tolerance | percent(1) }}).
"""

ALT = """
Two panels show the difference between kicked and unkicked networks falling exponentially within a few predicted time
constants, near the theory's line for a constant drive. A third shows measured over predicted time constants for
SGD and heavy ball after a kick and after a drop of the learning rate: all lie within {{ worst | percent }} of one.
"""

_LAYERS = {"hidden": (BLUE, "o"), "output": (VERMILLION, "s")}
_THEORY = "theory at a given drive"
_CASES = ("SGD\nkick", "SGD\ndrop", "heavy\nball\nkick", "heavy\nball\ndrop")


def compute(**options: Any) -> Report:
    """Run the experiment; the options are those of `weightdecay.validate.run`."""
    return run(EXPERIMENT, **options)


def facts(report: Report) -> dict[str, Any]:
    """Return what caption and alternative text say."""
    told = report.provenance["parameters"]
    judged = [found for found in report.comparisons if found.tolerance is not None]
    return {
        "data": report.provenance["data"],
        "kick": told["kick"],
        "drop": told["drop"],
        "n_seeds": told["n_seeds"],
        "constants": {
            name: report.comparison(f"bare {name}, hidden layer").predicted for name in ("SGD", "heavy ball")
        },
        "worst": max(abs(found.ratio - 1) for found in judged),
        "tolerance": judged[0].tolerance,
    }


def draw(report: Report, figure: Figure) -> list[Artist]:
    """Draw the figure.

    Parameters
    ----------
    report : Report
        Of the experiment `relaxation`.
    figure : Figure
        Empty figure in the style of the package, as wide as it is to be; the height is set here.

    Returns
    -------
    list of Artist
        Curves and their labels, panel by panel.
    """
    slim = narrow(figure)
    figure.set_figheight(figure.get_figwidth() * (1.75 if slim else 0.36))
    axes = figure.subplot_mosaic("a\nb\nc" if slim else "abc")
    artists = _difference(axes["a"], report, "SGD")
    artists += _difference(axes["b"], report, "heavy ball")
    label_panel(axes["a"], "a", "SGD: the kick dies away")
    label_panel(axes["b"], "b", "Heavy ball, in its own time")
    artists += _constants(axes["c"], report)
    label_panel(axes["c"], "c", "Time constants as predicted")
    return artists


def _difference(axes: Axes, report: Report, panel: str) -> list[Artist]:
    curves = [curve for curve in report.curves if curve.panel == panel]
    looks = {_THEORY: Look(BLACK)}
    seen = []
    for curve in curves:
        layer = curve.name.rpartition(", ")[2]
        if layer in _LAYERS:
            colour, marker = _LAYERS[layer]
            looks[curve.name] = Look(colour, marker=marker)
            curve = Curve(
                **{
                    **{name: getattr(curve, name) for name in curve.__dataclass_fields__},
                    "y": np.where(curve.y > 0, curve.y, np.nan),
                }
            )
        seen.append(curve)
    axes.set_yscale("log")
    axes.set_xlim(0, 3)
    axes.set_ylim(0.03, 1.3)
    artists = draw_curves(axes, seen, looks)
    artists.append(axes.annotate("— theory", (0.04, 0.27), xycoords="axes fraction", fontsize=6.5))
    for place, (layer, (colour, marker)) in enumerate(_LAYERS.items()):
        glyph = {"o": "●", "s": "■"}[marker]
        artists.append(
            axes.annotate(
                f"{glyph} {layer} layer",
                (0.04, 0.17 - 0.1 * place),
                xycoords="axes fraction",
                fontsize=6.5,
                color=_dark(colour),
            )
        )
    plain_ticks(axes)
    axes.set_xlabel("time after the kick (T)")
    axes.set_ylabel("difference of norm⁴")
    return artists


def _dark(colour: str) -> str:
    return {BLUE: "#004a74", VERMILLION: "#8a3d00"}[colour]


def _constants(axes: Axes, report: Report) -> list[Artist]:
    curves = [curve for curve in report.curves if curve.panel == "time constants"]
    tolerance = facts(report)["tolerance"]
    band = axes.axhspan(1 - tolerance, 1 + tolerance, color="#e8e8e8", zorder=0, linewidth=0)
    axes.axhline(1, color=BLACK, linewidth=0.8, zorder=1)
    artists: list[Artist] = [band]
    for shift, curve in zip((-0.09, 0.09), curves, strict=True):
        colour, marker = _LAYERS[curve.name]
        artists.append(
            axes.errorbar(
                curve.x + shift,
                curve.y,
                np.nan_to_num(curve.standard_error),  # type: ignore[arg-type]  # every curve of this panel has errors
                color=colour,
                marker=marker,
                linestyle="none",
                elinewidth=0.7,
                zorder=3,
            )[0]
        )
    axes.set_xlim(-0.5, len(_CASES) - 0.5)
    reach = 1.6 * tolerance
    axes.set_ylim(1 - reach, 1 + reach)
    axes.set_xticks(range(len(_CASES)), _CASES, fontsize=6.5)
    axes.set_ylabel("measured over predicted")
    return artists
