"""Keep finished runs in a folder, so that a sweep that was killed goes on where it was.

Each run is one file, named by a SHA-256 over all that its result depends on but the code: the job's class and fields,
and the data set. The code (`code_closure`) and the versions of NumPy and SciPy are written inside. A run made by other
code, or damaged, is told and computed again, and its file replaced: there is never more than one file of a run.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from ..errors import DataError, InvalidInput, OutputError
from .code_closure import closure_checksum
from .datasets import Dataset
from .result_files import LARGEST_FILE, digest, unpack

__all__ = ["RunStore", "as_store", "default_folder", "identity", "keeping_runs", "store_in_use", "write"]

_FORMAT = 1
_ABANDONED = 86400.0  # seconds after which a file that was never finished is nobody's any more


class RunStore:
    """Keep finished runs in one folder, which several processes may share.

    Parameters
    ----------
    folder : path-like, optional
        Where the runs are kept; made if it is not there. By default `default_folder`.

    Raises
    ------
    OutputError
        If the folder cannot be made or written to.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     RunStore(folder).n_kept
    0
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = default_folder() if folder is None else Path(folder).absolute()
        self._asked: set[str] = set()
        self._found: set[str] = set()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _try_writing(self.folder)
            for left in self.folder.glob(".*.part"):
                if time.time() - left.stat().st_mtime > _ABANDONED:
                    left.unlink(missing_ok=True)
        except OSError as problem:
            raise OutputError(
                f"runs cannot be kept in {self.folder} ({_reason(problem)}); name another folder for them, or keep none"
            ) from None

    @property
    def n_kept(self) -> int:
        """Number of runs among those that this store was asked for that are now in the folder."""
        return sum(_path(self.folder, key).is_file() for key in self._asked)

    @property
    def n_new(self) -> int:
        """Number of runs among those that were not there, or not usable, when they were asked for."""
        return sum(_path(self.folder, key).is_file() for key in self._asked - self._found)

    def fetch(self, header: Mapping[str, Any], home: str) -> Any:
        """Return the kept result of a run.

        Parameters
        ----------
        header : mapping
            The run's `identity`.
        home : str
            Module of the job.

        Raises
        ------
        KeyError
            If the run is not kept.
        DataError
            If its file is damaged, or was made by other code; the message says what is wrong with it.
        """
        self._asked.add(header["key"])
        content = _read(_path(self.folder, header["key"]))
        found, value = unpack(content, home)
        if found != dict(header):
            raise DataError("it was made by another version of the code, of NumPy or of SciPy")
        self._found.add(header["key"])
        return value


def identity(job: Any, data: Dataset) -> dict[str, Any]:
    """Return what tells one run from another: a key, the code and the versions that make it.

    Parameters
    ----------
    job : Job
        Dataclass of numbers, strings, arrays, seed sequences, and the package's or its own module's dataclasses.
    data : Dataset
        What it is computed on.

    Returns
    -------
    dict
        Plain JSON values: key (of job and data), code, numpy, scipy, format.

    Raises
    ------
    InvalidInput
        If the job holds something that has no lasting description, such as a function, or its code is in no file.
    """
    home = type(job).__module__
    described = {
        "job": job,
        "data": [data.name, data.checksum, data.train.n_rows, data.validation.n_rows, *data.image_shape],
        "pixel_scale": data.pixel_scale,
    }
    return {
        "key": digest(described, home),
        "code": closure_checksum(home),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "format": _FORMAT,
    }


def write(folder: Path, key: str, content: bytes) -> None:
    """Put the file of a run into its place, whole or not at all.

    Raises
    ------
    OutputError
        If that fails, for instance on a full disk; all other runs are as they were.
    """
    place = _path(folder, key)
    temporary = folder / f".{key}.{os.getpid()}.{time.monotonic_ns()}.part"
    try:
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as problem:
        raise OutputError(f"a finished run could not be kept in {folder} ({_reason(problem)})") from None


def default_folder() -> Path:
    """Return the folder of finished runs in the user's cache, as the system has it.

    Raises
    ------
    OutputError
        If the user has no home.
    """
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "weightdecay" / "Cache"
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "weightdecay"
        given = Path(os.environ.get("XDG_CACHE_HOME", ""))
        return (given if given.is_absolute() else Path.home() / ".cache") / "weightdecay"
    except RuntimeError:
        raise OutputError("the user has no home folder to keep finished runs in; name a folder for them") from None


def as_store(cache: RunStore | str | os.PathLike[str] | None) -> RunStore | None:
    """Return the store of finished runs that `cache` stands for: None, a store, its folder, or "default".

    Raises
    ------
    InvalidInput
        If it is nothing of that kind.
    OutputError
        If the folder cannot be written to.
    """
    if cache is None or isinstance(cache, RunStore):
        return cache
    if not isinstance(cache, (str, os.PathLike)):
        raise InvalidInput(f"cache is {cache!r}, but must be a folder, 'default' for the user's cache, or None")
    return RunStore() if cache == "default" else RunStore(cache)


_IN_USE: ContextVar[RunStore | None] = ContextVar("store of finished runs", default=None)


def store_in_use() -> RunStore | None:
    """Return the store that sweeps keep their runs in; None if they are not kept."""
    return _IN_USE.get()


@contextlib.contextmanager
def keeping_runs(store: RunStore | None) -> Iterator[None]:
    """Let all sweeps inside the block keep their finished runs in a store, or, with None, nowhere."""
    token = _IN_USE.set(store)
    try:
        yield
    finally:
        _IN_USE.reset(token)


def _path(folder: Path, key: str) -> Path:
    return folder / f"{key}.npz"


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if not path.is_file() or size > LARGEST_FILE:
            raise DataError(f"it is no file of at most {LARGEST_FILE} bytes")
        return path.read_bytes()
    except FileNotFoundError:
        raise KeyError(path.name) from None
    except OSError as problem:
        raise DataError(f"it cannot be read ({_reason(problem)})") from None


def _try_writing(folder: Path) -> None:
    probe = folder / f".probe.{os.getpid()}.{time.monotonic_ns()}.part"
    try:
        probe.write_bytes(b"0")
    finally:
        probe.unlink(missing_ok=True)


def _reason(problem: OSError) -> str:
    return (problem.strerror or str(problem)).lower()
