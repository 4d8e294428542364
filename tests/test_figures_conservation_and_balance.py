"""The figures of conservation and of gradient balance say what their reports say, and can be read at both widths."""

import itertools

import numpy as np
import pytest
from drawn_texts import beyond_the_edge, overlapping, shown, too_small
from matplotlib.figure import Figure

from weightdecay import figures, validate
from weightdecay.figures import conservation, gradient_balance
from weightdecay.figures.captions import fill
from weightdecay.figures.powers import power_of_ten, power_ticks
from weightdecay.validate import Comparison, Curve, Dataset, Part, Report

MODULES = {"conservation": conservation, "gradient-balance": gradient_balance}
SHORT = {
    "conservation": {"_N_STEPS": {"quick": 100}},
    "gradient_balance": {
        "_N_STEPS": 60,
        "_WHOLE": {"hidden": 5, "rate": 10.0, "steps_per_epoch": 21, "decay_per_epoch": 0.05, "n_warm_epochs": 1},
        "_WHOLE_SCALE": {"quick": {"n_seeds": 2, "n_epochs": 2, "every": 2, "n_fresh": 50}},
    },
}


@pytest.fixture(scope="module")
def small_data():
    rng = np.random.default_rng(0)
    parts = []
    for rows in (205, 40, 40):
        labels = rng.integers(10, size=rows, dtype=np.uint8)
        images = rng.integers(0, 90, size=(rows, 16), dtype=np.uint8)
        images[np.arange(rows), labels] += 160
        images[:, [12, 15]] = 0
        parts.append(Part(images, labels))
    return Dataset("small", *parts, image_shape=(4, 4))


@pytest.fixture(scope="module")
def reports(small_data):
    with pytest.MonkeyPatch.context() as patch:
        for module, changed in SHORT.items():
            for name, value in changed.items():
                patch.setattr(f"weightdecay.validate.{module}.{name}", value)
        return {name: validate.run(name, data=small_data, n_jobs=1, rng=3) for name in MODULES}


@pytest.fixture(scope="module", params=itertools.product(MODULES, ("full", "column")), ids=str)
def drawn(request, reports):
    name, width = request.param
    with figures.figure_style(name):
        figure = figures.draw_figure(reports[name], name, width=width)
        figure.draw_without_rendering()
        yield name, figure


def test_no_text_is_smaller_than_six_points_or_lies_on_another_or_beyond_the_edge(drawn):
    _, figure = drawn
    assert len(shown(figure)) > 15
    assert [] == too_small(figure)
    assert [] == overlapping(figure)
    assert [] == beyond_the_edge(figure)


def test_every_curve_of_a_report_is_drawn(drawn, reports):
    name, figure = drawn
    lines = [(tuple(line.get_xdata()), tuple(line.get_ydata())) for axes in figure.axes for line in axes.lines]
    for curve in reports[name].curves:
        if curve.panel == "whole set":
            assert all(any(y in ys for _, ys in lines) for y in curve.y)
        else:
            assert (tuple(curve.x), tuple(curve.y)) in lines, (curve.panel, curve.name)


@pytest.mark.parametrize("name", MODULES)
def test_caption_and_alternative_text_are_filled(name, reports):
    module = MODULES[name]
    told = module.facts(reports[name])
    for template in (module.CAPTION, module.ALT):
        text = fill(template, told)
        assert "{" not in text
        assert "unknown" not in text
        assert "nan" not in text
    assert name in figures.ids()


def test_the_conservation_caption_names_the_worst_error_of_each_format(reports):
    report = reports["conservation"]
    told = conservation.facts(report)
    for dtype in ("float32", "float64"):
        errors = [c.measured for c in report.comparisons if c.tolerance is not None and c.key.endswith(dtype)]
        assert max(errors) == told["worst"][dtype]


def test_a_law_that_fails_is_not_called_rounding(reports):
    report = reports["conservation"]
    (first, *others) = report.comparisons
    failed = Comparison(first.quantity, first.unit, 0.0, 0.5, None, first.inputs, 1e-5, "absolute", "", first.key)
    changed = Report(report.experiment, (failed, *others), report.curves, report.provenance)
    with figures.figure_style("conservation"):
        figure = figures.draw_figure(changed, "conservation")
    assert "float32: errors" in [axes.get_title(loc="left") for axes in figure.axes]


def test_the_balance_caption_has_the_books_of_the_whole_set_with_their_errors(reports):
    report = reports["gradient-balance"]
    found = report.comparison("whole reshuffled layer 3")
    expected = f"{found.measured / found.predicted:.3f} ± {found.standard_error / found.predicted:.3f}"
    assert expected == gradient_balance.facts(report)["ratios"]["reshuffled"][1]


def test_the_balance_caption_has_the_largest_deviation_of_all_layers(reports):
    report = reports["gradient-balance"]
    largest = max(curve.y.max() for curve in report.curves if curve.panel == "residual" and curve.kind == "experiment")
    assert largest == gradient_balance.facts(report)["worst"] < 1e-4


def test_powers_of_ten_are_written_in_letters_of_one_size():
    assert ["10⁻⁷", "1", "10", "10³"] == [power_of_ten(value) for value in (1e-7, 1, 10, 1000)]


def test_ticks_are_few_and_inside():
    axes = Figure().subplots()
    axes.set_yscale("log")
    for limits, expected in (((2e-17, 3), [1e-15, 1e-12, 1e-9, 1e-6, 1e-3, 1]), ((0.02, 0.6), [0.03, 0.1, 0.3])):
        axes.set_ylim(limits)
        power_ticks(axes, "y")
        np.testing.assert_allclose(axes.get_yticks(), expected, rtol=1e-12)
    assert "0.03" == axes.yaxis.get_major_formatter()(0.03, 0)


def test_compute_runs_the_experiment(monkeypatch):
    curve = Curve("a", "b", "theory", np.ones(1), np.ones(1), "x", "1", "y", "1")
    for name, module in MODULES.items():
        asked = []
        monkeypatch.setattr(
            module, "run", lambda experiment, asked=asked, **options: asked.append((experiment, options)) or curve
        )
        assert curve is module.compute(scale="quick", rng=2)
        assert [(name, {"scale": "quick", "rng": 2})] == asked
