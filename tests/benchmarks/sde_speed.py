"""Print how fast ensembles are, in units of the bare random numbers, beside diffrax where it is installed.

    python tests/benchmarks/sde_speed.py [--rounds 9] [--n-paths 100000] [--n-steps 100]
    python tests/benchmarks/sde_speed.py --memory    # 10^6 paths, 10^4 steps: a minute or two, and the peak memory

The floor is a lower bound for any program with the same generator: drawing the normals that the steps need, in blocks
that fit the cache, and nothing else. Everything is timed in turn in one process, on one core, in CPU time, so that a
change of the machine's speed hits all alike; the table gives the median ratio over the rounds and their range.
diffrax runs compiled, in float64, in three forms, the first the fastest, the last the usual one; compiling is not
timed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np

from weightdecay.simulate import (
    Problem,
    cox_ingersoll_ross,
    geometric_brownian_motion,
    ornstein_uhlenbeck,
    solve,
)

BLOCK = 8192
RIVALS = ("diffrax, wide Brownian motion", "diffrax, paths with their own keys", "diffrax, tree for each path")


def seconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def floor(n_paths: int, n_steps: int) -> Callable[[], object]:
    generator, buffer = np.random.default_rng(0), np.empty(BLOCK)

    def draw() -> None:
        for _ in range(n_steps):
            for first in range(0, n_paths, BLOCK):
                generator.standard_normal(out=buffer[: min(BLOCK, n_paths - first)])

    return draw


def diffrax_euler(n_paths: int, n_steps: int, form: str) -> Callable[[], object]:
    """Return diffrax's Euler method on the Ornstein-Uhlenbeck problem, compiled.

    "wide" is one state vector with one Brownian motion as wide as the ensemble, the fastest form; "paths" maps over
    paths that have their own keys; "tree" does so with the Brownian tree that diffrax takes by default.
    """
    import diffrax
    import jax
    import jax.numpy as jnp
    import lineax

    jax.config.update("jax_enable_x64", True)
    shape = (n_paths,) if form == "wide" else ()

    def run(key: object) -> object:
        if form == "tree":
            path = diffrax.VirtualBrownianTree(0.0, 1.0, tol=0.5 / n_steps, shape=shape, key=key)
            adjoint = diffrax.RecursiveCheckpointAdjoint()
        else:
            path, adjoint = diffrax.UnsafeBrownianPath(shape=shape, key=key), diffrax.DirectAdjoint()
        diffusion = lambda _t, y, _args: jnp.full_like(y, 0.7)  # noqa: E731
        if form == "wide":
            diffusion = lambda _t, y, _args: lineax.DiagonalLinearOperator(jnp.full_like(y, 0.7))  # noqa: E731
        terms = diffrax.MultiTerm(
            diffrax.ODETerm(lambda _t, y, _args: 2.0 - 2.0 * y), diffrax.ControlTerm(diffusion, path)
        )
        return diffrax.diffeqsolve(
            terms,
            diffrax.Euler(),
            0.0,
            1.0,
            1.0 / n_steps,
            jnp.full(shape, 1.5),
            saveat=diffrax.SaveAt(t1=True),
            adjoint=adjoint,
            max_steps=n_steps + 1,
        ).ys

    key = jax.random.key(0)
    if form == "wide":
        compiled, keys = jax.jit(run), key
    else:
        compiled, keys = jax.jit(jax.vmap(run)), jax.random.split(key, n_paths)
    return lambda: compiled(keys).block_until_ready()


def programs(n_paths: int, n_steps: int) -> dict[str, Callable[[], object]]:
    span = (0.0, 1.0)
    problems = {
        "Ornstein-Uhlenbeck, ready-made": ornstein_uhlenbeck(rate=2.0, level=1.0, volatility=0.7, y0=1.5, t_span=span),
        "geometric Brownian motion, ready-made": geometric_brownian_motion(
            growth=-1.0, volatility=0.7, y0=1.5, t_span=span
        ),
        "Cox-Ingersoll-Ross, ready-made": cox_ingersoll_ross(rate=2.0, level=1.0, volatility=0.7, y0=1.5, t_span=span),
        "Ornstein-Uhlenbeck, plain functions": Problem(
            lambda _t, y: 2.0 - 2.0 * y, lambda _t, _y: 0.7, y0=1.5, t_span=span
        ),
        "Cox-Ingersoll-Ross, plain functions": Problem(
            lambda _t, y: 2.0 - 2.0 * y, lambda _t, y: 0.7 * np.sqrt(np.maximum(y, 0.0)), y0=1.5, t_span=span
        ),
    }
    found: dict[str, Callable[[], object]] = {"floor": floor(n_paths, n_steps)}
    for name, problem in problems.items():
        found[name] = lambda problem=problem: solve(problem, dt=1.0 / n_steps, n_paths=n_paths, rng=1)
    ready = problems["Ornstein-Uhlenbeck, ready-made"]
    found["same, twice the paths"] = lambda: solve(ready, dt=1.0 / n_steps, n_paths=2 * n_paths, rng=1)
    found["same, twice the steps"] = lambda: solve(ready, dt=0.5 / n_steps, n_paths=n_paths, rng=1)
    for method in ("milstein", "srk15"):
        found[f"Ornstein-Uhlenbeck, {method}"] = lambda method=method: solve(
            ready, dt=1.0 / n_steps, n_paths=n_paths, rng=1, method=method
        )
    if importlib.util.find_spec("diffrax") is not None:
        for form in RIVALS:
            found[form] = diffrax_euler(
                n_paths // (20 if "tree" in form else 1), n_steps, form.split(", ")[1].split()[0]
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--n-paths", type=int, help="100000; with --memory 1000000")
    parser.add_argument("--n-steps", type=int, help="100; with --memory 10000")
    parser.add_argument("--memory", action="store_true", help="instead, take one large ensemble and print its memory")
    options = parser.parse_args()
    if options.memory:
        memory(options.n_paths or 1_000_000, options.n_steps or 10_000)
        return
    options.n_paths, options.n_steps = options.n_paths or 100_000, options.n_steps or 100
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    runs = programs(options.n_paths, options.n_steps)
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            times[name].append(seconds(run))
    print(f"{platform.processor() or platform.machine()}, NumPy {np.__version__}, {options.n_paths} paths, "
          f"{options.n_steps} steps")  # fmt: skip
    print(f"{'program':40s} {'ns per path and step':>20s} {'in floors':>10s} {'range':>15s}")
    for name, taken in times.items():
        if "tree" in name:
            taken = [20 * a for a in taken]
            times[name] = taken
        ratios = [a / b for a, b in zip(taken, times["floor"], strict=True)]
        per = statistics.median(taken) / options.n_paths / options.n_steps * 1e9
        print(f"{name:40s} {per:20.2f} {statistics.median(ratios):10.2f} {min(ratios):7.2f} - {max(ratios):5.2f}")
    for name in set(RIVALS) & times.keys():
        ratios = [a / b for a, b in zip(times[name], times["Ornstein-Uhlenbeck, ready-made"], strict=True)]
        print(f"faster than {name}: {statistics.median(ratios):.2f} times, {min(ratios):.2f} - {max(ratios):.2f}")


def memory(n_paths: int, n_steps: int) -> None:
    problem = ornstein_uhlenbeck(rate=2.0, level=1.0, volatility=0.7, y0=1.5, t_span=(0.0, 1.0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, worked = time.perf_counter(), time.process_time()
    found = solve(problem, dt=1.0 / n_steps, n_paths=n_paths, rng=1)
    seconds_taken, worked = time.perf_counter() - start, time.process_time() - worked
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{n_paths} paths, {n_steps} steps, {found.y.nbytes / 2**20:.0f} MB of states kept: peak of the process "
          f"{after / 1024:.0f} MB, of which {(after - before) / 1024:.0f} MB beyond the imports; "
          f"{seconds_taken:.0f} s, {worked:.0f} s of CPU")  # fmt: skip


if __name__ == "__main__":
    main()
