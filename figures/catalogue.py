"""Find figures by name. A figure is the module of its name: `founding_question.py` draws `founding-question`."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

from matplotlib.artist import Artist
from matplotlib.figure import Figure

from ..errors import check_choice
from ..validate import Report
from .bibliography import MNIST, SOFTWARE

__all__ = ["FigureModule", "all_ids", "further_ids", "ids", "make", "module", "references"]

_OF_EXPERIMENTS = (  # in the order in which they are told
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
_OF_THEORY: tuple[str, ...] = (
    "convergence",
    "optimizers",
    "phase-diagram",
    "time-to-equilibrium",
)
"""Figures of no experiment that `figures` draws too: they need no data set."""
_OF_HYPERPARAMETERS = ("norm-trajectory", "diagnosis")
"""Figures of what a user gives: they are drawn by other commands than `figures`."""
_FURTHER = ("without-training",)
"""Figures of experiments that are run when they are named."""


class FigureModule(Protocol):
    """What the module of a figure provides."""

    ID: str
    """Name of the figure."""
    TITLE: str
    """Its title, without numbers."""
    EXPERIMENT: str
    """Name of the experiment whose report it draws."""
    CAPTION: str
    """Template of the caption over `facts`."""
    ALT: str
    """Template of the text for those who do not see the picture, over `facts`."""
    REFERENCES: tuple[str, ...]
    """Keys of citation.bib: the works behind the figure, without software and data."""

    def compute(self, **options: Any) -> Report:
        """Run the experiment."""

    def facts(self, report: Report) -> dict[str, Any]:
        """Return what caption and alternative text say."""

    def draw(self, report: Report, figure: Figure) -> list[Artist]:
        """Draw into an empty figure that has its width; set its height, and leave labels at the edge unplaced."""


def ids() -> tuple[str, ...]:
    """Return the names of all figures that can be drawn with nothing given.

    >>> "founding-question" in ids()
    True
    """
    return _OF_EXPERIMENTS + _OF_THEORY


def all_ids() -> tuple[str, ...]:
    """Return the names of all figures, also those that are drawn of what a user gives or when they are named.

    >>> "norm-trajectory" in set(all_ids()) - set(ids())
    True
    """
    return ids() + _OF_HYPERPARAMETERS + _FURTHER


def further_ids() -> tuple[str, ...]:
    """Return the names of the figures that are drawn with nothing given, but only when they are named.

    >>> further_ids()
    ('without-training',)
    """
    return _FURTHER


def module(figure_id: str) -> FigureModule:
    """Return the module of a figure.

    Raises
    ------
    InvalidInput
        If there is no such figure; the message names near ones.
    """
    name = check_choice("figure", figure_id, all_ids()).replace("-", "_")
    found: FigureModule = importlib.import_module(f".{name}", __package__)
    return found


def make(figure_id: str, **options: Any) -> Report:
    """Run the experiment behind a figure.

    Parameters
    ----------
    figure_id : str
        One of `all_ids`.
    **options
        Those of `weightdecay.validate.run`: scale, n_jobs, rng, data, progress, and the experiment's own; or the
        hyperparameters of a figure that is of no experiment.

    Returns
    -------
    Report
        What `save` draws.

    Raises
    ------
    InvalidInput
        If there is no such figure or option.
    """
    return module(figure_id).compute(**options)


def references(figure_id: str, data_name: str = "MNIST") -> tuple[str, ...]:
    """Return the citation keys of a figure: the software, the data set if it is MNIST, and the works behind it.

    >>> references("founding-question")[:2]
    ('weightdecay', 'lecun1998')
    """
    data = (MNIST,) if data_name == "MNIST" and figure_id in _OF_EXPERIMENTS + _FURTHER else ()
    return (SOFTWARE, *data, *module(figure_id).REFERENCES)
