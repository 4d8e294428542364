"""The index of a folder lists its figures with their captions, and costs nobody a file."""

import json
import re

import numpy as np
import pytest

from weightdecay import figures
from weightdecay.errors import DataError
from weightdecay.figures import gallery_index
from weightdecay.figures.gallery_index import INDEX, MARK, REFERENCES, index, write_index

ID = "norm-trajectory"


@pytest.fixture
def folder(tmp_path):
    report = figures.make(ID, lr=0.1, weight_decay=0.1, n_steps=100, n_weights=100, radial_pull=0.1)
    figures.save(report, ID, tmp_path)
    document = json.loads((tmp_path / f"{ID}.json").read_text())
    other = document | {
        "id": "founding-question",
        "title": "A_second <figure>",
        "comparisons": [{"quantity": "size|of layer", "passed": False}, {"quantity": "floor", "passed": True}],
        "quotation": "It was outside.",
        "provenance": document["provenance"] | {"data": {"name": "MNIST"}},
    }
    (tmp_path / "founding-question.json").write_text(json.dumps(other))
    return tmp_path


def test_the_index_lists_every_figure_with_caption_and_files(folder):
    write_index(folder)
    text = (folder / INDEX).read_text()
    document = json.loads((folder / f"{ID}.json").read_text())
    assert ["founding-question", ID] == re.findall(r'<a id="([\w-]+)">', text)
    assert gallery_index.to_markdown(document["caption"]) in text
    linked = {name for name in re.findall(r"\]\(([\w.-]+)\)", text) if name.startswith(ID)}
    assert {f"{ID}.{suffix}" for suffix in ("pdf", "svg", "png", "csv", "json", "tex", "bib", "md")} == linked
    assert document["provenance"]["command"] in text


def test_the_index_marks_what_is_outside_its_tolerance(folder):
    text = index(folder)[INDEX].decode()
    assert r"| 1 of 2; **outside:** size\|of layer |" in text
    assert "| none has a tolerance |" in text
    assert r"A\_second \<figure\>" in text


def test_the_common_references_have_every_work_once(folder):
    write_index(folder)
    keys = re.findall(r"^@\w+\{(\w+),", (folder / REFERENCES).read_text(), flags=re.MULTILINE)
    assert len(keys) == len(set(keys))
    assert {*figures.references(ID, ""), *figures.references("founding-question")} == set(keys)


def test_the_index_is_written_again_but_never_over_a_file_of_another_origin(folder):
    assert 2 == len(write_index(folder))
    assert 2 == len(write_index(folder))
    (folder / INDEX).write_text("# My notes\n")
    assert () == write_index(folder)
    assert "# My notes\n" == (folder / INDEX).read_text()


def test_the_check_says_when_the_index_is_stale(folder):
    (folder / "founding-question.json").unlink()
    write_index(folder)
    assert [True, True] == [one.passed for one in figures.check(folder)]
    (folder / INDEX).write_text(f"{MARK}\n")
    found = figures.check(folder)[-1]
    assert ("index", False) == (found.figure_id, found.passed)
    assert INDEX in found.sentence


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff\xfe", b'{"title": 1}'])
def test_a_json_that_is_no_figure_s_is_named(folder, content):
    (folder / f"{ID}.json").write_bytes(content)
    with pytest.raises(DataError, match=rf"{ID}\.json is no json of a saved figure; draw the figure again"):
        index(folder)


def test_an_empty_folder_has_an_empty_list(tmp_path):
    assert 0 == index(tmp_path)[INDEX].decode().count("##")
    assert np.all([name in (INDEX, REFERENCES) for name in index(tmp_path)])
