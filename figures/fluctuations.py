"""Draw how norms at rest fluctuate: their distribution beside the law, and the spread of every neuron."""

from __future__ import annotations

from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from ..validate import Curve, Report, run
from .drawing import BLACK, BLUE, VERMILLION, Look, _ink, draw_curves, label_panel, narrow, plain_ticks

__all__ = ["ALT", "CAPTION", "EXPERIMENT", "ID", "REFERENCES", "TITLE", "compute", "draw", "facts"]

ID = EXPERIMENT = "fluctuations"
TITLE = "How norms at rest fluctuate"
REFERENCES = ("wan2020", "lilyuarora2020")

CAPTION = """
Fluctuations at rest of norm⁴, the power of the norm that obeys a linear equation, of {{ n_neurons }} normalized neurons
in {{ n_seeds }} networks that learn {{ data.name }} by SGD with lr·weight_decay = {{ decay | given }}: deviations from
a neuron’s own mean, in units of the standard deviation that a law gives it. (a) If the squared gradient at unit norm
were independent from step to step, with the relative standard deviation c that it has, norm⁴ would have the relative
standard deviation √(2 lr·weight_decay)·c [@lilyuarora2020] and a normal law (line). The measured one is
{{ independent.hidden | number(3) }} (hidden layer) and {{ independent.output | number(3) }} (output layer) times that,
for real squared gradients are correlated in time; Kolmogorov-Smirnov distances from the normal law
{{ distance.hidden | number(2) }} and {{ distance.output | number(2) }}. (b) The same linear equation driven by the
squared gradients as they were: {{ driven.hidden | number(3) }} and {{ driven.output | number(3) }}
times, distances {{ distance_driven.hidden | number(2) }} and {{ distance_driven.output | number(2) }} from a normal
law. (c) Relative standard deviation of every neuron, measured against both: open, independent; filled, driven; line,
equal.
"""

ALT = """
Panel a: the distribution of norm to the fourth is {{ independent.hidden | number(2) }} (hidden layer) and
{{ independent.output | number(2) }} (output layer) times as wide as the normal law for independent gradient noise.
Panel b: in units of the spread that the measured gradient power drives, it is {{ driven.hidden | number(3) }} and
{{ driven.output | number(3) }} times as wide. Panel c: measured against predicted spreads of the neurons, those with
the driven law near the line of equality.
"""

_LAYERS = {"hidden": (BLUE, "o"), "output": (VERMILLION, "s")}


def compute(**options: Any) -> Report:
    """Run the experiment; the options are those of `weightdecay.validate.run`."""
    return run(EXPERIMENT, **options)


def facts(report: Report) -> dict[str, Any]:
    """Return what caption and alternative text say."""
    told = report.provenance["parameters"]
    ratios = {
        law: {layer: report.comparison(f"{law} {layer}").ratio for layer in _LAYERS}
        for law in ("independent", "driven")
    }
    distances = {
        name: {layer: report.comparison(f"distance {law} {layer}").measured for layer in _LAYERS}
        for name, law in (("distance", "independent"), ("distance_driven", "driven"))
    }
    return {
        "data": report.provenance["data"],
        "n_neurons": told["n_neurons"],
        "n_seeds": told["n_seeds"],
        "decay": told["decay_per_step"],
        **ratios,
        **distances,
    }


def draw(report: Report, figure: Figure) -> list[Artist]:
    """Draw the figure.

    Parameters
    ----------
    report : Report
        Of the experiment `fluctuations`.
    figure : Figure
        Empty figure in the style of the package, as wide as it is to be; the height is set here.

    Returns
    -------
    list of Artist
        Curves and labels, panel by panel.
    """
    slim = narrow(figure)
    figure.set_figheight(figure.get_figwidth() * (2.0 if slim else 0.36))
    axes = figure.subplot_mosaic("a\nb\nc" if slim else "abc")
    told = facts(report)
    artists: list[Artist] = []
    for letter, law, title in (
        ("a", "independent", "{:.2f} × width for independent noise"),
        ("b", "driven", "{:.2f} × width for the actual noise"),
    ):
        artists += _draw_density(axes[letter], report, law)
        label_panel(axes[letter], letter, title.format(told[law]["hidden"]))
        if slim or letter == "a":
            axes[letter].set_ylabel("density")
    label_panel(axes["c"], "c", "Each neuron: open as a, filled as b")
    return [*artists, *_draw_spread(axes["c"], report)]


def _panel(report: Report, name: str) -> dict[str, Curve]:
    return {curve.name: curve for curve in report.curves if curve.panel == name}


def _draw_density(axes: Axes, report: Report, law: str) -> list[Artist]:
    curves = _panel(report, f"density, {law}")
    looks = {f"{layer} layer": Look(colour, marker=marker) for layer, (colour, marker) in _LAYERS.items()}
    artists = draw_curves(axes, list(curves.values()), looks | {"law": Look(BLACK)})
    axes.set_xlim(-6, 6)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("deviation of norm⁴ (standard deviations)")
    for place, words in enumerate(("● hidden", "■ output", "— normal")):
        colour = (BLUE, VERMILLION, BLACK)[place]
        artists.append(
            axes.annotate(
                words,
                (0.98, 0.95 - 0.09 * place),
                xycoords="axes fraction",
                ha="right",
                va="top",
                fontsize=6.5,
                color=_ink(colour),
            )
        )
    return artists


def _draw_spread(axes: Axes, report: Report) -> list[Artist]:
    curves = _panel(report, "spread")
    axes.set_xscale("log")
    axes.set_yscale("log")
    artists: list[Artist] = [axes.plot(curves["equal"].x, curves["equal"].y, color=BLACK, linewidth=0.8, zorder=1)[0]]
    for law in ("independent", "driven"):
        for layer, (colour, marker) in _LAYERS.items():
            curve = curves[f"{law}, {layer} layer"]
            face = colour if law == "driven" else "white"
            artists.append(
                axes.plot(
                    curve.x, curve.y, marker, color=colour, markerfacecolor=face, linestyle="none", markersize=2.6
                )[0]
            )
    plain_ticks(axes)
    low, high = axes.get_xlim()
    axes.set_xticks([x for power in range(-6, 3) for lead in (1, 3) if low <= (x := lead * 10.0**power) <= high])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("predicted relative standard deviation")
    axes.set_ylabel("measured")
    return artists
