"""List hyperparameters of known models as their sources tell them, to hold a time constant against a run's length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .decaying_run import DecayingRun
from .layer_equilibria import speed_of_decay
from .layers import Layer
from .optimizer_choice import optimizer_choice
from .prediction import Prediction, predict
from .schedules import Constant, Cosine, Linear, Schedule, Step, WarmUp

__all__ = ["PublishedRun", "published_runs"]


@dataclass(frozen=True)
class PublishedRun:
    """The hyperparameters of a model's training.

    Attributes
    ----------
    name : str
        The model.
    source : str
        Key of citation.bib.
    optimizer : str
        One of `OPTIMIZERS`.
    lr : Schedule
        Learning rate.
    words : str
        Its schedule in words.
    weight_decay : float
        Decay coefficient in PyTorch's sense.
    n_steps : int
        Steps; where the source tells tokens or epochs, those over the batch.
    shape : tuple of int
        A typical matrix of the model.
    coefficients : dict
        The optimizer's own.
    """

    name: str
    source: str
    optimizer: str
    lr: Schedule
    words: str
    weight_decay: float
    n_steps: int
    shape: tuple[int, ...]
    coefficients: Mapping[str, float] = field(default_factory=dict)

    @property
    def lr_peak(self) -> float:
        """The largest learning rate."""
        return self.lr.largest(1 if isinstance(self.lr, Constant) else self.n_steps)

    @property
    def speed(self) -> float:
        """How many times as fast as lr*weight_decay says the optimizer decays weights."""
        return speed_of_decay(optimizer_choice(self.optimizer, **self.coefficients))

    def predict(self) -> Prediction:
        """Return what the hyperparameters do to a typical matrix.

        >>> run = next(run for run in published_runs() if run.name == "LLaMA 7B")
        >>> round(run.predict().time_constant_steps)
        33333
        """
        options: dict[str, Any] = dict(self.coefficients)
        return predict(
            [Layer(self.name, self.shape)],
            lr=self.lr,
            weight_decay=self.weight_decay,
            n_steps=self.n_steps,
            optimizer=self.optimizer,
            **options,
        )

    def n_time_constants(self) -> float:
        """Return the length of the run in time constants: the decay of all its steps."""
        run = DecayingRun(self.lr, Constant(self.weight_decay), self.n_steps, "decoupled").faster(self.speed)
        return run.n_time_constants()


_GPT = {"beta1": 0.9, "beta2": 0.95}
_IMAGENET = 1_281_167
"""Images of ImageNet-1k."""


def _epochs(count: int, batch_size: int) -> int:
    return round(count * _IMAGENET / batch_size)


def _cosine_to_tenth(peak: float, n_steps: int, warm_up: int) -> WarmUp:
    return WarmUp(warm_up, Cosine(peak, peak / 10, n_steps - warm_up))


def published_runs() -> tuple[PublishedRun, ...]:
    """Return the runs, oldest first.

    Returns
    -------
    tuple of PublishedRun

    Notes
    -----
    Numbers are those of the sources; a growing batch (GPT-3) and a learning rate that waits for a plateau are told as
    constant batch and fixed drops. "10 %" is the last learning rate over the peak.

    References
    ----------
    The `source` of each run.

    Examples
    --------
    >>> published_runs()[0].n_steps
    150000
    """
    deepseek = round(5.7e12 / (4608 * 4096))
    return (
        PublishedRun(
            "Nielsen, chapter 3", "nielsen2015", "sgd", Constant(0.1), "constant", 5 / 50000, 150_000, (30, 784)
        ),
        PublishedRun(
            "ResNet-50",
            "goyal2017",
            "nesterov",
            Step(0.1, 0.1, at=(_epochs(30, 256), _epochs(60, 256), _epochs(80, 256))),
            "tenth at epochs 30, 60, 80 of 90",
            1e-4,
            _epochs(90, 256),
            (256, 2304),
            {"momentum": 0.9},
        ),
        PublishedRun(
            "BERT base",
            "devlin2019",
            "adamw",
            WarmUp(10_000, Linear(1e-4, 0.0, 990_000)),
            "linear to 0",
            0.01,
            1_000_000,
            (3072, 768),
        ),
        PublishedRun(
            "RoBERTa large",
            "liu2019",
            "adamw",
            WarmUp(30_000, Linear(4e-4, 0.0, 470_000)),
            "linear to 0",
            0.01,
            500_000,
            (4096, 1024),
            {"beta2": 0.98},
        ),
        PublishedRun(
            "GPT-3 175B",
            "brown2020",
            "adamw",
            WarmUp(117, Cosine(0.6e-4, 0.6e-5, 81_250 - 117)),
            "cosine to 10 %",
            0.1,
            93_750,
            (49152, 12288),
            _GPT,
        ),
        PublishedRun(
            "DeiT-B",
            "touvron2021",
            "adamw",
            WarmUp(_epochs(5, 1024), Cosine(1e-3, 1e-5, _epochs(295, 1024))),
            "cosine to 1 %",
            0.05,
            _epochs(300, 1024),
            (3072, 768),
        ),
        PublishedRun(
            "ConvNeXt-T",
            "liu2022",
            "adamw",
            WarmUp(_epochs(20, 4096), Cosine(4e-3, 1e-6, _epochs(280, 4096))),
            "cosine to 0",
            0.05,
            _epochs(300, 4096),
            (1536, 384),
        ),
        PublishedRun(
            "GPT-2 124M (nanoGPT)",
            "karpathy2022",
            "adamw",
            _cosine_to_tenth(6e-4, 600_000, 2000),
            "cosine to 10 %",
            0.1,
            600_000,
            (3072, 768),
            _GPT,
        ),
        PublishedRun(
            "LLaMA 7B",
            "touvron2023",
            "adamw",
            _cosine_to_tenth(3e-4, 250_000, 2000),
            "cosine to 10 %",
            0.1,
            250_000,
            (11008, 4096),
            _GPT,
        ),
        PublishedRun(
            "Pythia 6.9B",
            "biderman2023",
            "adamw",
            _cosine_to_tenth(1.2e-4, 143_000, 1430),
            "cosine to 10 %",
            0.1,
            143_000,
            (16384, 4096),
            _GPT,
        ),
        PublishedRun(
            "Llama 2 70B",
            "touvron2023b",
            "adamw",
            _cosine_to_tenth(1.5e-4, 500_000, 2000),
            "cosine to 10 %",
            0.1,
            500_000,
            (28672, 8192),
            _GPT,
        ),
        PublishedRun(
            "OLMo 7B",
            "groeneveld2024",
            "adamw",
            WarmUp(5000, Linear(3e-4, 3e-5, 471_837)),
            "linear to 10 %",
            0.1,
            476_837,
            (22016, 4096),
            _GPT,
        ),
        PublishedRun(
            "DeepSeek-V2-Lite",
            "deepseek2024",
            "adamw",
            WarmUp(2000, Step(4.2e-4, 0.316, at=(round(0.8 * deepseek) - 2000, round(0.9 * deepseek) - 2000))),
            "times 0.316 at 80 and 90 %",
            0.1,
            deepseek,
            (10944, 2048),
            _GPT,
        ),
    )
