"""Answer about a run that was made: ``weightdecay claims``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .command_parts import Count, as_json_option, examples, paragraph, print_json
from .errors import InvalidInput

if TYPE_CHECKING:
    from .simulate import MeasuredLayer

__all__ = ["claims"]

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
@click.option("--n-train", type=Count(1), required=True, help="Examples in the training set.")
@click.option("--batch-size", type=Count(1), required=True, help="Examples in a mini-batch.")
@click.option("--epochs", type=Count(1), required=True, help="Epochs of the run.")
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


def _measured(text: str, size: str) -> MeasuredLayer:
    """Return the measured layer that a text describes."""
    from . import simulate
    from .errors import check_positive

    kept, sizes = [], {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if equals and name.strip() in ("start", "end"):
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
