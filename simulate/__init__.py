"""Integrate weight-norm dynamics: ordinary and stochastic differential equations, and step by step."""
