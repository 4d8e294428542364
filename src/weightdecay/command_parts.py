"""What all commands of the command line share: an option, a type of number, and how examples and JSON look."""

from __future__ import annotations

import contextlib
import json
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from .errors import check_count

__all__ = ["Count", "as_json_option", "examples", "paragraph", "print_json", "with_options"]

Command = TypeVar("Command", bound=Callable[..., Any])
_WIDTH = 100

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


class Count(click.types.IntParamType):
    """A whole number from a least one on; anything else is answered in the package's own words."""

    name = "integer"

    def __init__(self, least: int, most: int | None = None) -> None:
        self.least, self.most = least, most

    def convert(self, value: Any, param: click.Parameter | None, _ctx: click.Context | None) -> int:
        """Return the number."""
        name = param.opts[0] if param else "number"
        with contextlib.suppress(ValueError):
            value = int(value)
        return check_count(name, value, least=self.least, most=self.most)


def examples(*lines: str) -> str:
    """Return examples as the end of a help text."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def print_json(value: Any) -> None:
    """Print plain JSON values."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def with_options(options: Sequence[Callable[[Any], Any]]) -> Callable[[Command], Command]:
    """Return a decorator that adds options to a command, in their order."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def paragraph(text: str, indent: str = "") -> str:
    """Return text in lines, those after the first further in."""
    return textwrap.fill(text, _WIDTH, initial_indent=indent, subsequent_indent=indent + "  ")
