"""Citation data is data: it parses, its entries are complete, and the three places that name the software agree."""

import re
from importlib import metadata, resources
from pathlib import Path

import pytest

from weightdecay import theory

ROOT = Path(__file__).parents[1]
REQUIRED = {
    "article": {"author", "title", "journal", "year"},
    "book": {"author", "title", "publisher", "year"},
    "inproceedings": {"author", "title", "booktitle", "year"},
    "misc": {"author", "title", "year"},
    "phdthesis": {"author", "title", "school", "year"},
}
# what identifies the work beyond its title: one of these is in every entry
PLACES = {"doi", "eprint", "url", "pages", "volume", "school", "version"}


def read_bib(text):
    """Read a .bib file in its strict form (one field a line, values in balanced braces); refuse anything else."""
    entries = {}
    for block in re.split(r"\n\n", text.rstrip("\n")):
        first, *fields, last = block.split("\n")
        start = re.fullmatch(r"@([a-z]+)\{([a-z]+[0-9]*[a-z]*),", first)
        assert start, f"no entry begins with {first!r}"
        assert last == "}", f"the entry {start[2]} ends with {last!r}"
        assert start[2] not in entries, f"the key {start[2]} is used twice"
        entry = {"kind": start[1]}
        for line in fields:
            field = re.fullmatch(r"  ([a-z]+) = \{(.+)\},", line)
            assert field, f"no field of {start[2]} reads {line!r}"
            assert field[1] not in entry, f"{start[2]} has {field[1]} twice"
            assert braces_balance(field[2]), f"braces of {start[2]} do not balance in {line!r}"
            entry[field[1]] = field[2]
        entries[start[2]] = entry
    return entries


def braces_balance(value):
    depth = 0
    for letter in re.sub(r"\\.", "", value):
        depth += (letter == "{") - (letter == "}")
        if depth < 0:
            return False
    return depth == 0


BIB = resources.files("weightdecay").joinpath("citation.bib").read_text(encoding="ascii")
ENTRIES = read_bib(BIB)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@misc{a1,\n  title = {b},\n}\n\n@misc{a1,\n  title = {b},\n}\n", "the key a1 is used twice"),
        ("@misc{a1,\n  title = {b}c},\n}\n", "braces of a1 do not balance"),
        ("@misc{a1,\n  title = {{b},\n}\n", "braces of a1 do not balance"),
        ("@misc{a1,\n  title = b,\n}\n", "no field of a1 reads"),
        ("@misc{a1,\n  title = {b},\n  title = {b},\n}\n", "a1 has title twice"),
        ("@misc{a1,\n  title = {b},\n", "ends with"),
        ("misc{a1,\n  title = {b},\n}\n", "no entry begins with"),
    ],
)
def test_the_reader_refuses_broken_files(text, message):
    with pytest.raises(AssertionError, match=message):
        read_bib(text)


@pytest.mark.parametrize("key", ENTRIES)
def test_an_entry_is_complete(key):
    entry = ENTRIES[key]
    assert set() == REQUIRED[entry["kind"]] - set(entry)
    assert PLACES & set(entry)
    assert re.fullmatch(r"(19|20)[0-9]{2}", entry["year"])
    if "eprint" in entry:
        assert re.fullmatch(r"[0-9]{4}\.[0-9]{4,5}", entry["eprint"])
        assert "arXiv" == entry["archiveprefix"]
    if "doi" in entry:
        assert re.fullmatch(r"10\.[0-9]{4,5}/[A-Za-z0-9./-]+", entry["doi"])
    if "pages" in entry:
        first, last = map(int, entry["pages"].split("--"))
        assert first < last


@pytest.mark.parametrize("key", ENTRIES)
def test_authors_are_written_family_name_first(key):
    author = ENTRIES[key]["author"]
    if not author.startswith("{"):
        assert [] == [person for person in author.split(" and ") if not re.fullmatch(r"[^,]+, [^,]+", person)]


def test_no_work_is_listed_twice():
    for field in ("title", "doi", "eprint"):
        values = [entry[field].lower() for entry in ENTRIES.values() if field in entry]
        assert len(values) == len(set(values))


@pytest.mark.parametrize("name", theory.names())
def test_a_derivation_cites_only_what_is_there(name):
    references = theory.derive(name).references
    assert set(references) <= set(ENTRIES)


def test_docstrings_cite_only_keys_that_exist():
    cited = {
        key
        for room in ("theory", "simulate", "validate", "figures")
        for path in resources.files("weightdecay").joinpath(room).iterdir()
        if path.name.endswith(".py")
        for key in re.findall(r"\b[a-z]{2,}(?:19|20)[0-9]{2}[a-z]*\b", path.read_text(encoding="utf-8"))
    }
    assert "lecun1998" in cited, "the pattern no longer finds what validate/datasets.py cites"
    assert set() == cited - set(ENTRIES)


def cff_fields():
    """Read the plain ``key: value`` lines of CITATION.cff; its full schema is checked where CI runs cffconvert."""
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    pairs = (re.fullmatch(r"(?:  - )?([a-z-]+): (.+)", line) for line in lines)
    return {pair[1]: pair[2].strip('"') for pair in pairs if pair}


def test_version_authors_title_and_license_agree_everywhere():
    installed, cff, bib = metadata.metadata("weightdecay"), cff_fields(), ENTRIES["weightdecay"]
    assert installed["Version"] == cff["version"] == bib["version"]
    assert f"Version {installed['Version']}" == bib["note"]
    assert installed["Author"] == cff["name"] == bib["author"].strip("{}")
    assert cff["title"] == bib["title"]
    assert installed["License-Expression"] == cff["license"]
    assert cff["date-released"][:4] == bib["year"]
    assert cff["title"].removeprefix("weightdecay: ") == installed["Summary"].split(":")[0]


def test_the_changelog_begins_with_this_version():
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert metadata.version("weightdecay") == headings[0]


def test_the_license_names_the_authors():
    authors = metadata.metadata("weightdecay")["Author"]
    assert re.search(rf"^Copyright \(c\) [0-9]{{4}} {authors}$", (ROOT / "LICENSE").read_text(), flags=re.MULTILINE)
