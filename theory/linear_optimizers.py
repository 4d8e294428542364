"""List ready-made linear optimizers."""

from __future__ import annotations

from .notation import symbols_of
from .optimizers import B, LinearOptimizer

__all__ = ["EMA", "HEAVY_BALL", "NESTEROV", "SGD"]

_momentum, _dampening = symbols_of("momentum dampening")

SGD = LinearOptimizer("sgd", 1)
"""Stochastic gradient descent: the update is the gradient."""

HEAVY_BALL = LinearOptimizer("heavy-ball", (1 - _dampening) / (1 - _momentum * B))
"""Momentum in PyTorch's form: buffer = momentum * buffer + (1 - dampening) * gradient is the update."""

NESTEROV = LinearOptimizer("nesterov", 1 + _momentum / (1 - _momentum * B))
"""Nesterov's momentum in PyTorch's form: the update is gradient + momentum * buffer."""

EMA = LinearOptimizer("ema", (1 - _momentum) / (1 - _momentum * B))
"""The exponential moving average of gradients as the update, as in Adam without its denominator."""
