"""The chart of time constants: what it marks, and that it can be drawn again."""

import math

import pytest

from weightdecay import figures, simulate
from weightdecay.errors import InvalidInput

ID = "time-to-equilibrium"


@pytest.fixture(scope="module")
def report():
    return figures.make(ID)


def test_every_mark_lies_on_the_line_of_its_decay(report):
    models = report.provenance["results"]["models"]
    assert len(models) >= 10
    for model in models:
        assert 1 == pytest.approx(model["lr_effective"] * model["weight_decay"] * model["time_constant_steps"])


def test_the_models_come_out_sensibly(report):
    models = {model["name"]: model for model in report.provenance["results"]["models"]}
    assert 20 == pytest.approx(models["Nielsen, chapter 3"]["time_constant_steps"] / 5000)
    assert 1e4 == pytest.approx(models["ResNet-50"]["time_constant_steps"])  # momentum takes the decay ten times
    assert 1 / (3e-4 * 0.1) == pytest.approx(models["LLaMA 7B"]["time_constant_steps"])
    for name, model in models.items():
        run = next(run for run in simulate.published_runs() if run.name == name)
        assert run.predict().n_time_constants == pytest.approx(model["n_time_constants"])
        assert 0 < model["n_time_constants"] <= model["n_steps"] / model["time_constant_steps"] * 1.001


def test_every_source_is_in_the_bibliography_and_cited(report):
    caption = figures.redraw(report, ID)[f"{ID}.md"].decode()
    assert "Language Models are Few-Shot Learners" in caption
    assert {run.source for run in simulate.published_runs()} <= set(figures.references(ID))


@pytest.mark.parametrize("width", ["full", "column"])
def test_it_is_drawn_at_both_widths(report, tmp_path, width):
    files = figures.save(report, ID, tmp_path, width=width)
    assert all(path.stat().st_size < 300_000 for path in files)


def test_a_run_of_ones_own_is_marked(tmp_path):
    run = simulate.predict([simulate.Layer("w", (8, 8))], lr=1e-3, weight_decay=0.1, n_steps=5000, optimizer="adamw")
    report = figures.make(ID, prediction=run)
    own = report.provenance["results"]["models"][-1]
    assert ("this run", 5000) == (own["name"], own["n_steps"])
    assert math.isclose(1e4, own["time_constant_steps"])
    figures.save(report, ID, tmp_path)
    text = (tmp_path / f"{ID}.md").read_text()
    assert "The run that was asked for has 0.50" in text
    assert "--lr 0.001 --weight-decay 0.1 --steps 5000" in text


def test_it_is_drawn_with_the_others_and_says_how(report):
    assert ID in figures.ids()
    assert f"weightdecay figures {ID} --scale quick --seed 0" == report.provenance["command"]


def test_what_is_no_prediction_or_has_no_decay_is_refused():
    with pytest.raises(InvalidInput, match="must be what simulate.predict returns"):
        figures.make(ID, prediction="run")
    run = simulate.predict([simulate.Layer("w", (8, 8))], lr=1e-3, weight_decay=0.0, n_steps=5000)
    with pytest.raises(InvalidInput, match="without decay has no time constant"):
        figures.make(ID, prediction=run)
