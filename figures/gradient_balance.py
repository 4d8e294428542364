"""Draw the gradient balance: decay against pull plus noise for every layer of many networks, on the line y = x.

Panels: (a) decay against pull, noise and the window's ends, and in grey without the ends; (b) the deviation from the
line, with the tolerance; (c) the sum over decay, with the batches' own pulls and with those of the whole training set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..validate import Curve, Report, run
from .captions import number
from .drawing import BLACK, BLUE, DARKER, GREEN, VERMILLION, by_panel, label_panel, narrow
from .powers import power_of_ten, power_ticks

__all__ = ["ALT", "CAPTION", "EXPERIMENT", "ID", "QUOTED", "REFERENCES", "TITLE", "compute", "draw", "facts"]

ID = EXPERIMENT = "gradient-balance"
TITLE = "Decay is balanced by pull and noise, layer by layer"
REFERENCES = ("vanlaarhoven2017", "yaida2018")
QUOTED = "relu softmax heavy ball"

CAPTION = """
What decay takes from the squared norm of a layer, λ‖W‖², against what pull and noise give to it, for {{ n_layers }}
layers of {{ n_runs }} networks on {{ data.name }}: sigmoid, tanh, ReLU and linear units, three kinds of outputs
(colours), {{ depths | join(", ") }} layers of weights, SGD (filled) [@vanlaarhoven2017] and heavy ball with momentum
{{ momentum | given }} (open) [@yaida2018], {{ n_steps }} steps from the start with decays of
{{ decays_per_step[0] | number(1) }} to {{ decays_per_step[-1] | number(1) }} per step. (a) With the change of the norm
between the ends of the window all lie on y = x; grey crosses, without it. (b) Deviations from the line, at most
{{ worst | number(2) }}; dashed, the tolerance. (c) The sum over decay for the student's network of
{{ whole_set.hidden }} sigmoid units: filled, with the pull of the mini-batches that make the steps; open, with that of
the whole training set, which fits batches drawn with replacement ({{ ratios.with_replacement | join(" and ") }}) but
not reshuffled epochs ({{ ratios.reshuffled | join(" and ") }}), where the batches still to come pull less than the
average example.
"""

ALT = """
Three panels. In the first, on logarithmic axes, {{ n_layers }} layers lie on the line y = x; without the ends of the
window {{ off | percent }} of them are off it by more than the tolerance. In the second their deviations lie between
rounding and {{ worst | number(1) }}, below the dashed tolerance of {{ tolerance | given }}. In the third the balance
with the pull of the whole training set stands at {{ ratios.reshuffled | join(" and ") }} with reshuffled epochs and at
{{ ratios.with_replacement | join(" and ") }} with replacement, while with the batches' own pull it is 1.
"""

OUTPUT_LOOKS = {"sigmoid": (BLUE, "o"), "softmax": (VERMILLION, "s"), "linear": (GREEN, "^")}
GREY = "0.55"
SAMPLING_NAMES = {"reshuffled": "reshuffled", "with_replacement": "with\nreplacement"}
HEADROOM = 0.5
"""Room for the key above the points of panel a, as a share of the logarithmic axis."""
APART = 0.16
"""Distance between the two kinds of pull, and half of that between layers, on the axis of panel c."""


def compute(**options: Any) -> Report:
    """Run the experiment; the options are those of `weightdecay.validate.run`."""
    return run(EXPERIMENT, **options)


def facts(report: Report) -> dict[str, Any]:
    """Return what caption and alternative text say, by name.

    Parameters
    ----------
    report : Report
        Of the experiment `gradient-balance`.

    Returns
    -------
    dict
        Parameters of the runs, the largest deviation, and the books kept with the pull of the whole training set.
    """
    told = dict(report.provenance["parameters"])
    (without,) = (curve for curve in report.curves if curve.name == "without the ends")
    deviations = [curve.y for curve in report.curves if (curve.panel, curve.kind) == ("residual", "experiment")]
    return told | {
        "data": report.provenance["data"],
        "worst": float(np.nanmax(np.concatenate(deviations))),
        "off": float(np.mean(np.abs(without.x / without.y - 1) > told["tolerance"])),
        "ratios": {
            sampling: [_with_error(report.comparison(f"whole {sampling} layer {layer}")) for layer in (2, 3)]
            for sampling in SAMPLING_NAMES
        },
    }


def _with_error(comparison: Any) -> str:
    return f"{comparison.ratio:.3f} ± {comparison.standard_error / comparison.predicted:.3f}"


def draw(report: Report, figure: Figure) -> list[Artist]:
    """Draw the figure.

    Parameters
    ----------
    report : Report
        Of the experiment `gradient-balance`.
    figure : Figure
        Empty figure in the style of the package, as wide as it is to be; the height is set here.

    Returns
    -------
    list of Artist
        Curves and their labels, panel by panel.
    """
    told = facts(report)
    tall = narrow(figure)
    figure.set_figheight(figure.get_figwidth() * (2.1 if tall else 0.37))
    axes = figure.subplot_mosaic("a\nb\nc" if tall else "abc")
    panels = by_panel(report.curves)
    return [
        *_balance(axes["a"], panels["balance"]),
        *_residual(axes["b"], panels["residual"], told),
        *_whole_set(axes["c"], panels["whole set"]),
    ]


def _scatter(axes: Axes, curve: Curve) -> Artist:
    """Draw all points of a curve of layers: their colour is the kind of outputs, open for heavy ball."""
    colour, marker = OUTPUT_LOOKS[curve.name.split()[0]]
    face = "white" if "heavy ball" in curve.name else colour
    return axes.plot(
        curve.x, curve.y, marker, color=colour, markerfacecolor=face, markersize=3, markeredgewidth=0.7, zorder=3
    )[0]


def _balance(axes: Axes, curves: Sequence[Curve]) -> list[Artist]:
    axes.set_xscale("log")
    axes.set_yscale("log")
    drawn: list[Artist] = []
    for curve in curves:
        if curve.kind == "theory":
            drawn.append(axes.plot(curve.x, curve.y, color=BLACK, zorder=2)[0])
        elif curve.kind == "reference":
            drawn.append(axes.plot(curve.x, curve.y, "x", color=GREY, markersize=2.5, markeredgewidth=0.6, zorder=1)[0])
        else:
            drawn.append(_scatter(axes, curve))
    (line,) = (curve for curve in curves if curve.kind == "theory")
    low, high = float(line.x[0]) / 1.6, float(line.x[-1]) * 1.6
    top = high * (high / low) ** HEADROOM
    axes.set(xlim=(low, high), ylim=(low, top), xlabel="pull, noise and ends (loss)", ylabel="decay λ‖W‖² (loss)")
    for which in "xy":
        power_ticks(axes, which)
    words = [
        (f"{'●■▲'[place]} {name} outputs", colour) for place, (name, (colour, _)) in enumerate(OUTPUT_LOOKS.items())
    ]
    words += [("filled SGD, open heavy ball", BLACK), ("× without the ends", "0.4")]
    for place, (text, colour) in enumerate(words):
        drawn.append(
            axes.annotate(
                text,
                (0, 1),
                xycoords="axes fraction",
                xytext=(3, -2 - 8 * place),
                textcoords="offset points",
                va="top",
                fontsize=6.2,
                color=_darker(colour),
                zorder=4,
            )
        )
    label_panel(axes, "a", "Every layer is in balance")
    return drawn


def _darker(colour: str) -> Any:
    return tuple(DARKER * part for part in to_rgb(colour))


def _residual(axes: Axes, curves: Sequence[Curve], told: dict[str, Any]) -> list[Artist]:
    axes.set_xscale("log")
    axes.set_yscale("log")
    drawn: list[Artist] = [_scatter(axes, curve) for curve in curves if curve.kind == "experiment"]
    (tolerance,) = (curve for curve in curves if curve.kind == "theory")
    ends = np.array([tolerance.x[0] / 1.6, tolerance.x[-1] * 1.6])
    drawn.append(axes.plot(tolerance.x, tolerance.y, color=BLACK, linestyle=(0, (4, 2)))[0])
    smallest = min(float(curve.y[curve.y > 0].min()) for curve in curves if (curve.y > 0).any())
    axes.set(xlim=ends, ylim=(smallest / 3, 10 * told["tolerance"]), xlabel="pull, noise and ends (loss)")
    axes.set_ylabel("deviation from y = x")
    for which in "xy":
        power_ticks(axes, which)
    drawn.append(
        axes.annotate(
            f"tolerance {number(100 * told['tolerance'], 1)} %",
            (float(tolerance.x[0]), float(tolerance.y[0])),
            xytext=(0, 2),
            textcoords="offset points",
            va="bottom",
            fontsize=6.5,
        )
    )
    power = power_of_ten(10 ** np.ceil(np.log10(told["worst"])))
    label_panel(axes, "b", f"to better than {power}")
    return drawn


def _errors(curve: Curve) -> NDArray[np.float64]:
    return np.zeros_like(curve.y) if curve.standard_error is None else curve.standard_error


def _whole_set(axes: Axes, curves: Sequence[Curve]) -> list[Artist]:
    drawn: list[Artist] = []
    axes.axhline(1, color="0.6", linewidth=0.5, zorder=0)
    for curve in curves:
        pulls, sampling = curve.name.split(", ")
        place = list(SAMPLING_NAMES).index(sampling)
        for layer, ratio, error in zip(curve.x, curve.y, _errors(curve), strict=True):
            x = place + APART * (2 * (layer - curve.x.mean()) * 1.5 + (0.5 if pulls == "whole" else -0.5))
            line, _, _ = axes.errorbar(
                [x],
                [ratio],
                [error] if error else None,
                color=BLUE if layer == 2 else VERMILLION,
                marker="o" if layer == 2 else "s",
                markerfacecolor="white" if pulls == "whole" else None,
                linestyle="none",
                elinewidth=0.7,
                zorder=3,
            )
            drawn.append(line)
    axes.set_xlim(-0.5, len(SAMPLING_NAMES) - 0.5)
    axes.set_xticks(range(len(SAMPLING_NAMES)), list(SAMPLING_NAMES.values()))
    top = max(float(np.max(curve.y + _errors(curve))) for curve in curves)
    low = min(float(np.min(curve.y - _errors(curve))) for curve in curves)
    axes.set_ylim(low - 0.12 * (top - low), top + 0.35 * (top - low))
    axes.set_ylabel("pull, noise and ends over decay")
    for place, (text, colour) in enumerate(
        (
            ("● layer 2   ■ layer 3", BLACK),
            ("filled: the batches’ own pull", BLACK),
            ("open: the whole training set’s", BLACK),
        )
    ):
        drawn.append(
            axes.annotate(
                text,
                (1, 1),
                xycoords="axes fraction",
                xytext=(-1, -2 - 8 * place),
                textcoords="offset points",
                ha="right",
                va="top",
                fontsize=6.2,
                color=colour,
            )
        )
    label_panel(axes, "c", "but only with the batches’ own pull")
    return drawn
