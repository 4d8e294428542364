"""The csv of a figure holds its curves to the last bit."""

import contextlib
import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from weightdecay.errors import DataError, InvalidInput
from weightdecay.figures.table import read_curves, write_curves
from weightdecay.validate import Curve

AXES = ("time", "epochs", "variance", "1")
NAMES = st.text(st.characters(exclude_characters="#\r\n", exclude_categories=["Cs"]), min_size=1, max_size=9)


def curve(name="layer 2, trained", panel="variance", kind="experiment", y=(1.0, 0.5), axes=AXES, error=None):
    return Curve(name, panel, kind, np.arange(len(y)), np.array(y), *axes, standard_error=error)


def same(left, right):
    return (
        (left.name, left.panel, left.kind, left.x_name, left.x_unit, left.y_name, left.y_unit)
        == (right.name, right.panel, right.kind, right.x_name, right.x_unit, right.y_name, right.y_unit)
        and np.array_equal(left.x, right.x, equal_nan=True)
        and np.array_equal(left.y, right.y, equal_nan=True)
        and (left.standard_error is None) == (right.standard_error is None)
        and (left.standard_error is None or np.array_equal(left.standard_error, right.standard_error, equal_nan=True))
    )


@given(
    y=hnp.arrays(np.float64, st.integers(1, 5)),
    with_error=st.booleans(),
    kind=st.sampled_from(["theory", "simulation", "experiment", "reference"]),
    names=st.tuples(NAMES, NAMES, NAMES, NAMES, NAMES, NAMES),
)
def test_any_curve_reads_back_as_it_was(y, with_error, kind, names):
    name, panel, *axes = names
    written = curve(name, panel, kind, y, axes, np.full(len(y), np.nan) if with_error else None)
    (read,) = read_curves(write_curves("example", [written]))
    assert same(written, read)


def test_curves_keep_their_order_and_share_names_across_panels():
    curves = [
        curve("b"),
        curve("a", kind="theory"),
        curve("b", panel="size"),
        curve("c", error=np.array([0.1, np.nan])),
    ]
    read = read_curves(write_curves("example", curves))
    assert [("variance", "b"), ("variance", "a"), ("size", "b"), ("variance", "c")] == [(c.panel, c.name) for c in read]
    assert all(map(same, curves, read))


def test_the_table_alone_says_figure_axes_and_units():
    text = write_curves("example", [curve(y=[0.1])])
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert ["# figure: example", "# panel,x_name,x_unit,y_name,y_unit", "# variance,time,epochs,variance,1"] == comments
    rows = csv.DictReader(io.StringIO("\n".join(line for line in text.splitlines() if not line.startswith("#"))))
    assert {
        "panel": "variance",
        "curve": "layer 2, trained",
        "kind": "experiment",
        "x": "0.0",
        "y": "0.1",
        "standard_error": "",
    } == next(rows)


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        ([curve(), curve()], "panel 'variance' has two curves named 'layer 2, trained'; name them apart"),
        ([curve("a"), curve("b", axes=("time", "steps", "variance", "1"))], "have different axes; give them the same"),
        ([curve("number #2")], "has a # or a line break"),
        ([curve("two\nlines")], "has a # or a line break"),
    ],
)
def test_curves_that_a_table_cannot_hold_are_refused(curves, message):
    with pytest.raises(InvalidInput, match=message):
        write_curves("example", curves)


GOOD = write_curves("example", [curve()])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GOOD.replace("variance,1", "vari\rance,1"), "is no csv"),
        ("", "other columns than panel, curve, kind, x, y, standard_error"),
        (GOOD.replace("panel,curve,kind", "panel,kind,curve"), "other columns"),
        (GOOD.replace("# panel,", "# panels,"), "other columns"),
        (GOOD.replace("experiment,0.0,", "experiment,zero,"), "row 1 of the table is no point"),
        (GOOD.replace("experiment,1.0,", "guess,1.0,"), "row 2 of the table is no point"),
        (GOOD.replace("# variance", "# size"), "row 1 of the table is no point"),
        (GOOD + "variance,a,theory,1\n", "row 3 of the table is no point"),
    ],
)
def test_a_damaged_table_is_refused(text, message):
    with pytest.raises(DataError, match=message):
        read_curves(text)


@given(st.text())
def test_any_text_is_read_or_refused(text):
    for whole in (text, GOOD + text):
        with contextlib.suppress(DataError):
            read_curves(whole)
