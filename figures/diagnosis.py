"""Draw a user's own log beside the theory: where each layer is, what decay alone leaves, and where it is heading.

The figure of ``weightdecay diagnose --plot``: a panel for each layer, of the first six; the table has all of them.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..errors import InvalidInput
from ..validate import Curve, Diagnosis, LayerDiagnosis, Report, provenance
from .captions import number
from .drawing import BLACK, BLUE, GREEN, Look, draw_curves, label_panel, narrow, plain_ticks

__all__ = ["ALT", "CAPTION", "EXPERIMENT", "ID", "REFERENCES", "TITLE", "compute", "draw", "facts"]

ID = EXPERIMENT = "diagnosis"
TITLE = "The weights of a run against the theory of weight decay"
REFERENCES = ("krogh1991", "wan2020", "kosson2023")

CAPTION = """
Weights of {{ n_layers }} layer{{ "s" if n_layers > 1 else "" }} of the log {{ log }}
({{ optimizer }}, {% if weight_decay is none %}each layer with its own weight decay{% else %}weight decay
{{ weight_decay | given }}{% endif %}): squared norm of each layer{{ per_weight }} as logged
(markers), what decay alone [@krogh1991] would leave of its start (dashed), and the solution of the balance of decay
with a steady or slowly drifting feed from the gradient [@wan2020; @kosson2023], fitted to the log's second half
(line){% if shown <
n_layers %}; the first {{ shown }} layers are drawn{% endif %}.
{% for layer in layers %}{{ layer.name }}: {{ layer.verdict }}. {% endfor %}
"""

ALT = """
{{ shown }} panel{{ "s" if shown > 1 else "" }} of squared norms against {{ unit }}s.
{% for layer in layers %}{{ layer.name }} goes from {{ layer.start | number }} to {{ layer.end | number }}, where decay
alone would leave {{ layer.alone | number }}{% if layer.fitted %}; it is heading for
{{ layer.fitted | number }}{% endif %}. {% endfor %}
"""

MOST_PANELS = 6
POINTS = 301
SPREAD = 30.0
LOGGED, ALONE, FITTED, REST = "log", "decay alone", "fit", "equilibrium"


def compute(*, diagnosis: Diagnosis) -> Report:
    """Return the curves of a diagnosis.

    Parameters
    ----------
    diagnosis : Diagnosis
        From `weightdecay.validate.diagnose`.

    Returns
    -------
    Report
        Curves and no comparison: where a layer is heading is fitted.

    Raises
    ------
    InvalidInput
        If it is no diagnosis.
    """
    if not isinstance(diagnosis, Diagnosis):
        raise InvalidInput(f"diagnosis is {diagnosis!r}, but must be what validate.diagnose returns")
    per_epoch = diagnosis.steps_per_epoch or 1.0
    unit = "step" if diagnosis.steps_per_epoch is None else "epoch"
    curves = [curve for layer in diagnosis.layers for curve in _curves(layer, per_epoch, unit)]
    told = diagnosis.to_dict()
    layers = told.pop("layers")
    origin = provenance(experiment=EXPERIMENT, scale="full", seed=None, parameters=told, data=None)
    return Report(EXPERIMENT, (), tuple(curves), origin | {"command": _command(told), "results": {"layers": layers}})


def _command(told: Mapping[str, Any]) -> str:
    """Return the command that draws the figure again, where the log is."""
    words = ["weightdecay", "diagnose", told["log"], "--optimizer", told["optimizer"]]
    words += ["--tolerance", f"{told['tolerance']:g}"]
    for name, value in told["options"].items():
        if name == "shapes":
            for layer, shape in value.items():
                words += ["--shapes", f"{layer}={'x'.join(map(str, shape))}"]
        elif name == "columns":
            for what, column in value.items():
                words += ["--column", f"{what}={column}"]
        else:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join([*words, "--plot", "weightdecay-figures"])


def _curves(layer: LayerDiagnosis, per_epoch: float, unit: str) -> list[Curve]:
    """Return the curves of a layer, thinned."""

    def curve(name: str, kind: Any, x: NDArray[np.float64], y: NDArray[np.float64]) -> Curve:
        kept = np.unique(np.linspace(0, len(x) - 1, POINTS).astype(int))
        good = kept[np.isfinite(y[kept]) & (y[kept] > 0)]
        return Curve(name, layer.name, kind, x[good] / per_epoch, y[good], "time", unit, "squared norm", "weight^2")

    found = [
        curve(LOGGED, "experiment", layer.step, layer.norm_squared),
        curve(ALONE, "theory", layer.step, layer.floor),
    ]
    if layer.fit.size:
        found.append(curve(FITTED, "theory", layer.fit_step, layer.fit))
    if layer.norm_squared_fitted is not None:
        ends = layer.step[[0, -1]]
        found.append(curve(REST, "theory", ends, np.full(2, layer.norm_squared_fitted)))
    return [one for one in found if one.x.size]


def facts(report: Report) -> dict[str, Any]:
    """Return what caption and alternative text say, by name.

    Parameters
    ----------
    report : Report
        From `compute`.

    Returns
    -------
    dict
        Numbers and words, each from the report's provenance.
    """
    told = dict(report.provenance["parameters"])
    layers = report.provenance["results"]["layers"]
    shown = layers[:MOST_PANELS]
    unweighted = told["size"] == "rms" and any(layer["n_weights"] is None for layer in layers)
    return told | {
        "n_layers": len(layers),
        "shown": len(shown),
        "per_weight": " (per weight, where the number of weights is not told)" if unweighted else "",
        "unit": "step" if told["steps_per_epoch"] is None else "epoch",
        "layers": [
            {
                "name": layer["name"],
                "verdict": layer["verdict"],
                "state": layer["state"],
                "start": layer["norm_squared_start"],
                "end": layer["norm_squared_end"],
                "alone": layer["norm_squared_alone"],
                "fitted": layer["norm_squared_fitted"],
            }
            for layer in shown
        ],
    }


def draw(report: Report, figure: Figure) -> list[Artist]:
    """Draw the figure.

    Parameters
    ----------
    report : Report
        From `compute`.
    figure : Figure
        Empty figure in the style of the package, as wide as it is to be; the height is set here.

    Returns
    -------
    list of Artist
        Curves and their labels.
    """
    told = facts(report)
    layers = told["layers"]
    n_columns = 1 if narrow(figure) or len(layers) == 1 else 2
    n_rows = math.ceil(len(layers) / n_columns)
    figure.set_figheight(
        n_rows * figure.get_figwidth() * {1: 0.62, 2: 0.36}[n_columns] * (1.0 if n_columns == 2 else 0.8)
    )
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    artists: list[Artist] = []
    for place, (axes, layer) in enumerate(zip(panels, layers, strict=False)):
        label_panel(axes, "abcdef"[place], f"{layer['name']}: {_HEADLINES[layer['state']]}")
        curves = {curve.name: curve for curve in report.curves if curve.panel == layer["name"]}
        artists += _panel(axes, curves, layer)
        axes.set_xlabel(told["unit"])
        axes.set_ylabel("squared norm (weight²)")
    for axes in panels[len(layers) :]:
        axes.set_visible(False)
    return artists


_HEADLINES = {
    "equilibrium": "in equilibrium",
    "falling": "still falling",
    "growing": "still growing",
    "shrinking": "shrunk by the gradient too",
    "no-decay": "no decay",
    "unknown": "too early to tell",
}


def _panel(axes: Axes, curves: Mapping[str, Curve], layer: Mapping[str, Any]) -> list[Artist]:
    """Draw one layer."""
    if not curves:
        return []
    logged = curves[LOGGED].y if LOGGED in curves else np.concatenate([curve.y for curve in curves.values()])
    others = np.concatenate([curve.y for curve in curves.values()])
    low, high = max(others.min(), logged.min() / SPREAD), min(others.max(), logged.max() * SPREAD)
    if high > 4 * low:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.4, high * 1.4)
    else:
        margin = 0.1 * (high - low or high)
        axes.set_ylim(low - margin, high + margin)
    axes.set_xlim(0, max(float(curve.x[-1]) for curve in curves.values()) or 1.0)
    rest = layer["fitted"]
    looks = {
        ALONE: Look(BLACK, "decay alone" if curves[ALONE].y[-1] > axes.get_ylim()[0] else "", dashes=(0, (4, 2))),
        REST: Look(GREEN, "" if rest is None else f"equilibrium\n{number(rest)}", dashes=(0, (6, 1.5, 1, 1.5))),
        FITTED: Look(BLUE),
        LOGGED: Look(BLUE, "log", filled=False),
    }
    inside = [curve for name, curve in curves.items() if name != REST or low <= curve.y[0] <= high]
    drawn = draw_curves(axes, inside, looks)
    if axes.get_yscale() == "log":
        plain_ticks(axes)
    return drawn
