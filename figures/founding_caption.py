"""Say in words what the founding question's figure shows: caption, alternative text, and the answers to the claims."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InvalidInput
from ..theory import derive
from ..theory.claims import ALMOST_ENTIRELY, AROUND
from ..validate import Comparison, Curve, Report
from .captions import number
from .comparison_table import with_error

__all__ = ["ALT", "BUDGETS", "CAPTION", "LINEAR", "LONG", "LOSS", "NOISE", "PULL", "facts", "widths_of"]

ALMOST = 1 / ALMOST_ENTIRELY
"""Claim 1 says "almost entirely": pull and noise together stay under this share of the loss to decay. A layer follows
claim 2 if the logarithm of what epoch 1 leaves of its size is within the same share of the claimed one."""
N_ERRORS = 2.0
"""An answer stands if it stays the same within so many standard errors."""

CAPTION = """
The network of the book's chapter 3 [@nielsen2015] with {{ hidden }} sigmoid units on {{ data.name }}
({{ data.n_train }} training images, pixels k/{{ (1 / data.pixel_scale) | number }}), η = {{ eta | given }},
λ = {{ lmbda | given }}, m = {{ batch_size }}, {{ epochs }} epochs from N(0, 1); means over {{ n_seeds }} seeds with
standard errors.
(a) Variance of the weights: markers, trained; lines, pulls and noise of all mini-batches added up; black, decay alone
{%- if has_dead %} and weights of pixels that are zero in every image{% endif %}
{%- if norms_z is not none %}; diamonds, the student's numbers, whose norms lie within {{ norms_z | number(2) }}
standard deviations of the seeds' means{% endif %}.
(b, c) What decay takes from a layer, and what the data's pull and gradient noise give (linear below
{{ linear | given }}, logarithmic above).
(d) Rms weight of layer 2 from the old start and the new one, N(0, 1/fan_in) [@glorot2010], and
(e) validation accuracy, with {{ widths | join(" and ") }} hidden neurons ({{ n_example_seeds }} seeds).
{% if long %}(f) Squared norms over {{ long.epochs }} epochs ({{ n_long_seeds }} seeds), decay alone (dashed), and where
decay, pull and noise of that epoch balance (lines); (g, h) their budgets.{% endif %}
{% if lmbda %}Claim 1, decay dominates the first epochs almost entirely: {{ answers(claim_1) }}.
Claim 2, weights decay by exp(−ηλ/m) = {{ factor | number(4) }} per epoch: true of what decay does
{%- if dead %}, for weights without gradient follow it within {{ dead.error | number(2) }}{% endif %};
{{ follows(claim_2) }}.
Claim 3, the decay tails off around 1/√n_weights (of the network): {{ answers(claim_3) }}.
{% else %}Without weight decay the three claims have nothing to say.{% endif %}
{% if long %}By epoch {{ long.epochs }} the squared norms are {{ long.norms | join(" and ") }}: the decay tails off
where pull and noise balance it, at {{ long.factors | join(" and ") }} times 1/√n_weights.{% endif %}
"""

ALT = """
{{ "Eight" if long else "Five" }} panels. In the first, on a logarithmic scale over {{ epochs }} epochs, the variance of
layer 2 goes from {{ variance[2].start | number }} to {{ variance[2].end | number(2) }} and that of layer 3 from
{{ variance[3].start | number }} to {{ variance[3].end | number }}; decay alone would leave
{{ variance[2].floor | number(2) }}. The next two show what each layer loses to decay and gains by pull and noise
{%- if lmbda %}: in epoch 1 layer 2 gains {{ share[2] | percent }} of what it loses, layer 3
{{ share[3] | percent }}; at the end {{ last_share[2] | percent }} and {{ last_share[3] | percent }}{% endif %}.
The fourth shows the root mean square weight of layer 2 above the lines 1/√fan_in and 1/√n_weights from the old and the
new start, the fifth the validation accuracy, which ends at {{ accuracies | join(", ") }}.
{% if long %}The last three follow squared norms and budgets over {{ long.epochs }} epochs until gain and loss
meet.{% endif %}
"""

BUDGETS = {2: "budget of layer 2", 3: "budget of layer 3"}
LOSS, PULL, NOISE = "loss to decay", "gain by pull", "gain by noise"
LONG = ", long run"
LINEAR = 0.1
"""Budgets are drawn linearly below this, since a pull may be negative, and logarithmically above."""


def facts(report: Report) -> dict[str, Any]:
    """Return what caption, alternative text and panel titles say, by name.

    Parameters
    ----------
    report : Report
        Of the experiment `founding-question`.

    Returns
    -------
    dict
        Numbers and answers, each from the report's comparisons, curves and provenance.

    Raises
    ------
    InvalidInput
        If the report lacks a comparison or curve that this figure tells of.
    """
    told = dict(report.provenance["parameters"])
    told["data"], told["linear"] = report.provenance["data"], LINEAR
    shares = {layer: report.comparison(f"claim 1 layer {layer}") for layer in (2, 3)}
    floors = {layer: report.comparison(f"variance layer {layer}") for layer in (2, 3)}
    variance = {layer: _curve(report, "variance", f"layer {layer}, trained").y for layer in (2, 3)}
    dead = [found for found in report.comparisons if found.key == "claim 2"]  # none if no pixel is dead
    norms = [c.measured for c in report.comparisons if c.key.startswith("student") and c.tolerance is not None]
    accuracies = [curve for curve in report.curves if curve.panel == "accuracy"]
    told |= _claims(report) if told["lmbda"] else {}
    told |= {
        "has_dead": any(curve.panel == "variance" and "dead" in curve.name for curve in report.curves),
        "norms_z": max(map(abs, norms), default=None),
        "dead": {"error": abs(dead[0].ratio - 1)} if dead else None,
        "share": {layer: found.ratio for layer, found in shares.items()},
        "last_share": {layer: report.comparison(f"last epoch layer {layer}").ratio for layer in (2, 3)},
        "variance": {
            layer: {"start": values[0], "end": values[-1], "floor": floors[layer].predicted}
            for layer, values in variance.items()
        },
        "widths": widths_of(accuracies),
        "accuracies": [f"{number(curve.y[-1], 4)} % ({curve.name})" for curve in accuracies],
        "answers": _answers,
        "follows": _follows,
        "long": _long_facts(report),
    }
    return told


def _claims(report: Report) -> dict[str, Any]:
    """Return answer, place and margin of each claim, layer by layer."""
    told, data = report.provenance["parameters"], report.provenance["data"]
    shares = {layer: report.comparison(f"claim 1 layer {layer}") for layer in (2, 3)}
    sizes = {layer: report.comparison(f"claim 3 layer {layer}") for layer in (2, 3)}
    needed = {layer: report.comparison(f"claim 3, epochs layer {layer}").predicted for layer in (2, 3)}
    variance = {layer: _curve(report, "variance", f"layer {layer}, trained").y for layer in (2, 3)}
    growth = {layer: math.sqrt(values[1] / values[0]) for layer, values in variance.items()}
    rates = {"lr": told["eta"], "weight_decay": told["weight_decay"]}
    counts = {"n_train": data["n_train"], "batch_size": told["batch_size"]}
    factor = float(derive("decay-per-epoch").numeric("factor_exponential", **rates, **counts))
    return {
        "factor": factor,
        "claim_1": {
            layer: (
                _verdict(found.ratio, _relative_error(found), -ALMOST, ALMOST),
                f"layer {layer}",
                f"pull and noise give {with_error(100 * found.ratio, 100 * _relative_error(found))} % of what decay "
                "takes in epoch 1",
            )
            for layer, found in shares.items()
        },
        "claim_2": {
            layer: (
                _verdict(math.log(value) / math.log(factor), 0.0, 1 - ALMOST, 1 + ALMOST),
                f"layer {layer}",
                f"epoch 1 leaves {number(value, 4)} of its size",
            )
            for layer, value in growth.items()
        },
        "claim_3": {
            layer: (
                _verdict(found.ratio, _relative_error(found), 1 / AROUND, AROUND),
                f"layer {layer} after {told['epochs']} epochs",
                f"rms weight {number(found.ratio, 2)} times that; decay alone needs "
                f"{number(round(needed[layer]), 3)} epochs",
            )
            for layer, found in sizes.items()
        },
    }


def _long_facts(report: Report) -> dict[str, Any] | None:
    """Return where the long run ends: averages over its last fifth."""
    if not any(curve.panel == "tail-off" for curve in report.curves):
        return None
    norms, factors, share = {}, {}, {}
    for layer, panel in BUDGETS.items():
        trained = _curve(report, "tail-off", f"layer {layer}, trained")
        norms[layer] = _at_end(trained)
        weight = report.comparison(f"own size layer {layer}").predicted  # 1/sqrt(its n_weights)
        claimed = report.comparison(f"claim 3 layer {layer}").predicted
        factors[layer] = math.sqrt(norms[layer]) * weight / claimed
        loss, pull, noise = (
            _at_end(_curve(report, panel + LONG, f"layer {layer}, {name}{LONG}")) for name in (LOSS, PULL, NOISE)
        )
        share[layer] = (pull + noise) / loss if loss else math.nan
    return {
        "epochs": int(trained.x[-1]),
        "rounded": [number(norm, 4) for norm in norms.values()],
        "norms": [f"{number(norm, 4)} (layer {layer})" for layer, norm in norms.items()],
        "factors": [number(factor, 2) for factor in factors.values()],
        "share": share,
    }


def _at_end(curve: Curve) -> float:
    return float(curve.y[curve.x > 0.8 * curve.x[-1]].mean())


def _relative_error(found: Comparison) -> float:
    """Return the standard error of a comparison's ratio; zero if it has none."""
    return 0.0 if found.standard_error is None else found.standard_error / abs(found.predicted)


def _verdict(value: float, error: float, low: float, high: float) -> str:
    """Return whether a value lies between two bounds, as far as its error lets one say."""
    spread = N_ERRORS * error
    if low < value - spread and value + spread < high:
        return "true"
    return "false" if value + spread < low or value - spread > high else "undecided"


def _answers(claim: Mapping[int, tuple[str, str, str]]) -> str:
    """Return a claim's answers, layer by layer, each with its margin."""
    return "; ".join(f"{verdict} for {where} ({margin})" for verdict, where, margin in claim.values())


def _follows(claim: Mapping[int, tuple[str, str, str]]) -> str:
    """Return which layers follow a claim about what decay does, each with its margin."""
    words = {"true": "follows it", "false": "does not follow it", "undecided": "may follow it"}
    return "; ".join(f"{where} {words[verdict]} ({margin})" for verdict, where, margin in claim.values())


def _curve(report: Report, panel: str, name: str) -> Curve:
    for curve in report.curves:
        if (curve.panel, curve.name) == (panel, name):
            return curve
    raise InvalidInput(f"the report has no curve {name!r} in the panel {panel!r}, which the figure draws")


def widths_of(curves: Sequence[Curve]) -> list[int]:
    """Return the numbers of hidden neurons with which the names of the measured examples begin."""
    return sorted({int(curve.name.split()[0]) for curve in curves if curve.kind == "experiment"})
