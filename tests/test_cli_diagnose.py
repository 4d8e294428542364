"""What ``weightdecay diagnose`` answers, and what it draws."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from weightdecay import figures, simulate, validate
from weightdecay.cli import main
from weightdecay.errors import InvalidInput

BOOK = ["--lr", "0.1", "--lmbda", "5", "--n-train", "50000", "--batch-size", "10"]
SHAPES = ["--shapes", "layer 2=30x784", "--shapes", "layer 3=10x30"]


def run(*arguments):
    return CliRunner().invoke(main, ["diagnose", *map(str, arguments)])


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log.csv"
    lines = ["step,layer,norm_squared"]
    for name, start, pull in (("layer 2", 23755.0, 0.078), ("layer 3", 345.0, 0.122)):
        way = simulate.norm_trajectory(
            norm_squared_start=start, radial_pull=pull, lr=0.1, weight_decay=1e-4, n_steps=150_000, n_points=61
        )
        lines += [f"{step:.0f},{name},{size}" for step, size in zip(way.step, way.norm_squared, strict=True)]
    path.write_text("\n".join(lines))
    return path


def test_the_founding_question_is_answered_in_words_and_numbers(log):
    told = " ".join(run(log, *BOOK, *SHAPES).output.split())
    assert "log.csv: 122 rows, 2 layers, size told as norm_squared." in told
    assert "Time constant of weights 100000 steps = 20 epochs, of squared norms 50000 steps = 10 epochs." in told
    assert "layer 2: still on its decay transient: its squared norm went from 2.376e+04 to" in told
    assert "(decay alone would leave 1183)" in told
    assert "heading for 780 (rms 0.182), there after epoch" in told
    assert "In short: layer 3 is in equilibrium with decay, but layer 2 is still falling: that takes some" in told
    assert "until epoch 66.7 to 1/√fan_in and until epoch 101 to 1/√(all weights)" in told
    assert "the run is too short to show it there" in told


def test_json_is_what_the_function_returns(log):
    told = json.loads(run(log, *BOOK, "--json").output)
    found = validate.diagnose(log, lr=0.1, weight_decay=1e-4, n_train=50000, batch_size=10)
    assert [layer.verdict for layer in found.layers] == [layer["verdict"] for layer in told["layers"]]


def test_a_bundle_is_drawn_and_can_be_drawn_again(log, tmp_path):
    done = run(log, *BOOK, *SHAPES, "--plot", tmp_path / "out", "--json")
    assert 0 == done.exit_code, done.output
    files = json.loads(done.output)["files"]
    assert len(files) == len(list((tmp_path / "out").iterdir())) >= 8
    report = figures.load(tmp_path / "out" / "diagnosis.csv", tmp_path / "out" / "diagnosis.json")
    command = report.provenance["command"]
    assert "--shapes 'layer 2=30x784'" in command
    assert str(tmp_path) not in command
    again = figures.redraw(report, "diagnosis")
    assert (tmp_path / "out" / "diagnosis.svg").read_bytes() == again["diagnosis.svg"]
    caption = (tmp_path / "out" / "diagnosis.md").read_text()
    assert "still on its decay transient" in caption


def test_the_figure_takes_diagnoses_only():
    with pytest.raises(InvalidInput, match="must be what validate.diagnose returns"):
        figures.make("diagnosis", diagnosis="log.csv")


def test_many_layers_are_all_in_the_table_and_six_in_the_picture(tmp_path):
    step = np.arange(0, 200)
    columns = {f"norm.{place}": 10.0 + place + np.exp(-0.02 * step) for place in range(8)}
    np.savez(tmp_path / "log.npz", step=step, **columns)
    found = validate.diagnose(tmp_path / "log.npz", lr=0.1, weight_decay=0.1, layer_columns=r"^norm\.(.*)")
    report = figures.make("diagnosis", diagnosis=found)
    assert 8 == len({curve.panel for curve in report.curves})
    assert b"the first 6 layers are drawn" in figures.redraw(report, "diagnosis")["diagnosis.md"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lr", "0.1"], "no column weight_decay; give the weight_decay of the run"),
        ([*BOOK, "--weight-decay", "1e-4"], "give either --weight-decay or --lmbda"),
        (["--lr", "0.1", "--lmbda", "5"], "--lmbda also needs --n-train"),
        ([*BOOK, "--column", "step"], "--column is 'step', but must be like step=iteration"),
        ([*BOOK, "--column", "step=time"], "has no column 'time' for the step; it has: step, layer, norm_squared"),
        ([*BOOK, "--shapes", "layer 4=30x784"], "must be one of: layer 2, layer 3"),
        ([*BOOK, "--shapes", "layer 2"], "the layer 'layer 2' cannot be read"),
        ([*BOOK, "--shapes", "layer 2=3x3", "--shapes", "layer 2=4x4"], "two shapes; give each once"),
        ([*BOOK, "--size", "norm"], "which is it?"),
        ([*BOOK, "--layer-colums", "x"], "No such option"),
        (["--lr", "fast"], "is not a valid float"),
    ],
)
def test_bad_options_are_answered_in_one_sentence(log, arguments, message):
    done = run(log, *arguments)
    assert 2 == done.exit_code, done.output
    assert message in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_a_file_that_is_not_there_is_answered_in_one_sentence():
    done = run("none.csv", "--lr", "0.1", "--weight-decay", "0.1")
    assert 2 == done.exit_code
    assert "Error: none.csv cannot be read (no such file or directory)" in done.output
    done = run("", "--lr", "0.1", "--weight-decay", "0.1")
    assert 2 == done.exit_code
    assert "Error: the name of the log is empty" in done.output
