"""Train networks: the loop over epochs and mini-batches, and what is written down on the way.

The arithmetic of a step is in `training_step`; the textbook form of it in `mlp`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ..errors import DivergenceError, InvalidInput, check_choice, check_rng
from ..simulate import Constant
from .configuration import TrainingConfig
from .datasets import Dataset
from .mlp import Mlp, evaluate
from .motion import Motion
from .optimizer_step import OptimizerWorkspace
from .record import Recording, TrainingRecord
from .training_step import Networks, Workspace

__all__ = ["check_fit", "checked_start", "raise_if_diverged", "train", "train_ensemble", "train_marked"]

Array = NDArray[Any]
Progress = Callable[[int, int, str], None]

_OF_NETWORK = ("activation", "output", "normalized")
_STRETCH_STEPS = 128  # after which the weights are looked at: are they finite, has their scale become small
_STRETCH_SCALE = 1e-3  # or before, when the scale has shrunk by this, still far from float32's range


def train(
    config: TrainingConfig,
    data: Dataset,
    *,
    rng: np.random.Generator | int,
    initial: Mlp | None = None,
    record: Recording | None = None,
    progress: Progress | None = None,
) -> TrainingRecord:
    """Train one network.

    Parameters
    ----------
    config : TrainingConfig
        Network, optimizer, run length.
    data : Dataset
        What to train on.
    rng : Generator or int
        Source of the initial weights and of the order of the examples.
    initial : Mlp, optional
        The network to start from, in the place of one drawn as the configuration says. The optimizer starts afresh.
    record : Recording, optional
        What to write down; by default squared norm and variance once an epoch.
    progress : callable, optional
        Called as progress(steps_done, n_steps, what) once an epoch.

    Returns
    -------
    TrainingRecord
        What was written down, with the network before and after.

    Raises
    ------
    InvalidInput
        If configuration and data set do not fit each other.
    DivergenceError
        If the weights leave the finite numbers; it says at which step and in which layer.

    Examples
    --------
    >>> from weightdecay.validate import load_mnist
    >>> config = TrainingConfig.nielsen(layers=[784, 30, 10], eta=0.1, lmbda=5, batch_size=10, epochs=1)
    >>> record = train(config, load_mnist(), rng=0)
    >>> record.norm_squared.shape
    (2, 2)
    >>> decayed = record.dead_norm_squared[1] / record.dead_norm_squared[0]  # weights that get no gradient
    >>> round(float(decayed), 6), round((1 - 1e-5) ** (2 * 5000), 6)
    (0.904837, 0.904837)
    """
    result = train_marked(config, data, rng=rng, initial=initial, record=record, progress=progress)
    raise_if_diverged(result)
    return result


def train_marked(
    config: TrainingConfig,
    data: Dataset,
    *,
    rng: np.random.Generator | int,
    initial: Mlp | None = None,
    record: Recording | None = None,
    progress: Progress | None = None,
) -> TrainingRecord:
    """Train one network as `train` does, but mark a run that diverges instead of raising."""
    rng = check_rng(rng)
    start = None if initial is None else [initial]
    (result,) = _train([config], data, [rng], rng, "own", start, record, progress)
    return result


def raise_if_diverged(record: TrainingRecord) -> None:
    """Raise DivergenceError if a run was marked as diverged."""
    if record.diverged:
        raise DivergenceError(*record.diverged, _told(record.config))


def train_ensemble(
    configs: Sequence[TrainingConfig],
    data: Dataset,
    *,
    rng: np.random.Generator | int,
    batches: str = "own",
    initial: Sequence[Mlp] | None = None,
    record: Recording | None = None,
    progress: Progress | None = None,
) -> list[TrainingRecord]:
    """Train several networks of one shape in one vectorized run.

    Parameters
    ----------
    configs : sequence of TrainingConfig
        One for each network. They may differ in learning rate, weight decay, initialization, and in the numbers
        (not the class) of their optimizer.
    data : Dataset
        What to train on.
    rng : Generator or int
        Each network gets its own stream, spawned from this one. With mini-batches of its own a network is the one
        that ``train(config, data, rng=rng.spawn(n)[i])`` trains, up to rounding.
    batches : {"own", "shared"}
        Whether every network draws its own mini-batches (right for a standard error over seeds) or all share them
        (right for comparing hyperparameters, and faster).
    initial : sequence of Mlp, optional
        For each network the one to start from, in the place of one drawn as its configuration says.
    record, progress
        As in `train`.

    Returns
    -------
    list of TrainingRecord
        One for each network. A network that diverged is marked (`diverged`) and its later records are nan;
        the others go on.

    Raises
    ------
    InvalidInput
        If the configurations do not go together, or do not fit the data set.

    Examples
    --------
    >>> from weightdecay.validate import load_mnist
    >>> configs = [TrainingConfig.nielsen(layers=[784, 10], eta=0.1, lmbda=lmbda, batch_size=100, epochs=1)
    ...            for lmbda in (0, 50)]
    >>> free, decayed = train_ensemble(configs, load_mnist(), rng=0, batches="shared")
    >>> bool(free.norm_squared[-1, 0] > decayed.norm_squared[-1, 0])
    True
    """
    check_choice("batches", batches, ["own", "shared"])
    rng = check_rng(rng)
    if not isinstance(configs, Iterable):
        raise InvalidInput(
            f"configs is {configs!r}, but must be a sequence of TrainingConfig; train takes a single one"
        )
    configs = list(configs)
    if not configs:
        raise InvalidInput("configs is empty, but an ensemble needs at least one configuration")
    return _train(configs, data, rng.spawn(len(configs)), rng, batches, initial, record, progress)


def _told(config: TrainingConfig) -> dict[str, Any]:
    """Return the hyperparameters that a message names, constant schedules as their number."""
    names = ("layers", "lr", "regularization", "convention", "batch_size", "initialization", "activation", "output",
             "optimizer")  # fmt: skip
    values = {name: getattr(config, name) for name in names}
    return {name: value.value if isinstance(value, Constant) else value for name, value in values.items()}


def check_fit(configs: Sequence[TrainingConfig], data: Dataset) -> None:
    """Raise InvalidInput if the configurations cannot be trained together on the data."""
    for config in configs:
        if not isinstance(config, TrainingConfig):
            raise InvalidInput(f"a configuration is {config!r}, but must be a TrainingConfig")
    first = configs[0]
    shared = ("layers", "batch_size", "epochs", "activation", "output", "biases", "decay_biases", "dtype", "normalized",
              "sampling")  # fmt: skip
    found = {name: {getattr(config, name) for config in configs} for name in shared}
    found["optimizer"] = {type(config.optimizer).__name__ for config in configs}
    for name in ("coupling", "nesterov", "newton_schulz_steps"):
        found[f"optimizer.{name}"] = {getattr(config.optimizer, name, None) for config in configs}
    for name, values in found.items():
        if len(values) > 1:
            raise InvalidInput(
                f"configurations of one ensemble must agree in {name}, but have {sorted(map(str, values))}; "
                "train them in ensembles of their own"
            )
    if first.layers[0] != data.n_inputs:
        raise InvalidInput(
            f"the network has {first.layers[0]} inputs, but images of {data.name} have {data.n_inputs} pixels; "
            f"layers must begin with {data.n_inputs}"
        )
    if first.layers[-1] < data.n_classes:
        raise InvalidInput(
            f"the network has {first.layers[-1]} outputs, but {data.name} has {data.n_classes} classes; "
            f"layers must end with {data.n_classes} or more"
        )
    if first.batch_size > data.n_train:
        raise InvalidInput(
            f"batch_size is {first.batch_size}, but {data.name} has {data.n_train} training images; "
            f"it must be a whole number from 1 to {data.n_train}"
        )


def checked_start(configs: Sequence[TrainingConfig], initial: Sequence[Mlp]) -> list[Mlp]:
    """Return the networks to start from, in the number format of the run, if each fits its configuration."""
    if not isinstance(initial, Sequence) or len(initial) != len(configs):
        raise InvalidInput(
            f"initial is {initial!r}, but must be a sequence of {len(configs)} Mlp, one for each network"
        )
    started = []
    for config, network in zip(configs, initial, strict=True):
        if not isinstance(network, Mlp):
            raise InvalidInput(f"a network to start from is {network!r}, but must be an Mlp")
        layers = (network.weights[0].shape[1], *(len(w) for w in network.weights))
        for name, has in (("layers", layers), *((name, getattr(network, name)) for name in _OF_NETWORK)):
            wanted = getattr(config, name)
            if has != wanted:
                raise InvalidInput(
                    f"the network to start from has {name} {has!r}, but the configuration says {wanted!r}; "
                    "they must agree"
                )
        if not config.biases and any(np.any(b) for b in network.biases):
            raise InvalidInput("the network to start from has biases, but the configuration says biases=False")
        weights, biases = (
            tuple(np.asarray(each).astype(config.dtype).astype(np.float64) for each in arrays)
            for arrays in (network.weights, network.biases)
        )
        started.append(Mlp(weights, biases, *(getattr(config, name) for name in _OF_NETWORK)))
    return started


class _Notebook:
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


def _train(
    configs: Sequence[TrainingConfig],
    data: Dataset,
    rngs: Sequence[np.random.Generator],
    shared_rng: np.random.Generator,
    batches: str,
    initial: Sequence[Mlp] | None,
    record: Recording | None,
    progress: Progress | None,
) -> list[TrainingRecord]:
    check_fit(configs, data)
    config, n_train, n_runs = configs[0], data.n_train, len(configs)
    per_epoch = config.steps_per_epoch(n_train)
    n_steps = config.epochs * per_epoch
    tables = [each.tabulate(n_train) for each in configs]
    lr, weight_decay = (np.stack([table[which] for table in tables], axis=1) for which in (0, 1))

    seeds = [_seed(rng) for rng in rngs]
    streams = [rng.spawn(2) for rng in rngs]  # one for the weights, one for the order of the examples
    if initial is None:
        initial = [Mlp.initialize(each, stream[0]) for each, stream in zip(configs, streams, strict=True)]
    else:
        initial = checked_start(configs, initial)
    shared = batches == "shared" and n_runs > 1
    shufflers = [shared_rng.spawn(1)[0]] if shared else [stream[1] for stream in streams]

    notebook = _Notebook(configs, data, record, n_steps)
    points = range(per_epoch, n_steps + 1, per_epoch) if notebook.record.steps is None else notebook.record.steps
    marks = {0, n_steps, *(step for step in points if step <= n_steps)}
    networks = Networks.start(configs, initial)
    notebook.watch(networks, n_steps)
    kind = Workspace if networks.arithmetic is None else OptimizerWorkspace
    longest = min(_STRETCH_STEPS, _steps_of_scale(1 - networks.scale_factors(lr, weight_decay).min()))
    workspaces: dict[int, Workspace] = {}
    diverged: dict[int, tuple[int, int]] = {}

    with threadpool_limits(1, user_api="blas"), np.errstate(all="ignore"):
        notebook.write(0, networks)
        for epoch in range(config.epochs):
            order = np.stack([_order(shuffler, n_train, config.sampling) for shuffler in shufflers])
            done = 0
            while done < per_epoch:
                step = epoch * per_epoch + done
                start = done * config.batch_size
                size = min(config.batch_size, n_train - start)
                last_full = n_train // config.batch_size if size == config.batch_size else per_epoch
                stop = min(done + longest, last_full, *(mark - epoch * per_epoch for mark in marks if mark > step))
                if size not in workspaces:
                    workspaces[size] = kind(networks, data, size, shared, notebook.record.pulls)
                    workspaces[size].motion = notebook.motion
                rows = slice(step, step + stop - done)
                stretch = (order[:, start : start + size * (stop - done)], lr[rows], weight_decay[rows])
                before = networks.snapshot()
                measured = workspaces[size].run(*stretch)
                gone = np.flatnonzero(~networks.finite().all(axis=1)).tolist()
                lost = [run for run in gone if run not in diverged]
                if lost:
                    networks.restore(before)
                    with notebook.paused():
                        found = _find_divergence(networks, workspaces[size], *stretch, lost)
                    diverged.update({run: (step + k, layer) for run, (k, layer) in found.items()})
                notebook.add(step, measured, stop - done)
                networks.fold()
                done = stop
                if rows.stop in marks:
                    notebook.write(rows.stop, networks)
            if progress is not None:
                progress((epoch + 1) * per_epoch, n_steps, "training")
            if len(diverged) == n_runs and epoch + 1 < config.epochs:
                notebook.write(n_steps, networks)
                break

    steps = np.array([row["step"] for row in notebook.rows])
    return [
        TrainingRecord(
            config=each,
            data_name=data.name,
            data_checksum=data.checksum,
            seed=seeds[run],
            batches="shared" if shared else "own",
            steps=steps,
            epochs=steps / per_epoch,
            initial=initial[run],
            final=networks.network(run),
            diverged=diverged.get(run),
            **notebook.told(run),
        )
        for run, each in enumerate(configs)
    ]


def _order(rng: np.random.Generator, n_train: int, sampling: str) -> NDArray[np.int64]:
    """Return the examples of an epoch, in order."""
    return rng.permutation(n_train) if sampling == "reshuffled" else rng.integers(n_train, size=n_train)


def _steps_of_scale(largest_decay: float) -> int:
    """Return the number of steps within which the scale stays above `_STRETCH_SCALE`, at least 1."""
    return _STRETCH_STEPS if largest_decay == 0 else 1 + int(math.log(_STRETCH_SCALE) / math.log1p(-largest_decay))


def _find_divergence(
    networks: Networks,
    space: Workspace,
    order: NDArray[np.int64],
    lr: NDArray[np.float64],
    weight_decay: NDArray[np.float64],
    lost: Sequence[int],
) -> dict[int, tuple[int, int]]:
    """Repeat a stretch step by step; return the step and layer, from 1, where each lost run left the numbers."""
    found: dict[int, tuple[int, int]] = {}
    for k in range(len(lr)):
        here = order[:, k * space.batch_size : (k + 1) * space.batch_size]
        space.run(here, lr[k : k + 1], weight_decay[k : k + 1])
        finite = networks.finite()
        for run in lost:
            if run not in found and not finite[run].all():
                found[run] = (k + 1, int(np.argmin(finite[run])) + 1)
    return found


def _seed(rng: np.random.Generator) -> dict[str, Any]:
    sequence = rng.bit_generator.seed_seq
    return {
        "entropy": sequence.entropy,  # type: ignore[attr-defined]  # NumPy's types know no SeedSequence here
        "spawn_key": list(sequence.spawn_key),  # type: ignore[attr-defined]
        "n_children_spawned": sequence.n_children_spawned,  # type: ignore[attr-defined]
    }
