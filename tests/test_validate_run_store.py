"""The store of finished runs: what is written comes back to the bit, and nothing else ever does."""

import errno
import importlib
import json
import os
import subprocess
import sys
import textwrap
import zipfile
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from weightdecay import validate
from weightdecay.errors import DataError, InvalidInput, OutputError, StoreWarning
from weightdecay.simulate import Linear
from weightdecay.validate import (
    Dataset,
    Mlp,
    Part,
    Recording,
    Run,
    RunStore,
    TrainingConfig,
    code_closure,
    compute_all,
    keeping_runs,
    result_files,
    run_store,
)
from weightdecay.validate.optimizers import Adam
from weightdecay.validate.result_files import digest, pack, unpack

HERE = __name__


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    part = Part(rng.integers(0, 255, size=(120, 9), dtype=np.uint8), rng.integers(10, size=120))
    return Dataset("toy", part, part, part, image_shape=(3, 3))


def run(seed=0, lmbda=1.0, **others):
    config = TrainingConfig.nielsen(layers=[9, 4, 10], eta=0.5, lmbda=lmbda, batch_size=10, epochs=1, **others)
    return Run(config, np.random.SeedSequence(seed), Recording())


@dataclass(frozen=True)
class Own:
    """A dataclass of the job's own module."""

    number: float
    array: np.ndarray


@dataclass(frozen=True)
class Counting:
    """A job that leaves a mark whenever it is done."""

    mark: str
    number: int

    def check(self, data):
        pass

    def start(self, data):
        del data
        with Path(self.mark).open("a") as file:
            file.write(f"{self.number}\n")
        return Own(self.number / 3, np.full(5, self.number, dtype=np.float32))


def n_done(mark):
    return len(mark.read_text().split()) if mark.exists() else 0


def same(left, right):
    return pack(left, {}, HERE) == pack(right, {}, HERE)


# files


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | arrays.arrays(st.sampled_from(["f4", "f8", "i8", "u1", "?", "U3"]), arrays.array_shapes(min_dims=0, min_side=0)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.tuples(st.integers()), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=150)
@given(PLAIN)
def test_what_is_packed_comes_back_the_same(value):
    header, found = unpack(pack(value, {"key": "k"}))
    assert {"key": "k"} == header
    assert type(value) is type(found)
    assert same(value, found)
    assert repr(value) == repr(found)


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(6.0)[::2],
        np.array(3.0),
        np.empty((0, 3)),
        np.array([np.nan, np.inf, -0.0]),
        np.array([1, 2], dtype=">i4"),
    ],
)
def test_arrays_keep_type_shape_bits_and_order_of_axes(array):
    _, found = unpack(pack(array, {}))
    assert (array.dtype, array.shape, array.tobytes()) == (found.dtype, found.shape, found.tobytes())
    assert array.flags.f_contiguous == found.flags.f_contiguous or not array.flags.c_contiguous
    assert found.flags.writeable


def test_numbers_of_numpy_stay_numbers_of_numpy():
    _, found = unpack(pack((np.float64(0.1), np.int8(3)), {}))
    assert [np.float64, np.int8] == [type(each) for each in found]


def test_networks_configurations_and_records_come_back(data):
    config = TrainingConfig.pytorch(
        layers=[9, 4, 10], lr=Linear(0.1, 0.0, 5), weight_decay=0.01, batch_size=10, epochs=1, optimizer=Adam(beta1=0.8)
    )
    job = Run(config, np.random.SeedSequence(5, spawn_key=(1, 2)), Recording(every_step=True, motion=True))
    record = job.start(data)
    _, (job_again, again) = unpack(pack((job, record), {}))
    assert job.config == job_again.config
    assert (5, (1, 2)) == (job_again.seed.entropy, job_again.seed.spawn_key)
    assert isinstance(again.final, Mlp)
    assert same(record, again)


def test_a_file_is_an_ordinary_npz_without_objects():
    content = pack({"norm_squared": np.arange(3.0)}, {})
    with np.load(BytesIO(content), allow_pickle=False) as archive:
        assert {"structure", "array_0"} == set(archive.files)
        assert [0.0, 1.0, 2.0] == archive["array_0"].tolist()


def test_every_flipped_bit_is_found():
    content = pack({"array": np.arange(4, dtype=np.uint8)}, {"key": "k"})
    for place in range(len(content)):
        for bit in (1, 128) if place % 7 else (1 << b for b in range(8)):
            damaged = bytearray(content)
            damaged[place] ^= bit
            with pytest.raises(DataError, match="its checksum is wrong"):
                unpack(bytes(damaged))


def test_every_shortened_and_lengthened_file_is_found():
    content = pack({"array": np.arange(4, dtype=np.uint8)}, {"key": "k"})
    for length in range(len(content)):
        with pytest.raises(DataError, match="its checksum is wrong"):
            unpack(content[:length])
    for more in (b"\0", content):
        with pytest.raises(DataError, match="its checksum is wrong"):
            unpack(content + more)


def signed(content):
    """Return content with the checksum that it should have: what somebody makes who means to."""
    import hashlib

    return content[:-64] + hashlib.sha256(content[:-64]).hexdigest().encode()


def forged(structure, **members):
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w", members.pop("method", zipfile.ZIP_STORED)) as archive:
        archive.comment = b"0" * 64
        structure = np.frombuffer(json.dumps(structure).encode(), np.uint8)
        for name, array in {"structure": structure, **members}.items():
            content = BytesIO()
            np.lib.format.write_array(content, array) if isinstance(array, np.ndarray) else content.write(array)
            archive.writestr(f"{name}.npy", content.getvalue())
    return signed(stream.getvalue())


def test_nothing_is_unpickled_built_or_allocated_that_a_file_asks_for():
    promise = BytesIO()
    np.lib.format.write_array_header_1_0(promise, {"descr": "<f8", "fortran_order": False, "shape": (10**13,)})
    array = {"header": {}, "value": {"array": 0}}
    for content, message in [
        (forged(array, array_0=np.array([{}], dtype=object)), "another type or size"),
        (forged(array, array_0=promise.getvalue()), "another type or size"),
        (forged(array, method=zipfile.ZIP_DEFLATED, array_0=np.zeros(10)), "compressed"),
        (
            forged({"header": {}, "value": {"class": ["weightdecay.__main__", "X"], "fields": {}}}),
            "none of the package's",
        ),
        (forged({"header": {}, "value": {"class": ["os", "system"], "fields": {}}}), "none of the package's"),
        (
            forged({"header": {}, "value": {"class": ["weightdecay.validate.mlp", "cost"], "fields": {}}}),
            "no dataclass",
        ),
        (forged({"header": {}, "value": {"class": ["weightdecay.validate.no_such", "X"], "fields": {}}}), "understood"),
        (forged({"header": {}, "value": {"class": ["weightdecay.validate.mlp", "Mlp"], "fields": {}}}), "understood"),
        (forged({"header": {}, "value": {"no such kind": 1}}), "understood"),
        (forged(array), "understood"),
        (signed(b"PK" + b"0" * 200), "understood"),
    ]:
        with pytest.raises(DataError, match=message):
            unpack(content)


@pytest.mark.parametrize("value", [lambda: 0, {1, 2}, object(), np.array([{}], dtype=object), 1j, Own])
def test_what_no_file_can_hold_is_named(value):
    with pytest.raises(InvalidInput, match="a value is of the type .*, but only numbers, strings, None, arrays"):
        pack({"value": value}, {})


def test_a_value_larger_than_a_file_may_be_is_refused(monkeypatch):
    monkeypatch.setattr(result_files, "LARGEST_FILE", 1000)
    with pytest.raises(InvalidInput, match="takes 8.* bytes, but a file holds at most 1000; keep less of it"):
        pack(np.zeros(1000), {})


# what tells runs apart


def test_the_key_tells_every_difference_of_job_and_data(data):
    other_scale = Dataset("toy", data.train, data.validation, data.test, data.image_shape, pixel_scale=1 / 255)
    other_split = Dataset(
        "toy",
        *(Part(p.images[:k], p.labels[:k]) for p, k in zip((data.train,) * 3, (100, 120, 120), strict=True)),
        (3, 3),
    )
    other_name = Dataset("other", data.train, data.validation, data.test, data.image_shape)
    initial = Mlp.initialize(run().config, 1)
    moved = Mlp(tuple(np.nextafter(w, 2) for w in initial.weights), initial.biases)
    jobs = [run(), run(seed=1), run(lmbda=1.0000000000000002), run(dtype="float64"), run(optimizer=Adam())]
    jobs += [
        replace(run(), initial=initial),
        replace(run(), initial=moved),
        replace(run(), record=Recording(pulls=False)),
    ]
    keys = [run_store.identity(job, data)["key"] for job in jobs]
    keys += [run_store.identity(run(), each)["key"] for each in (other_scale, other_split, other_name)]
    assert len(keys) == len(set(keys))
    assert keys[0] == run_store.identity(run(), data)["key"]


def test_the_key_is_the_same_in_another_process():
    program = textwrap.dedent("""
        import numpy as np
        from weightdecay.validate import Recording, Run, TrainingConfig
        from weightdecay.validate.result_files import digest
        config = TrainingConfig.nielsen(layers=[9, 4, 10], eta=0.5, lmbda=1.0, batch_size=10, epochs=1)
        print(digest(Run(config, np.random.SeedSequence(0), Recording())))
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert digest(run()) == done.stdout.strip()


def test_a_run_depends_on_the_trainer_and_not_on_experiments_or_the_store():
    modules = {name.removeprefix("weightdecay.") for name in code_closure.closure(Run.__module__)}
    assert {"validate.training", "validate.training_step", "validate.mlp", "simulate.schedules"} <= modules
    assert {"theory.conventions", "theory.derivation", "errors"} <= modules  # lmbda is converted there
    assert not {"validate.sweep", "validate.run_store", "validate.founding_question", "theory.norm_flow"} & modules
    assert len(modules) < 40


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return a function that writes modules of a package and gives the checksum of one of them."""
    folder = tmp_path / "madeup"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "madeup", raising=False)

    def checksum(module, **sources):
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(textwrap.dedent(source))
        for cached in (code_closure.closure_checksum, code_closure.closure, code_closure._needed, code_closure._tree,
                       code_closure._path):  # fmt: skip
            cached.cache_clear()
        importlib.invalidate_caches()
        return code_closure.closure_checksum(f"madeup.{module}")

    return checksum


def test_a_change_anywhere_below_is_seen_and_one_elsewhere_is_not(package):
    sources = {
        "__init__": "from .passed_on import value as renamed\nfrom .unused import other\n",
        "passed_on": "from . import deep\nvalue = deep.x\n",
        "deep": "x = 1\n",
        "late": "y = 1\n",
        "unused": "other = 1\n",
        "job": '"""What it is."""\nfrom madeup import renamed\n\ndef start():\n    from .late import y\n    return y\n',
    }
    first = package("job", **sources)
    assert first == package("job", unused="other = 2\n")
    assert first == package("job", deep="# a comment\nx  =  1\n")
    assert first == package("job", job=sources["job"].replace("What it is", "Another docstring"))
    for changed in ({"deep": "x = 2\n"}, {"late": "y = 2\n"}, {"job": sources["job"].replace("return y", "return -y")}):
        assert first != package("job", **changed)
        assert first == package("job", **sources)


def test_derivations_asked_for_by_name_count_and_all_of_theory_where_the_name_is_computed(package):
    package("literal", __init__="", literal='from weightdecay.theory import derive\nderive("norm-flow")\n')
    literal = code_closure.closure("madeup.literal")
    assert "weightdecay.theory.norm_flow" in literal
    assert "weightdecay.theory.collapse" not in literal
    package("computed", computed="from weightdecay import theory\ndef f(name):\n    return theory.derive(name)\n")
    assert {"weightdecay.theory.norm_flow", "weightdecay.theory.collapse"} <= set(
        code_closure.closure("madeup.computed")
    )


# the folder


def test_a_run_that_is_kept_is_not_made_again_and_is_the_same(data, tmp_path):
    mark = tmp_path / "mark"
    jobs = [Counting(str(mark), number) for number in range(4)]
    bare = compute_all(jobs, data, n_jobs=1)
    store = RunStore(tmp_path / "runs")
    with keeping_runs(store):
        first, second = (compute_all(jobs, data, n_jobs=1) for _ in range(2))
    assert 8 == n_done(mark)
    assert all(same(*results) for results in zip(bare, first, strict=True))
    assert all(same(*results) for results in zip(first, second, strict=True))
    assert isinstance(second[0], Own)
    assert 4 == store.n_kept == len(list(store.folder.iterdir()))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: content[: len(content) // 2], "its checksum is wrong"),
        (lambda content: content[:100] + bytes([content[100] ^ 4]) + content[101:], "its checksum is wrong"),
        (lambda _: b"", "its checksum is wrong"),
        (lambda _: signed(b"PK" + bytes(200)), "understood"),
    ],
)
def test_a_damaged_file_is_told_and_replaced(damage, reason, data, tmp_path):
    mark = tmp_path / "mark"
    job = Counting(str(mark), 1)
    with keeping_runs(RunStore(tmp_path / "runs")):
        first = compute_all([job], data, n_jobs=1)
        (path,) = (tmp_path / "runs").iterdir()
        content = path.read_bytes()
        path.write_bytes(damage(content))
        with pytest.warns(StoreWarning, match=f"1 kept run is made again, of .*runs: .*{reason}"):
            second = compute_all([job], data, n_jobs=1)
    assert 2 == n_done(mark)
    assert same(first, second)
    assert content == path.read_bytes()


@pytest.mark.parametrize("what", ["code", "numpy", "scipy", "format"])
def test_a_run_of_another_version_is_told_and_replaced(what, data, tmp_path, monkeypatch):
    mark = tmp_path / "mark"
    jobs = [Counting(str(mark), number) for number in range(2)]
    true = run_store.identity
    with keeping_runs(RunStore(tmp_path / "runs")):
        monkeypatch.setattr("weightdecay.validate.sweep.identity", lambda *given: {**true(*given), what: "another"})
        compute_all(jobs, data, n_jobs=1)
        monkeypatch.undo()
        with pytest.warns(
            StoreWarning, match="2 kept runs are made again, of .*: it was made by another version of the"
        ):
            compute_all(jobs, data, n_jobs=1)
        compute_all(jobs, data, n_jobs=1)
    assert 4 == n_done(mark)
    assert 2 == len(list((tmp_path / "runs").iterdir()))


EDITED = """
import sys
from dataclasses import dataclass

import numpy as np

from weightdecay import validate
from madeup.factor import factor


@dataclass(frozen=True)
class Job:
    number: int

    def check(self, data):
        pass

    def start(self, data):
        return factor * self.number


def main():
    part = validate.Part(np.ones((6, 1), np.uint8), np.arange(6))
    data = validate.Dataset("toy", part, part, part, image_shape=(1, 1))
    with validate.keeping_runs(validate.RunStore(sys.argv[1])):
        print(validate.compute_all([Job(1), Job(2)], data, n_jobs=1))
"""


def test_a_result_of_code_that_was_edited_since_is_never_given(tmp_path):
    folder = tmp_path / "madeup"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "job.py").write_text(EDITED)

    def answer(factor):
        (folder / "factor.py").write_text(f"factor = {factor}\n")
        command = [sys.executable, "-B", "-c", "from madeup.job import main; main()", str(tmp_path / "runs")]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
        return done.stdout.strip(), "2 kept runs are made again" in done.stderr

    assert ("[10, 20]", False) == answer(10)
    assert ("[10, 20]", False) == answer("10  # the same")
    assert ("[30, 60]", True) == answer(30)


def test_a_file_of_no_kind_in_the_place_of_a_run_is_told(data, tmp_path):
    job = Counting(str(tmp_path / "mark"), 1)
    store = RunStore(tmp_path / "runs")
    (store.folder / f"{run_store.identity(job, data)['key']}.npz").mkdir()
    with keeping_runs(store), pytest.warns(StoreWarning) as told:
        compute_all([job], data, n_jobs=1)
    assert re_all(told, "it is no file of at most", "a finished run could not be kept in .* directory")


def re_all(told, *patterns):
    import re

    messages = [str(each.message) for each in told]
    return len(messages) == len(patterns) and all(map(re.search, patterns, messages))


def test_a_full_disk_loses_no_finished_run_and_no_result(data, tmp_path, monkeypatch):
    mark = tmp_path / "mark"
    jobs = [Counting(str(mark), number) for number in range(6)]
    true = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: full() if n_done(mark) > 3 else true(file))

    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    store = RunStore(tmp_path / "runs")
    with keeping_runs(store):
        with pytest.warns(StoreWarning, match="could not be kept in .*runs .no space left on device") as told:
            results = compute_all(jobs, data, n_jobs=1)
        assert 1 == len(told)
        assert [0, 1, 2, 3, 4, 5] == [round(3 * result.number) for result in results]
        assert 3 == len(list(store.folder.iterdir()))  # no half-written file either
        monkeypatch.undo()
        assert all(map(same, results, compute_all(jobs, data, n_jobs=1)))
    assert 9 == n_done(mark)


def test_a_job_that_holds_a_function_is_told_and_done_every_time(data, tmp_path):
    config = TrainingConfig.pytorch(layers=[9, 10], lr=lambda _: 0.1, weight_decay=0, batch_size=10, epochs=1)
    job = Run(config, np.random.SeedSequence(0), Recording())
    with keeping_runs(RunStore(tmp_path)), pytest.warns(StoreWarning, match="a run is not kept: .*type .*function"):
        (record,) = compute_all([job], data, n_jobs=1)
    assert config is record.config
    assert [] == list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_to_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"runs cannot be kept in .*file/below \(.*\); name another folder"):
        RunStore(tmp_path / "file" / "below")
    with pytest.raises(InvalidInput, match="cache is 3, but must be a folder, 'default' for the user's cache, or None"):
        validate.run("founding-question", cache=3)


def test_a_folder_that_vanishes_under_way_costs_a_notice_and_no_result(data, tmp_path):
    store = RunStore(tmp_path / "runs")
    store.folder.rmdir()
    with keeping_runs(store), pytest.warns(StoreWarning, match="could not be kept"):
        assert 1 == len(compute_all([Counting(str(tmp_path / "mark"), 1)], data, n_jobs=1))


def test_what_a_killed_process_left_half_written_goes_after_a_day(tmp_path):
    old, young = tmp_path / ".old.1.2.part", tmp_path / ".young.1.2.part"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    RunStore(tmp_path)
    assert [young] == list(tmp_path.iterdir())


def test_nothing_is_kept_unless_asked_for(data, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    validate.run("founding-question", data=data, hidden=3, epochs=1, n_jobs=1)
    assert not (tmp_path / "cache").exists()
    validate.run("founding-question", data=data, hidden=3, epochs=1, n_jobs=1, cache="default")
    n_kept = len(list(run_store.default_folder().iterdir()))
    assert tmp_path / "cache" / "weightdecay" == run_store.default_folder()
    assert n_kept > 4


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/weightdecay"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/weightdecay"),
        ("linux", {}, "/home/me/.cache/weightdecay"),
        ("darwin", {"XDG_CACHE_HOME": "/x"}, "/home/me/Library/Caches/weightdecay"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/weightdecay/Cache"),
        ("win32", {}, "/home/me/AppData/Local/weightdecay/Cache"),
    ],
)
def test_the_default_folder_is_where_the_system_has_caches(platform, variables, expected, monkeypatch):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(run_store.sys, "platform", platform)
    assert expected == str(run_store.default_folder())
