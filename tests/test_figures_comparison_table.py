"""The table of comparisons says in words and numbers what the report holds."""

import dataclasses
import math

import pytest

from weightdecay.errors import InvalidInput
from weightdecay.figures.comparison_table import cells, quotation, table_markdown, table_tex, with_error
from weightdecay.validate import Comparison, Report

INSIDE = Comparison("rms of layer_2", "1", 1.0, 1.01, 0.02, inputs="outputs", tolerance=0.05, key="rms")
OUTSIDE = Comparison("slope", "1", -0.5, -0.4, None, inputs="nothing", tolerance=0.02, tolerance_kind="absolute")
REPORTED = Comparison("time constant", "step", 1e5, 1.2e5, 500.0, inputs="hyperparameters")
EXACT = Comparison("dead pixels", "1", 1.0, 1 + 2.5e-7, 1e-17, inputs="nothing", tolerance=1e-5)


def report(*comparisons):
    return Report("anything", comparisons, (), {})


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (3.7461, 0.0213, "3.746 ± 0.021"),
        (-3.7461, 0.0213, "−3.746 ± 0.021"),
        (912.34, 3.12, "912.3 ± 3.1"),
        (0.0001, 0.002, "0.0001 ± 0.0020"),
        (1e-7, 2e-8, "(1.00 ± 0.20)×10⁻⁷"),
        (1234567.0, 4100.0, "(1.2346 ± 0.0041)×10⁶"),
        (912.34, None, "912.3"),
        (912.34, math.nan, "912.3"),
        (912.34, 1e-15, "912.3"),
        (math.nan, 1.0, "unknown"),
    ],
)
def test_a_value_and_its_error_are_rounded_to_two_digits_of_the_error(value, error, text):
    assert text == with_error(value, error)


@pytest.mark.parametrize(
    ("predicted", "measured", "error", "texts"),
    [
        (0.5535166, 0.5534649, 1.2e-5, ("0.553517", "0.553465 ± 0.000012")),  # to the place of the error
        (0.95122942, 0.95122919, None, ("0.95122942", "0.95122919")),  # until they differ
        (0.2700, 0.2700 * (1 - 2e-16), None, ("0.2700", "0.2700")),
        (1.0, 3.7461, 0.5, ("1.000", "3.75 ± 0.50")),
        (0.0, 2e-16, None, ("0", "2.000×10⁻¹⁶")),
        (math.nan, 1.0, None, ("unknown", "1.000")),
    ],
)
def test_predicted_has_the_digits_that_tell_it_from_measured(predicted, measured, error, texts):
    told = cells(Comparison("size", "1", predicted, measured, error, inputs="nothing"))
    assert texts == told[1:3]


def test_the_markdown_table_has_a_row_for_each_comparison_and_marks_what_is_outside():
    lines = table_markdown(report(INSIDE, OUTSIDE, REPORTED, EXACT)).splitlines()
    assert 2 + 4 == len(lines)
    assert {8} == {line.replace("\\|", "").count("|") for line in lines}
    assert [False, True, False, False] == ["**OUTSIDE**" in line for line in lines[2:]]
    assert r"rms of layer\_2" in lines[2]
    assert "±0.020" in lines[3]
    assert "time constant \\[step\\]" in lines[4] or "time constant [step]" in lines[4]
    assert "1 + 2.5×10⁻⁷" in lines[5]


def test_the_latex_table_has_a_row_for_each_comparison_and_marks_what_is_outside():
    text = table_tex(report(INSIDE, OUTSIDE), "width")
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and not line.startswith(("Quantity", "\\"))]
    assert 2 == len(rows)
    assert [6, 6] == [row.count(" & ") for row in rows]
    assert r"\textbf{OUTSIDE}" in rows[1]
    assert r"layer\_2" in rows[0]
    assert r"1.010 $\pm$ 0.020" in rows[0]
    assert r"\label{tab:width}" in text


def test_the_sentence_to_quote_tells_the_first_judged_comparison_with_its_error_and_how_many_hold():
    sentence = quotation(report(REPORTED, INSIDE, OUTSIDE))
    assert sentence.startswith("Rms of layer_2: measured 1.010 ± 0.020 (mean and standard error over seeds)")
    assert "predicted 1.000 from outputs (ratio 1.010; inside the tolerance of ±5.0 %, set beforehand)" in sentence
    assert sentence.endswith("Of 2 comparisons with a tolerance, 1 are inside it.")


def test_the_sentence_to_quote_says_what_its_error_is_over():
    told = quotation(report(dataclasses.replace(INSIDE, error_over="blocks of steps")))
    assert "measured 1.010 ± 0.020 (mean and standard error over blocks of steps)" in told


def test_the_sentence_to_quote_can_tell_another_comparison_and_a_failure_as_one():
    assert quotation(report(OUTSIDE, INSIDE), "rms").startswith("Rms of layer_2")
    assert "outside the tolerance" in quotation(report(OUTSIDE))
    assert "no tolerance was set" in quotation(report(REPORTED))
    assert "" == quotation(report())
    with pytest.raises(InvalidInput, match="key"):
        quotation(report(INSIDE), "size")
