"""The README's table of the founding question without training, every number from the committed figure."""

from __future__ import annotations

import textwrap
from pathlib import Path

from weightdecay import figures
from weightdecay.figures.captions import number

STEM = Path(__file__).parent.parent / "figures" / "gallery" / "without-training"
COLUMNS = ("epoch", "layer 2, predicted", "trained", "off by", "layer 3, predicted", "trained", "off by")


def without_training() -> str:
    """Return how far the moments of the data come, and how far off they are on Gaussian classes."""
    report = figures.load(f"{STEM}.csv", f"{STEM}.json")
    told = report.provenance["parameters"]
    epochs = [epoch for epoch in (1, 5, 10, 20, 30) if epoch <= told["epochs"]]
    rows = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    n_inside = 0
    for epoch in epochs:
        cells = [str(epoch)]
        for layer in (2, 3):
            found = report.comparison(f"variance layer {layer} epoch {epoch}")
            n_inside += found.passed is True
            spread = number(100 * (found.tolerance or 0.0) / found.measured, 2)
            off = _off(100 * (found.predicted / found.measured - 1))
            cells += [
                number(found.predicted, 3),
                number(found.measured, 3),
                f"{off} %, {'inside' if found.passed else 'outside'} ±{spread} %",
            ]
        rows.append(f"| {' | '.join(cells)} |")
    stand_ins = {
        layer: [report.comparison(f"gaussian layer {layer} epoch {epoch}") for epoch in epochs] for layer in (2, 3)
    }
    ranges = {
        layer: [100 * (found.predicted / found.measured - 1) for found in one] for layer, one in stand_ins.items()
    }
    text = f"""\
Variances of the weights, means over {told["n_seeds"]} trained seeds and over {told["n_starts"]} predicted starts:
{n_inside} of {2 * len(epochs)} are inside. Against networks that train on Gaussian classes ({told["n_gaussian"]} seeds)
the prediction is off by {_off(min(ranges[2]))} to {_off(max(ranges[2]))} % in layer 2 and by {_off(min(ranges[3]))} to
{_off(max(ranges[3]))} % in layer 3: that much is the closure's own error."""
    return "\n".join(rows) + "\n\n" + textwrap.fill(text, 120)


def _off(percent: float) -> str:
    return ("+" if percent >= 0 else "−") + number(abs(percent), 2)


SECTIONS = {"without-training": without_training}
