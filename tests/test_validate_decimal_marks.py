"""Decimal commas of a spreadsheet's export are read right, or refused in a sentence; never misread."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightdecay.errors import DataError
from weightdecay.validate import diagnose, read_log
from weightdecay.validate.decimal_marks import NumberReader

RUN = {"lr": 0.1, "weight_decay": 0.01}
STEP = np.arange(0, 3000, 30)
SIZES = 10.0 + 90.0 * np.exp(-2e-3 * STEP)


def written(folder, name, header, rows, mark):
    path = folder / name
    path.write_text("\n".join([header, *(mark.join(row) for row in rows)]) + "\n")
    return path


@pytest.mark.parametrize("mark", [";", "\t"])
def test_decimal_commas_are_the_same_log(tmp_path, mark):
    plain, comma = (
        written(
            tmp_path,
            f"{point}.csv",
            mark.join(["step", "layer", "norm_squared"]),
            [(str(step), "fc", f"{size:.6f}".replace(".", point)) for step, size in zip(STEP, SIZES, strict=True)],
            mark,
        )
        for point in (".", ",")
    )
    assert diagnose(plain, **RUN).layers[0].verdict == diagnose(comma, **RUN).layers[0].verdict


def test_quoted_decimal_commas_are_read_in_wide_and_long_logs(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text('step,norm/a,norm/b\n0,"1,5","2,5e1"\n1,"1,25","3"\n')
    a, b = read_log(path, layer_columns="^norm/(.*)").layers
    assert [1.5, 1.25] == a.size.tolist()
    assert [25.0, 3.0] == b.size.tolist()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["0;fc;1,5", "1;fc;1.5"], r"has numbers with a comma \(1,5\) and with a point \(1.5\)"),
        (["0;fc;1.234,5", "1;fc;2"], r"mark between thousands \(1.234,5\)"),
        (["0;fc;1,234.5", "1;fc;2"], r"mark between thousands \(1,234.5\)"),
        (["0;fc;1,234", "1;fc;2,345"], r"numbers such as 1,234, whose comma could mark decimals or thousands"),
        (["1,000;fc;12", "2,000;fc;11"], r"numbers such as 1,000, whose comma could mark decimals or thousands"),
        (["0;fc;1,234,567", "1;fc;2"], r"mark between thousands \(1,234,567\)"),
    ],
)
def test_what_could_mean_two_things_is_refused(tmp_path, rows, message):
    path = tmp_path / "log.csv"
    path.write_text("\n".join(["step;layer;norm", *rows]))
    with pytest.raises(DataError, match=message):
        read_log(path)


def test_a_point_in_a_later_part_of_the_file_is_seen():
    read = NumberReader("log.csv")
    read.numbers(["1,5"])
    with pytest.raises(DataError, match=r"with a comma \(1,5\) and with a point \(2.5\)"):
        read.numbers(["2.5"])
    read = NumberReader("log.csv")
    read.numbers(["2.5"])
    with pytest.raises(DataError, match="write all decimals with a point"):
        read.numbers(["3", "1,5"])


def test_thousands_are_decimals_once_another_number_shows_it():
    read = NumberReader("log.csv")
    assert [1.234, 0.5] == read.numbers(["1,234", "0,5"]).tolist()
    read.check()


@given(st.lists(st.floats(-1e12, 1e12, allow_nan=False), min_size=1))
def test_a_comma_is_a_point_or_refused(values):
    read = NumberReader("log.csv")
    texts = [f"{value:.4f}" for value in values]
    assert [float(text) for text in texts] == read.numbers([text.replace(".", ",") for text in texts]).tolist()
    read.check()
