"""Say whether saved figures are still what the code draws from their tables."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ..errors import DataError, InvalidInput
from .bundle import figure_checksum, load, redraw
from .catalogue import all_ids
from .gallery_index import INDEX, index

__all__ = ["Finding", "check"]

CURRENT = "as drawn from its table"


@dataclass(frozen=True)
class Finding:
    """Say what is the case with one saved figure.

    Parameters
    ----------
    figure_id : str
        Name of the figure.
    passed : bool
        False if its files contradict each other, or differ from what the same code and versions draw.
    sentence : str
        The finding in words.
    """

    figure_id: str
    passed: bool
    sentence: str


def check(folder: Path, figure_ids: tuple[str, ...] = ()) -> tuple[Finding, ...]:
    """Verify the tables of saved figures, draw them again and compare; so with the index of the folder.

    Parameters
    ----------
    folder : path
        Where the figures were saved.
    figure_ids : tuple of str, optional
        Which ones; by default all that have a json there.

    Returns
    -------
    tuple of Finding
        One for each figure, and one for the index if all are checked. A figure of other code or versions cannot be
        compared byte by byte: it is reported, and passes.

    Raises
    ------
    InvalidInput
        If there is no saved figure in the folder.
    """
    found = tuple(name for name in all_ids() if (folder / f"{name}.json").is_file())
    if not figure_ids and not found:
        raise InvalidInput(f"there is no saved figure in {folder}; name the folder to check with --out")
    findings = tuple(_check(folder, name) for name in figure_ids or found)
    if figure_ids or not (folder / INDEX).is_file():
        return findings
    return (*findings, _check_index(folder, current=all(one.sentence == CURRENT for one in findings)))


def _check_index(folder: Path, *, current: bool) -> Finding:
    try:
        different = [name for name, content in index(folder).items() if _content(folder / name) != content]
    except DataError as problem:
        return Finding("index", False, str(problem))
    if not different:
        return Finding("index", True, "lists what is there")
    told = f"not what the figures of the folder say: {', '.join(different)}; draw a figure again"
    return Finding("index", not current, told)


def _check(folder: Path, figure_id: str) -> Finding:
    try:
        report = load(folder / f"{figure_id}.csv", folder / f"{figure_id}.json")
        drawn = redraw(report, figure_id)
    except (DataError, InvalidInput) as problem:
        return Finding(figure_id, False, str(problem))
    older = _other_versions(dict(report.provenance.get("versions", {})))
    if report.provenance.get("code_sha256") != figure_checksum(figure_id):
        older.insert(0, "other code")
    if older:
        return Finding(figure_id, True, f"made with {', '.join(older)}: draw it again to compare it byte by byte")
    different = [name for name, content in drawn.items() if _content(folder / name) != content]
    if different:
        return Finding(figure_id, False, f"not what its table draws: {', '.join(different)}; draw the figure again")
    return Finding(figure_id, True, CURRENT)


def _other_versions(recorded: dict[str, str]) -> list[str]:
    """Return the recorded packages that are installed in another version or not at all."""
    other = []
    for name, version in recorded.items():
        if name == "python":
            continue
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed = "none"
        if installed != version:
            other.append(f"{name} {version} (here: {installed})")
    return other


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
