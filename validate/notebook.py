"""Collect what a training run writes down, record by record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInput
from .configuration import TrainingConfig
from .datasets import Dataset
from .mlp import evaluate
from .motion import Motion
from .record import Recording
from .training_step import Networks

__all__ = ["Notebook"]

Array = NDArray[Any]

_MOST_BYTES = 4 * 10**9  # of updates kept for their autocovariance


class Notebook:
    """Collect what a run writes down, record by record."""

    def __init__(self, configs: Sequence[TrainingConfig], data: Dataset, record: Recording | None, n_steps: int):
        self.data, self.record = data, record or Recording(pulls=False, evaluate=())
        self.n_runs, self.n_layers = len(configs), configs[0].n_layers
        self.rows: list[dict[str, Any]] = []
        self.sums: dict[str, Any] = {}
        self.counted = 0
        self.motion: Motion | None = None
        self.every_step = {
            name: np.empty((n_steps, self.n_runs, self.n_layers)) if self.record.every_step else None
            for name in ("radial_pull", "gradient_power")
        }

    def watch(self, networks: Networks, n_steps: int) -> None:
        """Look at every step from now on, if the recording asks for it."""
        wanted = self.record
        kept = wanted.autocovariance_lags * sum(w.nbytes for w in networks.weights)
        if kept > _MOST_BYTES:
            raise InvalidInput(
                f"autocovariance_lags is {wanted.autocovariance_lags}, which keeps {kept / 1e9:.1f} GB of updates of "
                f"{self.n_runs} networks of {list(networks.config.layers)}, but there must be at most "
                f"{_MOST_BYTES / 1e9:g} GB; take fewer lags, narrower layers or fewer networks at a time"
            )
        if wanted.motion or wanted.every_step_motion or wanted.every_step_norms or wanted.autocovariance_lags:
            self.motion = Motion(
                networks,
                n_steps,
                means=wanted.motion,
                every_step=wanted.every_step_motion,
                every_norm=wanted.every_step_norms,
                n_lags=wanted.autocovariance_lags,
                first_step=wanted.autocovariance_from,
            )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not look at steps that are only repeated."""
        if self.motion is not None:
            self.motion.paused = True
        yield
        if self.motion is not None:
            self.motion.paused = False

    def add(self, first: int, measured: dict[str, Array], n_steps: int) -> None:
        """Take in what the probes measured during the steps after step `first`."""
        self.counted += n_steps
        for name, values in measured.items():
            self.sums[name] = self.sums.get(name, 0.0) + values.sum(axis=0)
            kept = self.every_step.get(name)
            if kept is not None:
                kept[first : first + n_steps] = values

    def write(self, step: int, networks: Networks) -> None:
        """Write a record of the networks after `step` steps, and begin new averages."""
        row: dict[str, Any] = {"step": step}
        weights = [w.astype(np.float64) * networks.scale[:, None, None] for w in networks.weights]
        row["norm_squared"] = np.stack([np.einsum("roi,roi->r", w, w) for w in weights], axis=1)
        row["variance"] = np.stack([w.var(axis=(1, 2)) for w in weights], axis=1)
        dead = weights[0][:, :, self.data.dead_pixels]
        row["dead_norm_squared"] = np.einsum("roi,roi->r", dead, dead)
        if self.record.pulls:
            row.update({name: total / self.counted for name, total in self.sums.items()})
        if self.motion is not None and self.motion.means and self.motion.counted:
            row["motion"], neurons = self.motion.averages()
            row.update({f"neurons {layer}": found for layer, found in enumerate(neurons)})
        finite = [run for run in range(self.n_runs) if np.isfinite(row["norm_squared"][run]).all()]
        for part in self.record.evaluate:
            told = np.full((self.n_runs, 3), np.nan)
            row[part] = told
            if not finite:
                continue
            examples = {"training": self.data.train, "validation": self.data.validation, "test": self.data.test}[part]
            results = evaluate(
                [networks.network(run) for run in finite],
                examples.images,
                examples.labels,
                pixel_scale=self.data.pixel_scale,
                dtype=networks.config.dtype,
            )
            for run, result in zip(finite, results, strict=True):
                told[run] = result.accuracy, result.cost, result.predictive_entropy
        self.rows.append(row)
        self.sums, self.counted = {}, 0

    def column(self, name: str, run: int) -> NDArray[np.float64] | None:
        """Return one quantity of one run over the records; records before it was measured are nan."""
        found = [row[name][run] for row in self.rows if name in row]
        if not found:
            return None
        return np.array([row[name][run] if name in row else np.full_like(found[0], np.nan) for row in self.rows])

    def told(self, run: int) -> dict[str, Any]:
        """Return the fields of one run's TrainingRecord that were measured."""
        names = ("mean_norm_squared", "radial_pull", "gradient_power", "bias_pull", "bias_gradient_power")
        fields: dict[str, Any] = {
            name: self.column(name, run) for name in ("norm_squared", "variance", *names, "cost", "predictive_entropy")
        }
        if len(self.data.dead_pixels):
            fields["dead_norm_squared"] = self.column("dead_norm_squared", run)
        for name, values in self.every_step.items():
            fields[f"step_{name}"] = None if values is None else values[:, run]
        if self.motion is not None:
            fields.update(self._moved(self.motion, run))
        fields["evaluations"] = {
            part: dict(zip(("accuracy", "cost", "predictive_entropy"), self.column(part, run).T, strict=True))  # type: ignore[union-attr]
            for part in self.record.evaluate
        }
        return fields

    def _over_records(self, part: str, name: str, run: int) -> Array:
        """Return a mean over the steps between records of one run; nan where there were no steps."""
        found = [row[part][name][run] if part in row else None for row in self.rows]
        like = next(values for values in found if values is not None)
        return np.stack([np.full_like(like, np.nan) if values is None else values for values in found])

    def _moved(self, motion: Motion, run: int) -> dict[str, Any]:
        """Return the fields of one run's TrainingRecord that tell how its weights moved."""
        fields: dict[str, Any] = {}
        layers = range(self.n_layers)
        if motion.means:
            fields["motion"] = {name: self._over_records("motion", name, run) for name in motion.layer_sums[0]}
            fields["neuron_motion"] = {
                name: tuple(self._over_records(f"neurons {layer}", name, run) for layer in layers)
                for name in motion.layer_sums[0]
            }
        if motion.every_step:
            fields["step_motion"] = {
                name: np.concatenate([motion.layer_kept[layer][name][:, run] for layer in layers], axis=1)
                for name in motion.layer_kept[0]
            }
            fields["step_neuron_motion"] = {
                name: tuple(motion.kept[layer][name][:, run] for layer in layers) for name in motion.kept[0]
            }
        if motion.every_norm:
            fields["step_neuron_norm_squared"] = tuple(norms[:, run] for norms in motion.norms)
            fields["step_norm_squared"] = np.stack([norms[:, run].sum(axis=1) for norms in motion.norms], axis=1)
        if motion.correlations:
            fields["update_autocovariance"] = tuple(each.values()[run] for each in motion.correlations)
            fields["autocovariance_steps"] = motion.correlations[0].count
        return fields
