"""Take an optimizer's steps for many networks at a time, fast, and with decay that is never rounded.

Every array of parameters is stored divided by a float64 scale per run that carries the decay: parameter = sigma * P.
Decoupled decay multiplies sigma by 1 - lr*weight_decay and nothing else; that of momentum SGD, coupled, goes into sigma
too (`momentum_form`). Decay that goes into the gradient of other optimizers is added there.

Running means are stored lazily as well: b = t B, where a step multiplies t by the coefficient of the mean and adds to
B, and B takes up t before that becomes small. So a mean costs one pass over memory, y += a x, where it would cost two.

Large arrays are stepped run by run, so that they stay in the processor's cache from the gradient to the weights; those
of all runs together where they are small, because calls would cost more than arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_blas_funcs

from .momentum_form import MomentumForm, momentum_form
from .optimizers import SGD, Adam, Lion, Muon, Optimizer, RMSprop, SignSGD
from .polar import SMALLEST_NORM, PolarFactor, polar_factors

__all__ = ["Arithmetic", "Part", "arithmetic_of"]

Array = NDArray[Any]
Table = NDArray[np.float64]  # (n_steps, n_runs)

OWN_SIZE = 4096  # parameters from which an array is stepped run by run
_FOLDS, _TAKES = ("fold0", "fold1"), ("take0", "take1")  # names of factors
_SMALLEST_SCALE = 1e-6  # of a lazily stored mean; far from float32's range


class Part:
    """Hold the stored parameters and the memory of some runs that are stepped together.

    Arrays are flat, (n_parameters,), for one run, and (n_runs, n_parameters) for several.
    """

    def __init__(self, array: Array, states: Sequence[Array], runs: slice, decayed: bool, spare: Array) -> None:
        self.runs, self.decayed, self.shape = runs, decayed, array[runs].shape
        self.one = self.shape[0] == 1
        self.array, self.spare, self.work = (self.flat(each) for each in (array[runs], *spare))
        self.states = [self.flat(state[runs]) for state in states]
        self.axpy = get_blas_funcs("axpy", dtype=array.dtype)
        self.size = self.array.size
        self.table: dict[str, list[Any]] = {}

    def flat(self, array: Array) -> Array:
        """Return (n_runs, ...) parameters in the form of this part's arrays."""
        return array.reshape(-1) if self.one else array.reshape(self.shape[0], -1)

    def add(self, factor: Any, x: Array, y: Array) -> None:
        """Add factor * x to y."""
        if self.one:
            self.axpy(x, y, self.size, factor)
        else:
            np.multiply(x, factor, self.spare)
            np.add(y, self.spare, y)

    def put(self, name: str, values: Table) -> None:
        """Set a factor of each step, from all runs' (n_steps, n_runs); None where it is nan for all."""
        mine = values[:, self.runs]
        if mine.shape[1] == 1 or np.array_equal(mine, np.broadcast_to(mine[:, :1], mine.shape), equal_nan=True):
            found: list[Any] = mine[:, 0].tolist()
        else:
            found = list(mine.astype(self.array.dtype)[:, :, None])
        unused = np.asarray(np.isnan(mine).all(axis=1))
        self.table[name] = [None if skip else each for each, skip in zip(found, unused.tolist(), strict=True)]


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

    means: tuple[str, ...] = ()  # the memory of each array of parameters: the name of each mean's coefficient
    remembers = True  # whether the first of them is of gradients
    linear = False  # whether gradients can be added where they go, without having been an array of their own

    def __init__(self, optimizers: Sequence[Optimizer], arrays: Sequence[Array], decayed: Sequence[bool]) -> None:
        self.optimizers, self.decayed = optimizers, decayed
        self.n_runs = len(optimizers)
        self.coupled = optimizers[0].coupling == "coupled"
        self.state = [[np.zeros_like(array) for _ in self.means] for array in arrays]
        self.taken = 0  # steps
        self.parts = [
            self._parts(*each) for each in zip(arrays, self.state, decayed, strict=True)
        ]  # of each array of parameters
        self.scales: list[list[Table]] = []  # t of each array's means before each step and after the last

    def _parts(self, array: Array, states: Sequence[Array], decayed: bool) -> list[Part]:
        alone = self.n_runs == 1 or array[0].size >= OWN_SIZE
        runs = [slice(run, run + 1) for run in range(self.n_runs)] if alone else [slice(0, self.n_runs)]
        spare = np.empty((2, *array[runs[0]].shape), array.dtype)
        return [Part(array, states, each, decayed, spare) for each in runs]

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
        self.scales = []
        for parts, decayed, scale in zip(self.parts, self.decayed, scales, strict=True):
            table = self.coefficients(lr, weight_decay, scale, decayed)
            ones = np.ones(self.n_runs)
            self.scales.append([np.vstack([ones, table[f"scale{which}"]]) for which in range(len(self.means))])
            for part in parts:
                part.table = {}
                for name, values in table.items():
                    part.put(name, values)

    def coefficients(self, lr: Table, weight_decay: Table, scale: Table, decayed: bool) -> dict[str, Table]:
        """Return the factors of each step for one array of parameters."""
        raise NotImplementedError

    def lazily(self, which: int, coefficients: Table) -> dict[str, Table]:
        """Return t of a mean after each step (`scale`), before it (`before`), and where B takes it up (`fold`, or nan).

        The coefficients of the mean are (n_steps, n_runs), or (n_runs,) if they do not change.
        """
        smallest = coefficients.min(initial=1.0)
        n_steps = len(coefficients)
        every = 1 if smallest < _SMALLEST_SCALE else int(np.log(_SMALLEST_SCALE) / np.log(min(smallest, 1 - 1e-9)))
        after, fold = coefficients.copy(), np.full_like(coefficients, np.nan)
        last = np.ones(self.n_runs)
        for start in range(0, n_steps, every):
            block = after[start : start + every]
            fold[start] = last * block[0]
            block[0] = 1.0
            np.cumprod(block, axis=0, out=block)
            last = block[-1]
        before = np.vstack([np.ones(self.n_runs), after[:-1]])
        return {f"scale{which}": after, f"before{which}": before, _FOLDS[which]: fold}

    def fold(self, k: int, part: Part, which: int) -> None:
        """Let B take up t where that is planned."""
        factor = part.table[_FOLDS[which]][k]
        if factor is not None:
            np.multiply(part.states[which], factor, part.states[which])

    def done(self, n_steps: int) -> None:
        """Count steps that have been taken as planned, and let means take up their scales."""
        self.taken += n_steps
        for states, scales in zip(self.state, self.scales, strict=True):
            for state, scale in zip(states, scales, strict=True):
                state *= scale[n_steps].astype(state.dtype).reshape(-1, *[1] * (state.ndim - 1))

    def buffer(self, k: int, which: int) -> tuple[Array, NDArray[np.float64], NDArray[np.float64]] | None:
        """Return B, t and rho of the momentum buffer v = t B + rho w before step k; None without a buffer."""
        if not self.remembers or not self.means:
            return None
        return self.state[which][0], self.scales[which][0][k], np.zeros(self.n_runs)

    def step(self, k: int, part: Part, gradient: Array) -> None:
        """Change one part's parameters by the k-th planned step; the gradient's array is used up."""
        raise NotImplementedError


class Momentum(Arithmetic):
    """Stochastic gradient descent: plain, heavy ball, Nesterov.

    A step has three parts: `begin`, adding the gradient times `take` to the buffer (or to the parameters, if there is
    none), and `end`. Matrix products can do the second in place.
    """

    linear = True

    def __init__(self, optimizers: Sequence[Optimizer], arrays: Sequence[Array], decayed: Sequence[bool]) -> None:
        self.momentum, self.dampening = (
            np.array([getattr(each, name) for each in optimizers]) for name in ("momentum", "dampening")
        )
        self.nesterov = bool(getattr(optimizers[0], "nesterov"))  # noqa: B009  # Optimizer has none, SGD has
        if self.momentum.any():
            self.means = ("momentum",)
        super().__init__(optimizers, arrays, decayed)
        self.rho = np.zeros(self.n_runs)
        self.targets = [states[0] for states in self.state] if self.means else list(arrays)
        self.takes: list[Table] = []

    def plan(self, lr: Table, weight_decay: Table, scales: Sequence[Table]) -> None:
        """Prepare the coming steps."""
        self.takes = []
        super().plan(lr, weight_decay, scales)

    def snapshot(self) -> Any:
        """Return a copy of everything that steps change."""
        return super().snapshot(), self.rho.copy()

    def restore(self, saved: Any) -> None:
        """Go back to a snapshot."""
        super().restore(saved[0])
        self.rho = saved[1].copy()

    def form(self, lr: Table, weight_decay: Table) -> MomentumForm:
        """Return the coefficients of each step; the first buffer is the gradient itself, without dampening."""
        kept = np.broadcast_to(np.where(self.momentum > 0, 1 - self.dampening, 1.0), lr.shape).copy()
        if self.taken == 0:
            kept[:1] = 1.0
        return momentum_form(
            lr, weight_decay, momentum=self.momentum, kept=kept, nesterov=self.nesterov, coupled=self.coupled
        )

    def scale_factors(self, lr: Table, weight_decay: Table) -> Table:
        """Return what each step multiplies the scale of decayed parameters by."""
        return self.form(lr, weight_decay).shrink

    def coefficients(self, lr: Table, weight_decay: Table, scale: Table, decayed: bool) -> dict[str, Table]:
        """Return the factors of each step."""
        form = self.form(lr, weight_decay if decayed else np.zeros_like(weight_decay))
        move = -lr / (form.inner * scale[:-1])
        if not self.means:
            self.takes.append(move * form.take)
            return {"take": self.takes[-1]}
        table = self.lazily(0, form.remember)
        table["take"] = form.take / table["scale0"]
        self.takes.append(table["take"])
        table["move"] = move * table["scale0"]
        if self.nesterov:  # the gradient is what the buffer has got more
            table["back"] = -move / table["take"]
            table["move"] = table["move"] * self.momentum - table["back"]
        if decayed:
            self.rhos = np.vstack([self.rho, form.rho])  # before each step and after the last
            feed = (form.remember * (self.rhos[:-1] - form.rho) + form.explicit) * scale[:-1]
            if feed.any():
                table["feed"] = np.where(feed.any(axis=1, keepdims=True), feed / table["scale0"], np.nan)
        return table

    def buffer(self, k: int, which: int) -> tuple[Array, NDArray[np.float64], NDArray[np.float64]] | None:
        """Return B, t and rho of the momentum buffer v = t B + rho w before step k; None without a buffer."""
        found = super().buffer(k, which)
        return None if found is None else (*found[:2], self.rhos[k] if self.decayed[which] else np.zeros(self.n_runs))

    def done(self, n_steps: int) -> None:
        """Count steps that have been taken as planned, and let the buffer take up its scale."""
        super().done(n_steps)
        if self.means:
            self.rho = self.rhos[-1]

    def step(self, k: int, part: Part, gradient: Array) -> None:
        """Change one part's parameters by the k-th planned step."""
        self.begin(k, part)
        part.add(part.table["take"][k], gradient, part.states[0] if self.means else part.array)
        self.end(k, part)

    def begin(self, k: int, part: Part) -> None:
        """Do what comes before the gradient is added."""
        if not self.means:
            return
        table = part.table
        self.fold(k, part, 0)
        if "feed" in table and table["feed"][k] is not None:
            part.add(table["feed"][k], part.array, part.states[0])
        if self.nesterov:
            part.add(table["back"][k], part.states[0], part.array)

    def end(self, k: int, part: Part) -> None:
        """Do what comes after."""
        if self.means:
            part.add(part.table["move"][k], part.states[0], part.array)


class Nonlinear(Arithmetic):
    """What optimizers share whose update is no linear function of the gradients."""

    def coefficients(self, lr: Table, weight_decay: Table, scale: Table, decayed: bool) -> dict[str, Table]:
        """Return the factors of each step: `move` for the update, and `feed` for the weights into the gradient."""
        table = {"move": -lr / scale[1:]}
        if self.coupled and decayed and weight_decay.any():
            table["feed"] = weight_decay * scale[:-1]
        for which, name in enumerate(self.means):
            coefficient = np.broadcast_to(self.parameter(name), lr.shape)
            table.update(self.lazily(which, coefficient))
            table[_TAKES[which]] = (1 - coefficient) / table[f"scale{which}"]
        return table

    def step(self, k: int, part: Part, gradient: Array) -> None:
        """Change one part's parameters by the k-th planned step; the gradient's array is used up."""
        if "feed" in part.table:
            part.add(part.table["feed"][k], part.array, gradient)
        update = self.update(k, part, gradient)
        part.add(part.table["move"][k], update, part.array)

    def update(self, k: int, part: Part, fed: Array) -> Array:
        """Return the update, up to the factor in `move`, for a gradient, whose array is used up."""
        raise NotImplementedError

    def remember(self, k: int, part: Part, which: int, value: Array) -> Array:
        """Take a value into a running mean; return B."""
        self.fold(k, part, which)
        state = part.states[which]
        part.add(part.table[_TAKES[which]][k], value, state)
        return state


class RunningSquare(Nonlinear):
    """Take steps of RMSprop: S <- smoothing S + (1 - smoothing) g^2, and -lr g / (sqrt(S) + eps)."""

    means = ("smoothing",)
    remembers = False

    def coefficients(self, lr: Table, weight_decay: Table, scale: Table, decayed: bool) -> dict[str, Table]:
        """Return the factors of each step: fed / (sqrt(t S) + eps) is taken as fed / (sqrt(S) + eps / sqrt(t))."""
        table = super().coefficients(lr, weight_decay, scale, decayed)
        root = np.sqrt(table["scale0"])
        table["eps"], table["move"] = self.parameter("eps") / root, table["move"] / root
        return table

    def update(self, k: int, part: Part, fed: Array) -> Array:
        """Return the update, up to the factor in `move`."""
        work = part.work
        np.multiply(fed, fed, work)
        np.sqrt(self.remember(k, part, 0, work), work)
        np.add(work, part.table["eps"][k], work)
        np.divide(fed, work, work)
        return work


class AdaptiveMoments(Nonlinear):
    """Take steps of Adam and AdamW: running means of g and g^2, freed from bias, and -lr mean / (root + eps)."""

    means = ("beta1", "beta2")

    def coefficients(self, lr: Table, weight_decay: Table, scale: Table, decayed: bool) -> dict[str, Table]:
        """Return the factors of each step, with the corrections of bias: all scales go into `move` and `eps`."""
        table = super().coefficients(lr, weight_decay, scale, decayed)
        count = self.taken + np.arange(1, len(lr) + 1)[:, None]
        corrections = [1 - self.parameter(name) ** count for name in self.means]
        root = np.sqrt(table["scale1"] / corrections[1])
        table["eps"] = self.parameter("eps") / root
        table["move"] = table["move"] * table["scale0"] / (corrections[0] * root)
        return table

    def update(self, k: int, part: Part, fed: Array) -> Array:
        """Return the update, up to the factor in `move`."""
        mean = self.remember(k, part, 0, fed)
        np.multiply(fed, fed, fed)
        np.sqrt(self.remember(k, part, 1, fed), fed)
        np.add(fed, part.table["eps"][k], fed)
        np.divide(mean, fed, fed)
        return fed


class SignMomentum(Nonlinear):
    """Take steps of sign descent, -lr sign(g), and of Signum, -lr sign(running mean of g)."""

    def __init__(self, optimizers: Sequence[Optimizer], arrays: Sequence[Array], decayed: Sequence[bool]) -> None:
        if any(getattr(each, "momentum") for each in optimizers):  # noqa: B009
            self.means = ("momentum",)
        super().__init__(optimizers, arrays, decayed)

    def update(self, k: int, part: Part, fed: Array) -> Array:
        """Return the update; the scale of the mean does not change its sign."""
        return np.sign(self.remember(k, part, 0, fed) if self.means else fed, part.work)


class EvolvedSign(Nonlinear):
    """Take steps of Lion: -lr sign(beta1 B + (1 - beta1) g), then B <- beta2 B + (1 - beta2) g."""

    means = ("beta2",)

    def coefficients(self, lr: Table, weight_decay: Table, scale: Table, decayed: bool) -> dict[str, Table]:
        """Return the factors of each step."""
        table = super().coefficients(lr, weight_decay, scale, decayed)
        beta1 = self.parameter("beta1")
        table["old"], table["new"] = beta1 * table["before0"], np.broadcast_to(1 - beta1, lr.shape)
        return table

    def update(self, k: int, part: Part, fed: Array) -> Array:
        """Return the update."""
        work = part.work
        np.multiply(fed, part.table["new"][k], work)
        part.add(part.table["old"][k], part.states[0], work)
        self.remember(k, part, 0, fed)
        return np.sign(work, fed)  # NumPy's sign is four times slower in place


class PolarMomentum(Nonlinear):
    """Take steps of Muon: B <- momentum B + g, and -lr times the polar factor of each matrix of B."""

    means = ("momentum",)

    def __init__(self, optimizers: Sequence[Optimizer], arrays: Sequence[Array], decayed: Sequence[bool]) -> None:
        super().__init__(optimizers, arrays, decayed)
        self.factors: dict[tuple[int, ...], PolarFactor] = {}  # by shape of the matrices

    def coefficients(self, lr: Table, weight_decay: Table, scale: Table, decayed: bool) -> dict[str, Table]:
        """Return the factors of each step; the buffer is a sum, not a mean, and its scale does not turn it."""
        table = super().coefficients(lr, weight_decay, scale, decayed)
        table["take0"] = 1 / table["scale0"]
        table["smallest"] = SMALLEST_NORM / table["scale0"]
        return table

    def update(self, k: int, part: Part, fed: Array) -> Array:
        """Return the update."""
        n_steps = int(getattr(self.optimizers[0], "newton_schulz_steps"))  # noqa: B009
        shape = part.shape if len(part.shape) == 3 else (*part.shape, 1)
        smallest = part.table["smallest"][k]
        matrices = self.remember(k, part, 0, fed).reshape(shape)
        if part.one:
            if shape[1:] not in self.factors:
                self.factors[shape[1:]] = PolarFactor(shape[1:], matrices.dtype)
            return self.factors[shape[1:]](matrices[0], n_steps, smallest).reshape(-1)
        if not isinstance(smallest, float):
            smallest = smallest[:, :, None]
        return part.flat(polar_factors(matrices, n_steps, smallest))


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
