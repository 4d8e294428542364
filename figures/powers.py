"""Label logarithmic axes, by powers of ten or by decimals, in letters that all have the size of text."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from .captions import RAISED

__all__ = ["power_of_ten", "power_ticks"]

MOST_TICKS, FEW_DECADES = 7, 4


def power_of_ten(value: float) -> str:
    """Return a power of ten as text.

    Examples
    --------
    >>> power_of_ten(1e-12), power_of_ten(1000), power_of_ten(1)
    ('10⁻¹²', '10³', '1')
    """
    power = round(math.log10(value))
    return {0: "1", 1: "10"}.get(power, f"10{str(power).translate(RAISED)}")


def power_ticks(axes: Axes, which: str) -> None:
    """Put at most seven ticks at powers of ten on a logarithmic axis; decimals if it spans less than four decades.

    Parameters
    ----------
    axes : Axes
        Axes whose limits are set.
    which : {"x", "y"}
        The axis.
    """
    axis, limits = {"x": (axes.xaxis, axes.get_xlim()), "y": (axes.yaxis, axes.get_ylim())}[which]
    first, last = math.ceil(math.log10(min(limits))), math.floor(math.log10(max(limits)))
    decades = math.log10(max(limits) / min(limits))
    if decades < FEW_DECADES:
        leading = (1, 3) if decades < FEW_DECADES - 1.5 else (1,)
        places = [factor * 10.0**power for power in range(first - 1, last + 1) for factor in leading]
        axis.set_ticks([place for place in places if min(limits) <= place <= max(limits)])
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.12g}"))
        axis.set_minor_locator(NullLocator())
        return
    every = max(1, math.ceil((last - first + 1) / MOST_TICKS))
    axis.set_ticks([10.0**power for power in range(first, last + 1) if power % every == 0])
    axis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
