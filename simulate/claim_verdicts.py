"""Hold Nielsen's three claims against a run of which only sizes at start and end are known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import InvalidInput, check_choice, check_count, check_positive
from ..theory import Claim, LayerRun, derive, nielsen_claims
from .decaying_run import steps_of_decay
from .layers import Layer, as_layers

__all__ = ["SIZES", "ClaimsReport", "LayerClaims", "MeasuredLayer", "claims", "mean_feed", "norm_squared_of"]

SIZES = ("norm", "norm-squared", "rms", "variance")
"""Ways to tell a size; the variance counts as the mean square, so the mean of the weights is taken to be 0."""


@dataclass(frozen=True)
class MeasuredLayer:
    """Hold what is known of a layer after a run.

    Parameters
    ----------
    layer : Layer
        The block; its radial_pull and gradient_power, if given, are those of the first epochs.
    norm_squared_start, norm_squared_end : float, weight²
        Squared norm before the first and after the last step.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    Examples
    --------
    >>> hidden = MeasuredLayer(Layer("layer 2", (30, 784)), 23520.0, 1900.0)
    >>> round(hidden.norm_squared_end / hidden.norm_squared_start, 4)
    0.0808
    """

    layer: Layer
    norm_squared_start: float
    norm_squared_end: float

    def __post_init__(self) -> None:
        if not isinstance(self.layer, Layer):
            raise InvalidInput(f"layer is {self.layer!r}, but must be a simulate.Layer")
        for name in ("norm_squared_start", "norm_squared_end"):
            check_positive(f"{name} of {self.layer.name}", getattr(self, name))


@dataclass(frozen=True)
class LayerClaims:
    """The verdicts on one layer, and the numbers they rest on.

    Attributes
    ----------
    name : str
        Name of the layer.
    verdicts : tuple of Claim
        On claims 1, 2 and 3.
    feed : float, loss
        What the gradient gave the layer on average over the run, pull and noise together: the steady pull that leads
        from the size at the start to that at the end.
    feed_to_decay_start, feed_to_decay_end : float
        The same over what decay takes at the size of the start, and of the end.
    norm_squared_alone : float, weight²
        What decay alone would have left.
    rms_end, rms_at_rest : float or None, weight
        Size per weight at the end, and where the feed would hold it in the end; None if it shrinks the layer.
    prefactor : float or None, weight
        That size times the root of the layer's weights: 1 in the claim's 1/√n.
    epochs_to_fan_in_size, epochs_to_network_size : float or None
        Epochs that decay alone needs down to 1/√fan_in and to 1/√(weights of the network).
    sentence : str
        What became of the layer, and why.
    """

    name: str
    verdicts: tuple[Claim, ...]
    feed: float
    feed_to_decay_start: float
    feed_to_decay_end: float
    norm_squared_alone: float
    rms_end: float
    rms_at_rest: float | None
    prefactor: float | None
    epochs_to_fan_in_size: float | None
    epochs_to_network_size: float
    sentence: str


@dataclass(frozen=True)
class ClaimsReport:
    """The three claims, layer by layer.

    Attributes
    ----------
    layers : tuple of LayerClaims
        Each layer.
    time_constant_epochs : float
        Epochs in which decay takes a weight to 1/e; squared norms take half.
    epochs : int
        Length of the run.
    summary : str
        Which layers shrank and which grew, why, and whether the run was long enough for claim 3.
    """

    layers: tuple[LayerClaims, ...]
    time_constant_epochs: float
    epochs: int
    summary: str

    def to_dict(self) -> dict[str, Any]:
        """Return the verdicts as a dict, ready for JSON."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: plain(part) for key, part in value.items()}
            if isinstance(value, (list, tuple)):
                return [plain(part) for part in value]
            return None if isinstance(value, float) and not math.isfinite(value) else value

        told: dict[str, Any] = plain(asdict(self))
        return told


def norm_squared_of(size: str, value: float, n_weights: int) -> float:
    """Return the squared norm of a block whose size is told in one of the ways of `SIZES`.

    Parameters
    ----------
    size : str
        What the value is: "norm-squared", "norm", "rms" or another of `SIZES`; those are per weight.
    value : float
        The size.
    n_weights : int
        Weights of the block.

    Returns
    -------
    float, weight²

    Raises
    ------
    InvalidInput
        If there is no such way.

    Examples
    --------
    >>> norm_squared_of("rms", 0.5, 100)
    25.0
    """
    check_choice("size", size, SIZES)
    if size == "norm-squared":
        return value
    if size == "norm":
        return value * value
    return n_weights * (value * value if size == "rms" else value)


def mean_feed(
    norm_squared_start: float, norm_squared_end: float, *, lr: float, weight_decay: float, n_steps: float
) -> float:
    """Return the steady pull under which plain SGD leads from one squared norm to another in so many steps.

    Parameters
    ----------
    norm_squared_start, norm_squared_end : float, weight²
        Squared norms before and after.
    lr, weight_decay : float
        Learning rate and decay coefficient.
    n_steps : float
        Steps between.

    Returns
    -------
    float, loss
        Pull and noise together; negative if the gradient shrank the weights.

    Notes
    -----
    The solution of the derivation "norm-flow" is linear in the pull: two of its values give the line, and the norm
    that was measured the pull.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> feed = mean_feed(23520, 2121.2, lr=0.1, weight_decay=1e-4, n_steps=150000)
    >>> round(feed, 5)
    0.1
    """
    flow = derive("norm-flow")
    known = {"lr": lr, "weight_decay": weight_decay, "time": lr * n_steps, "gradient_power": 0.0}
    alone, pulled = (
        float(flow.numeric("norm_squared", norm_squared_start=norm_squared_start, radial_pull=pull, **known))
        for pull in (0.0, weight_decay * norm_squared_start)
    )
    return weight_decay * norm_squared_start * (norm_squared_end - alone) / (pulled - alone)


def claims(
    layers: Sequence[MeasuredLayer], *, lr: float, lmbda: float, n_train: int, batch_size: int, epochs: int
) -> ClaimsReport:
    """Return the verdicts on Nielsen's three claims, layer by layer, from sizes at the start and end of a run.

    Parameters
    ----------
    layers : sequence of MeasuredLayer
        All layers of weights of the network, since claim 3 counts its weights.
    lr : float, weight² / loss
        Learning rate (Nielsen's eta).
    lmbda : float, loss / weight²
        Nielsen's regularization parameter.
    n_train, batch_size, epochs : int
        Size of the training set and of a mini-batch, and length of the run.

    Returns
    -------
    ClaimsReport

    Raises
    ------
    InvalidInput
        If a value is impossible, or no layer is given.

    Notes
    -----
    Claims are judged by `theory.nielsen_claims`. Where no pull was measured, claim 1 is judged by the mean feed over
    the run, `mean_feed`, against decay at the start: what the sizes alone tell.

    References
    ----------
    nielsen2015, chapter 3

    Examples
    --------
    >>> hidden = MeasuredLayer(Layer("layer 2", (30, 784)), 23520 * 1.01, 23520 * 0.08)
    >>> output = MeasuredLayer(Layer("layer 3", (10, 30)), 300 * 1.15, 300 * 3.62)
    >>> found = claims([hidden, output], lr=0.1, lmbda=5, n_train=50000, batch_size=10, epochs=30)
    >>> [[verdict.holds for verdict in layer.verdicts] for layer in found.layers]
    [[True, True, False], [False, True, False]]
    """
    if isinstance(layers, (str, bytes)) or not isinstance(layers, Sequence) or not layers:
        raise InvalidInput("layers is empty or no list, but must hold one simulate.MeasuredLayer per layer of weights")
    for layer in layers:
        if not isinstance(layer, MeasuredLayer):
            raise InvalidInput(f"a layer is {layer!r}, but must be a simulate.MeasuredLayer")
    as_layers([layer.layer for layer in layers])
    run = {"lr": lr, "lmbda": lmbda, "n_train": n_train, "batch_size": batch_size}
    for name, value in run.items():
        check_positive(name, value)
    count = check_count("epochs", epochs)
    n_steps = count * check_count("n_train", n_train) / check_count("batch_size", batch_size, most=n_train)
    to_pytorch = derive("convention-nielsen")
    weight_decay = float(to_pytorch.numeric("weight_decay", lmbda=lmbda, n_train=n_train))
    decay = float(to_pytorch.numeric("decay_per_step", lr=lr, lmbda=lmbda, n_train=n_train))
    if decay >= 1:
        raise InvalidInput(
            f"decay takes {decay:.3g} of every weight at each step, but must take less than 1; lower lmbda"
        )
    steps = {"lr": lr, "weight_decay": weight_decay, "n_steps": n_steps}
    feeds = [mean_feed(one.norm_squared_start, one.norm_squared_end, **steps) for one in layers]
    verdicts = nielsen_claims(
        [_as_run(layer, feed) for layer, feed in zip(layers, feeds, strict=True)],
        lr=lr, lmbda=lmbda, n_train=n_train, batch_size=batch_size, epochs=count,
    )  # fmt: skip
    total = sum(layer.layer.n_weights for layer in layers)
    per_epoch = n_train / batch_size
    told = []
    for layer, feed in zip(layers, feeds, strict=True):
        own = tuple(verdict for verdict in verdicts if verdict.layer == layer.layer.name)
        told.append(
            _layer_claims(
                layer, feed, own, decay, per_epoch, total, lr=lr, n_steps=n_steps, lmbda=lmbda, n_train=n_train
            )
        )
    constant = derive("nielsen-claim-2").numeric("time_constant_epochs", lr=lr, lmbda=lmbda, batch_size=batch_size)
    return ClaimsReport(tuple(told), float(constant), count, _summary(layers, told, float(constant), count))


def _as_run(measured: MeasuredLayer, feed: float) -> LayerRun:
    """Return a layer as the judge of the claims wants it."""
    layer = measured.layer
    return LayerRun(
        layer.name,
        layer.n_weights,
        measured.norm_squared_start,
        measured.norm_squared_end,
        radial_pull=feed if layer.radial_pull is None else layer.radial_pull,
        gradient_power=layer.gradient_power or 0.0,
    )


def _layer_claims(
    measured: MeasuredLayer,
    feed: float,
    verdicts: tuple[Claim, ...],
    decay: float,
    per_epoch: float,
    n_weights_total: int,
    *,
    lr: float,
    n_steps: float,
    lmbda: float,
    n_train: int,
) -> LayerClaims:
    layer, start, end = measured.layer, measured.norm_squared_start, measured.norm_squared_end
    floor = derive("decay-floor")
    alone = float(floor.numeric("norm_squared", norm_squared_start=start, lr=1.0, weight_decay=decay, n_steps=n_steps))
    dominance = derive("nielsen-claim-1")
    at = {"lr": lr, "lmbda": lmbda, "n_train": n_train, "radial_pull": feed, "gradient_power": 0.0}
    ratios = [
        math.copysign(1.0 / float(dominance.numeric("dominance", norm_squared=size, **at)), feed) if feed else 0.0
        for size in (start, end)
    ]
    rms_start, rms_end = math.sqrt(start / layer.n_weights), math.sqrt(end / layer.n_weights)
    rest = prefactor = None
    if feed > 0:
        law = {"entropy_loss_gap": feed, "lmbda": lmbda, "n_train": n_train}
        rest = float(derive("nielsen-claim-3").numeric("rms", n_weights=layer.n_weights, **law))
        prefactor = float(derive("nielsen-claim-3").numeric("prefactor", **law))
    to_fan_in = None if layer.fan_in is None else steps_of_decay(decay, rms_start, layer.fan_in**-0.5) / per_epoch
    to_network = steps_of_decay(decay, rms_start, n_weights_total**-0.5) / per_epoch
    return LayerClaims(
        name=layer.name,
        verdicts=verdicts,
        feed=feed,
        feed_to_decay_start=ratios[0],
        feed_to_decay_end=ratios[1],
        norm_squared_alone=alone,
        rms_end=rms_end,
        rms_at_rest=rest,
        prefactor=prefactor,
        epochs_to_fan_in_size=to_fan_in,
        epochs_to_network_size=to_network,
        sentence=_story(start, end, alone, ratios, rest, prefactor),
    )


def _story(
    start: float, end: float, alone: float, ratios: Sequence[float], rest: float | None, prefactor: float | None
) -> str:
    """Return what became of a layer, and why, as one sentence."""
    way = "shrank" if end < start else "grew"
    told = f"its squared norm {way} from {start:.4g} to {end:.4g}; decay alone would have left {alone:.4g}, and "
    if rest is None:
        return told + "the gradient shrank it as well"
    told += (
        f"the gradient gave, on average over the run, {ratios[0]:.2g} times what decay takes at the start and "
        f"{ratios[1]:.2g} times what it takes at the end"
    )
    return told + (
        f"; such a feed would hold it at a size per weight of {rest:.3g}, which is {prefactor:.3g}/√n_weights with the "
        "weights of the layer"
    )


def _summary(
    measured: Sequence[MeasuredLayer], layers: Sequence[LayerClaims], time_constant: float, epochs: int
) -> str:
    """Return in one sentence why some layers shrank and others grew, and whether the run could show claim 3."""
    parts = []
    for one, layer in zip(measured, layers, strict=True):
        ratio = layer.feed_to_decay_start
        if one.norm_squared_end < one.norm_squared_start:
            gave = "the gradient shrank it too" if ratio <= 0 else f"the gradient gave only {ratio:.2g} times that"
            parts.append(f"{layer.name} shrank, since {gave}")
        else:
            parts.append(f"{layer.name} did not shrink, since the gradient gave {ratio:.2g} times that")
    needed = max(layer.epochs_to_network_size for layer in layers)
    length = f"{epochs} epochs are {epochs / time_constant:.2g} time constants"
    alone = f"decay alone needs {needed:.0f} epochs down to 1/√n with n all weights"
    long_enough = epochs >= needed
    return (
        f"decay takes the same part of every weight, and a layer shrinks only where the gradient gives less than decay "
        f"takes: {'; '.join(parts)}; {length}, {'enough' if long_enough else 'too few'} to judge claim 3, since {alone}"
    )
