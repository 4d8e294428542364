"""The figure of measured and declared orders says what the integrators do, and notices when they do not."""

import numpy as np
import pytest

from weightdecay import figures
from weightdecay.figures import convergence
from weightdecay.simulate import SCHEMES

FEWER = {"quick": {"strong": 200, "weak": 2**13}}
"""Enough for slopes: seconds in place of a minute."""


@pytest.fixture(autouse=True, scope="module")
def fewer_paths():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convergence, "N_PATHS", FEWER)
        patch.setattr(convergence, "FINEST", {"strong": 1024, "weak": 64})
        patch.setattr(convergence, "COARSENED", {"strong": (1, 2, 4, 8, 16), "weak": (1, 2, 4, 8, 16)})
        yield


@pytest.fixture(scope="module")
def report():
    return convergence.compute(rng=3)


def test_every_method_has_its_declared_orders(report):
    assert {f"{kind} {method}" for kind in ("strong", "weak") for method in SCHEMES} == {
        comparison.key for comparison in report.comparisons
    }
    assert report.passed
    for method, scheme in SCHEMES.items():
        assert scheme.strong_order["diagonal"] == report.comparison(f"strong {method}").predicted
        assert scheme.weak_order == report.comparison(f"weak {method}").predicted


def test_a_measured_order_is_the_slope_of_its_own_markers(report):
    for curve in report.curves:
        if curve.kind == "experiment":
            assert 5 == len(curve.x)
            kind, method = curve.panel.split()[0], {v: k for k, v in convergence.NAMES.items()}[curve.name]
            key = f"{'strong' if kind == 'strong' else 'weak'} {method}"
            slope = np.polyfit(np.log(curve.x), np.log(curve.y), 1)[0]
            assert slope == pytest.approx(report.comparison(key).measured, rel=1e-12)


def test_a_method_that_misses_its_declared_order_fails(monkeypatch):
    real = convergence.solve
    monkeypatch.setattr(convergence, "solve", lambda problem, dW, **_: real(problem, method="euler", dW=dW))
    report = convergence.compute(rng=3)
    assert not report.passed
    assert report.comparison("strong euler").passed
    assert not report.comparison("strong srk15").passed


def test_the_words_of_the_figure_are_its_numbers(report):
    told = convergence.facts(report)
    for method in SCHEMES:
        assert f"{report.comparison(f'strong {method}').measured:.2f}" in told["strong_words"]


def test_the_same_seed_gives_the_same_curves(report):
    again = convergence.compute(rng=3)
    for one, two in zip(report.curves, again.curves, strict=True):
        assert one.y.tobytes() == two.y.tobytes()


@pytest.mark.parametrize("width", ["full", "column"])
def test_it_is_drawn_with_two_panels(report, width):
    with figures.figure_style("convergence"):
        assert 2 == len(figures.draw_figure(report, "convergence", width=width).axes)
