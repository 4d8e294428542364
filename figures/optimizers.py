"""Draw where weights settle under every optimizer with a theory: random walks beside exact and leading formulas.

Panels: squared norm, and angle of a step, both as ratios to the exact theory. It needs no data set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .. import theory
from ..errors import check_choice
from ..simulate import Adam, Lion, Muon, RMSprop, SignSGD, WhiteGradients, filtered_gradient, walk
from ..validate import Comparison, Curve, Report, provenance
from .drawing import BLACK, BLUE, VERMILLION, _ink, label_panel, narrow

__all__ = ["ALT", "CAPTION", "EXPERIMENT", "ID", "REFERENCES", "TITLE", "compute", "draw", "facts"]

ID = EXPERIMENT = "optimizers"
TITLE = "Where weights settle and how fast they turn under every optimizer"
REFERENCES = ("kosson2023", "wan2020")

CAPTION = """
Equilibrium of weights on random gradients under {{ n_rows }} optimizers, as ratios to the exact theory: (a) squared
norm, (b) root-mean-square angle of a step. Markers, {{ n_replicas }} random walks of {{ n_weights }} weights (Muon:
{{ muon_shape }}) with standard errors; ticks, the theory to leading order in ηλ [@wan2020; @kosson2023]; circles
and thin ticks at ηλ = {{ small | given }}, squares and thick ticks at {{ large | given }}. The walks are within
{{ worst_errors | number(2) }} standard errors of the exact theory, and {{ worst | percent }}; the leading order is off
by up to {{ off_small | percent }} at ηλ = {{ small | given }} and {{ off_large | percent }} at {{ large | given }}
({{ off_name }}). L2: decay in the gradient; otherwise the weights are multiplied by
1 − ηλ.
"""

ALT = """
Two panels with one row for each of {{ n_rows }} optimizers. The measured squared norms and angles lie on a vertical
line at ratio 1 to the exact theory, within {{ worst | percent }}; marks of the theory to leading order lie off it, by
up to {{ off_large | percent }}.
"""

QUOTED = "norm_squared AdamW 0.1"

LR = 0.1
EPS = (0.01, 0.1)
"""Learning rate times weight decay: where the leading order serves, and where it does not."""
N_WEIGHTS, MUON_SHAPE, N_REPLICAS = 500, (20, 25), 16
N_STEPS = {"quick": {0.01: 2500, 0.1: 1000}, "full": {0.01: 20_000, 0.1: 8000}}
"""Steps measured: at ηλ = 0.01 fifty times the memory of the squared norm, 1 / (2 ηλ)."""
MUON_SHARE = 4
"""Muon takes that many times fewer: its steps are singular value decompositions, and its norm hardly fluctuates."""
STANDARD_ERRORS = 5.0
REASON = (
    "five standard errors of 16 replicas, and one over the number of weights, by which the angle of a step differs "
    "from that of the mean cosine; with L2 a running mean of squares adds the order that the theory leaves out"
)
QUANTITIES = {"norm_squared": "squared norm", "angular_update": "angle of a step"}
LOOKS = {0.01: (BLUE, "o", "|", -0.17), 0.1: (VERMILLION, "s", "x", 0.17)}
"""Colour, marks of walks and of the leading order, and shift of each value of lr * weight_decay."""


@dataclass(frozen=True)
class Row:
    """One optimizer: its theory, what steps it, and its own hyperparameters."""

    name: str
    optimizer: Any
    coupling: str
    own: dict[str, Any] = field(default_factory=dict)
    rule: Any = None
    memory: float = 0.0
    """Coefficient of the slowest running mean, for the burn-in."""


MOMENTUM = {"momentum": 0.9}
BETAS = {"beta1": 0.9, "beta2": 0.95}
ROWS = (
    Row("SGD, L2", theory.SGD, "coupled"),
    Row("SGD", theory.SGD, "decoupled"),
    Row("heavy ball, L2", theory.HEAVY_BALL, "coupled", MOMENTUM | {"dampening": 0.0}, memory=0.9),
    Row("heavy ball", theory.HEAVY_BALL, "decoupled", MOMENTUM | {"dampening": 0.0}, memory=0.9),
    Row("Nesterov, L2", theory.NESTEROV, "coupled", MOMENTUM, memory=0.9),
    Row("Nesterov", theory.NESTEROV, "decoupled", MOMENTUM, memory=0.9),
    Row("running mean, L2", theory.EMA, "coupled", MOMENTUM, memory=0.9),
    Row("running mean", theory.EMA, "decoupled", MOMENTUM, memory=0.9),
    Row("sign descent, L2", theory.SIGN_SGD, "coupled", {}, SignSGD),
    Row("sign descent", theory.SIGN_SGD, "decoupled", {}, SignSGD),
    Row("Signum", theory.SIGNUM, "decoupled", MOMENTUM, SignSGD, 0.9),
    Row("Lion", theory.LION, "decoupled", BETAS, Lion, 0.95),
    Row("RMSprop, L2", theory.RMSPROP, "coupled", {"smoothing": 0.95}, RMSprop, 0.95),
    Row("RMSprop", theory.RMSPROP, "decoupled", {"smoothing": 0.95}, RMSprop, 0.95),
    Row("Adam (L2)", theory.ADAM, "coupled", BETAS, Adam, 0.95),
    Row("AdamW", theory.ADAM, "decoupled", BETAS, Adam, 0.95),
    Row("Muon", theory.MUON, "decoupled", MOMENTUM, Muon, 0.9),
)
"""Every optimizer of the theory, in each coupling that it knows."""


def compute(
    *,
    scale: str = "quick",
    n_jobs: int = 1,
    rng: int = 0,
    data: Any = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Report:
    """Let every optimizer walk on random gradients and compare with its equilibrium.

    Parameters
    ----------
    scale : {"quick", "full"}, optional
        How many steps.
    n_jobs : int, optional
        Not used: it takes half a minute.
    rng : int, optional
        Seed of the gradients.
    data : None, optional
        Not used: no data set is needed.
    progress : callable, optional
        Called as ``progress(done, total, what)``.

    Returns
    -------
    Report
        Squared norm and angle of a step for each optimizer at two values of lr * weight_decay, against the exact
        theory; curves over the optimizers, in the order of the provenance's "optimizers", as ratios to it.

    Raises
    ------
    InvalidInput
        If there is no such scale.
    """
    del n_jobs, data
    steps = N_STEPS[check_choice("scale", scale, N_STEPS)]
    comparisons = []
    ratios: dict[tuple[str, float, str], list[float]] = {}
    jobs = [(row, eps) for row in ROWS for eps in EPS]
    for done, (row, eps) in enumerate(jobs):
        if progress is not None:
            progress(done, len(jobs), "optimizers")
        exact, leading = (_equilibrium(row, eps, order) for order in ("exact", "leading"))
        found = _walk(row, eps, exact["norm_squared"], steps[eps], np.random.default_rng((rng, done)))
        for quantity, words in QUANTITIES.items():
            estimate, expected = getattr(found, quantity), exact[quantity]
            left_out = 1.0 / N_WEIGHTS
            if row.coupling == "coupled" and row.rule in (RMSprop, Adam):
                left_out += (1.0 - row.memory) * eps
            comparisons.append(
                Comparison(
                    f"{words}, {row.name}, at {eps:g}", "weight^2" if quantity == "norm_squared" else "rad",
                    expected, estimate.value, estimate.standard_error, "hyperparameters",
                    tolerance=STANDARD_ERRORS * estimate.standard_error + left_out * expected,
                    tolerance_kind="absolute", reason=REASON, key=f"{quantity} {row.name} {eps:g}",
                    error_over="independent walks",
                )
            )  # fmt: skip
            for name, value in (
                ("walk", estimate.value), ("error", estimate.standard_error), ("leading", leading[quantity])
            ):  # fmt: skip
                ratios.setdefault((quantity, eps, name), []).append(value / expected)
    if progress is not None:
        progress(len(jobs), len(jobs), "optimizers")
    told = {
        "optimizers": [row.name for row in ROWS], "lr": LR, "lr_times_weight_decay": list(EPS), "n_weights": N_WEIGHTS,
        "muon_shape": list(MUON_SHAPE), "n_replicas": N_REPLICAS, "n_steps": [steps[eps] for eps in EPS],
    }  # fmt: skip
    origin = provenance(experiment=EXPERIMENT, scale=scale, seed=rng, parameters=told, data=None)
    command = f"weightdecay figures {ID} --scale {scale} --seed {rng}"
    return Report(EXPERIMENT, tuple(comparisons), tuple(_curves(ratios)), origin | {"command": command})


def _equilibrium(row: Row, eps: float, order: str) -> dict[str, float]:
    """Return squared norm and angle from the theory; every weight's gradient has standard deviation 1."""
    found = theory.equilibrium(row.optimizer, coupling=row.coupling, order=order)
    values = {"lr": LR, "weight_decay": eps / LR, "gradient_power": float(N_WEIGHTS), "n_weights": N_WEIGHTS} | row.own
    values |= {"n_rows": MUON_SHAPE[0], "n_columns": MUON_SHAPE[1]}
    return {
        quantity: float(found.numeric(quantity, **{name: values[name] for name in found.arguments(quantity)}))
        for quantity in QUANTITIES
    }


def _walk(row: Row, eps: float, norm_squared: float, n_steps: int, rng: np.random.Generator) -> Any:
    hyperparameters: dict[str, Any] = {"weight_decay": eps / LR, "coupling": row.coupling} | row.own
    matrix = row.rule is Muon
    return walk(
        row.rule(LR, **hyperparameters) if row.rule else filtered_gradient(row.optimizer, LR, **hyperparameters),
        WhiteGradients(float(N_WEIGHTS)),
        n_weights=MUON_SHAPE if matrix else N_WEIGHTS,
        n_steps=n_steps // (MUON_SHARE if matrix else 1),
        n_replicas=N_REPLICAS,
        burn_in=round(5.0 / eps + 10.0 / (1.0 - row.memory)),  # from the norm expected on, so that e^-10 is left
        norm_squared_start=norm_squared,
        rng=rng,
    )


def _curves(ratios: dict[tuple[str, float, str], list[float]]) -> list[Curve]:
    places = np.arange(1.0, len(ROWS) + 1)
    curves = []
    for quantity, words in QUANTITIES.items():
        axes = ("optimizer", "1", f"{words} over the exact theory", "1")
        for eps in EPS:
            leading, walked, error = (np.array(ratios[quantity, eps, name]) for name in ("leading", "walk", "error"))
            curves.append(Curve(f"leading order, {eps:g}", words, "theory", places, leading, *axes))
            curves.append(Curve(f"walk, {eps:g}", words, "experiment", places, walked, *axes, standard_error=error))
    return curves


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
    told = report.provenance["parameters"]
    small, large = told["lr_times_weight_decay"]
    off = {
        eps: np.max([np.abs(curve.y - 1) for curve in report.curves if curve.name == f"leading order, {eps:g}"], axis=0)
        for eps in (small, large)
    }
    return {
        "n_rows": len(told["optimizers"]),
        "n_replicas": told["n_replicas"],
        "n_weights": told["n_weights"],
        "muon_shape": " × ".join(map(str, told["muon_shape"])),
        "small": small,
        "large": large,
        "worst": max(abs(part.ratio - 1) for part in report.comparisons),
        "worst_errors": max(
            abs(part.measured - part.predicted) / (part.standard_error or 1) for part in report.comparisons
        ),
        "off_small": float(off[small].max()),
        "off_large": float(off[large].max()),
        "off_name": told["optimizers"][int(off[large].argmax())],
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
        Marks of each panel.
    """
    names = report.provenance["parameters"]["optimizers"]
    stacked = narrow(figure)
    height = 0.7 + 0.16 * len(names)
    figure.set_figheight(2 * height if stacked else height)
    panels = figure.subplots(2, 1) if stacked else figure.subplots(1, 2, sharey=True)
    artists: list[Artist] = []
    for axes, letter, words in zip(panels, "ab", QUANTITIES.values(), strict=True):
        artists += _panel(axes, report, words)
        label_panel(axes, letter, f"{words.capitalize()}: walks on the exact theory")
        axes.set_yticks(range(1, len(names) + 1), names)
        axes.set_ylim(len(names) + 0.6, 0.4)
        axes.tick_params(axis="y", length=0, labelleft=stacked or axes is panels[0])
        axes.set_xlabel("ratio to the exact theory")
    artists += _key(panels[0])
    return artists


def _panel(axes: Axes, report: Report, words: str) -> list[Artist]:
    artists: list[Artist] = [axes.axvline(1.0, color=BLACK, linewidth=0.8, zorder=1)]
    curves = {curve.name: curve for curve in report.curves if curve.panel == words}
    for eps in report.provenance["parameters"]["lr_times_weight_decay"]:
        colour, marker, cross, shift = LOOKS[eps]
        leading, walked = curves[f"leading order, {eps:g}"], curves[f"walk, {eps:g}"]
        artists += axes.plot(
            leading.y, leading.x + shift, cross, color=colour, markersize=5, markeredgewidth=1.2, zorder=2
        )
        artists += axes.errorbar(
            walked.y, walked.x + shift, xerr=walked.standard_error, color=colour, linestyle="none", marker=marker,
            markersize=3, elinewidth=0.8, zorder=3,
        ).lines[:1]  # fmt: skip
    axes.grid(axis="y", color="0.92", linewidth=0.5)
    return artists


def _key(axes: Axes) -> list[Artist]:
    """Say in a corner what the marks are."""
    lines = (
        ("| × leading order in ηλ", BLACK),
        *((f"{glyph} walk, ηλ = {eps:g}", _ink(LOOKS[eps][0])) for glyph, eps in zip("■●", EPS[::-1], strict=True)),
    )
    return [
        axes.annotate(
            words,
            (0.98, 0.03),
            xycoords="axes fraction",
            xytext=(0, 8.5 * place),
            textcoords="offset points",
            ha="right",
            fontsize=6.5,
            color=colour,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )
        for place, (words, colour) in enumerate(lines)
    ]
