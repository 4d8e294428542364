"""Analytic simulator of weight-decay dynamics.

How large do weights become under weight decay, how long does that take, and does a real network agree?

>>> from weightdecay import theory
>>> claim = theory.derive("decay-per-epoch")
>>> float(claim.numeric(lr=0.1, weight_decay=1e-4, n_train=50000, batch_size=10))  # Nielsen's own numbers
0.95122918...

The rooms: `weightdecay.theory` derives (SymPy), `weightdecay.simulate` integrates (SciPy),
`weightdecay.validate` trains and compares (NumPy), `weightdecay.figures` draws (Matplotlib).
"""

from typing import Any

__all__ = ["__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("weightdecay")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
