"""Data sets of MNIST's form: the digits inside the package, IDX folders, npz files.

Images stay unsigned bytes; whoever computes multiplies the few rows at hand by `pixel_scale`.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, InvalidInput, check_positive
from .data_files import names_in_npz, read_idx, read_npz

__all__ = ["Dataset", "Part", "load_mnist"]

N_CLASSES = 10  # the networks of the experiments have ten outputs
# of the image bytes, then the label bytes, of all 70000 rows
MNIST_CHECKSUM = "c2069063c1105f2bf96266aef1ff68c6e13bdda7a54e37bf19c16f1db24efc83"
KERAS_NAMES = ("x_train", "y_train", "x_test", "y_test")


@dataclass(frozen=True, eq=False)
class Part:
    """Hold the images and labels of one part of a data set.

    Parameters
    ----------
    images : (n_rows, n_inputs) ndarray of uint8
        Pixel values 0 to 255, one image a row.
    labels : (n_rows,) ndarray of integers
        Classes 0 to 9; kept as uint8.

    Raises
    ------
    DataError
        If type, shape or range is another, or images and labels differ in number.

    Notes
    -----
    The arrays become read-only views: nothing is copied.

    Examples
    --------
    >>> Part(np.zeros((2, 784), np.uint8), np.array([3, 7])).n_rows
    2
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def __post_init__(self) -> None:
        images, labels = np.ascontiguousarray(self.images), np.ascontiguousarray(self.labels)
        if images.dtype != np.uint8 or images.ndim != 2:
            raise DataError(
                f"the images are {images.dtype} of shape {images.shape}, but must be uint8 with one image a row; "
                "store pixel values 0 to 255"
            )
        if labels.dtype.kind not in "iu" or labels.ndim != 1:
            raise DataError(
                f"the labels are {labels.dtype} of shape {labels.shape}, but must be integers of shape (n_rows,); "
                "store class numbers"
            )
        if len(images) != len(labels):
            raise DataError(f"there are {len(images)} images but {len(labels)} labels; give each image one label")
        if labels.size and not 0 <= labels.min() <= labels.max() < N_CLASSES:
            raise DataError(
                f"the labels run from {labels.min()} to {labels.max()}, but must be 0 to {N_CLASSES - 1}; "
                "renumber the classes"
            )
        object.__setattr__(self, "images", _read_only(images))
        object.__setattr__(self, "labels", _read_only(labels.astype(np.uint8, copy=False)))

    @property
    def n_rows(self) -> int:
        """Number of images."""
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Hold a data set in three parts, complete on construction.

    Parameters
    ----------
    name : str
        What figures and provenance call it.
    train, validation, test : Part
        The test part may be empty.
    image_shape : tuple of int
        Rows and columns of an image.
    pixel_scale : float, optional
        Network input per unit of pixel value; 1/256 as in the book, 1/255 elsewhere.

    Attributes
    ----------
    checksum : str
        SHA-256 of the bytes of the images, then the labels, of the three parts in order.
    dead_pixels : (n_dead,) ndarray of int64
        Inputs that are zero in every training image.
    n_classes : int
        Number of classes, 10.

    Raises
    ------
    DataError
        If a part has no rows that needs some, or the parts do not fit together.
    InvalidInput
        If `pixel_scale` is no finite number above 0.

    Examples
    --------
    >>> part = Part(np.array([[0, 1], [0, 2]], np.uint8), np.array([0, 1]))
    >>> Dataset("toy", part, part, part, image_shape=(1, 2)).dead_pixels
    array([0])
    """

    name: str
    train: Part
    validation: Part
    test: Part
    image_shape: tuple[int, int]
    pixel_scale: float = 1 / 256
    checksum: str = field(init=False)
    dead_pixels: NDArray[np.int64] = field(init=False, repr=False)
    n_classes: int = field(init=False, default=N_CLASSES)

    def __post_init__(self) -> None:
        rows, columns = self.image_shape
        for name, part in (("training", self.train), ("validation", self.validation), ("test", self.test)):
            if part.images.shape[1] != rows * columns:
                raise DataError(
                    f"the {name} images have {part.images.shape[1]} pixels, but must have {rows} x {columns}; "
                    "give all parts images of one size"
                )
        if not (self.train.images.size and self.validation.images.size):
            raise DataError("there is no training or no validation image; give at least 6 images of at least one pixel")
        object.__setattr__(self, "pixel_scale", check_positive("pixel_scale", self.pixel_scale))
        parts = (self.train, self.validation, self.test)
        checksum = hashlib.sha256()
        for array in [part.images for part in parts] + [part.labels for part in parts]:
            checksum.update(array.data)
        object.__setattr__(self, "checksum", checksum.hexdigest())
        dead_pixels = np.flatnonzero(self.train.images.max(axis=0) == 0)
        object.__setattr__(self, "dead_pixels", _read_only(dead_pixels))

    @property
    def n_train(self) -> int:
        """Number of training images."""
        return self.train.n_rows

    @property
    def n_inputs(self) -> int:
        """Number of pixels of an image."""
        return int(self.train.images.shape[1])


def load_mnist(path: str | os.PathLike[str] | None = None, *, pixel_scale: float = 1 / 256) -> Dataset:
    """Return MNIST, or another data set of its form.

    Parameters
    ----------
    path : path-like, optional
        Without it, the digits that come with the package. Otherwise a folder of IDX files (plain or .gz, named as
        MNIST's own), an npz file with x_train, y_train, x_test, y_test (as Keras has it), or an npz file with images
        and labels. Images have the shape (n_rows, rows, columns) and the type uint8.
    pixel_scale : float, optional
        Network input per unit of pixel value.

    Returns
    -------
    Dataset
        Training, validation and test part.

    Raises
    ------
    DataError
        If the file or folder is missing, damaged or of another kind.
    InvalidInput
        If `pixel_scale` is no finite number above 0, or `path` is no path.

    Notes
    -----
    The last sixth of the official training rows validates: of 60000 rows, the first 50000 train. Where one array holds
    everything (images and labels), its last seventh is the test part before that. A folder with training files alone
    gives an empty test part.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
       Proc. IEEE 86, 1998 (citation key lecun1998).

    Examples
    --------
    >>> data = load_mnist()
    >>> data.n_train, data.validation.n_rows, data.test.n_rows, len(data.dead_pixels)
    (50000, 10000, 10000, 67)
    """
    pixel_scale = check_positive("pixel_scale", pixel_scale)
    if path is None:
        with resources.as_file(resources.files(__package__) / "mnist.npz") as built_in:
            data = _load(built_in, "MNIST", pixel_scale)
        if data.checksum != MNIST_CHECKSUM:
            raise DataError(
                f"the digits inside the package have checksum {data.checksum}, not MNIST's; install it again"
            )
        return data
    try:
        place = Path(path)
    except TypeError:
        raise InvalidInput(f"path is {path!r}, but must be the name of a folder or file") from None
    return _load(place, place.absolute().name.removesuffix(".npz"), pixel_scale)


def _load(path: Path, name: str, pixel_scale: float) -> Dataset:
    try:
        if path.is_dir():
            official, test, image_shape = _read_folder(path)
        elif path.is_file():
            official, test, image_shape = _read_archive(path)
        else:
            raise DataError("there is no such file or folder; check the name")
        train, validation = _split(official, official.n_rows // 6)
        return Dataset(name, train, validation, test, image_shape, pixel_scale)
    except DataError as problem:
        raise DataError(f"cannot use {str(path)!r} as data: {problem}") from None
    except OSError as problem:
        raise DataError(f"cannot use {str(path)!r} as data: {problem.strerror}; check its permissions") from None


def _read_folder(folder: Path) -> tuple[Part, Part, tuple[int, int]]:
    def find(start: str, axes: str) -> Path | None:
        names = (f"{start}{dot}{axes}-ubyte{gz}" for dot in "-." for gz in ("", ".gz"))
        return next((folder / name for name in names if (folder / name).is_file()), None)

    train_images, train_labels = find("train-images", "idx3"), find("train-labels", "idx1")
    test_images, test_labels = find("t10k-images", "idx3"), find("t10k-labels", "idx1")
    if train_images is None or train_labels is None:
        missing = "images-idx3" if train_images is None else "labels-idx1"
        raise DataError(f"the folder has no file train-{missing}-ubyte, plain or .gz; give the folder that has it")
    official, image_shape = _part(read_idx(train_images, 3), read_idx(train_labels, 1))
    if test_images is not None and test_labels is not None:
        return official, _part(read_idx(test_images, 3), read_idx(test_labels, 1))[0], image_shape
    if test_images is not None or test_labels is not None:
        raise DataError("the folder has one of the two t10k files; add the other or take both away")
    return *_split(official, 0), image_shape


def _read_archive(path: Path) -> tuple[Part, Part, tuple[int, int]]:
    found = names_in_npz(path)
    if found.issuperset(KERAS_NAMES):
        arrays = read_npz(path, KERAS_NAMES)
        official, image_shape = _part(arrays["x_train"], arrays["y_train"])
        return official, _part(arrays["x_test"], arrays["y_test"])[0], image_shape
    if found.issuperset(("images", "labels")):
        arrays = read_npz(path, ("images", "labels"))
        everything, image_shape = _part(arrays["images"], arrays["labels"])
        return *_split(everything, everything.n_rows // 7), image_shape
    raise DataError(
        f"the archive holds {', '.join(sorted(found)[:8]) or 'nothing'}; "
        f"give one with {', '.join(KERAS_NAMES)} or with images, labels"
    )


def _part(images: NDArray[Any], labels: NDArray[Any]) -> tuple[Part, tuple[int, int]]:
    if images.ndim != 3:
        raise DataError(f"the images have shape {images.shape}, but must be (n_rows, rows, columns); reshape them")
    n_rows, rows, columns = images.shape
    return Part(images.reshape(n_rows, rows * columns), labels), (rows, columns)


def _split(part: Part, n_last: int) -> tuple[Part, Part]:
    n_first = part.n_rows - n_last
    return Part(part.images[:n_first], part.labels[:n_first]), Part(part.images[n_first:], part.labels[n_first:])


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view
