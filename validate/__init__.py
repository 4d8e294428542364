"""Train a real multi-layer perceptron on real data, and hold the theory against it."""

from .comparison import Comparison, Curve, Report
from .configuration import TrainingConfig
from .datasets import Dataset, Part, load_mnist
from .mlp import Mlp
from .record import Recording, TrainingRecord
from .training import train, train_ensemble

__all__ = [
    "Comparison",
    "Curve",
    "Dataset",
    "Mlp",
    "Part",
    "Recording",
    "Report",
    "TrainingConfig",
    "TrainingRecord",
    "load_mnist",
    "train",
    "train_ensemble",
]
