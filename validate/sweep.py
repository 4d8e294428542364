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
from .training import check_fit, train_marked

__all__ = ["Run", "train_all"]


@dataclass(frozen=True)
class Run:
    """Describe one run of a sweep.

    Parameters
    ----------
    config : TrainingConfig
        What is trained.
    seed : SeedSequence
        Where the run's own random stream begins: starting it twice gives the same run.
    record : Recording
        What it writes down.
    """

    config: TrainingConfig
    seed: np.random.SeedSequence
    record: Recording

    def start(self, data: Dataset) -> TrainingRecord:
        """Train the network and return its record, marked if it diverged."""
        unused = np.random.SeedSequence(self.seed.entropy, spawn_key=self.seed.spawn_key)
        return train_marked(self.config, data, rng=np.random.default_rng(unused), record=self.record)


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
        In the order of `runs`. A run that diverged is marked (`diverged`); the others are not affected.

    Raises
    ------
    InvalidInput
        If a configuration does not fit the data; found before anything is trained.
    """
    for run in runs:
        check_fit([run.config], data)
        run.config.tabulate(data.n_train)
    n_jobs = min(joblib.cpu_count() if n_jobs is None else check_count("n_jobs", n_jobs), len(runs))
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator")
    records: list[TrainingRecord] = []
    if progress is not None:
        progress(0, len(runs), "training")
    for record in parallel(joblib.delayed(Run.start)(run, data) for run in runs):
        records.append(record)
        if progress is not None:
            progress(len(records), len(runs), "training")
    return records
