"""Draw width: the size of a weight against the number of weights, from 10 to 1000 hidden units.

Panels: (a) root mean square of each layer's weights against the number of weights in the layer, ReLU and sigmoid units;
(b) the squared norm of the layers against the width: one for all layers of ReLU nets, not so for sigmoid nets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from ..validate import Curve, Report, run
from .captions import number
from .drawing import BLACK, BLUE, ORANGE, SKY, VERMILLION, Look, draw_curves, label_panel, narrow, plain_ticks

__all__ = ["ALT", "CAPTION", "EXPERIMENT", "ID", "REFERENCES", "TITLE", "compute", "draw", "facts"]

ID = EXPERIMENT = "width"
TITLE = "The size of a weight goes as one over the root of their number"
REFERENCES = ("nielsen2015", "du2018")

CAPTION = """
Two-layer networks without biases, softmax outputs, on {{ data.name }} with weight decay {{ weight_decay | number }}
({{ decay_share | percent }} of the value at which linear ones collapse), at rest; means over {{ n_seeds }} seeds with
standard errors.
(a) Rms weight of each layer: markers, trained; lines, √(gap/(λ n_weights)) from the outputs' entropy-loss gap, the same
law for both layers since homogeneous layers are pulled alike [@du2018]. The slope of log rms against log n_weights from
{{ first }} to {{ last }} ReLU units is {{ slope.relu[2].measured | number(4) }} (layer 2) and
{{ slope.relu[3].measured | number(4) }} (layer 3), against {{ slope.relu[2].predicted | given }}; for sigmoid units,
which are not pulled alike, {{ slope.sigmoid[2].measured | number(3) }} and
{{ slope.sigmoid[3].measured | number(3) }}. Dotted, 1/√n_weights without a prefactor [@nielsen2015].
(b) Squared norms: ReLU layers have {{ norm | number }}, from {{ first }} units on whatever their number of weights;
lines, from pull and noise.
"""

ALT = """
Left, on logarithmic scales, the root mean square weight of ReLU layers falls along one straight line of slope
{{ slope.relu[2].measured | number(2) }} from {{ least | number }} to {{ most | number }} weights in the layer, both
layers on the same line, well above 1/√n_weights; sigmoid layers fall less steeply. Right, the squared norms of ReLU
layers stay near {{ norm | number }} as the hidden layer grows; those of sigmoid layers rise.
"""

LOOKS = {
    ("ReLU", 2): (BLUE, "o", True),
    ("ReLU", 3): (SKY, "s", True),
    ("sigmoid", 2): (VERMILLION, "o", False),
    ("sigmoid", 3): (ORANGE, "s", False),
}


def compute(**options: Any) -> Report:
    """Run the experiment; the options are those of `weightdecay.validate.run`."""
    return run(EXPERIMENT, **options)


def facts(report: Report) -> dict[str, Any]:
    """Return what caption and alternative text say, by name.

    Parameters
    ----------
    report : Report
        Of the experiment `width`.

    Returns
    -------
    dict
        Parameters of the runs and numbers from the report's comparisons and curves.
    """
    slopes = {
        activation: {
            layer: {name: getattr(found, name) for name in ("predicted", "measured")}
            for layer in (2, 3)
            for found in (report.comparison(f"slope {activation} layer {layer}"),)
        }
        for activation in ("relu", "sigmoid")
    }
    by_name = {(curve.panel, curve.name): curve for curve in report.curves}
    wide = by_name["squared norm", "ReLU, layer 2, trained"]
    sizes = [by_name["rms weight", f"ReLU, layer {layer}, trained"].x for layer in (2, 3)]
    told = dict(report.provenance["parameters"])
    judged = wide.x >= told["slope_from"]
    return told | {
        "data": report.provenance["data"],
        "slope": slopes,
        "norm": float(wide.y[judged].mean()),
        "first": int(wide.x[judged].min()),
        "last": int(wide.x.max()),
        "least": int(min(x.min() for x in sizes)),
        "most": int(max(x.max() for x in sizes)),
    }


def draw(report: Report, figure: Figure) -> list[Artist]:
    """Draw the figure.

    Parameters
    ----------
    report : Report
        Of the experiment `width`.
    figure : Figure
        Empty figure in the style of the package, as wide as it is to be; the height is set here.

    Returns
    -------
    list of Artist
        Curves and their labels, panel by panel.
    """
    told = facts(report)
    tall = narrow(figure)
    figure.set_figheight(figure.get_figwidth() * (1.3 if tall else 0.42))
    axes = figure.subplot_mosaic("a\nb" if tall else "ab")
    panels = {
        name: [curve for curve in report.curves if curve.panel == name] for name in ("rms weight", "squared norm")
    }
    return [*_rms(axes["a"], panels["rms weight"], told), *_norms(axes["b"], panels["squared norm"], told)]


def _looks(*, labelled: bool) -> dict[str, Look]:
    looks = {}
    for (units, layer), (colour, marker, filled) in LOOKS.items():
        name = f"{units}, layer {layer}"
        label = name if labelled else ""
        looks[f"{name}, trained"] = Look(colour, label, marker=marker, filled=filled)
        looks[f"{name}, from the gap"] = Look(colour)
        looks[f"{name}, from pull and noise"] = Look(colour)
    looks["1/sqrt(n_weights)"] = Look(BLACK, "1/√n_weights", dashes=(0, (1, 1.5)), at=None)
    return looks


def _rms(axes: Axes, curves: Sequence[Curve], told: dict[str, Any]) -> list[Artist]:
    axes.set_xscale("log")
    axes.set_yscale("log")
    looks = _looks(labelled=False)
    drawn = draw_curves(axes, curves, looks)
    plain_ticks(axes)
    _plain_x(axes)
    axes.set_xlabel("weights in the layer")
    axes.set_ylabel("rms weight")
    slope = number(told["slope"]["relu"][2]["measured"], 3)
    label_panel(axes, "a", f"ReLU layers on one line of slope {slope}")
    return drawn


def _norms(axes: Axes, curves: Sequence[Curve], told: dict[str, Any]) -> list[Artist]:
    axes.set_xscale("log")
    shown = [curve for curve in curves if not curve.name.endswith("from the gap")]
    axes.set_ylim(0, 1.15 * max(float(curve.y.max()) for curve in shown))
    drawn = draw_curves(axes, shown, _looks(labelled=True))
    _plain_x(axes)
    axes.set_xlabel("hidden units")
    axes.set_ylabel("squared norm (weight²)")
    label_panel(axes, "b", f"Squared norm of ReLU layers: {number(told['norm'], 3)}")
    return drawn


def _plain_x(axes: Axes) -> None:
    """Write plain numbers on a logarithmic x axis, where powers of ten would be printed too small."""
    low, high = axes.get_xlim()
    ticks = [10**power for power in range(9) if low <= 10**power <= high]
    axes.set_xticks(ticks[:: 1 + len(ticks) // 4])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.12g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
