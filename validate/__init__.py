"""Train a real multi-layer perceptron on real data, and hold the theory against it."""
