"""What an experiment returns: predictions beside measurements, with their errors and their origin."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import check_choice

__all__ = ["Comparison", "Curve", "Report", "over_seeds", "plain", "standard_error"]


@dataclass(frozen=True)
class Comparison:
    """Hold one prediction against one measurement.

    Parameters
    ----------
    quantity : str
        What is compared, with the place where it was measured ("variance of layer 2").
    unit : str
        Unit of both numbers; "1" for a pure number.
    predicted, measured : float
        Predicted and measured value.
    standard_error : float or None
        Standard error of the measured mean; None where one run is compared exactly.
    inputs : str
        What the prediction was given: "nothing", "hyperparameters and data", "outputs", "gradients", ...
    tolerance : float or None, optional
        Largest deviation that counts as agreement; None reports without judging.
    tolerance_kind : {"relative", "absolute"}, optional
        Whether the deviation is divided by the predicted value.
    reason : str, optional
        Why the tolerance is what it is, or why there is none.
    key : str, optional
        Short name by which captions and tests find the comparison, unique within its report ("threshold tanh").
    error_over : str, optional
        What the standard error is over: "seeds", or whatever else was repeated.

    Attributes
    ----------
    ratio : float
        measured / predicted.
    passed : bool or None
        Whether the deviation is within the tolerance; None without a tolerance; False for a value that is not finite.

    Examples
    --------
    >>> Comparison("dead pixels", "1", 1.0, 1.000001, None, inputs="nothing", tolerance=1e-5).passed
    True
    """

    quantity: str
    unit: str
    predicted: float
    measured: float
    standard_error: float | None
    inputs: str
    tolerance: float | None = None
    tolerance_kind: Literal["relative", "absolute"] = "relative"
    reason: str = ""
    key: str = ""
    error_over: str = "seeds"
    ratio: float = field(init=False)
    passed: bool | None = field(init=False)

    def __post_init__(self) -> None:
        ratio = self.measured / self.predicted if self.predicted else math.nan
        object.__setattr__(self, "ratio", ratio)
        object.__setattr__(self, "passed", self._judge())

    def _judge(self) -> bool | None:
        if self.tolerance is None:
            return None
        deviation = abs(self.measured - self.predicted)
        allowed = self.tolerance * (abs(self.predicted) if self.tolerance_kind == "relative" else 1.0)
        return bool(deviation <= allowed)


def standard_error(values: Any) -> Any:
    """Return the standard error of the mean over the first axis; nan for a single run.

    Examples
    --------
    >>> float(standard_error([1.0, 2.0, 3.0]))
    0.5773502691896258
    """
    values = np.asarray(values)
    n_seeds = len(values)
    return np.std(values, axis=0, ddof=1) / math.sqrt(n_seeds) if n_seeds > 1 else np.full(values.shape[1:], np.nan)


def over_seeds(
    quantity: str, predicted: Any, measured: Any, inputs: str, reason: str, *, unit: str = "1", **others: Any
) -> Comparison:
    """Compare the means over seeds of a prediction and a measurement.

    Parameters
    ----------
    quantity, inputs, reason, unit
        As in `Comparison`, and so are the others.
    predicted, measured : float or (n_seeds,) array_like
        Both as each seed has them; the standard error is that of the measured ones.

    Examples
    --------
    >>> compared = over_seeds("rms", [1.0, 1.2], [1.1, 1.3], "outputs", "as stated", tolerance=0.02)
    >>> round(compared.ratio, 6)
    1.090909
    """
    mean, error = float(np.mean(measured)), float(standard_error(np.atleast_1d(measured)))
    return Comparison(quantity, unit, float(np.mean(predicted)), mean, error, inputs, reason=reason, **others)


@dataclass(frozen=True)
class Curve:
    """Hold one line or one row of markers of a figure.

    Parameters
    ----------
    name : str
        Label of the curve, unique within its panel.
    panel : str
        Panel it belongs to.
    kind : {"theory", "simulation", "experiment", "reference"}
        Theory is drawn as a line, simulation as a thin line, experiment as markers with error bars,
        a reference (somebody else's number) as an open marker.
    x, y : (n,) ndarray
        Coordinates.
    x_name, x_unit, y_name, y_unit : str
        Quantities and units of the coordinates; "1" for pure numbers.
    standard_error : (n,) ndarray or None, optional
        Standard error of y over seeds.
    """

    name: str
    panel: str
    kind: Literal["theory", "simulation", "experiment", "reference"]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    x_name: str
    x_unit: str
    y_name: str
    y_unit: str
    standard_error: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        for name in ("x", "y", "standard_error"):
            values = getattr(self, name)
            if values is not None:
                values = np.array(values, dtype=np.float64, ndmin=1)
                values.flags.writeable = False
                object.__setattr__(self, name, values)


@dataclass(frozen=True)
class Report:
    """Hold what one experiment found.

    Parameters
    ----------
    experiment : str
        Name of the experiment.
    comparisons : tuple of Comparison
        Predicted against measured, in the order in which they are told.
    curves : tuple of Curve
        What a figure draws.
    provenance : mapping
        Plain JSON values: scale, seed, parameters, data set, versions, checksum of the code.
    """

    experiment: str
    comparisons: tuple[Comparison, ...]
    curves: tuple[Curve, ...]
    provenance: Mapping[str, Any]

    @property
    def passed(self) -> bool:
        """Whether every comparison that has a tolerance is within it."""
        return all(comparison.passed is not False for comparison in self.comparisons)

    def comparison(self, key: str) -> Comparison:
        """Return the comparison of a key.

        Raises
        ------
        InvalidInput
            If the report has none of that key.
        """
        by_key = {comparison.key: comparison for comparison in self.comparisons if comparison.key}
        return by_key[check_choice("key", key, by_key)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; NaN and infinity become None."""
        return {
            "experiment": self.experiment,
            "passed": self.passed,
            "comparisons": [plain(asdict(comparison)) for comparison in self.comparisons],
            "curves": [plain(asdict(curve)) for curve in self.curves],
            "provenance": plain(dict(self.provenance)),
        }


def plain(value: Any) -> Any:
    """Return a value as plain JSON has it: lists, dicts, numbers; NaN and infinity become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
