"""Draw what symmetries conserve: errors of their laws, step by step, in both number formats, and what is conserved.

Panels: (a), (b) the largest error of each law since the start of training against the step, in float32 and in float64,
with the tolerance, and units without the symmetry as a control; (c) what is conserved, trained and as the laws say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..validate import Curve, Report, run
from ..validate.conservation import LABELS
from .captions import number
from .drawing import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILLION, Look, by_panel, draw_curves, label_panel, narrow
from .powers import power_of_ten, power_ticks

__all__ = ["ALT", "CAPTION", "EXPERIMENT", "ID", "REFERENCES", "TITLE", "compute", "draw", "facts"]

ID = EXPERIMENT = "conservation"
TITLE = "What symmetries conserve, and what weight decay makes of it"
REFERENCES = ("kunin2021", "du2018", "arora2018")
QUOTED = "rescale-symmetry-undecayed-bias all_steps float32"

CAPTION = """
Quantities that symmetries of the loss conserve [@kunin2021], followed through {{ n_steps }} steps of SGD with weight
decay on {{ data.name }} (η = {{ lr | given }}, λ = {{ weight_decay | given }}, mini-batches of {{ batch_size }},
{{ n_seeds }} seed{% if n_seeds > 1 %}s{% endif %}). (a) Largest error of each law since the start, over the size of
what is conserved, in float32, at most {{ worst.float32 | number(2) }}, and (b) in float64, at most
{{ worst.float64 | number(2) }}; dashed, the tolerance; crosses, the law of ReLU units applied to sigmoid units, which
lack the symmetry. (c) The conserved quantities, as root mean square over their start: markers, trained; lines, their
laws. {% if has_dead %}Weights of dead pixels and {% endif %}column sums of softmax weights only decay; imbalances of
ReLU units [@du2018] and of linear layers [@arora2018] decay twice as fast and are fed by the gradients' second order,
without which their laws miss by {{ missed | number(2) }}.
"""

ALT = """
Three panels against the step. In the first two, on a logarithmic scale from rounding to one, the errors of
{{ n_laws }} conservation laws stay near {{ worst.float32 | number(1) }} in float32 and {{ worst.float64 | number(1) }}
in float64, below the dashed tolerances, while the control without symmetry lies at {{ control | number(1) }}. In the
third the conserved quantities fall on the lines of their laws.
"""

LOOKS = {
    "dead-input": ("dead pixels", BLACK, "o", True),
    "translation-symmetry": ("logit column sums", BLUE, "s", False),
    "rescale-symmetry-undecayed-bias": ("ReLU, bias undecayed", VERMILLION, "^", True),
    "rescale-symmetry": ("ReLU, bias decayed", ORANGE, "v", False),
    "deep-linear-symmetry": ("linear layers", GREEN, "D", True),
}
CONTROL, CONTROL_LABEL = "sigmoid units, no symmetry", "sigmoid: no symmetry"


def compute(**options: Any) -> Report:
    """Run the experiment; the options are those of `weightdecay.validate.run`."""
    return run(EXPERIMENT, **options)


def facts(report: Report) -> dict[str, Any]:
    """Return what caption and alternative text say, by name.

    Parameters
    ----------
    report : Report
        Of the experiment `conservation`.

    Returns
    -------
    dict
        Parameters of the runs and the largest errors of each kind.
    """
    told = dict(report.provenance["parameters"])
    judged = [comparison for comparison in report.comparisons if comparison.tolerance is not None]
    return told | {
        "data": report.provenance["data"],
        "worst": {
            dtype: float(np.max([each.measured for each in judged if each.key.endswith(dtype)]))
            for dtype in told["tolerances"]
        },
        "control": report.comparison("rescale-symmetry-undecayed-bias control").measured,
        "missed": float(np.max([each.measured for each in report.comparisons if each.key.endswith("first_order")])),
        "has_dead": bool(told["n_dead"]),
        "n_laws": len({each.key.split()[0] for each in judged}),
        "passed": all(each.passed for each in judged),
    }


def draw(report: Report, figure: Figure) -> list[Artist]:
    """Draw the figure.

    Parameters
    ----------
    report : Report
        Of the experiment `conservation`.
    figure : Figure
        Empty figure in the style of the package, as wide as it is to be; the height is set here.

    Returns
    -------
    list of Artist
        Curves and their labels, panel by panel.
    """
    told = facts(report)
    tall = narrow(figure)
    figure.set_figheight(figure.get_figwidth() * (1.6 if tall else 0.36))
    axes = figure.subplot_mosaic("a\nb\nc" if tall else "abc", height_ratios=[1, 1, 1] if tall else None)
    panels = by_panel(report.curves)
    drawn = []
    for letter, dtype in (("a", "float32"), ("b", "float64")):
        drawn += _errors(axes[letter], panels[dtype], labelled=tall or letter == "b")
        label_panel(axes[letter], letter, f"{dtype}: {'only rounding' if told['passed'] else 'errors'}")
    axes["b"].sharey(axes["a"])
    low = min(float(curve.y.min()) for dtype in told["tolerances"] for curve in panels[dtype])
    axes["a"].set_ylim(low / 5, 3.0)
    for letter in "ab":
        power_ticks(axes[letter], "y")
    axes["a"].set_ylabel("largest error since the start")
    if tall:
        axes["b"].set_ylabel("largest error since the start")
    else:
        axes["b"].tick_params(labelleft=False)
    return [*drawn, *_charges(axes["c"], panels["charge"])]


def _errors(axes: Axes, curves: Sequence[Curve], *, labelled: bool) -> list[Artist]:
    looks = {
        LABELS[law]: Look(colour, label if labelled else "", marker=marker, filled=filled)
        for law, (label, colour, marker, filled) in LOOKS.items()
    }
    looks[CONTROL] = Look(PURPLE, CONTROL_LABEL if labelled else "", marker="x")
    looks["tolerance"] = Look(BLACK, dashes=(0, (4, 2)))
    axes.set_xscale("log")
    axes.set_yscale("log")
    last = max(float(curve.x.max()) for curve in curves)
    axes.set_xlim(0.8, 1.3 * last)
    power_ticks(axes, "x")
    axes.set_xlabel("step")
    drawn = draw_curves(axes, curves, looks)
    (tolerance,) = (curve for curve in curves if curve.name == "tolerance")
    drawn.append(
        axes.annotate(
            f"tolerance {power_of_ten(float(tolerance.y[0]))}",
            (float(tolerance.x[0]), float(tolerance.y[0])),
            xytext=(2, 2),
            textcoords="offset points",
            va="bottom",
            fontsize=6.5,
        )
    )
    return drawn


def _charges(axes: Axes, curves: Sequence[Curve]) -> list[Artist]:
    looks = {}
    for law, (label, colour, marker, filled) in LOOKS.items():
        looks[f"{LABELS[law]}, law"] = Look(colour)
        looks[f"{LABELS[law]}, trained"] = Look(colour, label, marker=marker, filled=filled)
    last = max(float(curve.x.max()) for curve in curves)
    axes.set_xlim(0, 1.03 * last)
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 4, 5, 10], prune="upper"))  # room for labels at the end
    axes.set_xlabel("step")
    drawn = draw_curves(axes, curves, looks)
    axes.set_ylim(0, 1.05 * max(float(curve.y.max()) for curve in curves))
    axes.set_ylabel("share of the start")
    lowest = min(float(curve.y[-1]) for curve in curves)
    label_panel(axes, "c", f"Decay leaves {number(lowest, 2)}, as its law says")
    return drawn
