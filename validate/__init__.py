"""Train a real multi-layer perceptron on real data, and hold the theory against it."""

from .cluster import on_cluster
from .comparison import Comparison, Curve, Report
from .configuration import TrainingConfig
from .datasets import Dataset, Part, load_mnist
from .diagnosis import Diagnosis, LayerDiagnosis, diagnose
from .experiments import experiments, run
from .mlp import Mlp
from .optimizers import SGD, Adam, Lion, Muon, Optimizer, RMSprop, SignSGD
from .param_groups import Description, GroupDescription, describe
from .provenance import code_checksum, provenance
from .record import Recording, TrainingRecord
from .run_store import RunStore, keeping_runs
from .sweep import Ensemble, Job, Run, compute_all, train_all
from .training import train, train_ensemble
from .training_log import LayerLog, TrainingLog, read_log

__all__ = [
    "SGD",
    "Adam",
    "Comparison",
    "Curve",
    "Dataset",
    "Description",
    "Diagnosis",
    "Ensemble",
    "GroupDescription",
    "Job",
    "LayerDiagnosis",
    "LayerLog",
    "Lion",
    "Mlp",
    "Muon",
    "Optimizer",
    "Part",
    "RMSprop",
    "Recording",
    "Report",
    "Run",
    "RunStore",
    "SignSGD",
    "TrainingConfig",
    "TrainingLog",
    "TrainingRecord",
    "code_checksum",
    "compute_all",
    "describe",
    "diagnose",
    "experiments",
    "keeping_runs",
    "load_mnist",
    "on_cluster",
    "provenance",
    "read_log",
    "run",
    "train",
    "train_all",
    "train_ensemble",
]
