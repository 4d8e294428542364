"""Describe trainings as jobs of a sweep: one network, or an ensemble in one vectorized run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .configuration import TrainingConfig
from .datasets import Dataset
from .mlp import Mlp
from .record import Recording, TrainingRecord
from .seeds import fresh_generator
from .training import check_fit, checked_start, train_ensemble, train_marked

__all__ = ["Ensemble", "Run"]


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
        rng = fresh_generator(self.seed)
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
        rng = fresh_generator(self.seed)
        batches, initial = self.batches, self.initial
        return train_ensemble(self.configs, data, rng=rng, batches=batches, initial=initial, record=self.record)
