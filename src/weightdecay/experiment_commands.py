"""Train on real data and answer: ``weightdecay figures | validate``."""

from __future__ import annotations

import contextlib
import sys
import textwrap
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .command_parts import (
    Count,
    Progress,
    as_json_option,
    examples,
    exit_if,
    files_line,
    print_json,
    progress_bar,
    with_options,
)
from .errors import JobError, OutputError, StoreWarning, WeightDecayError, check_choice

if TYPE_CHECKING:
    from .validate import Comparison, Report, RunStore

__all__ = ["figures", "sentence", "validate"]

Result = TypeVar("Result")

_WRONG_USE = 2
_FOUNDING = "founding-question"
_OF_FOUNDING = ("eta", "lmbda", "hidden", "epochs", "batch_size")

_RUNNING = (
    click.option(
        "--scale",
        type=click.Choice(["quick", "full"]),
        default="quick",
        show_default=True,
        help="A minute for each experiment, or small error bars.",
    ),
    click.option(
        "--data",
        metavar="PATH",
        help="Data set: folder of IDX files or npz of MNIST's form; by default the MNIST of the package.",
    ),
    click.option("--jobs", type=Count(1), help="Processes; by default one for each processor."),
    click.option("--seed", type=Count(0), default=0, show_default=True, help="Seed of all randomness."),
    click.option(
        "--cache",
        metavar="DIR",
        help="Folder in which finished runs are kept, so that the next command goes on from there; by default the "
        "user's cache.",
    ),
    click.option("--no-cache", is_flag=True, help="Keep no finished runs, and use none."),
    click.option(
        "--cluster",
        metavar="ADDRESS",
        help="Run on the workers of the dask scheduler at this address, such as tcp://10.0.0.1:8786.",
    ),
    click.option("--eta", type=float, help="Learning rate (0.1). This and the next four redo the founding question."),
    click.option("--lmbda", type=float, help="Regularization parameter, the book's λ (5)."),
    click.option("--hidden", type=Count(1), help="Hidden neurons (30)."),
    click.option("--epochs", type=Count(1), help="Epochs of training (30)."),
    click.option("--batch-size", type=Count(1), help="Examples in a mini-batch (10)."),
)


@click.command(
    short_help="Train on real data, compare with theory, draw.",
    epilog=examples(
        "weightdecay figures",
        "weightdecay figures founding-question --eta 0.5 --epochs 10 --out my-figures",
        "weightdecay figures --check --out my-figures",
    ),
)
@click.argument("figure_ids", metavar="[ID]...", nargs=-1)
@with_options(_RUNNING)
@click.option("--out", metavar="DIR", help="Folder to write to.  [default: ./weightdecay-figures]")
@click.option(
    "--width",
    type=click.Choice(["full", "column", "slide"]),
    default="full",
    show_default=True,
    help="Width of the pictures: 183 mm, 89 mm or 13.3 inches.",
)
@click.option("--check", "checking", is_flag=True, help="Draw nothing: say which figures of DIR are stale.")
@as_json_option
def figures(
    figure_ids: tuple[str, ...], out: str | None, width: str, checking: bool, as_json: bool, **options: Any
) -> None:
    """Train, compare with theory, and draw: all figures, or those named.

    Each figure becomes eight files: pdf, svg, png, csv (what is plotted), json (where it comes from), tex, bib and md,
    and two of a table that holds predicted against measured (tex, md).
    With --check, DIR is figures/gallery unless given.

    A figure whose experiment fails is named at the end, with exit code 2; the others are drawn.
    """
    from . import figures as drawing

    for name in figure_ids:
        check_choice("figure", name, drawing.all_ids() if checking else drawing.ids() + drawing.further_ids())
    if checking:
        _check_figures(Path(out or "figures/gallery"), figure_ids, as_json)
        return
    chosen = tuple(dict.fromkeys(figure_ids)) or _founding_if_given(options, drawing.ids())
    with drawing.output_folder(out or "weightdecay-figures") as folder, _running(options) as (given, progress):

        def draw(name: str, progress: Progress) -> tuple[Report, Sequence[Path]]:
            report = drawing.make(name, **given, progress=progress)
            return report, drawing.save(report, name, folder, width=width)

        saved, failures = _each(chosen, draw, progress)
        listed = drawing.write_index(folder)
    if as_json:
        told = [_figure_dict(name, *one) for name, one in saved.items()]
        print_json({"figures": told, "index": [str(path) for path in listed], "errors": failures})
    else:
        for name, (report, paths) in saved.items():
            click.echo(files_line(name, paths))
            outside = [comparison.quantity for comparison in report.comparisons if comparison.passed is False]
            if outside:
                click.echo(f"{name}: outside tolerance: {'; '.join(outside)}")
        told_index = ", ".join(map(str, listed))
        reason = "left alone, for a file of that name is there that is not of this program"
        click.echo(f"index of the folder: {told_index or reason}")
    exit_if(bool(failures), _WRONG_USE)


def _check_figures(folder: Path, figure_ids: tuple[str, ...], as_json: bool) -> None:
    from . import figures as drawing

    findings = drawing.check(folder, figure_ids)
    if as_json:
        told = [{"id": one.figure_id, "passed": one.passed, "finding": one.sentence} for one in findings]
        print_json({"figures": told})
    else:
        for one in findings:
            click.echo(f"{'ok' if one.passed else 'STALE':6}{one.figure_id}: {one.sentence}")
    exit_if(not all(one.passed for one in findings))


def _figure_dict(name: str, report: Report, paths: Sequence[Path]) -> dict[str, Any]:
    outside = [comparison.quantity for comparison in report.comparisons if comparison.passed is False]
    return {"id": name, "files": [str(path) for path in paths], "passed": report.passed, "outside_tolerance": outside}


@click.command(
    short_help="Print predicted against measured.",
    epilog=examples(
        "weightdecay validate",
        "weightdecay validate width collapse --scale full",
        "weightdecay validate founding-question --hidden 100 --json",
    ),
)
@click.argument("experiments", metavar="[EXPERIMENT]...", nargs=-1)
@with_options(_RUNNING)
@as_json_option
def validate(experiments: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Run experiments and print predicted against measured: all, or those named.

    Exits with 1 if a comparison that has a tolerance is outside it, with 2 if an experiment could not be run; the
    others are run and printed all the same.
    """
    from . import validate as judge

    for name in experiments:
        check_choice("experiment", name, judge.experiments() + judge.further_experiments())
    chosen = tuple(dict.fromkeys(experiments)) or _founding_if_given(options, judge.experiments())
    with _running(options) as (given, progress):
        reports, failures = _each(chosen, lambda name, progress: judge.run(name, **given, progress=progress), progress)
    if as_json:
        told = [report.to_dict() for report in reports.values()]
        passed = not failures and all(report.passed for report in reports.values())
        one = len(experiments) == 1
        print_json(told[0] if one else {"passed": passed, "reports": told, "errors": failures})
    else:
        tables = [_table(report) for report in reports.values()]
        if len(chosen) > 1:
            tables.append(_summary(reports, failures))
        click.echo("\n\n".join(tables))
    exit_if(bool(failures), _WRONG_USE)
    exit_if(not all(report.passed for report in reports.values()))


def sentence(problem: BaseException) -> str:
    """Return what an error says, with the run in which it came up."""
    if not isinstance(problem, WeightDecayError):
        return f"{type(problem).__name__}: {problem}"
    notes = [note for note in getattr(problem, "__notes__", ()) if note.startswith("in run ")]
    return f"{problem} ({', '.join(notes)})" if notes else str(problem)


def _each(
    names: Sequence[str], make: Callable[[str, Progress], Result], progress: Progress
) -> tuple[dict[str, Result], dict[str, str]]:
    """Make a result of every name; where there are several, one that fails is told and the others are made.

    Returns
    -------
    made : dict from name to result
        Those that did not fail.
    failures : dict from name to str
        What the others failed of.
    """
    if len(names) == 1:
        return {names[0]: make(names[0], progress)}, {}
    made: dict[str, Result] = {}
    failures: dict[str, str] = {}
    for place, name in enumerate(names):

        def overall(done: int, total: int, what: str, place: int = place, name: str = name) -> None:
            progress(round(place + done / max(total, 1), 2), len(names), f"{name}: {what}")  # type: ignore[arg-type]

        overall(0, 1, "starting")
        try:
            made[name] = make(name, overall)
        except Exception as problem:
            if not isinstance(problem, WeightDecayError) or isinstance(problem, JobError):
                _echo("".join(traceback.format_exception(problem)).rstrip())
            failures[name] = sentence(problem)
            _echo(f"Error: {name}: {failures[name]}")
    return made, failures


@contextlib.contextmanager
def _running(options: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Progress]]:
    """Hand out the arguments of `validate.run` for the options of the command line, and the progress bar.

    Inside, finished runs are kept as the options say, and notices are lines on stderr.
    """
    from . import validate as judge

    renamed = {"jobs": "n_jobs", "seed": "rng"}
    apart = ("data", "cache", "no_cache", "cluster")
    given = {
        renamed.get(name, name): value for name, value in options.items() if value is not None and name not in apart
    }
    given["data"] = None if options["data"] is None else judge.load_mnist(options["data"])
    with progress_bar() as progress, _notices():
        store = _store(options["cache"], options["no_cache"])
        with judge.on_cluster(options["cluster"]), judge.keeping_runs(store):
            try:
                yield given, progress
            except KeyboardInterrupt:
                raise KeyboardInterrupt(_kept_at_interrupt(store)) from None
    if store is not None and store.n_new:
        new = store.n_new
        _echo(f"Note: {new} finished run{'s are' if new > 1 else ' is'} kept in {store.folder}; --no-cache keeps none.")


def _kept_at_interrupt(store: RunStore | None) -> str:
    n_kept = 0 if store is None else store.n_kept
    if store is None or n_kept == 0:
        return ""
    kept = "1 finished run of it is" if n_kept == 1 else f"{n_kept} finished runs of it are"
    return f"{kept} kept in {store.folder}; the same command goes on from there."


def _store(cache: str | None, no_cache: bool) -> RunStore | None:
    """Return the store of finished runs; a folder that was named must be writable, the user's cache need not be."""
    from . import validate as judge

    if no_cache:
        return None
    if cache is not None:
        return judge.RunStore(cache)
    try:
        return judge.RunStore()
    except OutputError as problem:
        _echo(f"Note: {problem} (--cache DIR, --no-cache).")
        return None


@contextlib.contextmanager
def _notices() -> Iterator[None]:
    """Turn the package's warnings into lines on stderr."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", StoreWarning)
        others = warnings.showwarning

        def show(message: Any, category: Any, *places: Any, **more: Any) -> None:
            if issubclass(category, StoreWarning):
                _echo(f"Note: {message}.")
            else:
                others(message, category, *places, **more)

        warnings.showwarning = show
        yield


def _echo(line: str) -> None:
    """Print a line on stderr above the progress bar."""
    from tqdm import tqdm

    with tqdm.external_write_mode(file=sys.stderr):
        click.echo(line, err=True)


def _founding_if_given(options: Mapping[str, Any], names: Sequence[str]) -> Sequence[str]:
    """Return all names; the founding question alone if hyperparameters are given, which are its own."""
    return names if all(options[name] is None for name in _OF_FOUNDING) else (_FOUNDING,)


def _table(report: Report) -> str:
    """Return a report as a table: each quantity on its own line, its numbers in columns below."""
    origin = report.provenance
    data = (origin.get("data") or {}).get("name", "none")
    lines = [f"{report.experiment}: {origin.get('scale')} scale, seed {origin.get('seed')}, data {data}", ""]
    lines.append(_row("", "predicted", "measured", "std. error", "ratio", "tolerance", "given"))
    for comparison in report.comparisons:
        unit = "" if comparison.unit == "1" else f" [{comparison.unit}]"
        lines += textwrap.wrap(comparison.quantity + unit, 96, subsequent_indent="  ")
        lines.append(_row(*_cells(comparison)))
        if comparison.passed is False:
            reason = f"reason of the tolerance: {comparison.reason}"
            lines += textwrap.wrap(reason, 96, initial_indent=" " * 12, subsequent_indent=" " * 12)
    return "\n".join([*lines, "", f"{_counted([report])}."])


def _summary(reports: Mapping[str, Report], failures: Mapping[str, str]) -> str:
    """Return what all experiments together say: where a comparison is outside, or could not be made, and the counts."""
    lines = []
    for name, report in reports.items():
        outside = [comparison for comparison in report.comparisons if comparison.passed is False]
        lines += [f"  FAIL  {name}: {comparison.quantity}" for comparison in outside]
    lines += [f"  ERROR {name}: {problem}" for name, problem in failures.items()]
    made = f"{len(reports)} of {len(reports) + len(failures)} experiments"
    return "\n".join([*lines, f"{made}: {_counted(list(reports.values()))}."])


def _counted(reports: Sequence[Report]) -> str:
    verdicts = [comparison.passed for report in reports for comparison in report.comparisons]
    judged = [verdict for verdict in verdicts if verdict is not None]
    inside = f"{sum(judged)} of {len(judged)} comparisons with a tolerance are inside it"
    return f"{inside}; {len(verdicts) - len(judged)} more are reported without one"


def _cells(comparison: Comparison) -> tuple[str, ...]:
    verdict = {None: "  reported", True: "  ok", False: "  FAIL"}[comparison.passed]
    known = comparison.standard_error is not None and comparison.standard_error == comparison.standard_error
    error = f"{comparison.standard_error:.2g}" if known else ""
    kind = "" if comparison.tolerance_kind == "relative" else " abs."
    tolerance = "" if comparison.tolerance is None else f"{comparison.tolerance:.3g}{kind}"
    ratio = f"{comparison.ratio:.6g}" if comparison.ratio == comparison.ratio else ""
    numbers = (f"{comparison.predicted:.7g}", f"{comparison.measured:.7g}", error, ratio, tolerance)
    return (verdict, *numbers, comparison.inputs)


def _row(*cells: str) -> str:
    widths = (12, 13, 13, 12, 11, 11, 0)
    return "".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
