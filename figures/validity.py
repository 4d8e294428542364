"""Draw where leading formulas fail: by decay per step, by momentum, in reshuffled epochs, and in number formats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from ..validate import Curve, Report, run
from .drawing import BLACK, BLUE, GREEN, ORANGE, VERMILLION, Look, _ink, draw_curves, label_panel, narrow
from .powers import power_of_ten

__all__ = ["ALT", "CAPTION", "EXPERIMENT", "ID", "REFERENCES", "TITLE", "compute", "draw", "facts"]

ID = EXPERIMENT = "validity"
TITLE = "Where the leading formulas for norm and rotation fail"
REFERENCES = ("wan2020", "kosson2023")

CAPTION = """
What is left of the leading formulas beyond small decay, for a normalized layer. (a) Squared norm at given gradients and
(b) angular update, exact (lines) and of networks that learn {{ data.name }} (markers), over the leading formula, L2
regularization, momentum {{ momentum | given }}. At lr·weight_decay = {{ most | given }} the networks are at
{{ norm["SGD"].leading | number(4) }} (SGD) and {{ norm["heavy ball"].leading | number(4) }} (heavy ball) of the leading
norm, and at {{ norm["SGD"].exact | number(4) }} and {{ norm["heavy ball"].exact | number(4) }} of the exact one
[@wan2020]. Angles of networks leave both formulas earlier, since these take the norm for constant from step to step: at
{{ most | given }} they are {{ angle["SGD"] | number(3) }} (SGD) and {{ angle["heavy ball"] | number(3) }}
(heavy ball) of the exact ones. (c, d) The same for heavy ball at lr·weight_decay = {{ memory_decay | given }} against
the steps that the momentum remembers. With a momentum of {{ momentum | given }} the norm comes down to
{{ least | number(2) }} of its root mean square now and then, and a step turns small weights far. With coupled decay the
mean square hardly feels them; with decoupled decay and a momentum of {{ longest | given }} that of real gradients is
{{ decoupled.leading | number(3) }} of the leading and {{ decoupled.exact | number(3) }} of the exact value, which are
both for white gradients. (e) Squared norm over that of
white gradients of the same power at unit norm [@kosson2023], {{ lowest | number(2) }} to {{ highest | number(2) }}, for
batches drawn with replacement and reshuffled; reshuffling changes it by {{ changes | join(", ") }}. (f) Decay that
number formats do over the decay meant, where weights are multiplied by a factor: none at all up to
{% for floor in floors %}{{ floor.measured | number(3) }} ({{ floor.name }}){{ ", " if not loop.last }}{% endfor %}.
"""

ALT = """
Six panels. Norms follow the exact formula, which leaves the leading one above a decay per step of about 0.01: SGD has
{{ norm["SGD"].leading | number(3) }} of the leading norm at {{ most | given }}. Angles of networks leave both formulas.
Against the memory of the momentum, norms under coupled decay stay near the leading formula while those under decoupled
decay fall to {{ decoupled.leading | number(2) }} of it. Norms are {{ lowest | number(2) }} to
{{ highest | number(2) }} of those of white gradients, with little difference between batches that are drawn and
reshuffled ones. Number formats do no decay at all below
{% for floor in floors %}{{ floor.measured | number(2) }} ({{ floor.name }}){{ ", " if not loop.last }}{% endfor %}.
"""

_LINEAR = {
    "SGD": (BLUE, "o"),
    "heavy ball": (VERMILLION, "s"),
    "Nesterov": (GREEN, "^"),
    "averaged gradients": (BLACK, "D"),
}
_COUPLINGS = {"coupled": (VERMILLION, "s"), "decoupled": (BLUE, "o")}
_FORMATS = {"float32": (BLUE, "left", 0.65), "float16": (GREEN, "right", 0.15), "bfloat16": (ORANGE, "left", 0.4)}
_DRAWN = {"heavy ball": VERMILLION, "AdamW": BLUE}


def compute(**options: Any) -> Report:
    """Run the experiment; the options are those of `weightdecay.validate.run`."""
    return run(EXPERIMENT, **options)


def facts(report: Report) -> dict[str, Any]:
    """Return what caption and alternative text say."""
    told = report.provenance["parameters"]
    most, longest, memory_decay = max(told["decays_per_step"]), max(told["momenta"]), told["memory_decay_per_step"]

    def both(words: str) -> dict[str, float]:
        return {order: report.comparison(f"squared norm {order} {words}").ratio for order in ("leading", "exact")}

    changes, ratios = [], []
    for name in ("heavy ball", "AdamW"):
        for batch_size in sorted(told["batch_sizes"].values()):
            reshuffled, drawn = (
                report.comparison(f"{sampling} {name} batch {batch_size}").measured
                for sampling in ("reshuffled", "with_replacement")
            )
            ratios += [reshuffled, drawn]
            steps = -(-report.provenance["data"]["n_train"] // batch_size)
            change = f"{100 * (reshuffled / drawn - 1):+.1f} %".replace("-", "−")
            changes.append(f"{change} ({name}, {steps} steps in an epoch)")
    return {
        "data": report.provenance["data"],
        "momentum": told["momentum"],
        "most": most,
        "longest": longest,
        "memory_decay": memory_decay,
        "norm": {
            "SGD": both(f"SGD at {most:g}"),
            "heavy ball": both(f"heavy ball {told['momentum']:g} at {most:g}"),
        },
        "angle": {
            name: report.comparison(f"angular update exact {words} at {most:g}").ratio
            for name, words in (("SGD", "SGD"), ("heavy ball", f"heavy ball {told['momentum']:g}"))
        },
        "least": report.comparison(f"least norm heavy ball {told['momentum']:g} at {memory_decay:g}").measured,
        "lowest": min(ratios),
        "highest": max(ratios),
        "decoupled": both(f"heavy ball {longest:g}, decoupled at {memory_decay:g}"),
        "changes": changes,
        "floors": [{"name": name, "measured": report.comparison(f"floor {name}").measured} for name in _FORMATS],
    }


def draw(report: Report, figure: Figure) -> list[Artist]:
    """Draw the figure.

    Parameters
    ----------
    report : Report
        Of the experiment `validity`.
    figure : Figure
        Empty figure in the style of the package, as wide as it is to be; the height is set here.

    Returns
    -------
    list of Artist
        Curves and labels, panel by panel.
    """
    slim = narrow(figure)
    figure.set_figheight(figure.get_figwidth() * (2.65 if slim else 0.95))
    axes = figure.subplot_mosaic("a\nb\nc\nd\ne\nf" if slim else "ab\ncd\nef")
    artists: list[Artist] = []
    for letter, quantity in (("a", "squared norm"), ("b", "angular update")):
        artists += _draw_decay(axes[letter], _panel(report, f"{quantity} by decay"))
        axes[letter].set_ylabel(f"{quantity.split()[1] if quantity[0] == 's' else 'angle'} / leading")
    for letter, quantity in (("c", "squared norm"), ("d", "angular update")):
        artists += _draw_momentum(axes[letter], _panel(report, f"{quantity} by momentum"))
        axes[letter].set_ylabel(f"{quantity.split()[1] if quantity[0] == 's' else 'angle'} / leading")
    artists += _draw_epochs(axes["e"], _panel(report, "epochs"))
    artists += _draw_formats(axes["f"], _panel(report, "formats"), facts(report)["floors"])
    titles = {
        "a": "Norm: leading formulas fail above 0.01",
        "b": "Angle: fluctuating norms end both formulas",
        "c": "Norm: decoupled decay feels the momentum",
        "d": "Angle: dips of the norm turn weights far",
        "e": "Correlations matter, reshuffling little",
        "f": "Small decay is rounded away",
    }
    for letter, title in titles.items():
        label_panel(axes[letter], letter, title)
    return artists


def _panel(report: Report, name: str) -> dict[str, Curve]:
    return {curve.name: curve for curve in report.curves if curve.panel == name}


def _logarithmic(axes: Axes, ticks: tuple[float, ...]) -> None:
    """Give the x axis decades that are printed no smaller than text may be."""
    axes.set_xscale("log")
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.axhline(1, color="0.6", linewidth=0.5, zorder=0)


def _draw_decay(axes: Axes, curves: Mapping[str, Curve]) -> list[Artist]:
    looks = {}
    for name, (colour, marker) in _LINEAR.items():
        looks[name] = Look(colour, name)
        looks[f"{name}, trained"] = Look(colour, marker=marker)
    _logarithmic(axes, (0.0001, 0.001, 0.01, 0.1))
    axes.set_xlabel("lr·weight_decay")
    return draw_curves(axes, list(curves.values()), looks)


def _draw_momentum(axes: Axes, curves: Mapping[str, Curve]) -> list[Artist]:
    looks = {}
    for name, (colour, marker) in _COUPLINGS.items():
        looks[name] = Look(colour, name)
        looks[f"{name}, trained"] = Look(colour, marker=marker)
    _logarithmic(axes, (1, 3, 10, 30, 100))
    axes.set_xlabel("1/(1 − momentum) (steps)")
    return draw_curves(axes, list(curves.values()), looks)


def _draw_epochs(axes: Axes, curves: Mapping[str, Curve]) -> list[Artist]:
    looks = {}
    for name, colour in _DRAWN.items():
        looks[f"{name}, with replacement"] = Look(colour, f"{name}, drawn", marker="o")
        looks[f"{name}, reshuffled"] = Look(colour, f"{name}, reshuffled", marker="o", filled=False)
    lengths = sorted({float(x) for curve in curves.values() for x in curve.x})
    _logarithmic(axes, tuple(lengths))
    axes.set_xlim(lengths[0] / 1.5, lengths[-1] * 1.5)
    axes.set_xlabel("length of an epoch × lr·weight_decay")
    axes.set_ylabel("norm / white")
    return draw_curves(axes, list(curves.values()), looks)


def _draw_formats(axes: Axes, curves: Mapping[str, Curve], floors: list[dict[str, Any]]) -> list[Artist]:
    looks = {name: Look(colour) for name, (colour, *_) in _FORMATS.items()}
    _logarithmic(axes, (1e-8, 1e-6, 1e-4, 1e-2))
    artists = draw_curves(axes, list(curves.values()), looks)
    for line in artists:
        line.set(linewidth=1.1)
    axes.set_xlim(1e-10, 20)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    for floor in floors:
        colour, side, height = _FORMATS[floor["name"]]
        artists.append(
            axes.annotate(
                floor["name"],
                (floor["measured"] * (2 if side == "left" else 1), height),
                xytext=(4 if side == "left" else -4, 0),
                textcoords="offset points",
                ha=side,
                va="center",
                fontsize=6.5,
                color=_ink(colour),
            )
        )
    axes.set_xlabel("decay per step")
    axes.set_ylabel("done / meant")
    return artists
