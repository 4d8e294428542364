"""Provenance: plain JSON that says how to make a result again, and nothing about the machine's owner."""

import getpass
import hashlib
import json
import math
import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from weightdecay.errors import InvalidInput
from weightdecay.validate import Dataset, Part, load_mnist
from weightdecay.validate.provenance import code_checksum, provenance


@pytest.fixture(scope="module")
def toy():
    part = Part(np.arange(12, dtype=np.uint8).reshape(3, 4), np.arange(3, dtype=np.uint8))
    return Dataset("my toys", part, part, part, image_shape=(2, 2), pixel_scale=1 / 255)


def told(data=None, **changes):
    given = {"experiment": "founding-question", "scale": "quick", "seed": 7, "parameters": {"lr": 0.1}, "data": data}
    return provenance(**given | changes)


def test_everything_is_plain_json_and_survives_a_round_trip(toy):
    parameters = {"lr": np.float64(0.1), "layers": (784, 30, 10), "widths": np.array([30, 100]), "bad": math.nan}
    record = told(toy, parameters=parameters)
    assert record == json.loads(json.dumps(record, allow_nan=False))
    assert {"lr": 0.1, "layers": [784, 30, 10], "widths": [30, 100], "bad": None} == record["parameters"]


def test_the_data_set_is_named_with_what_identifies_it(toy):
    expected = {"name": "my toys", "checksum": toy.checksum, "n_train": 3, "pixel_scale": 1 / 255}
    assert expected == told(toy)["data"]
    assert told(None)["data"] is None


def test_versions_are_those_installed():
    versions = told()["versions"]
    assert platform.python_version() == versions.pop("python")
    assert {
        name: metadata.version(name) for name in ("weightdecay", "numpy", "scipy", "sympy", "matplotlib")
    } == versions


def test_the_command_rebuilds_the_run(toy):
    command = told(toy, options={"batch_size": 20, "hidden": [30, 100], "no_cache": True, "jobs": None})["command"]
    expected = (
        "weightdecay validate founding-question --scale quick --seed 7 --data 'my toys' --batch-size 20 "
        "--hidden 30 --hidden 100 --no-cache"
    )
    assert expected == command
    assert "my toys" in shlex.split(command)


def test_the_command_for_the_built_in_digits_names_no_data():
    expected = "weightdecay validate founding-question --scale full"
    assert expected == told(load_mnist(), scale="full", seed=None)["command"]


def test_no_path_and_no_user_is_told(toy):
    text = json.dumps(told(toy))
    for private in (str(Path.home()), str(Path.cwd()), sys.prefix, f'"{getpass.getuser()}"', platform.node()):
        assert private not in text


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(InvalidInput, match="cannot be written as JSON .*; give numbers and strings"):
        told(parameters={"lr": object()})


def test_an_unknown_scale_is_refused():
    with pytest.raises(InvalidInput, match="scale is 'fast', but must be one of: quick, full"):
        told(scale="fast")


# the checksum of the code


@pytest.fixture
def copied_package(tmp_path, monkeypatch):
    for room in ("theory", "simulate"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "one.py").write_bytes(b"a = 1\n")
        (tmp_path / room / "two.py").write_bytes(b"b = 2\n")
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    return tmp_path


@pytest.mark.usefixtures("copied_package")
def test_the_code_checksum_is_of_names_lengths_and_bytes():
    expected = hashlib.sha256(b"theory/one.py 6\na = 1\ntheory/two.py 6\nb = 2\n").hexdigest()
    assert expected == code_checksum("theory")


@pytest.mark.usefixtures("copied_package")
def test_the_order_of_rooms_does_not_matter():
    assert code_checksum("theory", "simulate") == code_checksum("simulate", "theory", "theory")


@pytest.mark.parametrize(
    "change",
    [
        lambda room: (room / "one.py").write_bytes(b"a = 2\n"),
        lambda room: (room / "one.py").rename(room / "three.py"),
        lambda room: (room / "three.py").write_bytes(b""),
        lambda room: (room / "two.py").unlink(),
    ],
)
def test_any_change_of_a_module_changes_the_checksum(copied_package, change):
    before = code_checksum("theory", "simulate")
    change(copied_package / "theory")
    assert before != code_checksum("theory", "simulate")


def test_other_files_and_other_line_ends_do_not_change_it(copied_package):
    before = code_checksum("theory")
    (copied_package / "theory" / "one.py").write_bytes(b"a = 1\r\n")
    (copied_package / "theory" / "notes.txt").write_bytes(b"x")
    (copied_package / "simulate" / "one.py").write_bytes(b"x")
    assert before == code_checksum("theory")


def test_the_checksum_is_the_same_in_another_process():
    program = "from weightdecay.validate.provenance import code_checksum; print(code_checksum('theory', 'validate'))"
    output = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert code_checksum("theory", "validate") == output.strip()


def test_an_unknown_room_and_no_room_are_refused():
    with pytest.raises(
        InvalidInput, match="room is 'kitchen', but must be one of: figures, simulate, theory, validate"
    ):
        code_checksum("kitchen")
    with pytest.raises(InvalidInput, match="no room is named; name at least one of"):
        code_checksum()
