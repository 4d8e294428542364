"""Train a real multi-layer perceptron on real data, and hold the theory against it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .experiments import experiments, further_experiments, run
from .provenance import code_checksum, provenance

if TYPE_CHECKING:
    from .cluster import on_cluster
    from .comparison import Comparison, Curve, Report
    from .configuration import TrainingConfig
    from .datasets import Dataset, Part, load_mnist
    from .diagnosis import Diagnosis, LayerDiagnosis, diagnose
    from .mlp import Mlp
    from .optimizers import SGD, Adam, Lion, Muon, Optimizer, RMSprop, SignSGD
    from .param_groups import Description, GroupDescription, describe
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
    "further_experiments",
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

_HOMES = {
    "on_cluster": "cluster",
    "Comparison": "comparison",
    "Curve": "comparison",
    "Report": "comparison",
    "TrainingConfig": "configuration",
    "Dataset": "datasets",
    "Part": "datasets",
    "load_mnist": "datasets",
    "Diagnosis": "diagnosis",
    "LayerDiagnosis": "diagnosis",
    "diagnose": "diagnosis",
    "Mlp": "mlp",
    "SGD": "optimizers",
    "Adam": "optimizers",
    "Lion": "optimizers",
    "Muon": "optimizers",
    "Optimizer": "optimizers",
    "RMSprop": "optimizers",
    "SignSGD": "optimizers",
    "Description": "param_groups",
    "GroupDescription": "param_groups",
    "describe": "param_groups",
    "Recording": "record",
    "TrainingRecord": "record",
    "RunStore": "run_store",
    "keeping_runs": "run_store",
    "Ensemble": "sweep",
    "Job": "sweep",
    "Run": "sweep",
    "compute_all": "sweep",
    "train_all": "sweep",
    "train": "training",
    "train_ensemble": "training",
    "LayerLog": "training_log",
    "TrainingLog": "training_log",
    "read_log": "training_log",
}
"""The modules of what is imported when it is first asked for: a log is diagnosed without the machinery of training.

What has the name of its own module is imported at once; else the module would stand in its place.
"""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
