"""The figure of equilibria holds walks against the exact theory, and notices when they are elsewhere."""

import math

import numpy as np
import pytest

from weightdecay import figures, theory
from weightdecay.errors import InvalidInput
from weightdecay.figures import optimizers

ALL = optimizers.ROWS
FEW = ("SGD, L2", "heavy ball", "AdamW", "Muon")


@pytest.fixture(autouse=True, scope="module")
def fewer():
    """Take four optimizers and short walks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimizers, "ROWS", tuple(row for row in optimizers.ROWS if row.name in FEW))
        patch.setattr(optimizers, "N_STEPS", {"quick": {0.01: 300, 0.1: 300}})
        yield


@pytest.fixture(scope="module")
def report():
    return optimizers.compute(rng=1)


def test_every_walk_is_held_against_the_exact_theory(report):
    wanted = {f"{quantity} {name} {eps:g}" for quantity in optimizers.QUANTITIES for name in FEW for eps in (0.01, 0.1)}
    assert wanted == {comparison.key for comparison in report.comparisons}
    assert report.passed
    assert all(comparison.standard_error > 0 for comparison in report.comparisons)


def test_the_prediction_is_the_closed_form_of_stochastic_gradient_descent(report):
    lr, eps, n_weights = optimizers.LR, 0.1, optimizers.N_WEIGHTS
    norm_squared = lr**2 * n_weights / (eps * (2 - eps))  # the geometric sum of (1 - eps)^2
    assert norm_squared == pytest.approx(report.comparison("norm_squared SGD, L2 0.1").predicted, rel=1e-12)
    assert math.acos(1 - eps) == pytest.approx(report.comparison("angular_update SGD, L2 0.1").predicted, rel=1e-12)


def test_curves_are_ratios_to_the_exact_theory(report):
    curves = {(curve.panel, curve.name): curve for curve in report.curves}
    place = FEW.index("SGD, L2")
    assert 0.95 == pytest.approx(curves["squared norm", "leading order, 0.1"].y[place], rel=1e-12)
    for quantity, words in optimizers.QUANTITIES.items():
        for eps in optimizers.EPS:
            walked = curves[words, f"walk, {eps:g}"]
            for at, name in enumerate(FEW):
                told = report.comparison(f"{quantity} {name} {eps:g}")
                assert told.ratio == pytest.approx(walked.y[at], rel=1e-12)
                assert told.standard_error / told.predicted == pytest.approx(walked.standard_error[at], rel=1e-12)


def test_walks_of_another_decay_fail(monkeypatch):
    real = optimizers._walk
    monkeypatch.setattr(optimizers, "ROWS", optimizers.ROWS[:1])
    monkeypatch.setattr(optimizers, "_walk", lambda row, eps, *rest: real(row, 1.5 * eps, *rest))
    assert not optimizers.compute(rng=1).passed


def test_the_same_seed_gives_the_same_walks_and_another_seed_others(monkeypatch):
    monkeypatch.setattr(optimizers, "ROWS", optimizers.ROWS[:1])
    monkeypatch.setattr(optimizers, "N_STEPS", {"quick": {0.01: 10, 0.1: 10}})
    one, two, other = (optimizers.compute(rng=seed).curves[1].y for seed in (4, 4, 5))
    assert one.tobytes() == two.tobytes()
    assert np.all(one != other)


def test_the_words_of_the_caption_are_numbers_of_the_report(report):
    told = optimizers.facts(report)
    assert len(FEW) == told["n_rows"]
    assert max(abs(part.ratio - 1) for part in report.comparisons) == told["worst"]
    off = {curve.name: curve.y for curve in report.curves if curve.panel == "squared norm"}["leading order, 0.1"]
    assert np.abs(off - 1).max() == told["off_large"]
    assert FEW[np.abs(off - 1).argmax()] == told["off_name"]


def test_every_optimizer_of_the_theory_is_there():
    names = ("SGD", "HEAVY_BALL", "NESTEROV", "EMA", "SIGN_SGD", "SIGNUM", "LION", "RMSPROP", "ADAM", "MUON")
    assert {getattr(theory, name) for name in names} == {row.optimizer for row in ALL}
    assert len(ALL) == len({(row.optimizer, row.coupling) for row in ALL})


@pytest.mark.parametrize("width", ["full", "column"])
def test_each_panel_names_every_optimizer(report, width):
    with figures.figure_style("optimizers"):
        panels = figures.draw_figure(report, "optimizers", width=width).axes
    assert 2 == len(panels)
    for axes in panels[: 1 if width == "full" else 2]:  # side by side, the first names them for both
        assert list(FEW) == [label.get_text() for label in axes.get_yticklabels()]


def test_a_scale_that_is_none_is_refused():
    with pytest.raises(InvalidInput, match="scale"):
        optimizers.compute(scale="huge")
