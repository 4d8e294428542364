"""What all commands of the command line share: an option, a type of number, and how examples and JSON look."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from .errors import check_count

__all__ = [
    "FAILED",
    "Count",
    "LargeCount",
    "Progress",
    "as_json_option",
    "examples",
    "exit_if",
    "files_line",
    "paragraph",
    "print_json",
    "progress_bar",
    "with_options",
]

Command = TypeVar("Command", bound=Callable[..., Any])
Progress = Callable[[int, int, str], None]
FAILED = 1  # exit code when a comparison or a check failed
_WIDTH = 100
_MOST = 10**15  # floating-point numbers tell each count up to it from the next
_BAR = "{desc}: {percentage:3.0f}% |{bar:30}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}]"

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


class LargeCount(Count):
    """A count that may be written as 1e9."""

    def __init__(self) -> None:
        super().__init__(1, _MOST)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        with contextlib.suppress(ValueError, OverflowError):
            number = float(value)
            if number.is_integer():
                value = int(number)
        return super().convert(value, param, ctx)


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
    return textwrap.fill(text, _WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False)


def files_line(figure_id: str, paths: Sequence[Path]) -> str:
    """Name the files of a figure in the short form of a shell: folder/name{.pdf,.svg,...,-table.md}."""
    endings = [path.name.removeprefix(figure_id) for path in paths]
    return f"{figure_id}: {paths[0].with_suffix('')}{{{','.join(endings)}}}"


def exit_if(failed: bool, code: int = FAILED) -> None:
    """End the command with an exit code if something failed."""
    if failed:
        click.get_current_context().exit(code)


@contextlib.contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a bar on stderr, if that is a terminal."""
    from tqdm import tqdm

    n_columns, n_lines = shutil.get_terminal_size()  # 80 by 24 for a terminal of 0 by 0, where tqdm shows nothing
    with tqdm(
        desc="starting",
        file=sys.stderr,
        disable=None,
        leave=False,
        bar_format=_BAR,
        ncols=n_columns,
        nrows=n_lines,
    ) as bar:

        def show(done: int, total: int, what: str) -> None:
            bar.total = total
            bar.set_description_str(what, refresh=False)
            bar.n = done
            bar.refresh()

        yield show
