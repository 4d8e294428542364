"""Print what a sweep of 1000 parameter sets costs: closed form, one vectorized system, 1000 solver calls.

    python tests/benchmarks/ode_speed.py [--rounds 5] [--n-sets 1000]

The sweep is the squared norm of a block under 1000 different pulls. Everything is timed in turn in one process, in CPU
time; the calls one by one are made for a twentieth of the sets and scaled up.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from scipy.integrate import solve_ivp

from weightdecay import theory
from weightdecay.simulate import norm_under_pull, solve

FOUNDING = {"lr": 0.1, "weight_decay": 1e-4, "n_steps": 150_000}
SHARE = 20


def seconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def programs(n_sets: int) -> dict[str, Callable[[], object]]:
    pulls = np.linspace(0.01, 0.2, n_sets)[:, None]
    sweep = norm_under_pull(norm_squared_start=np.full((n_sets, 1), 23520.0), radial_pull=pulls, **FOUNDING)
    flow = theory.derive("norm-flow")

    def one_by_one() -> None:
        for pull in pulls[::SHARE, 0]:
            solve_ivp(
                lambda _t, y, pull=pull: 0.1 * (2 * pull - 2e-4 * y), (0, 150_000), [23520.0], "RK45",
                rtol=1e-8, atol=1e-8,
            )  # fmt: skip

    return {
        "closed form": lambda: flow.numeric(
            lr=0.1, weight_decay=1e-4, norm_squared_start=23520.0, radial_pull=pulls, gradient_power=0.0, time=15_000.0
        ),
        "one vectorized system, RK45": lambda: solve(sweep, [150_000.0], method="RK45"),
        "one vectorized system, LSODA": lambda: solve(sweep, [150_000.0], method="LSODA"),
        "one vectorized system, BDF": lambda: solve(sweep, [150_000.0], method="BDF"),
        "bare solve_ivp, one by one": one_by_one,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--n-sets", type=int, default=1000)
    options = parser.parse_args()
    runs = programs(options.n_sets)
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            times[name].append(seconds(run) * (SHARE if "one by one" in name else 1))
    slow = statistics.median(times["bare solve_ivp, one by one"])
    print(f"{'program':32s} {'ms':>10s} {'times faster':>13s}")
    for name, taken in times.items():
        median = statistics.median(taken)
        print(f"{name:32s} {1e3 * median:10.2f} {slow / median:13.1f}")


if __name__ == "__main__":
    main()
