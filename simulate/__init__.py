"""Integrate weight-norm dynamics: ordinary and stochastic differential equations, and step by step."""

from .brownian import BrownianPaths, brownian_paths
from .events import collapse, reaching, tail_off
from .noise_models import cox_ingersoll_ross, geometric_brownian_motion, isotropic_noise_norm, ornstein_uhlenbeck
from .norm_models import norm_under_pull, problem_from_derivation, pure_decay_floor
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
    effective_weight_decay,
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
    "cox_ingersoll_ross",
    "decay_per_step",
    "effective_weight_decay",
    "geometric_brownian_motion",
    "isotropic_noise_norm",
    "norm_under_pull",
    "ornstein_uhlenbeck",
    "problem_from_derivation",
    "pure_decay_floor",
    "reaching",
    "schedule_from_dict",
    "solve",
    "tail_off",
]
