"""A configuration that cannot be trained is refused in one sentence; one that can be is kept as it was given."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightdecay.errors import InvalidInput
from weightdecay.simulate import Constant, Cosine, WarmUp
from weightdecay.validate import TrainingConfig
from weightdecay.validate.configuration import ACTIVATIONS, INITIALIZATIONS, OUTPUTS, SAMPLINGS
from weightdecay.validate.optimizers import SGD, Adam, Lion, Muon

NIELSEN = {"layers": [784, 30, 10], "eta": 0.1, "lmbda": 5, "batch_size": 10, "epochs": 30}
PYTORCH = {"layers": [784, 30, 10], "lr": 0.1, "weight_decay": 1e-4, "batch_size": 10, "epochs": 30}


def test_both_conventions_give_the_same_run():
    nielsen, pytorch = TrainingConfig.nielsen(**NIELSEN), TrainingConfig.pytorch(**PYTORCH)
    for expected, actual in zip(pytorch.tabulate(50000), nielsen.tabulate(50000), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-15)
    assert nielsen.steps_per_epoch(50000) == 5000


def test_schedules_and_functions_of_the_step_are_tabulated_over_the_run():
    config = TrainingConfig.pytorch(
        **{**PYTORCH, "epochs": 2, "lr": Cosine(0.1, 0.0, 20), "weight_decay": lambda step: 0.01 * step}
    )
    lr, weight_decay = config.tabulate(n_train=100)
    expected = [0.05 * (1 + math.cos(math.pi * step / 20)) for step in range(20)]
    np.testing.assert_allclose(lr, expected, atol=1e-15)
    np.testing.assert_allclose(weight_decay, 0.01 * np.arange(20))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eta": 0}, "eta is 0, but must be a finite number above 0"),
        ({"eta": -0.1}, "eta is -0.1, but must be a finite number above 0"),
        ({"eta": math.inf}, "eta is inf, but must be a finite number above 0"),
        ({"eta": math.nan}, "eta is nan, but must be a finite number above 0"),
        ({"eta": "0.1"}, "eta is '0.1', but must be a finite number above 0"),
        ({"eta": None}, "eta is None, but must be a finite number above 0"),
        ({"lmbda": -5}, "lmbda is -5, but must be a finite number, 0 or above"),
        ({"batch_size": 0}, "batch_size is 0, but must be a whole number of at least 1"),
        ({"batch_size": 2.5}, "batch_size is 2.5, but must be a whole number"),
        ({"epochs": True}, "epochs is True, but must be a whole number"),
        ({"layers": [784, 0, 10]}, r"layers\[1\] is 0, but must be a whole number of at least 1"),
        ({"layers": [784]}, r"layers is \[784\], but must hold at least the inputs and the outputs"),
        ({"layers": "784,30,10"}, "layers is '784,30,10', but must be a sequence of widths"),
        ({"layers": 784}, "layers is 784, but must be a sequence of widths"),
        ({"layers": [784, 10**9, 10]}, "but there must be at most 100000000; make the layers narrower"),
        ({"epochs": 10**15}, "epochs is 1000000000000000, but must be a whole number from 1 to 100000"),
        ({"initialization": "xavier"}, "initialization is 'xavier', but must be one of: large, fan_in, he"),
        ({"initialization": -1.0}, "initialization is -1.0, but must be a finite number, 0 or above"),
        ({"activation": "rlu"}, r"activation is 'rlu', .*did you mean 'relu'"),
        ({"output": "softmx"}, r"output is 'softmx', .*did you mean 'softmax'"),
        ({"dtype": "float16"}, "dtype is 'float16', but must be one of: float32, float64"),
        ({"biases": 1}, "biases is 1, but must be True or False"),
        ({"biases": False, "decay_biases": True}, "there is nothing to decay"),
        ({"optimizer": "adam"}, r"optimizer is 'adam', but must be one such as SGD\(momentum=0.9\) or Adam\(\)"),
        ({"normalized": "hidden"}, r"normalized is 'hidden', but must be False, True \(the hidden layers\) or 'all'"),
        ({"normalized": 1}, "normalized is 1, but must be False"),
        ({"normalized": True, "layers": [784, 10]}, "there is no hidden layer; use normalized='all' or add a layer"),
        ({"normalized": True, "initialization": 0.0}, "initialization is 0, but normalized weights need a direction"),
        ({"sampling": "replaced"}, "sampling is 'replaced', but must be one of: reshuffled, with_replacement"),
    ],
)
def test_impossible_hyperparameters_name_value_and_range(changes, message):
    with pytest.raises(InvalidInput, match=message):
        TrainingConfig.nielsen(**{**NIELSEN, **changes})


def test_decay_that_leaves_nothing_of_a_weight_is_refused_as_soon_as_it_is_known():
    with pytest.raises(
        InvalidInput, match=r"lr\*weight_decay is 1 at step 0 .* must be below 1, .* lower the learning rate"
    ):
        TrainingConfig.pytorch(**{**PYTORCH, "lr": 0.5, "weight_decay": 2.0})
    config = TrainingConfig.nielsen(**{**NIELSEN, "eta": 1.0, "lmbda": 100})
    assert config.tabulate(n_train=101)[0].size == 30 * 11
    with pytest.raises(InvalidInput, match=r"eta\*lmbda/n_train is 1 at step 0 \(eta is 1 there\)"):
        config.tabulate(n_train=100)


def test_a_misspelled_option_is_a_type_error_of_python():
    with pytest.raises(TypeError, match="activaton"):
        TrainingConfig.nielsen(**NIELSEN, activaton="relu")


widths = st.lists(st.integers(1, 1000), min_size=2, max_size=5)
configurations = st.fixed_dictionaries(
    {
        "layers": widths,
        "lr": st.floats(1e-6, 10) | st.builds(Constant, st.floats(1e-6, 1.0)),
        "weight_decay": st.floats(0, 0.09),
        "batch_size": st.integers(1, 200),
        "epochs": st.integers(1, 20),
        "initialization": st.sampled_from(INITIALIZATIONS) | st.floats(0, 10),
        "activation": st.sampled_from(ACTIVATIONS),
        "output": st.sampled_from(OUTPUTS),
        "dtype": st.sampled_from(["float32", "float64"]),
        "optimizer": st.sampled_from([SGD(), SGD(momentum=0.9, nesterov=True), Adam(beta1=0.5), Lion(), Muon()]),
        "normalized": st.sampled_from([False, "all"]),
        "sampling": st.sampled_from(SAMPLINGS),
    }
).filter(lambda options: not options["normalized"] or options["initialization"] != 0)


@given(configurations)
def test_every_possible_configuration_survives_json(options):
    config = TrainingConfig.pytorch(**options)
    assert TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.n_layers == len(options["layers"]) - 1
    lr, weight_decay = config.tabulate(n_train=1000)
    assert lr.shape == weight_decay.shape == (config.epochs * -(-1000 // config.batch_size),)
    assert np.all(lr * weight_decay < 1)


anything = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.floats(), max_size=3)
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                *NIELSEN,
                "initialization",
                "activation",
                "output",
                "biases",
                "dtype",
                "optimizer",
                "normalized",
                "sampling",
            ]
        ),
        anything,
    )
)
def test_whatever_is_given_is_a_configuration_or_one_sentence(changes):
    options = {**NIELSEN, **changes}
    try:
        config = TrainingConfig.nielsen(**options)
    except InvalidInput:
        with pytest.raises(InvalidInput, match="^[^\n]* (must|nothing to decay)[^\n]*$"):
            TrainingConfig.nielsen(**options)
    else:
        assert all(width >= 1 for width in config.layers)


def test_a_description_of_something_else_is_refused():
    with pytest.raises(InvalidInput, match="a configuration is told by"):
        TrainingConfig.from_dict({"layers": [2, 2]})


def test_schedules_have_a_json_form_inside_the_configuration():
    config = TrainingConfig.pytorch(**{**PYTORCH, "lr": WarmUp(5, Constant(0.1))})
    assert TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(("output", "activation"), list(itertools.product(OUTPUTS, ACTIVATIONS)))
def test_every_pair_of_units_can_be_configured(output, activation):
    config = TrainingConfig.nielsen(**NIELSEN, output=output, activation=activation)
    assert (config.output, config.activation) == (output, activation)
