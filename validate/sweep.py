"""Do the runs of an experiment on several processes: trainings, and whatever else takes its time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import joblib
import numpy as np

from ..errors import check_count
from .configuration import TrainingConfig
from .datasets import Dataset
from .mlp import Mlp
from .record import Recording, TrainingRecord
from .training import check_fit, checked_start, train_ensemble, train_marked

__all__ = ["Ensemble", "Job", "Run", "compute_all", "train_all"]

Result = TypeVar("Result", covariant=True)


class Job(Protocol[Result]):
    """What can be computed on its own: a frozen dataclass that holds all that its result depends on but the data."""

    def check(self, data: Dataset) -> None:
        """Raise InvalidInput if the job cannot be done on this data set."""

    def start(self, data: Dataset) -> Result:
        """Compute the result: the same one whenever and wherever it is started."""


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
    initial : Mlp, optional
        The network to start from, in the place of one drawn as the configuration says.
    """

    config: TrainingConfig
    seed: np.random.SeedSequence
    record: Recording
    initial: Mlp | None = None

    def check(self, data: Dataset) -> None:
        """Raise InvalidInput if the configuration does not fit the data."""
        check_fit([self.config], data)
        self.config.tabulate(data.n_train)
        if self.initial is not None:
            checked_start([self.config], [self.initial])

    def start(self, data: Dataset) -> TrainingRecord:
        """Train the network and return its record, marked if it diverged."""
        rng = _generator(self.seed)
        return train_marked(self.config, data, rng=rng, initial=self.initial, record=self.record)


@dataclass(frozen=True)
class Ensemble:
    """Describe several networks of one shape that train in one vectorized run.

    Parameters
    ----------
    configs : tuple of TrainingConfig
        One for each network, as `train_ensemble` takes them.
    seed : SeedSequence
        Where the random stream begins.
    record : Recording
        What each network writes down.
    batches : {"own", "shared"}
        As in `train_ensemble`.
    initial : tuple of Mlp, optional
        For each network the one to start from.
    """

    configs: tuple[TrainingConfig, ...]
    seed: np.random.SeedSequence
    record: Recording
    batches: str = "own"
    initial: tuple[Mlp, ...] | None = None

    def check(self, data: Dataset) -> None:
        """Raise InvalidInput if the configurations do not go together or do not fit the data."""
        check_fit(self.configs, data)
        for config in self.configs:
            config.tabulate(data.n_train)
        if self.initial is not None:
            checked_start(self.configs, self.initial)

    def start(self, data: Dataset) -> list[TrainingRecord]:
        """Train the networks and return their records, marked where one diverged."""
        rng = _generator(self.seed)
        batches, initial = self.batches, self.initial
        return train_ensemble(self.configs, data, rng=rng, batches=batches, initial=initial, record=self.record)


def _generator(seed: np.random.SeedSequence) -> np.random.Generator:
    """Return a generator at the beginning of a stream, whatever has been spawned from the seed since."""
    return np.random.default_rng(np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key))


def compute_all(
    jobs: Sequence[Job[Result]],
    data: Dataset,
    *,
    n_jobs: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    what: str = "training",
) -> list[Result]:
    """Do every job of a sweep, each in one process.

    Parameters
    ----------
    jobs : sequence of Job
        What to do: `Run`, `Ensemble`, or any frozen dataclass with `check` and `start`. Each holds its own seed, so the
        results do not depend on `n_jobs`.
    data : Dataset
        What to compute on.
    n_jobs : int, optional
        Number of processes; by default one for each processor.
    progress : callable, optional
        Called as progress(jobs_done, n_jobs, what).
    what : str, optional
        What the progress is called.

    Returns
    -------
    list
        Results in the order of `jobs`.

    Raises
    ------
    InvalidInput
        If a job does not fit the data; found before anything is computed.
    """
    for job in jobs:
        job.check(data)
    n_processes = min(joblib.cpu_count() if n_jobs is None else check_count("n_jobs", n_jobs), len(jobs))
    parallel = joblib.Parallel(n_jobs=n_processes, return_as="generator")
    results: list[Any] = []
    if progress is not None:
        progress(0, len(jobs), what)
    for result in parallel(joblib.delayed(_start)(job, data) for job in jobs):
        results.append(result)
        if progress is not None:
            progress(len(results), len(jobs), what)
    return results


def _start(job: Job[Result], data: Dataset) -> Result:
    return job.start(data)


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
        What to train.
    data, n_jobs, progress
        As in `compute_all`.

    Returns
    -------
    list of TrainingRecord
        In the order of `runs`. A run that diverged is marked (`diverged`); the others are not affected.

    Raises
    ------
    InvalidInput
        If a configuration does not fit the data; found before anything is trained.
    """
    return compute_all(runs, data, n_jobs=n_jobs, progress=progress)
