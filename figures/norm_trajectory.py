"""Draw the squared norm of a block along a run, beside its equilibrium and what decay alone would leave.

The figure of ``weightdecay simulate --plot``: it needs hyperparameters and no data, so it is none of `ids`. Panels: the
squared norm, and where learning rate or decay have a schedule, below it, that schedule.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..errors import check_count, check_positive
from ..simulate import Schedule, Trajectory, as_schedule, norm_trajectory, schedule_from_dict
from ..validate import Curve, Report, provenance
from .captions import number, percent
from .drawing import BLACK, BLUE, GREEN, ORANGE, Look, draw_curves, label_panel, plain_ticks

__all__ = ["ALT", "CAPTION", "EXPERIMENT", "ID", "REFERENCES", "TITLE", "compute", "draw", "facts"]

ID = EXPERIMENT = "norm-trajectory"
TITLE = "How large weights become, and when they are in equilibrium"
REFERENCES = ("krogh1991", "vanlaarhoven2017")

CAPTION = """
Squared norm of {{ n_weights }} weights that start with a root mean square of {{ rms | given }}, over
{{ epochs }} epochs of {{ n_train }} examples in mini-batches of {{ batch_size }}, with learning rate {{ lr_words }},
weight decay {{ decay_words }} ({{ law }}) and {{ feed }}. Blue, the squared norm, integrated from the balance of decay
[@krogh1991], pull and noise [@vanlaarhoven2017]; {% if balanced %}green, the squared norm at which the hyperparameters
of the moment would hold the weights, with a band of {{ tolerance | percent }} to either side; {% endif %}black, decay
alone. {{ answer }}; {{ share | percent(3) }} of the run {% if share == 1 %}is{% else %}are{% endif %} spent out of
equilibrium. {% if scheduled %}Below, learning rate and decay per step over their largest values.{% endif %}
"""

ALT = """
The squared norm of the weights against the epoch: it goes from {{ norm_start | number }} to {{ norm_end | number }}
in the run of {{ epochs }} epochs, where decay alone would leave {{ floor_end | number }}
{%- if balanced %} and equilibrium is at {{ equilibrium_end | number }}{% endif %}. {{ answer }}.
{% if scheduled %}A second panel shows learning rate and decay per step.{% endif %}
"""

POINTS = 601
FARTHEST = 4
"""An equilibrium reached after the run is shown if that is within so many lengths of the run."""
SPREAD = 30.0
"""What lies farther than this factor from the squared norm may leave the axes."""
PANEL, SCHEDULES = "squared norm", "schedules"
NORM, BALANCE, ALONE, ARRIVAL = "squared norm", "equilibrium", "decay alone", "in equilibrium"
LARGEST = "over its largest value"


def compute(
    *,
    lr: float | Schedule,
    weight_decay: float | Schedule,
    n_steps: int,
    n_weights: int = 23520,
    rms: float = 1.0,
    n_train: int = 50000,
    batch_size: int = 10,
    radial_pull: float = 0.0,
    gradient_power: float = 0.0,
    unit_gradient_power: float | None = None,
    law: str = "decoupled",
    tolerance: float = 0.05,
    run: Trajectory | None = None,
) -> Report:
    """Integrate the squared norm, and follow the rest of its way to equilibrium if that is not far after the run.

    Parameters
    ----------
    lr, weight_decay : float or Schedule
        Learning rate and decay coefficient over the steps.
    n_steps : int
        Length of the run.
    n_weights, rms : int and float
        Number of weights and their root mean square at the start.
    n_train, batch_size : int
        Examples in the training set and in a mini-batch, which make epochs of steps.
    radial_pull, gradient_power, unit_gradient_power, law, tolerance
        As in `weightdecay.simulate.norm_trajectory`.
    run : Trajectory, optional
        What `weightdecay.simulate.norm_trajectory` gave for the same arguments, so that it is not integrated again.

    Returns
    -------
    Report
        Curves and no comparison: nothing is measured. When equilibrium is reached and the share of the run spent out
        of it are the "results" of the provenance.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    Examples
    --------
    >>> report = compute(lr=0.1, weight_decay=1e-4, n_steps=150000, radial_pull=0.1)
    >>> round(report.provenance["results"]["steps_to_equilibrium"])
    305507
    """
    count = check_count("n_steps", n_steps)
    per_epoch = check_count("n_train", n_train) / check_count("batch_size", batch_size)
    schedules: dict[str, Any] = {"lr": as_schedule(lr, count), "weight_decay": as_schedule(weight_decay, count)}
    options: dict[str, Any] = {
        "radial_pull": radial_pull,
        "gradient_power": gradient_power,
        "unit_gradient_power": unit_gradient_power,
        "law": law,
        "tolerance": tolerance,
    }
    start = check_count("n_weights", n_weights) * check_positive("rms", rms) ** 2

    if run is None:
        run = norm_trajectory(norm_squared_start=start, n_steps=count, **schedules, **options)
    arrival = run.steps_to_equilibrium
    last = math.ceil(1.1 * arrival) if count < arrival <= FARTHEST * count else count
    shown = run.at(np.linspace(0, last, min(POINTS, last + 1)).round())
    x = shown.step / per_epoch
    heights = {NORM: shown.norm_squared, BALANCE: shown.equilibrium, ALONE: shown.pure_decay_floor}
    curves = [_curve(PANEL, name, x, y, "squared norm", "weight^2") for name, y in heights.items()]
    if arrival <= shown.step[-1]:
        height = np.interp(arrival, shown.step, shown.norm_squared)
        at = (np.array([arrival / per_epoch]), np.array([height]))
        curves.append(_curve(PANEL, ARRIVAL, *at, "squared norm", "weight^2"))
    if any(schedule.kind != "constant" for schedule in schedules.values()):
        for name, values in (("learning rate", shown.lr), ("decay per step", shown.decay_per_step)):
            curves.append(_curve(SCHEDULES, name, x, values / (values.max() or 1.0), LARGEST, "1", least=-1.0))
    told: dict[str, Any] = {name: schedule.to_dict() for name, schedule in schedules.items()}
    told |= {"n_steps": count, "n_weights": n_weights, "rms": rms, "n_train": n_train, "batch_size": batch_size}
    told |= options
    origin = provenance(experiment=EXPERIMENT, scale="full", seed=None, parameters=told, data=None)
    results = {
        "steps_to_equilibrium": arrival if math.isfinite(arrival) else None,
        "share_out_of_equilibrium": run.share_out_of_equilibrium,
    }
    return Report(
        EXPERIMENT,
        (),
        tuple(curve for curve in curves if len(curve.x)),
        origin | {"command": _command(told)} | {"results": results},
    )


def _curve(
    panel: str, name: str, x: Any, y: NDArray[np.float64], y_name: str, y_unit: str, least: float = 0.0
) -> Curve:
    """Return a curve without the points that a logarithmic axis has no place for."""
    kept = np.isfinite(y) & (y > least)
    return Curve(name, panel, "theory", x[kept], y[kept], "time", "epoch", y_name, y_unit)


def _command(parameters: Mapping[str, Any]) -> str:
    """Return the command that draws the figure again."""
    words = ["weightdecay", "simulate"]
    for name, value in parameters.items():
        if value is None:
            continue
        if isinstance(value, Mapping):
            constant = value["kind"] == "constant"
            value = repr(value["value"]) if constant else json.dumps(value, separators=(",", ":"))
        words += [f"--{name.removeprefix('n_') if name == 'n_steps' else name.replace('_', '-')}", str(value)]
    return shlex.join([*words, "--plot", "weightdecay-figures"])


def facts(report: Report) -> dict[str, Any]:
    """Return what caption, alternative text and title say, by name.

    Parameters
    ----------
    report : Report
        From `compute`.

    Returns
    -------
    dict
        Numbers and words, each from the report's curves and provenance.
    """
    told = dict(report.provenance["parameters"])
    results = report.provenance["results"]
    per_epoch = told["n_train"] / told["batch_size"]
    end = told["n_steps"] / per_epoch
    curves = {curve.name: curve for curve in report.curves if curve.panel == PANEL}

    def at_end(name: str) -> float:
        curve = curves.get(name)
        return math.nan if curve is None else float(np.interp(end, curve.x, curve.y))

    steps = results["steps_to_equilibrium"]
    return told | {
        "epochs": f"{end:.6g}",
        "end": end,
        "arrival": None if steps is None else steps / per_epoch,
        "answer": _answer(steps, per_epoch, end),
        "share": results["share_out_of_equilibrium"],
        "lr_words": _schedule_words(told["lr"], told["n_steps"]),
        "decay_words": _schedule_words(told["weight_decay"], told["n_steps"]),
        "feed": _feed(told),
        "balanced": BALANCE in curves,
        "scheduled": any(curve.panel == SCHEDULES for curve in report.curves),
        "norm_start": float(curves[NORM].y[0]),
        "norm_end": at_end(NORM),
        "floor_end": at_end(ALONE),
        "equilibrium_end": at_end(BALANCE),
    }


def _answer(steps: float | None, per_epoch: float, end: float) -> str:
    if steps is None:
        return "Equilibrium is never reached"
    if steps == 0:
        return "The weights start in equilibrium"
    epochs = steps / per_epoch
    after = "" if epochs <= end else ", after the end of this run, if its last hyperparameters stay"
    return f"Equilibrium is reached after {number(epochs)} epochs{after}"


def _schedule_words(plain: Mapping[str, Any], n_steps: int) -> str:
    schedule = schedule_from_dict(plain)
    if schedule.kind == "constant":
        return f"{float(schedule(0)):g}"
    first, last = (f"{float(schedule(step)):g}" for step in (0, n_steps))
    return f"from {first} to {last} ({schedule.kind}, at most {schedule.largest(n_steps):g})"


def _feed(told: Mapping[str, Any]) -> str:
    names = {
        "radial_pull": "a radial pull",
        "gradient_power": "a gradient power",
        "unit_gradient_power": "at unit norm a gradient power",
    }
    parts = [f"{words} of {told[name]:g}" for name, words in names.items() if told[name]]
    return " and ".join(parts) or "nothing that feeds the weights"


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
    scheduled = told["scheduled"]
    title = told["answer"] + (f"; {percent(told['share'], 3)} of the run out of it" if told["share"] < 1 else "")
    figure.set_figheight(figure.get_figwidth() * (0.5 if scheduled else 0.36))
    ratios = [3.0, 1.0] if scheduled else [1.0]
    panels = figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios, squeeze=False)[:, 0]
    curves = {curve.name: curve for curve in report.curves if curve.panel == PANEL}
    last = float(curves[NORM].x[-1])
    panels[0].set_xlim(0, last)
    panels[-1].set_xlabel("epoch")
    artists = _norms(panels[0], curves, told)
    if scheduled:
        label_panel(panels[0], "a", title)
        label_panel(panels[1], "b", "Learning rate and decay per step, over their largest values")
        looks = {
            "learning rate": Look(ORANGE, "learning rate"),
            "decay per step": Look(BLACK, "decay per step", dashes=_DASHED),
        }
        artists += draw_curves(panels[1], [curve for curve in report.curves if curve.panel == SCHEDULES], looks)
        panels[1].set_ylim(-0.12, 1.08)
    else:
        panels[0].set_title(title, pad=5)
    return artists


_DASHED = (0, (4, 2))


def _norms(axes: Axes, curves: Mapping[str, Curve], told: Mapping[str, Any]) -> list[Artist]:
    norm = curves[NORM].y
    heights = np.concatenate([curve.y for curve in curves.values()])
    low = max(heights.min(), norm.min() / SPREAD)
    high = min(heights.max(), norm.max() * SPREAD)
    if high > 4 * low:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.4, high * 1.4)
    else:
        axes.set_ylim(low - 0.1 * (high - low or high), high + 0.1 * (high - low or high))
    drawn: list[Artist] = []
    if BALANCE in curves:
        balance, width = curves[BALANCE], told["tolerance"]
        band = (balance.y * max(1 - width, 1e-3), balance.y * (1 + width))
        drawn.append(axes.fill_between(balance.x, *band, color="#d5efe6", linewidth=0, zorder=0.5))
    leaves = ALONE in curves and curves[ALONE].y[-1] < axes.get_ylim()[0]
    looks = {
        BALANCE: Look(GREEN, f"equilibrium ± {100 * told['tolerance']:g} %", dashes=(0, (6, 1.5, 1, 1.5))),
        NORM: Look(BLUE, "squared norm"),
        ALONE: Look(BLACK, "" if leaves else "decay alone", dashes=_DASHED),
    }
    shown = {name: _down_to(curves[name], axes.get_ylim()[0]) for name in looks if name in curves}
    drawn += draw_curves(axes, list(shown.values()), looks)
    if leaves:  # where the line leaves the axes, not at the right edge
        place = (float(shown[ALONE].x[-1]), float(shown[ALONE].y[-1]))
        drawn.append(axes.annotate("decay alone", place, xytext=(4, 4), textcoords="offset points", fontsize=6.5))
    if axes.get_yscale() == "log":
        plain_ticks(axes)
    if ARRIVAL in curves and told["arrival"]:
        drawn += _moment(axes, told["arrival"], f"in equilibrium at epoch {number(told['arrival'])}", BLUE)
    if axes.get_xlim()[1] > 1.001 * told["end"]:
        drawn += _moment(axes, told["end"], f"end of the run, epoch {told['epochs']}", "0.35")
    axes.set_ylabel("squared norm (weight²)")
    return drawn


def _down_to(curve: Curve, low: float) -> Curve:
    """Return a curve up to its last point above a height: labels of points far outside would push the panels apart."""
    inside = np.flatnonzero(curve.y >= low)
    end = 1 + int(inside[-1]) if inside.size else 1
    return replace(curve, x=curve.x[:end], y=np.maximum(curve.y[:end], low / 2))


def _moment(axes: Axes, epoch: float, words: str, colour: str) -> list[Artist]:
    """Mark an epoch with a thin line and words on the side where there is room."""
    line = axes.axvline(epoch, color=colour, linewidth=0.6, linestyle=(0, (1, 1.5)), zorder=1)
    left = epoch > 0.5 * axes.get_xlim()[1]
    text = axes.annotate(
        words,
        (epoch, 1),
        xycoords=axes.get_xaxis_transform(),
        xytext=(-3 if left else 3, -2),
        textcoords="offset points",
        ha="right" if left else "left",
        va="top",
        fontsize=6.5,
        color=colour,
    )
    return [line, text]
