"""Do the runs of an experiment on several processes: trainings, and whatever else takes its time."""

from __future__ import annotations

import functools
import textwrap
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ..errors import DataError, InvalidInput, JobError, OutputError, StoreWarning, WeightDecayError, check_count
from .cluster import cluster_in_use
from .datasets import MNIST_CHECKSUM, Dataset, load_mnist
from .record import TrainingRecord
from .result_files import pack, unpack
from .run_store import RunStore, identity, store_in_use, write
from .training_jobs import Ensemble, Run
from .workers import n_available, results

__all__ = ["Ensemble", "Job", "Run", "compute_all", "train_all"]

Result = TypeVar("Result", covariant=True)


class Job(Protocol[Result]):
    """What can be computed on its own: a frozen dataclass that holds all that its result depends on but the data."""

    def check(self, data: Dataset) -> None:
        """Raise InvalidInput if the job cannot be done on this data set."""

    def start(self, data: Dataset) -> Result:
        """Compute the result: the same one whenever and wherever it is started."""


def compute_all(
    jobs: Sequence[Job[Result]],
    data: Dataset,
    *,
    n_jobs: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    what: str = "training",
) -> list[Result]:
    """Do every job of a sweep, each in one process.

    Parameters
    ----------
    jobs : sequence of Job
        What to do: `Run`, `Ensemble`, or any frozen dataclass with `check` and `start`. Each holds its own seed, so the
        results do not depend on `n_jobs`.
    data : Dataset
        What to compute on.
    n_jobs : int, optional
        Number of processes; by default one for each processor.
    progress : callable, optional
        Called as progress(jobs_done, n_jobs, what).
    what : str, optional
        What the progress is called.

    Returns
    -------
    list
        Results in the order of `jobs`.

    Raises
    ------
    InvalidInput
        If a job does not fit the data; found before anything is computed.
    JobError
        If a job fails, or a process dies while it does the same job twice; the message names the job.

    Warns
    -----
    StoreWarning
        If a kept result cannot be used, or a new one cannot be kept.

    Notes
    -----
    Where finished runs are kept (`weightdecay.validate.run` has `cache`), a job whose result is there is not done, and
    the process that does a job writes its result down at once: a sweep that is killed at any moment loses only what is
    under way. Kept or not, a result passes through the form that a file has, so that it is the same to the last bit
    wherever it comes from. A result is made of numbers, strings, None, arrays, and dataclasses of this package or of
    the job's own module, in lists, tuples and dicts; a job of the same, and seed sequences. A job that holds a function
    is done every time.
    """
    for job in jobs:
        job.check(data)
    store = store_in_use()
    plans = [_plan(job, data, store) for job in jobs]
    _warn(plan.unkept for plan in plans)
    found = {} if store is None else _kept(plans, store)
    missing = [number for number in range(len(jobs)) if number not in found]
    elsewhere = cluster_in_use() is not None
    names = [_name(jobs[number], number, len(jobs)) for number in missing]
    n_processes = n_available() if n_jobs is None else check_count("n_jobs", n_jobs)
    n_processes = max(1, min(n_processes, len(missing)))
    sent = data if n_processes == 1 and not elsewhere else _to_send(data)
    calls = [(jobs[number], sent, plans[number], name, elsewhere) for number, name in zip(missing, names, strict=True)]
    if progress is not None:
        progress(len(found), len(jobs), what)
    problems: set[str] = set()
    with closing(results(_do, calls, names, n_processes, shared=[sent] if isinstance(sent, Dataset) else [])) as done:
        for place, (result, problem) in done:
            plan = plans[missing[place]]
            if elsewhere and store is not None and isinstance(result, bytes):
                problem = _written(plan, result)
            found[missing[place]] = unpack(result, plan.home)[1] if isinstance(result, bytes) else result
            _warn({problem} - problems)
            problems.add(problem)
            if progress is not None:
                progress(len(found), len(jobs), what)
    return [found[number] for number in range(len(jobs))]


@dataclass(frozen=True)
class _Plan:
    """Say where the result of a job goes: its identity, the folder of the store, or why it is not kept."""

    home: str
    header: dict[str, Any] | None = None
    folder: Path | None = None
    unkept: str = ""


def _plan(job: Job[Any], data: Dataset, store: RunStore | None) -> _Plan:
    home = type(job).__module__
    if store is None:
        return _Plan(home)
    try:
        return _Plan(home, identity(job, data), store.folder)
    except InvalidInput as problem:
        return _Plan(home, unkept=f"a run is not kept: {problem}")


def _kept(plans: Sequence[_Plan], store: RunStore) -> dict[int, Any]:
    """Return the results that the store has, by the number of their job, and warn of files that cannot be used."""
    found: dict[int, Any] = {}
    problems: Counter[str] = Counter()
    for number, plan in enumerate(plans):
        if plan.header is not None:
            try:
                found[number] = store.fetch(plan.header, plan.home)
            except KeyError:
                continue
            except DataError as problem:
                problems[str(problem)] += 1
    _warn(
        f"{count} kept run{'s are' if count > 1 else ' is'} made again, of {store.folder}: {problem}"
        for problem, count in problems.items()
    )
    return found


def _warn(sentences: Iterable[str]) -> None:
    """Warn once of each problem; the empty sentence is none."""
    for sentence in dict.fromkeys(sentences):
        if sentence:
            warnings.warn(sentence, StoreWarning, stacklevel=4)


@dataclass(frozen=True)
class _BuiltIn:
    """Stand for the digits of the package, which each process reads itself once: 55 MB less to send with each job."""

    pixel_scale: float


@functools.lru_cache(maxsize=2)
def _built_in(pixel_scale: float) -> Dataset:
    return load_mnist(pixel_scale=pixel_scale)


def _to_send(data: Dataset) -> Dataset | _BuiltIn:
    """Return what travels to a process that needs the data."""
    if data.checksum != MNIST_CHECKSUM:
        return data
    own = _built_in(data.pixel_scale)
    same = all(
        getattr(data, part).n_rows == getattr(own, part).n_rows for part in ("train", "validation", "test")
    ) and (data.name, data.image_shape) == (own.name, own.image_shape)
    return _BuiltIn(data.pixel_scale) if same else data


def _do(job: Job[Any], sent: Dataset | _BuiltIn, plan: _Plan, name: str, elsewhere: bool) -> tuple[Any, str]:
    """Do a job and keep its result; return the content of its file, or the bare result, and what went wrong.

    On a cluster (`elsewhere`) it is the one who asked for it that keeps it.
    """
    try:
        result = job.start(_built_in(sent.pixel_scale) if isinstance(sent, _BuiltIn) else sent)
    except WeightDecayError as problem:
        problem.add_note(f"in {name}")
        raise
    except Exception as problem:
        raise JobError(f"{name} failed with {type(problem).__name__}: {problem}") from problem
    try:
        content = pack(result, plan.header or {}, plan.home)
    except InvalidInput as problem:
        return result, f"a finished run is not kept: {problem}" if plan.header else ""
    return content, "" if elsewhere else _written(plan, content)


def _written(plan: _Plan, content: bytes) -> str:
    """Keep a result if there is a store; return what went wrong."""
    if plan.folder is not None and plan.header is not None:
        try:
            write(plan.folder, plan.header["key"], content)
        except OutputError as problem:
            return str(problem)
    return ""


def _name(job: Job[Any], number: int, n_jobs: int) -> str:
    return f"run {number + 1} of {n_jobs}, {textwrap.shorten(repr(job), 160, placeholder=' ...')}"


def train_all(
    runs: Sequence[Run],
    data: Dataset,
    *,
    n_jobs: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[TrainingRecord]:
    """Train every run of a sweep, each in one process with one BLAS thread.

    Parameters
    ----------
    runs : sequence of Run
        What to train.
    data, n_jobs, progress
        As in `compute_all`.

    Returns
    -------
    list of TrainingRecord
        In the order of `runs`. A run that diverged is marked (`diverged`); the others are not affected.

    Raises
    ------
    InvalidInput
        If a configuration does not fit the data; found before anything is trained.
    """
    return compute_all(runs, data, n_jobs=n_jobs, progress=progress)
