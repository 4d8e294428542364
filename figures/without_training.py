"""Draw the founding question without training: variances predicted from the data's moments beside trained networks.

Panels: (a) variance of both layers; (b), (c) how far the prediction is from the mean of the trained networks, beside
their spread; (d) what feeds each layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..validate import Curve, Report, run
from .drawing import BLACK, BLUE, VERMILLION, Look, by_panel, draw_curves, label_panel, narrow, plain_ticks

__all__ = ["ALT", "CAPTION", "EXPERIMENT", "ID", "REFERENCES", "TITLE", "compute", "draw", "facts"]

ID = EXPERIMENT = "without-training"
TITLE = "The founding question without training: how far class means and covariances come"
REFERENCES = ("nielsen2015", "price1958")

CAPTION = """
The network of the book's chapter 3 [@nielsen2015] with {{ hidden }} sigmoid units on {{ data.name }}, η =
{{ eta | given }}, λ = {{ lmbda | given }}, m = {{ batch_size }}, from N(0, 1). (a) Variance of the weights: markers,
means over {{ n_seeds }} trained seeds with standard errors; lines, predicted from share, mean and covariance of each
class and from the hyperparameters, without training, by an ordinary differential equation for means and variances
[@price1958] ({{ n_starts }} random start{{ "s" if n_starts > 1 }} of its own, {{ n_directions }} directions). (b, c)
Predicted over trained variance, less 1; shaded, two standard deviations of single runs, the goal set beforehand: {% for
layer, told in layers.items() %}layer {{ layer }} is {{ told.worst | percent }} off at most and
{{ told.last | percent }}
after {{ epochs }} epochs ({{ told.inside }} of {{ told.judged }} epochs inside){{ "; " if not loop.last }}{% endfor %}
{%- if n_gaussian %}; dashed, over networks trained on Gaussian classes of the same moments ({{ n_gaussian }} seeds),
for which the closure stands{% endif %}.
(d) What data and noise feed to each layer, mean over the epoch before.
"""

ALT = """
Four panels over {{ epochs }} epochs. In the first the predicted variances of both layers run near the markers of
trained networks: layer 2 falls and layer 3 rises. In the next two the prediction's deviation is drawn beside a shaded
band of two standard deviations: at most {{ layers[2].worst | percent }} for layer 2 and
{{ layers[3].worst | percent }} for layer 3, of which {{ layers[2].inside }} and {{ layers[3].inside }} of
{{ layers[2].judged }} epochs lie inside. The last shows predicted and measured pull of both layers.
"""

_LAYERS = {2: (BLUE, "o"), 3: (VERMILLION, "s")}


def compute(**options: Any) -> Report:
    """Run the experiment; the options are those of `weightdecay.validate.run`."""
    return run(EXPERIMENT, **options)


def facts(report: Report) -> dict[str, Any]:
    """Return what caption and alternative text say."""
    layers = {}
    for layer in _LAYERS:
        judged = [found for found in report.comparisons if found.key.startswith(f"variance layer {layer} ")]
        off = [abs(found.predicted / found.measured - 1) for found in judged]
        layers[layer] = {
            "worst": max(off),
            "last": off[-1],
            "inside": sum(found.passed is True for found in judged),
            "judged": len(judged),
        }
    return {**report.provenance["parameters"], "data": report.provenance["data"], "layers": layers}


def draw(report: Report, figure: Figure) -> list[Artist]:
    """Draw the figure.

    Parameters
    ----------
    report : Report
        Of the experiment `without-training`.
    figure : Figure
        Empty figure in the style of the package, as wide as it is to be; the height is set here.

    Returns
    -------
    list of Artist
        Curves and their labels, panel by panel.
    """
    slim = narrow(figure)
    figure.set_figheight(figure.get_figwidth() * (2.2 if slim else 0.6))
    axes = figure.subplot_mosaic("a\nb\nc\nd" if slim else "ab\ncd")
    curves = by_panel(report.curves)
    artists = _both(axes["a"], curves["variance"], "variance")
    axes["a"].set_yscale("log")
    plain_ticks(axes["a"])
    axes["a"].set_ylabel("variance")
    label_panel(axes["a"], "a", "Lines: predicted without training")
    told = facts(report)["layers"]
    for letter, layer in (("b", 2), ("c", 3)):
        artists += _deviation(axes[letter], curves[f"deviation of layer {layer}"], layer)
        label_panel(
            axes[letter], letter, f"Layer {layer}: {told[layer]['inside']} of {told[layer]['judged']} epochs inside"
        )
    artists += _both(axes["d"], curves["pull and noise"], "pull and noise")
    axes["d"].axhline(0, color="0.6", linewidth=0.5, zorder=0)
    axes["d"].set_ylabel("pull and noise (nat)")
    label_panel(axes["d"], "d", "What feeds each layer")
    return artists


def _both(axes: Axes, curves: list[Curve], what: str) -> list[Artist]:
    looks = {}
    for layer, (colour, marker) in _LAYERS.items():
        looks[f"layer {layer}, {what} predicted"] = Look(colour)
        looks[f"layer {layer}, {what} trained"] = Look(colour, f"layer {layer}", marker=marker)
    _epochs(axes, curves)
    return draw_curves(axes, curves, looks)


def _deviation(axes: Axes, curves: list[Curve], layer: int) -> list[Artist]:
    line, above, below, *others = ({**vars(curve), "y": 100 * curve.y, "y_unit": "%"} for curve in curves)
    lines = [Curve(**line), *(Curve(**other) for other in others)]
    _epochs(axes, curves)
    band = axes.fill_between(above["x"], below["y"], above["y"], color="#e0e0e0", linewidth=0, zorder=0)
    axes.axhline(0, color=BLACK, linewidth=0.5, zorder=1)
    reach = 1.25 * float(np.max(np.abs([*(curve.y for curve in lines), above["y"]])))
    axes.set_ylim(-reach, reach)
    axes.set_ylabel("prediction off by (%)")
    note = axes.annotate(
        "shaded: two standard deviations of one run", (0.03, 0.05), xycoords="axes fraction", fontsize=6.5
    )
    looks = {curves[0].name: Look(_LAYERS[layer][0], "digits" if others else "")}
    looks |= {curve.name: Look(BLACK, "Gaussians", dashes=(0, (4, 2))) for curve in lines[1:]}
    return [band, *draw_curves(axes, lines, looks), note]


def _epochs(axes: Axes, curves: list[Curve]) -> None:
    last = max(float(curve.x.max()) for curve in curves)
    axes.set_xlim(-0.02 * last, 1.02 * last)
    axes.set_xlabel("epoch")
