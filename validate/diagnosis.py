"""Hold the theory against a user's own log: where each layer is, where it is heading, and what feeds it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInput, check_choice, check_count, check_finite, check_positive
from ..simulate import Layer, OptimizerChoice, layer_equilibrium, optimizer_choice, speed_of_decay, steps_of_decay
from ..theory import derive
from .comparison import plain
from .log_fit import Fit, feed_ratios, fitted, left_by_decay, steps_left
from .log_hyperparameters import known_shapes, layer_decays, learning_rates
from .training_log import LayerLog, TrainingLog, read_log
from .verdicts import closing, verdict

__all__ = ["Diagnosis", "LayerDiagnosis", "diagnose"]

FloatArray = NDArray[np.float64]
_CURVES = ("step", "norm_squared", "floor", "fit_step", "fit", "block_step", "block_ratio")


@dataclass(frozen=True, eq=False)
class LayerDiagnosis:
    """What the theory says of one layer of a log. Squared norms are per weight (mean squares) if n_weights is unknown.

    Attributes
    ----------
    name : str
        Name of the layer.
    n_weights : int or None
        Weights, if told.
    n_rows, n_left_out : int
        Rows of the log, and those left out.
    norm_squared_start, norm_squared_end, norm_squared_alone : float
        First and last squared norm, and what decay alone would have left of the first.
    weight_decay : float
        Decay coefficient of the layer.
    time_constant_steps : float or None
        Steps in which decay takes a weight to 1/e, at the layer's largest learning rate; None without decay.
    norm_squared_fitted, fit_error : float or None
        Squared norm at which the feed of the log's second half would hold the layer, or that at the end of the log if
        the feed was seen to change, and half the width of an interval for where the layer will rest; None if the log
        is too short to tell, or the gradient shrinks the layer.
    feed_change : float or None
        Relative change of the feed over the log's second half, where it is more than scatter: the size at rest is not
        determined then, unless the change is small.
    norm_squared_predicted : float or None
        Equilibrium on random gradients, from hyperparameters, n_weights and, for SGD, the logged gradient norm.
    norm_squared_by_gap : float or None
        Squared norm that the logged entropy less cross-entropy, and gradient norm, give an output layer.
    pull_to_decay_first, pull_to_decay : float or None
        What the gradient gives over what decay takes, in the first eighth of the log and at its end; 1 in equilibrium,
        below 0 where it shrinks the layer too.
    reached_step : float or None
        Step from which on the layer was in equilibrium; None if it was not at the end.
    steps_to_equilibrium : float or None
        Steps after the end until it will be, all else held; 0 if it is; None if never or not told.
    steps_alone_to_fan_in_size, steps_alone_to_network_size : float or None
        Steps that decay alone would need from the start to 1/√fan_in, if the shape is told, and to 1/√(weights of all
        layers), if those of all are.
    state : str
        "equilibrium", "falling", "growing", "shrinking" (the gradient takes too), "no-decay", "unknown".
    verdict : str
        One sentence.
    step, norm_squared, floor : (n_kept,) ndarray
        The curve of the log, thinned, and decay alone.
    fit_step, fit : ndarray
        The fitted curve.
    block_step, block_ratio : ndarray
        Pull-to-decay ratio along the log.
    """

    name: str
    n_weights: int | None
    n_rows: int
    n_left_out: int
    norm_squared_start: float
    norm_squared_end: float
    norm_squared_alone: float
    weight_decay: float
    time_constant_steps: float | None
    norm_squared_fitted: float | None
    fit_error: float | None
    feed_change: float | None
    norm_squared_predicted: float | None
    norm_squared_by_gap: float | None
    pull_to_decay_first: float | None
    pull_to_decay: float | None
    reached_step: float | None
    steps_to_equilibrium: float | None
    steps_alone_to_fan_in_size: float | None
    steps_alone_to_network_size: float | None
    state: str
    verdict: str
    step: FloatArray = field(repr=False)
    norm_squared: FloatArray = field(repr=False)
    floor: FloatArray = field(repr=False)
    fit_step: FloatArray = field(repr=False)
    fit: FloatArray = field(repr=False)
    block_step: FloatArray = field(repr=False)
    block_ratio: FloatArray = field(repr=False)


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What the theory says of a log.

    Attributes
    ----------
    log : str
        Name of the file.
    size : str
        What its size column tells.
    optimizer : str
        What made the steps.
    weight_decay : float or None
        Decay coefficient, if all layers have one.
    time_constant_steps : float or None
        Steps in which decay takes a weight to 1/e, if that is the same in all layers.
    steps_per_epoch : float or None
        Steps of an epoch.
    tolerance : float
        Relative distance from equilibrium that counts as being there.
    n_rows, n_left_out : int
        Rows read, and those left out as incomplete or no finite number.
    layers : tuple of LayerDiagnosis
        Each layer.
    summary : str
        One sentence on all layers: which are in equilibrium, which are not, and what would change that.
    options : dict
        What was given besides the log, by the names of `diagnose`.
    """

    log: str
    size: str
    optimizer: str
    weight_decay: float | None
    time_constant_steps: float | None
    steps_per_epoch: float | None
    tolerance: float
    n_rows: int
    n_left_out: int
    layers: tuple[LayerDiagnosis, ...]
    summary: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def layer(self, name: str) -> LayerDiagnosis:
        """Return the diagnosis of one layer."""
        by_name = {layer.name: layer for layer in self.layers}
        return by_name[check_choice("layer", name, by_name)]

    def to_dict(self, *, curves: bool = False) -> dict[str, Any]:
        """Return plain JSON values, without the curves unless they are wanted."""
        told: dict[str, Any] = plain(asdict(self))
        for layer in told["layers"]:
            for name in (
                () if curves else ("step", "norm_squared", "floor", "fit_step", "fit", "block_step", "block_ratio")
            ):
                del layer[name]
        return told


def diagnose(
    log: str | os.PathLike[str] | TrainingLog,
    *,
    lr: float | None = None,
    weight_decay: float | None = None,
    optimizer: str = "sgd",
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    output_layer: str | None = None,
    n_train: int | None = None,
    batch_size: int | None = None,
    tolerance: float = 0.05,
    size: str | None = None,
    columns: Mapping[str, str] | None = None,
    layer_columns: str | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    **coefficients: float | None,
) -> Diagnosis:
    r"""Return what the theory says of a training log: per layer, floor, equilibrium, feed and a verdict.

    Parameters
    ----------
    log : str, path or TrainingLog
        The log, or one that `read_log` has read.
    lr, weight_decay : float, optional
        Hyperparameters, where the log does not have them; both are needed.
    optimizer : str, optional
        One of `simulate.OPTIMIZERS`.
    shapes : mapping of str to tuple of int, optional
        Shapes of layers, for their number of weights, outputs first.
    output_layer : str, optional
        The layer to which the logged entropies apply: its feed under plain SGD is their difference.
    n_train, batch_size : int, optional
        What makes an epoch.
    tolerance : float, optional
        Relative distance from equilibrium that counts as being there.
    size, columns, layer_columns, progress
        As in `read_log`.
    **coefficients : float, optional
        The optimizer's own.

    Returns
    -------
    Diagnosis

    Raises
    ------
    InvalidInput
        If something is missing, or contradicts the log.
    DataError
        If the log cannot be used.

    Notes
    -----
    Between any two rows, the solution of the derivation "norm-flow" is linear in the size at the first and in the
    equilibrium that the mean feed (pull and noise together) calls for. Two numbers are fitted to the log's second
    half by least squares: its size at the start and that equilibrium; and, if the feed changes by more than scatter, a
    third: its drift. Learning rates enter through their sum over the steps, so any schedule is allowed; the equilibrium
    is that of the feed, whatever makes it. Residuals may be correlated in time: a feed that scatters makes them so.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from weightdecay.simulate import norm_trajectory
    >>> run = norm_trajectory(
    ...     norm_squared_start=100, lr=0.1, weight_decay=0.01, radial_pull=0.1, n_steps=2000, n_points=101
    ... )
    >>> rows = [f"{step:.0f},fc1,{size}" for step, size in zip(run.step, run.norm_squared)]
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "log.csv"
    >>> _ = path.write_text("\n".join(["step,layer,norm_squared", *rows]))
    >>> found = diagnose(path, lr=0.1, weight_decay=0.01).layers[0]
    >>> print(found.state, round(found.norm_squared_fitted, 3), round(found.pull_to_decay, 3))
    falling 10.0 0.858
    """
    choice = optimizer_choice(optimizer, **coefficients)
    if choice.coupling == "coupled" and not choice.linear:
        raise InvalidInput(
            f"{choice.name} sends decay through its normalizer, so that hyperparameters do not tell how fast weights "
            "decay; a log of it cannot be diagnosed (adamw's can)"
        )
    check_positive("tolerance", tolerance)
    if n_train is not None:
        check_count("n_train", n_train)
    if batch_size is not None:
        check_count("batch_size", batch_size, most=n_train)
    if lr is not None:
        check_positive("lr", lr)
    given: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay, "n_train": n_train, "batch_size": batch_size}
    given |= {"output_layer": output_layer, "size": size, "layer_columns": layer_columns, **coefficients}
    given |= {"columns": dict(columns or {}) or None, "shapes": {k: list(v) for k, v in (shapes or {}).items()} or None}
    if weight_decay is not None and check_finite("weight_decay", weight_decay) < 0:
        raise InvalidInput(f"weight_decay is {weight_decay:g}, but must be 0 or above")
    read = (
        log
        if isinstance(log, TrainingLog)
        else read_log(log, size=size, columns=columns, layer_columns=layer_columns, progress=progress)
    )
    decays = layer_decays(read, weight_decay)
    known = known_shapes(read, shapes or {})
    if output_layer is not None:
        check_choice("output_layer", output_layer, known)
    per_epoch = None if n_train is None or batch_size is None else n_train / batch_size
    sizes = [None if shape is None else math.prod(shape) for shape in known.values()]
    total = None if None in sizes else sum(size for size in sizes if size is not None)
    rates = {one.name: learning_rates(one, lr, read.name) for one in read.layers}
    peaks = {name: float(values.max()) for name, (values, _) in rates.items()}
    for name, peak in peaks.items():
        if peak * decays[name] >= 1:
            raise InvalidInput(
                f"lr {peak:g} times weight_decay {decays[name]:g} would take {peak * decays[name]:.3g} of every weight "
                f"of {name} at each step, but must take less than 1; correct them"
            )
    if not any(peaks.values()):
        raise InvalidInput(f"the lr is 0 in all of {read.name}: nothing moves the weights; check the column of lr")
    found = tuple(
        _layer(
            one,
            read.size,
            rates[one.name],
            decays[one.name],
            choice,
            known[one.name],
            total,
            one.name == output_layer,
            tolerance,
            per_epoch,
        )
        for one in read.layers
    )
    constants = {layer.time_constant_steps for layer in found}
    return Diagnosis(
        log=read.name,
        size=read.size,
        optimizer=choice.name,
        weight_decay=next(iter(decays.values())) if len(set(decays.values())) == 1 else None,
        time_constant_steps=constants.pop() if len(constants) == 1 else None,
        steps_per_epoch=per_epoch,
        tolerance=tolerance,
        n_rows=read.n_rows,
        n_left_out=read.n_left_out,
        layers=found,
        summary=closing([_in_short(layer) for layer in found], per_epoch),
        options={name: value for name, value in given.items() if value is not None},
    )


def _layer(
    log: LayerLog,
    size: str,
    rates: tuple[FloatArray, FloatArray],
    weight_decay: float,
    choice: OptimizerChoice,
    shape: tuple[int, ...] | None,
    n_weights_total: int | None,
    is_output: bool,
    tolerance: float,
    per_epoch: float | None,
) -> LayerDiagnosis:
    """Return the diagnosis of one layer."""
    n_weights = None if shape is None else math.prod(shape)
    norm_squared = log.size if size == "norm_squared" else log.size**2
    if size == "rms" and n_weights is not None:
        norm_squared = norm_squared * n_weights
    step, (lr, time) = log.step, rates
    decay = weight_decay * speed_of_decay(choice)
    start, end = float(norm_squared[0]), float(norm_squared[-1])
    floor = start * left_by_decay(time, decay)
    fit = fitted(step, time, norm_squared, decay, tolerance) if weight_decay > 0 else Fit()
    lr_end = float(lr[-1]) or float(lr[max(0, len(lr) - 2)])
    steps = steps_left(fit, decay, lr_end, tolerance)
    block_step, block_ratio = feed_ratios(step, time, norm_squared, decay)
    predicted = by_gap = None
    if weight_decay > 0 and lr_end > 0 and n_weights is not None and (shape is not None):
        predicted, by_gap = _predictions(log, shape, choice, lr_end, weight_decay, is_output)
    state = _state(fit, weight_decay, end)
    alone = _alone(start, shape, n_weights_total, float(lr.max()) * decay)
    made: dict[str, Any] = {
        "name": log.name,
        "n_weights": n_weights,
        "n_rows": log.n_rows,
        "n_left_out": log.n_left_out,
        "norm_squared_start": start,
        "norm_squared_end": end,
        "norm_squared_alone": float(floor[-1]),
        "weight_decay": weight_decay,
        "time_constant_steps": _time_constant(float(lr.max()), decay),
        "norm_squared_fitted": fit.rest if fit.rest is not None and fit.rest > 0 else None,
        "fit_error": fit.error,
        "feed_change": fit.feed_change,
        "norm_squared_predicted": predicted,
        "norm_squared_by_gap": by_gap,
        "pull_to_decay_first": float(block_ratio[0]) if block_ratio.size else None,
        "pull_to_decay": None if fit.rest is None or end <= 0 else fit.rest / end,
        "reached_step": fit.reached if state == "equilibrium" else None,
        "steps_to_equilibrium": 0.0 if state == "equilibrium" else steps,
        "steps_alone_to_fan_in_size": alone[0],
        "steps_alone_to_network_size": alone[1],
        "state": state,
    }
    per_weight = size == "rms" and n_weights is None
    return LayerDiagnosis(
        **made,
        verdict=verdict(made, per_weight=per_weight, last_step=float(step[-1]), per_epoch=per_epoch),
        step=step,
        norm_squared=norm_squared,
        floor=floor,
        fit_step=fit.step,
        fit=fit.curve,
        block_step=block_step,
        block_ratio=block_ratio,
    )


def _in_short(layer: LayerDiagnosis) -> tuple[str, str, float | None, float | None]:
    """Return what the closing sentence is made of."""
    state = "zero" if layer.norm_squared_start == layer.norm_squared_end == 0 else layer.state
    return layer.name, state, layer.steps_to_equilibrium, layer.feed_change


def _time_constant(lr: float, decay: float) -> float | None:
    """Return the steps in which decay takes a weight to 1/e."""
    if lr * decay == 0:
        return None
    return float(derive("convention-pytorch").numeric("time_constant_steps", lr=lr, torch_weight_decay=decay))


def _alone(
    start: float, shape: tuple[int, ...] | None, n_weights_total: int | None, decay_per_step: float
) -> tuple[float | None, float | None]:
    """Return the steps that decay alone needs down to 1/root of the fan-in, and of the weights of all layers."""
    if shape is None or decay_per_step == 0 or start <= 0:
        return None, None
    rms = math.sqrt(start / math.prod(shape))
    fan_in = Layer("layer", shape).fan_in
    return (
        None if fan_in is None else steps_of_decay(decay_per_step, rms, fan_in**-0.5),
        None if n_weights_total is None else steps_of_decay(decay_per_step, rms, n_weights_total**-0.5),
    )


def _state(fit: Fit, weight_decay: float, end: float) -> str:
    if weight_decay == 0:
        return "no-decay"
    if fit.rest is None:
        return "unknown"
    if fit.rest <= 0:
        return "shrinking"
    if fit.reached is not None:
        return "equilibrium"
    return "falling" if end > fit.rest else "growing"


def _predictions(
    log: LayerLog, shape: tuple[int, ...], choice: OptimizerChoice, lr: float, weight_decay: float, is_output: bool
) -> tuple[float | None, float | None]:
    """Return the equilibrium on random gradients, and for an output layer that of its under-confidence."""
    late = slice(log.step.size // 2, None)

    def mean(values: FloatArray | None) -> float | None:
        known = None if values is None else values[late][np.isfinite(values[late])]
        return float(known.mean()) if known is not None and known.size else None

    power = mean(log.gradient_power)
    rest = layer_equilibrium(Layer(log.name, shape, gradient_power=power), choice, lr=lr, weight_decay=weight_decay)
    entropy, loss = mean(log.entropy), mean(log.cross_entropy)
    if not is_output or entropy is None or loss is None or entropy <= loss or choice.name != "sgd":
        return rest.norm_squared, None
    gap = derive("entropy-loss-gap")
    values = {"lr": lr, "weight_decay": weight_decay, "gradient_power": power or 0.0, "bias_pull": 0.0}
    return rest.norm_squared, float(gap.numeric("norm_squared_stationary", entropy_loss_gap=entropy - loss, **values))
