"""What is written down while a network trains."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInput, check_choice, check_count
from .configuration import TrainingConfig
from .mlp import Mlp

__all__ = ["Recording", "TrainingRecord"]


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Choose what a training run writes down, and when.

    Parameters
    ----------
    steps : sequence of int, optional
        Numbers of steps after which to record, besides the start and the end; by default the end of every epoch.
    pulls : bool, optional
        Whether to measure, at every step, the radial pull and the power of the mini-batch's own gradient, its cost
        and its predictive entropy; they are averaged over the steps between two records. Costs about half as much
        again as the training.
    every_step : bool, optional
        Whether to keep radial pull and gradient power of every single step as well; needs `pulls`.
    evaluate : sequence of {"training", "validation", "test"}, optional
        Parts of the data set on which accuracy, cost and predictive entropy are measured at each record.
    every_step_norms : bool, optional
        Whether to keep the squared norm of every neuron's and layer's weights at every step.
    motion : bool, optional
        Whether to measure how the weights of every neuron and layer move in each step (`TrainingRecord.motion`),
        averaged over the steps between two records.
    every_step_motion : bool, optional
        Whether to keep the same at every step.
    autocovariance_lags : int, optional
        Largest lag up to which the autocovariance of the updates of every neuron is summed, exactly; 0 for none. It
        keeps that many updates of all weights in memory.
    autocovariance_from : int, optional
        Steps before the autocovariance begins; it goes on to the end of the run.

    Raises
    ------
    InvalidInput
        If a step is not a whole number, a part is unknown, or `every_step` comes without `pulls`.

    Notes
    -----
    What is measured does not change the weights. When it is recorded may, in the last bit: the float64 scale that
    carries the decay is multiplied up between two records.
    """

    steps: tuple[int, ...] | None = None
    pulls: bool = True
    every_step: bool = False
    evaluate: tuple[str, ...] = ("training", "validation")
    every_step_norms: bool = False
    motion: bool = False
    every_step_motion: bool = False
    autocovariance_lags: int = 0
    autocovariance_from: int = 0

    def __post_init__(self) -> None:
        if self.steps is not None:
            if isinstance(self.steps, (str, bytes)) or not isinstance(self.steps, Iterable):
                raise InvalidInput(
                    f"steps is {self.steps!r}, but must be a sequence of step numbers such as (1, 10, 100)"
                )
            checked = {check_count("steps", step, least=0) for step in self.steps}
            object.__setattr__(self, "steps", tuple(sorted(checked)))
        if isinstance(self.evaluate, str) or not isinstance(self.evaluate, Iterable):
            raise InvalidInput(f"evaluate is {self.evaluate!r}, but must be a sequence such as ('validation',)")
        object.__setattr__(
            self,
            "evaluate",
            tuple(check_choice("evaluate", part, ["training", "validation", "test"]) for part in self.evaluate),
        )
        for name in ("autocovariance_lags", "autocovariance_from"):
            object.__setattr__(self, name, check_count(name, getattr(self, name), least=0))
        if self.autocovariance_from and not self.autocovariance_lags:
            raise InvalidInput(
                f"autocovariance_from is {self.autocovariance_from}, but autocovariance_lags is 0: there is nothing to "
                "begin; give the largest lag"
            )
        if self.every_step and not self.pulls:
            raise InvalidInput("every_step is True, but pulls is False: there is nothing to keep; set pulls=True")


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """Hold what one training run wrote down.

    Parameters
    ----------
    config : TrainingConfig
        What was trained.
    data_name, data_checksum : str
        What it was trained on.
    seed : mapping
        Entropy, spawn key and children already spawned of the run's own random stream: what makes it again.
    batches : {"own", "shared"}
        Whether the mini-batches were this run's own or those of a whole ensemble. Runs that share them share their
        sampling noise, which suits a comparison of hyperparameters and spoils a standard error over seeds.
    steps, epochs : (n_records,) ndarray
        When was recorded; the first record is the start.
    norm_squared, variance : (n_records, n_layers) ndarray
        Squared norm of each layer's weights, and their variance about their mean.
    mean_norm_squared, radial_pull, gradient_power : (n_records, n_layers) ndarray or None
        Averages over the steps since the record before, each taken just before its step: squared norm R,
        P = -<W, g> and ||g||^2 with the mini-batch's own unregularized gradient g. Row 0 is nan.
    bias_pull, bias_gradient_power : (n_records, n_layers) ndarray or None
        The same two for the biases: -<b, g_b> and ||g_b||^2.
    cost, predictive_entropy : (n_records,) ndarray or None
        Averages over the same steps of each mini-batch's own mean cost and predictive entropy, in nats; the entropy of
        linear outputs is nan.
    evaluations : mapping from part to mapping from quantity to (n_records,) ndarray
        For each part of the data set that was asked for: "accuracy", "cost", "predictive_entropy".
    dead_norm_squared : (n_records,) ndarray or None
        Squared norm of the weights of the inputs that are zero in every training image: the control group.
    step_radial_pull, step_gradient_power : (n_steps, n_layers) ndarray or None
        The two at every single step, if asked for.
    motion : mapping from quantity to (n_records, n_layers) ndarray
        Averages over the steps since the record before, if asked for; row 0 is nan. See Notes.
    neuron_motion : mapping from quantity to tuple of (n_records, n_neurons) ndarray
        The same for the weights of each neuron, layer by layer.
    step_motion, step_neuron_motion : mapping from quantity to (n_steps, ...) ndarray or tuple of them
        The same at every single step.
    step_norm_squared : (n_steps + 1, n_layers) ndarray or None
        Squared norm of each layer's weights after 0, 1, ... steps, if asked for.
    step_neuron_norm_squared : tuple of (n_steps + 1, n_neurons) ndarray or None
        The same for each neuron, layer by layer.
    update_autocovariance : tuple of (n_lags + 1, n_neurons) ndarray or None
        Raw (uncentred) autocovariance of the updates, mean of <u_t, u_(t+k)> over all pairs of steps in the window, for
        k = 0, 1, ...; of each neuron, layer by layer. The sum over the neurons is the layer's.
    autocovariance_steps : int
        Number of steps of that window.
    initial, final : Mlp
        The network before and after.
    diverged : tuple of int or None
        Step and layer, counted from 1, at which the weights left the finite numbers; None if they did not.

    Notes
    -----
    The quantities of `motion` are taken with the weights w just before a step and w' just after, the mini-batch's
    unregularized gradient g, and the update u = ((1 - lr*weight_decay) w - w') / lr: what the optimizer does beside the
    decay, whether that is coupled or not; 0 where lr is 0.

    ========================== =========================================================================
    norm_squared               R = <w, w>
    radial_pull                P = -<w, g>
    gradient_power             <g, g>
    update_power               <u, u>
    weight_update_product      <w, u>
    one_minus_cosine           1 - <w, w'> / (||w|| ||w'||)
    angle_squared              theta^2, the squared angle between w and w' in rad^2
    buffer_power               <v, v> with the momentum buffer v before the step (not with RMSprop, plain SGD)
    weight_buffer_product      <w, v>
    buffer_gradient_product    <v, g>
    measured_power             h = <g, g> + 2 momentum <v, g>, with SGD's momentum only
    ========================== =========================================================================

    A layer's angle is that of all its weights as one vector; all else of a layer is the sum over its neurons.
    """

    config: TrainingConfig
    data_name: str
    data_checksum: str
    seed: Mapping[str, Any]
    batches: str
    steps: NDArray[np.int64]
    epochs: NDArray[np.float64]
    norm_squared: NDArray[np.float64]
    variance: NDArray[np.float64]
    initial: Mlp
    final: Mlp
    mean_norm_squared: NDArray[np.float64] | None = None
    radial_pull: NDArray[np.float64] | None = None
    gradient_power: NDArray[np.float64] | None = None
    bias_pull: NDArray[np.float64] | None = None
    bias_gradient_power: NDArray[np.float64] | None = None
    cost: NDArray[np.float64] | None = None
    predictive_entropy: NDArray[np.float64] | None = None
    evaluations: Mapping[str, Mapping[str, NDArray[np.float64]]] = field(default_factory=dict)
    dead_norm_squared: NDArray[np.float64] | None = None
    step_radial_pull: NDArray[np.float64] | None = None
    step_gradient_power: NDArray[np.float64] | None = None
    motion: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    neuron_motion: Mapping[str, tuple[NDArray[np.float64], ...]] = field(default_factory=dict)
    step_motion: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    step_neuron_motion: Mapping[str, tuple[NDArray[np.float64], ...]] = field(default_factory=dict)
    step_norm_squared: NDArray[np.float64] | None = None
    step_neuron_norm_squared: tuple[NDArray[np.float64], ...] | None = None
    update_autocovariance: tuple[NDArray[np.float64], ...] | None = None
    autocovariance_steps: int = 0
    diverged: tuple[int, int] | None = None

    @property
    def cross_entropy(self) -> NDArray[np.float64] | None:
        """Cost of the mini-batches, in nats; None for linear outputs, whose cost is a squared error."""
        return None if self.config.output == "linear" else self.cost

    def accuracy(self, part: str = "validation") -> NDArray[np.float64]:
        """Return the share of correct examples at each record.

        Parameters
        ----------
        part : {"training", "validation", "test"}, optional
            Part of the data set; it must have been asked for in the Recording.

        Returns
        -------
        (n_records,) ndarray
            Accuracy between 0 and 1.
        """
        check_choice("part", part, sorted(self.evaluations))
        return self.evaluations[part]["accuracy"]
