"""Draw rescaling: trained networks at the fixed point of their own outputs, over two decades of weight decay.

Panels: (a) what the outputs of one network, all its weights multiplied by a factor, pull over what decay takes: they
balance at the factor 1; (b) the squared norm of a layer against the weight decay: from outputs, from the cost curve
alone, and what rescaling one network's outputs to another decay would give.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from ..validate import Comparison, Curve, Report, run
from .drawing import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    Look,
    draw_curves,
    label_panel,
    narrow,
    plain_ticks,
)

__all__ = ["ALT", "CAPTION", "EXPERIMENT", "ID", "REFERENCES", "TITLE", "compute", "draw", "facts"]

ID = EXPERIMENT = "rescaling"
TITLE = "A trained network sits at its own rescaling fixed point"
REFERENCES = ("du2018",)

CAPTION = """
ReLU networks of {{ depth }} layers with {{ hidden }} hidden units, softmax outputs and no biases, at minima of
cost + (λ/2)·(squared norm of all weights) over the whole training set of {{ data.name }}.
(a) All weights of a trained network multiplied by a factor: entropy-loss gap of its outputs over what decay takes, for
{{ n_drawn }} of {{ n_decays }} weight decays λ (PyTorch’s) from {{ least | number }} to {{ most | number }};
homogeneous layers are pulled alike [@du2018]. The balances of all, markers, lie at factors from
{{ low | number(4) }} to {{ high | number(4) }}.
(b) Squared norm of a layer: markers, trained (mean over layers); line, gap over λ; green, from the slope of the minimal
cost between neighbouring weight decays, which knows no weights ({{ envelope_low | number(4) }} to
{{ envelope_high | number(4) }} measured over predicted); dashes, the outputs of the middle network rescaled to other
decays, off by up to {{ worst | percent }} over a decade: another decay changes the directions, too.
{% for other in deeper %} Networks of {{ other.depth }} layers, not drawn, balance at {{ other.low | number(4) }} to
{{ other.high | number(4) }}; measured over predicted from the cost curve is {{ other.envelope_low | number(4) }} to
{{ other.envelope_high | number(4) }}{% if other.n_outside %}, outside the tolerance at {{ other.n_outside }} of
{{ other.n_envelope }} pairs of decays, where the minimizer had stopped short of the minimum (its gradient up to
{{ other.unrest | percent }} of decay's part){% endif %}.{% endfor %}
"""

ALT = """
Left, {{ n_drawn }} falling curves of pull over decay against the factor by which all weights are multiplied; all cross
the value 1 at the factor 1. Right, on logarithmic scales, the squared norm of a layer falls from
{{ start | number }} to {{ end | number }} as the weight decay grows a hundredfold; the sizes predicted from outputs and
from the cost curve lie on the trained ones, those of rescaled outputs do not.
"""

COLOURS = (BLUE, SKY, GREEN, ORANGE, VERMILLION, PURPLE)
DASHES = ("-", (0, (6, 1.5)), (0, (3, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (1, 1)), (0, (2, 2)))


def compute(**options: Any) -> Report:
    """Run the experiment; the options are those of `weightdecay.validate.run`."""
    return run(EXPERIMENT, **options)


def facts(report: Report) -> dict[str, Any]:
    """Return what caption and alternative text say, by name; of the shallowest networks, which are drawn.

    Parameters
    ----------
    report : Report
        Of the experiment `rescaling`.

    Returns
    -------
    dict
        Parameters of the runs and numbers from the report's comparisons and curves.
    """
    told = dict(report.provenance["parameters"])
    depth = min(map(int, told["n_seeds"]))

    def ratios(what: str, layers: int = depth) -> list[float]:
        return [found.ratio for found in _of(report, what, layers)]

    def deeper(layers: int) -> dict[str, Any]:
        factors, envelope = ratios("factor", layers), ratios("envelope", layers)
        place = sum(seeds for other, seeds in told["n_seeds"].items() if int(other) < layers)
        unrest = told["unrest"][place : place + told["n_seeds"][str(layers)]]
        return {
            "depth": layers,
            "low": min(factors),
            "high": max(factors),
            "envelope_low": min(envelope),
            "envelope_high": max(envelope),
            "n_envelope": len(envelope),
            "n_outside": sum(found.passed is False for found in _of(report, "envelope", layers)),
            "unrest": max(max(run) for run in unrest),
        }

    decays = told["weight_decays"][str(depth)]
    (sizes,) = (curve.y for curve in report.curves if (curve.panel, curve.name) == (f"size, depth {depth}", "trained"))
    factors, envelope = ratios("factor"), ratios("envelope")
    return told | {
        "data": report.provenance["data"],
        "depth": depth,
        "n_decays": len(decays),
        "n_drawn": sum(curve.panel == f"balance, depth {depth}" and curve.kind == "theory" for curve in report.curves),
        "least": decays[0],
        "most": decays[-1],
        "low": min(factors),
        "high": max(factors),
        "envelope_low": min(envelope),
        "envelope_high": max(envelope),
        "worst": max(abs(ratio - 1) for ratio in ratios("extrapolated")),
        "deeper": [deeper(layers) for layers in sorted(map(int, told["n_seeds"])) if layers > depth],
        "start": float(sizes[0]),
        "end": float(sizes[-1]),
    }


def _of(report: Report, what: str, layers: int) -> list[Comparison]:
    """Return the comparisons of one kind for networks of one depth."""
    named = [found for found in report.comparisons if found.key.startswith(what)]
    return [found for found in named if found.key.endswith(f"depth {layers}")]


def draw(report: Report, figure: Figure) -> list[Artist]:
    """Draw the figure.

    Parameters
    ----------
    report : Report
        Of the experiment `rescaling`.
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
        name: [curve for curve in report.curves if curve.panel == f"{name}, depth {told['depth']}"]
        for name in ("balance", "size")
    }
    return [*_balance(axes["a"], panels["balance"]), *_size(axes["b"], panels["size"])]


def _balance(axes: Axes, curves: Sequence[Curve]) -> list[Artist]:
    lines = [curve for curve in curves if curve.kind == "theory"]
    looks = {}
    for curve, colour, dashes in zip(lines, COLOURS, DASHES, strict=False):
        looks[curve.name] = Look(colour, curve.name, dashes=dashes)
        looks[f"{curve.name}, fixed point"] = Look(colour)
    axes.set_xscale("log")
    axes.axhline(1, color="0.6", linewidth=0.5, zorder=0)
    axes.axvline(1, color="0.6", linewidth=0.5, zorder=0)
    axes.set_xlim(0.7, 1.34)
    axes.set_ylim(-0.3, 3)
    drawn = draw_curves(axes, [_within(curve, *axes.get_xlim()) for curve in curves], looks)
    axes.set_xticks([0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("factor of all weights")
    axes.set_ylabel("pull of the data over decay")
    label_panel(axes, "a", "Every network rests at the factor 1")
    return drawn


def _within(curve: Curve, low: float, high: float) -> Curve:
    """Return the part of a curve between two x, whose end is where its label stands."""
    inside = (curve.x >= low) & (curve.x <= high)
    return replace(curve, x=curve.x[inside], y=curve.y[inside])


def _size(axes: Axes, curves: Sequence[Curve]) -> list[Artist]:
    looks = {
        "gap over weight decay": Look(BLUE, "line: gap/λ", at=0.05, lift=12),
        "slope of the minimum": Look(GREEN, "slope of cost", dashes=(0, (6, 1.5, 1, 1.5))),
        "one run's outputs rescaled": Look(BLACK, "one run rescaled", dashes=(0, (4, 2))),
        "trained": Look(BLUE, "trained"),
    }
    axes.set_xscale("log")
    axes.set_yscale("log")
    drawn = draw_curves(axes, curves, looks)
    plain_ticks(axes)
    low, high = axes.get_xlim()
    axes.set_xticks([tick for power in range(-9, 4) for lead in (1, 3) if low <= (tick := lead * 10.0**power) <= high])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.12g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("weight decay λ")
    axes.set_ylabel("squared norm (weight²)")
    label_panel(axes, "b", "Sizes from outputs and from the cost curve")
    return drawn
