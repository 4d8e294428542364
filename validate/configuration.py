"""Say what is trained and how: the network, the optimizer, its schedules, in either convention of weight decay."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInput, check_choice, check_count, check_nonnegative, check_positive
from ..simulate import Schedule, as_schedule, schedule_from_dict
from ..theory import derive
from .optimizers import SGD, Optimizer, optimizer_from_dict

__all__ = [
    "ACTIVATIONS",
    "INITIALIZATIONS",
    "NORMALIZED_SIZE",
    "OUTPUTS",
    "SAMPLINGS",
    "Hyperparameter",
    "TrainingConfig",
    "check_normalized",
]

ACTIVATIONS = ("sigmoid", "tanh", "relu", "linear")
OUTPUTS = ("sigmoid", "softmax", "linear")
INITIALIZATIONS = ("large", "fan_in", "he")
NORMALIZED_SIZE = 2.0  # norm of the weights that a normalized neuron acts with
_PLAIN_SGD = SGD()
SAMPLINGS = ("reshuffled", "with_replacement")

_MOST_WEIGHTS, _MOST_EPOCHS = 10**8, 10**5  # what fits in memory with a copy of it, and in a life time

Hyperparameter: TypeAlias = float | Schedule | Callable[[int], float]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    r"""Describe one training run: by default mini-batch SGD with L2 regularization, as in Nielsen's book.

    Use the constructors `nielsen` (decay as lmbda, divided by n_train) or `pytorch` (decay as weight_decay).

    Parameters
    ----------
    layers : sequence of int
        Numbers of units from inputs to outputs, such as [784, 30, 10]; at least two.
    lr : float, Schedule or callable of the step
        Learning rate of the mean gradient of a mini-batch, above 0.
    regularization : float, Schedule or callable of the step
        Strength of the decay in the given convention, 0 or above.
    convention : {"nielsen", "pytorch"}
        Whether `regularization` is lmbda or weight_decay.
    batch_size, epochs : int
        Examples in a mini-batch; passes over the training set.
    initialization : {"large", "fan_in", "he"} or float, optional
        Standard deviation of the initial Gaussian weights: 1, 1/sqrt(fan_in), sqrt(2/fan_in) or the number itself.
        Biases start from N(0, 1) with "large" and "fan_in", as in the book, and from 0 otherwise.
    activation : {"sigmoid", "tanh", "relu", "linear"}, optional
        Of the hidden units.
    output : {"sigmoid", "softmax", "linear"}, optional
        Output units with their cost per example: independent sigmoids with cross-entropy summed over the outputs,
        softmax with cross-entropy, or linear units with half the squared error summed over the outputs.
    biases, decay_biases : bool, optional
        Whether there are biases, and whether they decay like the weights.
    dtype : {"float32", "float64"}, optional
        Number format of weights and gradients. The decay factor is carried in float64 with both.
    optimizer : Optimizer, optional
        What makes a step of a gradient; it says as well whether the decay goes into the gradient.
    normalized : {False, True, "all"}, optional
        Whether each hidden neuron, or with "all" each output as well, is normalized: its pre-activation is
        2 (w . a) / ||w|| + b, so that the size of its weights w changes no output.
    sampling : {"reshuffled", "with_replacement"}, optional
        Whether the training set is reshuffled every epoch and cut into mini-batches, or every example of every
        mini-batch is drawn independently. An epoch has the same number of steps either way.

    Raises
    ------
    InvalidInput
        If a value is outside its range; the message names value and range.

    Notes
    -----
    One step on the mean gradient g of a mini-batch is w <- (1 - lr*weight_decay) w - lr*g for weights and b <- b - lr*g
    for undecayed biases. Other optimizers put their update in the place of g, and for coupled decay the gradient
    g + weight_decay * w into the optimizer. Biases follow the same optimizer, without decay unless `decay_biases`.

    The gradient of a normalized neuron is orthogonal to w and goes as 1/||w||. The fixed size 2 of the acting weights
    2w/||w|| suits MNIST: with [784, 30, 10] and 6 epochs of SGD, validation accuracies for the sizes 1, 2, 4, 8 were
    0.952, 0.959, 0.947, 0.927 with ReLU and 0.926, 0.947, 0.952, 0.938 with sigmoid units. The weights of dead inputs
    do get a gradient in a normalized neuron (along w, through the norm) and are no control group there.

    Examples
    --------
    >>> config = TrainingConfig.nielsen(layers=[784, 30, 10], eta=0.1, lmbda=5, batch_size=10, epochs=30)
    >>> config.weight_decay(n_train=50000)(0).item()
    0.0001
    """

    layers: tuple[int, ...]
    lr: Schedule | Callable[[int], float]
    regularization: Schedule | Callable[[int], float]
    convention: Literal["nielsen", "pytorch"]
    batch_size: int
    epochs: int
    initialization: str | float = "large"
    activation: str = "sigmoid"
    output: str = "sigmoid"
    biases: bool = True
    decay_biases: bool = False
    dtype: str = "float32"
    optimizer: Optimizer = _PLAIN_SGD
    normalized: bool | str = False
    sampling: str = "reshuffled"

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        if isinstance(self.layers, (str, bytes)) or not isinstance(self.layers, (Sequence, np.ndarray)):
            raise InvalidInput(f"layers is {self.layers!r}, but must be a sequence of widths such as [784, 30, 10]")
        if len(self.layers) < 2:
            raise InvalidInput(f"layers is {list(self.layers)}, but must hold at least the inputs and the outputs")
        put("layers", tuple(check_count(f"layers[{i}]", width) for i, width in enumerate(self.layers)))
        n_weights = sum(n_in * n_out for n_in, n_out in pairwise(self.layers))
        if n_weights > _MOST_WEIGHTS:
            raise InvalidInput(
                f"layers is {list(self.layers)}, with {n_weights} weights, but there must be at most "
                f"{_MOST_WEIGHTS}; make the layers narrower"
            )
        put("convention", check_choice("convention", self.convention, ["nielsen", "pytorch"]))
        put("batch_size", check_count("batch_size", self.batch_size))
        put("epochs", check_count("epochs", self.epochs, most=_MOST_EPOCHS))
        put("lr", _hyperparameter("lr" if self.convention == "pytorch" else "eta", self.lr, check_positive))
        decay = "weight_decay" if self.convention == "pytorch" else "lmbda"
        put("regularization", _hyperparameter(decay, self.regularization, check_nonnegative))
        if isinstance(self.initialization, str):
            check_choice("initialization", self.initialization, INITIALIZATIONS)
        else:
            put("initialization", check_nonnegative("initialization", self.initialization))
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("output", self.output, OUTPUTS)
        check_choice("dtype", self.dtype, ["float32", "float64"])
        check_choice("sampling", self.sampling, SAMPLINGS)
        if not isinstance(self.optimizer, Optimizer):
            raise InvalidInput(f"optimizer is {self.optimizer!r}, but must be one such as SGD(momentum=0.9) or Adam()")
        check_normalized(self.normalized)
        if self.normalized is True and len(self.layers) == 2:
            raise InvalidInput(
                f"normalized is True, but layers is {list(self.layers)}: there is no hidden layer; use "
                "normalized='all' or add a layer"
            )
        if self.normalized and self.initialization == 0:
            raise InvalidInput("initialization is 0, but normalized weights need a direction; it must be above 0")
        for name in ("biases", "decay_biases"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidInput(f"{name} is {getattr(self, name)!r}, but must be True or False")
        if self.decay_biases and not self.biases:
            raise InvalidInput("decay_biases is True, but biases is False: there is nothing to decay; drop one of them")

    @classmethod
    def nielsen(
        cls,
        *,
        layers: Sequence[int],
        eta: Hyperparameter,
        lmbda: Hyperparameter,
        batch_size: int,
        epochs: int,
        initialization: str | float = "large",
        activation: str = "sigmoid",
        output: str = "sigmoid",
        biases: bool = True,
        decay_biases: bool = False,
        dtype: str = "float32",
        optimizer: Optimizer = _PLAIN_SGD,
        normalized: bool | str = False,
        sampling: str = "reshuffled",
    ) -> TrainingConfig:
        """Describe a run in the book's convention: cost + (lmbda / (2 n_train)) * sum of squared weights.

        Parameters
        ----------
        layers, batch_size, epochs, initialization, activation, output, biases, decay_biases, dtype, optimizer, \
normalized, sampling
            As in `TrainingConfig`.
        eta : float, Schedule or callable
            Learning rate.
        lmbda : float, Schedule or callable
            Regularization parameter, divided by n_train.

        Examples
        --------
        >>> TrainingConfig.nielsen(layers=[784, 30, 10], eta=0.1, lmbda=5, batch_size=10, epochs=30).convention
        'nielsen'
        """
        return cls(
            layers=tuple(layers) if isinstance(layers, (list, np.ndarray)) else layers,  # type: ignore[arg-type]
            lr=eta,  # type: ignore[arg-type]  # __post_init__ makes numbers schedules
            regularization=lmbda,  # type: ignore[arg-type]
            convention="nielsen",
            batch_size=batch_size,
            epochs=epochs,
            initialization=initialization,
            activation=activation,
            output=output,
            biases=biases,
            decay_biases=decay_biases,
            dtype=dtype,
            optimizer=optimizer,
            normalized=normalized,
            sampling=sampling,
        )

    @classmethod
    def pytorch(
        cls,
        *,
        layers: Sequence[int],
        lr: Hyperparameter,
        weight_decay: Hyperparameter,
        batch_size: int,
        epochs: int,
        initialization: str | float = "large",
        activation: str = "sigmoid",
        output: str = "sigmoid",
        biases: bool = True,
        decay_biases: bool = False,
        dtype: str = "float32",
        optimizer: Optimizer = _PLAIN_SGD,
        normalized: bool | str = False,
        sampling: str = "reshuffled",
    ) -> TrainingConfig:
        """Describe a run in PyTorch's convention: weight_decay * w is added to the gradient.

        Parameters
        ----------
        layers, batch_size, epochs, initialization, activation, output, biases, decay_biases, dtype, optimizer, \
normalized, sampling
            As in `TrainingConfig`.
        lr, weight_decay : float, Schedule or callable
            Learning rate and decay coefficient; their product is the decay per step and must stay below 1.

        Examples
        --------
        >>> config = TrainingConfig.pytorch(layers=[784, 10], lr=0.1, weight_decay=1e-4, batch_size=10, epochs=1)
        >>> config.weight_decay(n_train=50000)(0).item()
        0.0001
        """
        config = cls(
            layers=tuple(layers) if isinstance(layers, (list, np.ndarray)) else layers,  # type: ignore[arg-type]
            lr=lr,  # type: ignore[arg-type]  # __post_init__ makes numbers schedules
            regularization=weight_decay,  # type: ignore[arg-type]
            convention="pytorch",
            batch_size=batch_size,
            epochs=epochs,
            initialization=initialization,
            activation=activation,
            output=output,
            biases=biases,
            decay_biases=decay_biases,
            dtype=dtype,
            optimizer=optimizer,
            normalized=normalized,
            sampling=sampling,
        )
        if isinstance(config.lr, Schedule) and isinstance(config.regularization, Schedule):
            config._check_decay(config.lr(np.arange(1)), config.regularization(np.arange(1)))
        return config

    @property
    def n_layers(self) -> int:
        """Number of layers of weights."""
        return len(self.layers) - 1

    @property
    def normalized_layers(self) -> tuple[bool, ...]:
        """Whether each layer is normalized, from the inputs to the outputs.

        >>> config = TrainingConfig.pytorch(layers=[4, 3, 2], lr=1, weight_decay=0, batch_size=1, epochs=1,
        ...                                 normalized=True)
        >>> config.normalized_layers
        (True, False)
        """
        return (bool(self.normalized),) * (self.n_layers - 1) + (self.normalized == "all",)

    def steps_per_epoch(self, n_train: int) -> int:
        """Return the number of mini-batches in an epoch; the last one may be smaller.

        >>> TrainingConfig.pytorch(layers=[4, 2], lr=1, weight_decay=0, batch_size=10, epochs=1).steps_per_epoch(25)
        3
        """
        return -(-n_train // self.batch_size)

    def weight_decay(self, n_train: int) -> Callable[[Any], NDArray[np.float64]]:
        """Return the decay coefficient in PyTorch's sense as a function of the step.

        Parameters
        ----------
        n_train : int
            Training-set size, which the book's lmbda is divided by.

        Returns
        -------
        callable
            From steps, int or (k,) ndarray, to weight_decay, float64 of the same shape.
        """
        schedule = as_schedule(self.regularization, self.epochs * self.steps_per_epoch(n_train))
        if self.convention == "pytorch":
            return schedule
        return lambda steps: derive("convention-nielsen").numeric(lmbda=schedule(steps), n_train=n_train)

    def tabulate(self, n_train: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return learning rate and decay coefficient of every step.

        Parameters
        ----------
        n_train : int
            Training-set size.

        Returns
        -------
        lr, weight_decay : (n_steps,) ndarray
            Both in PyTorch's sense.

        Raises
        ------
        InvalidInput
            If lr * weight_decay reaches 1 at some step, where the weights would be wiped out or change sign.

        Examples
        --------
        >>> config = TrainingConfig.nielsen(layers=[784, 30, 10], eta=0.1, lmbda=5, batch_size=10, epochs=1)
        >>> lr, weight_decay = config.tabulate(n_train=50000)
        >>> lr.shape, round(float((lr * weight_decay)[0]), 8)
        ((5000,), 1e-05)
        """
        steps = np.arange(self.epochs * self.steps_per_epoch(n_train))
        lr = as_schedule(self.lr, len(steps))(steps)
        decay = self.weight_decay(n_train)(steps)
        if not lr.any():
            raise InvalidInput("lr is 0 at every step, but must be above 0 at some; nothing would be trained")
        self._check_decay(lr, decay)
        return lr, decay

    def _check_decay(self, lr: NDArray[np.float64], weight_decay: NDArray[np.float64]) -> None:
        decay_per_step = lr * weight_decay
        worst = int(np.argmax(decay_per_step))
        if decay_per_step[worst] >= 1:
            name, rate = ("lr*weight_decay", "lr") if self.convention == "pytorch" else ("eta*lmbda/n_train", "eta")
            raise InvalidInput(
                f"{name} is {decay_per_step[worst]:g} at step {worst} ({rate} is {lr[worst]:g} there), but must be "
                "below 1, or a step would leave nothing of a weight; lower the learning rate or the decay"
            )

    def standard_deviation(self, layer: int) -> float:
        """Return the standard deviation of the initial weights of a layer, counted from 0.

        >>> config = TrainingConfig.pytorch(layers=[4, 2], lr=1, weight_decay=0, batch_size=1, epochs=1,
        ...                                 initialization="fan_in")
        >>> config.standard_deviation(0)
        0.5
        """
        if not isinstance(self.initialization, str):
            return self.initialization
        fan_in = self.layers[layer]
        return {"large": 1.0, "fan_in": 1 / math.sqrt(fan_in), "he": math.sqrt(2 / fan_in)}[self.initialization]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; a callable that is no schedule is named, not kept."""
        told: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        told["layers"] = list(self.layers)
        for name in ("lr", "regularization"):
            value = told[name]
            told[name] = value.to_dict() if isinstance(value, Schedule) else {"callable": repr(value)}
        told["optimizer"] = self.optimizer.to_dict()
        return told

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> TrainingConfig:
        """Return the configuration that `to_dict` described.

        >>> config = TrainingConfig.pytorch(layers=[4, 2], lr=1, weight_decay=0, batch_size=1, epochs=1)
        >>> TrainingConfig.from_dict(config.to_dict()) == config
        True
        """
        wanted = set(cls.__dataclass_fields__)
        if not isinstance(told, Mapping) or set(told) != wanted:
            raise InvalidInput(f"a configuration is told by {sorted(wanted)}, but this is {told!r}")
        schedules = {name: schedule_from_dict(told[name]) for name in ("lr", "regularization")}
        optimizer = optimizer_from_dict(told["optimizer"])
        return cls(**{**told, "layers": tuple(told["layers"]), "optimizer": optimizer, **schedules})


def check_normalized(normalized: object) -> None:
    """Raise InvalidInput if this does not say which layers are normalized."""
    if not isinstance(normalized, bool) and not (isinstance(normalized, str) and normalized == "all"):
        raise InvalidInput(f"normalized is {normalized!r}, but must be False, True (the hidden layers) or 'all'")


def _hyperparameter(name: str, value: Any, check: Callable[[str, object], float]) -> Schedule | Callable[[int], float]:
    if isinstance(value, Schedule) or callable(value):
        return value  # type: ignore[no-any-return]
    return as_schedule(check(name, value), 1)
