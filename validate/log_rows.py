"""Read the rows of a training log, a chunk at a time: csv, jsonl or npz, of any length."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import operator
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ..errors import DataError, InvalidInput

__all__ = ["Chunk", "LogRows", "open_rows"]

Chunk = tuple[Mapping[str, Sequence[Any]], int, int]
"""Columns by name, rows left out as incomplete, and bytes read so far."""
_ROWS = 100_000
_BLOCK = 1 << 22
_LONGEST_LINE = 1 << 20
_HEAD = 1 << 16
_DAMAGED = (zipfile.BadZipFile, OSError, ValueError, EOFError, RuntimeError, zlib.error)
_SUFFIXES = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}


class LogRows:
    """The columns of a log, and its rows in chunks.

    Attributes
    ----------
    name : str
        Name of the file, without its folder.
    columns : tuple of str
        Names of the columns, in the order of the file.
    size : int
        Bytes of the file.
    """

    def __init__(
        self, name: str, columns: Sequence[str], size: int, chunks: Callable[[Sequence[str]], Iterator[Chunk]]
    ) -> None:
        self.name, self.columns, self.size, self._chunks = name, tuple(columns), size, chunks

    def read(self, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the chunks of some columns."""
        return self._chunks(columns)


def open_rows(path: str | os.PathLike[str]) -> LogRows:
    """Return the rows of a log.

    Parameters
    ----------
    path : str or path
        A csv (comma, semicolon or tab), jsonl (an object a line) or npz (a one-dimensional array a column) file; the
        suffix, or else the first bytes, tell which.

    Returns
    -------
    LogRows
        Nothing but the names of the columns has been read yet.

    Raises
    ------
    DataError
        If the file cannot be read, is empty, or is none of these.
    """
    file = Path(path)
    if not str(path):
        raise DataError("the name of the log is empty; give a csv, jsonl or npz file")
    try:
        with file.open("rb") as stream:
            head = stream.read(_HEAD)
        size = file.stat().st_size
    except IsADirectoryError:
        raise DataError(f"{file.name} is a folder, but must be a csv, jsonl or npz file") from None
    except OSError as problem:
        raise DataError(f"{file.name} cannot be read ({(problem.strerror or '').lower()})") from None
    if not head:
        raise DataError(f"{file.name} is empty; a log has a line of column names and a line for each step")
    if head[:2] == b"PK" or file.suffix.lower() == ".npz":
        return _npz(file, size)
    if b"\0" in head or _undecodable(head):
        raise DataError(f"{file.name} is no text; a log is a csv, jsonl or npz file")
    kind = _SUFFIXES.get(file.suffix.lower(), "")
    if kind == "jsonl" or (kind == "" and head.lstrip()[:1] == b"{"):
        return _jsonl(file, size)
    return _csv(file, size)


def _undecodable(head: bytes) -> bool:
    try:
        head.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        return problem.start < len(head) - 4  # a character cut by the end of the head is none
    return False


def _lines(stream: TextIO, name: str) -> Iterator[str]:
    """Yield lines that are not longer than a log's can be, so that no file fills the memory with one."""
    while line := stream.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise DataError(
                f"{name} has a line of more than {_LONGEST_LINE} characters, so it is no log; check the file"
            )
        yield line


def _open_text(file: Path) -> TextIO:
    return file.open(encoding="utf-8-sig", errors="replace")


def _csv(file: Path, size: int) -> LogRows:
    with _open_text(file) as stream:
        first = next(_lines(stream, file.name), "")
    delimiter = max(",\t;", key=first.count)
    names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
    if not any(names):
        raise DataError(f"{file.name} begins with an empty line, but must begin with the names of its columns")
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise DataError(f"{file.name} has two columns called {twice[0]!r}: two layers of one name; rename one")

    def chunks(columns: Sequence[str]) -> Iterator[Chunk]:
        places = [names.index(column) for column in columns]
        with _open_text(file) as stream:
            try:
                for whole, missing in _csv_tables(stream, file.name, delimiter, len(names)):
                    yield dict(zip(columns, (whole[at] for at in places), strict=True)), missing, _place(stream)
            except csv.Error as problem:
                raise DataError(f"{file.name} is no csv file ({problem}); check the file") from None

    return LogRows(file.name, names, size, chunks)


def _csv_tables(stream: TextIO, name: str, delimiter: str, width: int) -> Iterator[tuple[list[Sequence[str]], int]]:
    """Yield the columns of some rows at a time, and how many rows had another number of cells."""
    next(_lines(stream, name))
    blocks = _blocks(stream, name)
    for block in blocks:
        if '"' in block:  # from here on cells may hold anything
            lines_left = itertools.chain.from_iterable(map(io.StringIO, itertools.chain([block], blocks)))
            yield from _quoted_tables(lines_left, delimiter, width)
            return
        lines = block.split("\n")
        if set(map(operator.methodcaller("count", delimiter), lines[:-1])) == {width - 1} and not lines[-1]:
            cells = block[:-1].replace("\n", delimiter).split(delimiter)
            yield [cells[at::width] for at in range(width)], 0
        else:
            rows = [line.split(delimiter) for line in lines if line]
            yield _table(rows, width)


def _blocks(stream: TextIO, name: str) -> Iterator[str]:
    """Yield blocks of whole lines."""
    while block := stream.read(_BLOCK):
        yield block + (next(_lines(stream, name), "") if block[-1] != "\n" else "")


def _quoted_tables(lines: Iterator[str], delimiter: str, width: int) -> Iterator[tuple[list[Sequence[str]], int]]:
    rows = csv.reader(lines, delimiter=delimiter)
    n_read = _ROWS
    while n_read == _ROWS:
        cells: list[str] = []  # flat, since a list kept for each row makes the garbage collector take most of the time
        n_read = missing = 0
        for n_read, row in enumerate(itertools.islice(rows, _ROWS), 1):  # noqa: B007
            if len(row) == width:
                cells += row
            else:
                missing += bool(row)
        yield [cells[at::width] for at in range(width)], missing


def _table(rows: list[list[str]], width: int) -> tuple[list[Sequence[str]], int]:
    """Return the columns of the rows that have so many cells, and how many have not."""
    whole = [row for row in rows if len(row) == width]
    columns: list[Sequence[str]] = list(zip(*whole, strict=True)) if whole else [()] * width
    return columns, len(rows) - len(whole)


def _place(stream: TextIO) -> int:
    """Return how many bytes of a text file were read."""
    return stream.buffer.tell()


def _jsonl(file: Path, size: int) -> LogRows:
    def rows(stream: TextIO) -> Iterator[tuple[list[dict[str, Any]], int]]:
        lines = _lines(stream, file.name)
        while some := list(itertools.islice(lines, _ROWS)):
            some = [line for line in some if line.strip()]
            try:
                found = json.loads(f"[{','.join(some)}]")
                if len(found) != len(some):
                    raise ValueError
            except (ValueError, RecursionError):
                found = [_object(line) for line in some]
            whole = [row for row in found if isinstance(row, dict)]
            yield whole, len(some) - len(whole)

    with _open_text(file) as stream:
        first = next(_lines(stream, file.name), "")
        if not isinstance(_object(first), dict):
            raise DataError(f'{file.name} is no jsonl file: its first line is no JSON object such as {{"step": 0}}')
        stream.seek(0)
        some, _ = next(rows(stream))
    names = list(dict.fromkeys(name for row in some[:1000] for name in row))

    def chunks(columns: Sequence[str]) -> Iterator[Chunk]:
        with _open_text(file) as stream:
            for some, missing in rows(stream):
                yield {column: [row.get(column) for row in some] for column in columns}, missing, _place(stream)

    return LogRows(file.name, names, size, chunks)


def _object(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _npz(file: Path, size: int) -> LogRows:
    try:
        with zipfile.ZipFile(file) as archive:
            members = {Path(info.filename).stem: info.filename for info in archive.infolist()}
            headers = {name: _header(archive, member, f"{name} of {file.name}") for name, member in members.items()}
    except _DAMAGED:
        raise DataError(f"{file.name} is no npz file, or a damaged one; write it with numpy.savez") from None

    def chunks(columns: Sequence[str]) -> Iterator[Chunk]:
        lengths = {column: headers[column][0] for column in columns}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{column} {length}" for column, length in lengths.items())
            raise DataError(f"the columns of {file.name} have different lengths: {told}")
        n_rows = next(iter(lengths.values()), 0)
        with contextlib.ExitStack() as opened:
            try:
                archive = opened.enter_context(zipfile.ZipFile(file))
                streams = {column: opened.enter_context(archive.open(members[column])) for column in columns}
                for stream in streams.values():
                    np.lib.format.read_magic(stream)
                    _array_header(stream)
                for start in range(0, n_rows, _ROWS):
                    count = min(_ROWS, n_rows - start)
                    yield (
                        {column: _values(stream, headers[column][1], count) for column, stream in streams.items()},
                        0,
                        size * (start + count) // n_rows,
                    )
            except _DAMAGED:
                raise DataError(f"{file.name} is damaged: an array ends before its last row") from None

    return LogRows(file.name, list(members), size, chunks)


def _array_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, order and type that an array's header tells, in the format's first version."""
    found: tuple[tuple[int, ...], bool, np.dtype[Any]] = np.lib.format.read_array_header_1_0(stream)
    return found


def _header(archive: zipfile.ZipFile, member: str, what: str) -> tuple[int, np.dtype[Any]]:
    """Return length and type of an array, without reading it."""
    with archive.open(member) as stream:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError
        shape, _, dtype = _array_header(stream)
    if dtype.hasobject:
        raise DataError(f"{what} holds Python objects, which are never read; write numbers and names")
    if len(shape) != 1 or dtype.kind not in "iufU":
        raise DataError(f"{what} has shape {shape} and type {dtype}, but must be one row of numbers or names")
    return shape[0], dtype


def _values(stream: Any, dtype: np.dtype[Any], count: int) -> Sequence[Any]:
    content = stream.read(count * dtype.itemsize)
    if len(content) < count * dtype.itemsize:
        raise EOFError
    found: Any = np.frombuffer(content, dtype)
    return found.tolist() if dtype.kind == "U" else found  # type: ignore[no-any-return]


def unknown_column(rows: LogRows, what: str, name: str) -> InvalidInput:
    """Return the error for a column that is not there, with those that are."""
    found = ", ".join(rows.columns[:30]) + (", ..." if len(rows.columns) > 30 else "")
    return InvalidInput(f"{rows.name} has no column {name!r} for the {what}; it has: {found}")
