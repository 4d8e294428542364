"""Write several files so that either all of them are new or none is."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from ..errors import OutputError

__all__ = ["output_folder", "write_together"]


@contextlib.contextmanager
def output_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Make a folder, prove that a file can be written there, and hand it out.

    Enter it before anything long is computed. If the block fails, a folder that was made here and is still empty
    goes again.

    Parameters
    ----------
    path : str or path
        Folder to write to; made with its parents if it is not there.

    Yields
    ------
    pathlib.Path
        The folder.

    Raises
    ------
    OutputError
        If the folder cannot be made or written to.
    """
    folder = Path(path)
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"0")
    except OSError as problem:
        _remove_empty(missing)
        raise OutputError(
            f"the folder {folder} cannot be written to ({_reason(problem)}); name another one to write to"
        ) from None
    try:
        yield folder
    except BaseException:
        _remove_empty(missing)
        raise


def write_together(folder: Path, contents: Mapping[str, bytes]) -> tuple[Path, ...]:
    """Write files under temporary names beside their places, and rename them once the last one is on disk.

    Parameters
    ----------
    folder : pathlib.Path
        Where to write.
    contents : mapping of str to bytes
        What to write, by file name.

    Returns
    -------
    tuple of pathlib.Path
        The files, in the order of `contents`.

    Raises
    ------
    OutputError
        If one of them cannot be written; older files of these names are then as they were.
    """
    temporary = {name: folder / f".{name}.{os.getpid()}.part" for name in contents}
    try:
        for name, content in contents.items():
            if (folder / name).is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{name} is a folder")
            with temporary[name].open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for name, path in temporary.items():
            path.replace(folder / name)
    except OSError as problem:
        raise OutputError(
            f"the files of {folder} cannot be written ({_reason(problem)}); older files are as they were: make room, "
            "or name another folder"
        ) from None
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)
    return tuple(folder / name for name in contents)


def _remove_empty(folders: list[Path]) -> None:
    for place in folders:
        with contextlib.suppress(OSError):
            place.rmdir()


def _reason(problem: OSError) -> str:
    return (problem.strerror or str(problem)).lower()
