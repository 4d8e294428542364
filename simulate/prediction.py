"""Predict from hyperparameters what weight decay does in a run: time constant, equilibrium, and what will go wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import check_choice, check_count, check_positive
from ..theory import derive
from .decaying_run import DecayingRun, steps_of_decay
from .layer_bounds import effective_lr, rms_bound
from .layer_equilibria import LayerEquilibrium, layer_equilibrium, speed_of_decay
from .layers import Layer, as_layers
from .optimizer_choice import OptimizerChoice, optimizer_choice
from .prediction_warnings import Warned, warnings_of
from .schedules import Schedule, as_schedule
from .trajectory import norm_trajectory

__all__ = ["LayerPrediction", "Prediction", "predict"]

_MOST = 10**15


@dataclass(frozen=True)
class LayerPrediction:
    """What a run does to one block of weights; None where the hyperparameters alone do not tell.

    Attributes
    ----------
    name, shape, n_weights
        The block.
    rms_start : float, weight
        Root mean square at the start.
    rms_equilibrium : float or None, weight
        Where decay balances pull and noise at the largest decay per step of the run.
    norm_squared_equilibrium : float or None, weight²
        The squared norm there.
    angular_update : float or None, rad per step
        Angle between consecutive weights there, if noise and no pull feeds them.
    effective_lr : float or None
        Learning rate there with weights of norm 1 in its place: lr over the squared norm, or over the norm where
        updates are normalized.
    rms_bound : float or None, weight
        Largest size if gradients keep one direction (signal instead of noise).
    rms_end : float or None, weight
        Size at the end of the run.
    rms_end_decay_alone : float, weight
        Size at the end without any gradient.
    steps_to_equilibrium : float or None
        Steps until the squared norm is in equilibrium, to the tolerance.
    share_out_of_equilibrium : float or None
        Share of the run spent outside.
    steps_alone_to_fan_in_size, steps_alone_to_network_size : float or None
        Steps that decay alone needs from the start to 1/√fan_in, and to 1/√(weights of all layers).
    """

    name: str
    shape: tuple[int, ...]
    n_weights: int
    rms_start: float
    rms_equilibrium: float | None
    norm_squared_equilibrium: float | None
    angular_update: float | None
    effective_lr: float | None
    rms_bound: float | None
    rms_end: float | None
    rms_end_decay_alone: float
    steps_to_equilibrium: float | None
    share_out_of_equilibrium: float | None
    steps_alone_to_fan_in_size: float | None
    steps_alone_to_network_size: float | None


@dataclass(frozen=True)
class Prediction:
    """What hyperparameters say about a run.

    Attributes
    ----------
    optimizer, coupling : str
        What makes the steps, and how decay enters.
    n_steps : int
        Length of the run.
    steps_per_epoch : float or None
        Steps of an epoch.
    lr, weight_decay : float
        Learning rate and decay coefficient where the decay of a step is largest.
    decay_per_step : float
        Largest part of a weight that decay takes in a step.
    time_constant_steps, time_constant_epochs : float or None
        Time in which decay at that rate takes a weight to 1/e; squared norms take half of it. None without decay.
    n_time_constants : float
        Length of the run in time constants: the decay of all steps added up.
    start_left : float
        Part of the start's squared norm that decay alone leaves at the end.
    steps_to_forget : float or None
        Steps until decay alone has brought the squared norm down to the tolerance; None if it never does, or with
        schedules not within the run.
    tolerance : float
        Relative distance from equilibrium that counts as being there.
    layers : tuple of LayerPrediction
        Each block.
    warnings : tuple of Warned
        What will go wrong or is easily misread.
    """

    optimizer: str
    coupling: str
    n_steps: int
    steps_per_epoch: float | None
    lr: float
    weight_decay: float
    decay_per_step: float
    time_constant_steps: float | None
    time_constant_epochs: float | None
    n_time_constants: float | None
    start_left: float
    steps_to_forget: float | None
    tolerance: float
    layers: tuple[LayerPrediction, ...]
    warnings: tuple[Warned, ...]

    def layer(self, name: str) -> LayerPrediction:
        """Return the prediction of one layer."""
        by_name = {layer.name: layer for layer in self.layers}
        return by_name[check_choice("layer", name, by_name)]

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as a dict, ready for JSON."""
        return asdict(self)


def predict(
    layers: Sequence[Layer],
    *,
    lr: float | Schedule | Callable[[int], float],
    weight_decay: float | Schedule | Callable[[int], float],
    n_steps: int,
    n_train: int | None = None,
    batch_size: int | None = None,
    optimizer: str = "sgd",
    law: str | None = None,
    number_format: str = "float32",
    n_classes: int | None = None,
    signal_max: float | None = None,
    tolerance: float = 0.05,
    **coefficients: float | None,
) -> Prediction:
    """Return what hyperparameters say about the weights of a run, layer by layer.

    Parameters
    ----------
    layers : sequence of Layer
        The blocks of weights.
    lr, weight_decay : float, Schedule or callable
        Learning rate and decay coefficient over the steps.
    n_steps : int
        Length of the run.
    n_train, batch_size : int, optional
        Examples in the training set and in a mini-batch, for times in epochs.
    optimizer : str, optional
        One of `OPTIMIZERS`.
    law : {"decoupled", "coupled", "fully-decoupled", "adamc"}, optional
        How learning rate and decay make the decay of a step, by default lr*weight_decay.
    number_format : {"float64", "float32", "float16", "bfloat16"}, optional
        Format of the weights that decay multiplies.
    n_classes : int, optional
        Classes of a softmax output: bounds the size under a penalty with nothing measured.
    signal_max : float, optional
        Largest singular value of E[(y - p) x^T] at zero weights: with it decay above the collapse threshold of a
        two-layer network is found.
    tolerance : float, optional
        Relative distance from equilibrium that counts as being there.
    **coefficients : float, optional
        The optimizer's own: momentum, dampening, beta1, beta2, smoothing.

    Returns
    -------
    Prediction

    Raises
    ------
    InvalidInput
        If a value or name is outside what is allowed.

    Notes
    -----
    Equilibria are those of `theory.equilibrium`, exact in lr*weight_decay, on random gradients (noise regime), or of
    the derivation "norm-flow" where a pull is given. The way there is integrated by `norm_trajectory` with the
    optimizer's relaxation rate. Sizes of weights under SGD depend on gradients: without a pull or a power they
    stay None; normalizing optimizers need nothing measured.

    References
    ----------
    kosson2023, wan2020, vanlaarhoven2017

    Examples
    --------
    >>> run = predict([Layer("mlp", (4096, 1024))], optimizer="adamw", lr=3e-4, weight_decay=0.1, n_steps=100000)
    >>> print(f"{run.time_constant_steps:.0f} steps, {run.layers[0].angular_update:.2e} rad per step")
    33333 steps, 1.78e-03 rad per step
    """
    blocks = as_layers(layers)
    count = check_count("n_steps", n_steps, most=_MOST)
    choice = optimizer_choice(optimizer, **coefficients)
    check_positive("tolerance", tolerance)
    per_epoch = steps_per_epoch(n_train, batch_size)
    run = DecayingRun(as_schedule(lr, count), as_schedule(weight_decay, count), count, law or choice.coupling)
    lr_peak, decay_peak = run.peak()
    found = [layer_equilibrium(layer, choice, lr=lr_peak, weight_decay=decay_peak) for layer in blocks]
    effective = run.faster(speed_of_decay(choice))
    total = sum(layer.n_weights for layer in blocks)
    told = tuple(
        _layer(layer, rest, run, effective, choice, total, tolerance) for layer, rest in zip(blocks, found, strict=True)
    )
    left, steps = effective.left(), time_constant(*effective.peak())
    forgotten = effective.steps_to_leave(tolerance)
    return Prediction(
        optimizer=choice.name,
        coupling=choice.coupling,
        n_steps=count,
        steps_per_epoch=per_epoch,
        lr=lr_peak,
        weight_decay=decay_peak,
        decay_per_step=float(effective.samples().max()),
        time_constant_steps=steps,
        time_constant_epochs=None if steps is None or per_epoch is None else steps / per_epoch,
        n_time_constants=None if left == 0 else effective.n_time_constants(),
        start_left=left,
        steps_to_forget=forgotten if math.isfinite(forgotten) else None,
        tolerance=tolerance,
        layers=told,
        warnings=warnings_of(
            blocks,
            choice,
            run,
            effective,
            found,
            number_format=number_format,
            n_classes=n_classes,
            signal_max=signal_max,
            tolerance=tolerance,
        ),
    )


def steps_per_epoch(n_train: int | None, batch_size: int | None) -> float | None:
    """Return the steps of an epoch, if the two numbers that make them are given."""
    if n_train is not None:
        check_count("n_train", n_train)
    if batch_size is not None:
        check_count("batch_size", batch_size, most=n_train)
    return None if n_train is None or batch_size is None else n_train / batch_size


def time_constant(lr: float, weight_decay: float) -> float | None:
    """Return the steps in which decay takes a weight to 1/e; None without decay."""
    if lr * weight_decay == 0:
        return None
    claim = derive("convention-pytorch")
    return float(claim.numeric("time_constant_steps", lr=lr, torch_weight_decay=weight_decay))


def _layer(
    layer: Layer,
    rest: LayerEquilibrium,
    run: DecayingRun,
    effective: DecayingRun,
    choice: OptimizerChoice,
    n_weights_total: int,
    tolerance: float,
) -> LayerPrediction:
    """Return the prediction of one block."""
    start = layer.n_weights * layer.rms**2
    end = arrival = share = None
    if rest.feed is not None and rest.speed is not None:
        own = run.faster(rest.speed)
        path = norm_trajectory(
            norm_squared_start=start,
            lr=own.lr,
            weight_decay=own.weight_decay,
            n_steps=own.n_steps,
            law=own.law,
            tolerance=tolerance,
            n_points=2,
            **rest.feed,
        )
        end = math.sqrt(float(path.norm_squared[-1]) / layer.n_weights)
        arrival = path.steps_to_equilibrium if math.isfinite(path.steps_to_equilibrium) else None
        share = path.share_out_of_equilibrium
    decay = float(effective.samples().max())
    sizes = (None if layer.fan_in is None else layer.fan_in**-0.5, n_weights_total**-0.5)
    alone = [None if size is None or decay == 0 else steps_of_decay(decay, layer.rms, size) for size in sizes]
    at_rest = rest.norm_squared
    return LayerPrediction(
        name=layer.name,
        shape=layer.shape,
        n_weights=layer.n_weights,
        rms_start=layer.rms,
        rms_equilibrium=None if at_rest is None else math.sqrt(at_rest / layer.n_weights),
        norm_squared_equilibrium=at_rest,
        angular_update=rest.angular_update,
        effective_lr=None if at_rest is None else effective_lr(choice, run.peak()[0], at_rest),
        rms_bound=rms_bound(layer, choice, run.peak()[1]),
        rms_end=end,
        rms_end_decay_alone=layer.rms * math.sqrt(effective.left()),
        steps_to_equilibrium=arrival,
        share_out_of_equilibrium=share,
        steps_alone_to_fan_in_size=alone[0],
        steps_alone_to_network_size=alone[1],
    )
