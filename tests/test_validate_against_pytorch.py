"""PyTorch as oracle: the same network, the same examples in the same order, the same weights at the end."""

import numpy as np
import pytest

from weightdecay.validate import Dataset, Mlp, Part, TrainingConfig, train
from weightdecay.validate.configuration import ACTIVATIONS, OUTPUTS

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def small_data():
    rng = np.random.default_rng(5)
    parts = [
        Part(rng.integers(0, 256, size=(50, 12), dtype=np.uint8), rng.integers(10, size=50, dtype=np.uint8))
        for _ in range(3)
    ]
    return Dataset("small", *parts, image_shape=(3, 4))


def as_torch(network):
    import torch

    activation = {
        "sigmoid": torch.nn.Sigmoid,
        "tanh": torch.nn.Tanh,
        "relu": torch.nn.ReLU,
        "linear": torch.nn.Identity,
    }[network.activation]
    modules = []
    for w, b in zip(network.weights, network.biases, strict=True):
        linear = torch.nn.Linear(w.shape[1], w.shape[0], dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(w))
            linear.bias.copy_(torch.tensor(b))
        modules += [linear, activation()]
    return torch.nn.Sequential(*modules[:-1])


def loss(output, logits, y):
    import torch

    if output == "sigmoid":
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, y, reduction="sum") / len(y)
    if output == "softmax":
        return torch.nn.functional.cross_entropy(logits, y)
    return torch.nn.functional.mse_loss(logits, y, reduction="sum") / (2 * len(y))


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_are_pytorchs(small_data, activation, output):
    import torch

    config = TrainingConfig.pytorch(
        layers=[12, 7, 6, 10], lr=1, weight_decay=0, batch_size=1, epochs=1, activation=activation, output=output
    )
    network = Mlp.initialize(config, 0)
    x, y = small_data.train.images * small_data.pixel_scale, np.eye(10)[small_data.train.labels]
    model = as_torch(network)
    loss(output, model(torch.tensor(x)), torch.tensor(y)).backward()
    weight_gradients, bias_gradients = network.gradients(x, y)
    linears = [module for module in model if hasattr(module, "weight")]
    for linear, weight_gradient, bias_gradient in zip(linears, weight_gradients, bias_gradients, strict=True):
        np.testing.assert_allclose(weight_gradient, linear.weight.grad.numpy(), rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(bias_gradient, linear.bias.grad.numpy(), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("decay_biases", [False, True])
@pytest.mark.parametrize(("activation", "output"), [("sigmoid", "sigmoid"), ("relu", "softmax"), ("tanh", "linear")])
def test_training_is_torch_optim_sgd(small_data, activation, output, decay_biases):
    import torch

    config = TrainingConfig.pytorch(
        layers=[12, 7, 10], lr=0.1, weight_decay=0.05, batch_size=8, epochs=4, activation=activation, output=output,
        initialization="fan_in", decay_biases=decay_biases, dtype="float64",
    )  # fmt: skip
    record = train(config, small_data, rng=1)
    weight_stream, order_stream = np.random.default_rng(1).spawn(2)
    model = as_torch(Mlp.initialize(config, weight_stream))
    linears = [module for module in model if hasattr(module, "weight")]
    optimizer = torch.optim.SGD(
        [
            {"params": [linear.weight for linear in linears], "weight_decay": 0.05},
            {"params": [linear.bias for linear in linears], "weight_decay": 0.05 if decay_biases else 0.0},
        ],
        lr=0.1,
    )
    for _ in range(config.epochs):
        order = order_stream.permutation(small_data.n_train)
        for start in range(0, len(order), config.batch_size):
            chosen = order[start : start + config.batch_size]
            x = torch.tensor(small_data.train.images[chosen] * small_data.pixel_scale)
            y = torch.tensor(np.eye(10)[small_data.train.labels[chosen]])
            optimizer.zero_grad()
            loss(output, model(x), y).backward()
            optimizer.step()
    for linear, weights, biases in zip(linears, record.final.weights, record.final.biases, strict=True):
        np.testing.assert_allclose(weights, linear.weight.detach().numpy(), rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(biases, linear.bias.detach().numpy(), rtol=1e-10, atol=1e-12)
