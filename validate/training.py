"""Train networks: the loop over epochs and mini-batches, and what is written down on the way.

The arithmetic of a step is in `training_step`; the textbook form of it in `mlp`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ..errors import DivergenceError, InvalidInput, check_choice, check_rng
from ..simulate import Constant
from .configuration import TrainingConfig
from .datasets import Dataset
from .mlp import Mlp
from .notebook import Notebook
from .optimizer_step import OptimizerWorkspace
from .record import Recording, TrainingRecord
from .training_step import Networks, Workspace

__all__ = ["check_fit", "checked_start", "raise_if_diverged", "train", "train_ensemble", "train_marked"]

Array = NDArray[Any]
Progress = Callable[[int, int, str], None]

_BLOCK_WEIGHTS = 2**20  # of an ensemble's networks that train at a time: what memory the rest needs is only its results
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
    check_fit([config], data)
    (result,) = _train([config], data, [rng], None, start, record, progress)
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
    check_fit(configs, data)
    if initial is not None:
        initial = checked_start(configs, initial)
    rngs = rng.spawn(len(configs))
    order = rng.spawn(1)[0] if batches == "shared" and len(configs) > 1 else None
    n_weights = sum(n_in * n_out for n_in, n_out in pairwise(configs[0].layers))
    block = max(1, _BLOCK_WEIGHTS // n_weights)
    starts = range(0, len(configs), block)
    records: list[TrainingRecord] = []
    for start in starts:
        here = slice(start, start + block)

        def told(done: int, n_steps: int, what: str, start: int = start) -> None:
            if progress is not None:
                progress(start // block * n_steps + done, len(starts) * n_steps, what)

        first = None if initial is None else initial[here]
        records += _train(configs[here], data, rngs[here], copy.deepcopy(order), first, record, told)
    return records


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


def _train(
    configs: Sequence[TrainingConfig],
    data: Dataset,
    rngs: Sequence[np.random.Generator],
    shared_order: np.random.Generator | None,
    initial: Sequence[Mlp] | None,
    record: Recording | None,
    progress: Progress | None,
) -> list[TrainingRecord]:
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
    shufflers = [stream[1] for stream in streams] if shared_order is None else [shared_order]
    shared = shared_order is not None and n_runs > 1  # a single run needs no other arithmetic

    notebook = Notebook(configs, data, record, n_steps)
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
            batches="own" if shared_order is None else "shared",
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
