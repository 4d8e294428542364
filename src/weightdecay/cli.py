"""Answer on the command line: ``weightdecay figures | validate | derive | cite``.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once. Exit codes: 0 done, 1 a comparison
or a check failed, 2 wrong use, 130 interrupted. Errors are one sentence on stderr.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .errors import ProofError, WeightDecayError

if TYPE_CHECKING:
    from .validate import Comparison, Report

__all__ = ["main"]

Command = TypeVar("Command", bound=Callable[..., Any])
Progress = Callable[[int, int, str], None]

FAILED, WRONG_USE, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141
FOUNDING = "founding-question"


class _Program(click.Group):
    """Turns what goes wrong in a command into one sentence and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal without Greek letters gets question marks
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            # the reader has gone; what is left in the buffer must not raise again when Python ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(BROKEN_PIPE)
        except WeightDecayError as problem:
            click.echo(f"Error: {problem}", err=True)
            ctx.exit(FAILED if isinstance(problem, ProofError) else WRONG_USE)
        return result


def _examples(*lines: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


@click.group(
    cls=_Program,
    epilog=_examples("weightdecay figures     # train on MNIST, compare with theory, draw", "weightdecay derive"),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="weightdecay", message="%(package)s %(version)s")
def main() -> None:
    """Say how large weights become under weight decay, how long that takes, and show it on a real network."""


def _running(command: Command) -> Command:
    """Add the options of all commands that train."""
    for option in (
        click.option("--batch-size", type=click.IntRange(min=1), help="Examples in a mini-batch (10)."),
        click.option("--epochs", type=click.IntRange(min=1), help="Epochs of training (30)."),
        click.option("--hidden", type=click.IntRange(min=1), help="Hidden neurons (30)."),
        click.option("--lmbda", type=float, help="Regularization parameter, the book's λ (5)."),
        click.option(
            "--eta", type=float, help="Learning rate (0.1). This and the next four redo the founding question."
        ),
        click.option(
            "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of all randomness."
        ),
        click.option("--jobs", type=click.IntRange(min=1), help="Processes; by default one for each processor."),
        click.option(
            "--data",
            metavar="PATH",
            help="Data set: folder of IDX files or npz of MNIST's form; by default the MNIST of the package.",
        ),
        click.option(
            "--scale",
            type=click.Choice(["quick", "full"]),
            default="quick",
            show_default=True,
            help="A minute, or small error bars.",
        ),
    ):
        command = option(command)
    return command


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


@main.command(
    short_help="Train on real data, compare with theory, draw.",
    epilog=_examples(
        "weightdecay figures",
        "weightdecay figures founding-question --eta 0.5 --epochs 10 --out my-figures",
        "weightdecay figures --check --out my-figures",
    ),
)
@click.argument("figure_ids", metavar="[ID]...", nargs=-1)
@_running
@click.option("--out", metavar="DIR", help="Folder to write to.  [default: ./weightdecay-figures]")
@click.option("--check", "checking", is_flag=True, help="Draw nothing: say which figures of DIR are stale.")
@_as_json
def figures(
    figure_ids: tuple[str, ...], out: str | None, checking: bool, as_json: bool, data: str | None, **options: Any
) -> None:
    """Train, compare with theory, and draw: all figures, or those named.

    Each figure becomes eight files: pdf, svg, png, csv (what is plotted), json (where it comes from), tex, bib and md.
    With --check, DIR is figures/gallery unless given.
    """
    from . import figures as drawing
    from .errors import check_choice

    for name in figure_ids:
        check_choice("figure", name, drawing.ids())
    if checking:
        _check_figures(Path(out or "figures/gallery"), figure_ids, as_json)
        return
    chosen = tuple(dict.fromkeys(figure_ids)) or _founding_if_given(options, drawing.ids())
    saved = []
    with drawing.output_folder(out or "weightdecay-figures") as folder, _progress() as progress:
        given = _given(data, progress, options)
        for name in chosen:
            report = drawing.make(name, **given)
            saved.append((name, report, drawing.save(report, name, folder)))
    if as_json:
        _print_json({"figures": [_figure_dict(*one) for one in saved]})
        return
    for name, report, paths in saved:
        suffixes = ",".join(path.suffix[1:] for path in paths)
        click.echo(f"{name}: {paths[0].with_suffix('')}.{{{suffixes}}}")
        outside = [comparison.quantity for comparison in report.comparisons if comparison.passed is False]
        if outside:
            click.echo(f"{name}: outside tolerance: {'; '.join(outside)}")


def _check_figures(folder: Path, figure_ids: tuple[str, ...], as_json: bool) -> None:
    from . import figures as drawing

    findings = drawing.check(folder, figure_ids)
    if as_json:
        told = [{"id": one.figure_id, "passed": one.passed, "finding": one.sentence} for one in findings]
        _print_json({"figures": told})
    else:
        for one in findings:
            click.echo(f"{'ok' if one.passed else 'STALE':6}{one.figure_id}: {one.sentence}")
    _exit_if(not all(one.passed for one in findings))


def _figure_dict(name: str, report: Report, paths: Sequence[Path]) -> dict[str, Any]:
    outside = [comparison.quantity for comparison in report.comparisons if comparison.passed is False]
    return {"id": name, "files": [str(path) for path in paths], "passed": report.passed, "outside_tolerance": outside}


@main.command(
    short_help="Print predicted against measured.",
    epilog=_examples(
        "weightdecay validate founding-question", "weightdecay validate founding-question --hidden 100 --json"
    ),
)
@click.argument("experiment", required=False)
@_running
@_as_json
def validate(experiment: str | None, as_json: bool, data: str | None, **options: Any) -> None:
    """Run experiments and print predicted against measured: all, or the one named.

    Exits with 1 if a comparison that has a tolerance is outside it.
    """
    from . import validate as judge
    from .errors import check_choice

    if experiment is not None:
        check_choice("experiment", experiment, judge.experiments())
    chosen = (experiment,) if experiment else _founding_if_given(options, judge.experiments())
    with _progress() as progress:
        given = _given(data, progress, options)
        reports = [judge.run(name, **given) for name in chosen]
    if as_json:
        told = [report.to_dict() for report in reports]
        _print_json(told[0] if experiment else {"reports": told})
    else:
        click.echo("\n\n".join(_table(report) for report in reports))
    _exit_if(not all(report.passed for report in reports))


def _table(report: Report) -> str:
    """Return a report as a table: each quantity on its own line, its numbers in columns below."""
    origin = report.provenance
    data = (origin.get("data") or {}).get("name", "none")
    lines = [f"{report.experiment}: {origin.get('scale')} scale, seed {origin.get('seed')}, data {data}", ""]
    lines.append(_row("", "predicted", "measured", "std. error", "ratio", "tolerance", "given"))
    judged = 0
    for comparison in report.comparisons:
        judged += comparison.passed is not None
        unit = "" if comparison.unit == "1" else f" [{comparison.unit}]"
        lines += textwrap.wrap(comparison.quantity + unit, 96, subsequent_indent="  ")
        lines.append(_row(*_cells(comparison)))
        if comparison.passed is False:
            reason = f"reason of the tolerance: {comparison.reason}"
            lines += textwrap.wrap(reason, 96, initial_indent=" " * 12, subsequent_indent=" " * 12)
    failed = sum(comparison.passed is False for comparison in report.comparisons)
    told = f"{judged - failed} of {judged} comparisons with a tolerance are inside it"
    lines += ["", f"{told}; {len(report.comparisons) - judged} more are reported without one."]
    return "\n".join(lines)


def _cells(comparison: Comparison) -> tuple[str, ...]:
    verdict = {None: "  reported", True: "  ok", False: "  FAIL"}[comparison.passed]
    error = "" if comparison.standard_error is None else f"{comparison.standard_error:.2g}"
    kind = "" if comparison.tolerance_kind == "relative" else " abs."
    tolerance = "" if comparison.tolerance is None else f"{comparison.tolerance:.3g}{kind}"
    ratio = f"{comparison.ratio:.6g}" if comparison.ratio == comparison.ratio else ""
    numbers = (f"{comparison.predicted:.7g}", f"{comparison.measured:.7g}", error, ratio, tolerance)
    return (verdict, *numbers, comparison.inputs)


def _row(*cells: str) -> str:
    widths = (12, 13, 13, 12, 11, 11, 0)
    return "".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


@main.command(
    short_help="Print derivations and prove them again.",
    epilog=_examples(
        "weightdecay derive", "weightdecay derive decay-per-epoch --format latex", "weightdecay derive --check"
    ),
)
@click.argument("name", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "latex", "markdown", "mathml", "json"]),
    default="text",
    show_default=True,
    help="Form of the derivation.",
)
@click.option("--check", "checking", is_flag=True, help="Prove every step again.")
@_as_json
def derive(name: str | None, form: str, checking: bool, as_json: bool) -> None:
    """Print a derivation, or list them all.

    With --check every step is proven again: of the derivation named, or of all. Exits with 1 if a step does not hold.
    """
    from . import theory

    as_json = as_json or form == "json"
    if checking:
        _check_derivations(theory.names() if name is None else (theory.derive(name).name,), as_json)
    elif name is None:
        listed = {one: theory.derive(one).title for one in theory.names()}
        if as_json:
            _print_json([{"name": one, "title": title} for one, title in listed.items()])
        else:
            width = max(map(len, listed))
            click.echo("\n".join(f"{one:{width}}  {title}" for one, title in listed.items()))
    else:
        found = theory.derive(name)
        if as_json:
            _print_json(found.to_dict())
        else:
            written: str = getattr(found, form)()
            click.echo(written.rstrip("\n"))


def _check_derivations(names: Sequence[str], as_json: bool) -> None:
    from . import theory

    results = []
    for name in names:
        problem = None
        try:
            theory.derive(name).check()
        except ProofError as failure:
            problem = str(failure)
        results.append({"name": name, "passed": problem is None, "problem": problem})
        if not as_json:
            click.echo(f"{'FAIL' if problem else 'ok':6}{name}{f': {problem}' if problem else ''}")
            sys.stdout.flush()
    if as_json:
        _print_json({"derivations": results})
    _exit_if(not all(result["passed"] for result in results))


@main.command(
    short_help="Print citations.",
    epilog=_examples("weightdecay cite", "weightdecay cite founding-question --format bibtex > references.bib"),
)
@click.argument("figure_ids", metavar="[ID]...", nargs=-1)
@click.option(
    "--format",
    "form",
    type=click.Choice(["bibtex", "cff", "markdown", "text"]),
    default="bibtex",
    show_default=True,
    help="Form of the citations.",
)
def cite(figure_ids: tuple[str, ...], form: str) -> None:
    """Print citations of the software and its data, or of all that figures rest on.

    Figures cited together share their entries, so that none is there twice.
    """
    from . import figures as drawing

    keys = [key for name in figure_ids for key in drawing.references(name)] or ["weightdecay", "lecun1998"]
    click.echo(drawing.cite(keys, form).rstrip("\n"))


def _given(data: str | None, progress: Progress, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `validate.run` for the options of the command line."""
    from .validate import load_mnist

    renamed = {"jobs": "n_jobs", "seed": "rng"}
    given = {renamed.get(name, name): value for name, value in options.items() if value is not None}
    return {**given, "data": None if data is None else load_mnist(data), "progress": progress}


def _founding_if_given(options: Mapping[str, Any], names: Sequence[str]) -> Sequence[str]:
    """Return all names; the founding question alone if hyperparameters are given, which are its own."""
    own = ("eta", "lmbda", "hidden", "epochs", "batch_size")
    return names if all(options[name] is None for name in own) else (FOUNDING,)


@contextlib.contextmanager
def _progress() -> Iterator[Progress]:
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


_BAR = "{desc}: {percentage:3.0f}% |{bar:30}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}]"


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def _exit_if(failed: bool) -> None:
    if failed:
        click.get_current_context().exit(FAILED)
