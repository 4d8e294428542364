"""The loaders: what they return, and that every kind of bad file is answered with one sentence."""

import gzip
import hashlib
import io
import os
import shutil
import struct
import tracemalloc
import zipfile
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightdecay.errors import DataError, InvalidInput
from weightdecay.validate import Dataset, Part, load_mnist
from weightdecay.validate import datasets as datasets_module

IDX_NAMES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def small_arrays(n_official=12, n_test=3, shape=(4, 3)):
    """Make images whose first pixel is dead and whose others tell their row, and labels that count on."""

    def images(n_rows, first):
        values = np.arange(first, first + n_rows)[:, None, None] + np.arange(1, shape[0] * shape[1] + 1).reshape(shape)
        values[:, 0, 0] = 0
        return values.astype(np.uint8)

    return {
        "x_train": images(n_official, 0),
        "y_train": (np.arange(n_official) % 10).astype(np.uint8),
        "x_test": images(n_test, 100),
        "y_test": (np.arange(n_test) % 10).astype(np.uint8),
    }


def idx_bytes(array, shape=None):
    shape = array.shape if shape is None else shape
    return bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape) + array.tobytes()


def npz_bytes(**arrays):
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def write_folder(folder, arrays, *, compress=False, dot="-"):
    folder.mkdir(exist_ok=True)
    for key, array in arrays.items():
        name = IDX_NAMES[key].replace("-idx", f"{dot}idx")
        if compress:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array)))
        else:
            (folder / name).write_bytes(idx_bytes(array))
    return folder


def assert_is_the_small_set(data, arrays):
    n_train = len(arrays["x_train"]) - len(arrays["x_train"]) // 6
    official = arrays["x_train"].reshape(len(arrays["x_train"]), -1)
    np.testing.assert_array_equal(official[:n_train], data.train.images)
    np.testing.assert_array_equal(official[n_train:], data.validation.images)
    np.testing.assert_array_equal(arrays["x_test"].reshape(len(arrays["x_test"]), -1), data.test.images)
    np.testing.assert_array_equal(arrays["y_train"][:n_train], data.train.labels)
    np.testing.assert_array_equal(arrays["y_train"][n_train:], data.validation.labels)
    np.testing.assert_array_equal(arrays["y_test"], data.test.labels)
    assert arrays["x_train"].shape[1:] == data.image_shape
    assert [0] == data.dead_pixels.tolist()


@pytest.fixture(scope="module")
def mnist():
    return load_mnist()


# the digits inside the package


def test_the_built_in_digits_are_mnist_in_the_books_split(mnist):
    assert ("MNIST", 50000, 10000, 10000) == (mnist.name, mnist.n_train, mnist.validation.n_rows, mnist.test.n_rows)
    assert (28, 28) == mnist.image_shape
    assert (784, 10, 1 / 256) == (mnist.n_inputs, mnist.n_classes, mnist.pixel_scale)
    counts = np.bincount(mnist.train.labels).tolist()
    assert [4932, 5678, 4968, 5101, 4859, 4506, 4951, 5175, 4842, 4988] == counts


def test_the_built_in_bytes_are_those_of_the_notice(mnist):
    parts = (mnist.train, mnist.validation, mnist.test)
    notice = Path(datasets_module.__file__).with_name("MNIST-NOTICE.md").read_text()
    for kind in ("images", "labels"):
        digest = hashlib.sha256(b"".join(getattr(part, kind).tobytes() for part in parts)).hexdigest()
        assert digest in notice


def test_dead_pixels_are_zero_in_every_training_image_and_no_other_pixel_is(mnist):
    alive = np.setdiff1d(np.arange(mnist.n_inputs), mnist.dead_pixels)
    assert 0 == mnist.train.images[:, mnist.dead_pixels].max()
    assert mnist.train.images[:, alive].max(axis=0).min() > 0


def test_images_stay_bytes_and_nothing_can_be_written(mnist):
    for part in (mnist.train, mnist.validation, mnist.test):
        assert np.uint8 == part.images.dtype == part.labels.dtype
        with pytest.raises(ValueError, match="read-only"):
            part.images[0, 0] = 1
        with pytest.raises(ValueError, match="read-only"):
            part.labels[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        mnist.dead_pixels[0] = 1
    with pytest.raises(FrozenInstanceError):
        mnist.name = "other"


def test_loading_holds_the_images_once_and_never_as_floats():
    tracemalloc.start()
    try:
        data = load_mnist()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    n_bytes = sum(part.images.nbytes for part in (data.train, data.validation, data.test))
    assert peak < 1.2 * n_bytes


def test_one_changed_pixel_inside_the_package_is_noticed(tmp_path, monkeypatch):
    images, labels = small_arrays()["x_train"], small_arrays()["y_train"]
    (tmp_path / "mnist.npz").write_bytes(npz_bytes(images=images, labels=labels))
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    monkeypatch.setattr(
        datasets_module, "MNIST_CHECKSUM", hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest()
    )
    assert "MNIST" == load_mnist().name
    images[3, 2, 1] ^= 1
    (tmp_path / "mnist.npz").write_bytes(npz_bytes(images=images, labels=labels))
    with pytest.raises(
        DataError, match=r"inside the package have checksum [0-9a-f]{64}, not MNIST's; install it again"
    ):
        load_mnist()


# other sources


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("dot", ["-", "."])
def test_a_folder_of_idx_files_is_read(tmp_path, compress, dot):
    arrays = small_arrays()
    data = load_mnist(write_folder(tmp_path / "fashion", arrays, compress=compress, dot=dot))
    assert_is_the_small_set(data, arrays)
    assert "fashion" == data.name


def test_a_keras_archive_gives_the_same_data_as_the_idx_folder(tmp_path):
    arrays = small_arrays()
    (tmp_path / "keras.npz").write_bytes(npz_bytes(**arrays))
    from_archive = load_mnist(tmp_path / "keras.npz")
    from_folder = load_mnist(str(write_folder(tmp_path / "folder", arrays)))
    assert_is_the_small_set(from_archive, arrays)
    assert from_folder.checksum == from_archive.checksum
    assert "keras" == from_archive.name


def test_one_array_of_everything_is_split_in_seven_with_one_for_test_and_one_for_validation(tmp_path):
    arrays = small_arrays(n_official=70)
    (tmp_path / "own.npz").write_bytes(npz_bytes(images=arrays["x_train"], labels=arrays["y_train"]))
    data = load_mnist(tmp_path / "own.npz")
    assert (50, 10, 10) == (data.n_train, data.validation.n_rows, data.test.n_rows)
    np.testing.assert_array_equal(arrays["x_train"][60:].reshape(10, -1), data.test.images)


def test_without_test_files_the_test_part_is_empty(tmp_path):
    arrays = small_arrays()
    folder = write_folder(tmp_path / "half", {key: arrays[key] for key in ("x_train", "y_train")})
    data = load_mnist(folder)
    assert (10, 2, 0) == (data.n_train, data.validation.n_rows, data.test.n_rows)


def test_uncompressed_fortran_ordered_and_wide_integer_arrays_are_read(tmp_path):
    arrays = small_arrays()
    changed = arrays | {"x_train": np.asfortranarray(arrays["x_train"]), "y_train": arrays["y_train"].astype(">i8")}
    np.savez(tmp_path / "keras.npz", **changed)
    data = load_mnist(tmp_path / "keras.npz")
    assert_is_the_small_set(data, arrays)
    assert np.uint8 == data.train.labels.dtype


def test_the_checksum_is_that_of_image_bytes_then_label_bytes(tmp_path):
    arrays = small_arrays()
    data = load_mnist(write_folder(tmp_path / "f", arrays))
    told = b"".join(arrays[key].tobytes() for key in ("x_train", "x_test", "y_train", "y_test"))
    assert hashlib.sha256(told).hexdigest() == data.checksum


def test_the_pixel_scale_is_recorded_and_changes_no_pixel(tmp_path):
    folder = write_folder(tmp_path / "f", small_arrays())
    book, elsewhere = load_mnist(folder), load_mnist(folder, pixel_scale=1 / 255)
    assert (1 / 256, 1 / 255) == (book.pixel_scale, elsewhere.pixel_scale)
    assert book.checksum == elsewhere.checksum


# bad input


def one_sentence(caught):
    text = str(caught.value)
    assert text
    assert "\n" not in text
    return text


@pytest.mark.parametrize("pixel_scale", [0, -1 / 256, float("nan"), float("inf"), "1/256", None, True])
def test_an_impossible_pixel_scale_is_refused_before_anything_is_read(pixel_scale):
    with pytest.raises(InvalidInput, match="pixel_scale is .*, but must be a finite number above 0") as caught:
        load_mnist("nowhere", pixel_scale=pixel_scale)
    one_sentence(caught)


def test_what_is_no_path_is_refused():
    with pytest.raises(InvalidInput, match="path is 3, but must be the name of a folder or file"):
        load_mnist(3)


@pytest.mark.parametrize("path", ["nowhere", "no\0where", ""])
def test_a_missing_file_is_named(path, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(DataError, match="no such file or folder; check the name|has no file train-images-idx3-ubyte"):
        load_mnist(path)


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="no such file or folder"):
        load_mnist(tmp_path / "pipe")


@pytest.mark.parametrize("key", ["x_train", "y_train"])
def test_a_folder_without_a_training_file_says_which(tmp_path, key):
    folder = write_folder(tmp_path / "f", small_arrays())
    (folder / IDX_NAMES[key]).unlink()
    with pytest.raises(DataError, match=f"has no file {IDX_NAMES[key]}, plain or .gz; give the folder that has it"):
        load_mnist(folder)


def test_one_test_file_without_the_other_is_refused(tmp_path):
    folder = write_folder(tmp_path / "f", small_arrays())
    (folder / IDX_NAMES["y_test"]).unlink()
    with pytest.raises(DataError, match="one of the two t10k files; add the other or take both away"):
        load_mnist(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing, but an IDX file of images begins with 00 00 08 03"),
        (b"\x1f\x8b\x08\x00 rubbish", "begins with 1f 8b 08 00, but an IDX file of images begins with 00 00 08 03"),
        (
            idx_bytes(np.zeros(12, np.uint8)),
            "begins with 00 00 08 01, but an IDX file of images begins with 00 00 08 03",
        ),
        (idx_bytes(small_arrays()["x_train"])[:9], "ends inside its header"),
        (idx_bytes(small_arrays()["x_train"])[:-1], "promises 144 bytes, .*get a complete copy|ends after 143 of 144"),
        (idx_bytes(small_arrays()["x_train"], (13, 4, 3)), "ends after 144 of 156 promised bytes"),
        (idx_bytes(small_arrays()["x_train"]) + b"x", "holds more than the 144 bytes"),
        (
            idx_bytes(np.zeros(0, np.uint8), (2**32 - 1, 28, 28)),
            "promises 3367254359280 bytes, more than a file of 16 bytes",
        ),
        (idx_bytes(np.zeros((0, 4, 3), np.uint8)), "there are 0 images but 12 labels"),
        (idx_bytes(small_arrays()["x_train"][:11]), "there are 11 images but 12 labels; give each image one label"),
    ],
)
def test_a_bad_idx_file_is_answered_with_what_is_wrong(tmp_path, content, message):
    folder = write_folder(tmp_path / "f", small_arrays())
    (folder / IDX_NAMES["x_train"]).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_mnist(folder)
    assert "/f' as data: " in one_sentence(caught)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no gzip file at all", "cannot be read .*; get a complete copy"),
        (gzip.compress(idx_bytes(small_arrays()["x_train"]), mtime=0)[:-9], "cannot be read|ends after"),
        (gzip.compress(idx_bytes(small_arrays()["x_train"]) + bytes(1000), mtime=0), "holds more than the 144 bytes"),
        (
            gzip.compress(idx_bytes(np.zeros(0, np.uint8), (60000, 28, 28)), mtime=0),
            "promises 47040000 bytes, more than a file of",
        ),
    ],
)
def test_a_bad_compressed_idx_file_is_answered_with_what_is_wrong(tmp_path, content, message):
    folder = write_folder(tmp_path / "f", small_arrays(), compress=True)
    (folder / f"{IDX_NAMES['x_train']}.gz").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_mnist(folder)
    one_sentence(caught)


def test_a_compressed_bomb_is_not_unpacked(tmp_path):
    folder = write_folder(tmp_path / "f", small_arrays(), compress=True)
    bomb = gzip.compress(idx_bytes(small_arrays()["x_train"]) + bytes(50_000_000), compresslevel=1)
    (folder / f"{IDX_NAMES['x_train']}.gz").write_bytes(bomb)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="holds more than the 144 bytes"):
            load_mnist(folder)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"y_train": None},
            "the archive holds x_test, x_train, y_test; give one with x_train, y_train, x_test, y_test",
        ),
        (
            {"x_train": np.array([None] * 12)},
            "x_train is not a plain array of integers .object arrays are never unpickled",
        ),
        ({"x_train": np.zeros((12, 4, 3))}, "x_train is not a plain array of integers"),
        ({"x_train": np.zeros((12, 4, 3), np.int64)}, "the images are int64 of shape .*, but must be uint8"),
        ({"x_train": np.zeros((12, 4, 3), [("a", "u1")])}, "x_train is not a plain array of integers"),
        (
            {"x_train": np.zeros((12, 12), np.uint8)},
            r"images have shape \(12, 12\), but must be \(n_rows, rows, columns\)",
        ),
        (
            {"y_train": np.zeros((12, 1), np.uint8)},
            r"labels are uint8 of shape \(12, 1\), but must be integers of shape",
        ),
        ({"y_train": np.zeros(12)}, "y_train is not a plain array of integers"),
        ({"y_train": np.arange(12, dtype=np.uint8)}, "labels run from 0 to 11, but must be 0 to 9; renumber"),
        ({"y_train": np.full(12, -1)}, "labels run from -1 to -1, but must be 0 to 9"),
        ({"y_train": np.zeros(11, np.uint8)}, "there are 12 images but 11 labels"),
        ({"x_test": np.zeros((3, 5, 3), np.uint8)}, "the test images have 15 pixels, but must have 4 x 3"),
        (
            {"x_train": np.zeros((0, 4, 3), np.uint8), "y_train": np.zeros(0, np.uint8)},
            "no training or no validation image",
        ),
        ({"x_train": np.zeros((5, 4, 3), np.uint8), "y_train": np.zeros(5, np.uint8)}, "give at least 6 images"),
        ({"x_train": np.zeros((12, 0, 0), np.uint8), "x_test": np.zeros((3, 0, 0), np.uint8)}, "of at least one pixel"),
    ],
)
def test_a_bad_archive_is_answered_with_what_is_wrong(tmp_path, changes, message):
    arrays = {key: array for key, array in (small_arrays() | changes).items() if array is not None}
    np.savez_compressed(tmp_path / "keras.npz", **arrays)
    with pytest.raises(DataError, match=message) as caught:
        load_mnist(tmp_path / "keras.npz")
    one_sentence(caught)


@pytest.mark.parametrize("cut", [0, 1, 30, 200, -1])
def test_a_truncated_archive_is_refused(tmp_path, cut):
    (tmp_path / "keras.npz").write_bytes(npz_bytes(**small_arrays())[:cut])
    with pytest.raises(DataError, match="it is no npz archive .*; give a folder of IDX files or an npz file"):
        load_mnist(tmp_path / "keras.npz")


def member_archive(path, header, content, method=zipfile.ZIP_DEFLATED):
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("images.npy", head + content)
        archive.writestr("labels.npy", head + content)
    return path


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999,), }\n", "promises 99999999999 bytes"),
        (
            b"{'descr': '|u1', 'fortran_order': False, 'shape': (__import__('os'),), }\n",
            "not a plain array of integers",
        ),
        (b"{'descr': '|u1', 'fortran_order': False, 'shape': (9, -1), }\n", "not a plain array of integers"),
        (b" " * 1001, "not a plain array of integers"),
    ],
)
def test_a_lying_header_in_an_archive_is_refused(tmp_path, header, message):
    with pytest.raises(DataError, match=message):
        load_mnist(member_archive(tmp_path / "own.npz", header, b""))


def test_a_header_of_fifty_megabytes_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "own.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("images.npy", "labels.npy"):
            archive.writestr(name, b"\x93NUMPY\x02\x00" + struct.pack("<I", 50_000_000) + b" " * 50_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="images is not a plain array of integers"):
            load_mnist(tmp_path / "own.npz")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


def test_an_archive_bomb_is_not_unpacked(tmp_path):
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9, 1, 1), }\n"
    path = member_archive(tmp_path / "own.npz", header, bytes(50_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="promises 9 bytes, but the archive holds 50000000"):
            load_mnist(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


def test_an_array_of_more_than_two_gibibytes_is_refused_by_its_header(tmp_path, monkeypatch):
    monkeypatch.setattr("weightdecay.validate.data_files.LARGEST_ARRAY", 143)
    with pytest.raises(DataError, match="would take 144 bytes, but at most 143 are allowed; keep fewer rows"):
        load_mnist(write_folder(tmp_path / "f", small_arrays()))


def test_one_changed_pixel_in_an_uncompressed_archive_is_noticed(tmp_path):
    content = STORED.getvalue()
    place_of_pixels = content.index(small_arrays()["x_train"].tobytes())
    changed = content[: place_of_pixels + 5] + b"\xff" + content[place_of_pixels + 6 :]
    (tmp_path / "keras.npz").write_bytes(changed)
    with pytest.raises(DataError, match="archive cannot be read .*; get a complete copy"):
        load_mnist(tmp_path / "keras.npz")


def test_other_packing_methods_are_refused(tmp_path):
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9, 1, 1), }\n"
    with pytest.raises(DataError, match="packed by another method"):
        load_mnist(member_archive(tmp_path / "own.npz", header, bytes(9), zipfile.ZIP_LZMA))


def test_a_part_with_images_and_labels_of_different_number_cannot_be_made():
    with pytest.raises(DataError, match="there are 3 images but 2 labels"):
        Part(np.zeros((3, 4), np.uint8), np.zeros(2, np.uint8))


def test_a_data_set_without_training_images_cannot_be_made():
    full, empty = (
        Part(np.zeros((3, 4), np.uint8), np.zeros(3, np.uint8)),
        Part(np.zeros((0, 4), np.uint8), np.zeros(0, int)),
    )
    with pytest.raises(DataError, match="no training or no validation image"):
        Dataset("toy", empty, full, full, image_shape=(2, 2))


# nothing but an answer, whatever the bytes


def valid_or_refused(path):
    try:
        data = load_mnist(path)
    except DataError:
        return
    assert data.n_train > 0
    assert data.train.labels.max() < data.n_classes


KERAS = npz_bytes(**small_arrays())
STORED = io.BytesIO()
np.savez(STORED, **small_arrays())
IDX = idx_bytes(small_arrays()["x_train"])
GZ = gzip.compress(IDX, mtime=0)
FILES = {"keras.npz": KERAS, "stored.npz": STORED.getvalue(), "": IDX, ".gz": GZ}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("place")


def load_bytes(place, kind, content):
    """Put the bytes in the place of a file of that kind and load the set they belong to."""
    if kind.endswith(".npz"):
        path = place / kind
        path.write_bytes(content)
    else:
        path = write_folder(place / f"folder{kind}", small_arrays())
        (path / IDX_NAMES["x_train"]).unlink()
        (path / f"{IDX_NAMES['x_train']}{kind}").write_bytes(content)
    valid_or_refused(path)


@pytest.mark.parametrize("kind", FILES)
@given(content=st.binary(max_size=300))
def test_random_bytes_are_refused_or_valid(place, kind, content):
    load_bytes(place, kind, content)


@pytest.mark.parametrize("kind", FILES)
@given(data=st.data())
def test_a_truncated_file_is_refused_or_valid(place, kind, data):
    whole = FILES[kind]
    load_bytes(place, kind, whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize("kind", FILES)
@given(data=st.data())
def test_flipped_bits_are_refused_or_valid(place, kind, data):
    content = bytearray(FILES[kind])
    for position in data.draw(st.lists(st.integers(0, 8 * len(content) - 1), min_size=1, max_size=8)):
        content[position // 8] ^= 1 << position % 8
    load_bytes(place, kind, bytes(content))


@given(start=st.sampled_from([b"\0\0\x08\x03", b"\0\0\x08\x01"]), shape=st.lists(st.integers(0, 2**32 - 1), max_size=3))
def test_any_idx_header_is_refused_or_valid(place, start, shape):
    load_bytes(place, "", start + struct.pack(f">{len(shape)}I", *shape) + bytes(36))


def test_an_unchanged_small_file_of_each_kind_is_valid(place):
    for kind, content in FILES.items():
        load_bytes(place, kind, content)
    shutil.rmtree(place)
    place.mkdir()
