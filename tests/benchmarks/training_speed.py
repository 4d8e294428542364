"""Print how fast training is, in units of the bare matrix products of a step, beside its rivals.

    python tests/benchmarks/training_speed.py [--rounds 7]

The network is [784, 30, 10] with sigmoid units, mini-batches of 10, one epoch of 5000 steps from the N(0, 1) start,
where units are saturated. The floor is a lower bound for any program on the same BLAS: the two large products of a
step (forward through the first layer, and its weight update in place), alone, in their faster memory layout, with
nothing in between. Everything is timed in turn in one process, each entry between two measurements of the floor, so
that a change of the machine's speed hits all alike; the table gives the median ratio over the rounds and their range.
PyTorch and scikit-learn are used where installed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.linalg.blas import sgemm
from threadpoolctl import threadpool_limits

from weightdecay.validate import Dataset, Recording, TrainingConfig, load_mnist, train, train_ensemble

RIVALS = ("scikit-learn", "PyTorch")
LAYERS, BATCH_SIZE, N_TRAIN = (784, 30, 10), 10, 50000
N_STEPS = N_TRAIN // BATCH_SIZE


def config(**changes: object) -> TrainingConfig:
    options = {"layers": LAYERS, "lr": 0.1, "weight_decay": 1e-4, "batch_size": BATCH_SIZE, "epochs": 1}
    return TrainingConfig.pytorch(**{**options, **changes})


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def products() -> dict[str, list[Callable[[], object]]]:
    """Return the two large products of a step, each in both memory layouts."""
    rng = np.random.default_rng(0)
    x = rng.random((BATCH_SIZE, LAYERS[0]), dtype=np.float32)
    rows = rng.random((LAYERS[1], LAYERS[0]), dtype=np.float32)
    columns = np.asfortranarray(rows)
    errors = rng.random((BATCH_SIZE, LAYERS[1]), dtype=np.float32)
    z = np.empty((BATCH_SIZE, LAYERS[1]), np.float32)
    return {
        "forward": [lambda: np.dot(x, rows.T, z), lambda: np.dot(x, columns.T, z)],
        "update": [
            lambda: sgemm(-1e-9, x.T, errors.T, 1.0, rows.T, 0, 1, 1),
            lambda: sgemm(-1e-9, errors, x, 1.0, columns, 1, 0, 1),
        ],
    }


def repeat(product: Callable[[], object], n_times: int) -> None:
    for _ in range(n_times):
        product()


def floor_function() -> Callable[[], float]:
    """Return what times the floor in seconds per step, over as many steps as a run has, in the faster layouts."""
    chosen = [
        min(layouts, key=lambda product: min(seconds(lambda: repeat(product, 500)) for _ in range(9)))
        for layouts in products().values()
    ]

    def floor() -> float:
        return sum(seconds(lambda product=product: repeat(product, N_STEPS)) for product in chosen) / N_STEPS

    return floor


def fused(data: Dataset, n_runs: int, batches: str, record: Recording | None = None) -> float:
    """Return the seconds per run and step."""
    if n_runs == 1:
        return seconds(lambda: train(config(), data, rng=0, record=record)) / N_STEPS
    configs = [config(weight_decay=1e-4 * (1 + run)) for run in range(n_runs)]
    return seconds(lambda: train_ensemble(configs, data, rng=0, batches=batches)) / N_STEPS / n_runs


def pytorch(data: Dataset) -> float:
    import torch

    torch.set_num_threads(1)
    n_steps = 1000
    network = torch.nn.Sequential(torch.nn.Linear(784, 30), torch.nn.Sigmoid(), torch.nn.Linear(30, 10))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    weights = [p for p in network.parameters() if p.ndim == 2]
    biases = [p for p in network.parameters() if p.ndim == 1]
    optimizer = torch.optim.SGD(
        [{"params": weights, "weight_decay": 1e-4}, {"params": biases, "weight_decay": 0.0}], lr=0.1
    )
    images = torch.from_numpy(data.train.images[: n_steps * BATCH_SIZE] * np.float32(data.pixel_scale))
    labels = torch.from_numpy(np.eye(10, dtype=np.float32)[data.train.labels[: n_steps * BATCH_SIZE]])
    order = torch.randperm(n_steps * BATCH_SIZE)

    def epoch() -> None:
        for start in range(0, len(order), BATCH_SIZE):
            chosen = order[start : start + BATCH_SIZE]
            optimizer.zero_grad()
            logits = network(images[chosen])
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels[chosen], reduction="sum")
            (loss / BATCH_SIZE).backward()
            optimizer.step()

    return seconds(epoch) / n_steps


def scikit_learn(data: Dataset) -> float:
    from sklearn.neural_network import MLPClassifier

    n_steps = 1000
    x = data.train.images[: n_steps * BATCH_SIZE] * np.float32(data.pixel_scale)
    model = MLPClassifier(
        (30,), activation="logistic", solver="sgd", alpha=1e-3, batch_size=BATCH_SIZE, learning_rate_init=0.1,
        momentum=0.0, max_iter=1, random_state=0,
    )  # fmt: skip
    labels = data.train.labels[: n_steps * BATCH_SIZE]
    model.partial_fit(x[:BATCH_SIZE], labels[:BATCH_SIZE], classes=np.arange(10))
    return seconds(lambda: model.partial_fit(x, labels)) / n_steps


def processor() -> str:
    """Return the processor's name, where the system tells it."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def peak_memory() -> str:
    """Return the peak memory of one training run beyond the imports and the pixels, as a sentence."""
    if not Path("/proc/self/status").exists():
        return "peak memory is told on Linux only"
    code = """
from pathlib import Path
from weightdecay.validate import Recording, TrainingConfig, load_mnist, train
def megabytes(key):
    status = Path("/proc/self/status").read_text()
    return int(status.split(key + ":")[1].split()[0]) / 1024
imports = megabytes("VmRSS")
data = load_mnist()
config = TrainingConfig.pytorch(layers=[784, 30, 10], lr=0.1, weight_decay=1e-4, batch_size=10, epochs=1)
train(config, data, rng=0, record=Recording())
print(megabytes("VmHWM") - imports - 70000 * 785 / 2**20)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return f"peak memory of one run beyond imports and uint8 data: {float(told):.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    data = load_mnist()
    rows: dict[str, Callable[[], float]] = {
        "single run": lambda: fused(data, 1, "own"),
        "8 runs, mini-batches shared": lambda: fused(data, 8, "shared"),
        "8 runs, mini-batches their own": lambda: fused(data, 8, "own"),
        "single run with pulls measured": lambda: fused(data, 1, "own", Recording(evaluate=())),
    }
    if importlib.util.find_spec("sklearn"):
        rows["scikit-learn"] = lambda: scikit_learn(data)
    if importlib.util.find_spec("torch"):
        rows["PyTorch"] = lambda: pytorch(data)
    found: dict[str, list[float]] = {name: [] for name in rows}
    times: dict[str, list[float]] = {name: [] for name in rows}
    floors = []
    with threadpool_limits(1):
        floor = floor_function()
        for function in rows.values():  # warm up
            function()
        for _ in range(rounds):
            for name, function in rows.items():
                before, time_taken, after = floor(), function(), floor()
                floors.append((before + after) / 2)
                times[name].append(time_taken)
                found[name].append(time_taken / floors[-1])
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}"
        for name in ("numpy", "scipy", "scikit-learn", "torch")
        if importlib.util.find_spec({"scikit-learn": "sklearn"}.get(name, name))
    )
    print(f"{processor()}, Python {platform.python_version()}, {versions}; one thread; {rounds} rounds")
    print(f"floor: {statistics.median(floors) * 1e6:.1f} µs per step\n")
    rivals = [name for name in RIVALS if name in rows]
    print("| per run and step | times the floor: median (range) |" + "".join(f" {name} takes |" for name in rivals))
    print("|---|---|" + "---|" * len(rivals))
    for name, ratios in found.items():
        told = [f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"]
        for rival in rivals:
            slower = statistics.median(r / own for r, own in zip(times[rival], times[name], strict=True))
            told.append("" if name in rivals else f"{slower:.1f} times as long")
        print(f"| {name} | {' | '.join(told)} |")
    print(f"\n{peak_memory()}")


if __name__ == "__main__":
    main()
