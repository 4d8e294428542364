"""The figure of ``weightdecay simulate --plot`` tells what the integrator found, and can be cited."""

import dataclasses
import json
import math
import shlex
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.text import Text

from weightdecay import figures, theory, validate
from weightdecay.cli import main
from weightdecay.errors import InvalidInput
from weightdecay.figures import bundle
from weightdecay.figures.norm_trajectory import compute, facts
from weightdecay.simulate import Cosine, Step, norm_trajectory

ID = "norm-trajectory"
SUFFIXES = ("pdf", "svg", "png", "csv", "json", "tex", "bib", "md")
FOUNDING = {"lr": 0.1, "weight_decay": 1e-4, "n_steps": 150000, "radial_pull": 0.1}
DROP = {"lr": Step(0.1, 0.1, at=(6000, 11000)), "weight_decay": 1e-2, "n_steps": 15000, "gradient_power": 100.0}
FEW = {"n_weights": 100, "n_train": 1000, "batch_size": 10}


@pytest.fixture(scope="module", autouse=True)
def code():
    """Hold the checksum of the other rooms, so that who edits them while the tests run does not make these fail."""
    checksum = validate.code_checksum("theory", "simulate", "validate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle, "code_checksum", lambda *_: checksum)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder of the figure that the command line draws of a run with a schedule."""
    folder = tmp_path_factory.mktemp("figures")
    asked = ["--lr", "cosine:0.1:0.01", "--weight-decay", "0.01", "--radial-pull", "2", "--gradient-power", "3"]
    done = simulate(*asked, "--steps", "9000", "--n-weights", "1000", "--plot", str(folder))
    assert 0 == done.exit_code, done.output
    return folder


def simulate(*arguments):
    return CliRunner().invoke(main, ["simulate", *arguments])


def curves_of(report):
    return {curve.name: curve for curve in report.curves}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_figure_is_eight_files_and_the_command_says_so(folder, tmp_path):
    assert {f"{ID}.{suffix}" for suffix in SUFFIXES} == set(contents(folder))
    done = simulate("--radial-pull", "1", "--plot", str(tmp_path))
    assert f"{ID}: {tmp_path}/{ID}{{.{',.'.join(SUFFIXES)}}}" == done.output.splitlines()[-1]


def test_csv_and_json_stay_machine_readable_beside_a_plot(tmp_path):
    done = simulate("--radial-pull", "1", "--plot", str(tmp_path), "--format", "csv")
    assert {8} == {line.count(",") + 1 for line in done.stdout.splitlines()}
    assert done.stderr.startswith(f"{ID}: ")
    told = json.loads(simulate("--radial-pull", "1", "--plot", str(tmp_path), "--json").stdout)
    assert [str(tmp_path / f"{ID}.{suffix}") for suffix in SUFFIXES] == told["files"]


def test_the_figure_is_of_no_experiment_and_not_among_those_that_train():
    assert ID not in figures.ids()
    assert ID in figures.all_ids()
    assert ID == figures.catalogue.module(ID).ID
    assert ("weightdecay",) == figures.references(ID)[:1]
    assert "lecun1998" not in figures.references(ID)


def test_the_curves_are_those_of_the_integrator():
    report = compute(**DROP, **FEW)
    run = norm_trajectory(norm_squared_start=100, n_points=601, **DROP)
    curves = curves_of(report)
    assert {"theory"} == {curve.kind for curve in report.curves}
    np.testing.assert_array_equal(run.step / 100, curves["squared norm"].x)
    np.testing.assert_array_equal(run.norm_squared, curves["squared norm"].y)
    np.testing.assert_array_equal(run.equilibrium, curves["equilibrium"].y)
    np.testing.assert_array_equal(run.pure_decay_floor, curves["decay alone"].y)
    np.testing.assert_allclose(curves["learning rate"].y, run.lr / 0.1)
    assert run.steps_to_equilibrium / 100 == pytest.approx(curves["in equilibrium"].x[0])
    told = report.provenance["results"]
    assert run.share_out_of_equilibrium == told["share_out_of_equilibrium"]


def test_an_equilibrium_soon_after_the_run_is_shown_at_its_closed_form_time():
    report = compute(**FOUNDING)
    # 22520 exp(-2 lr weight_decay n) = 5 % of 1000
    expected = math.log(22520 / 50) / (2 * 0.1 * 1e-4) / 5000
    curves = curves_of(report)
    assert expected == pytest.approx(curves["in equilibrium"].x[0], rel=1e-6)
    assert 1050 == pytest.approx(curves["in equilibrium"].y[0], rel=1e-3)
    assert curves["squared norm"].x[-1] > expected > 30
    told = facts(report)
    assert "Equilibrium is reached after 61.1 epochs, after the end of this run" in told["answer"]
    floor = theory.derive("decay-floor").numeric(
        "norm_squared", norm_squared_start=23520, lr=0.1, weight_decay=1e-4, n_steps=150000
    )
    assert float(floor) == pytest.approx(told["floor_end"], rel=1e-3)


@pytest.mark.parametrize(
    ("changed", "answer"),
    [
        ({"radial_pull": 0.0}, "Equilibrium is never reached"),
        ({"n_steps": 1000}, "Equilibrium is reached after 61.1 epochs, after the end of this run"),
        ({"radial_pull": 2.4}, "The weights start in equilibrium"),
        ({"weight_decay": 1e-2}, "Equilibrium is reached after 1.08 epochs"),
    ],
)
def test_the_title_answers_when(changed, answer):
    report = compute(**(FOUNDING | changed))
    assert facts(report)["answer"].startswith(answer)
    last = 30 if changed.get("n_steps") is None else 0.2
    assert last == pytest.approx(curves_of(report)["squared norm"].x[-1])  # too far to be shown, or inside


@pytest.mark.parametrize(
    "values",
    [
        FOUNDING,
        FOUNDING | {"radial_pull": 0.0},
        FOUNDING | {"weight_decay": 0.0},
        FOUNDING | {"radial_pull": 2.4, "tolerance": 3.0},
        DROP,
        {"lr": Cosine(0.1, 0.0, 300), "weight_decay": 0.1, "n_steps": 300, "unit_gradient_power": 4.0},
        {"lr": 0.1, "weight_decay": 0.1, "n_steps": 1, "radial_pull": 1.0},
    ],
)
@pytest.mark.filterwarnings("error")
def test_it_is_drawn_whatever_the_hyperparameters_with_letters_of_six_points_inside_the_page(values):
    report = compute(**values)
    with figures.figure_style(ID):
        figure = figures.draw_figure(report, ID)
        figure.draw_without_rendering()
        page = figure.bbox
        texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
        assert min(text.get_fontsize() for text in texts) >= 6
        labels = [text for axes in figure.axes for text in axes.texts]
        assert [] == [text.get_text() for text in labels if not page.contains(*text.get_window_extent().min)]
        assert [] == [text.get_text() for text in labels if not page.contains(*text.get_window_extent().max)]
    heights = [axes.get_position().height * figure.get_figheight() for axes in figure.axes]
    assert min(heights) > 0.4  # no label outside pushes a panel flat


def test_labels_name_the_curves_and_the_moment():
    with figures.figure_style(ID):
        figure = figures.draw_figure(compute(**FOUNDING), ID)
    (axes,) = figure.axes
    words = {text.get_text() for text in axes.texts}
    assert {
        "squared norm",
        "equilibrium ± 5 %",
        "decay alone",
        "in equilibrium at epoch 61.1",
        "end of the run, epoch 30",
    } == words
    assert "log" == axes.get_yscale()
    assert "epoch" == axes.get_xlabel()


def test_a_schedule_gets_a_panel_of_its_own():
    with figures.figure_style(ID):
        assert 2 == len(figures.draw_figure(compute(**DROP), ID).axes)
        assert 1 == len(figures.draw_figure(compute(**FOUNDING), ID).axes)


def test_a_figure_read_back_draws_the_same_bytes(folder):
    report = figures.load(folder / f"{ID}.csv", folder / f"{ID}.json")
    assert contents(folder) == figures.redraw(report, ID)
    (finding,) = figures.check(folder, (ID,))
    assert (ID, True, "as drawn from its table") == dataclasses.astuple(finding)
    done = CliRunner().invoke(main, ["figures", ID, "--check", "--out", str(folder)])
    assert (0, f"ok    {ID}: as drawn from its table\n") == (done.exit_code, done.output)


def test_the_recorded_command_draws_the_same_table_again(folder, tmp_path):
    first = json.loads((folder / f"{ID}.json").read_text())
    words = shlex.split(first["provenance"]["command"])
    assert ["weightdecay", "simulate"] == words[:2]
    assert "weightdecay-figures" == words[-1]
    done = simulate(*words[2:-1], str(tmp_path))
    assert 0 == done.exit_code, done.output
    second = json.loads((tmp_path / f"{ID}.json").read_text())
    assert first["csv_sha256"] == second["csv_sha256"]
    assert first["provenance"] == second["provenance"]


def test_the_provenance_names_the_hyperparameters_and_no_place(folder):
    told = json.loads((folder / f"{ID}.json").read_text())
    parameters = told["provenance"]["parameters"]
    assert {"kind": "cosine", "start": 0.1, "end": 0.01, "n_steps": 9000} == parameters["lr"]
    assert (1000, 2.0, 3.0) == tuple(parameters[name] for name in ("n_weights", "radial_pull", "gradient_power"))
    assert str(folder) not in json.dumps(told)


def test_a_folder_that_cannot_be_written_is_one_sentence_before_anything_is_computed(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")

    def never(*_, **__):
        raise AssertionError

    monkeypatch.setattr(figures, "make", never)
    done = simulate("--radial-pull", "0.1", "--plot", str(tmp_path / "file"))
    assert 2 == done.exit_code
    assert done.stderr.startswith(f"Error: the folder {tmp_path}/file cannot be written to (")
    assert "" == done.stdout


def test_wrong_hyperparameters_leave_no_folder(tmp_path):
    done = simulate("--rms", "0", "--plot", str(tmp_path / "new"))
    assert 2 == done.exit_code
    assert "Error: rms is 0.0, but must be a finite number above 0\n" == done.stderr
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n_steps": 0}, "n_steps is 0"),
        ({"n_weights": 0}, "n_weights is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"n_train": 1.5}, "n_train is 1.5"),
        ({"law": "adam"}, "law is 'adam'"),
        ({"unit_gradient_power": 1.0}, "a scale-invariant block has no radial_pull"),
    ],
)
def test_wrong_values_are_named(changed, message):
    with pytest.raises(InvalidInput, match=message):
        compute(**(FOUNDING | changed))


def test_the_command_line_integrates_once_for_table_and_figure(tmp_path, monkeypatch):
    trajectory = sys.modules["weightdecay.simulate.trajectory"]

    calls = []
    real = trajectory.solve
    monkeypatch.setattr(trajectory, "solve", lambda *args, **options: calls.append(1) or real(*args, **options))
    done = simulate("--lr", "linear:0.1:0.05", "--steps", "3000", "--radial-pull", "1", "--plot", str(tmp_path))
    assert 0 == done.exit_code, done.output
    assert 1 == len(calls)
