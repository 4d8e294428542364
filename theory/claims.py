"""Hold Nielsen's three claims against a run, layer by layer: true or false, by what margin, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import InvalidInput, check_count, check_finite, check_nonnegative, check_positive
from .registry import derive

__all__ = ["Claim", "LayerRun", "nielsen_claims"]

ALMOST_ENTIRELY = 10.0
"""Claim 1 says 'dominated almost entirely': decay has to do ten times what the gradient does."""

EXPONENTIAL_WITHIN = 0.01
"""Claim 2 holds where the exponential is off by at most one per cent over all epochs of the run."""

AROUND = 2.0
"""Claim 3 says 'a size around': within a factor of two, either way."""


@dataclass(frozen=True)
class LayerRun:
    """What a run did to one layer: what the claims need to be judged.

    Attributes
    ----------
    name : str
        Name of the layer, for the sentences.
    n_weights : int
        Weights in the layer, biases not counted.
    norm_squared_start, norm_squared_end : float, weight²
        Squared norm before the first and after the last step.
    radial_pull : float, loss
        Pull −⟨W, g⟩ of the mini-batches, averaged over the steps that "the first epochs" mean (see `nielsen_claims`).
    gradient_power : float, (loss/weight)²
        Second moment of the mini-batch gradient over the same steps.
    norm_squared_first : float, optional, weight²
        Squared norm averaged over the same steps; that of the start if left out.

    Notes
    -----
    Both sizes are squared Frobenius norms, R = sum of w^2; the pull is P = -<W, g>, the power G^2 = E||g||^2.

    References
    ----------
    nielsen2015, chapter 3, for the claims; the quantities are those of the derivation ``radial-step``.

    Examples
    --------
    >>> layer = LayerRun("layer 2", 23520, norm_squared_start=23755.0, norm_squared_end=1882.0, radial_pull=-0.06)
    >>> round(layer.norm_squared_end / layer.n_weights, 2)
    0.08
    """

    name: str
    n_weights: int
    norm_squared_start: float
    norm_squared_end: float
    radial_pull: float
    gradient_power: float = 0.0
    norm_squared_first: float | None = None

    def __post_init__(self) -> None:
        """Check every value."""
        if not isinstance(self.name, str) or not self.name:
            raise InvalidInput(f"name of a layer is {self.name!r}, but must be a text such as 'layer 2'")
        check_count(f"n_weights of {self.name}", self.n_weights)
        for field in ("norm_squared_start", "norm_squared_end"):
            check_positive(f"{field} of {self.name}", getattr(self, field))
        check_nonnegative(f"gradient_power of {self.name}", self.gradient_power)
        check_finite(f"radial_pull of {self.name}", self.radial_pull)
        if self.norm_squared_first is not None:
            check_positive(f"norm_squared_first of {self.name}", self.norm_squared_first)


@dataclass(frozen=True)
class Claim:
    """The verdict on one claim for one layer.

    Attributes
    ----------
    claim : int
        1, 2 or 3.
    layer : str
        Name of the layer.
    holds : bool
        Whether the claim is true of the layer in this run.
    margin : float, dimensionless
        Claim 1: what decay does over what the gradient does. Claim 2: bound on the relative error of the exponential
        over the run. Claim 3: size per weight at the end over 1/√n.
    sentence : str
        Why.

    Notes
    -----
    Claim 1 holds where decay does at least ten times what pull and noise do; claim 2 where the exponential is within
    one per cent of the product of all steps; claim 3 where sqrt(R / n_weights) is within a factor of two of 1/sqrt(n).

    References
    ----------
    nielsen2015, chapter 3, for the claims; the thresholds are our reading of its words.

    Examples
    --------
    >>> verdict = Claim(2, "layer 2", True, 1.5e-05, "The exponential is off by 0.0015 % at most.")
    >>> verdict.holds, verdict.margin
    (True, 1.5e-05)
    """

    claim: int
    layer: str
    holds: bool
    margin: float
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as a dict, ready for JSON.

        Returns
        -------
        dict
            The attributes by name.

        Notes
        -----
        Nothing is computed: margin and sentence are those of the verdict.

        References
        ----------
        nielsen2015, chapter 3, for the claims.

        Examples
        --------
        >>> Claim(2, "layer 2", True, 1.5e-05, "It holds.").to_dict()["margin"]
        1.5e-05
        """
        return asdict(self)


def nielsen_claims(
    layers: Sequence[LayerRun], *, lr: float, lmbda: float, n_train: int, batch_size: int, epochs: int
) -> tuple[Claim, ...]:
    """Return the verdict on each of Nielsen's three claims for each layer of a run.

    Parameters
    ----------
    layers : sequence of LayerRun
        What the run did to each layer of weights; all layers of the network, since claim 3 counts its weights.
    lr : float, weight² / loss
        Learning rate (Nielsen's eta).
    lmbda : float, loss / weight²
        Nielsen's regularization parameter.
    n_train, batch_size, epochs : int
        Size of the training set and of a mini-batch, and length of the run.

    Returns
    -------
    tuple of Claim
        For claim 1 all layers, then for claim 2, then for claim 3.

    Raises
    ------
    InvalidInput
        If a value is impossible, or no layer is given.

    Notes
    -----
    The formulas are those of the derivations ``nielsen-claim-1``, ``-2`` and ``-3``. What the words of the claims mean
    in numbers is fixed in this module: "almost entirely" is ten to one, the exponential may be off by one per cent over
    the run, "around" is a factor of two. "The first epochs" are the steps over which the caller averaged pull
    and power; in the founding run, the first epoch.

    References
    ----------
    Nielsen (nielsen2015), chapter 3.

    Examples
    --------
    >>> hidden = LayerRun("layer 2", 23520, 23520.0, 1810.0, radial_pull=-0.06)
    >>> output = LayerRun("layer 3", 300, 300.0, 1120.0, radial_pull=0.10)
    >>> verdicts = nielsen_claims([hidden, output], lr=0.1, lmbda=5, n_train=50000, batch_size=10, epochs=30)
    >>> [(verdict.claim, verdict.layer, verdict.holds) for verdict in verdicts[:2]]
    [(1, 'layer 2', True), (1, 'layer 3', False)]
    >>> print(verdicts[1].sentence)
    decay takes 0.3 times what the gradient gives; it would dominate with lmbda above 167
    """
    if not isinstance(layers, Sequence) or isinstance(layers, (str, bytes)):
        raise InvalidInput(f"layers is {layers!r}, but must be a list with one LayerRun per layer of weights")
    if not layers:
        raise InvalidInput("layers is empty, but must hold one LayerRun per layer of weights")
    for layer in layers:
        if not isinstance(layer, LayerRun):
            raise InvalidInput(f"a layer is {layer!r}, but must be a LayerRun")
    check_count("n_train", n_train)
    values = {
        "lr": check_positive("lr", lr),
        "lmbda": check_positive("lmbda", lmbda),
        "n_train": n_train,
        "batch_size": check_count("batch_size", batch_size, most=n_train),
    }
    check_count("epochs", epochs)
    n_weights_total = sum(layer.n_weights for layer in layers)
    first = [_dominance(layer, values) for layer in layers]
    second = [_exponential(layer, values, epochs) for layer in layers]
    third = [_tail(layer, values, epochs, n_weights_total) for layer in layers]
    return (*first, *second, *third)


def _dominance(layer: LayerRun, values: dict[str, float]) -> Claim:
    """Return the verdict on claim 1: the first epochs are dominated almost entirely by weight decay."""
    first = layer.norm_squared_start if layer.norm_squared_first is None else layer.norm_squared_first
    measured = {"radial_pull": layer.radial_pull, "gradient_power": layer.gradient_power, "norm_squared": first}
    if layer.radial_pull == 0 and layer.gradient_power == 0:
        return Claim(1, layer.name, True, float("inf"), "the gradient does nothing to the layer: decay is all there is")
    claim = derive("nielsen-claim-1")
    hyperparameters = {name: values[name] for name in ("lr", "lmbda", "n_train")}
    ratio = float(claim.numeric("dominance", **hyperparameters, **measured))
    least = float(claim.numeric("lmbda_least", lr=values["lr"], n_train=values["n_train"], **measured))
    with_decay = layer.radial_pull + values["lr"] * layer.gradient_power / 2 < 0
    does = "takes, shrinking the layer like decay" if with_decay else "gives"
    sentence = f"decay takes {ratio:.3g} times what the gradient {does}"
    holds = ratio >= ALMOST_ENTIRELY
    if not holds:
        sentence += f"; it would dominate with lmbda above {least * ALMOST_ENTIRELY:.3g}"
    return Claim(1, layer.name, holds, ratio, sentence)


def _exponential(layer: LayerRun, values: dict[str, float], epochs: int) -> Claim:
    """Return the verdict on claim 2: weights decay by exp(-lr*lmbda/batch_size) per epoch."""
    claim = derive("nielsen-claim-2")
    bound = epochs * float(claim.numeric("relative_error_bound", **values))
    exponential = float(
        claim.numeric("factor_exponential", **{name: values[name] for name in ("lr", "lmbda", "batch_size")})
    )
    left = exponential ** (2 * epochs)
    kept = layer.norm_squared_end / layer.norm_squared_start
    sentence = (
        f"decay multiplies weights by {exponential:.4g} per epoch, within {bound:.1e} over the run; "
        f"alone it would leave {left:.3g} of the squared norm, the layer has {kept:.3g} of it"
    )
    return Claim(2, layer.name, bound <= EXPONENTIAL_WITHIN, bound, sentence)


def _tail(layer: LayerRun, values: dict[str, float], epochs: int, n_weights_total: int) -> Claim:
    """Return the verdict on claim 3: decay tails off at a size around 1/sqrt(n)."""
    claim = derive("nielsen-claim-3")
    claimed = float(claim.numeric("rms_claimed", n_weights_total=n_weights_total))
    size = (layer.norm_squared_end / layer.n_weights) ** 0.5
    size_start = (layer.norm_squared_start / layer.n_weights) ** 0.5
    ratio = size / claimed
    sentence = f"size per weight {size:.3g} at the end, {ratio:.3g} times 1/√n = {claimed:.3g}"
    needed = float(claim.numeric("epochs_needed", rms_start=size_start, n_weights_total=n_weights_total, **values))
    if needed > epochs:
        sentence += f"; {epochs} epochs could not show it: decay alone needs {needed:.0f} to come down to that size"
    return Claim(3, layer.name, 1 / AROUND <= ratio <= AROUND, ratio, sentence)
