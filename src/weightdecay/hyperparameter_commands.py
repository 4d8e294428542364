"""Answer from hyperparameters alone: ``weightdecay convert | predict | plan``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from .command_parts import Count, LargeCount, as_json_option, examples, paragraph, print_json, with_options
from .errors import InvalidInput, check_positive

__all__ = ["convert", "plan", "predict"]

if TYPE_CHECKING:
    from .simulate import Layer, LayerPrediction, Prediction, Schedule

MOST = 10**15
_OPTIMIZERS = "sgd, momentum, nesterov, sgdw, adam, adamw, rmsprop, sign-sgd, signum, lion or muon."


OPTIMIZER_OPTIONS = (
    click.option("--optimizer", default="sgd", show_default=True, help=_OPTIMIZERS),
    click.option("--momentum", type=float, help="Momentum (0.9, muon 0.95)."),
    click.option("--dampening", type=float, help="Dampening of momentum (0)."),
    click.option("--beta1", type=float, help="First coefficient of adam, adamw and lion (0.9)."),
    click.option("--beta2", type=float, help="Second coefficient (adam and adamw 0.999, lion 0.99)."),
    click.option("--smoothing", type=float, help="Smoothing of rmsprop (0.99)."),
)
RUN_OPTIONS = (
    click.option(
        "--lr", required=True, metavar="SCHEDULE", help="Learning rate: a number or schedule, as in simulate."
    ),
    click.option("--weight-decay", metavar="SCHEDULE", help="Decay coefficient in PyTorch's sense, likewise."),
    click.option("--lmbda", type=float, help="Nielsen's parameter instead; needs --n-train."),
    click.option("--law", help="decoupled, coupled, fully-decoupled or adamc; by default lr times weight decay."),
    click.option("--steps", type=LargeCount(), help="Length of the run in steps,"),
    click.option("--epochs", type=float, help="or in epochs; needs the next two."),
    click.option("--n-train", type=LargeCount(), help="Examples in the training set."),
    click.option("--batch-size", type=LargeCount(), help="Examples in a mini-batch."),
)


def schedule_option(option: str, text: str, n_steps: int) -> Schedule:
    """Return the schedule that an option gives; what is wrong with it is told with the option's name."""
    from . import simulate

    try:
        return simulate.schedule_from_text(text, n_steps)
    except InvalidInput as problem:
        raise InvalidInput(f"{option} {text}: {problem}") from None


def run_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """Take the options of a run out of all options, and return the arguments they stand for."""
    from . import theory

    lr, weight_decay, lmbda, steps, epochs = (
        options.pop(name) for name in ("lr", "weight_decay", "lmbda", "steps", "epochs")
    )
    n_train, batch_size = options["n_train"], options["batch_size"]
    if (steps is None) == (epochs is None):
        raise InvalidInput("the length of the run is needed once: give either --steps or --epochs")
    if epochs is not None:
        if n_train is None or batch_size is None:
            raise InvalidInput("--epochs also needs --n-train and --batch-size, which make an epoch; or give --steps")
        length = max(1.0, check_positive("epochs", epochs) * n_train / batch_size)
        if length > MOST:
            raise InvalidInput(f"the run has {length:.3g} steps, but must have at most {MOST:.0e}; lower --epochs")
        steps = round(length)
    if (weight_decay is None) == (lmbda is None):
        raise InvalidInput("the decay is needed once: give either --weight-decay or --lmbda")
    if lmbda is not None:
        if n_train is None:
            raise InvalidInput("--lmbda also needs --n-train, by which Nielsen divides it")
        weight_decay = repr(theory.convert(lmbda, "nielsen", "pytorch", n_train=n_train))
    return {
        "lr": schedule_option("--lr", lr, steps),
        "weight_decay": schedule_option("--weight-decay", weight_decay, steps),
        "n_steps": steps,
    }


def _number(value: float | None, digits: int = 6, missing: str = "not told") -> str:
    return missing if value is None else f"{value:.{digits}g}"


@click.command(
    short_help="Say one regularizer in every program's own parameter.",
    epilog=examples(
        "weightdecay convert --from nielsen --value 5 --lr 0.1 --n-train 50000 --batch-size 10",
        "weightdecay convert --from adamw --value 0.1 --to fully-decoupled --lr 3e-4 --optimizer adamw",
    ),
)
@click.option(
    "--from",
    "source",
    required=True,
    metavar="NAME",
    help="Convention of the value: nielsen, pytorch, keras, scikit-learn, scikit-learn-lbfgs, fully-decoupled or "
    "adamc; adamw and optax count as pytorch, composer, optimi and big-vision as fully-decoupled.",
)
@click.option("--value", type=float, required=True, help="The parameter in that convention.")
@click.option("--to", "target", metavar="NAME", help="Convention wanted; without it, all.")
@click.option("--lr", type=float, help="Learning rate.")
@click.option("--lr-max", type=float, help="Largest learning rate of the schedule, by default the same.")
@click.option("--n-train", type=LargeCount(), help="Examples in the training set.")
@click.option("--batch-size", type=LargeCount(), help="Examples in a mini-batch.")
@click.option("--optimizer", default="sgd", show_default=True, help="sgd, momentum, adam, adamw, lion or muon.")
@click.option("--momentum", type=float, help="Coefficient of the optimizer momentum (0.9).")
@as_json_option
def convert(source: str, value: float, target: str | None, as_json: bool, **options: Any) -> None:
    """Convert a decay parameter from one program's convention to another's, or to all.

    Always says what tells a run apart whatever its program calls the parameter: decay per step, factor per epoch, and
    the time constant. Says too which conventions are not the same regularizer under the optimizer.
    """
    from . import theory

    lr, lr_max = options["lr"], options["lr_max"]
    if lr is not None and lr_max is not None and lr_max < lr:
        raise InvalidInput(f"--lr-max is {lr_max:g}, but must be at least --lr, {lr:g}: it is the schedule's largest")
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
    epoch_needs = "needs lr, n_train and batch_size"
    steps, epochs = found.time_constant_steps, found.time_constant_epochs
    if found.decay_per_step == 0:
        constant = "none, since nothing decays"
    elif steps is None:
        constant = "needs lr; in epochs n_train and batch_size too"
    else:
        in_epochs = "" if epochs is None else f", {_number(epochs)} epochs"
        constant = f"{_number(steps)} steps{in_epochs} (squared norms: half of it)"
    click.echo(f"\ndecay per step      {_number(found.decay_per_step, missing='needs lr')}")
    click.echo(f"factor per epoch    {_number(found.factor_per_epoch, missing=epoch_needs)}")
    click.echo(f"time constant       {constant}\n")
    differing = [name for name in wanted if name in found.not_equivalent]
    if differing:
        click.echo(paragraph(f"Not equivalent: {', '.join(differing)}: {found.not_equivalent[differing[0]]}."))
    for note in found.notes:
        click.echo(paragraph(note))


@click.command(
    short_help="Say what hyperparameters do to the weights of a run.",
    epilog=examples(
        "weightdecay predict --lr 0.1 --weight-decay 1e-4 --n-train 50000 --batch-size 10 --epochs 30 \\",
        "    --layer hidden=30x784,rms=1 --layer output=10x30,rms=1",
        "weightdecay predict --optimizer adamw --beta2 0.95 --lr warm-up:2000:cosine:3e-4:3e-5 \\",
        "    --weight-decay 0.1 --steps 500000 --layer mlp=11008x4096 --number-format bfloat16",
    ),
)
@with_options(OPTIMIZER_OPTIONS)
@with_options(RUN_OPTIONS)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="NAME=ROWSxCOLUMNS",
    help="A block of weights, outputs first; after commas rms= (at the start; 1/root of the fan-in), pull= (of the "
    "data, -<W, g>), power= (of the mini-batch gradient) or unit-power= (before a normalization). As many as wanted.",
)
@click.option("--number-format", default="float32", show_default=True, help="float64, float32, float16 or bfloat16.")
@click.option("--n-classes", type=Count(2), help="Classes of a softmax output: bounds sizes with nothing measured.")
@click.option("--signal-max", type=float, help="Largest singular value of E[(y - p) x^T] at zero weights.")
@click.option(
    "--tolerance", type=float, default=0.05, show_default=True, help="Distance from equilibrium that is none."
)
@click.option("--plot", metavar="DIR", help="Also draw a chart of time constants with this run and known models.")
@as_json_option
def predict(layers: tuple[str, ...], plot: str | None, as_json: bool, **options: Any) -> None:
    """Predict time constant, equilibrium and trouble of a run from its hyperparameters, layer by layer."""
    from . import simulate

    blocks = [simulate.layer_from_text(text) for text in layers] or [simulate.Layer("layer", (1024, 1024))]
    found = simulate.predict(blocks, **run_arguments(options), **options)
    files = drawn(plot, "time-to-equilibrium", prediction=found) if plot is not None else []
    if as_json:
        print_json(found.to_dict() | ({"files": files} if files else {}))
        return
    per_epoch = found.steps_per_epoch
    if found.time_constant_steps is None:
        click.echo("There is no decay.")
    else:
        half = found.time_constant_steps / 2
        click.echo(
            f"Time constant of weights {_time(found.time_constant_steps, per_epoch)}, of squared norms "
            f"{_time(half, per_epoch)}."
        )
        click.echo(
            f"The run of {_time(found.n_steps, per_epoch)} is {_number(found.n_time_constants, 3)} time constants "
            f"long; decay alone leaves {found.start_left:.3g} of the start's squared norm."
        )
    if not layers:
        click.echo("\nNo --layer was given: the one below is an example.")
    for layer, block in zip(found.layers, blocks, strict=True):
        click.echo(f"\n{layer.name} ({'x'.join(map(str, layer.shape))}, {layer.n_weights} weights)")
        for line in _layer_lines(layer, block, found):
            click.echo(paragraph(line, "  "))
    for warned in found.warnings:
        click.echo("\n" + paragraph(f"Warning: {warned.sentence}."))
    if files:
        click.echo(f"\n{files[0].rpartition('.')[0]}.*: {len(files)} files")


def drawn(out: str, figure_id: str, **given: Any) -> list[str]:
    """Draw a figure of what a user gives into a folder, and return its files."""
    from . import figures as drawing

    with drawing.output_folder(out) as folder:
        return [str(path) for path in drawing.save(drawing.make(figure_id, **given), figure_id, folder)]


def _time(steps: float, per_epoch: float | None) -> str:
    return f"{steps:.6g} steps" + ("" if per_epoch is None else f" = {steps / per_epoch:.3g} epochs")


def _layer_lines(layer: LayerPrediction, block: Layer, found: Prediction) -> list[str]:
    """Return what is known of a layer, a sentence each."""
    per_epoch, lines = found.steps_per_epoch, []
    variance = layer.rms_end_decay_alone**2
    start = "" if block.rms_start is not None else " (1/root of the fan-in)" if block.fan_in else ""
    lines.append(
        f"starts with rms {layer.rms_start:.4g}{start}; decay alone leaves rms {layer.rms_end_decay_alone:.4g} at the "
        f"end, variance {variance:.4g}"
    )
    if layer.rms_equilibrium is not None and layer.norm_squared_equilibrium is not None:
        lines.append(f"equilibrium: rms {layer.rms_equilibrium:.4g}, squared norm {layer.norm_squared_equilibrium:.5g}")
        if layer.rms_end is not None:
            lines.append(_arrival(layer, found))
    elif found.time_constant_steps is not None:
        lines.append("equilibrium: depends on the gradients; give pull=, power= or unit-power= of the layer")
    if layer.angular_update is not None:
        lines.append(f"turns by {layer.angular_update:.4g} rad per step there, if noise feeds it")
    if layer.effective_lr is not None:
        lines.append(f"effective learning rate there, if before a normalization: {layer.effective_lr:.4g}")
    if layer.rms_bound is not None:
        lines.append(f"if gradients keep one direction instead: rms at most {layer.rms_bound:.4g}")
    alone = (
        ("1/root of the fan-in", layer.steps_alone_to_fan_in_size),
        ("1/root of all weights given", layer.steps_alone_to_network_size),
    )
    told = [f"{_time(round(steps), per_epoch)} to {name}" for name, steps in alone if steps]
    if told:
        longer = all(steps > found.n_steps for _, steps in alone if steps)
        verdict = ": the run is too short for decay to bring it there" if longer else ""
        lines.append(f"decay alone needs {' and '.join(told)}{verdict}")
    return lines


def _arrival(layer: LayerPrediction, found: Prediction) -> str:
    """Return when a layer is in equilibrium, as a sentence."""
    steps, share = layer.steps_to_equilibrium, layer.share_out_of_equilibrium
    if steps is None:
        when = "never there"
    elif steps == 0:
        when = "there from the start"
    else:
        after = ", after this run" if steps > found.n_steps else ""
        when = f"first there after {_time(round(steps), found.steps_per_epoch)}{after}"
    outside = f"{share:.1%} of the run outside (it moves with the schedules); rms at the end {layer.rms_end:.4g}"
    return f"{when} (within {found.tolerance:g}), {outside}"


@click.command(
    short_help="Find the weight decay or learning rate for what is wanted.",
    epilog=examples(
        "weightdecay plan --time-constant-epochs 20 --lr 0.1 --n-train 50000 --batch-size 10",
        "weightdecay plan --rms 0.02 --optimizer adamw --weight-decay 0.1    # the learning rate for it",
        "weightdecay plan --optimizer adamw --lr 3e-4 --weight-decay 0.1 --n-train 1e9 --batch-size 512 \\",
        "    --to-batch-size 2048    # what to change with the batch size, and what no choice keeps",
    ),
)
@with_options(OPTIMIZER_OPTIONS)
@click.option("--lr", type=float, help="Learning rate (the peak of a schedule); found if left out.")
@click.option("--weight-decay", type=float, help="Decay coefficient in PyTorch's sense; found if left out.")
@click.option("--n-train", type=LargeCount(), help="Examples (or tokens) in the training set.")
@click.option("--batch-size", type=LargeCount(), help="Examples (or tokens) in a mini-batch.")
@click.option(
    "--layer", metavar="NAME=ROWSxCOLUMNS", default="layer=1024x1024", show_default=True, help="As in predict."
)
@click.option("--time-constant-steps", type=float, help="Wanted: the time constant of weights in steps,")
@click.option("--time-constant-epochs", type=float, help="or in epochs,")
@click.option("--rms", type=float, help="or the size per weight in equilibrium,")
@click.option("--angular-update", type=float, help="or the angle between consecutive weights, rad per step.")
@click.option("--to-optimizer", metavar="NAME", help="Carry to another optimizer,")
@click.option("--to-lr", type=float, help="or learning rate,")
@click.option("--to-n-train", type=LargeCount(), help="or training set,")
@click.option("--to-batch-size", type=LargeCount(), help="or batch size,")
@click.option(
    "--to-layer", metavar="NAME=ROWSxCOLUMNS", help="or width: the block there, with its power= if SGD steps it."
)
@as_json_option
def plan(as_json: bool, **options: Any) -> None:
    """Find hyperparameters for a wanted time constant, size or rotation; or carry them to another setting.

    With one wanted quantity, whichever of --lr and --weight-decay is left out is found. With any --to option both are
    given, and the weight decay of the new setting is found for each thing that could be kept, with what it does not.
    """
    from . import simulate

    wanted = {name: options.pop(name.replace("-", "_")) for name in simulate.WANTED}
    wanted = {name: value for name, value in wanted.items() if value is not None}
    new = {name: options.pop(f"to_{name}") for name in ("optimizer", "lr", "n_train", "batch_size", "layer")}
    new = {name: value for name, value in new.items() if value is not None}
    if bool(wanted) == bool(new) or len(wanted) > 1:
        raise InvalidInput(
            f"plan wants either one of {', '.join(f'--{name}' for name in simulate.WANTED)}, "
            "or at least one --to option"
        )
    layer = simulate.layer_from_text(options.pop("layer"))
    own = {name: options.pop(name) for name in ("lr", "weight_decay", "optimizer", "n_train", "batch_size")}
    setting = simulate.Setting(layer=layer, coefficients=options, **own)
    if wanted:
        ((name, value),) = wanted.items()
        found = simulate.plan(setting, name, value)
        if as_json:
            print_json(found.to_dict())
            return
        click.echo(f"{found.solved_for} {_number(getattr(found, found.solved_for))}")
        _echo_quantities(found.quantities)
        return
    if "layer" in new:
        new["layer"] = simulate.layer_from_text(new["layer"])
    coefficients = {} if new.get("optimizer", setting.optimizer) != setting.optimizer else options
    target = {**own, "layer": layer, **new, "weight_decay": None}
    ways = simulate.carry(setting, simulate.Setting(coefficients=coefficients, **target))
    if as_json:
        print_json({"ways": [way.to_dict() for way in ways]})
        return
    click.echo("before:")
    _echo_quantities(ways[0].before)
    for way in ways:
        if way.weight_decay is None:
            click.echo("\n" + paragraph(f"equal {way.kept}: no solution: {way.problem}"))
            continue
        click.echo(f"\nequal {way.kept}: lr {_number(way.lr)}, weight_decay {_number(way.weight_decay)}")
        for change in way.not_kept or ("whatever else can be told is kept too",):
            click.echo(f"  {change}")
    if ways[0].before["rms"] is None:
        needed = "its size in equilibrium depends on its gradients; give power= or unit-power= of --layer"
        click.echo("\n" + paragraph(f"equal equilibrium: not told: {needed}"))


def _echo_quantities(quantities: Mapping[str, float | None]) -> None:
    for name, value in quantities.items():
        if value is not None:
            click.echo(f"  {name:22}{value:.6g}")
