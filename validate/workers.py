"""Spread calls over processes of this machine, or over a cluster, and outlive those that die."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Any

import joblib
from joblib.externals.loky import ProcessPoolExecutor

from ..errors import JobError
from .cluster import cluster_in_use

__all__ = ["n_available", "results"]

_DEATHS_ON_CLUSTER = ("KilledWorker", "FutureCancelledError", "FutureLostError")  # of distributed, which may be absent
Calls = dict[int, tuple[Any, ...]]


def n_available() -> int:
    """Return the number of processes that can work at a time, here or on the cluster in use."""
    client = cluster_in_use()
    return int(joblib.cpu_count()) if client is None else sum(client.nthreads().values())


def results(
    function: Callable[..., Any],
    calls: Sequence[tuple[Any, ...]],
    names: Sequence[str],
    n_processes: int,
    shared: Sequence[Any] = (),
) -> Generator[tuple[int, Any], None, None]:
    """Yield number and result of each call, in the order in which they finish.

    Parameters
    ----------
    function : callable
        What is called; it and its arguments travel to the processes by pickle.
    calls : sequence of tuple
        Arguments of each call.
    names : sequence of str
        What an error calls each of them.
    n_processes : int
        Number of processes; 1 calls in this one, unless there is a cluster.
    shared : sequence, optional
        Large arguments that many calls have: they travel to each worker of a cluster once.

    Raises
    ------
    JobError
        If a process died in the same call twice: the second time that call was alone in it, so it is the culprit. All
        other calls have been made then.

    Notes
    -----
    When a process dies, joblib's pool is lost with all that was under way, and nothing tells who did it. What had not
    finished is then called again, in processes that have one call each; on a cluster, as tasks of their own.
    """
    if not calls:
        return
    left: Calls = dict(enumerate(calls))
    parallel = _parallel(n_processes, shared)
    with _processes_deaf_to_interrupts():
        finished = parallel(joblib.delayed(_call)(number, function, *call) for number, call in left.copy().items())
    try:
        for number, result in finished:
            del left[number]
            yield number, result
        return
    except Exception as problem:
        if not _is_death(problem):
            raise
    finally:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".* tasks .*", UserWarning)  # of what an error or interrupt left unused
            finished.close()
    died: dict[int, str] = {}
    again = (
        _one_by_one(function, left, n_processes, died) if cluster_in_use() is None else _as_tasks(function, left, died)
    )
    yield from again
    if died:
        told = "; ".join(f"{names[number]}{how}" for number, how in sorted(died.items()))
        raise JobError(
            f"a process died twice in the same run: {told}; every other run is finished. Where memory is short, use "
            "fewer processes; to see what happens, run it with one"
        )


def _parallel(n_processes: int, shared: Sequence[Any]) -> joblib.Parallel:
    client = cluster_in_use()
    if client is not None:
        backend, options = "dask", {"client": client, "scatter": list(shared)}
    else:
        # no max_nbytes: joblib's shared files outlive a program that is killed, and now and then are read half-written
        options = {"initializer": _watch, "initargs": (os.getpid(),), "max_nbytes": None}
        backend = "loky"
    with joblib.parallel_config(backend, **options):
        return joblib.Parallel(n_jobs=n_processes, return_as="generator_unordered")


def _is_death(problem: BaseException | None) -> bool:
    """Tell whether an exception says that a process died: of joblib here, of dask on a cluster."""
    return isinstance(problem, BrokenProcessPool) or type(problem).__name__ in _DEATHS_ON_CLUSTER


def _call(number: int, function: Callable[..., Any], *call: Any) -> tuple[int, Any]:
    return number, function(*call)


@contextmanager
def _processes_deaf_to_interrupts() -> Iterator[None]:
    """Start processes that an interrupt from the keyboard does not reach: this one ends them, without their traces."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # joblib starts it first, and Python then lifts the mask, so not while it is set
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch(parent: int) -> None:
    """Let this process end when the one that started it is gone."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _one_by_one(
    function: Callable[..., Any], left: Calls, n_processes: int, died: dict[int, str]
) -> Iterator[tuple[int, Any]]:
    """Make calls in processes that have one each, some at a time; note in `died` how a process ended that died."""
    waiting = list(left.items())
    idle: list[ProcessPoolExecutor] = []
    busy: dict[Future[Any], tuple[ProcessPoolExecutor, int]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < n_processes:
                number, call = waiting.pop(0)
                executor = (
                    idle.pop()
                    if idle
                    else ProcessPoolExecutor(max_workers=1, initializer=_watch, initargs=(os.getpid(),))
                )
                with _processes_deaf_to_interrupts():
                    busy[executor.submit(_call, number, function, *call)] = executor, number
            for future in wait(busy, return_when=FIRST_COMPLETED).done:
                executor, number = busy.pop(future)
                problem = future.exception()
                if _is_death(problem):
                    executor.shutdown(kill_workers=True)
                    found = re.search(r"exit codes? of the workers? (?:are|is) \{(.+?)\}", str(problem))
                    died[number] = f" (it ended with {found[1]})" if found else ""
                    continue
                idle.append(executor)
                yield future.result()
    finally:
        for executor in [*idle, *(executor for executor, _ in busy.values())]:
            executor.shutdown(kill_workers=True)


def _as_tasks(function: Callable[..., Any], left: Calls, died: dict[int, str]) -> Iterator[tuple[int, Any]]:
    """Make calls on the cluster one after the other; dask gives each to another worker when one dies, a few times."""
    client = cluster_in_use()
    for number, call in left.items():
        with warnings.catch_warnings():
            # dask advises to lay large data out on workers first, but the worker that has them may be the next to die
            warnings.simplefilter("ignore", UserWarning)
            task = client.submit(_call, number, function, *call, pure=False)
        try:
            result = task.result()
        except Exception as problem:
            if not _is_death(problem):
                raise
            died[number] = " (on the cluster)"
        else:
            yield result
