"""Train many networks on several processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import joblib
import numpy as np

from ..errors import check_count
from .configuration import TrainingConfig
from .datasets import Dataset
from .record import Recording, TrainingRecord
from .training import check_fit, train

__all__ = ["Run", "train_all"]


@dataclass(frozen=True)
class Run:
    """Describe one run of a sweep.

    Parameters
    ----------
    config : TrainingConfig
        What is trained.
    rng : Generator
        The run's own random stream.
    record : Recording
        What it writes down.
    """

    config: TrainingConfig
    rng: np.random.Generator
    record: Recording

    def start(self, data: Dataset) -> TrainingRecord:
        """Train the network and return its record."""
        return train(self.config, data, rng=self.rng, record=self.record)


def train_all(
    runs: Sequence[Run],
    data: Dataset,
    *,
    n_jobs: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[TrainingRecord]:
    """Train every run of a sweep, each in one process with one BLAS thread.

    Parameters
    ----------
    runs : sequence of Run
        What to train. Each has its own stream, so the result does not depend on `n_jobs`.
    data : Dataset
        What to train on.
    n_jobs : int, optional
        Number of processes; by default one for each processor.
    progress : callable, optional
        Called as progress(runs_done, n_runs, what).

    Returns
    -------
    list of TrainingRecord
        In the order of `runs`.

    Raises
    ------
    InvalidInput
        If a configuration does not fit the data; found before anything is trained.
    DivergenceError
        If a run diverges.
    """
    for run in runs:
        check_fit([run.config], data)
        run.config.tabulate(data.n_train)
    n_jobs = min(joblib.cpu_count() if n_jobs is None else check_count("n_jobs", n_jobs), len(runs))
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator")
    records = []
    for record in parallel(joblib.delayed(Run.start)(run, data) for run in runs):
        records.append(record)
        if progress is not None:
            progress(len(records), len(runs), "training")
    return records
