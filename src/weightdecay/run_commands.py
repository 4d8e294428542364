"""Answer about a run that was made: ``weightdecay claims | diagnose``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .command_parts import (
    Count,
    LargeCount,
    as_json_option,
    examples,
    paragraph,
    print_json,
    progress_bar,
    with_options,
)
from .errors import InvalidInput
from .hyperparameter_commands import MOST, OPTIMIZER_OPTIONS, drawn

if TYPE_CHECKING:
    from .simulate import MeasuredLayer
    from .validate import Diagnosis

__all__ = ["claims", "diagnose"]

_LAYER = "NAME=ROWSxCOLUMNS,start=SIZE,end=SIZE"


@click.command(
    short_help="Judge Nielsen's three claims on a run, layer by layer.",
    epilog=examples(
        "weightdecay claims --lr 0.1 --lmbda 5 --n-train 50000 --batch-size 10 --epochs 30 --size variance \\",
        "    --layer 'layer 2=30x784,start=1.01,end=0.08' --layer 'layer 3=10x30,start=1.15,end=3.62'",
    ),
)
@click.option("--lr", type=float, required=True, help="Learning rate, the book's eta.")
@click.option("--lmbda", type=float, required=True, help="Regularization parameter, the book's lambda.")
@click.option("--n-train", type=Count(1, MOST), required=True, help="Examples in the training set.")
@click.option("--batch-size", type=Count(1, MOST), required=True, help="Examples in a mini-batch.")
@click.option("--epochs", type=Count(1, MOST), required=True, help="Epochs of the run.")
@click.option(
    "--size", required=True, metavar="WAY", help="How sizes are told: norm, norm-squared, rms or variance (of mean 0)."
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    required=True,
    metavar=_LAYER,
    help="A layer of weights with its size before and after the run, outputs first; pull= and power=, if known, are "
    "those of the first epochs. All layers of the network.",
)
@as_json_option
def claims(
    lr: float,
    lmbda: float,
    n_train: int,
    batch_size: int,
    epochs: int,
    size: str,
    layers: tuple[str, ...],
    as_json: bool,
) -> None:
    """Judge the three claims of Nielsen's exercise on a run: true or false of each layer, by how much, and why.

    1: the first epochs are dominated almost entirely by decay. 2: weights decay by exp(-eta*lambda/m) per epoch.
    3: decay tails off around 1/root(n), n the weights of the network. Sizes at the start and end are enough.
    """
    from . import simulate

    measured = [_measured(text, size) for text in layers]
    found = simulate.claims(measured, lr=lr, lmbda=lmbda, n_train=n_train, batch_size=batch_size, epochs=epochs)
    if as_json:
        print_json(found.to_dict())
        return
    constant = found.time_constant_epochs
    click.echo(f"Decay takes weights to 1/e in {constant:.3g} epochs, squared norms in {constant / 2:.3g}.")
    for layer in found.layers:
        click.echo(f"\n{layer.name}")
        for verdict in layer.verdicts:
            word = "TRUE " if verdict.holds else "FALSE"
            click.echo(paragraph(f"claim {verdict.claim} {word}  {verdict.sentence}", "  "))
        click.echo(paragraph(layer.sentence, "  "))
        if layer.epochs_to_fan_in_size is not None:
            click.echo(
                paragraph(
                    f"decay alone would need {layer.epochs_to_fan_in_size:.0f} epochs to 1/root of the fan-in and "
                    f"{layer.epochs_to_network_size:.0f} to 1/root of all weights",
                    "  ",
                )
            )
    click.echo("\n" + paragraph(f"In short: {found.summary}."))


def _measured(text: str, size: str) -> MeasuredLayer:
    """Return the measured layer that a text describes."""
    from . import simulate
    from .errors import check_positive

    kept, sizes = [], {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if equals and name.strip() in ("start", "end"):
            if name.strip() in sizes:
                raise InvalidInput(f"the layer {text!r} has {name.strip()} twice; give it once")
            try:
                sizes[name.strip()] = float(value)
            except ValueError:
                raise InvalidInput(f"{part!r} of the layer {text!r} is no number") from None
        else:
            kept.append(part)
    if len(sizes) < 2:
        raise InvalidInput(f"the layer {text!r} must have its size at the start and at the end: {_LAYER}")
    layer = simulate.layer_from_text(",".join(kept))
    start, end = (
        simulate.norm_squared_of(size, check_positive(f"{name} of {layer.name}", sizes[name]), layer.n_weights)
        for name in ("start", "end")
    )
    return simulate.MeasuredLayer(layer, start, end)


@click.command(
    short_help="Hold the theory against your own training log.",
    epilog=examples(
        "weightdecay diagnose log.csv --lr 0.1 --weight-decay 1e-4    # columns step, layer, norm",
        "weightdecay diagnose log.jsonl --layer-columns '^norm/(.*)' --size norm --lr 3e-4 --weight-decay 0.1 \\",
        "    --optimizer adamw --shapes mlp=3072x768 --plot my-figures",
    ),
)
@click.argument("log", metavar="LOG")
@click.option("--size", metavar="WAY", help="What the size column tells: norm, norm_squared or rms; else by its name.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="WHAT=NAME",
    help="Name of a column of the log: step, layer, size, gradient_norm, lr, weight_decay, cross_entropy, entropy or "
    "n_weights. As many as wanted.",
)
@click.option("--layer-columns", metavar="REGEX", help="The log has a column per layer: those that match.")
@click.option("--lr", type=float, help="Learning rate, if the log does not have it.")
@click.option("--weight-decay", type=float, help="Decay coefficient, if the log does not have it,")
@click.option("--lmbda", type=float, help="or Nielsen's parameter; needs --n-train.")
@with_options(OPTIMIZER_OPTIONS)
@click.option("--shapes", multiple=True, metavar="NAME=ROWSxCOLUMNS", help="Shape of a layer; as many as wanted.")
@click.option("--output-layer", metavar="NAME", help="Layer that logged entropy and cross-entropy are of.")
@click.option("--n-train", type=LargeCount(), help="Examples in the training set, and")
@click.option("--batch-size", type=LargeCount(), help="in a mini-batch, for times in epochs.")
@click.option(
    "--tolerance", type=float, default=0.05, show_default=True, help="Distance from equilibrium that counts as there."
)
@click.option("--plot", metavar="DIR", help="Also draw it, with its table, origin and citations: folder to write to.")
@as_json_option
def diagnose(
    log: str,
    columns: tuple[str, ...],
    lmbda: float | None,
    shapes: tuple[str, ...],
    plot: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Say of each layer of a training log where it is, what feeds it, and when it is in equilibrium.

    LOG is a csv, jsonl or npz file of any length: a row for each step and layer, or, with --layer-columns, a row for
    each step and a column for each layer.
    """
    from . import simulate, theory, validate

    if lmbda is not None:
        if options["weight_decay"] is not None:
            raise InvalidInput("the decay is needed once: give either --weight-decay or --lmbda")
        if options["n_train"] is None:
            raise InvalidInput("--lmbda also needs --n-train, by which Nielsen divides it")
        options["weight_decay"] = theory.convert(lmbda, "nielsen", "pytorch", n_train=options["n_train"])
    named = dict(_pair(text, "--column", "step=iteration") for text in columns)
    given = [simulate.layer_from_text(text) for text in shapes]
    known = {layer.name: layer.shape for layer in given}
    if len(known) < len(given):
        raise InvalidInput("--shapes gives a layer two shapes; give each once")
    with progress_bar() as progress:
        found = validate.diagnose(log, columns=named, shapes=known, progress=progress, **options)
    files = drawn(plot, "diagnosis", diagnosis=found) if plot is not None else []
    if as_json:
        print_json(found.to_dict() | ({"files": files} if files else {}))
        return
    for line in _summary(found):
        click.echo(paragraph(line))
    for layer in found.layers:
        click.echo("\n" + paragraph(f"{layer.name}: {layer.verdict}."))
        for words, value in (
            ("gradient noise alone would hold it, by the hyperparameters", layer.norm_squared_predicted),
            ("its outputs' entropy less cross-entropy holds it", layer.norm_squared_by_gap),
        ):
            if value is not None:
                click.echo(paragraph(f"{words} at {value:.5g}", "  "))
        if layer.n_left_out:
            click.echo(paragraph(f"{layer.n_left_out} of {layer.n_rows} rows were left out: not finite", "  "))
    click.echo("\n" + paragraph(f"In short: {found.summary}."))
    if files:
        click.echo(f"\n{files[0].rpartition('.')[0]}.*: {len(files)} files")


def _summary(found: Diagnosis) -> list[str]:
    per_epoch = found.steps_per_epoch
    lines = [f"{found.log}: {found.n_rows} rows, {len(found.layers)} layers, size told as {found.size}."]
    if found.n_left_out:
        lines.append(
            f"{found.n_left_out} rows were left out: incomplete, or a number in them is missing or not finite."
        )
    groups: dict[float | None, list[str]] = {}
    for layer in found.layers:
        groups.setdefault(layer.time_constant_steps, []).append(layer.name)
    for steps, names in groups.items():
        whose = "" if len(groups) == 1 else f" ({', '.join(names[:6])}{', ...' if len(names) > 6 else ''})"
        if steps is None:
            lines.append(f"No decay{whose}.")
            continue
        both = [
            f"{time:.6g} steps" + ("" if per_epoch is None else f" = {time / per_epoch:.3g} epochs")
            for time in (steps, steps / 2)
        ]
        lines.append(f"Time constant of weights {both[0]}, of squared norms {both[1]}{whose}.")
    return lines


def _pair(text: str, option: str, example: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name or not value:
        raise InvalidInput(f"{option} is {text!r}, but must be like {example}")
    return name.strip(), value
