"""Let sweeps run on a dask cluster, after a look at whether its workers would give the same results."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

from ..errors import InvalidInput
from .provenance import code_checksum

__all__ = ["cluster_in_use", "on_cluster"]

_SECONDS = 10  # to wait for an answer
_IN_USE: ContextVar[Any] = ContextVar("client of the cluster", default=None)


def cluster_in_use() -> Any:
    """Return the client of the cluster that sweeps run on; None if they run on this machine."""
    return _IN_USE.get()


@contextlib.contextmanager
def on_cluster(address: str | None) -> Iterator[None]:
    """Let all sweeps inside the block run on the workers of a dask cluster, through joblib's dask backend.

    Parameters
    ----------
    address : str or None
        Of the scheduler, such as "tcp://10.0.0.1:8786"; None leaves sweeps on this machine.

    Raises
    ------
    InvalidInput
        If dask is not installed, no scheduler answers, or a worker has several threads or another version of this
        package or of NumPy.

    Notes
    -----
    Start a scheduler with ``dask scheduler`` and workers with ``dask worker ADDRESS --nworkers auto --nthreads 1``:
    the number of BLAS threads, which a run fixes, is shared by all threads of a process. Finished runs come back to
    this machine and are kept here. Between different processors results agree up to rounding.
    """
    if address is None:
        yield
        return
    try:
        distributed = importlib.import_module("distributed")
    except ImportError:
        raise InvalidInput("a cluster needs dask and distributed: pip install 'weightdecay[cluster]'") from None
    try:
        client = distributed.Client(address, timeout=_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError, ImportError) as problem:
        told = str(problem).partition("\n")[0] or type(problem).__name__
        raise InvalidInput(
            f"no dask scheduler answers at {address!r} ({told}); give the address that `dask scheduler` printed, such "
            "as tcp://10.0.0.1:8786"
        ) from None
    try:
        _check_workers(client, address)
        token = _IN_USE.set(client)
        try:
            yield
        finally:
            _IN_USE.reset(token)
    finally:
        client.close()


def _check_workers(client: Any, address: str) -> None:
    threads = client.nthreads()
    if not threads:
        raise InvalidInput(f"the cluster at {address!r} has no workers; start some: dask worker {address} --nthreads 1")
    several = [worker for worker, number in threads.items() if number > 1]
    if several:
        raise InvalidInput(
            f"the worker {several[0]} has {threads[several[0]]} threads, but must have one, for its runs share the "
            "number of BLAS threads; start it with --nthreads 1 and more --nworkers"
        )
    try:
        others = [worker for worker, told in client.run(_versions).items() if told != _versions()]
    except Exception as problem:  # whatever the import of this package raises over there
        raise InvalidInput(
            f"the workers of {address!r} cannot use this package ({type(problem).__name__}: {problem}); install it"
        ) from None
    if others:
        raise InvalidInput(
            f"the worker {others[0]} has another version of this package or of NumPy; install the same there"
        )


def _versions() -> tuple[str, str]:
    return code_checksum("theory", "simulate", "validate"), np.__version__
