"""Nielsen's three claims, judged from the sizes of layers before and after a run."""

import json
import math

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from weightdecay import simulate
from weightdecay.cli import main
from weightdecay.errors import InvalidInput
from weightdecay.simulate import Layer, MeasuredLayer, claims, mean_feed

BOOK = {"lr": 0.1, "lmbda": 5, "n_train": 50000, "batch_size": 10, "epochs": 30}
OPTIONS = ["--lr", "0.1", "--lmbda", "5", "--n-train", "50000", "--batch-size", "10", "--epochs", "30"]
SECOND, THIRD = "layer 2=30x784,start=1.01,end=0.08", "layer 3=10x30,start=1.15,end=3.62"


def students():
    hidden = MeasuredLayer(Layer("layer 2", (30, 784)), 23520 * 1.01, 23520 * 0.08)
    return hidden, MeasuredLayer(Layer("layer 3", (10, 30)), 300 * 1.15, 300 * 3.62)


def run(*arguments):
    return CliRunner().invoke(main, ["claims", *arguments])


def test_the_students_numbers_get_the_answer_of_the_founding_question():
    found = claims(students(), **BOOK)
    assert 20 == pytest.approx(found.time_constant_epochs)
    second, third = found.layers
    assert [True, True, False] == [verdict.holds for verdict in second.verdicts]
    assert [False, True, False] == [verdict.holds for verdict in third.verdicts]
    assert (67, 101) == (round(second.epochs_to_fan_in_size), round(second.epochs_to_network_size))
    assert 23520 * 0.0503 == pytest.approx(second.norm_squared_alone, rel=1e-3)
    assert 300 * 0.0573 == pytest.approx(third.norm_squared_alone, rel=1e-3)
    assert second.feed_to_decay_end < 1 < third.feed_to_decay_start
    assert 25 < second.prefactor < 42
    assert 25 < third.prefactor < 42


def test_the_command_says_it_in_words():
    told = " ".join(run(*OPTIONS, "--size", "variance", "--layer", SECOND, "--layer", THIRD).output.split())
    assert "Decay takes weights to 1/e in 20 epochs, squared norms in 10." in told
    assert "layer 2 claim 1 TRUE decay takes 32.3 times what the gradient gives" in told
    assert "layer 3 claim 1 FALSE decay takes 0.307 times what the gradient gives" in told
    assert "30 epochs could not show it: decay alone needs 101" in told
    assert "decay alone would need 67 epochs to 1/root of the fan-in and 101 to 1/root of all weights" in told
    assert "layer 2 shrank, since the gradient gave only 0.031 times that" in told
    assert "layer 3 did not shrink, since the gradient gave 3.3 times that" in told
    assert "30 epochs are 1.5 time constants, too few to judge claim 3, since decay alone needs 102 epochs" in told


def test_json_has_every_verdict_and_no_infinity():
    told = json.loads(run(*OPTIONS, "--size", "variance", "--layer", SECOND, "--layer", THIRD, "--json").output)
    assert [True, True, False] == [verdict["holds"] for verdict in told["layers"][0]["verdicts"]]
    alone = "a=2x2,start=1,end=1,pull=0"
    told = json.loads(run(*OPTIONS, "--size", "rms", "--layer", alone, "--json").output)
    assert told["layers"][0]["verdicts"][0]["margin"] is None  # decay over nothing


def test_every_way_to_tell_a_size_is_the_same_run():
    answers = []
    for size, start, end in (("variance", 4, 1), ("rms", 2, 1), ("norm", 20, 10), ("norm-squared", 400, 100)):
        layer = f"w=10x10,start={start},end={end}"
        answers.append(run(*OPTIONS, "--size", size, "--layer", layer).output)
    assert 1 == len(set(answers))


@settings(max_examples=50)
@given(start=st.floats(1e-3, 1e6), end=st.floats(1e-3, 1e6), decays=st.floats(0.01, 20.0))
def test_the_mean_feed_leads_from_start_to_end(start, end, decays):
    at = {"lr": 0.1, "weight_decay": 0.01, "n_steps": round(decays / 0.001)}
    feed = mean_feed(start, end, **at)
    run = simulate.norm_under_pull(
        norm_squared_start=start, lr=0.1, weight_decay=0.01, n_steps=at["n_steps"], radial_pull=feed, gradient_power=0.0
    )
    reached = float(run.exact(at["n_steps"])[0])
    assert reached == pytest.approx(end, rel=1e-6, abs=1e-9 * start)


@settings(max_examples=30)
@given(factor=st.floats(0.01, 100.0))
def test_verdicts_do_not_depend_on_the_unit_of_weights(factor):
    """Weights measured in another unit: claims 1 and 2 compare like with like."""
    scaled = [
        MeasuredLayer(one.layer, one.norm_squared_start * factor, one.norm_squared_end * factor) for one in students()
    ]
    for one, other in zip(claims(students(), **BOOK).layers, claims(scaled, **BOOK).layers, strict=True):
        assert [v.holds for v in one.verdicts[:2]] == [v.holds for v in other.verdicts[:2]]
        assert one.feed_to_decay_start == pytest.approx(other.feed_to_decay_start)
        assert one.feed * factor == pytest.approx(other.feed)


def test_a_measured_pull_is_what_claim_1_goes_by():
    layer = Layer("layer 2", (30, 784), radial_pull=-0.06)
    verdict = claims([MeasuredLayer(layer, 23520.0, 1810.0)], **BOOK).layers[0].verdicts[0]
    assert verdict.holds
    assert "takes, shrinking the layer like decay" in verdict.sentence


def test_a_layer_that_the_gradient_shrank_has_no_size_at_rest():
    layer = claims([MeasuredLayer(Layer("w", (10, 10)), 100.0, 0.1)], **BOOK).layers[0]
    assert layer.feed < 0
    assert layer.rms_at_rest is None
    assert layer.sentence.endswith("the gradient shrank it as well")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lr": -1}, "lr is -1"),
        ({"lmbda": math.nan}, "lmbda is nan"),
        ({"lmbda": 500_001.0}, "takes 1 of every weight at each step"),
        ({"batch_size": 50001}, "from 1 to 50000"),
        ({"epochs": 1.5}, "epochs is 1.5"),
        ({"layers": []}, "one simulate.MeasuredLayer per layer"),
        ({"layers": ["w"]}, "a layer is 'w'"),
        ({"layers": [*students(), students()[0]]}, "two layers are called 'layer 2'"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(changed, message):
    given = {"layers": students(), **BOOK, **changed}
    with pytest.raises(InvalidInput, match=message):
        claims(given.pop("layers"), **given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "variance", "--layer", "w=3x4,start=1"], "must have its size at the start and at the end"),
        (["--size", "variance", "--layer", "w=3x4,start=1,end=small"], "'end=small' of the layer"),
        (["--size", "variance", "--layer", "w=3x4,start=1,end=1,start=2"], "has start twice; give it once"),
        (["--size", "rms", "--layer", "w=3x4,start=1,end=1", "--epochs", "9" * 20], "from 1 to 1000000000000000"),
        (["--size", "variance", "--layer", "w=3x4,start=1,end=-1"], "end of w is -1.0"),
        (["--size", "varience", "--layer", "w=3x4,start=1,end=1"], "did you mean 'variance'"),
        (["--layer", "w=3x4,start=1,end=1"], "Missing option '--size'"),
        (["--size", "rms"], "Missing option '--layer'"),
        (["--size", "rms", "--layer", "w=3x4,start=1,end=1", "--epochs", "thirty"], "is 'thirty', but must be"),
    ],
)
def test_bad_options_are_answered_in_one_sentence(arguments, message):
    done = run(*OPTIONS, *arguments)
    assert 2 == done.exit_code, done.output
    assert message in done.output
    assert "Traceback" not in done.output
