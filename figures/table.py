"""Write the curves of a figure as a tidy table, and read them back to the last bit.

The table is CSV. Lines that begin with ``#`` name the figure and, for each panel, its axes and their units; one row
follows for each point. ``pandas.read_csv(path, comment="#")`` reads it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, InvalidInput
from ..validate import Curve

__all__ = ["read_curves", "write_curves"]

COLUMNS = ("panel", "curve", "kind", "x", "y", "standard_error")
AXES = ("panel", "x_name", "x_unit", "y_name", "y_unit")
KINDS = ("theory", "simulation", "experiment", "reference")


def write_curves(figure_id: str, curves: Sequence[Curve]) -> str:
    """Return the curves as CSV.

    Parameters
    ----------
    figure_id : str
        Name of the figure, for the first line.
    curves : sequence of Curve
        What to write. Curves of one panel share their axes.

    Returns
    -------
    str
        The table, with lines that end in one newline character.

    Raises
    ------
    InvalidInput
        If two curves of a panel have the same name or different axes, or a name has a ``#`` or a line break.

    Examples
    --------
    >>> x, y = np.array([0, 1]), np.array([1, 0.1])
    >>> curve = Curve("floor", "size", "theory", x, y, "time", "epochs", "rms weight", "1")
    >>> print(write_curves("example", [curve]))
    # figure: example
    # panel,x_name,x_unit,y_name,y_unit
    # size,time,epochs,rms weight,1
    panel,curve,kind,x,y,standard_error
    size,floor,theory,0.0,1.0,
    size,floor,theory,1.0,0.1,
    <BLANKLINE>
    """
    axes: dict[str, tuple[str, ...]] = {}
    seen: set[tuple[str, str]] = set()
    rows: list[tuple[str, ...]] = []
    for curve in curves:
        names = (curve.panel, curve.x_name, curve.x_unit, curve.y_name, curve.y_unit)
        if axes.setdefault(curve.panel, names) != names:
            raise InvalidInput(f"the curves of panel {curve.panel!r} have different axes; give them the same ones")
        if (curve.panel, curve.name) in seen:
            raise InvalidInput(f"panel {curve.panel!r} has two curves named {curve.name!r}; name them apart")
        if any(mark in text for text in (*names, curve.name) for mark in "#\r\n"):
            raise InvalidInput(
                f"a name in panel {curve.panel!r} has a # or a line break, which the table gives meaning"
            )
        seen.add((curve.panel, curve.name))
        errors = [""] * len(curve.x) if curve.standard_error is None else _texts(curve.standard_error)
        rows += [
            (curve.panel, curve.name, curve.kind, *values)
            for values in zip(_texts(curve.x), _texts(curve.y), errors, strict=True)
        ]
    comments = [f"# {line}" for line in (f"figure: {figure_id}", *_lines([AXES, *axes.values()]))]
    return "\n".join([*comments, *_lines([COLUMNS, *rows]), ""])


def read_curves(text: str) -> tuple[Curve, ...]:
    """Return the curves of a table that `write_curves` wrote.

    Parameters
    ----------
    text : str
        The table.

    Returns
    -------
    tuple of Curve
        In the order in which their first points stand.

    Raises
    ------
    DataError
        If the table has other columns, a row that is no point of a curve, or a panel without axes.
    """
    lines = text.removesuffix("\n").split("\n")
    _, *comments = [line.removeprefix("# ") for line in lines if line.startswith("#")] or [""]
    try:
        declared = list(csv.reader(comments))
        rows = list(csv.reader(line for line in lines if not line.startswith("#")))
    except csv.Error as problem:
        raise DataError(f"the table is no csv ({problem}); take the csv that was saved") from None
    if not rows or tuple(rows[0]) != COLUMNS or not declared or tuple(declared[0]) != AXES:
        raise DataError(f"the table has other columns than {', '.join(COLUMNS)}; take the csv that was saved")
    axes = {row[0]: row[1:] for row in declared[1:] if len(row) == len(AXES)}
    points: dict[tuple[str, str, str], list[tuple[float, float, float | None]]] = {}
    for place, row in enumerate(rows[1:], start=1):
        try:
            panel, name, kind, x, y, error = row
            if panel not in axes or kind not in KINDS:
                raise ValueError
            point = (float(x), float(y), float(error) if error else None)
        except ValueError:
            raise DataError(f"row {place} of the table is no point of a curve ({','.join(row)!r})") from None
        points.setdefault((panel, name, kind), []).append(point)
    return tuple(
        Curve(
            name=name,
            panel=panel,
            kind=kind,  # type: ignore[arg-type]  # one of KINDS
            x=np.array([x for x, _, _ in found]),
            y=np.array([y for _, y, _ in found]),
            standard_error=_errors([error for _, _, error in found]),
            **dict(zip(AXES[1:], axes[panel], strict=True)),
        )
        for (panel, name, kind), found in points.items()
    )


def _errors(values: list[float | None]) -> NDArray[np.float64] | None:
    if all(value is None for value in values):
        return None
    return np.array([np.nan if value is None else value for value in values])


def _texts(values: Iterable[float]) -> list[str]:
    """Return the shortest decimals that read back as the same numbers."""
    return [repr(float(value)) for value in values]


def _lines(rows: Iterable[Iterable[str]]) -> list[str]:
    """Return rows as lines of CSV, quoted where needed."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().split("\n")[:-1]
