"""What ``weightdecay predict`` answers."""

import json

import pytest
from click.testing import CliRunner

from weightdecay.cli import main

FOUNDING = ["--lr", "0.1", "--lmbda", "5", "--n-train", "50000", "--batch-size", "10", "--epochs", "30"]
LAYERS = ["--layer", "hidden=30x784,rms=1,pull=0.105", "--layer", "output=10x30,rms=1"]


def run(*arguments):
    return CliRunner().invoke(main, ["predict", *arguments])


def test_the_founding_question_is_answered_in_words_and_numbers():
    told = " ".join(run(*FOUNDING, *LAYERS).output.split())
    assert "Time constant of weights 100000 steps = 20 epochs, of squared norms 50000 steps = 10 epochs." in told
    assert "The run of 150000 steps = 30 epochs is 1.5 time constants long" in told
    assert "decay alone leaves 0.0498 of the start's squared norm" in told
    assert "equilibrium: rms 0.2113, squared norm 1050" in told
    assert "66.6 epochs to 1/root of the fan-in and 503912 steps = 101 epochs to 1/root of all weights given" in told
    assert "the run is too short for decay to bring it there" in told
    assert "depends on the gradients; give pull=, power= or unit-power= of the layer" in told


def test_json_is_what_the_function_returns():
    told = json.loads(run(*FOUNDING, *LAYERS, "--json").output)
    assert 1e5 == pytest.approx(told["time_constant_steps"])
    assert ["hidden", "output"] == [layer["name"] for layer in told["layers"]]
    assert told["layers"][1]["rms_equilibrium"] is None


def test_a_language_model_is_answered_without_a_data_set():
    arguments = ["--optimizer", "adamw", "--beta2", "0.95", "--lr", "warm-up:2000:cosine:3e-4:3e-5"]
    done = run(*arguments, "--weight-decay", "0.1", "--steps", "50000", "--layer", "mlp=11008x4096")
    assert 0 == done.exit_code
    assert "Time constant of weights 33333.3 steps" in done.output
    assert "if gradients keep one direction instead: rms at most 10" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lr", "0.1", "--steps", "9"], "give either --weight-decay or --lmbda"),
        (["--lr", "0.1", "--steps", "9", "--weight-decay", "1", "--lmbda", "1"], "give either --weight-decay or"),
        (["--lr", "0.1", "--weight-decay", "1e-4"], "give either --steps or --epochs"),
        (["--lr", "0.1", "--weight-decay", "1e-4", "--epochs", "3"], "--epochs also needs --n-train and --batch-size"),
        (["--lr", "0.1", "--lmbda", "5", "--steps", "3"], "--lmbda also needs --n-train"),
        (["--lr", "fast", "--weight-decay", "1", "--steps", "3"], "the schedule 'fast' cannot be read"),
        (["--lr", "nan", "--weight-decay", "1", "--steps", "3"], "--lr nan: value is nan"),
        (["--lr", "1", "--weight-decay", "-1", "--steps", "3"], "--weight-decay -1: value is -1.0"),
        (["--lr", "10", "--weight-decay", "1", "--steps", "3"], "decay takes 10 of every weight"),
        (["--lr", "0.1", "--weight-decay", "1", "--steps", "3", "--layer", "fc"], "the layer 'fc' cannot be read"),
        (["--lr", "0.1", "--weight-decay", "1", "--steps", "x"], "is 'x', but must be a whole number"),
        ([*FOUNDING, "--optimiser", "sgd"], "No such option"),
        ([*FOUNDING, "--optimizer", "asgd"], "did you mean"),
        ([*FOUNDING[:-1], "1e300"], "must have at most 1e+15"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(arguments, message):
    done = run(*arguments)
    assert 2 == done.exit_code, done.output
    assert message in done.output
    assert "Traceback" not in done.output


def test_the_help_has_examples():
    done = run("--help")
    assert 0 == done.exit_code
    assert "Examples:" in done.output
