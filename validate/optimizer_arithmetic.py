"""Take an optimizer's steps for many networks at a time, with decay that is never rounded.

Every array of parameters is stored divided by a float64 scale per run that carries the decay: parameter = sigma * P.
Decoupled decay multiplies sigma by 1 - lr*weight_decay and nothing else.

Coupled decay of stochastic gradient descent with momentum is linear in (w, v), weights and buffer, and its matrix is
made triangular: with b = v - rho w and the right rho, the buffer b no longer feels the weights, and the weights decay
by a factor q that goes into sigma. With e = lr * weight_decay, mu the momentum, x = lr * rho, heavy ball (in PyTorch's
form, dampening tau, e and g times 1 - tau) is

    b' = mu (1 + x) b + (1 + x) g,                w' = (w - lr b') / (1 + x),             mu x^2 - (1-mu-e) x + e = 0

and Nesterov's momentum is

    b' = mu (1 + mu x) b + (1 + (1+mu) x) g,      w' = ((1-e) w - lr (g + mu b')) / (1 + mu x),
                                                            mu^2 x^2 - (1-mu-(1+mu)e) x + e = 0.

When a schedule changes rho, b takes up the difference times w. Where the roots are complex (underdamped: weights and
buffer turn around each other) the decay is so strong that rounding it does no harm, and it is added to the gradient, as
it is with every optimizer that is not linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .optimizers import SGD, Adam, Lion, Muon, Optimizer, RMSprop, SignSGD

__all__ = ["Arithmetic", "arithmetic_of", "polar_factors"]

Array = NDArray[Any]
Table = NDArray[np.float64]  # (n_steps, n_runs)

# singular values below this share of the largest are taken for zero: their square is the rounding of the largest's
RANK_TOLERANCE = 1e-7


class Arithmetic:
    """Hold the state of one optimizer for stacked arrays of parameters, (n_runs, ...), and take its steps.

    Parameters
    ----------
    optimizers : sequence of Optimizer
        One for each run, of one class; their numbers may differ.
    arrays : sequence of (n_runs, ...) ndarray
        The stored parameters, changed in place.
    decayed : sequence of bool
        Which of them decay.
    """

    n_states = 0  # arrays that remember, for each array of parameters
    remembers = True  # whether the first of them is a mean or sum of gradients

    def __init__(self, optimizers: Sequence[Optimizer], arrays: Sequence[Array], decayed: Sequence[bool]) -> None:
        self.optimizers, self.arrays, self.decayed = optimizers, arrays, decayed
        self.coupled = optimizers[0].coupling == "coupled"
        self.state = [[np.zeros_like(array) for _ in range(self.n_states)] for array in arrays]
        self.taken = 0  # steps
        self.tables: list[dict[str, Array]] = []

    def parameter(self, name: str) -> NDArray[np.float64]:
        """Return one of the optimizer's numbers for each run, (n_runs,)."""
        return np.array([getattr(each, name) for each in self.optimizers], dtype=np.float64)

    def snapshot(self) -> Any:
        """Return a copy of everything that steps change."""
        return self.taken, [[each.copy() for each in states] for states in self.state]

    def restore(self, saved: Any) -> None:
        """Go back to a snapshot."""
        self.taken = saved[0]
        for mine, old in zip(self.state, saved[1], strict=True):
            for array, before in zip(mine, old, strict=True):
                array[...] = before

    def scale_factors(self, lr: Table, weight_decay: Table) -> Table:
        """Return what each step multiplies the scale of decayed parameters by."""
        return np.ones_like(lr) if self.coupled else 1.0 - lr * weight_decay

    def plan(self, lr: Table, weight_decay: Table, scales: Sequence[Table]) -> None:
        """Prepare the coming steps.

        Parameters
        ----------
        lr, weight_decay : (n_steps, n_runs) ndarray
            Hyperparameters.
        scales : sequence of (n_steps + 1, n_runs) ndarray
            sigma of every array of parameters before each step, and after the last.
        """
        self.tables = []
        for array, decayed, scale in zip(self.arrays, self.decayed, scales, strict=True):
            table = self.coefficients(lr, weight_decay if decayed else np.zeros_like(lr), scale, decayed)
            shape = (*lr.shape, *[1] * (array.ndim - 1))
            self.tables.append({name: each.astype(array.dtype).reshape(shape) for name, each in table.items()})

    def coefficients(self, lr: Table, weight_decay: Table, scale: Table, decayed: bool) -> dict[str, Table]:
        """Return the factors of each step for one array of parameters: `move` times the update, and `feed`."""
        found = {"move": -lr / scale[1:]}
        if self.coupled and weight_decay.any():
            found["feed"] = weight_decay * scale[:-1]
        return found

    def done(self, n_steps: int) -> None:
        """Count steps that have been taken as planned."""
        self.taken += n_steps

    def step(self, k: int, which: int, gradient: Array) -> None:
        """Change one array of parameters by the k-th planned step; the gradient's array is used up."""
        table, array = self.tables[which], self.arrays[which]
        if "feed" in table:
            gradient += table["feed"][k] * array
        update = self.update(k, gradient, self.state[which])
        update *= table["move"][k]
        array += update

    def update(self, k: int, fed: Array, state: list[Array]) -> Array:
        """Return the update for a gradient, which may be overwritten, and change the state."""
        raise NotImplementedError

    def buffer(self, k: int, which: int) -> tuple[Array, NDArray[np.float64]] | None:
        """Return b and rho, (n_runs,), of the momentum buffer v = b + rho w before step k; None without a buffer."""
        return (self.state[which][0], np.zeros(len(self.optimizers))) if self.remembers else None

    def each(self, name: str, like: Array) -> Array:
        """Return one of the optimizer's numbers, to be multiplied with an array."""
        return self.parameter(name).astype(like.dtype).reshape(-1, *[1] * (like.ndim - 1))


class Momentum(Arithmetic):
    """Stochastic gradient descent: plain, heavy ball, Nesterov."""

    n_states = 1

    def __init__(self, optimizers: Sequence[Optimizer], arrays: Sequence[Array], decayed: Sequence[bool]) -> None:
        self.momentum, self.dampening = (
            np.array([getattr(each, name) for each in optimizers]) for name in ("momentum", "dampening")
        )
        self.nesterov = bool(getattr(optimizers[0], "nesterov"))  # noqa: B009  # Optimizer has none, SGD has
        if not self.momentum.any():
            self.n_states = 0
        super().__init__(optimizers, arrays, decayed)
        self.rho = np.zeros(len(optimizers))

    def snapshot(self) -> Any:
        """Return a copy of everything that steps change."""
        return super().snapshot(), self.rho.copy()

    def restore(self, saved: Any) -> None:
        """Go back to a snapshot."""
        super().restore(saved[0])
        self.rho = saved[1].copy()

    def kept(self, lr: Table) -> Table:
        """Return the share of the gradient that goes into the buffer; the first buffer is the gradient itself."""
        kept = np.broadcast_to(np.where(self.momentum > 0, 1 - self.dampening, 1.0), lr.shape).copy()
        if self.taken == 0:
            kept[:1] = 1.0
        return kept

    def triangular(self, lr: Table, weight_decay: Table) -> dict[str, Table]:
        """Return the coefficients of the triangular form, where it is real, and else of the plain one."""
        mu, kept = self.momentum, self.kept(lr)
        e = lr * weight_decay * kept
        ones = np.ones_like(e)
        if not self.coupled:
            nothing = np.zeros_like(e)
            return {"rho": nothing, "remember": mu * ones, "take": kept, "shrink": 1 - e / kept, "inner": 1 - e / kept,
                    "explicit": nothing}  # fmt: skip
        linear, square = (1 - mu - (1 + mu) * e, mu**2) if self.nesterov else (1 - mu - e, mu)
        under_root = linear**2 - 4 * square * e
        real = (linear > 0) & (under_root >= 0)
        ratio = np.where(real, 2 / (linear + np.sqrt(np.maximum(under_root, 0))), 0.0)  # x / e
        x = ratio * e
        found = {"rho": kept * weight_decay * ratio, "explicit": np.where(real, 0.0, kept * weight_decay)}
        if self.nesterov:
            return {**found, "remember": mu * (1 + mu * x), "take": 1 + (1 + mu) * x,
                    "shrink": (1 - e) / (1 + mu * x), "inner": 1 - e}  # fmt: skip
        return {**found, "remember": mu * (1 + x), "take": kept * (1 + x), "shrink": 1 / (1 + x), "inner": ones}

    def scale_factors(self, lr: Table, weight_decay: Table) -> Table:
        """Return what each step multiplies the scale of decayed parameters by."""
        return self.triangular(lr, weight_decay)["shrink"]

    def coefficients(self, lr: Table, weight_decay: Table, scale: Table, decayed: bool) -> dict[str, Table]:
        """Return the factors of each step: of buffer, gradient, weights into the buffer, and of the update."""
        form = self.triangular(lr, weight_decay)
        table = {"move": -lr / (form["inner"] * scale[:-1]), "remember": form["remember"], "take": form["take"]}
        if decayed and self.n_states:
            self.rhos = np.vstack([self.rho, form["rho"]])  # before each step and after the last
            feed = (form["remember"] * (self.rhos[:-1] - form["rho"]) + form["explicit"]) * scale[:-1]
            if feed.any():
                table["feed"] = feed
        if self.nesterov:
            table["again"] = np.broadcast_to(self.momentum, lr.shape)
        return table

    def buffer(self, k: int, which: int) -> tuple[Array, NDArray[np.float64]] | None:
        """Return b and rho, (n_runs,), of the momentum buffer v = b + rho w before step k; None without a buffer."""
        if not self.n_states:
            return None
        return self.state[which][0], self.rhos[k] if self.decayed[which] else np.zeros(len(self.optimizers))

    def done(self, n_steps: int) -> None:
        """Count steps that have been taken as planned."""
        super().done(n_steps)
        if self.n_states:
            self.rho = self.rhos[-1]

    def step(self, k: int, which: int, gradient: Array) -> None:
        """Change one array of parameters by the k-th planned step; the gradient's array is used up."""
        table, array = self.tables[which], self.arrays[which]
        if not self.n_states:
            gradient *= table["take"][k] * table["move"][k]
            array += gradient
            return
        (buffer,) = self.state[which]
        buffer *= table["remember"][k]
        if "feed" in table and table["feed"][k].any():
            buffer += table["feed"][k] * array
        buffer += table["take"][k] * gradient
        if self.nesterov:
            array += table["move"][k] * (gradient + table["again"][k] * buffer)
        else:
            array += table["move"][k] * buffer


class RunningSquare(Arithmetic):
    """RMSprop."""

    n_states = 1
    remembers = False

    def update(self, k: int, fed: Array, state: list[Array]) -> Array:
        """Return the update for a gradient, which may be overwritten, and change the state."""
        (square,) = state
        smoothing = self.each("smoothing", fed)
        square *= smoothing
        square += (1 - smoothing) * fed * fed
        fed /= np.sqrt(square) + self.each("eps", fed)
        return fed


class AdaptiveMoments(Arithmetic):
    """Adam and AdamW."""

    n_states = 2

    def update(self, k: int, fed: Array, state: list[Array]) -> Array:
        """Return the update for a gradient, which may be overwritten, and change the state."""
        mean, square = state
        count = self.taken + k + 1
        beta1, beta2 = (self.each(name, fed) for name in ("beta1", "beta2"))
        mean *= beta1
        mean += (1 - beta1) * fed
        square *= beta2
        square += (1 - beta2) * fed * fed
        first, second = (
            (1 - self.parameter(name) ** count).reshape(beta1.shape).astype(fed.dtype) for name in ("beta1", "beta2")
        )
        denominator = np.sqrt(square / second)
        denominator += self.each("eps", fed)
        return np.asarray(mean / first / denominator)


class SignMomentum(Arithmetic):
    """Sign descent and Signum."""

    n_states = 1

    def update(self, k: int, fed: Array, state: list[Array]) -> Array:
        """Return the update for a gradient, which may be overwritten, and change the state."""
        (buffer,) = state
        momentum = self.each("momentum", fed)
        buffer *= momentum
        buffer += (1 - momentum) * fed
        return np.sign(buffer)


class EvolvedSign(Arithmetic):
    """Lion."""

    n_states = 1

    def update(self, k: int, fed: Array, state: list[Array]) -> Array:
        """Return the update for a gradient, which may be overwritten, and change the state."""
        (buffer,) = state
        beta1, beta2 = (self.each(name, fed) for name in ("beta1", "beta2"))
        update = np.sign(beta1 * buffer + (1 - beta1) * fed)
        buffer *= beta2
        buffer += (1 - beta2) * fed
        return np.asarray(update)


class PolarMomentum(Arithmetic):
    """Muon."""

    n_states = 1

    def update(self, k: int, fed: Array, state: list[Array]) -> Array:
        """Return the update for a gradient, which may be overwritten, and change the state."""
        (buffer,) = state
        buffer *= self.each("momentum", fed)
        buffer += fed
        n_steps = int(getattr(self.optimizers[0], "newton_schulz_steps"))  # noqa: B009
        matrices = buffer if buffer.ndim == 3 else buffer[:, :, None]
        return polar_factors(matrices, n_steps).reshape(buffer.shape)


def polar_factors(matrices: Array, newton_schulz_steps: int = 0) -> Array:
    """Return for each matrix the nearest one with singular values 1, or 0 where the matrix has none.

    Parameters
    ----------
    matrices : (n_runs, n_rows, n_columns) ndarray
        One for each run.
    newton_schulz_steps : int, optional
        0 for the exact factor, otherwise the steps of Muon's iteration.

    Notes
    -----
    Singular vectors of singular value 0 are left out, so that a row or column of zeros stays one.

    Examples
    --------
    >>> polar_factors(np.array([[[3.0, 4.0, 0.0], [0.0, 0.0, 0.0]]])).round(12)
    array([[[0.6, 0.8, 0. ],
            [0. , 0. , 0. ]]])
    """
    if matrices.shape[1] > matrices.shape[2]:
        return polar_factors(matrices.swapaxes(1, 2), newton_schulz_steps).swapaxes(1, 2)
    if newton_schulz_steps:
        factor: Array = matrices / (np.linalg.norm(matrices, axis=(1, 2), keepdims=True) + matrices.dtype.type(1e-7))
        for _ in range(newton_schulz_steps):
            square = factor @ factor.swapaxes(1, 2)
            factor = 3.4445 * factor + (-4.7750 * square + 2.0315 * square @ square) @ factor
        return factor
    finite = np.isfinite(matrices).all(axis=(1, 2), keepdims=True)
    left, values, right = np.linalg.svd(np.where(finite, matrices, 0).astype(np.float64), full_matrices=False)
    kept = values > RANK_TOLERANCE * values[:, :1]
    factor = np.asarray((left * kept[:, None, :]) @ right).astype(matrices.dtype)
    return np.where(finite, factor, np.nan)


_KINDS: dict[type[Optimizer], type[Arithmetic]] = {
    SGD: Momentum,
    RMSprop: RunningSquare,
    Adam: AdaptiveMoments,
    SignSGD: SignMomentum,
    Lion: EvolvedSign,
    Muon: PolarMomentum,
}


def arithmetic_of(optimizers: Sequence[Optimizer], arrays: Sequence[Array], decayed: Sequence[bool]) -> Arithmetic:
    """Return the arithmetic of optimizers of one class, with a state that has seen no step."""
    return _KINDS[type(optimizers[0])](optimizers, arrays, decayed)
