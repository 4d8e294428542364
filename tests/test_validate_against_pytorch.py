"""PyTorch as oracle: the same network, the same examples in the same order, the same weights at the end."""

import numpy as np
import pytest

from weightdecay.validate import Dataset, Mlp, Part, TrainingConfig, train, train_ensemble
from weightdecay.validate.configuration import ACTIVATIONS, OUTPUTS
from weightdecay.validate.optimizers import SGD, Adam, Muon, RMSprop

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


def torch_trained(config, data, order_stream, network, make):
    """Train a network on the examples in the stream's order by torch.optim; return its linear layers."""
    import torch

    model = as_torch(network)
    linears = [module for module in model if hasattr(module, "weight")]
    optimizers = make([linear.weight for linear in linears], [linear.bias for linear in linears])
    for _ in range(config.epochs):
        order = order_stream.permutation(data.n_train)
        for start in range(0, len(order), config.batch_size):
            chosen = order[start : start + config.batch_size]
            x = torch.tensor(data.train.images[chosen] * data.pixel_scale)
            y = torch.tensor(np.eye(10)[data.train.labels[chosen]])
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss(config.output, model(x), y).backward()
            for optimizer in optimizers:
                optimizer.step()
    return linears


LR, DECAY = 0.01, 0.05
RULES = [
    (SGD(momentum=0.9), "SGD", {"momentum": 0.9}),
    (SGD(momentum=0.8, dampening=0.4), "SGD", {"momentum": 0.8, "dampening": 0.4}),
    (SGD(momentum=0.9, nesterov=True), "SGD", {"momentum": 0.9, "nesterov": True}),
    (RMSprop(), "RMSprop", {"alpha": 0.99}),
    (RMSprop(smoothing=0.9, eps=1e-5), "RMSprop", {"alpha": 0.9, "eps": 1e-5}),
    (Adam(), "Adam", {}),
    (Adam(beta1=0.8, beta2=0.95, eps=1e-6), "Adam", {"betas": (0.8, 0.95), "eps": 1e-6}),
    (Adam(coupling="decoupled"), "AdamW", {}),
]


def hundred_steps(optimizer, **changes):
    options = {"layers": [12, 7, 10], "lr": LR, "weight_decay": DECAY, "batch_size": 8, "epochs": 15,
               "activation": "tanh", "output": "softmax", "initialization": "fan_in", "dtype": "float64"}  # fmt: skip
    return TrainingConfig.pytorch(**{**options, "optimizer": optimizer, **changes})


@pytest.mark.parametrize("n_runs", [1, 2])
@pytest.mark.parametrize(("optimizer", "name", "options"), RULES, ids=str)
def test_training_is_torch_optims_for_a_hundred_steps(small_data, optimizer, name, options, n_runs):
    import torch

    config = hundred_steps(optimizer)

    def make(weights, biases):
        groups = [{"params": weights, "weight_decay": DECAY}, {"params": biases, "weight_decay": 0.0}]
        return [getattr(torch.optim, name)(groups, lr=LR, **options)]

    records = train_ensemble([config] * n_runs, small_data, rng=1)
    assert records[0].steps[-1] == 105
    for record, stream in zip(records, np.random.default_rng(1).spawn(n_runs), strict=True):
        linears = torch_trained(config, small_data, stream.spawn(2)[1], record.initial, make)
        for linear, weights, biases in zip(linears, record.final.weights, record.final.biases, strict=True):
            np.testing.assert_allclose(weights, linear.weight.detach().numpy(), rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(biases, linear.bias.detach().numpy(), rtol=1e-9, atol=1e-9)


def test_muon_is_torch_optims(small_data, monkeypatch):
    """PyTorch iterates in bfloat16 and has Muon for matrices only; here its iteration keeps double precision."""
    import torch

    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this PyTorch has no Muon")
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor.double().clone())
    config = hundred_steps(Muon(momentum=0.9, newton_schulz_steps=5), biases=False)

    def make(weights, biases):
        for bias in biases:
            bias.requires_grad_(False)
        options = {"momentum": 0.9, "nesterov": False, "ns_steps": 5, "eps": 0.0}
        # its step, not its decay, grows with the root of rows over columns where that is above 1
        growth = [max(1, w.shape[0] / w.shape[1]) ** 0.5 for w in weights]
        return [
            torch.optim.Muon([w], lr=LR / more, weight_decay=DECAY * more, **options)
            for w, more in zip(weights, growth, strict=True)
        ]

    record = train(config, small_data, rng=1)
    order_stream = np.random.default_rng(1).spawn(2)[1]
    linears = torch_trained(config, small_data, order_stream, record.initial, make)
    for linear, weights in zip(linears, record.final.weights, strict=True):
        np.testing.assert_allclose(weights, linear.weight.detach().numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("normalized", [True, "all"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_of_normalized_layers_are_pytorchs(small_data, activation, normalized):
    import torch

    config = TrainingConfig.pytorch(
        layers=[12, 7, 6, 10], lr=1, weight_decay=0, batch_size=1, epochs=1, activation=activation, output="softmax",
        normalized=normalized,
    )  # fmt: skip
    network = Mlp.initialize(config, 0)
    x, y = small_data.train.images * small_data.pixel_scale, np.eye(10)[small_data.train.labels]
    weights = [torch.tensor(w, requires_grad=True) for w in network.weights]
    phi = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu, "linear": lambda z: z}[activation]
    a = torch.tensor(x)
    for layer, (w, b, wanted) in enumerate(zip(weights, network.biases, config.normalized_layers, strict=True)):
        acting = 2 * torch.nn.functional.normalize(w, dim=1) if wanted else w
        a = a @ acting.T + torch.tensor(b)
        a = phi(a) if layer < 2 else a
    loss("softmax", a, torch.tensor(y)).backward()
    for w, gradient in zip(weights, network.gradients(x, y)[0], strict=True):
        np.testing.assert_allclose(gradient, w.grad.numpy(), rtol=1e-9, atol=1e-13)
