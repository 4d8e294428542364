"""Draw by how much each integrator misses as its steps get shorter, beside the order that it declares.

Panels: the strong error along paths with a known solution, and the bias of the mean. It needs no data set.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..errors import check_choice
from ..simulate import SCHEMES, brownian_paths, geometric_brownian_motion, solve
from ..validate import Comparison, Curve, Report, provenance
from .drawing import BLUE, GREEN, VERMILLION, Look, draw_curves, label_panel, narrow, plain_ticks

__all__ = ["ALT", "CAPTION", "EXPERIMENT", "ID", "REFERENCES", "TITLE", "compute", "draw", "facts"]

ID = EXPERIMENT = "convergence"
TITLE = "Each integrator converges at the order that it declares"
REFERENCES = ("kloeden1992", "rossler2010")

CAPTION = """
Error of {{ n_methods }} integrators against the length of their steps, on geometric Brownian motion with growth
{{ growth | given }} and volatility {{ volatility | given }} (a), {{ weak_volatility | given }} (b) [@kloeden1992].
Markers, measured over {{ n_paths }} paths with common Brownian increments, with standard errors; lines, the declared
order through the shortest step. (a) Mean distance from the exact solution at the end: measured orders
{{ strong_words }}. (b) Bias of the mean: measured orders {{ weak_words }}. The Runge-Kutta method is Rößler's
[@rossler2010].
"""

ALT = """
Two panels with logarithmic axes: error against length of the step. In the first the errors of Euler-Maruyama, Milstein
and a Runge-Kutta method fall with measured orders {{ strong_words }}; in the second their biases fall with
{{ weak_words }}. The measured points lie on lines of the declared orders.
"""

GROWTH, VOLATILITY, WEAK_VOLATILITY = -1.0, 0.8, 0.2
"""In the second panel the noise is weak, so that it does not drown the bias."""
FINEST = {"strong": 2048, "weak": 128}
COARSENED = {"strong": (2, 4, 8, 16, 32), "weak": (2, 4, 8, 16, 32)}
"""The longest steps are 1/64 and 1/4: with longer ones the error of the next order still shows."""
N_PATHS = {"quick": {"strong": 500, "weak": 2**15}, "full": {"strong": 2000, "weak": 2**16}}
TOLERANCES = {"strong": 0.1, "weak": 0.2}
REASON = "the width within which a slope over five steps is taken for the declared order"
NAMES = {"euler": "Euler-Maruyama", "milstein": "Milstein", "srk15": "Runge-Kutta"}
PANELS = {"strong": "strong error", "weak": "bias of the mean"}
LOOKS = {"euler": (BLUE, "o"), "milstein": (VERMILLION, "s"), "srk15": (GREEN, "^")}


def compute(
    *,
    scale: str = "quick",
    n_jobs: int = 1,
    rng: int = 0,
    data: Any = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Report:
    """Measure the strong and weak orders of all integrators.

    Parameters
    ----------
    scale : {"quick", "full"}, optional
        How many paths.
    n_jobs : int, optional
        Not used: it takes seconds.
    rng : int, optional
        Seed of the Brownian paths.
    data : None, optional
        Not used: no data set is needed.
    progress : callable, optional
        Called as ``progress(done, total, what)``.

    Returns
    -------
    Report
        One comparison of orders, and one row of markers with its line, for each method and kind of error.

    Examples
    --------
    >>> round(compute().comparison("strong euler").measured, 1)
    0.5
    """
    del n_jobs, data
    counts = N_PATHS[check_choice("scale", scale, N_PATHS)]
    comparisons, curves = [], []
    jobs = [(kind, method) for kind in PANELS for method in SCHEMES]
    for done, (kind, method) in enumerate(jobs):
        if progress is not None:
            progress(done, len(jobs), "integrators")
        steps, errors, spread = _errors(kind, method, counts[kind], rng)
        declared = SCHEMES[method].strong_order["diagonal"] if kind == "strong" else SCHEMES[method].weak_order
        slope = float(np.polyfit(np.log(steps), np.log(errors), 1)[0])
        comparisons.append(
            Comparison(
                f"{kind} order of {NAMES[method]}", "1", declared, slope, None, "nothing",
                tolerance=TOLERANCES[kind], tolerance_kind="absolute", reason=REASON, key=f"{kind} {method}",
            )
        )  # fmt: skip
        axes = ("length of a step", "1", PANELS[kind], "1")
        line = errors[0] * (steps / steps[0]) ** declared
        curves.append(Curve(f"order {declared:g}, {NAMES[method]}", PANELS[kind], "theory", steps, line, *axes))
        curves.append(Curve(NAMES[method], PANELS[kind], "experiment", steps, errors, *axes, standard_error=spread))
    if progress is not None:
        progress(len(jobs), len(jobs), "integrators")
    told = {"growth": GROWTH, "volatility": VOLATILITY, "weak_volatility": WEAK_VOLATILITY, "n_paths": counts}
    origin = provenance(experiment=EXPERIMENT, scale=scale, seed=rng, parameters=told, data=None)
    command = f"weightdecay figures {ID} --scale {scale} --seed {rng}"
    return Report(EXPERIMENT, tuple(comparisons), tuple(curves), origin | {"command": command})


def _errors(kind: str, method: str, n_paths: int, rng: int) -> tuple[Any, Any, Any]:
    """Return steps, errors and their standard errors, from the shortest step on."""
    volatility = VOLATILITY if kind == "strong" else WEAK_VOLATILITY
    problem = geometric_brownian_motion(growth=GROWTH, volatility=volatility, y0=1.0, t_span=(0.0, 1.0))
    fine = brownian_paths(n_paths, FINEST[kind], 1.0 / FINEST[kind], rng=rng)
    assert problem.exact is not None
    exact = problem.exact(1.0, fine.at_steps()[:, -1])
    steps, errors, spread = [], [], []
    for factor in COARSENED[kind]:
        paths = fine.coarsened(factor)
        miss = solve(problem, method=method, dW=paths).y[:, 0] - exact
        off = np.abs(miss) if kind == "strong" else miss
        steps.append(paths.dt)
        errors.append(abs(float(off.mean())))
        spread.append(float(off.std(ddof=1)) / math.sqrt(n_paths))
    return np.array(steps), np.array(errors), np.array(spread)


def facts(report: Report) -> dict[str, Any]:
    """Return what caption and alternative text say.

    Parameters
    ----------
    report : Report
        From `compute`.

    Returns
    -------
    dict
        Numbers and words, each from the report.
    """
    told = dict(report.provenance["parameters"])
    words = {
        f"{kind}_words": ", ".join(
            f"{report.comparison(f'{kind} {method}').measured:.2f} ({NAMES[method]})" for method in SCHEMES
        )
        for kind in PANELS
    }
    counts = told.pop("n_paths")
    return told | words | {"n_paths": f"{counts['strong']} (a) and {counts['weak']} (b)", "n_methods": len(SCHEMES)}


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
    stacked = narrow(figure)
    figure.set_figheight(figure.get_figwidth() * (1.5 if stacked else 0.4))
    panels = figure.subplots(2, 1) if stacked else figure.subplots(1, 2)
    artists: list[Artist] = []
    for axes, letter, (kind, panel) in zip(panels, "ab", PANELS.items(), strict=True):
        artists += _panel(axes, letter, report, kind, panel)
    return artists


def _panel(axes: Axes, letter: str, report: Report, kind: str, panel: str) -> list[Artist]:
    looks = {}
    for method, (colour, marker) in LOOKS.items():
        order = report.comparison(f"{kind} {method}").measured
        looks[NAMES[method]] = Look(colour, f"{NAMES[method]}: {order:.2f}", marker)
        looks |= {c.name: Look(colour) for c in report.curves if c.name.endswith(f", {NAMES[method]}")}
    curves = [curve for curve in report.curves if curve.panel == panel]
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    inverse = [round(1 / step) for step in curves[0].x]
    axes.set_xticks(curves[0].x, [f"1/{count}" for count in inverse])
    axes.set_xlabel("length of a step (span of time)")
    axes.set_ylabel("mean distance from exact" if kind == "strong" else "bias of the mean")
    label_panel(axes, letter, "Along paths, measured order" if kind == "strong" else "Of the mean, measured order")
    artists = draw_curves(axes, curves, looks)
    plain_ticks(axes)
    return artists
