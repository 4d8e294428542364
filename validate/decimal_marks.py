"""Read the numbers of a log whatever mark its decimals have, and refuse marks that could mean two things."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

__all__ = ["NumberReader"]

_DECIMAL = re.compile(r"[+-]?\d+,\d+(?:e[+-]?\d+)?", re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")
_BOTH = re.compile(r"[+-]?\d{1,3}(?:(?:,\d{3})+\.|(?:\.\d{3})+,)\d+")


class NumberReader:
    """Turns the cells of one file into numbers.

    Spreadsheets of some countries write 0,5 for 0.5. That is read if all numbers with a mark have the comma, and one of
    them shows that it marks decimals: "1,234" alone could be a thousand and more. A file with both marks is refused.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._point: str | None = None
        self._comma: str | None = None
        self._ambiguous: str | None = None

    def numbers(self, values: Sequence[Any]) -> NDArray[np.float64]:
        """Return cells as floats, with nan for what is no number.

        >>> NumberReader("log.csv").numbers(["0,5", "1,5e1", "", "2"]).tolist()
        [0.5, 15.0, nan, 2.0]
        """
        if isinstance(values, np.ndarray):
            return values.astype(np.float64)
        try:
            found = np.fromiter(map(float, values), np.float64, len(values))
        except (TypeError, ValueError, OverflowError):
            found = np.fromiter(map(self._number, values), np.float64, len(values))
        if self._point is None:
            self._point = next((value for value in values if isinstance(value, str) and _is_pointed(value)), None)
        comma = self._comma or self._ambiguous
        if comma is not None and self._point is not None:
            raise DataError(
                f"{self._file} has numbers with a comma ({comma}) and with a point ({self._point}); write all decimals "
                "with a point, and no mark between thousands"
            )
        return found

    def check(self) -> None:
        """Refuse the file if no number told what its commas mean; to be called when all is read."""
        if self._comma is None and self._ambiguous is not None:
            raise DataError(
                f"{self._file} has numbers such as {self._ambiguous}, whose comma could mark decimals or thousands; "
                "write decimals with a point, and no mark between thousands"
            )

    def _number(self, value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError, OverflowError):
            text = value.strip() if isinstance(value, str) else ""
        if _BOTH.fullmatch(text) or (text.count(",") > 1 and _THOUSANDS.fullmatch(text)):
            raise DataError(f"{self._file} has numbers with a mark between thousands ({text}); write them without")
        if _THOUSANDS.fullmatch(text):
            self._ambiguous = self._ambiguous or text
        elif _DECIMAL.fullmatch(text):
            self._comma = self._comma or text
        else:
            return math.nan
        return float(text.replace(",", "."))


def _is_pointed(text: str) -> bool:
    """Return whether a text is a number with a point."""
    if "." not in text:
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True
