"""The README's examples run, its generated sections are fresh, and its links lead somewhere."""

import doctest
import re
import shlex
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from weightdecay.cli import main

README = Path(__file__).parent.parent / "README.md"


def test_examples_print_what_the_readme_says():
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, attempted = doctest.testfile(str(README), module_relative=False, optionflags=flags)
    assert attempted > 5
    assert failed == 0


@pytest.mark.parametrize("block", re.findall(r"```text\n\$ weightdecay (.*?)```", README.read_text(), re.DOTALL))
def test_commands_print_what_the_readme_says(block):
    command, _, printed = block.partition("\n")
    result = CliRunner().invoke(main, shlex.split(command))
    assert result.exit_code == 0
    assert result.stdout.rstrip() == printed.rstrip()


def test_generated_sections_are_what_the_code_gives(monkeypatch):
    monkeypatch.syspath_prepend(str(README.parent / "tests"))
    import readme_sections

    text = README.read_text()
    assert readme_sections.refreshed(text) == text, "run: python tests/readme_sections.py"
    del sys.modules["readme_sections"]


def test_a_stale_number_is_noticed(monkeypatch):
    monkeypatch.syspath_prepend(str(README.parent / "tests"))
    import readme_sections

    text = README.read_text()
    stale = re.sub(r"(means over )(\d+)( seeds)", r"\g<1>1\2\3", text)
    assert stale != text
    assert readme_sections.refreshed(stale) == text
    del sys.modules["readme_sections"]


@pytest.mark.parametrize("link", re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text()))
def test_links_lead_to_files(link):
    assert (README.parent / link).is_file()
