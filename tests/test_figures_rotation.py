"""The figure of rotation says what its report says, and can be read at both widths."""

import dataclasses

import numpy as np
import pytest
from drawn_texts import overlapping, shown, too_small

from weightdecay import figures
from weightdecay.figures import rotation
from weightdecay.figures.captions import fill
from weightdecay.validate import Comparison, Curve, Report
from weightdecay.validate.rotation import CASES


@pytest.fixture(scope="module")
def report():
    comparisons, curves = [], []
    for place, case in enumerate(CASES):
        for layer in ("hidden", "output"):
            ratio = 1.001 if case.judged else 0.9 + 0.1 * place
            told = {"inputs": "hyperparameters", "key": f"angular update of {case.name}, {layer} layer"}
            tolerance = 0.005 if case.judged else None
            comparisons.append(Comparison("angle", "rad", 0.1, 0.1 * ratio, 0.001, tolerance=tolerance, **told))
            key = f"{'squared norm' if case.judged else 'identity'} of {case.name}, {layer} layer"
            comparisons.append(Comparison("norm", "1", 1.0, 1.004, None, inputs="gradients", tolerance=0.03, key=key))
        if not case.judged:
            x = np.geomspace(0.01, 6, 40)
            y = 1 - (1 - 0.1 * (place - 1)) * np.exp(-x * 2)
            names = ("cut-off times decay per step", "1", "sum over measured squared norm", "1")
            curves.append(Curve(case.name, "sum against cut-off", "simulation", x, y, *names))
    data = {"name": "small", "checksum": "0", "n_train": 200, "pixel_scale": 1 / 256}
    provenance = {"parameters": {"cut_off": 6, "n_seeds": [2, 1]}, "data": data, "versions": {}}
    return Report("rotation", tuple(comparisons), tuple(curves), provenance)


def drawn(report, page):
    with figures.figure_style("rotation"):
        figure = figures.draw_figure(report, "rotation", width=page)
        figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize("page", ["full", "column"])
def test_texts_are_large_enough_and_apart(report, page):
    figure = drawn(report, page)
    assert {case.name for case in CASES} <= {text.get_text() for text in shown(figure)}
    assert [] == too_small(figure)
    assert [] == overlapping(figure)


def test_every_angle_is_a_point_and_the_judged_ones_are_filled(report):
    axes = drawn(report, "full").axes[0]
    points = [container.lines[0] for container in axes.containers]
    ratios = sorted(float(line.get_xdata()[0]) for line in points)
    expected = sorted(one.ratio for one in report.comparisons if one.key.startswith("angular"))
    assert expected == pytest.approx(ratios)
    filled = [line for line in points if line.get_markerfacecolor() != "white"]
    assert 2 * sum(case.judged for case in CASES) == len(filled)


def test_every_sum_is_drawn(report):
    heights = {tuple(line.get_ydata()) for line in drawn(report, "full").axes[1].lines}
    assert {tuple(curve.y) for curve in report.curves} <= heights


def changed(report, key, **values):
    found = [dataclasses.replace(one, **values) if one.key == key else one for one in report.comparisons]
    return dataclasses.replace(report, comparisons=tuple(found))


@pytest.mark.parametrize(
    ("key", "values", "words"),
    [
        ("angular update of SGD, hidden layer", {"measured": 0.1042}, "off by at most 4.2 %"),
        ("angular update of Muon, output layer", {"measured": 0.025}, "weights 0.250 to 1.80 times"),
        ("angular update of Lion, output layer", {"measured": 0.377}, "to 3.77 times"),
        ("identity of Muon, output layer", {"measured": 1.027}, "within 2.7 % of the squared norms"),
    ],
)
def test_numbers_of_the_caption_come_from_the_comparisons(report, key, values, words):
    assert words not in fill(rotation.CAPTION, rotation.facts(report))
    assert words in fill(rotation.CAPTION, rotation.facts(changed(report, key, **values)))


def test_a_sum_settles_where_it_stays_within_a_tenth():
    names = ("lag", "1", "sum", "1")
    x = np.array([0.1, 0.2, 0.4, 0.8])
    assert rotation._settled(Curve("a", "p", "simulation", x, np.array([0.5, 1.0, 1.2, 1.0]), *names)) == 0.8
    assert rotation._settled(Curve("a", "p", "simulation", x, np.array([0.5, 1.0, 1.05, 1.0]), *names)) == 0.2
    assert rotation._settled(Curve("a", "p", "simulation", x, np.ones(4), *names)) == 0.1


def test_the_text_for_those_who_do_not_see_it_is_filled(report):
    text = fill(rotation.ALT, rotation.facts(report))
    assert "unknown" not in text
    assert len(text) > 150
