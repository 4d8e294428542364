"""A program for the tests of sweeps: does a sweep of small jobs, some of which misbehave, and prints what came of it.

python tests/sweep_program.py FOLDER N_JOBS N_PROCESSES [HOW NUMBER]
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weightdecay.errors import JobError
from weightdecay.validate import Dataset, Part, Recording, RunStore, TrainingConfig, compute_all, keeping_runs, train


@dataclass(frozen=True)
class Result:
    """What a job finds."""

    number: int
    weights: np.ndarray


@dataclass(frozen=True)
class Small:
    """Train a small network, wait a little, and misbehave if told to."""

    number: int
    how: str = ""
    seconds: float = 0.05

    def check(self, data):
        pass

    def start(self, data):
        if self.how == "exit":
            os._exit(3)
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "raise":
            raise ZeroDivisionError("by nothing")
        if self.how == "once":
            mark = Path(os.environ["MARK"])
            if not mark.exists():
                mark.touch()
                os._exit(3)
        config = TrainingConfig.pytorch(layers=[9, 4, 10], lr=0.5, weight_decay=0.01, batch_size=10, epochs=1)
        record = train(config, data, rng=self.number, record=Recording(evaluate=()))
        time.sleep(self.seconds)
        return Result(self.number, record.final.weights[0])


def toy():
    """Return a data set."""
    rng = np.random.default_rng(0)
    part = Part(rng.integers(0, 99, size=(60, 9), dtype=np.uint8), rng.integers(10, size=60))
    return Dataset("toy", part, part, part, image_shape=(3, 3))


def sweep(folder, n_jobs, n_processes, how="", number=-1, seconds=0.05):
    """Return the SHA-256 of all results, and of all files of the store by name."""
    jobs = [Small(k, how if k == int(number) else "", seconds) for k in range(int(n_jobs))]
    with keeping_runs(RunStore(folder)):
        results = compute_all(jobs, toy(), n_jobs=int(n_processes))
    checksum = hashlib.sha256()
    for result in results:
        checksum.update(f"{result.number} {result.weights.dtype} {result.weights.shape}".encode())
        checksum.update(result.weights.tobytes())
    kept = sorted(Path(folder).glob("[!.]*"))
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}
    return {"results": checksum.hexdigest(), "files": files}


def main(function):
    """Call a function of this module with the arguments of the command line, and print what it returns as JSON."""
    try:
        told = globals()[function](*sys.argv[1:])
    except JobError as problem:
        told = {"error": str(problem), "cause": str(problem.__cause__)}
    sys.stdout.write(json.dumps(told))


def killed_twenty_times(folder, n_jobs, seed):
    """Return what `sweep` does after it was killed 20 times at random moments, and what it had kept each time."""
    chance = random.Random(seed)
    counts = [0]
    for attempt in range(20):
        child = os.fork()
        if child == 0:
            os.setsid()
            sweep(folder, n_jobs, 1 + attempt % 2)
            os._exit(0)
        if attempt % 4 > 1 and counts[-1] < int(n_jobs):  # half of them in the midst, however slow the machine is
            deadline = time.monotonic() + 60
            while len(list(Path(folder).glob("*.npz"))) <= counts[-1] and time.monotonic() < deadline:
                time.sleep(0.01)
        time.sleep(chance.uniform(0, 2 if attempt % 4 == 1 else 0.2))
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        counts.append(len(list(Path(folder).glob("*.npz"))))
    return {"counts": counts, **sweep(folder, n_jobs, 1)}
