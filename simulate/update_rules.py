"""Step optimizers: one frozen value per rule, whose step is a pure function of weights, gradient and state.

The rules are those of PyTorch where it has them, in the order of its operations, for arrays of any shape. Decay is
"coupled" (it goes into the gradient: L2 regularization) or "decoupled" (weights are multiplied by 1 - lr*weight_decay
before the update).
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInput, check_choice, check_count, check_nonnegative, check_positive

__all__ = [
    "RULES",
    "SGD",
    "Adam",
    "Decaying",
    "Lion",
    "Muon",
    "RMSprop",
    "Rule",
    "SignSGD",
    "check_fractions",
    "polar_factor",
]

Array = NDArray[np.float64]
State = tuple[Array, ...]
_COUPLINGS = ("coupled", "decoupled")


@runtime_checkable
class Rule(Protocol):
    """What every rule has: its learning rate, its decay, and a step that changes nothing it is given."""

    @property
    def lr(self) -> float:
        """Learning rate."""

    @property
    def weight_decay(self) -> float:
        """Decay coefficient."""

    @property
    def coupling(self) -> str:
        """Return "coupled" or "decoupled"."""

    def step(self, weights: Array, gradient: Array, state: State = ()) -> tuple[Array, State]:
        """Return weights and state after a step; the state before the first is empty."""


@dataclass(frozen=True)
class Decaying:
    """Hold what all rules share: learning rate and decay, checked."""

    lr: float
    _: KW_ONLY
    weight_decay: float = 0.0
    coupling: str = "coupled"

    def __post_init__(self) -> None:
        object.__setattr__(self, "lr", check_positive("lr", self.lr))
        object.__setattr__(self, "weight_decay", check_nonnegative("weight_decay", self.weight_decay))
        check_choice("coupling", self.coupling, _COUPLINGS)

    def _fed(self, weights: Array, gradient: Array) -> Array:
        """Return the gradient, with the decay in it if that is coupled."""
        if self.coupling == "coupled" and self.weight_decay:
            return gradient + self.weight_decay * weights
        return gradient

    def _moved(self, weights: Array, step: Array) -> Array:
        """Return the weights less the step, after decay if that is decoupled."""
        if self.coupling == "decoupled" and self.weight_decay:
            return np.asarray(weights * (1.0 - self.lr * self.weight_decay) - step)
        return weights - step


@dataclass(frozen=True)
class SGD(Decaying):
    """Stochastic gradient descent with momentum, as torch.optim.SGD.

    Parameters
    ----------
    lr : float
        Learning rate.
    weight_decay : float, optional
        Decay coefficient.
    coupling : {"coupled", "decoupled"}, optional
        Where the decay acts.
    momentum, dampening : float, optional
        buffer = momentum * buffer + (1 - dampening) * gradient; the first buffer is the gradient itself.
    nesterov : bool, optional
        Whether the update is gradient + momentum * buffer; needs momentum and no dampening.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    Examples
    --------
    >>> rule = SGD(0.1, weight_decay=0.5, momentum=0.9)
    >>> weights, state = rule.step(np.array([1.0]), np.array([2.0]))
    >>> weights, state
    (array([0.75]), (array([2.5]),))
    """

    _: KW_ONLY
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fractions(momentum=self.momentum)
        check_nonnegative("dampening", self.dampening)
        if self.nesterov and (not self.momentum or self.dampening):
            raise InvalidInput(
                f"nesterov=True with momentum={self.momentum}, dampening={self.dampening}, "
                "but it needs a momentum above 0 and no dampening"
            )

    def step(self, weights: Array, gradient: Array, state: State = ()) -> tuple[Array, State]:
        """Return weights and state (the buffer) after a step."""
        update = self._fed(weights, gradient)
        if self.momentum:
            buffer = self.momentum * state[0] + (1.0 - self.dampening) * update if state else update
            state = (buffer,)
            update = update + self.momentum * buffer if self.nesterov else buffer
        return self._moved(weights, self.lr * update), state


@dataclass(frozen=True)
class Adam(Decaying):
    """Adam: torch.optim.Adam if coupled, torch.optim.AdamW if decoupled.

    Parameters
    ----------
    lr, weight_decay, coupling
        As in `SGD`.
    beta1, beta2 : float, optional
        Coefficients of the means of gradients and of their squares.
    eps : float, optional
        Small constant added to the denominator.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    Examples
    --------
    >>> rule = Adam(0.1, weight_decay=0.5, coupling="decoupled")
    >>> rule.step(np.array([1.0, 1.0]), np.array([2.0, -0.01]))[0]  # the first step has the size of lr
    array([0.85   , 1.0499999])
    """

    _: KW_ONLY
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fractions(beta1=self.beta1, beta2=self.beta2)
        check_nonnegative("eps", self.eps)

    def step(self, weights: Array, gradient: Array, state: State = ()) -> tuple[Array, State]:
        """Return weights and state (steps, mean, mean square) after a step."""
        fed = self._fed(weights, gradient)
        count, mean, square = state or (np.zeros(()), np.zeros_like(fed), np.zeros_like(fed))
        count = count + 1.0
        mean = self.beta1 * mean + (1.0 - self.beta1) * fed
        square = self.beta2 * square + (1.0 - self.beta2) * fed * fed
        size = self.lr / (1.0 - self.beta1**count)
        denominator = np.sqrt(square) / np.sqrt(1.0 - self.beta2**count) + self.eps
        return self._moved(weights, size * mean / denominator), (count, mean, square)


@dataclass(frozen=True)
class RMSprop(Decaying):
    """RMSprop, as torch.optim.RMSprop if coupled.

    Parameters
    ----------
    lr, weight_decay, coupling
        As in `SGD`.
    smoothing : float, optional
        Coefficient of the mean of squared gradients (PyTorch's alpha).
    eps : float, optional
        Small constant added to the denominator.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    Examples
    --------
    >>> RMSprop(0.1).step(np.array([1.0]), np.array([2.0]))[0]  # the mean square begins at 0
    array([4.99999979e-08])
    """

    _: KW_ONLY
    smoothing: float = 0.99
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fractions(smoothing=self.smoothing)
        check_nonnegative("eps", self.eps)

    def step(self, weights: Array, gradient: Array, state: State = ()) -> tuple[Array, State]:
        """Return weights and state (the mean square) after a step."""
        fed = self._fed(weights, gradient)
        before = state[0] if state else np.zeros_like(fed)
        square = self.smoothing * before + (1.0 - self.smoothing) * fed * fed
        return self._moved(weights, self.lr * fed / (np.sqrt(square) + self.eps)), (square,)


@dataclass(frozen=True)
class SignSGD(Decaying):
    """Sign descent, and with momentum Signum: the update is the sign of the momentum.

    Parameters
    ----------
    lr, weight_decay, coupling
        As in `SGD`.
    momentum : float, optional
        buffer = momentum * buffer + (1 - momentum) * gradient.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    References
    ----------
    bernstein2018

    Examples
    --------
    >>> SignSGD(0.25).step(np.array([1.0, 1.0]), np.array([2.0, -0.01]))[0]
    array([0.75, 1.25])
    """

    _: KW_ONLY
    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fractions(momentum=self.momentum)

    def step(self, weights: Array, gradient: Array, state: State = ()) -> tuple[Array, State]:
        """Return weights and state (the buffer) after a step."""
        update = self._fed(weights, gradient)
        if self.momentum:
            before = state[0] if state else np.zeros_like(update)
            update = self.momentum * before + (1.0 - self.momentum) * update
            state = (update,)
        return self._moved(weights, self.lr * np.sign(update)), state


@dataclass(frozen=True)
class Lion(Decaying):
    """Lion: the sign of a mean of gradient and momentum.

    Parameters
    ----------
    lr, weight_decay, coupling
        As in `SGD`; decoupled unless said otherwise.
    beta1, beta2 : float, optional
        update = sign(beta1 * buffer + (1 - beta1) * gradient); then buffer = beta2 * buffer + (1 - beta2) * gradient.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    References
    ----------
    chen2023lion

    Examples
    --------
    >>> Lion(0.25).step(np.array([1.0]), np.array([2.0]))
    (array([0.75]), (array([0.02]),))
    """

    _: KW_ONLY
    coupling: str = "decoupled"
    beta1: float = 0.9
    beta2: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fractions(beta1=self.beta1, beta2=self.beta2)

    def step(self, weights: Array, gradient: Array, state: State = ()) -> tuple[Array, State]:
        """Return weights and state (the buffer) after a step."""
        fed = self._fed(weights, gradient)
        before = state[0] if state else np.zeros_like(fed)
        update = np.sign(self.beta1 * before + (1.0 - self.beta1) * fed)
        buffer = self.beta2 * before + (1.0 - self.beta2) * fed
        return self._moved(weights, self.lr * update), (buffer,)


@dataclass(frozen=True)
class Muon(Decaying):
    """Muon: the polar factor of the momentum of weight matrices, shape (..., n_rows, n_columns).

    Parameters
    ----------
    lr, weight_decay, coupling
        As in `SGD`; decoupled unless said otherwise.
    momentum : float, optional
        buffer = momentum * buffer + gradient.
    newton_schulz_steps : int, optional
        0 for the exact polar factor; 5 for the iteration that Muon is used with.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    References
    ----------
    jordan2024muon

    Examples
    --------
    >>> Muon(0.5).step(np.eye(2), np.diag([3.0, -0.1]))[0].round(12)
    array([[0.5, 0. ],
           [0. , 1.5]])
    """

    _: KW_ONLY
    coupling: str = "decoupled"
    momentum: float = 0.95
    newton_schulz_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fractions(momentum=self.momentum)
        check_count("newton_schulz_steps", self.newton_schulz_steps, least=0)

    def step(self, weights: Array, gradient: Array, state: State = ()) -> tuple[Array, State]:
        """Return weights and state (the buffer) after a step."""
        fed = self._fed(weights, gradient)
        buffer = self.momentum * state[0] + fed if state else fed
        update = polar_factor(buffer, self.newton_schulz_steps)
        return self._moved(weights, self.lr * update), (buffer,)


RULES = {"sgd": SGD, "adam": Adam, "rmsprop": RMSprop, "sign-sgd": SignSGD, "lion": Lion, "muon": Muon}
"""The rules by name."""


def polar_factor(matrices: Array, newton_schulz_steps: int = 0) -> Array:
    """Return the nearest matrices with orthonormal rows or columns, exactly or by Muon's iteration.

    Parameters
    ----------
    matrices : (..., n_rows, n_columns) ndarray
        One or many matrices.
    newton_schulz_steps : int, optional
        0 for the exact factor, otherwise the steps of X <- 3.4445 X - 4.7750 X X^T X + 2.0315 X X^T X X^T X.

    Returns
    -------
    (..., n_rows, n_columns) ndarray

    Raises
    ------
    InvalidInput
        If these are no matrices.

    Examples
    --------
    >>> (polar_factor(np.array([[3.0, 4.0]])) ** 2).sum().round(12)
    np.float64(1.0)
    """
    if matrices.ndim < 2:
        raise InvalidInput(f"the weights have shape {matrices.shape}, but must be matrices, (..., n_rows, n_columns)")
    if not check_count("newton_schulz_steps", newton_schulz_steps, least=0):
        left, _, right = np.linalg.svd(matrices, full_matrices=False)
        return np.asarray(left @ right)
    factor = matrices / (np.linalg.norm(matrices, axis=(-2, -1), keepdims=True) + 1e-7)
    for _ in range(newton_schulz_steps):
        square = factor @ np.swapaxes(factor, -1, -2)
        factor = 3.4445 * factor + (-4.7750 * square + 2.0315 * square @ square) @ factor
    return np.asarray(factor)


def check_fractions(**values: float) -> None:
    """Refuse coefficients of running means that are not from 0 to below 1.

    >>> check_fractions(momentum=1.0)
    Traceback (most recent call last):
    weightdecay.errors.InvalidInput: momentum is 1.0, but must be a number from 0 to below 1, or it never forgets
    """
    for name, value in values.items():
        if not check_nonnegative(name, value) < 1:
            raise InvalidInput(f"{name} is {value!r}, but must be a number from 0 to below 1, or it never forgets")
