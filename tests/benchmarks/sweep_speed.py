"""Print what a second process brings a sweep, and what carrying data, results and finished runs costs it.

    python tests/benchmarks/sweep_speed.py [--rounds 5] [--n-runs 8] [--epochs 10]

The sweep is trainings of [784, 30, 10] on MNIST. One process and two alternate in one program, in wall-clock time, for
that is what a second processor is bought for; run it on a machine that does nothing else. Workers live on between
sweeps of a program; what it costs to start them (they import the package and read MNIST) is printed apart. The floor is
a loop over the runs without any sweep around it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable

import numpy as np

from weightdecay.validate import (
    Recording,
    Run,
    RunStore,
    TrainingConfig,
    compute_all,
    keeping_runs,
    load_mnist,
)


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--n-runs", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    data = load_mnist()
    config = TrainingConfig.nielsen(layers=[784, 30, 10], eta=0.1, lmbda=5, batch_size=10, epochs=options.epochs)
    jobs = [Run(config, np.random.SeedSequence(k), Recording(every_step=True)) for k in range(options.n_runs)]
    short = [Run(config, np.random.SeedSequence(k), Recording(steps=(0,), evaluate=())) for k in range(2)]

    def kept() -> None:
        with tempfile.TemporaryDirectory() as folder, keeping_runs(RunStore(folder)):
            compute_all(jobs, data, n_jobs=1)

    began = seconds(lambda: compute_all(short, data, n_jobs=2))
    ways: dict[str, Callable[[], object]] = {
        "bare loop": lambda: [job.start(data) for job in jobs],
        "one process": lambda: compute_all(jobs, data, n_jobs=1),
        "one process, runs kept": kept,
        "two processes": lambda: compute_all(jobs, data, n_jobs=2),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, way in ways.items():
            times[name].append(seconds(way))
    again = seconds(lambda: compute_all(short, data, n_jobs=2))
    print(f"{options.n_runs} runs of {options.epochs} epochs; {options.rounds} rounds, in turn")
    for name, found in times.items():
        ratios = [loop / other for loop, other in zip(times["one process"], found, strict=True)]
        low, middle, high = min(ratios), statistics.median(ratios), max(ratios)
        print(
            f"{name:24} {statistics.median(found):8.2f} s   one process / this: {middle:.3f} ({low:.3f} to {high:.3f})"
        )
    print(f"starting two workers     {began - again:8.2f} s, once in a program")


if __name__ == "__main__":
    main()
