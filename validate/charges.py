"""Measure what the symmetries of a network conserve: the charges of its weights, and those of its gradients.

A charge is linear or quadratic in the weights, so one function gives that of the weights and, fed with gradients, the
second-order term of a step. What a step does to a charge is said by `theory`'s derivation of the symmetry's name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..theory import derive
from .configuration import TrainingConfig
from .datasets import Dataset
from .stepwise import TakenStep

__all__ = ["LAWS", "Conserved", "conserved_by"]

Array = NDArray[np.float64]
Arrays = Sequence[Array]

LAWS = (
    "dead-input",
    "translation-symmetry",
    "rescale-symmetry",
    "rescale-symmetry-undecayed-bias",
    "deep-linear-symmetry",
)
"""Names of the laws in `theory`."""


@dataclass(frozen=True)
class Conserved:
    """Hold one law of one network: what is conserved, and by which derivation it changes.

    Parameters
    ----------
    law : str
        Name of the derivation, one of `LAWS`.
    charge : callable
        From the weights and biases of all layers to the charges, (n_charges,).
    size : callable
        From the same to what an error is divided by: the largest charge, or for differences the sum of the two norms.
    undecayed : callable or None, optional
        From biases to the biases of the units, where those do not decay.
    decays : callable or None, optional
        From a decay coefficient to that of each charge, where they differ.
    """

    law: str
    charge: Callable[[Arrays, Arrays], Array]
    size: Callable[[Arrays, Arrays], Any]
    undecayed: Callable[[Arrays], Array] | None = None
    decays: Callable[[float], Any] = float

    def predictor(self, *, second_order: bool = True) -> Callable[[Array, TakenStep], Array]:
        """Return the law as a function from charges and a step to the charges after it.

        Of the step it gets learning rate, decay and, where the law asks for them, gradients and undecayed biases.

        Parameters
        ----------
        second_order : bool, optional
            Whether the charge of the gradients, which a small step does without, is taken into account.
        """
        derivation = derive(self.law)
        function, arguments = derivation.function("charge_next"), derivation.arguments("charge_next")

        def after(charge: Array, step: TakenStep) -> Array:
            values: dict[str, Any] = {
                "charge": charge,
                "lr": step.lr,
                "weight_decay": self.decays(step.weight_decay),
            }
            if "gradient_charge" in arguments:
                values["gradient_charge"] = second_order * self.charge(step.weight_gradients, step.bias_gradients)
            if self.undecayed is not None:
                biases = self.undecayed(step.before.biases)
                values["undecayed_charge"] = biases**2
                values["undecayed_work"] = biases * self.undecayed(step.bias_gradients)
            return np.asarray(function(*(values[name] for name in arguments)), dtype=np.float64)

        return after


def conserved_by(config: TrainingConfig, data: Dataset) -> list[Conserved]:
    """Return the laws that hold for the networks of a configuration, whatever they are trained on.

    Parameters
    ----------
    config : TrainingConfig
        Its activation and output decide on the symmetries. Rescaling is looked at whatever the activation: sigmoid and
        tanh units have no such symmetry, and the law must fail for them.
    data : Dataset
        Its dead pixels are the dead inputs.

    Examples
    --------
    >>> from weightdecay.validate import load_mnist
    >>> config = TrainingConfig.pytorch(layers=[784, 30, 10], lr=0.1, weight_decay=0, batch_size=10, epochs=1,
    ...                                 activation="relu", output="softmax")
    >>> [each.law for each in conserved_by(config, load_mnist())]
    ['dead-input', 'translation-symmetry', 'rescale-symmetry-undecayed-bias']
    """
    found = []
    dead = data.dead_pixels
    if len(dead):
        found.append(Conserved("dead-input", _dead(dead), _largest(_dead(dead))))

    def decays(weight_decay: float) -> Array:
        return np.append(np.full(config.layers[-2], weight_decay), weight_decay if config.decay_biases else 0.0)

    found.append(Conserved("translation-symmetry", _column_sums, _largest(_column_sums), decays=decays))
    if config.n_layers > 1 and config.activation == "linear" and not config.biases:
        found.append(Conserved("deep-linear-symmetry", _gram_differences, _gram_norms))
    elif config.n_layers > 1:
        undecayed = config.biases and not config.decay_biases
        found.append(
            Conserved(
                "rescale-symmetry-undecayed-bias" if undecayed else "rescale-symmetry",
                lambda weights, biases: np.subtract(*_unit_norms(weights, biases)),
                lambda weights, biases: np.add(*_unit_norms(weights, biases)),
                (lambda biases: np.concatenate(biases[:-1])) if undecayed else None,
            )
        )
    return found


def _dead(dead: NDArray[np.int64]) -> Callable[[Arrays, Arrays], Array]:
    return lambda weights, _: weights[0][:, dead].ravel()


def _largest(charge: Callable[[Arrays, Arrays], Array]) -> Callable[[Arrays, Arrays], Any]:
    return lambda weights, biases: np.abs(charge(weights, biases)).max()


def _column_sums(weights: Arrays, biases: Arrays) -> Array:
    """Return the sums over the outputs of the weights from each unit, then of the biases."""
    return np.append(weights[-1].sum(axis=0), biases[-1].sum())


def _unit_norms(weights: Arrays, biases: Arrays) -> tuple[Array, Array]:
    """Return the squared norms of the weights into (bias included) and out of each hidden unit."""
    into = [np.einsum("oi,oi->o", w, w) + b * b for w, b in zip(weights[:-1], biases[:-1], strict=True)]
    out = [np.einsum("oi,oi->i", w, w) for w in weights[1:]]
    return np.concatenate(into), np.concatenate(out)


def _grams(weights: Arrays) -> list[tuple[Array, Array]]:
    """Return W_l W_l^T and W_{l+1}^T W_{l+1} for every pair of neighbouring layers."""
    return [(below @ below.T, above.T @ above) for below, above in pairwise(weights)]


def _gram_differences(weights: Arrays, _biases: Arrays) -> Array:
    return np.concatenate([(below - above).ravel() for below, above in _grams(weights)])


def _gram_norms(weights: Arrays, _biases: Arrays) -> Array:
    """Return for every entry of the differences the sum of the Frobenius norms of the two matrices."""
    return np.concatenate(
        [np.full(below.size, np.linalg.norm(below) + np.linalg.norm(above)) for below, above in _grams(weights)]
    )
