"""Read a schedule from a short text, as it is typed on a command line."""

from __future__ import annotations

import json
from collections.abc import Callable

from ..errors import InvalidInput
from .schedules import Constant, Cosine, Linear, Schedule, Step, WarmUp, schedule_from_dict

__all__ = ["schedule_from_text"]

_FORMS = (
    "a number (0.1), linear:START:END, cosine:START:END, step:START:FACTOR:every=STEPS, "
    "step:START:FACTOR:at=STEP,STEP, warm-up:STEPS: before any of these, or the JSON of a schedule"
)


def schedule_from_text(text: str, n_steps: int) -> Schedule:
    """Return the schedule that a text describes.

    Parameters
    ----------
    text : str
        A number, ``linear:START:END``, ``cosine:START:END``, ``step:START:FACTOR:every=STEPS``,
        ``step:START:FACTOR:at=STEP,STEP``, ``warm-up:STEPS:`` before any of these, or the JSON of a schedule.
    n_steps : int
        Length of the run; lines and cosines end with it.

    Returns
    -------
    Schedule

    Raises
    ------
    InvalidInput
        If the text has none of these forms, or its numbers are not allowed.

    Examples
    --------
    >>> schedule_from_text("warm-up:100:cosine:0.1:0", 1000)
    WarmUp(n_steps=100, then=Cosine(start=0.1, end=0.0, n_steps=900))
    """
    stripped = text.strip()
    if stripped.startswith("{"):
        try:
            plain = json.loads(stripped)
        except ValueError:
            raise InvalidInput(f"the schedule {text!r} is no valid JSON") from None
        return schedule_from_dict(plain)
    kind, *parts = stripped.split(":")
    try:
        return _FROM_PARTS.get(kind, _constant)(stripped, parts, n_steps)
    except (ValueError, IndexError) as problem:
        if isinstance(problem, InvalidInput):
            raise
        raise InvalidInput(f"the schedule {text!r} cannot be read; it must be {_FORMS}") from None


def _constant(text: str, parts: list[str], n_steps: int) -> Schedule:
    del parts, n_steps
    return Constant(float(text))


def _line(kind: type[Linear] | type[Cosine]) -> Callable[[str, list[str], int], Schedule]:
    def make(_text: str, parts: list[str], n_steps: int) -> Schedule:
        start, end = map(float, parts)
        return kind(start, end, n_steps)

    return make


def _step(_text: str, parts: list[str], n_steps: int) -> Schedule:
    del n_steps
    start, factor, when = parts
    name, _, steps = when.partition("=")
    if name == "every":
        return Step(float(start), float(factor), every=int(steps))
    if name == "at":
        return Step(float(start), float(factor), at=tuple(map(int, steps.split(","))))
    raise ValueError


def _warm_up(_text: str, parts: list[str], n_steps: int) -> Schedule:
    rising = int(parts[0])
    return WarmUp(rising, schedule_from_text(":".join(parts[1:]), max(1, n_steps - rising)))


_FROM_PARTS: dict[str, Callable[[str, list[str], int], Schedule]] = {
    "linear": _line(Linear),
    "cosine": _line(Cosine),
    "step": _step,
    "warm-up": _warm_up,
}
