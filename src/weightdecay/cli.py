"""Answer on the command line: ``weightdecay figures | validate | derive | simulate | cite | report``.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once. Exit codes: 0 done, 1 a comparison
or a check failed, 2 wrong use, 130 interrupted. Errors are one sentence on stderr.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .command_parts import FAILED, Count, as_json_option, examples, exit_if, files_line, print_json, progress_bar
from .errors import InvalidInput, JobError, ProofError, WeightDecayError
from .experiment_commands import figures, sentence, validate
from .hyperparameter_commands import convert, plan, predict, schedule_option
from .run_commands import claims, diagnose

if TYPE_CHECKING:
    from .simulate import Trajectory

__all__ = ["main"]

Command = TypeVar("Command", bound=Callable[..., Any])

WRONG_USE, INTERRUPTED, BROKEN_PIPE = 2, 130, 141
_MOST = 10**15  # of anything that `simulate` counts: floating-point numbers tell each from the next


class _Program(click.Group):
    """Turns what goes wrong in a command into one sentence and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal without Greek letters gets question marks
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except KeyboardInterrupt as interrupt:
            click.echo(f"Interrupted. {interrupt}".rstrip(), err=True)
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:
            # the reader has gone; what is left in the buffer must not raise again when Python ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(BROKEN_PIPE)
        except WeightDecayError as problem:
            if isinstance(problem, JobError) and problem.__cause__ is not None:  # what failed there is no wrong use
                click.echo("".join(traceback.format_exception(problem)).rstrip(), err=True)
            click.echo(f"Error: {sentence(problem)}", err=True)
            ctx.exit(FAILED if isinstance(problem, ProofError) else WRONG_USE)
        return result


@click.group(
    cls=_Program,
    epilog=examples("weightdecay figures     # train on MNIST, compare with theory, draw", "weightdecay derive"),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="weightdecay", message="%(package)s %(version)s")
def main() -> None:
    """Say how large weights become under weight decay, how long that takes, and show it on a real network."""


@main.command(
    short_help="Print derivations and prove them again.",
    epilog=examples(
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
@as_json_option
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
            print_json([{"name": one, "title": title} for one, title in listed.items()])
        else:
            width = max(map(len, listed))
            click.echo("\n".join(f"{one:{width}}  {title}" for one, title in listed.items()))
    else:
        found = theory.derive(name)
        if as_json:
            print_json(found.to_dict())
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
        print_json({"derivations": results})
    exit_if(not all(result["passed"] for result in results))


@main.command(
    short_help="Say how large weights become, and when they are in equilibrium.",
    epilog=examples(
        "weightdecay simulate --lr 0.1 --weight-decay 1e-4 --epochs 30 --radial-pull 0.1",
        "    # how long until my weights are in equilibrium? (here: 61 epochs, in a run of 30)",
        "weightdecay simulate --lr warm-up:5000:cosine:0.1:0 --weight-decay 5e-4 \\",
        "    --unit-gradient-power 100 --points 101 --format csv",
        "    # weights before a normalization, with warm-up and cosine, as csv",
        "weightdecay simulate --radial-pull 0.1 --plot my-figures    # drawn, as eight files that can be cited",
    ),
)
@click.option(
    "--lr",
    default="0.1",
    show_default=True,
    metavar="SCHEDULE",
    help="Learning rate: a number, linear:START:END, cosine:START:END, step:START:FACTOR:every=STEPS, "
    "step:START:FACTOR:at=STEP,STEP, warm-up:STEPS: before any of these, or the JSON of a schedule.",
)
@click.option(
    "--weight-decay",
    default="1e-4",
    show_default=True,
    metavar="SCHEDULE",
    help="Decay coefficient in PyTorch's sense, likewise.",
)
@click.option(
    "--law",
    type=click.Choice(["decoupled", "coupled", "fully-decoupled", "adamc"]),
    default="decoupled",
    show_default=True,
    help="How the two make the decay of a step.",
)
@click.option("--epochs", type=float, default=30, show_default=True, help="Length of the run.")
@click.option("--steps", type=Count(1, _MOST), help="Length of the run in steps, instead of --epochs.")
@click.option("--n-train", type=Count(1, _MOST), default=50000, show_default=True, help="Examples in the training set.")
@click.option("--batch-size", type=Count(1, _MOST), default=10, show_default=True, help="Examples in a mini-batch.")
@click.option("--n-weights", type=Count(1, _MOST), default=23520, show_default=True, help="Weights in the layer.")
@click.option("--rms", type=float, default=1.0, show_default=True, help="Size per weight at the start.")
@click.option("--radial-pull", type=float, default=0.0, show_default=True, help="Pull of the data, -<W, g>.")
@click.option(
    "--gradient-power", type=float, default=0.0, show_default=True, help="Mean of the squared gradient's norm."
)
@click.option(
    "--unit-gradient-power",
    type=float,
    help="For weights before a normalization, instead of the two above: gradient power at norm 1.",
)
@click.option(
    "--tolerance", type=float, default=0.05, show_default=True, help="Distance from equilibrium that counts as there."
)
@click.option("--points", type=Count(2), default=11, show_default=True, help="Points of the trajectory.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv"]),
    default="table",
    show_default=True,
    help="Form of the trajectory.",
)
@click.option("--plot", metavar="DIR", help="Also draw it, with its table, origin and citations: folder to write to.")
@as_json_option
def simulate(
    *,
    lr: str,
    weight_decay: str,
    epochs: float,
    steps: int | None,
    n_train: int,
    batch_size: int,
    n_weights: int,
    rms: float,
    points: int,
    form: str,
    plot: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Integrate the squared norm of a layer for given hyperparameters and schedules.

    Prints when it is in equilibrium with decay, what share of the run it spends outside, and its way.
    """
    from . import simulate as integrator
    from .errors import check_positive

    if as_json and form == "csv":
        raise click.UsageError("--json and --format csv are two forms of one answer; give one of them")
    per_epoch = n_train / batch_size
    length = steps or max(1.0, check_positive("epochs", epochs) * per_epoch)
    if length > _MOST:
        raise InvalidInput(f"the run has {length:.3g} steps, but must have at most {_MOST:.0e}; lower --epochs")
    n_steps = round(length)
    rms = check_positive("rms", rms)
    start = check_positive("n_weights times rms squared", n_weights * rms * rms)
    schedules: dict[str, Any] = {
        "lr": schedule_option("--lr", lr, n_steps),
        "weight_decay": schedule_option("--weight-decay", weight_decay, n_steps),
    }
    files: tuple[Path, ...] = ()
    with _checked_folder(plot) as folder:
        run = integrator.norm_trajectory(
            norm_squared_start=start,
            n_steps=n_steps,
            n_points=points,
            **schedules,
            **options,
        )
        if folder is not None:
            counts = {"n_weights": n_weights, "n_train": n_train, "batch_size": batch_size}
            files = _plotted(folder, **schedules, **counts, n_steps=n_steps, rms=rms, run=run, **options)
    columns = {
        "step": run.step,
        "epoch": run.step / per_epoch,
        "lr": run.lr,
        "decay_per_step": run.decay_per_step,
        "norm_squared": run.norm_squared,
        "equilibrium": run.equilibrium,
        "pure_decay_floor": run.pure_decay_floor,
        "rms": (run.norm_squared / n_weights) ** 0.5,
    }
    if as_json:
        told = {**run.to_dict(), "epoch": columns["epoch"].tolist(), "rms": columns["rms"].tolist()}
        print_json(told | ({"files": [str(path) for path in files]} if files else {}))
        return
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    if form == "csv":
        click.echo("\n".join([",".join(columns), *(",".join(f"{value:.10g}" for value in row) for row in rows)]))
        if files:  # stdout is for the csv alone
            click.echo(files_line("norm-trajectory", files), err=True)
        return
    click.echo(_equilibrium_sentence(run, per_epoch, options))
    click.echo(f"Share of the run spent out of equilibrium: {run.share_out_of_equilibrium:.1%}.\n")
    widths = [max(len(name), 10) + 2 for name in columns]
    click.echo("".join(name.rjust(width) for name, width in zip(columns, widths, strict=True)))
    for row in rows:
        click.echo("".join(f" {value:{width - 1}.6g}" for value, width in zip(row, widths, strict=True)))
    if files:
        click.echo(f"\n{files_line('norm-trajectory', files)}")


def _checked_folder(out: str | None) -> contextlib.AbstractContextManager[Path | None]:
    """Return the folder to draw into, checked before anything is computed; none if nothing is to be drawn."""
    if out is None:
        return contextlib.nullcontext()
    from . import figures as drawing

    return drawing.output_folder(out)


def _plotted(folder: Path, **hyperparameters: Any) -> tuple[Path, ...]:
    """Draw the trajectory into a folder, and return the files."""
    from . import figures as drawing

    return drawing.save(drawing.make("norm-trajectory", **hyperparameters), "norm-trajectory", folder)


def _equilibrium_sentence(run: Trajectory, per_epoch: float, options: Mapping[str, Any]) -> str:
    steps = run.steps_to_equilibrium
    if steps < float("inf"):
        where = "" if steps <= run.step[-1] else ", after the end of this run if its last hyperparameters stay"
        return (
            f"Equilibrium (within {run.tolerance:.3g}) after {steps:.0f} steps, {steps / per_epoch:.1f} epochs{where}."
        )
    if not any(options[name] for name in ("radial_pull", "gradient_power", "unit_gradient_power")):
        reason = "nothing feeds the weights; give --radial-pull, --gradient-power or --unit-gradient-power"
    elif options["radial_pull"] < 0:
        reason = "the data shrink the weights as decay does"
    elif run.decay_per_step[-1] == 0:
        reason = "there is no decay at the end"
    else:
        reason = "the tolerance is finer than floating-point numbers are"
    return f"Equilibrium (within {run.tolerance:.3g}) is never reached: {reason}."


@main.command(
    short_help="Print citations.",
    epilog=examples("weightdecay cite", "weightdecay cite founding-question --format bibtex > references.bib"),
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
@as_json_option
def cite(figure_ids: tuple[str, ...], form: str, as_json: bool) -> None:
    """Print citations of the software and its data, or of all that figures rest on.

    Figures cited together share their entries, so that none is there twice.
    """
    from . import figures as drawing

    keys = [key for name in figure_ids for key in drawing.references(name)] or ["weightdecay", "lecun1998"]
    if as_json:
        print_json({"keys": list(dict.fromkeys(keys)), "format": form, "citations": drawing.cite(keys, form)})
        return
    click.echo(drawing.cite(keys, form).rstrip("\n"))


@main.command(
    short_help="Write all as one page for reading.",
    epilog=examples(
        "weightdecay figures && weightdecay report",
        "weightdecay report --from figures/gallery --out weight-decay.html",
    ),
)
@click.option(
    "--from",
    "folder",
    metavar="DIR",
    default="weightdecay-figures",
    show_default=True,
    help="Folder of figures that `weightdecay figures` wrote.",
)
@click.option("--out", metavar="FILE", default="report.html", show_default=True, help="Page to write.")
@as_json_option
def report(folder: str, out: str, as_json: bool) -> None:
    """Write one HTML page: question, figures, predicted against measured, derivations, origins, bibliography.

    The page is one file without scripts that asks for nothing from the network. It holds the figures that are in DIR.
    """
    from . import figures as drawing

    page = drawing.check_page(out)
    with progress_bar() as progress:
        reports = drawing.load_all(folder)
        drawing.write_report(reports, page, progress=progress)
    if as_json:
        print_json({"file": str(page), "figures": list(reports)})
        return
    click.echo(f"{page}: {len(reports)} figure{'s' if len(reports) > 1 else ''} of {folder}")


for _command in (figures, validate, convert, predict, plan, claims, diagnose):
    main.add_command(_command)
