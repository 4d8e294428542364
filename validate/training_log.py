"""Read a user's training log into one thinned curve per layer, whatever its length."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, InvalidInput, check_choice
from .decimal_marks import NumberReader
from .log_rows import LogRows, open_rows, unknown_column

__all__ = ["COLUMNS", "LOG_SIZES", "LayerLog", "TrainingLog", "read_log"]

FloatArray = NDArray[np.float64]
LOG_SIZES = ("norm", "norm_squared", "rms")
"""Ways in which a size column tells the size of a layer."""
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "step": ("step", "global_step", "_step", "iteration"),
    "layer": ("layer", "name", "parameter"),
    "size": LOG_SIZES,
    "gradient_norm": ("gradient_norm", "grad_norm"),
    "lr": ("lr", "learning_rate"),
    "weight_decay": ("weight_decay",),
    "cross_entropy": ("cross_entropy",),
    "entropy": ("entropy",),
    "n_weights": ("n_weights",),
}
"""What a log can hold, and the names by which each is found unless another is given."""
_KEPT = 1024
"""Rows kept of a layer, at least; from twice as many on every other one goes."""
_MOST_LAYERS = 20_000
_LARGEST = 1e140
"""Size whose square, times any number of weights, is still a floating-point number."""


@dataclass(frozen=True, eq=False)
class LayerLog:
    """The rows of one layer, thinned.

    Attributes
    ----------
    name : str
        Name of the layer.
    step : (n_kept,) ndarray
        Steps at which the size was written.
    size : (n_kept,) ndarray
        The size there, as the log tells it.
    lr : (n_kept,) ndarray or None
        Learning rate, if the log has it.
    summed_lr : (n_kept,) ndarray or None
        Sum over all steps before of the learning rate, which holds from its row to the next.
    gradient_power, cross_entropy, entropy : (n_kept,) ndarray or None
        Means over the rows of the log since the kept row before (of the squared gradient norm, and the two entropies).
    weight_decay : float or None
        Decay coefficient, if the log has it.
    n_weights : int or None
        Weights, if the log has it.
    n_rows, n_left_out : int
        Rows read, and rows left out because a number was missing or not finite.
    """

    name: str
    step: FloatArray
    size: FloatArray
    lr: FloatArray | None
    summed_lr: FloatArray | None
    gradient_power: FloatArray | None
    cross_entropy: FloatArray | None
    entropy: FloatArray | None
    weight_decay: float | None
    n_weights: int | None
    n_rows: int
    n_left_out: int


@dataclass(frozen=True)
class TrainingLog:
    """All layers of a log.

    Attributes
    ----------
    name : str
        Name of the file.
    size : str
        One of `LOG_SIZES`.
    layers : tuple of LayerLog
        In the order in which they appear.
    n_rows, n_left_out : int
        Rows of all layers, and those left out: incomplete, or with a size or step that is no finite number.
    """

    name: str
    size: str
    layers: tuple[LayerLog, ...]
    n_rows: int
    n_left_out: int


def read_log(
    path: str | os.PathLike[str],
    *,
    size: str | None = None,
    columns: Mapping[str, str] | None = None,
    layer_columns: str | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> TrainingLog:
    """Return the layers of a log.

    Parameters
    ----------
    path : str or path
        csv, jsonl or npz file. Long: columns for step, layer and size, a row for each step and layer. Wide:
        a column for the step and one for each layer.
    size : {"norm", "norm_squared", "rms"}, optional
        What the size column tells; taken from its name if that is one of the three, never guessed.
    columns : mapping of str to str, optional
        Names of the columns of this log, by the keys of `COLUMNS`.
    layer_columns : str, optional
        Regular expression: the log is wide, and each column that it matches is a layer, called what its first group
        matches, or like the column.
    progress : callable, optional
        Called with bytes read, bytes in all, and a text.

    Returns
    -------
    TrainingLog
        Of each layer at most some two thousand rows, evenly thinned, with the first and the last; means are over
        all rows.

    Raises
    ------
    InvalidInput
        If a column is missing, a size is not told or told twice, or an option has no meaning here.
    DataError
        If the file is no log: unreadable, empty, damaged, with steps that go back, layers of one name, or no numbers.
    """
    rows = open_rows(path)
    named = _named(rows, columns or {})
    if layer_columns is None:
        told, parts = _long(rows, named, size)
    else:
        told, parts = _wide(rows, named, size, layer_columns)
    layers: dict[str, _Thinned] = {}
    n_short = 0
    for blocks, missing, place in parts:
        n_short += missing
        for name, values in blocks:
            if name not in layers:
                if len(layers) >= _MOST_LAYERS:
                    raise DataError(
                        f"{rows.name} has more than {_MOST_LAYERS} layers; is {named['layer']!r} the column of layers?"
                    )
                layers[name] = _Thinned(name)
            layers[name].add(values)
        if progress is not None:
            progress(min(place, rows.size), rows.size, f"reading {rows.name}")
    found = tuple(layer.log() for layer in layers.values())
    usable = tuple(layer for layer in found if layer.step.size)
    n_rows = sum(layer.n_rows for layer in found) + n_short
    if not n_rows:
        raise DataError(f"{rows.name} has no rows below the names of its columns")
    if not usable:
        raise DataError(f"{rows.name} has no row in which both step and size are finite numbers, of {n_rows} rows")
    return TrainingLog(rows.name, told, usable, n_rows, n_short + sum(layer.n_left_out for layer in found))


def _named(rows: LogRows, columns: Mapping[str, str]) -> dict[str, str]:
    """Return the names of the columns that are there, by what they hold."""
    named = {}
    for what, usual in COLUMNS.items():
        if what in columns:
            if columns[what] not in rows.columns:
                raise unknown_column(rows, what, columns[what])
            named[what] = columns[what]
        else:
            there = [name for name in usual if name in rows.columns]
            if what == "size" and len(there) > 1:
                raise InvalidInput(
                    f"{rows.name} has {' and '.join(there)}: sizes in two units; say which is meant by the size column"
                )
            if there:
                named[what] = there[0]
    for what in columns:
        check_choice("what a column holds", what, COLUMNS)
    if "step" not in named:
        raise unknown_column(rows, "step", "step")
    return named


def _long(rows: LogRows, named: Mapping[str, str], size: str | None) -> tuple[str, Iterator[Any]]:
    if "size" not in named:
        raise unknown_column(rows, "size", "norm, norm_squared or rms")
    if "layer" not in named:
        raise unknown_column(rows, "layer", "layer")
    told = named["size"] if size is None else check_choice("size", size, LOG_SIZES)
    if told not in LOG_SIZES:
        raise InvalidInput(
            f"the size column {told!r} does not say what it holds; give the size: {', '.join(LOG_SIZES)}"
        )
    if named["size"] in LOG_SIZES and named["size"] != told:
        raise InvalidInput(f"the size column is called {named['size']}, but the size given is {told}; which is it?")

    def parts() -> Iterator[Any]:
        read = NumberReader(rows.name)
        wanted = list(dict.fromkeys(named.values()))
        codes: dict[Any, int] = {}
        for columns, missing, place in rows.read(wanted):
            names = columns[named["layer"]]
            of_row = np.fromiter((codes.setdefault(name, len(codes)) for name in map(_hashable, names)), np.int64)
            numbers = {what: read.numbers(columns[named[what]]) for what in named if what != "layer"}
            order = np.argsort(of_row, kind="stable")
            cuts = np.flatnonzero(np.diff(of_row[order])) + 1
            labels = list(codes)
            blocks = [
                (str(labels[of_row[part[0]]]), {what: values[part] for what, values in numbers.items()})
                for part in np.split(order, cuts)
                if part.size
            ]
            yield blocks, missing, place
        read.check()

    return told, parts()


def _hashable(name: Any) -> Any:
    return name if isinstance(name, (str, int, float)) else str(name)


def _wide(rows: LogRows, named: Mapping[str, str], size: str | None, pattern: str) -> tuple[str, Iterator[Any]]:
    try:
        expression = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as problem:
        raise InvalidInput(f"layer_columns {pattern!r} is no regular expression ({problem})") from None
    found: dict[str, str] = {}
    for column in rows.columns:
        match = expression.search(column)
        if match is None or column in (named[what] for what in named if what not in ("size", "layer")):
            continue
        name = (match.group(1) if expression.groups else None) or column
        if name in found:
            raise InvalidInput(
                f"the columns {found[name]!r} and {column!r} both give the layer {name!r}; let the pattern tell them "
                "apart"
            )
        found[name] = column
    if not found:
        raise unknown_column(rows, "layers", pattern)
    told = _size_by_names(tuple(found.values()), size)

    def parts() -> Iterator[Any]:
        read = NumberReader(rows.name)
        shared = {what: column for what, column in named.items() if what in _SHARED}
        wanted = list(dict.fromkeys([*shared.values(), *found.values()]))
        for columns, missing, place in rows.read(wanted):
            common = {what: read.numbers(columns[column]) for what, column in shared.items()}
            blocks = [(name, {**common, "size": read.numbers(columns[column])}) for name, column in found.items()]
            yield blocks, missing * len(found), place
        read.check()

    return told, parts()


_SHARED = ("step", "lr", "weight_decay", "cross_entropy", "entropy")


def _size_by_names(columns: Sequence[str], size: str | None) -> str:
    """Return the size that all columns tell by their names, or the one given."""
    told = {_size_in(column) for column in columns}
    if len(told - {None}) > 1:
        units = " and ".join(sorted(one for one in told if one))
        raise InvalidInput(f"the layer columns mix units ({units}); match those of one with the pattern")
    by_name = next(iter(told - {None}), None)
    if size is not None:
        given = check_choice("size", size, LOG_SIZES)
        if by_name not in (None, given):
            raise InvalidInput(f"the layer columns are called {by_name}, but the size given is {given}; which is it?")
        return given
    if by_name is None or None in told:
        raise InvalidInput(
            f"the layer columns ({', '.join(columns[:3])}, ...) do not say what they hold; give the size: "
            f"{', '.join(LOG_SIZES)}"
        )
    return by_name


def _size_in(column: str) -> str | None:
    words = re.split(r"[^a-z_]+", column.lower().replace("norm-squared", "norm_squared"))
    return next((one for one in LOG_SIZES if one in words), None)


class _Thinned:
    """Collects the rows of a layer and keeps every so many of them, with running sums over all."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.n_rows = self.n_left_out = self.n_used = 0
        self._stride = 1
        self._kept: list[FloatArray] = []  # blocks of kept rows: step, size, lr, sums
        self._n_kept = 0
        self._last: FloatArray | None = None
        self._columns: tuple[str, ...] | None = None
        self._constant: dict[str, float] = {}

    def add(self, values: Mapping[str, FloatArray]) -> None:
        """Take some rows, in the order of the log."""
        self.n_rows += values["step"].size
        good = np.isfinite(values["step"]) & np.isfinite(values["size"])
        for name in ("lr", "weight_decay", "n_weights"):
            if name in values:
                good &= np.isfinite(values[name])
        if not good.all():
            values = {name: column[good] for name, column in values.items()}
        count = values["step"].size
        self.n_left_out += good.size - count
        if not count:
            return
        self._columns = tuple(values)
        self._check(values)
        table = self._summed(values)
        first = -self.n_used % self._stride
        self._kept.append(table[first :: self._stride].copy())  # a view would keep all rows in memory
        self._n_kept += len(self._kept[-1])
        self.n_used += count
        self._last = table[-1].copy()
        while self._n_kept >= 2 * _KEPT:
            self._stride *= 2
            self._kept = [np.concatenate(self._kept)[::2]]
            self._n_kept = len(self._kept[0])

    def _check(self, values: Mapping[str, FloatArray]) -> None:
        """Refuse steps that go back, sizes below 0, and what must not change but does."""
        steps = values["step"] if self._last is None else np.append(self._last[0], values["step"])
        back = np.flatnonzero(np.diff(steps) <= 0)
        if back.size:
            before, after = steps[back[0]], steps[back[0] + 1]
            if before == after:
                raise DataError(
                    f"the layer {self.name!r} has two rows at step {after:g}: two layers of one name, or two runs in "
                    "one log; give each its own name or file"
                )
            raise DataError(
                f"the steps of layer {self.name!r} go back from {before:g} to {after:g}; sort the log, or give each "
                "run a file of its own"
            )
        for name in ("size", "step", "lr", "gradient_norm", "weight_decay"):
            if name in values and np.any(values[name] < 0):
                at = int(np.argmax(values[name] < 0))
                raise DataError(
                    f"the {name} of layer {self.name!r} is {values[name][at]:g} at step {values['step'][at]:g}, but "
                    "cannot be below 0"
                )
        if np.any(values["size"] > _LARGEST):
            at = int(np.argmax(values["size"] > _LARGEST))
            raise DataError(
                f"the size of layer {self.name!r} is {values['size'][at]:g} at step {values['step'][at]:g}: the run "
                "diverged; cut the log before"
            )
        for name in ("weight_decay", "n_weights"):
            if name in values:
                expected = self._constant.setdefault(name, float(values[name][0]))
                if np.any(values[name] != expected):
                    other = values[name][values[name] != expected][0]
                    raise DataError(
                        f"the {name} of layer {self.name!r} changes from {expected:g} to {other:g}; diagnose each part "
                        "with its own log"
                    )

    def _summed(self, values: Mapping[str, FloatArray]) -> FloatArray:
        """Return step, size and learning rate beside sums over all rows so far: lr, rows, and the extras."""
        count = values["step"].size
        table = np.zeros((count, 10))
        table[:, 0], table[:, 1] = values["step"], values["size"]
        before = self._last if self._last is not None else None
        if "lr" in values:
            table[:, 2] = values["lr"]
            held = np.append(values["lr"][:1] * 0 if before is None else before[2:3], values["lr"][:-1])
            passed = np.diff(values["step"], prepend=values["step"][0] if before is None else before[0])
            table[:, 3] = np.cumsum(held * passed) + (0.0 if before is None else before[3])
        for place, name in ((4, "gradient_norm"), (6, "cross_entropy"), (8, "entropy")):
            if name in values:
                known = np.isfinite(values[name])
                amount = np.where(known, values[name], 0.0)
                table[:, place] = np.cumsum(amount**2 if name == "gradient_norm" else amount)
                table[:, place + 1] = np.cumsum(known)
                if before is not None:
                    table[:, place : place + 2] += before[place : place + 2]
        return table

    def log(self) -> LayerLog:
        """Return what was collected."""
        table = np.concatenate([*self._kept, self._last[None]]) if self._last is not None else np.zeros((0, 10))
        if len(table) > 1 and table[-1, 0] == table[-2, 0]:
            table = table[:-1]
        has = set(self._columns or ())

        def mean(name: str, place: int) -> FloatArray | None:
            if name not in has:
                return None
            sums, counts = (np.diff(table[:, at], prepend=0.0) for at in (place, place + 1))
            return np.asarray(np.divide(sums, counts, out=np.full(len(table), np.nan), where=counts > 0))

        n_weights = self._constant.get("n_weights")
        return LayerLog(
            name=self.name,
            step=table[:, 0],
            size=table[:, 1],
            lr=table[:, 2] if "lr" in has else None,
            summed_lr=table[:, 3] if "lr" in has else None,
            gradient_power=mean("gradient_norm", 4),
            cross_entropy=mean("cross_entropy", 6),
            entropy=mean("entropy", 8),
            weight_decay=self._constant.get("weight_decay"),
            n_weights=None if n_weights is None else int(n_weights),
            n_rows=self.n_rows,
            n_left_out=self.n_left_out,
        )
