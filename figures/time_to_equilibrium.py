"""Draw a chart to read off how many steps weight decay needs, with known models and the lengths of their runs.

It needs no data set: lines are the time constant of the theory, marks the hyperparameters that models were published
with. ``weightdecay predict --plot`` marks the run that was asked for.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from ..errors import InvalidInput, check_choice
from ..simulate import Prediction, published_runs
from ..theory import derive
from ..validate import Curve, Report, provenance
from .captions import number
from .drawing import BLACK, BLUE, VERMILLION, narrow

__all__ = ["ALT", "CAPTION", "EXPERIMENT", "ID", "REFERENCES", "TITLE", "compute", "draw", "facts"]

ID = EXPERIMENT = "time-to-equilibrium"
TITLE = "How many steps weight decay needs, and how many known models were trained"
REFERENCES = (
    "wangaitchison2024",
    "lilyuarora2020",
    *dict.fromkeys(run.source for run in published_runs()),
)

CAPTION = """
Time constant 1/(ηλ) of weights, in steps, against learning rate η, one line for each weight decay λ: the
memory of the weights [@lilyuarora2020; @wangaitchison2024]. Squared norms take half of it. Filled marks,
{{ n_models }} models at the peak of their learning rate (with momentum, times what momentum makes of it); open marks,
the steps of their runs. A run whose bar is short against its height above the line has not forgotten its start:
{{ shortest.name }} with {{ shortest.n | number(2) }} time constants [@{{ shortest.source }}], and {{ n_short }} of the
models with fewer than two, counted with their schedules. {{ longest.name }} has
{{ longest.n | number(2) }} [@{{ longest.source }}].{% if own %} The run that was asked for has
{{ own | number(2) }}.{% endif %}
"""

ALT = """
Chart of steps against learning rate with both axes logarithmic: falling lines for weight decays from
{{ decays[0] | given }} to {{ decays[-1] | given }}, and {{ n_models }} models whose runs are between
{{ shortest.n | number(2) }} and {{ longest.n | number(2) }} time constants long.
"""

PANEL = "time constants"
DECAYS = (1e-4, 1e-3, 0.01, 0.05, 0.1, 1.0)
"""Weight decays of the lines: those that models are trained with, and one to either side."""
DENSE = 0.1
"""The line whose label stands below it, since another is close above."""
RATES = (1e-5, 3.0)
POINTS = 101
OWN = "this run"
MODELS, LENGTHS = "time constant of models", "steps of their runs"
_LABEL_GAP = 0.021
"""Least distance of neighbouring labels, in widths of a wide figure's axes."""


def compute(
    *,
    scale: str = "quick",
    n_jobs: int = 1,
    rng: int = 0,
    data: Any = None,
    progress: Callable[[int, int, str], None] | None = None,
    prediction: Prediction | None = None,
) -> Report:
    """Return the lines and the marks of the chart.

    Parameters
    ----------
    scale, n_jobs, rng, data, progress
        As figures of experiments have them. Not used beyond the check of the scale: nothing is long or random.
    prediction : Prediction, optional
        A run to mark beside the models, from `weightdecay.simulate.predict`.

    Returns
    -------
    Report
        Curves and no comparison; the models, in the order of the marks, are the "results" of the provenance.

    Raises
    ------
    InvalidInput
        If it is no prediction, or one without decay, or the scale is unknown.

    Examples
    --------
    >>> report = compute()
    >>> len(report.provenance["results"]["models"]) > 10
    True
    """
    del n_jobs, data, progress
    check_choice("scale", scale, ("quick", "full"))
    claim = derive("convention-pytorch")
    rates = np.geomspace(*RATES, POINTS)
    curves = []
    for decay in DECAYS:
        time = claim.numeric("time_constant_steps", lr=rates, torch_weight_decay=decay)
        curves.append(_curve(f"weight decay {decay:g}", "theory", rates, time))
    runs = published_runs()
    models: list[dict[str, Any]] = [
        {
            "name": run.name,
            "source": run.source,
            "lr": run.lr_peak,
            "lr_effective": run.lr_peak * run.speed,
            "weight_decay": run.weight_decay,
            "n_steps": run.n_steps,
            "time_constant_steps": float(
                claim.numeric("time_constant_steps", lr=run.lr_peak * run.speed, torch_weight_decay=run.weight_decay)
            ),
            "n_time_constants": run.n_time_constants(),
        }
        for run in runs
    ]
    models += [] if prediction is None else [_own(prediction)]
    places = np.array([model["lr_effective"] for model in models])
    curves.append(_curve(MODELS, "reference", places, np.array([model["time_constant_steps"] for model in models])))
    curves.append(_curve(LENGTHS, "reference", places, np.array([float(model["n_steps"]) for model in models])))
    told = {"decays": list(DECAYS), "models": [run.name for run in runs]}
    origin = provenance(experiment=EXPERIMENT, scale=scale, seed=rng, parameters=told, data=None)
    if prediction is None:
        words = ["weightdecay", "figures", ID, "--scale", scale, "--seed", str(rng)]
    else:
        words = ["weightdecay", "predict", "--plot", "weightdecay-figures", "--optimizer", prediction.optimizer]
        words += ["--lr", f"{prediction.lr:g}", "--weight-decay", f"{prediction.weight_decay:g}"]
        words += ["--steps", str(prediction.n_steps)]
    results = {"models": models, "own": prediction is not None}
    return Report(EXPERIMENT, (), tuple(curves), origin | {"command": shlex.join(words), "results": results})


def _own(prediction: Prediction) -> dict[str, Any]:
    """Return the mark of a run that was predicted."""
    if not isinstance(prediction, Prediction):
        raise InvalidInput(f"prediction is {prediction!r}, but must be what simulate.predict returns")
    if prediction.time_constant_steps is None or prediction.n_time_constants is None:
        raise InvalidInput("a run without decay has no time constant to mark; give a weight decay")
    return {
        "name": OWN,
        "source": "",
        "lr": prediction.lr,
        "lr_effective": prediction.decay_per_step / prediction.weight_decay,
        "weight_decay": prediction.weight_decay,
        "n_steps": prediction.n_steps,
        "time_constant_steps": prediction.time_constant_steps,
        "n_time_constants": prediction.n_time_constants,
    }


def _curve(name: str, kind: Any, x: Any, y: Any) -> Curve:
    return Curve(name, PANEL, kind, x, y, "learning rate", "weight^2/loss", "time constant", "steps")


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
    models = report.provenance["results"]["models"]
    own = [model["n_time_constants"] for model in models if model["name"] == OWN]
    models = [model for model in models if model["name"] != OWN]
    told = [{"name": model["name"], "source": model["source"], "n": model["n_time_constants"]} for model in models]
    told.sort(key=lambda model: model["n"])
    return {
        "n_models": len(models),
        "n_short": sum(model["n"] < 2 for model in told),
        "shortest": told[0],
        "longest": told[-1],
        "own": own[0] if own else None,
        "decays": report.provenance["parameters"]["decays"],
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
        Lines, marks and labels.
    """
    told = facts(report)
    figure.set_figheight(figure.get_figwidth() * (1.35 if narrow(figure) else 0.62))
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_yscale("log")
    models = report.provenance["results"]["models"]
    places = [model["lr_effective"] for model in models]
    heights = [model[name] for model in models for name in ("time_constant_steps", "n_steps")]
    axes.set_xlim(min(RATES[0], min(places) / 2), max(RATES[1], max(places) * 2))
    axes.set_ylim(min(30, min(heights) / 2), max(1e10 if narrow(figure) else 3e8, 100 * max(heights)))
    curves = {curve.name: curve for curve in report.curves}
    artists: list[Artist] = []
    for decay in told["decays"]:
        curve = curves[f"weight decay {decay:g}"]
        artists += axes.plot(curve.x, curve.y, color="0.55", linewidth=0.8, zorder=1)
        artists.append(
            _line_label(axes, curve, f"λ = {decay:g}", below=decay == DENSE, room=0.05 if narrow(figure) else 0.6)
        )
    artists += _models(axes, report, narrow(figure))
    parts = ("● time constant 1/(ηλ)", "○ steps of the run", "orange: fewer than two time constants")
    key = axes.annotate(
        ("\n" if narrow(figure) else "   ").join(parts), (0.01, 0.015), xycoords="axes fraction", fontsize=6.5
    )
    key.set_in_layout(False)
    artists.append(key)
    axes.set_xlabel("peak learning rate, over 1 − μ with momentum μ")
    axes.set_ylabel("steps")
    many = f"{told['n_short']} of {told['n_models']} models"
    axes.set_title(
        f"{many}: fewer than two time constants"
        if narrow(figure)
        else f"{many} stopped within two time constants of their start",
        pad=5,
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 1)))
    return artists


def _line_label(axes: Axes, curve: Curve, words: str, *, below: bool, room: float) -> Artist:
    """Write what a line is at its left end, or at its right if it begins above that part of the axes' height."""
    at_left = curve.y[0] < room * axes.get_ylim()[1]
    place = 0 if at_left else -1
    return axes.annotate(
        words,
        (float(curve.x[place]), float(curve.y[place])),
        xytext=(3 if at_left else -2, (-9 if below else 1) if at_left else 6),
        textcoords="offset points",
        ha="left" if at_left else "right",
        va="top" if below else "bottom",
        fontsize=6.5,
        color="0.35",
        zorder=1.5,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
    )


def _models(axes: Axes, report: Report, is_narrow: bool) -> list[Artist]:
    """Draw each model as a bar from its time constant to the steps of its run, its name above."""
    models = report.provenance["results"]["models"]
    order = sorted(range(len(models)), key=lambda place: models[place]["lr_effective"])
    low, high = np.log(axes.get_xlim())
    wanted = [(np.log(models[place]["lr_effective"]) - low) / (high - low) for place in order]
    gap = _LABEL_GAP * (2.4 if is_narrow else 1.0)
    at = list(wanted)
    for _ in range(200):  # neighbours push each other apart, half each
        for left in range(len(at) - 1):
            lack = gap - (at[left + 1] - at[left])
            if lack > 1e-9:
                at[left] -= lack / 2
                at[left + 1] += lack / 2
    artists: list[Artist] = []
    for place, label_at in zip(order, at, strict=True):
        model = models[place]
        x, bottom, top = model["lr_effective"], model["time_constant_steps"], model["n_steps"]
        short = model["n_time_constants"] < 2
        colour = VERMILLION if short else BLUE
        artists += axes.plot([x, x], [bottom, top], color=colour, linewidth=1.2 if short else 0.8, zorder=2)
        artists += axes.plot([x], [bottom], "o", color=colour, markersize=3.5, zorder=3)
        artists += axes.plot([x], [top], "o", color=colour, markerfacecolor="white", markersize=3.5, zorder=3)
        artists.append(
            axes.annotate(
                model["name"],
                (x, max(bottom, top)),
                xytext=(label_at, 1.0),
                textcoords="axes fraction",
                rotation=90,
                ha="center",
                va="top",
                fontsize=6.2,
                color=BLACK,
                in_layout=False,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
                arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "0.7", "shrinkA": 1, "shrinkB": 2},
            )
        )
    return artists
