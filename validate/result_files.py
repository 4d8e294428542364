"""Write results as npz files that verify themselves, and read them back without unpickling anything.

A file is what `numpy.savez` writes: one array ``structure`` with the JSON of header and value, and the arrays that the
value holds. The comment at the very end of the archive is the SHA-256 of all the bytes before it.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import math
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, InvalidInput

__all__ = ["LARGEST_FILE", "digest", "pack", "unpack"]

LARGEST_FILE = 2**31  # bytes; the record of a long run takes 1e7
_DIGITS = 64  # of the SHA-256
_KINDS = "biufcSU"  # of arrays: numbers and strings, no objects
_ROOMS = tuple(f"{__package__.rpartition('.')[0]}.{room}." for room in ("simulate", "validate"))
_NATURAL = (type(None), bool, int, float, str)  # what JSON holds as it is


def pack(value: Any, header: Mapping[str, Any], home: str = "") -> bytes:
    """Return the content of the file that holds a value.

    Parameters
    ----------
    value : object
        Numbers, strings, None, arrays, seed sequences, dataclasses of this package or of the module `home`; and lists,
        tuples and dicts of these.
    header : mapping
        Plain JSON values that go into the file beside it.
    home : str, optional
        Name of a module whose own dataclasses may be held too.

    Raises
    ------
    InvalidInput
        If a file cannot hold the value; the message says what part of it.

    Examples
    --------
    >>> header, value = unpack(pack({"norm_squared": np.arange(3.0)}, {"version": 1}))
    >>> header, value
    ({'version': 1}, {'norm_squared': array([0., 1., 2.])})
    """
    arrays: list[NDArray[Any]] = []
    told = {"header": dict(header), "value": _told(value, arrays, home)}
    members = {"structure": np.frombuffer(json.dumps(told).encode(), np.uint8)}
    members |= {f"array_{i}": array for i, array in enumerate(arrays)}
    size = sum(array.nbytes for array in members.values())
    if size > LARGEST_FILE:
        raise InvalidInput(f"the value takes {size} bytes, but a file holds at most {LARGEST_FILE}; keep less of it")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.comment = b"0" * _DIGITS
        for name, array in members.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as member:  # no time of day: the same bytes always
                np.lib.format.write_array(member, array, allow_pickle=False)
    content = stream.getbuffer()
    content[-_DIGITS:] = hashlib.sha256(content[:-_DIGITS]).hexdigest().encode()
    return content.tobytes()


def unpack(content: bytes, home: str = "") -> tuple[dict[str, Any], Any]:
    """Return the header and the value that `pack` made a file of.

    Parameters
    ----------
    content : bytes
        Content of the file.
    home : str, optional
        As in `pack`.

    Raises
    ------
    DataError
        If a single bit is another than was written, or the value is of no class that is known.

    Notes
    -----
    Arrays keep their type and their order of axes in memory, C or Fortran, so that sums over them round as before.
    """
    if hashlib.sha256(memoryview(content)[:-_DIGITS]).hexdigest().encode() != content[-_DIGITS:]:
        raise DataError("its checksum is wrong")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise DataError("it is compressed, as no file of results is")
            if sum(member.file_size for member in members) > len(content):
                raise DataError("it promises more bytes than it has")
            found = {member.filename: _array(archive.read(member)) for member in members}
        told = json.loads(found.pop("structure.npy").tobytes())
        return told["header"], _value(told["value"], found, home)
    except DataError:
        raise
    except Exception as problem:  # of any kind: a class says in its own way that its fields are none of its
        raise DataError(f"it cannot be understood ({problem})") from None


def digest(value: Any, home: str = "") -> str:
    """Return one SHA-256 over a value: the same whenever and wherever it is made anew.

    Raises
    ------
    InvalidInput
        If the value holds something that has no lasting description, such as a function.

    Examples
    --------
    >>> digest({"lr": 0.1}) == digest({"lr": 0.1}), digest({"lr": 0.1}) == digest({"lr": 0.2})
    (True, False)
    """
    arrays: list[NDArray[Any]] = []
    told = json.dumps(_told(value, arrays, home))
    checksum = hashlib.sha256(told.encode())
    for array in arrays:
        checksum.update(f"\n{array.dtype.str} {array.shape} ".encode())
        checksum.update(array.tobytes())
    return checksum.hexdigest()


def _array(content: bytes) -> NDArray[Any]:
    """Return the array of an npy file; nothing is allocated before its size is known to be that of the content."""
    stream = io.BytesIO(content)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise DataError("an array has an unknown format")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.kind not in _KINDS or math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise DataError("an array is of another type or size than its header says")
    flat = np.frombuffer(content[stream.tell() :], dtype) if math.prod(shape) else np.empty(0, dtype)
    return flat.copy().reshape(shape, order="F" if fortran_order else "C")


def _told(value: Any, arrays: list[NDArray[Any]], home: str) -> Any:
    """Return a value as JSON; its arrays are appended to the list and stand there by their number."""
    if type(value) in _NATURAL:
        return value
    if type(value) in (list, tuple):
        return {type(value).__name__: [_told(item, arrays, home) for item in value]}
    if type(value) is dict:
        pairs = [[_told(key, arrays, home), _told(item, arrays, home)] for key, item in value.items()]
        return {"dict": pairs}
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in _KINDS:
        arrays.append(np.asarray(value))
        return {"array" if isinstance(value, np.ndarray) else "scalar": len(arrays) - 1}
    if type(value) is np.random.SeedSequence:
        parts = {name: getattr(value, name) for name in ("entropy", "spawn_key", "pool_size", "n_children_spawned")}
        return {"seed": _told(parts, arrays, home)}
    kind = type(value)
    if is_dataclass(value) and _known(kind.__module__, home) and "." not in kind.__qualname__:
        parts = {each.name: _told(getattr(value, each.name), arrays, home) for each in fields(value) if each.init}
        return {"class": [kind.__module__, kind.__qualname__], "fields": parts}
    raise InvalidInput(
        f"a value is of the type {kind.__module__}.{kind.__qualname__}, but only numbers, strings, None, arrays, seed "
        "sequences, lists, tuples, dicts and the package's and the job's own dataclasses can be kept"
    )


def _value(told: Any, arrays: Mapping[str, NDArray[Any]], home: str) -> Any:
    if type(told) in _NATURAL:
        return told
    if "class" in told:
        parts = {name: _value(item, arrays, home) for name, item in told["fields"].items()}
        module, name = told["class"]
        return _class(module, name, home)(**parts)
    ((kind, item),) = told.items()
    if kind in ("list", "tuple"):
        items = [_value(each, arrays, home) for each in item]
        return items if kind == "list" else tuple(items)
    if kind == "dict":
        return {_value(key, arrays, home): _value(each, arrays, home) for key, each in item}
    if kind == "seed":
        return np.random.SeedSequence(**_value(item, arrays, home))
    array = arrays[f"array_{item}.npy"]
    if kind not in ("array", "scalar"):
        raise DataError(f"it holds something of an unknown kind, {kind!r}")
    return array if kind == "array" else array[()]


def _known(module: str, home: str) -> bool:
    return module == home or module.startswith(_ROOMS)


def _class(module: str, name: str, home: str) -> type[Any]:
    """Return a dataclass of the package or of the job's own module; nothing else is ever built."""
    if not _known(module, home):
        raise DataError(f"it holds a value of the class {module}.{name}, which is none of the package's")
    found = getattr(sys.modules[module] if module == home else importlib.import_module(module), name)
    if not (isinstance(found, type) and is_dataclass(found)):
        raise DataError(f"it holds a value of {module}.{name}, which is no dataclass")
    return found
