"""Find and run the experiments by name."""

from __future__ import annotations

import importlib
import inspect
import operator
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import InvalidInput, check_choice, check_rng
from .comparison import Report
from .datasets import Dataset, load_mnist
from .run_store import RunStore, as_store, keeping_runs, store_in_use

__all__ = ["experiments", "further_experiments", "run"]

_NAMES = (  # each is the function `run` of the module of that name
    "founding-question",
    "tail-off",
    "gradient-balance",
    "conservation",
    "rescaling",
    "width",
    "collapse",
    "depth",
    "rotation",
    "relaxation",
    "fluctuations",
    "validity",
)
_FURTHER = ("without-training",)
"""Run when named only: what they predict rests on assumptions that are known to be rough."""


def experiments() -> tuple[str, ...]:
    """Return the names of the experiments that are run where none is named.

    >>> "founding-question" in experiments()
    True
    """
    return _NAMES


def further_experiments() -> tuple[str, ...]:
    """Return the names of those that are run when they are named.

    >>> further_experiments()
    ('without-training',)
    """
    return _FURTHER


def run(
    name: str,
    *,
    scale: str = "quick",
    n_jobs: int | None = None,
    rng: np.random.Generator | int = 0,
    data: Dataset | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    cache: RunStore | str | os.PathLike[str] | None = None,
    **options: Any,
) -> Report:
    """Run one experiment.

    Parameters
    ----------
    name : str
        One of `experiments` or `further_experiments`.
    scale : {"quick", "full"}, optional
        Whether to answer in a minute or with small error bars.
    n_jobs : int, optional
        Number of processes; by default one for each processor. The result does not depend on it.
    rng : Generator or int, optional
        Source of all random numbers.
    data : Dataset, optional
        What to train on; by default the MNIST of the package.
    progress : callable, optional
        Called as progress(done, total, what).
    cache : path-like, "default" or RunStore, optional
        Where finished runs are kept, so that the next call goes on from there: a folder, or the user's cache. By
        default where an enclosing `keeping_runs` says; without one nothing is kept, for a library writes only where it
        is told to.
    **options
        Options of the experiment itself; None stands for its default.

    Returns
    -------
    Report
        Comparisons, curves, provenance.

    Raises
    ------
    InvalidInput
        If there is no such experiment, scale or option, or a value is outside its range.
    OutputError
        If runs cannot be kept in `cache`.
    JobError
        If one run of the experiment fails, or its process dies. Those that are finished are kept.

    Warns
    -----
    StoreWarning
        If a kept run is damaged or was made by another version, or a finished run cannot be kept.
    """
    check_choice("experiment", name, _NAMES + _FURTHER)
    check_choice("scale", scale, ["quick", "full"])
    experiment = importlib.import_module(f".{name.replace('-', '_')}", __package__).run
    standard = {"scale", "n_jobs", "rng", "data", "progress"}
    allowed = [option for option in inspect.signature(experiment).parameters if option not in standard]
    for option in options:
        if option not in allowed:
            raise InvalidInput(f"{name} has no option {option!r}; it has: {', '.join(allowed) or 'none'}")
    given = {option: value for option, value in options.items() if value is not None}
    check_rng(rng)
    with keeping_runs(store_in_use() if cache is None else as_store(cache)):
        report: Report = experiment(
            scale=scale,
            n_jobs=n_jobs,
            rng=rng if isinstance(rng, np.random.Generator) else operator.index(rng),
            data=load_mnist() if data is None else data,
            progress=progress,
            **given,
        )
    return report
