"""Files are written all or none, and a folder that cannot be written to is found before anything is computed."""

import errno
import os
from pathlib import Path

import pytest

from weightdecay.errors import OutputError
from weightdecay.figures.files import output_folder, write_together


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_files_are_written_and_nothing_else_is_left(tmp_path):
    paths = write_together(tmp_path, {"a.txt": b"one", "b.txt": b"two"})
    assert (tmp_path / "a.txt", tmp_path / "b.txt") == paths
    assert [b"one", b"two"] == [path.read_bytes() for path in paths]
    assert ["a.txt", "b.txt"] == names(tmp_path)


def test_older_files_are_replaced(tmp_path):
    write_together(tmp_path, {"a.txt": b"old"})
    write_together(tmp_path, {"a.txt": b"new"})
    assert b"new" == (tmp_path / "a.txt").read_bytes()


@pytest.mark.parametrize("n_written", [0, 1])
def test_a_full_disk_is_one_sentence_and_leaves_the_older_files(tmp_path, monkeypatch, n_written):
    write_together(tmp_path, {"a.txt": b"old a", "b.txt": b"old b"})
    done = []

    def fsync(_):
        if len(done) == n_written:
            raise OSError(errno.ENOSPC, "No space left on device")
        done.append(1)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(
        OutputError, match=r"cannot be written \(no space left on device\); older files are as they were"
    ):
        write_together(tmp_path, {"a.txt": b"new a", "b.txt": b"new b"})
    assert [b"old a", b"old b"] == [(tmp_path / name).read_bytes() for name in names(tmp_path)]
    assert ["a.txt", "b.txt"] == names(tmp_path)


def test_a_folder_in_the_place_of_a_file_is_found_before_any_file_is_replaced(tmp_path):
    write_together(tmp_path, {"a.txt": b"old"})
    (tmp_path / "b.txt").mkdir()
    with pytest.raises(OutputError, match="b.txt is a folder"):
        write_together(tmp_path, {"a.txt": b"new", "b.txt": b"new"})
    assert b"old" == (tmp_path / "a.txt").read_bytes()


def test_an_interrupted_write_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_together(tmp_path, {"a.txt": b"new"})
    assert [] == names(tmp_path)


def test_a_folder_is_made_with_its_parents_and_left_empty(tmp_path):
    with output_folder(tmp_path / "one" / "two") as folder:
        assert folder.is_dir()
        assert [] == names(folder)


def test_a_folder_made_in_vain_goes_again_but_older_ones_stay(tmp_path):
    (tmp_path / "one").mkdir()

    def fail():
        with output_folder(tmp_path / "one" / "two" / "three"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [] == names(tmp_path / "one")


def test_a_folder_with_files_in_it_stays(tmp_path):
    def fail():
        with output_folder(tmp_path / "one") as folder:
            (folder / "kept.txt").write_text("")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert ["kept.txt"] == names(tmp_path / "one")


def test_a_path_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(
            OutputError, match=r"the folder .*file/below cannot be written to \(not a directory\); name another"
        ),
        output_folder(tmp_path / "file" / "below"),
    ):
        pass


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written to"), output_folder(tmp_path / "file"):
        pass


def test_a_folder_that_takes_no_files_is_refused_before_anything_is_computed(tmp_path, monkeypatch):
    import tempfile

    def refuse(**_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with (
        pytest.raises(OutputError, match=r"cannot be written to \(permission denied\)"),
        output_folder(tmp_path / "new"),
    ):
        pytest.fail("the folder was handed out")
    assert not Path(tmp_path / "new").exists()
