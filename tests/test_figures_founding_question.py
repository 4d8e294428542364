"""The founding question's figure says what its report says, and can be read at final size."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from drawn_texts import beyond_the_edge, overlapping, shown, too_pale, too_small
from matplotlib.collections import LineCollection

from weightdecay import figures
from weightdecay.errors import InvalidInput
from weightdecay.figures import founding_question
from weightdecay.figures.captions import fill
from weightdecay.figures.drawing import BLACK, Look, draw_curves, place_labels
from weightdecay.validate import Comparison, Curve, Report

ID = founding_question.ID
EPOCHS = 30
FACTOR = math.exp(-0.05)


def compared(key, predicted, measured, error=None, tolerance=None):
    """Return a comparison; captions find it by its key, and its quantity is of no use to them."""
    return Comparison("anything", "1", predicted, measured, error, inputs="nothing", tolerance=tolerance, key=key)


def made_report(*, long=False, share=(-0.02, 3.9), student=True):
    """Return a report whose numbers are known: layer 2 decays with a little gain, layer 3 grows."""
    epoch = np.arange(EPOCHS + 1.0)
    variances = {2: FACTOR ** (2 * epoch) + 0.03 * epoch / EPOCHS, 3: 1 + 2.7 * epoch / EPOCHS}
    curves, told = [], [compared("claim 2", FACTOR, FACTOR)]

    def add(name, panel, kind, x, y, y_name, y_unit="1"):
        error = np.full(len(x), 0.01) * np.abs(y) if kind == "experiment" else None
        curves.append(Curve(name, panel, kind, x, y, "time", "epochs", y_name, y_unit, error))

    for layer, variance in variances.items():
        add(f"layer {layer}, pulls and noise added up", "variance", "theory", epoch, variance, "variance")
        add(f"layer {layer}, trained", "variance", "experiment", epoch, variance, "variance")
    add("decay alone", "variance", "theory", epoch, FACTOR ** (2 * epoch), "variance")
    add("weights of dead pixels", "variance", "experiment", epoch, FACTOR ** (2 * epoch), "variance")
    if student:
        for layer, after in ((2, 0.08), (3, 3.62)):
            add(f"student, layer {layer}", "variance", "reference", epoch[[0, -1]], np.array([1.0, after]), "variance")
        told.append(compared("student's largest column sum layer 2 after", 0.0, -1.25, tolerance=3.0))
        told.append(compared("student's variance layer 2 after", 0.0, 4.2))
    spans = [(EPOCHS, "")] + ([(300, ", long run")] if long else [])
    for (n_epochs, suffix), layer in itertools.product(spans, (2, 3)):
        middle = np.arange(n_epochs) + 0.5
        losses = {2: 2.0 * FACTOR ** (2 * middle) + 0.1, 3: 0.12 - 0.09 * np.exp(-middle / 8)}
        gains = {2: 0.06 - 0.13 * np.exp(-middle / 8), 3: np.full(n_epochs, 0.12)}
        for name, y in (
            ("loss to decay", losses[layer]),
            ("gain by pull", gains[layer]),
            ("gain by noise", 0.03 + 0 * middle),
        ):
            panel = f"budget of layer {layer}{suffix}"
            add(f"layer {layer}, {name}{suffix}", panel, "experiment", middle, y, "gradient times weight", "nat")
    for width, start in itertools.product((30, 100), ("old", "new")):
        name = f"{width} hidden neurons, {start} start"
        size = FACTOR**epoch if start == "old" else 0.2 - 0.16 * np.exp(-epoch)
        add(name, "size", "experiment", epoch, size + 1e-3 * width, "rms weight of layer 2")
        accuracy = 96 + width / 50 - 86 * np.exp(-2.0 * epoch)
        add(name, "accuracy", "experiment", epoch, accuracy, "validation accuracy", "%")
    add("decay alone", "size", "theory", epoch, FACTOR**epoch, "rms weight of layer 2")
    for name, size in (("1/sqrt(fan_in)", 1 / 28), ("1/sqrt(n_weights)", 0.0065)):
        add(name, "size", "theory", epoch[[0, -1]], np.full(2, size), "rms weight of layer 2")
    if long:
        far = np.arange(301.0)
        for layer, start, end in ((2, 23520, 1050), (3, 300, 1355)):
            add(
                f"layer {layer}, trained",
                "tail-off",
                "experiment",
                far,
                end + (start - end) * np.exp(-far / 10),
                "norm",
            )
            name = f"layer {layer}, size at which decay, pull and noise balance"
            add(name, "tail-off", "theory", far[1:], np.full(300, float(end)), "norm")
            add(f"layer {layer}, decay alone", "tail-off", "theory", far, start * FACTOR ** (2 * far), "norm")
    for layer, ratio in zip((2, 3), share, strict=True):
        told += [
            compared(f"claim 1 layer {layer}", 2.0, 2 * ratio, 0.02),
            compared(f"last epoch layer {layer}", 0.1, 0.05, 0.01),
            compared(f"claim 3 layer {layer}", 0.0065, 0.0065 * 43, 1e-4),
            compared(f"own size layer {layer}", 0.013, 0.2),
            compared(f"claim 3, epochs layer {layer}", 100.6, 30.0),
            compared(f"variance layer {layer}", 0.0498, variances[layer][-1], 0.01),
        ]
    parameters = {"eta": 0.1, "lmbda": 5.0, "hidden": 30, "epochs": EPOCHS, "batch_size": 10, "weight_decay": 1e-4}
    parameters |= {"n_seeds": 5, "n_example_seeds": 2, "n_long_seeds": 3}
    data = {"name": "MNIST", "checksum": "0", "n_train": 50000, "pixel_scale": 1 / 256}
    return Report(ID, tuple(told), tuple(curves), {"parameters": parameters, "data": data, "versions": {}})


@pytest.fixture(scope="module", params=["quick", "full"])
def report(request):
    return made_report(long=request.param == "full")


@pytest.fixture(scope="module")
def drawn(report):
    with figures.figure_style(ID):
        figure = figures.draw_figure(report, ID)
        figure.draw_without_rendering()
        yield figure


def panels(figure):
    """Return the axes by the letter that is written on them."""
    letters = {text.get_text(): axes for axes in figure.axes for text in axes.texts if len(text.get_text()) == 1}
    return {letter: letters[letter] for letter in sorted(letters)}


def test_every_panel_has_its_letter(drawn, report):
    long = any(curve.panel == "tail-off" for curve in report.curves)
    assert list("abcdefgh" if long else "abcde") == list(panels(drawn))


def test_the_figure_has_the_width_of_a_page(drawn):
    assert 183 == pytest.approx(25.4 * drawn.get_figwidth())
    assert drawn.get_figheight() < 0.9 * drawn.get_figwidth()


def test_no_text_is_smaller_than_six_points(drawn):
    assert len(shown(drawn)) > 40
    assert [] == too_small(drawn)


def test_every_text_has_enough_contrast_on_white(drawn):
    assert {} == too_pale(drawn)


def test_no_text_lies_on_another_or_beyond_the_edge(drawn):
    assert [] == overlapping(drawn)
    assert [] == beyond_the_edge(drawn)


def test_theory_is_a_line_experiment_markers_with_errors_and_a_reference_open(drawn):
    axes = panels(drawn)["a"]
    lines = {(line.get_linestyle(), line.get_marker() not in ("None", "", None)) for line in axes.lines}
    assert ("None", False) not in lines
    assert all(line.get_linestyle() == "None" for line in axes.lines if line.get_marker() not in ("None", "", None))
    assert 3 == sum(line.get_linestyle() != "None" for line in axes.lines)  # two layers and decay alone
    assert 3 == sum(isinstance(part, LineCollection) for part in axes.collections)  # error bars of the measured
    students = [line for line in axes.lines if line.get_marker() == "D"]
    assert ["none", "none"] == [line.get_markerfacecolor() for line in students]


def test_what_is_drawn_is_what_the_report_says(drawn, report):
    places = {"a": "variance", "b": "budget of layer 2", "c": "budget of layer 3", "d": "size", "e": "accuracy"}
    for letter, panel in places.items():
        ys = {tuple(line.get_ydata()) for line in panels(drawn)[letter].lines}
        for curve in report.curves:
            if curve.panel == panel:
                assert tuple(curve.y) in ys, (panel, curve.name)


def test_curves_that_share_a_panel_differ_without_colour(drawn):
    for letter in "abcde":
        looks = [
            (
                line.get_linestyle(),
                line.get_marker(),
                line.get_markerfacecolor() in ("none", "white"),
                line._dash_pattern,
            )
            for line in panels(drawn)[letter].lines
            if len(line.get_xdata()) > 2 and line.get_linestyle() in ("None", "--")
        ]
        markers = [look for look in looks if look[0] == "None"]
        assert len(markers) == len({look[1:3] for look in markers})


def test_budgets_share_their_scale(drawn):
    assert panels(drawn)["b"].get_ylim() == panels(drawn)["c"].get_ylim()


def test_long_rows_of_markers_are_thinned_and_short_ones_are_not(drawn):
    for axes in drawn.axes:
        for line in axes.lines:
            if line.get_linestyle() == "None":
                n_points, every = len(line.get_xdata()), line.get_markevery() or 1
                assert math.ceil(n_points / every) <= 31
                assert every == 1 or n_points > 31


def answers(report):
    told = founding_question.facts(report)
    return {claim: [told[claim][layer][0] for layer in (2, 3)] for claim in ("claim_1", "claim_2", "claim_3")}


def test_the_three_claims_are_answered_layer_by_layer(report):
    assert {
        "claim_1": ["true", "false"],
        "claim_2": ["true", "false"],
        "claim_3": ["false", "false"],
    } == answers(report)


def test_an_answer_follows_the_data(report):
    del report
    assert ["false", "true"] == answers(made_report(share=(1.5, 0.01)))["claim_1"]


def test_an_answer_within_its_error_is_undecided():
    # a share of 0.095 with a standard error of 0.01: twice the error reaches beyond a tenth
    assert ["undecided", "undecided"] == answers(made_report(share=(0.095, 0.105)))["claim_1"]


def test_the_caption_answers_with_margins(report):
    told = fill(founding_question.CAPTION, founding_question.facts(report))
    assert "true for layer 2 (pull and noise give −2.0 ± 1.0 % of what decay takes in epoch 1)" in told
    assert "false for layer 3 (pull and noise give 390.0 ± 1.0 % of what decay takes in epoch 1)" in told
    assert "exp(−ηλ/m) = 0.9512 per epoch" in told
    assert "43 times that; decay alone needs 101 epochs" in told
    assert "within 1.2 standard deviations" in told or "within 1.3 standard deviations" in told
    long = any(curve.panel == "tail-off" for curve in report.curves)
    assert long == ("By epoch 300 the squared norms are 1050 (layer 2) and 1355 (layer 3)" in told)
    assert long == ("at 65 and 74 times 1/√n_weights" in told)


def test_every_number_of_the_caption_comes_from_the_report():
    """Change what the report says; nothing that depends on it may stay."""
    report = made_report()
    changed = {"eta": 0.25, "lmbda": 7.0, "hidden": 44, "batch_size": 16, "n_seeds": 9, "n_example_seeds": 8}
    other = dataclasses.replace(
        report, provenance={**report.provenance, "parameters": {**report.provenance["parameters"], **changed}}
    )
    told = fill(founding_question.CAPTION, founding_question.facts(other))
    assert "with 44 sigmoid units" in told
    assert "η = 0.25, λ = 7, m = 16" in told
    assert "over 9 seeds" in told
    assert "(8 seeds)" in told


def test_the_alternative_text_says_what_the_curves_do(report):
    told = fill(founding_question.ALT, founding_question.facts(report))
    assert "layer 2 goes from 1.00 to 0.080" in told
    assert "layer 3 from 1.00 to 3.70" in told
    assert "layer 2 gains −2.0 % of what it loses, layer 3 390 %" in told
    assert told.startswith("Eight" if any(curve.panel == "tail-off" for curve in report.curves) else "Five")


def test_without_the_student_and_dead_pixels_the_figure_is_drawn_without_them():
    report = made_report(student=False)
    kept = tuple(curve for curve in report.curves if "dead" not in curve.name)
    found = tuple(comparison for comparison in report.comparisons if comparison.key != "claim 2")
    less = dataclasses.replace(report, curves=kept, comparisons=found)
    told = fill(founding_question.CAPTION, founding_question.facts(less))
    assert "student" not in told
    assert "zero in every image" not in told
    assert "without gradient" not in told
    with figures.figure_style(ID):
        figures.draw_figure(less, ID)


def test_without_decay_there_are_no_claims_to_answer():
    report = made_report(long=True)
    parameters = {**report.provenance["parameters"], "lmbda": 0.0, "weight_decay": 0.0}
    found = [
        dataclasses.replace(comparison, predicted=0.0)
        if "claim 1" in comparison.key or "last epoch" in comparison.key
        else comparison
        for comparison in report.comparisons
    ]
    curves = [
        dataclasses.replace(curve, y=0 * curve.y) if "loss to decay" in curve.name else curve for curve in report.curves
    ]
    provenance = {**report.provenance, "parameters": parameters}
    less = Report(ID, tuple(found), tuple(curves), provenance)
    told = founding_question.facts(less)
    assert "Without weight decay the three claims have nothing to say." in fill(founding_question.CAPTION, told)
    assert "unknown" not in fill(founding_question.CAPTION, told) + fill(founding_question.ALT, told)
    with figures.figure_style(ID):
        figure = figures.draw_figure(less, ID)
    assert not [text for text in shown(figure) if "of loss" in text.get_text()]


def test_a_report_that_lacks_what_the_caption_tells_is_refused():
    report = made_report()
    with pytest.raises(InvalidInput, match="key is 'claim 1 layer 2', but"):
        founding_question.facts(dataclasses.replace(report, comparisons=()))
    with pytest.raises(InvalidInput, match="the report has no curve 'layer 2, trained' in the panel 'variance'"):
        founding_question.facts(dataclasses.replace(report, curves=()))


def test_labels_at_the_edge_are_moved_apart_as_little_as_possible():
    from matplotlib.figure import Figure

    with figures.figure_style(ID):
        figure = Figure(figsize=(4, 3))
        axes = figure.subplots()
        axes.set_ylim(0, 1)
        heights = {"low": 0.1, "middle": 0.5, "same": 0.5, "near": 0.51, "high": 0.95}
        curves = [
            Curve(name, "p", "theory", np.arange(2), np.full(2, y), "x", "1", "y", "1") for name, y in heights.items()
        ]
        texts = draw_curves(axes, curves, {name: Look(BLACK, name) for name in heights})[len(curves) :]
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        place_labels(axes)
        boxes = {text.get_text(): text.get_window_extent() for text in texts}
    assert all(not a.overlaps(b) for a, b in itertools.combinations(boxes.values(), 2))
    shifts = {text.get_text(): text.get_position()[1] for text in texts}
    assert 0 == pytest.approx(shifts["low"], abs=1e-9)
    assert 0 == pytest.approx(shifts["high"], abs=1e-9)
    assert 0 == pytest.approx(shifts["middle"] + shifts["same"] + shifts["near"], abs=1e-6)
