"""The figure of relaxation tells what its report says."""

import dataclasses

import numpy as np
import pytest

from weightdecay import figures
from weightdecay.figures import captions, relaxation
from weightdecay.validate import Comparison, Curve, Report

ID = "relaxation"


def made_report():
    axes = {"x_name": "time", "x_unit": "1", "y_name": "difference", "y_unit": "1"}
    x = np.linspace(0, 3, 10)
    comparisons, curves = [], []
    for name in ("SGD", "heavy ball"):
        curves.append(Curve("theory at a given drive", name, "theory", x, np.exp(-x), **axes))
        for layer in ("hidden", "output"):
            curves.append(Curve(f"{name}, {layer}", name, "experiment", x, np.exp(-x) - 0.1, **axes))
            for cause in ("kick", "drop"):
                key = f"{cause} {name}, {layer} layer"
                found = Comparison(key, "steps", 100.0, 101.0, 0.5, inputs="hyperparameters", tolerance=0.03, key=key)
                comparisons.append(found)
            key = f"bare {name}, {layer} layer"
            comparisons.append(Comparison(key, "steps", 125.0, 90.0, 0.5, inputs="hyperparameters", key=key))
    for layer in ("hidden", "output"):
        y = np.array([1.0, 1.01, 1.01, 0.99])
        curves.append(Curve(layer, "time constants", "experiment", np.arange(4.0), y, **axes, standard_error=y / 99))
    data = {"name": "MNIST", "checksum": "0", "n_train": 50000, "pixel_scale": 1 / 256}
    parameters = {"kick": 2.0, "drop": 3.0, "n_seeds": 4}
    return Report(ID, tuple(comparisons), tuple(curves), {"parameters": parameters, "data": data})


@pytest.mark.parametrize("width", ["full", "column"])
def test_every_curve_is_drawn(width):
    report = made_report()
    with figures.figure_style(ID):
        drawn = figures.draw_figure(report, ID, width=width)
    assert 3 == len(drawn.axes)
    lines = [tuple(line.get_xdata()) for axes in drawn.axes for line in axes.lines]
    assert len(lines) >= len(report.curves)


def test_the_caption_tells_constants_and_the_worst_ratio():
    text = captions.fill(relaxation.CAPTION, relaxation.facts(made_report()))
    assert "T = 125.0 steps with SGD and 125.0 with heavy ball" in text
    assert "within 1.0 %" in text
    assert "multiplied by 2 at step 0" in text


def test_a_worse_comparison_is_told():
    report = made_report()
    worse = tuple(
        dataclasses.replace(one, measured=150.0) if one.key.startswith("drop SGD") else one
        for one in report.comparisons
    )
    text = captions.fill(relaxation.CAPTION, relaxation.facts(dataclasses.replace(report, comparisons=worse)))
    assert "within 50 %" in text
