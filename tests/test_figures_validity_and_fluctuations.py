"""The figures of validity and fluctuations say what their reports say, and can be read at both widths."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from drawn_texts import overlapping, shown, too_small

from weightdecay import figures, validate
from weightdecay.figures import fluctuations, validity
from weightdecay.figures.captions import fill
from weightdecay.validate import Dataset, Part
from weightdecay.validate import fluctuations as measured_fluctuations
from weightdecay.validate import validity as measured_validity

MODULES = {module.ID: module for module in (validity, fluctuations)}


def made_records(runs, _data, **_options):
    """Return records of neurons that are near the norm and rotation of the exact theory."""
    rng = np.random.default_rng(0)
    records = []
    for run in runs:
        n_neurons = 4
        decay = run.config.lr(np.arange(1))[0] * run.config.weight_decay(1000)(np.arange(1))[0]
        power = rng.uniform(0.9, 1.1, n_neurons)
        rows = {"gradient_power": power, "measured_power": power}
        rows["norm_squared"] = rng.uniform(0.9, 1.3, n_neurons) * run.config.lr(np.arange(1))[0] ** 2 / (2 * decay)
        rows["one_minus_cosine"] = np.full(n_neurons, decay)
        motion = {name: (np.array([np.full(n_neurons, np.nan), values]),) for name, values in rows.items()}
        final = SimpleNamespace(weights=(np.zeros((n_neurons, 20)),))
        norms = (rows["norm_squared"] * np.array([[9.0], [1.0], [0.64], [1.36]]),)
        records.append(
            SimpleNamespace(
                neuron_motion=motion,
                final=final,
                diverged=None,
                config=run.config,
                step_neuron_norm_squared=norms,
                steps=np.array([0, 1, 3]),
            )
        )
    return records


def made_fluctuations(jobs, _data, **_options):
    """Return neurons that fluctuate 1.5 times as much as independent noise would make them."""
    rng = np.random.default_rng(0)
    results = []
    for _ in jobs:
        found = {}
        for layer in ("hidden", "output"):
            variation = rng.uniform(0.5, 2, 6)
            spread = 1.5 * np.sqrt(2 * measured_fluctuations.DECAY) * variation
            found[f"samples {layer}"] = spread * rng.standard_normal((400, 6))
            found[f"measured {layer}"], found[f"driven {layer}"] = spread, spread / 1.02
            found[f"variation {layer}"] = variation
        results.append(found)
    return results


@pytest.fixture(scope="module")
def reports():
    part = Part(np.zeros((1000, 16), dtype=np.uint8), np.arange(1000, dtype=np.uint8) % 10)
    data = Dataset("small", part, part, part, image_shape=(4, 4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measured_validity, "train_all", made_records)
        patch.setattr(measured_fluctuations, "compute_all", made_fluctuations)
        return {name: validate.run(name, data=data, n_jobs=1, rng=0) for name in MODULES}


def drawn(report, name, page):
    with figures.figure_style(name):
        figure = figures.draw_figure(report, name, width=page)
        figure.draw_without_rendering()
    return figure


@pytest.mark.parametrize("page", ["full", "column"])
@pytest.mark.parametrize("name", MODULES)
def test_texts_are_large_enough_and_apart(reports, name, page):
    figure = drawn(reports[name], name, page)
    assert len(shown(figure)) > 15
    assert [] == too_small(figure)
    assert [] == overlapping(figure)


@pytest.mark.parametrize("name", MODULES)
def test_every_curve_of_the_report_is_drawn(reports, name):
    heights = {tuple(line.get_ydata()) for axes in drawn(reports[name], name, "full").axes for line in axes.lines}
    assert [] == [(curve.panel, curve.name) for curve in reports[name].curves if tuple(curve.y) not in heights]


@pytest.mark.parametrize("name", MODULES)
def test_caption_and_alternative_text_are_filled(reports, name):
    told = MODULES[name].facts(reports[name])
    for template in (MODULES[name].CAPTION, MODULES[name].ALT):
        text = fill(template, told)
        assert "unknown" not in text
        assert len(text) > 150


def changed(report, key, **values):
    found = [dataclasses.replace(one, **values) if one.key == key else one for one in report.comparisons]
    assert found != list(report.comparisons)
    return dataclasses.replace(report, comparisons=tuple(found))


@pytest.mark.parametrize(
    ("name", "key", "values", "words"),
    [
        ("validity", "squared norm leading SGD at 0.3", {"measured": 1.2345}, "are at 1.234 (SGD)"),
        ("validity", "squared norm exact heavy ball 0.9 at 0.3", {"measured": 0.4321}, "and 0.4321 of the exact"),
        ("validity", "squared norm exact heavy ball 0.99, decoupled at 0.01", {"measured": 3.21}, "and 3.21 of the"),
        ("validity", "angular update exact heavy ball 0.9 at 0.3", {"measured": 7.77}, "7.77 (heavy ball) of"),
        ("validity", "reshuffled AdamW batch 50", {"measured": 9.9}, "to 9.9, for batches"),
        ("validity", "least norm heavy ball 0.9 at 0.01", {"measured": 0.21}, "comes down to 0.21 of"),
        ("validity", "floor bfloat16", {"measured": 0.123}, "0.123 (bfloat16)"),
        ("fluctuations", "independent hidden", {"measured": 2.0, "predicted": 0.8}, "measured one is 2.50 (hidden"),
        ("fluctuations", "driven output", {"measured": 2.0, "predicted": 0.5}, "and 4.00 times"),
        ("fluctuations", "distance driven output", {"measured": 0.77}, "and 0.77 from a normal law"),
    ],
)  # fmt: skip
def test_numbers_of_the_caption_come_from_the_comparisons(reports, name, key, values, words):
    module = MODULES[name]
    assert words not in fill(module.CAPTION, module.facts(reports[name]))
    assert words in fill(module.CAPTION, module.facts(changed(reports[name], key, **values)))


def test_the_change_by_reshuffling_is_that_against_batches_drawn_with_replacement(reports):
    report = changed(reports["validity"], "reshuffled AdamW batch 50", measured=0.9)
    report = changed(report, "with_replacement AdamW batch 50", measured=1.2)
    assert "−25.0 % (AdamW, 20 steps in an epoch)" in fill(validity.CAPTION, validity.facts(report))
