"""What weight decay does in an optimizer, told from its parameter groups."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from weightdecay import simulate, validate
from weightdecay.errors import InvalidInput
from weightdecay.validate import describe


def group(**values):
    return {"params": [np.zeros((8, 4)), np.zeros(8)], "lr": 0.1, "weight_decay": 1e-4} | values


def described(name, **values):
    return describe({"optimizer": name, "param_groups": [group(**values)]}).groups[0]


def test_groups_are_counted_and_told_apart():
    found = describe(
        {"optimizer": "SGD", "param_groups": [group(), group(weight_decay=0)]}, n_train=1000, batch_size=10
    )
    decayed, free = found.groups
    assert (2, 1, 40) == (decayed.n_tensors, decayed.n_vectors, decayed.n_weights)
    assert 1e5 == pytest.approx(decayed.time_constant_steps)
    assert 1e3 == pytest.approx(decayed.time_constant_epochs)
    assert free.time_constant_steps is None
    assert "no decay" == free.convention
    assert any("1 biases or gains are decayed" in note for note in decayed.notes)
    assert any("get no decay: nothing holds their norm" in note for note in free.notes)


def test_any_object_with_param_groups_will_do():
    class AdamW(SimpleNamespace):
        pass

    found = describe(AdamW(param_groups=[group(lr=1e-3, weight_decay=0.1, betas=(0.9, 0.95))]))
    assert "AdamW" == found.optimizer
    run = simulate.predict(
        [simulate.Layer("w", (8, 4))], optimizer="adamw", beta2=0.95, lr=1e-3, weight_decay=0.1, n_steps=10
    )
    assert run.layers[0].rms_equilibrium == pytest.approx(found.groups[0].rms_equilibrium)
    assert run.layers[0].angular_update == pytest.approx(found.groups[0].angular_update)


def test_momentum_takes_a_penalty_many_times():
    found = described("SGD", momentum=0.9)
    assert 1e4 == pytest.approx(found.time_constant_steps)
    assert any("momentum takes the decay 10 times" in note for note in found.notes)


def test_adam_is_coupled_unless_it_says_otherwise():
    assert described("Adam", betas=(0.9, 0.999)).convention.startswith("coupled")
    assert any("AdamW is what papers" in note for note in described("Adam").notes)
    assert described("Adam", decoupled_weight_decay=True).convention.startswith("decoupled")


def test_an_unknown_optimizer_still_has_its_decay():
    found = described("Adafactor")
    assert 1e-5 == pytest.approx(found.decay_per_step)
    assert any("Adafactor is not among the optimizers with a theory" in note for note in found.notes)


def test_a_number_format_that_loses_the_decay_is_told():
    bfloat16 = SimpleNamespace(shape=(4, 4), dtype="torch.bfloat16")
    found = described("AdamW", params=[bfloat16], lr=3e-4, weight_decay=0.1)
    assert "bfloat16" == found.number_format
    assert any("in bfloat16 this decay moves no weight" in note for note in found.notes)


def test_json_and_text_have_it_all():
    found = describe({"optimizer": "Lion", "param_groups": [group(lr=1e-4, weight_decay=1.0)]})
    assert 1e-4 == json.loads(json.dumps(found.to_dict()))["groups"][0]["lr"]
    assert "lr 0.0001, weight_decay 1: decoupled: weights are multiplied by 1 - lr*weight_decay" in found.text()


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (object(), "object has no param_groups"),
        ({"param_groups": []}, "has no param_groups"),
        ({"param_groups": "all"}, "has no param_groups"),
        ({"param_groups": [{"params": []}]}, "has no lr"),
        ({"param_groups": [3]}, "has no lr"),
        ({"param_groups": [group(lr=-1)]}, "lr is -1"),
        ({"param_groups": [group(weight_decay="big")]}, "weight_decay is 'big'"),
        ({"param_groups": [group(params="all")]}, "params of a group is str"),
        ({"optimizer": "AdamW", "param_groups": [group(betas=(1.5, 0.9))]}, "beta1 is 1.5"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(optimizer, message):
    with pytest.raises(InvalidInput, match=message):
        describe(optimizer)


@pytest.mark.peers
def test_pytorchs_optimizers_are_described():
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(784, 30), torch.nn.Sigmoid(), torch.nn.Linear(30, 10))
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    biases = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups = [{"params": weights, "weight_decay": 1e-4}, {"params": biases, "weight_decay": 0.0}]
    found = describe(torch.optim.SGD(groups, lr=0.1), n_train=50000, batch_size=10)
    assert (2, 0, 23820) == tuple(getattr(found.groups[0], name) for name in ("n_tensors", "n_vectors", "n_weights"))
    assert 20 == pytest.approx(found.groups[0].time_constant_epochs)
    assert "float32" == found.groups[0].number_format
    assert () == found.groups[1].notes
    groups = [{"params": weights, "weight_decay": 0.1}, {"params": biases, "weight_decay": 0.0}]
    adamw = describe(torch.optim.AdamW(groups, lr=torch.tensor(1e-3), betas=(0.9, 0.95)))
    assert 1e4 == pytest.approx(adamw.groups[0].time_constant_steps, rel=1e-6)
    assert adamw.groups[0].convention.startswith("decoupled")
    assert adamw.groups[0].rms_equilibrium is not None
    assert describe(torch.optim.Adam(model.parameters(), weight_decay=0.1)).groups[0].convention.startswith("coupled")
    nesterov = describe(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4))
    assert 1e4 == pytest.approx(nesterov.groups[0].time_constant_steps)


@pytest.mark.peers
@pytest.mark.parametrize("optimizer", ["SGD", "AdamW", "Adam"])
def test_the_decay_told_is_the_one_that_pytorch_takes(optimizer):
    """Without gradient (zero, for Adam a penalty would be normalized) weights shrink as told."""
    import torch

    weight = torch.nn.Parameter(torch.ones(4, 4, dtype=torch.float64))
    made = getattr(torch.optim, optimizer)([weight], lr=0.1, weight_decay=0.01)
    told = describe(made).groups[0]
    weight.grad = torch.zeros_like(weight)
    made.step()
    left = float(weight.detach()[0, 0])
    if optimizer == "Adam":
        assert left != pytest.approx(1 - told.decay_per_step)  # as its note says
        assert any("holds only where that root is 1" in note for note in told.notes)
    else:
        assert 1 - told.decay_per_step == pytest.approx(left)


@pytest.mark.peers
def test_a_log_that_a_real_pytorch_training_wrote_is_diagnosed(tmp_path, monkeypatch):
    """The README's lines write the log of a network with a normalized layer and an output layer."""
    import torch

    torch.set_num_threads(1)  # small products on several threads wait for each other
    torch.manual_seed(0)
    inputs, labels = torch.randn(512, 20), torch.randint(0, 3, (512,))
    norm = torch.nn.LayerNorm(40, elementwise_affine=False)
    model = torch.nn.Sequential(torch.nn.Linear(20, 40, bias=False), norm, torch.nn.ReLU(), torch.nn.Linear(40, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.02)
    batches = [torch.randint(0, 512, (32,)) for _ in range(2001)]
    given = {
        "model": model,
        "optimizer": optimizer,
        "loss_function": torch.nn.functional.cross_entropy,
        "batches": [(inputs[batch], labels[batch]) for batch in batches],
    }
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    (lines,) = re.findall(r"<!-- pytorch-log -->\n```python\n(.*?)```", readme, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(lines, "README.md", "exec"), given)  # what a reader would copy
    path = tmp_path / "log.csv"
    found = validate.diagnose(path)
    first, last = found.layers
    assert ["0.weight", "3.weight"] == [first.name, last.name]
    assert 500 == pytest.approx(found.time_constant_steps)
    assert "equilibrium" in (first.state, last.state)
    # scale-invariant weights have no pull: the logged power alone holds them, and the prediction needs nothing else
    assert first.norm_squared_predicted == pytest.approx(first.norm_squared_fitted, rel=0.1)
