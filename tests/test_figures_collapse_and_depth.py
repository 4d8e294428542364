"""The figures of collapse, depth and phases say what their reports hold, and notice when it is otherwise."""

from dataclasses import replace

import numpy as np
import pytest

from weightdecay import figures, validate
from weightdecay.figures import collapse, depth, phase_diagram
from weightdecay.figures.captions import fill
from weightdecay.validate import Dataset, Part


def tiny_part(n_rows, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(10, size=n_rows)
    shapes = np.random.default_rng(0).integers(0, 2, size=(10, 12)) * 150
    images = np.minimum(shapes[labels] + rng.integers(0, 100, size=(n_rows, 12)), 255)
    return Part(images.astype(np.uint8), labels)


@pytest.fixture(scope="module")
def reports():
    data = Dataset("tiny", tiny_part(200, 1), tiny_part(20, 2), tiny_part(0, 3), image_shape=(3, 4))
    return {
        "collapse": validate.run("collapse", data=data, n_jobs=1),
        "depth": validate.run("depth", data=data, n_jobs=1),
        "phase-diagram": phase_diagram.compute(),
    }


MODULES = {"collapse": collapse, "depth": depth, "phase-diagram": phase_diagram}


@pytest.mark.parametrize(("name", "n_panels"), [("collapse", 2), ("depth", 3), ("phase-diagram", 1)])
@pytest.mark.parametrize("width", ["full", "column"])
def test_each_is_drawn_with_its_panels(reports, name, n_panels, width):
    with figures.figure_style(name):
        assert n_panels == len(figures.draw_figure(reports[name], name, width=width).axes)


@pytest.mark.parametrize("name", list(MODULES))
def test_captions_and_alternative_texts_are_filled_from_the_report(reports, name):
    told = MODULES[name].facts(reports[name])
    for template in (MODULES[name].CAPTION, MODULES[name].ALT):
        words = fill(template, told)
        assert "unknown" not in words
        assert "{" not in words


def test_the_collapse_caption_tells_the_measured_deviation(reports):
    found = reports["collapse"].comparison("threshold tanh")
    off = dict(collapse.facts(reports["collapse"])["ends"])["tanh"]
    assert off == pytest.approx(abs(found.measured / found.predicted - 1))


def test_the_depth_caption_tells_where_each_depth_jumps(reports):
    told = depth.facts(reports["depth"])
    assert [2, 3, 4] == [place["depth"] for place in told["places"]]
    assert [3, 4] == [place["depth"] for place in told["jumps"]]
    for place in told["jumps"]:
        found = reports["depth"].comparison(f"collapse {place['depth']}")
        assert place["measured"] == pytest.approx(found.measured / told["unit"])
        assert place["last"] > 0


def test_the_dashed_barrier_ends_below_the_jump(reports):
    for curve in reports["depth"].curves:
        if curve.name == "barrier":
            assert np.all(np.diff(curve.x) > 0)
            assert curve.x[-1] < 1


def test_simulated_layers_collapse_on_the_line_of_the_phase_diagram(reports):
    report = reports["phase-diagram"]
    assert report.passed
    fold, jump, simulated = report.curves
    np.testing.assert_allclose(simulated.y, np.interp(simulated.x, fold.x, fold.y), rtol=0.005)
    assert np.all(jump.y[1:] < fold.y[1:])
    assert jump.y[1] == pytest.approx(0.2539, abs=1e-4)  # three layers, from the source's table


def test_layers_that_collapse_elsewhere_fail(monkeypatch):
    real = phase_diagram.homogeneous_layers

    def stronger(**options):
        return real(**options | {"weight_decay": 1.02 * options["weight_decay"]})

    monkeypatch.setattr(phase_diagram, "homogeneous_layers", stronger)
    monkeypatch.setattr(phase_diagram, "DEPTHS", (2, 3))
    assert [False, False] == [comparison.passed for comparison in phase_diagram.compute().comparisons]


def test_a_collapsed_row_of_markers_leaves_no_negative_axis(reports):
    curves = tuple(replace(curve, y=np.maximum(curve.y, 0)) for curve in reports["collapse"].curves)
    with figures.figure_style("collapse"):
        figure = figures.draw_figure(replace(reports["collapse"], curves=curves), "collapse", width="full")
    assert figure.axes[0].get_ylim()[0] > 0
