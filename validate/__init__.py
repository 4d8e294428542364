"""Train a real multi-layer perceptron on real data, and hold the theory against it."""

from .datasets import Dataset, Part, load_mnist

__all__ = ["Dataset", "Part", "load_mnist"]
