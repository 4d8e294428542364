"""Tell a report's comparisons as a table, in LaTeX and Markdown, and as one sentence to quote."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..validate import Comparison, Report
from .captions import number, percent, to_markdown, to_tex

__all__ = ["VERDICTS", "cells", "quotation", "table_markdown", "table_tex", "with_error"]

HEAD = ("Quantity", "Predicted", "Measured", "Ratio", "Tolerance", "Verdict", "Given")
VERDICTS = {None: "reported", True: "inside", False: "OUTSIDE"}
DIGITS = 4
ROUNDING = 1e-9  # a standard error that is less, relative to its value, is none
NEAR = 5e-4  # a ratio that is nearer to 1 is told by its distance from 1


def with_error(value: float, error: float | None) -> str:
    """Return a value with its standard error, both rounded to two digits of the error.

    Parameters
    ----------
    value : float
        Measured value.
    error : float or None
        Its standard error; without one the value has four significant digits, and so it has with one that is rounding,
        less than 1e-9 of the value.

    Returns
    -------
    str
        In plain text.

    Examples
    --------
    >>> with_error(3.7461, 0.0213), with_error(3.7461, None), with_error(1234567, 4100)
    ('3.746 ± 0.021', '3.746', '(1.2346 ± 0.0041)×10⁶')
    """
    if error is None or not math.isfinite(error) or not math.isfinite(value) or error <= ROUNDING * abs(value):
        return number(float(value), DIGITS)
    place = math.floor(math.log10(max(abs(value), error)))
    power = place if not -4 < place < 6 else 0
    decimals = max(0, 1 - math.floor(math.log10(error)) + power)
    scale = 10.0**power
    told = f"{value / scale:.{decimals}f} ± {error / scale:.{decimals}f}".replace("-", "−")
    if not power:
        return told
    return f"({told})×10{str(power).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def cells(comparison: Comparison) -> tuple[str, ...]:
    """Return one row of the table in plain text: quantity, predicted, measured, ratio, tolerance, verdict, given."""
    unit = "" if comparison.unit == "1" else f" [{comparison.unit}]"
    if comparison.tolerance is None:
        tolerance = "–"
    elif comparison.tolerance_kind == "relative" and comparison.tolerance >= NEAR:
        tolerance = f"±{percent(comparison.tolerance)}"
    else:
        tolerance = f"±{number(comparison.tolerance, 2)}"
    digits = _digits(comparison)
    measured = with_error(comparison.measured, comparison.standard_error)
    return (
        comparison.quantity + unit,
        number(float(comparison.predicted), digits),
        measured if "±" in measured else number(float(comparison.measured), digits),
        _ratio(comparison.ratio),
        tolerance,
        VERDICTS[comparison.passed],
        comparison.inputs,
    )


def _digits(comparison: Comparison) -> int:
    """Return the significant digits that tell predicted and measured apart, as far as the standard error lets them."""
    predicted, measured, error = float(comparison.predicted), comparison.measured, comparison.standard_error
    size = max(abs(predicted), abs(measured))
    known = error if error is not None and error > ROUNDING * size else abs(measured - predicted)
    if not math.isfinite(size + known) or not predicted or known <= ROUNDING * size:
        return DIGITS
    return max(DIGITS, math.floor(math.log10(size)) - math.floor(math.log10(known)) + 2)


def _ratio(ratio: float) -> str:
    """Return a ratio; one that is near 1 by its distance from 1."""
    if not math.isfinite(ratio):
        return "–"
    distance = ratio - 1
    if abs(distance) >= NEAR:
        return number(ratio, DIGITS)
    return f"1 {'−' if distance < 0 else '+'} {number(abs(distance), 2)}" if distance else "1"


def table_markdown(report: Report) -> str:
    """Return the comparisons as a Markdown table.

    Parameters
    ----------
    report : Report
        Any report.

    Returns
    -------
    str
        A line for each comparison below two of head, and a newline at the end. What is outside its tolerance is bold.
    """
    lines = [f"| {' | '.join(HEAD)} |", "|---|--:|--:|--:|--:|---|---|"]
    for comparison in report.comparisons:
        row = [to_markdown(text) for text in cells(comparison)]
        if comparison.passed is False:
            row[5] = f"**{row[5]}**"
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def table_tex(report: Report, figure_id: str) -> str:
    """Return the comparisons as a LaTeX table that may run over pages.

    Parameters
    ----------
    report : Report
        Any report.
    figure_id : str
        Name of the figure, for caption and label.

    Returns
    -------
    str
        A ``longtable``.
    """
    widths = [r"p{0.34\linewidth}", "r", "r", "r", "r", "l", r"p{0.14\linewidth}"]
    head = " & ".join(HEAD)
    rows = []
    for comparison in report.comparisons:
        row = [to_tex(text) for text in cells(comparison)]
        if comparison.passed is False:
            row[5] = rf"\textbf{{{row[5]}}}"
        rows.append(" & ".join(row) + r" \\")
    body = "\n".join(rows)
    return rf"""% Needs \usepackage{{longtable}}.
{{\scriptsize\setlength{{\tabcolsep}}{{3pt}}
\begin{{longtable}}{{{" ".join(widths)}}}
\caption{{Predicted and measured, for figure~\ref{{fig:{figure_id}}}.}}\label{{tab:{figure_id}}}\\
\hline
{head} \\
\hline
\endfirsthead
\hline
{head} \\
\hline
\endhead
\hline
\endlastfoot
{body}
\end{{longtable}}}}
"""


def quotation(report: Report, key: str | None = None) -> str:
    """Return one sentence with value and error that can be quoted as it stands.

    Parameters
    ----------
    report : Report
        Any report.
    key : str, optional
        Key of the comparison to tell; by default the first that has a tolerance, or else the first.

    Returns
    -------
    str
        The sentence; empty for a report without comparisons.

    Raises
    ------
    InvalidInput
        If the report has no comparison of that key.
    """
    if not report.comparisons:
        return ""
    judged = [found for found in report.comparisons if found.passed is not None]
    told = report.comparison(key) if key else (judged or report.comparisons)[0]
    quantity, predicted, measured, ratio, tolerance, _, inputs = cells(told)
    verdict = {
        None: "no tolerance was set",
        True: f"inside the tolerance of {tolerance}, set beforehand",
        False: f"outside the tolerance of {tolerance}, set beforehand",
    }[told.passed]
    error = f" (mean and standard error over {told.error_over})" if "±" in measured else ""
    return (
        f"{quantity[0].upper()}{quantity[1:]}: measured {measured}{error}, predicted {predicted} from "
        f"{inputs if inputs != 'nothing' else 'nothing measured'} (ratio {ratio}; {verdict}). {_tally(judged)}"
    )


def _tally(judged: Sequence[Comparison]) -> str:
    inside = sum(found.passed is True for found in judged)
    if not judged:
        return "No comparison of this figure has a tolerance."
    return f"Of {len(judged)} comparisons with a tolerance, {inside} are inside it."
