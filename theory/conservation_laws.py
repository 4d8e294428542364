"""Derive the conservation laws of networks: dead inputs, softmax, normalization, rectified units, linear layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sympy as sp

from .derivation import Derivation
from .notation import Quantity, quantity, symbols_of
from .proofs import difference, equation, proof
from .registry import derivation
from .steps import Step
from .symmetry import Symmetry

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_i, _j, _k, _l = sp.symbols("i j k l", integer=True)
_shift = quantity("shift", "s", "s", "1", "parameter of the family", real=True)
_stretch = quantity("stretch", "c", "c", "1", "parameter of the family, above 0", positive=True)
_length = quantity("n_entries", "n", "n", "1", "entries of the block", positive=True, integer=True)
_n_in = quantity("n_in", "n_{\\mathrm{in}}", "n_in", "1", "inputs of the unit", positive=True, integer=True)
_n_out = quantity("n_out", "n_{\\mathrm{out}}", "n_out", "1", "outputs of the unit", positive=True, integer=True)
_s, _c = _shift.symbol, _stretch.symbol


def _block(name: str, latex: str, text: str, meaning: str) -> tuple[Any, Quantity]:
    line = quantity(name, latex, text, "weight", meaning, real=True)
    return sp.IndexedBase(line.symbol), line


@derivation("dead-input")
def _dead_input() -> Derivation:
    """Derive that a weight on an input that is always zero only decays: w' = (1 - lr weight_decay) w."""
    weight = quantity("weight", "w", "w", "weight", "a weight that the loss does not depend on", real=True)
    return Symmetry(
        "dead-input",
        family={weight.symbol: weight.symbol + _s},
        parameter=_s,
        title="Dead inputs: weights that the loss does not depend on only decay",
        quantities=(weight, _shift),
    ).derive()


@derivation("translation-symmetry")
def _translation() -> Derivation:
    """Derive that the column sums c of softmax weights only decay: c' = (1 - lr weight_decay) c."""
    w, line = _block("weight", "w", "w", "weight from one input (or bias) to a softmax output")
    return Symmetry(
        "translation-symmetry",
        family={w[_k]: w[_k] + _s},
        parameter=_s,
        lengths={_k: _length.symbol},
        invariants=(w[_k] - w[_l],),
        title="Translation: the column sums of softmax weights only decay",
        quantities=(line, _shift, _length),
    ).derive()


@derivation("scale-symmetry")
def _scale() -> Derivation:
    """Derive that a normalized layer conserves its squared norm, and what decay and steps make of it."""
    w, line = _block("weight", "w", "w", "weight before a normalization")
    return Symmetry(
        "scale-symmetry",
        family={w[_i]: _c * w[_i]},
        parameter=_c,
        identity=1,
        lengths={_i: _length.symbol},
        invariants=(w[_i] / sp.Abs(w[_j]),),
        title="Scale: the squared norm of a normalized layer",
        references=("kunin2021", "vanlaarhoven2017", "tanaka2021"),
        quantities=(line, _stretch, _length),
    ).derive()


def _rectified_unit(name: str, title: str, undecayed_bias: bool) -> Derivation:
    w_in, in_line = _block("w_in", "w_{\\mathrm{in}}", "w_in", "weight into the unit")
    w_out, out_line = _block("w_out", "w_{\\mathrm{out}}", "w_out", "weight out of the unit")
    bias = quantity("bias", "b", "b", "weight", "bias of the unit", real=True)
    x, x_line = _block("input", "x", "x", "input of the unit")
    before = w_in[_i] * x[_i] + bias.symbol
    return Symmetry(
        name,
        family={w_in[_i]: _c * w_in[_i], bias.symbol: _c * bias.symbol, w_out[_k]: w_out[_k] / _c},
        parameter=_c,
        identity=1,
        lengths={_i: _n_in.symbol, _k: _n_out.symbol},
        undecayed=(bias.symbol,) if undecayed_bias else (),
        invariants=(w_out[_k] * (before + sp.Abs(before)) / 2,),
        title=title,
        references=("kunin2021", "du2018", "ziyin2023"),
        quantities=(in_line, out_line, bias, x_line, _stretch, _n_in, _n_out),
    ).derive()


@derivation("rescale-symmetry")
def _rescale() -> Derivation:
    """Derive the law of the imbalance of a rectified unit: |w_in|^2 + b^2 - |w_out|^2, its bias decayed."""
    return _rectified_unit("rescale-symmetry", "Rescale: the imbalance of a rectified unit, its bias decayed", False)


@derivation("rescale-symmetry-undecayed-bias")
def _rescale_undecayed_bias() -> Derivation:
    """Derive the law of the imbalance of a rectified unit whose bias does not decay, as in Nielsen's book."""
    return _rectified_unit(
        "rescale-symmetry-undecayed-bias", "Rescale: the imbalance of a rectified unit, its bias undecayed", True
    )


def _two_layers() -> tuple[list[Any], list[Quantity]]:
    """Return entries k of two rows of the first matrix, and entries l of the two columns of the second they feed."""
    told = (
        ("row_first", "x", "x", "a row of the first matrix"),
        ("row_second", "y", "y", "another row of the first matrix"),
        ("column_first", "u", "u", "the column of the second matrix that meets the first row"),
        ("column_second", "z", "z", "the column of the second matrix that meets the second row"),
    )
    blocks = [_block(*line) for line in told]
    return [base for base, _ in blocks], [line for _, line in blocks]


@derivation("deep-linear-symmetry")
def _deep_linear() -> Derivation:
    """Derive that linear layers conserve W1 W1^T - W2^T W2, from symmetric generators of the general linear group."""
    (x, y, u, z), lines = _two_layers()
    entries = [
        quantity(name, letter, text, "1", "entry of the symmetric generator", real=True)
        for name, letter, text in (("a_pp", "a_{pp}", "a_pp"), ("a_pq", "a_{pq}", "a_pq"), ("a_qq", "a_{qq}", "a_qq"))
    ]
    generator = sp.Matrix(2, 2, [entries[0].symbol, entries[1].symbol, entries[1].symbol, entries[2].symbol])
    forward = sp.eye(2) + _s * generator
    rows = forward * sp.Matrix([x[_k], y[_k]])
    columns = sp.Matrix([[u[_l], z[_l]]]) * forward.adjugate() / forward.det()
    return Symmetry(
        "deep-linear-symmetry",
        family={x[_k]: rows[0], y[_k]: rows[1], u[_l]: columns[0], z[_l]: columns[1]},
        parameter=_s,
        lengths={_k: _n_in.symbol, _l: _n_out.symbol},
        invariants=(u[_l] * x[_k] + z[_l] * y[_k],),
        title="Linear layers: every entry of the difference of their Gram matrices",
        references=("arora2018", "du2018", "kunin2021"),
        quantities=(*lines, *entries, _shift, _n_in, _n_out),
    ).derive()


@derivation("rotation-symmetry")
def _rotation() -> Derivation:
    """Derive that rotations alone conserve nothing: no generator is a gradient, and one loss forgets every start."""
    (x, y, u, z), lines = _two_layers()
    cos, sin = sp.cos(_s), sp.sin(_s)
    part = Symmetry(
        "rotation-symmetry",
        family={
            x[_k]: cos * x[_k] - sin * y[_k],
            y[_k]: sin * x[_k] + cos * y[_k],
            u[_l]: cos * u[_l] - sin * z[_l],
            z[_l]: sin * u[_l] + cos * z[_l],
        },
        parameter=_s,
        lengths={_k: _n_in.symbol, _l: _n_out.symbol},
        invariants=(u[_l] * x[_k] + z[_l] * y[_k], x[_k] ** 2 + y[_k] ** 2, u[_l] ** 2 + z[_l] ** 2),
        title="Rotations alone conserve nothing",
        references=("arora2018", "kunin2021"),
        quantities=(*lines, _shift, _n_in, _n_out),
    ).derive()
    weight = quantity("weight", "w", "w", "weight", "any of these weights", real=True)
    start = quantity("weight_start", "w_{0}", "w_0", "weight", "where it starts", real=True)
    end = quantity("weight_end", "w_{\\infty}", "w_∞", "weight", "where it ends", real=True)
    (t,) = symbols_of("time")
    path = sp.Function("weight", real=True)

    def gradient(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        squares = [earlier[key].rhs for key in ("invariant-2", "invariant-3")]
        weights = [part for square in squares for part in square.atoms(sp.Indexed)]
        slopes = {sp.diff(sum(squares) / 2, part) / part for part in weights}
        return (
            *(slope * path(t) + expression.rhs for slope in slopes),
            expression.lhs - sp.Derivative(path(t), t),
            len(weights) - 4,
        )

    def solves(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        put_back = difference(earlier["witness"]).subs(path(t), expression.rhs).doit()
        return (put_back, expression.rhs.subs(t, 0) - start.symbol, expression.lhs - path(t))

    def limit(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (sp.limit(earlier["path"].rhs, t, sp.oo) - expression.rhs, expression.lhs - end.symbol)

    steps = (
        *part.steps,
        Step(
            "witness",
            "Half the sum of all squares is a loss that rotations keep. Its gradient is the weight itself, so in its "
            "flow",
            equation(sp.Derivative(path(t), t), -path(t)),
            proof("derivative of half the squares in each of the four weights", gradient),
        ),
        Step(
            "path",
            "every weight goes as",
            equation(path(t), start.symbol * sp.exp(-t)),
            proof("put back into its differential equation, which it fulfils, and right at the start", solves),
        ),
        Step(
            "end",
            "and ends at the origin, wherever it started. What every such loss conserves, and is continuous, has at "
            "every start the value it has at the origin: it is a constant.",
            equation(end.symbol, 0),
            proof("limit of the path for the time to infinity", limit),
        ),
    )
    return replace(part, steps=steps, quantities=(*part.quantities, weight, start, end))
