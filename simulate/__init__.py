"""Integrate weight-norm dynamics: ordinary and stochastic differential equations, and step by step."""

from .brownian import BrownianPaths, brownian_paths
from .events import collapse, reaching, tail_off
from .problem import Problem, Solution, Status
from .schedules import (
    Constant,
    Cosine,
    Linear,
    Schedule,
    Step,
    Tabulated,
    WarmUp,
    as_schedule,
    decay_per_step,
    schedule_from_dict,
)
from .sde_schemes import SCHEMES
from .solve import solve

__all__ = [
    "SCHEMES",
    "BrownianPaths",
    "Constant",
    "Cosine",
    "Linear",
    "Problem",
    "Schedule",
    "Solution",
    "Status",
    "Step",
    "Tabulated",
    "WarmUp",
    "as_schedule",
    "brownian_paths",
    "collapse",
    "decay_per_step",
    "reaching",
    "schedule_from_dict",
    "solve",
    "tail_off",
]
