"""Train a real multi-layer perceptron on real data, and hold the theory against it."""

from .comparison import Comparison, Curve, Report
from .configuration import TrainingConfig
from .datasets import Dataset, Part, load_mnist
from .experiments import experiments, run
from .mlp import Mlp
from .provenance import code_checksum, provenance
from .record import Recording, TrainingRecord
from .sweep import Ensemble, Job, Run, compute_all, train_all
from .training import train, train_ensemble

__all__ = [
    "Comparison",
    "Curve",
    "Dataset",
    "Ensemble",
    "Job",
    "Mlp",
    "Part",
    "Recording",
    "Report",
    "Run",
    "TrainingConfig",
    "TrainingRecord",
    "code_checksum",
    "compute_all",
    "experiments",
    "load_mnist",
    "provenance",
    "run",
    "train",
    "train_all",
    "train_ensemble",
]
