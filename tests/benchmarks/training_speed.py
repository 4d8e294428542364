"""Print how fast training is, in units of the bare matrix products of a step, beside its rivals.

    python tests/benchmarks/training_speed.py [--rounds 7]

The network is [784, 30, 10] with sigmoid units, mini-batches of 10, one epoch of 5000 steps from the N(0, 1) start,
where units are saturated. The floor is a lower bound for any program on the same BLAS: the two large products of a
step (forward through the first layer, and its weight update in place), alone, in their faster memory layout, with
nothing in between. Everything is timed in turn in one process, each entry between two measurements of the floor, so
that a change of the machine's speed hits all alike; the table gives the median ratio over the rounds and their range.
Each optimizer trains eight networks that differ in weight decay on shared mini-batches.

The rivals are plain SGD on the same network: the book's way, example by example, in NumPy; and PyTorch, scikit-learn
and JAX (a compiled loop over mini-batches, compiled before) where installed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import itertools
import math
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.linalg.blas import sgemm
from scipy.special import expit
from threadpoolctl import threadpool_limits

from weightdecay.validate import Dataset, Recording, TrainingConfig, load_mnist, train, train_ensemble
from weightdecay.validate.optimizers import SGD, Adam, Lion, Muon, Optimizer, RMSprop, SignSGD

RIVALS = ("example by example", "scikit-learn", "PyTorch", "JAX")
# optimizer, learning rate, and the goal in units of the floor
OPTIMIZERS: dict[str, tuple[Optimizer, float, float]] = {
    "plain SGD": (SGD(), 0.1, 1.5),
    "heavy ball": (SGD(momentum=0.9), 0.01, 2.5),
    "Nesterov": (SGD(momentum=0.9, nesterov=True), 0.01, 2.5),
    "RMSprop": (RMSprop(), 1e-3, 6),
    "Adam": (Adam(), 1e-3, 6),
    "AdamW": (Adam(coupling="decoupled"), 1e-3, 6),
    "sign SGD": (SignSGD(coupling="decoupled"), 1e-3, 6),
    "Signum": (SignSGD(momentum=0.9, coupling="decoupled"), 1e-3, 6),
    "Lion": (Lion(), 1e-3, 6),
    "Muon": (Muon(), 1e-2, 25),
    "Muon, 5 Newton-Schulz steps": (Muon(newton_schulz_steps=5), 1e-2, 25),
}
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


def with_optimizer(data: Dataset, optimizer: Optimizer, lr: float, n_runs: int = 8) -> float:
    """Return the seconds per run and step."""
    configs = [config(lr=lr, weight_decay=1e-4 * (1 + run), optimizer=optimizer) for run in range(n_runs)]
    return seconds(lambda: train_ensemble(configs, data, rng=0, batches="shared")) / N_STEPS / n_runs


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


def example_by_example(data: Dataset) -> float:
    """Train as the book's programs do: one column of pixels after the other, in double precision."""
    n_steps = 100
    rng = np.random.default_rng(0)
    x = data.train.images[: n_steps * BATCH_SIZE, :, None] * data.pixel_scale
    y = np.eye(10)[data.train.labels[: n_steps * BATCH_SIZE], :, None]
    weights = [rng.standard_normal((n_out, n_in)) for n_in, n_out in itertools.pairwise(LAYERS)]
    biases = [rng.standard_normal((n_out, 1)) for n_out in LAYERS[1:]]

    def gradients(inputs: np.ndarray, target: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        hidden = expit(weights[0] @ inputs + biases[0])
        error = expit(weights[1] @ hidden + biases[1]) - target
        below = weights[1].T @ error * hidden * (1 - hidden)
        return [below @ inputs.T, error @ hidden.T], [below, error]

    def epoch() -> None:
        for start in range(0, len(x), BATCH_SIZE):
            sums = [np.zeros_like(each) for each in weights + biases]
            for example in range(start, start + BATCH_SIZE):
                of_weights, of_biases = gradients(x[example], y[example])
                sums = [total + each for total, each in zip(sums, of_weights + of_biases, strict=True)]
            for layer in range(2):
                weights[layer] = (1 - 0.1 * 1e-4) * weights[layer] - (0.1 / BATCH_SIZE) * sums[layer]
                biases[layer] = biases[layer] - (0.1 / BATCH_SIZE) * sums[2 + layer]

    return seconds(epoch) / n_steps


def jax_scan(data: Dataset) -> Callable[[], float]:
    """Return what times a compiled loop over the mini-batches of an epoch of 1000 steps."""
    import jax

    n_steps = 1000
    images = jax.numpy.asarray(data.train.images[: n_steps * BATCH_SIZE] * np.float32(data.pixel_scale))
    targets = jax.numpy.asarray(np.eye(10, dtype=np.float32)[data.train.labels[: n_steps * BATCH_SIZE]])
    keys = jax.random.split(jax.random.key(0), 5)
    shapes = [(30, 784), (30,), (10, 30), (10,)]
    start = [jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=False)]

    def loss(parameters: list[object], x: object, y: object) -> object:
        hidden = jax.nn.sigmoid(x @ parameters[0].T + parameters[1])
        logits = hidden @ parameters[2].T + parameters[3]
        return (jax.nn.softplus(logits) - y * logits).sum() / BATCH_SIZE

    def step(parameters: list[object], chosen: object) -> tuple[list[object], None]:
        gradient = jax.grad(loss)(parameters, images[chosen], targets[chosen])
        shrink = (1 - 1e-5, 1.0, 1 - 1e-5, 1.0)
        pairs = zip(shrink, parameters, gradient, strict=True)
        return [left * each - 0.1 * slope for left, each, slope in pairs], None

    @jax.jit
    def epoch(parameters: list[object], key: object) -> list[object]:
        order = jax.random.permutation(key, n_steps * BATCH_SIZE).reshape(n_steps, BATCH_SIZE)
        return jax.lax.scan(step, parameters, order)[0]

    jax.block_until_ready(epoch(start, keys[4]))
    return lambda: seconds(lambda: jax.block_until_ready(epoch(start, keys[4]))) / n_steps


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


def peak_memory(n_runs: int) -> float:
    """Return the peak memory in MB of an ensemble with momentum beyond imports and pixels; nan but on Linux."""
    if not Path("/proc/self/status").exists():
        return math.nan
    code = """
import sys
from pathlib import Path
from weightdecay.validate import Dataset, Part, Recording, TrainingConfig, load_mnist, train_ensemble
from weightdecay.validate.optimizers import SGD
def megabytes(key):
    status = Path("/proc/self/status").read_text()
    return int(status.split(key + ":")[1].split()[0]) / 1024
imports = megabytes("VmRSS")
data = load_mnist()
first = Part(data.train.images[:200], data.train.labels[:200])
few = Dataset("some of MNIST", first, data.validation, data.test, image_shape=data.image_shape)
configs = [
    TrainingConfig.pytorch(
        layers=[784, 30, 10], lr=0.1, weight_decay=1e-4 * (1 + run / 1000), batch_size=10, epochs=1,
        optimizer=SGD(momentum=0.9),
    )
    for run in range(int(sys.argv[1]))
]
train_ensemble(configs, few, rng=0, batches="shared", record=Recording(pulls=False, evaluate=()))
print(megabytes("VmHWM") - imports - 70000 * 785 / 2**20)
"""
    command = [sys.executable, "-c", code, str(n_runs)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(told)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="measure the entries whose name contains this")
    arguments = parser.parse_args()
    rounds = arguments.rounds
    data = load_mnist()
    rows: dict[str, Callable[[], float]] = {
        "single run": lambda: fused(data, 1, "own"),
        "8 runs, mini-batches shared": lambda: fused(data, 8, "shared"),
        "8 runs, mini-batches their own": lambda: fused(data, 8, "own"),
        "single run with pulls measured": lambda: fused(data, 1, "own", Recording(evaluate=())),
    }
    for name, (optimizer, lr, goal) in OPTIMIZERS.items():
        rows[f"{name}, 8 runs (goal {goal:g})"] = lambda optimizer=optimizer, lr=lr: with_optimizer(data, optimizer, lr)
    rows["example by example"] = lambda: example_by_example(data)
    if importlib.util.find_spec("jax"):
        rows["JAX"] = jax_scan(data)
    if importlib.util.find_spec("sklearn"):
        rows["scikit-learn"] = lambda: scikit_learn(data)
    if importlib.util.find_spec("torch"):
        rows["PyTorch"] = lambda: pytorch(data)
    rows = {name: function for name, function in rows.items() if arguments.only in name}
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
        for name in ("numpy", "scipy", "scikit-learn", "torch", "jax")
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
    memory = {n_runs: peak_memory(n_runs) for n_runs in (1, 10, 1000)}
    told = ", ".join(f"{megabytes:.0f} MB for {n_runs}" for n_runs, megabytes in memory.items())
    print(f"\npeak memory of an ensemble beyond imports and uint8 data: {told} runs")


if __name__ == "__main__":
    main()
