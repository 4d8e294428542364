"""Draw which decays leave weights at which depth: the phase diagram of homogeneous networks with one margin.

Lines are closed forms of the theory, markers simulated networks whose decay is raised until they collapse. It needs no
data set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from scipy.optimize import brentq

from ..errors import check_choice
from ..simulate import homogeneous_layers, solve
from ..theory import derive
from ..validate import Comparison, Curve, Report, provenance
from .captions import number, percent
from .drawing import BLACK, BLUE, VERMILLION, Look, draw_curves, narrow

__all__ = ["ALT", "CAPTION", "EXPERIMENT", "ID", "REFERENCES", "TITLE", "compute", "draw", "facts"]

ID = EXPERIMENT = "phase-diagram"
TITLE = "How much decay a network of a given depth survives"
REFERENCES = ("corless1996", "ziyinueda2022", "ziyin2022")

CAPTION = """
Phases of a homogeneous network whose examples share one margin, under the logistic loss: weight decay, in units of the
margin at unit norms to the power 2/depth, against the number of layers. Solid blue line, the fold
[@corless1996]: no weights survive above it. Dashed line: above it zero has the lower regularized loss, but weights that
are there stay. Two layers collapse continuously at {{ two | number(3) }} [@ziyinueda2022]; more jump, at
{% for depth, place in jumps %}{{ place | number(4) }} ({{ depth }} layers){{ ", " if not loop.last }}{% endfor %}, and
zero is stable at every decay [@ziyin2022]. Circles: simulated layers that start large, at the decay above which they
vanish; off the line by at most {{ worst | percent }}.
"""

ALT = """
Weight decay against depth. A line falls from {{ two | number(3) }} at two layers to {{ last | number(3) }} at
{{ deepest }}: above it all weights vanish. A dashed line below it marks where zero becomes the better state. Simulated
networks vanish on the first line, within {{ worst | percent }}.
"""

DEPTHS = (2, 3, 4, 5, 6, 8)
TOLERANCE = 0.01
REASON = "the bracket in which the simulated collapse is found is a tenth of that"
BRACKET = 1e-3
TIMES = 3000.0
"""Length of a simulation in time constants of decay: near a fold or threshold the fall takes its time."""
START, GONE = 4.0, 1e-3
FOLD, JUMP, SIMULATED = "fold", "zero is better", "simulated"
LAW = "one-margin-logistic"


def compute(
    *,
    scale: str = "quick",
    n_jobs: int = 1,
    rng: int = 0,
    data: Any = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Report:
    """Compute the lines of the phase diagram, and simulate networks up to their collapse.

    Parameters
    ----------
    scale : {"quick", "full"}, optional
        Not used beyond the check: it takes seconds.
    n_jobs, rng, data
        Not used: nothing is random, and no data set is needed.
    progress : callable, optional
        Called as ``progress(done, total, what)``.

    Returns
    -------
    Report
        One comparison for each simulated depth; lines of the fold and of equal loss.

    Examples
    --------
    >>> compute().comparison("collapse 3").passed
    True
    """
    del n_jobs, data
    check_choice("scale", scale, ("quick", "full"))
    names = ("layers of weights", "1", "weight decay / margin^(2/depth)", "1")
    depths = np.arange(DEPTHS[0], DEPTHS[-1] + 1)
    layers = depths.astype(float)
    folds = derive(LAW).numeric("decay_fold", depth=depths, margin=1.0)
    equal = np.array([_equal_loss(int(depth)) for depth in depths])
    comparisons, places = [], []
    for done, depth in enumerate(DEPTHS):
        if progress is not None:
            progress(done, len(DEPTHS), "depths")
        place = _collapse(depth)
        places.append(place)
        comparisons.append(
            Comparison(
                f"decay at which {depth} simulated layers collapse",
                "margin^(2/depth)",
                float(folds[depth - DEPTHS[0]]),
                place,
                None,
                "hyperparameters",
                tolerance=TOLERANCE,
                reason=REASON,
                key=f"collapse {depth}",
            )
        )
    if progress is not None:
        progress(len(DEPTHS), len(DEPTHS), "depths")
    curves = (
        Curve(FOLD, "phases", "theory", layers, folds, *names),
        Curve(JUMP, "phases", "theory", layers, equal, *names),
        Curve(SIMULATED, "phases", "experiment", np.array(DEPTHS, dtype=float), np.array(places), *names),
    )
    told = {"depths": DEPTHS, "start": START, "bracket": BRACKET, "times": TIMES}
    origin = provenance(experiment=EXPERIMENT, scale=scale, seed=rng, parameters=told, data=None)
    command = f"weightdecay figures {ID} --scale {scale} --seed {rng}"
    return Report(EXPERIMENT, tuple(comparisons), curves, origin | {"command": command})


def _equal_loss(depth: int) -> float:
    """Return the decay at which weights at rest and zero weights have the same regularized loss."""
    law = derive(LAW)
    if depth == DEPTHS[0]:  # two layers rest at one size alone: zero is better where it is the only one
        return float(law.numeric("decay_fold", depth=depth, margin=1.0))
    gap = law.function("transition_gap")
    fold = float(law.numeric("margin_fold", depth=depth))
    margin = brentq(lambda z: gap(depth, z), fold, 50.0)
    return float(law.numeric("decay_at_margin", depth=depth, margin=1.0, scaled_margin=margin))


def _collapse(depth: int) -> float:
    """Return the decay above which simulated layers that start large vanish, by halving a bracket."""
    low, high = 0.05, 1.0
    while high - low > BRACKET * low:
        decay = (low + high) / 2
        problem = homogeneous_layers(norms_squared_start=np.full(depth, START), weight_decay=decay, time=TIMES / decay)
        left = float(solve(problem, t_eval=[TIMES / decay]).y[..., -1, :].max())
        low, high = (decay, high) if left > GONE else (low, decay)
    return (low + high) / 2


def facts(report: Report) -> dict[str, Any]:
    """Return what caption and alternative text say."""
    found = [report.comparison(f"collapse {depth}") for depth in DEPTHS]
    return {
        "two": found[0].predicted,
        "jumps": [(depth, each.predicted) for depth, each in zip(DEPTHS[1:], found[1:], strict=True)],
        "last": found[-1].predicted,
        "deepest": DEPTHS[-1],
        "worst": max(abs(each.ratio - 1) for each in found),
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
        Curves, then labels.
    """
    told = facts(report)
    figure.set_figheight(figure.get_figwidth() * (0.85 if narrow(figure) else 0.5))
    axes = figure.subplots()
    curves = {curve.name: curve for curve in report.curves}
    fold, equal = curves[FOLD], curves[JUMP]
    axes.set_xlim(DEPTHS[0], DEPTHS[-1])
    axes.set_ylim(0, 0.6)
    axes.fill_between(fold.x, fold.y, 0.6, color="0.92", linewidth=0, zorder=0)
    axes.fill_between(fold.x, equal.y, fold.y, color=BLUE, alpha=0.15, linewidth=0, zorder=0)
    looks = {FOLD: Look(BLUE), JUMP: Look(BLACK, dashes=(0, (4, 2))), SIMULATED: Look(VERMILLION)}
    artists = draw_curves(axes, list(curves.values()), looks)
    artists[2].set_clip_on(False)
    middle = (DEPTHS[0] + DEPTHS[-1]) / 2
    inside = float(fold.y[-1] + equal.y[-1]) / 2
    for words, x, y in (
        ("all weights vanish", middle, 0.45),
        ("weights stay, though zero is better", 6.3, inside + 0.02),
        ("weights survive", middle, 0.07),
    ):
        artists.append(axes.text(x, y, words, ha="center", va="center", fontsize=6.5))
    artists.append(
        axes.annotate(
            f"continuous at {number(told['two'], 2)}",
            (2, told["two"]),
            xytext=(6, 2),
            textcoords="offset points",
            va="bottom",
            fontsize=6.5,
        )
    )
    axes.set_xticks(range(DEPTHS[0], DEPTHS[-1] + 1))
    axes.set_xlabel("layers of weights")
    axes.set_ylabel("weight decay / margin^(2/depth)")
    axes.set_title(f"Simulated layers collapse within {percent(told['worst'], 1)} of theory", pad=5)
    return artists
