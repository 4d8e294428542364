"""A saved figure is eight files that agree, read back as the same report, and come out the same every time."""

import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from importlib import metadata

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from weightdecay import figures, validate
from weightdecay.errors import DataError, InvalidInput, OutputError
from weightdecay.figures import bundle, pictures
from weightdecay.validate import Dataset, Part

ID = "founding-question"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module", autouse=True)
def code():
    """Hold the checksum of the other rooms, so that who edits them while the tests run does not make these fail."""
    checksum = validate.code_checksum("theory", "simulate", "validate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle, "code_checksum", lambda *_: checksum)
        yield


@pytest.fixture(scope="module")
def data():
    """Return small images that a network can tell apart, with two pixels that are always zero."""
    rng = np.random.default_rng(0)
    parts = []
    for n_rows in (205, 40, 40):
        labels = rng.integers(10, size=n_rows, dtype=np.uint8)
        images = rng.integers(0, 90, size=(n_rows, 16), dtype=np.uint8)
        images[np.arange(n_rows), labels] += 160
        images[:, [12, 15]] = 0
        parts.append(Part(images, labels))
    return Dataset("small", *parts, image_shape=(4, 4))


@pytest.fixture(scope="module")
def report(data):
    return figures.make(ID, data=data, n_jobs=1, hidden=6, epochs=4, lmbda=0.5, rng=3)


@pytest.fixture(scope="module")
def folder(report, tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    figures.save(report, ID, folder)
    return folder


@pytest.fixture
def copy(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.fixture(scope="module")
def document(folder):
    return json.loads((folder / f"{ID}.json").read_text())


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def read_back(folder):
    return figures.load(folder / f"{ID}.csv", folder / f"{ID}.json")


def test_a_figure_is_eight_files_a_table_in_two_forms_and_nothing_else(folder):
    eight = {f"{ID}.{suffix}" for suffix in ("pdf", "svg", "png", "csv", "json", "tex", "bib", "md")}
    assert eight | {f"{ID}-table.tex", f"{ID}-table.md"} == set(contents(folder))


@pytest.mark.parametrize(("width", "millimetres"), [("full", 183.0), ("column", 89.0), ("slide", 13.3 * 25.4)])
def test_the_three_pictures_have_the_width_asked_for(report, tmp_path, width, millimetres):
    figures.save(report, ID, tmp_path, width=width)
    points = millimetres / 25.4 * 72
    page = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ", (tmp_path / f"{ID}.pdf").read_bytes())
    assert points == pytest.approx(float(page[1]), abs=0.1)
    assert points == pytest.approx(
        float(ElementTree.parse(tmp_path / f"{ID}.svg").getroot().attrib["width"].removesuffix("pt")), abs=0.1
    )
    with Image.open(tmp_path / f"{ID}.png") as picture:
        assert points == pytest.approx(picture.width / picture.info["dpi"][0] * 72, abs=0.5)
    read = read_back(tmp_path)
    assert contents(tmp_path) == figures.redraw(read, ID)
    assert (width == "full") == ("--width" not in read.provenance["command"])


def test_a_missing_font_is_one_sentence_and_older_files_stay(report, folder, copy, monkeypatch):
    def none(*_, **__):
        raise ValueError

    monkeypatch.setattr(pictures, "findfont", none)
    with pytest.raises(OutputError, match="the font .* cannot be found; install Matplotlib again"):
        figures.save(report, ID, copy)
    assert contents(folder) == contents(copy)


def test_an_unknown_width_is_answered_before_anything_is_written(report, tmp_path):
    with pytest.raises(InvalidInput, match="width is 'wide', but must be one of"):
        figures.save(report, ID, tmp_path / "new", width="wide")
    assert not (tmp_path / "new").exists()


def test_no_picture_is_large(folder):
    assert [] == [path.name for path in folder.iterdir() if path.stat().st_size > 300_000]


def test_a_report_read_back_is_the_one_saved(report, folder):
    read = read_back(folder)
    given, got = report.to_dict(), read.to_dict()
    assert given["curves"] == got["curves"]
    assert given["comparisons"] == got["comparisons"]
    assert report.passed == read.passed
    made = {"command", "code_sha256", "width"}
    assert {k: v for k, v in given["provenance"].items() if k not in made} == {
        k: v for k, v in got["provenance"].items() if k not in made
    }


def test_a_report_read_back_draws_the_same_bytes(folder):
    assert contents(folder) == figures.redraw(read_back(folder), ID)


def test_another_process_draws_the_same_bytes(folder, tmp_path):
    program = (
        "import sys, pathlib\nfrom weightdecay import figures\n"
        "table, document, out = map(pathlib.Path, sys.argv[1:])\n"
        "for name, content in figures.redraw(figures.load(table, document), 'founding-question').items():\n"
        "    (out / name).write_bytes(content)\n"
    )
    where = [str(folder / f"{ID}.csv"), str(folder / f"{ID}.json"), str(tmp_path)]
    environment = os.environ | {"PYTHONHASHSEED": "12345", "SOURCE_DATE_EPOCH": "1"}
    subprocess.run([sys.executable, "-c", program, *where], check=True, env=environment)
    assert contents(folder) == contents(tmp_path)


def test_the_users_settings_neither_change_a_figure_nor_are_changed(folder):
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9, "svg.hashsalt": "other", "axes.facecolor": "red"}):
        before = dict(mpl.rcParams)
        drawn = figures.redraw(read_back(folder), ID)
        assert before == dict(mpl.rcParams)
    assert contents(folder) == drawn


def test_the_json_says_where_the_figure_comes_from(document, folder, data):
    assert ID == document["id"]
    assert hashlib.sha256((folder / f"{ID}.csv").read_bytes()).hexdigest() == document["csv_sha256"]
    told = document["provenance"]
    assert "weightdecay figures founding-question --scale quick --seed 3 --data small" in told["command"]
    assert "--hidden 6" in told["command"]
    assert bundle.figure_checksum(ID) == told["code_sha256"]
    assert data.checksum == told["data"]["checksum"]
    assert metadata.version("matplotlib") == told["versions"]["matplotlib"]
    assert not re.search(r"/(home|root|tmp|work)/", json.dumps(document))


def test_the_pictures_carry_their_origin(folder, document):
    origin = {"id": ID, "csv_sha256": document["csv_sha256"], "provenance": document["provenance"]}
    with Image.open(folder / f"{ID}.png") as png:
        assert origin == json.loads(png.text["Comment"])
        assert document["alt"] == png.text["Description"]
        assert "Software" not in png.text
        assert 183 == pytest.approx(25.4 * png.width / 300, abs=0.1)
        assert 300 == pytest.approx(png.info["dpi"][0], abs=0.1)
    told = ElementTree.parse(folder / f"{ID}.svg").find(".//{http://purl.org/dc/elements/1.1/}description")
    assert origin == json.loads(told.text)
    pdf = (folder / f"{ID}.pdf").read_bytes()
    assert b"csv_sha256" in pdf
    assert not re.search(rb"/(CreationDate|ModDate|Producer)\b", pdf)


def test_fonts_are_embedded_as_truetype(folder):
    pdf = (folder / f"{ID}.pdf").read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf


def test_the_svg_speaks_to_those_who_do_not_see_it(folder, document):
    root = ElementTree.parse(folder / f"{ID}.svg").getroot()
    assert "img" == root.get("role")
    spoken = [child for child in root if child.tag in (f"{SVG}title", f"{SVG}desc")]
    assert [document["title"], document["alt"]] == [child.text for child in spoken]
    assert " ".join(child.get("id") for child in spoken) == root.get("aria-labelledby")


def test_no_identifier_of_the_svg_is_used_twice(folder):
    identifiers = [element.get("id") for element in ElementTree.parse(folder / f"{ID}.svg").iter() if element.get("id")]
    assert len(identifiers) == len(set(identifiers))


def test_the_latex_environment_names_picture_caption_and_label(folder):
    tex = (folder / f"{ID}.tex").read_text()
    assert tex.isascii()
    assert rf"{{{ID}.pdf}}" in tex
    assert rf"\label{{fig:{ID}}}" in tex
    assert r"\cite{nielsen2015}" in tex
    body = re.sub(r"\\[{}%]|%.*", "", tex)
    assert body.count("{") == body.count("}")
    assert ["figure", "figure"] == re.findall(r"\\(?:begin|end)\{(\w+)\}", tex)


def test_the_bibliography_has_what_the_caption_cites(folder):
    cited = set(re.findall(r"\\cite\{(\w+)\}", (folder / f"{ID}.tex").read_text()))
    entries = re.findall(r"^@\w+\{(\w+),", (folder / f"{ID}.bib").read_text(), flags=re.MULTILINE)
    assert cited <= set(entries)
    assert "weightdecay" == entries[0]
    assert "lecun1998" not in entries  # the data are not MNIST


def test_the_markdown_has_caption_alternative_text_and_command(folder, document):
    told = (folder / f"{ID}.md").read_text()
    assert f"]({ID}.png)" in told
    assert document["provenance"]["command"] in told
    assert "[@nielsen2015]" in told


@pytest.mark.parametrize(
    ("suffix", "damage", "message"),
    [
        ("csv", lambda text: text.replace("1", "2", 1), "is not the table that .* names"),
        ("csv", lambda _: None, "csv cannot be read"),
        ("json", lambda _: None, "json cannot be read"),
        ("json", lambda text: text[:-9], "is no json of a saved figure"),
        ("json", lambda _: "[]", "is no json of a saved figure"),
        ("json", lambda text: text.replace('"predicted"', '"foretold"', 1), "is no json of a saved figure"),
        ("json", lambda _: "[" * 100_000, "is no json of a saved figure"),
    ],
)
def test_a_missing_or_tampered_file_is_one_sentence(copy, suffix, damage, message):
    path = copy / f"{ID}.{suffix}"
    damaged = damage(path.read_text())
    if damaged is None:
        path.unlink()
    else:
        path.write_text(damaged)
    with pytest.raises(DataError, match=message):
        read_back(copy)
    (finding,) = figures.check(copy, (ID,))
    assert not finding.passed
    assert re.search(message, finding.sentence)


def test_a_number_that_was_not_finite_reads_back_as_nan(report, tmp_path):
    first = dataclasses.replace(report.comparisons[-1], measured=np.inf)
    odd = dataclasses.replace(report, comparisons=(*report.comparisons, first))
    figures.save(odd, ID, tmp_path)
    read = read_back(tmp_path)
    assert np.isnan(read.comparisons[-1].measured)
    assert odd.comparisons[-1].passed == read.comparisons[-1].passed


def test_an_unwritable_folder_is_one_sentence(report, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written to"):
        figures.save(report, ID, tmp_path / "file" / "below")


def test_unknown_figures_widths_and_experiments_are_named(report):
    with pytest.raises(InvalidInput, match="figure is 'founding-questions'.*did you mean 'founding-question'"):
        figures.save(report, "founding-questions", ".")
    with figures.figure_style(ID):
        with pytest.raises(InvalidInput, match="width is 'wide', but must be one of: column, full"):
            figures.draw_figure(report, ID, width="wide")
        with pytest.raises(InvalidInput, match="experiment of founding-question is 'collapse'"):
            figures.draw_figure(dataclasses.replace(report, experiment="collapse"), ID)


def test_every_figure_is_the_module_of_its_name():
    for name in figures.ids():
        found = figures.catalogue.module(name)
        assert name == found.ID
        assert found.EXPERIMENT in (*validate.experiments(), name)  # those of theory alone are named as they are
    from importlib import resources

    files = [file.name for file in (resources.files("weightdecay") / "figures").iterdir()]
    drawing = {
        name[:-3].replace("_", "-")
        for name in files
        if name.endswith(".py")
        and re.search(
            r"^(ID = )?EXPERIMENT = ",
            (resources.files("weightdecay") / "figures" / name).read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    }
    assert set(figures.all_ids()) == drawing


def test_a_fresh_figure_passes_its_check(folder):
    (finding,) = figures.check(folder)
    assert (ID, True, "as drawn from its table") == dataclasses.astuple(finding)


@pytest.mark.parametrize("suffix", ["png", "svg", "tex", "bib"])
def test_a_file_that_differs_from_what_its_table_draws_is_named(copy, suffix):
    path = copy / f"{ID}.{suffix}"
    path.write_bytes(path.read_bytes() + b" ")
    (finding,) = figures.check(copy)
    assert not finding.passed
    assert f"not what its table draws: {ID}.{suffix}; draw the figure again" == finding.sentence


def test_a_missing_picture_is_named(copy):
    (copy / f"{ID}.pdf").unlink()
    (finding,) = figures.check(copy)
    assert f"{ID}.pdf" in finding.sentence
    assert not finding.passed


def test_a_figure_of_other_code_or_versions_is_reported_and_passes(copy):
    path = copy / f"{ID}.json"
    told = json.loads(path.read_text())
    told["provenance"]["code_sha256"] = "0" * 64
    told["provenance"]["versions"] |= {"numpy": "0.1", "no-such-package": "1.0"}
    path.write_text(json.dumps(told))
    (finding,) = figures.check(copy)
    assert finding.passed
    assert finding.sentence.startswith(f"made with other code, numpy 0.1 (here: {metadata.version('numpy')})")
    assert "no-such-package 1.0 (here: none)" in finding.sentence


def test_a_folder_without_figures_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="there is no saved figure in .*--out"):
        figures.check(tmp_path)


def test_the_code_checksum_sees_all_code_but_other_figures(monkeypatch):
    whole = bundle.figure_checksum(ID)
    with monkeypatch.context() as patch:
        patch.setattr(bundle, "code_checksum", lambda *rooms: str(rooms))
        assert whole != bundle.figure_checksum(ID)
    monkeypatch.setattr(bundle, "all_ids", lambda: (ID, "drawing"))
    assert whole != bundle.figure_checksum(ID)
    assert 64 == len(whole)
