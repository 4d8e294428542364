"""Answer from hyperparameters alone: ``weightdecay convert | predict | plan``."""

from __future__ import annotations

import textwrap
from typing import Any

import click

from .command_parts import Count, as_json_option, examples, print_json

__all__ = ["convert"]

_WIDTH = 100
_MOST = 10**15


def _paragraph(text: str, indent: str = "") -> str:
    return textwrap.fill(text, _WIDTH, initial_indent=indent, subsequent_indent=indent + "  ")


def _number(value: float | None, digits: int = 6) -> str:
    return "?" if value is None else f"{value:.{digits}g}"


@click.command(
    short_help="Say one regularizer in every program's own parameter.",
    epilog=examples(
        "weightdecay convert --from nielsen --value 5 --lr 0.1 --n-train 50000 --batch-size 10",
        "weightdecay convert --from adamw --value 0.1 --to fully-decoupled --lr 3e-4 --optimizer adamw",
    ),
)
@click.option(
    "--from", "source", required=True, metavar="NAME", help="Convention of the value: nielsen, pytorch, keras, ..."
)
@click.option("--value", type=float, required=True, help="The parameter in that convention.")
@click.option("--to", "target", metavar="NAME", help="Convention wanted; without it, all.")
@click.option("--lr", type=float, help="Learning rate.")
@click.option("--lr-max", type=float, help="Largest learning rate of the schedule, by default the same.")
@click.option("--n-train", type=Count(1, _MOST), help="Examples in the training set.")
@click.option("--batch-size", type=Count(1, _MOST), help="Examples in a mini-batch.")
@click.option("--optimizer", default="sgd", show_default=True, help="sgd, momentum, adam, adamw, lion or muon.")
@click.option("--momentum", type=float, help="Coefficient of the optimizer momentum (0.9).")
@as_json_option
def convert(source: str, value: float, target: str | None, as_json: bool, **options: Any) -> None:
    """Convert a decay parameter from one program's convention to another's, or to all.

    Always says what tells a run apart whatever its program calls the parameter: decay per step, factor per epoch, and
    the time constant. Says too which conventions are not the same regularizer under the optimizer.
    """
    from . import theory

    found = theory.conversions(value, source, **options)
    wanted = tuple(theory.CONVENTIONS) if target is None else (theory.convention_name(target),)
    if as_json:
        told = found.to_dict()
        for part in ("parameters", "missing", "not_equivalent"):
            told[part] = {name: told[part][name] for name in wanted if name in told[part]}
        print_json(told)
        return
    for name in wanted:
        lacking = found.missing.get(name)
        number = f"needs {', '.join(lacking)}" if lacking else _number(found.parameters[name])
        mark = "  (not equivalent, see below)" if name in found.not_equivalent else ""
        click.echo(f"{name:20}{theory.CONVENTIONS[name]:24}{number}{mark}")
    click.echo(f"\ndecay per step      {_number(found.decay_per_step)}")
    click.echo(f"factor per epoch    {_number(found.factor_per_epoch)}")
    steps, epochs = found.time_constant_steps, found.time_constant_epochs
    click.echo(f"time constant       {_number(steps)} steps, {_number(epochs)} epochs (squared norms: half of it)\n")
    differing = [name for name in wanted if name in found.not_equivalent]
    if differing:
        click.echo(_paragraph(f"Not equivalent: {', '.join(differing)}: {found.not_equivalent[differing[0]]}."))
    for note in found.notes:
        click.echo(_paragraph(note))
