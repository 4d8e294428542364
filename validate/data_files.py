"""Read arrays from IDX files and npz archives without trusting them.

Nothing is unpickled or evaluated: headers are matched against their exact form and the data are copied as raw bytes.
What a header promises is compared with the size of the file before memory is allocated, and no more than that is ever
unpacked.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

__all__ = ["names_in_npz", "read_idx", "read_npz"]

LARGEST_ARRAY = 2**31  # bytes; MNIST's images take 5.5e7
DEFLATE_RATIO = 1032  # the most bytes that one byte of a deflate stream (gz, npz) can unpack to
CHUNK = 2**20
NPY_HEADER = re.compile(
    r"\{'descr': '([<>|=]?[a-zA-Z][0-9]{0,3})', 'fortran_order': (True|False), 'shape': \(([0-9L, ]*)\), \} *\n"
)
# what the standard library raises for damaged, encrypted or unknown archives
UNREADABLE = (OSError, EOFError, ValueError, OverflowError, RuntimeError, struct.error, zlib.error, zipfile.BadZipFile)


def read_idx(path: Path, n_axes: int) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes, plain or compressed (name ending in .gz).

    Parameters
    ----------
    path : Path
        An existing file.
    n_axes : int
        Number of axes wanted: 3 for images, 1 for labels.

    Returns
    -------
    ndarray of uint8
        The array that the header describes.

    Raises
    ------
    DataError
        If the file is no IDX file of that kind, is damaged, or holds fewer or more bytes than its header promises.

    Notes
    -----
    An IDX file is two zero bytes, the type (8 for unsigned bytes), the number of axes, the length of each axis as a
    big-endian 32-bit number, and the values [1]_.

    References
    ----------
    .. [1] Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits" (citation key lecun1998).
    """
    compressed = path.suffix == ".gz"
    stored = path.stat().st_size
    try:
        with cast(BinaryIO, gzip.open(path)) if compressed else path.open("rb") as stream:
            header = stream.read(4 + 4 * n_axes)
            if header[:4] != bytes((0, 0, 8, n_axes)):
                raise DataError(
                    f"{path.name} begins with {header[:4].hex(' ') or 'nothing'}, but an IDX file of "
                    f"{'images' if n_axes == 3 else 'labels'} begins with 00 00 08 0{n_axes}; replace it"
                )
            if len(header) < 4 + 4 * n_axes:
                raise DataError(f"{path.name} ends inside its header; get a complete copy")
            shape = struct.unpack(f">{n_axes}I", header[4:])
            return _fill(stream, shape, np.dtype(np.uint8), stored, compressed, path.name).reshape(shape)
    except UNREADABLE as problem:
        raise DataError(f"{path.name} cannot be read ({problem}); get a complete copy") from None


def read_npz(path: Path, names: tuple[str, ...]) -> dict[str, NDArray[np.generic]]:
    """Read integer arrays from an npz archive.

    Parameters
    ----------
    path : Path
        An existing file.
    names : tuple of str
        Arrays wanted.

    Returns
    -------
    dict of ndarray
        The arrays by name.

    Raises
    ------
    DataError
        If the archive is damaged, or an array is no plain array of integers or larger than the archive can hold.
    """
    stored = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _read_member(archive, name, stored) for name in names}
    except UNREADABLE as problem:
        raise DataError(f"the archive cannot be read ({problem}); get a complete copy") from None


def names_in_npz(path: Path) -> frozenset[str]:
    """Return the names of the arrays in an npz archive, from its directory alone."""
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(name.removesuffix(".npy") for name in archive.namelist())
    except UNREADABLE as problem:
        raise DataError(
            f"it is no npz archive ({problem}); give a folder of IDX files or an npz file with x_train, y_train, "
            "x_test, y_test or with images, labels"
        ) from None


def _read_member(archive: zipfile.ZipFile, name: str, stored: int) -> NDArray[np.generic]:
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{name} is packed by another method than NumPy's; write it with numpy.savez_compressed")
    with cast(BinaryIO, archive.open(member)) as stream:
        dtype, fortran_order, shape, header_size = _npy_header(stream, name)
        promised = math.prod(shape) * dtype.itemsize
        if member.file_size != header_size + promised:
            raise DataError(
                f"the header of {name} promises {promised} bytes, but the archive holds "
                f"{member.file_size - header_size}; get a complete copy"
            )
        flat = _fill(stream, shape, dtype, stored, member.compress_type == zipfile.ZIP_DEFLATED, name)
    return np.ascontiguousarray(flat.reshape(shape, order="F" if fortran_order else "C"))


def _npy_header(stream: BinaryIO, name: str) -> tuple[np.dtype[np.generic], bool, tuple[int, ...], int]:
    start = stream.read(8)
    width = {b"\x93NUMPY\x01\x00": 2, b"\x93NUMPY\x02\x00": 4, b"\x93NUMPY\x03\x00": 4}.get(start)
    if width is None:
        raise DataError(f"{name} is not in NumPy's format; write it with numpy.savez_compressed")
    length = int.from_bytes(stream.read(width), "little")
    found = NPY_HEADER.fullmatch(stream.read(length).decode("latin-1")) if length <= 1000 else None
    if found is None or found[1].lstrip("<>|=")[0] not in "iu":
        raise DataError(
            f"{name} is not a plain array of integers (object arrays are never unpickled); store it as uint8"
        )
    shape = tuple(int(axis.rstrip("L")) for axis in found[3].replace(" ", "").split(",") if axis)
    return np.dtype(found[1]), found[2] == "True", shape, 8 + width + length


def _fill(
    stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[np.generic], stored: int, compressed: bool, name: str
) -> NDArray[np.generic]:
    """Read exactly the promised number of bytes into one flat array."""
    promised = math.prod(shape) * dtype.itemsize
    can_hold = stored * (DEFLATE_RATIO if compressed else 1)
    if promised > can_hold:
        raise DataError(
            f"the header of {name} promises {promised} bytes, more than a file of {stored} bytes can hold; "
            "get a complete copy"
        )
    if promised > LARGEST_ARRAY:
        raise DataError(f"{name} would take {promised} bytes, but at most {LARGEST_ARRAY} are allowed; keep fewer rows")
    buffer = np.empty(promised, np.uint8)
    filled = 0
    while filled < promised:
        chunk = stream.read(min(CHUNK, promised - filled))
        if not chunk:
            raise DataError(f"{name} ends after {filled} of {promised} promised bytes; get a complete copy")
        buffer[filled : filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
        filled += len(chunk)
    if stream.read(1):  # at the end of an archive this also verifies its checksum
        raise DataError(f"{name} holds more than the {promised} bytes that its header promises; get an undamaged copy")
    return buffer.view(dtype)
