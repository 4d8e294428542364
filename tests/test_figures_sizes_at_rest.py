"""The figures of tail-off, rescaling and width say what their reports say, and can be read at both widths."""

import dataclasses

import numpy as np
import pytest
from drawn_texts import overlapping, shown, too_small

from weightdecay import figures, validate
from weightdecay.figures import rescaling, tail_off, width
from weightdecay.figures.captions import fill
from weightdecay.validate import Dataset, Part

MODULES = {module.ID: module for module in (tail_off, rescaling, width)}
OPTIONS = {
    "tail-off": {"hidden": 6, "lmbda": 4.0},
    "rescaling": {"hidden": 8, "largest_share": 0.2},
    "width": {"largest_width": 100},
}


@pytest.fixture(scope="module")
def reports():
    rng = np.random.default_rng(0)
    parts = []
    for n_rows in (200, 40, 40):
        labels = rng.integers(10, size=n_rows, dtype=np.uint8)
        images = rng.integers(1, 30, size=(n_rows, 16), dtype=np.uint8)
        images[np.arange(n_rows), labels] += 200
        images[:, [12, 15]] = 0
        parts.append(Part(images, labels))
    data = Dataset("small", *parts, image_shape=(4, 4))
    return {name: validate.run(name, data=data, n_jobs=1, rng=3, **options) for name, options in OPTIONS.items()}


def drawn(report, name, page):
    with figures.figure_style(name):
        figure = figures.draw_figure(report, name, width=page)
        figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize("page", ["full", "column"])
@pytest.mark.parametrize("name", MODULES)
def test_texts_are_large_enough_and_apart(reports, name, page):
    figure = drawn(reports[name], name, page)
    assert len(shown(figure)) > 15
    assert [] == too_small(figure)
    assert [] == overlapping(figure)


@pytest.mark.parametrize("name", MODULES)
def test_every_measured_point_of_a_panel_is_drawn(reports, name):
    heights = {tuple(line.get_ydata()) for axes in drawn(reports[name], name, "full").axes for line in axes.lines}
    missing = [
        curve.name for curve in reports[name].curves if curve.kind == "experiment" and tuple(curve.y) not in heights
    ]
    assert [] == missing


@pytest.mark.parametrize("name", MODULES)
def test_caption_and_alternative_text_are_filled(reports, name):
    module = MODULES[name]
    told = module.facts(reports[name])
    for template in (module.CAPTION, module.ALT):
        text = fill(template, told)
        assert "small" in text or template is module.ALT
        assert "unknown" not in text
        assert len(text) > 150


def changed(report, key, **values):
    """Return a report in which one comparison has other numbers."""
    found = [dataclasses.replace(each, **values) if each.key == key else each for each in report.comparisons]
    return dataclasses.replace(report, comparisons=tuple(found))


@pytest.mark.parametrize(
    ("name", "key", "values", "words"),
    [
        ("tail-off", "time of layer 2", {"measured": 77.7}, "after 77.7 epochs"),
        ("tail-off", "norm of layer 3", {"predicted": 2.0, "measured": 3.0}, "noise (1.500 measured over predicted)"),
        (
            "tail-off",
            "rms of layer 2 against 1/sqrt(n_weights)",
            {"measured": 8.0, "predicted": 0.5},
            "end at 16 (layer 2)",
        ),
        ("rescaling", "factor 4 depth 2", {"measured": 1.25}, "to 1.250."),
        ("rescaling", "envelope 2 depth 2", {"predicted": 1.0, "measured": 1.5}, "to 1.500 measured over predicted"),
        ("rescaling", "extrapolated 6 depth 2", {"predicted": 1.0, "measured": 0.1}, "off by up to 90 %"),
        ("width", "slope relu layer 3", {"measured": -0.375}, "−0.3750 (layer 3)"),
        ("width", "slope sigmoid layer 2", {"measured": -0.25}, "alike, −0.250 and"),
    ],
)
def test_numbers_of_the_caption_come_from_the_comparisons(reports, name, key, values, words):
    module = MODULES[name]
    assert words not in fill(module.CAPTION, module.facts(reports[name]))
    other = changed(reports[name], key, **values)
    assert words in fill(module.CAPTION, module.facts(other))


def test_a_rest_that_was_missed_is_not_called_predicted(reports):
    met = changed(reports["tail-off"], "norm of layer 2", predicted=2.0, measured=2.0)
    met = changed(met, "norm of layer 3", predicted=3.0, measured=3.0)
    missed = changed(met, "norm of layer 3", predicted=2.0, measured=3.0)
    titles = [drawn(report, "tail-off", "full").axes[0].get_title(loc="left") for report in (met, missed)]
    assert titles == ["At rest: 2.000 and 3.000, as predicted", "Squared norms, predicted and measured"]


def test_without_dead_pixels_the_caption_does_not_speak_of_them(reports):
    report = reports["tail-off"]
    less = dataclasses.replace(report, curves=tuple(curve for curve in report.curves if "dead" not in curve.name))
    assert "dead pixels" in fill(tail_off.CAPTION, tail_off.facts(report))
    assert "dead pixels" not in fill(tail_off.CAPTION, tail_off.facts(less))
    words = [text.get_text() for text in shown(drawn(less, "tail-off", "full"))]
    assert "decay alone" in words
