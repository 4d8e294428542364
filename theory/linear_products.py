"""Derive what decay does to the product of the layers of a linear network, and which penalty that product feels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .notation import quantity, symbols_of
from .proofs import definition, equation, premise, proof
from .registry import derivation
from .steps import Step

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_weight_decay, _depth = symbols_of("weight_decay depth")


def _matrix(name: str, latex: str, text: str, meaning: str) -> Any:
    return quantity(name, latex, text, "1", meaning, commutative=False)


_LAYERS = [_matrix(f"layer_{k}", f"W_{{{k}}}", f"W_{k}", f"weights of layer {k}") for k in range(1, 5)]
_TRANSPOSED = [
    _matrix(f"layer_{k}_transposed", f"W_{{{k}}}^{{\\mathsf T}}", f"Wᵀ_{k}", f"weights of layer {k}, transposed")
    for k in range(1, 5)
]


def _product(factors: Any) -> Any:
    return sp.Mul(*factors) if factors else sp.S.One


def _balanced(expression: Any, depth: int) -> Any:
    """Rewrite W_l W_l^T as W_{l+1}^T W_{l+1} as long as there is one: the normal form of balanced layers."""
    w = [line.symbol for line in _LAYERS]
    transposed = [line.symbol for line in _TRANSPOSED]
    total = sp.S.Zero
    for term in sp.Add.make_args(sp.expand(expression)):
        commuting, factors = term.args_cnc()
        flat = [base for factor in factors for base in _repeated(factor)]
        place = 0
        while place + 1 < len(flat):
            found = next(
                (k for k in range(depth - 1) if flat[place] == w[k] and flat[place + 1] == transposed[k]), None
            )
            if found is None:
                place += 1
            else:
                flat[place : place + 2] = [transposed[found + 1], w[found + 1]]
                place = 0
        total += _product(commuting) * _product(flat)
    return sp.expand(total)


def _repeated(factor: Any) -> list[Any]:
    base, exponent = factor.as_base_exp()
    return [base] * int(exponent)


@derivation("product-flow")
def _product_flow() -> Derivation:
    """Derive the flow of the product of balanced linear layers under decay, and of its singular values."""
    product = _matrix("product", "W", "W", "product of all layers, the linear map of the network")
    transposed = _matrix("product_transposed", "W^{\\mathsf T}", "Wᵀ", "the product, transposed")
    slope = _matrix("slope", "\\nabla C", "∇C", "gradient of the loss with respect to the product")
    rate = _matrix("product_rate", "\\dot W", "Ẇ", "rate of change of the product")
    left = _matrix("layers_above", "A", "A", "product of the layers above layer j, times its transpose")
    right = _matrix(
        "layers_below", "B", "B", "transpose of the product of the layers below layer j, times that product"
    )
    layer = _matrix("layer_rate", "\\dot W_{j}", "Ẇ_j", "rate of change of layer j")
    above, above_t = (
        _matrix(f"above{end}", f"W_{{>j}}{up}", f"W{t}_>j", "product of the layers above layer j" + told)
        for end, up, t, told in (("", "", "", ""), ("_transposed", "^{\\mathsf T}", "ᵀ", ", transposed"))
    )
    below, below_t = (
        _matrix(f"below{end}", f"W_{{<j}}{up}", f"W{t}_<j", "product of the layers below layer j" + told)
        for end, up, t, told in (("", "", "", ""), ("_transposed", "^{\\mathsf T}", "ᵀ", ", transposed"))
    )
    this = _matrix("this_layer", "W_{j}", "W_j", "weights of layer j")
    mode = quantity("mode", "\\sigma", "σ", "1", "singular value of the product", positive=True)
    pull = quantity("mode_slope", "c", "c", "loss", "slope of the loss along the singular value", real=True)
    mode_rate = quantity("mode_rate", "\\dot\\sigma", "σ̇", "1", "rate of change of the singular value", real=True)
    j = sp.Symbol("j", integer=True)
    L, lam = _depth, _weight_decay
    W, T, S = product.symbol, transposed.symbol, slope.symbol
    general = sp.Sum((W * T) ** ((L - j) / L) * S * (T * W) ** ((j - 1) / L), (j, 1, L))

    def one_layer(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        whole = earlier["product"].rhs
        change = sp.expand(whole.subs(this.symbol, earlier["layer"].rhs))
        terms = sp.expand(expression.rhs).subs(W, whole)
        forms = {left.symbol: above.symbol * above_t.symbol, right.symbol: below_t.symbol * below.symbol}
        return (sp.expand(change - terms.subs(forms)),)

    def written_out(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        (total,) = expression.rhs.atoms(sp.Sum)
        decay_of_one = earlier["one"].rhs.subs(S, 0)
        residuals = [expression.rhs.subs(total, 0) - L * decay_of_one]
        for depth in (2, 3, 4):
            w, t = ([line.symbol for line in lines[:depth]] for lines in (_LAYERS, _TRANSPOSED))
            whole, whole_t = _product(list(reversed(w))), _product(t)
            top, bottom = w[-1] * t[-1], t[0] * w[0]
            residuals += [
                _balanced(whole * whole_t - top**depth, depth),
                _balanced(whole_t * whole - bottom**depth, depth),
            ]
            for place in range(1, depth + 1):
                over, under = _product(list(reversed(w[place:]))), _product(list(reversed(w[: place - 1])))
                over_t, under_t = _product(t[place:]), _product(t[: place - 1])
                exact = (decay_of_one - earlier["one"].rhs).subs(
                    {left.symbol: over * over_t, right.symbol: under_t * under}
                )
                term = total.function.subs({L: depth, j: place})
                roots = {(W * T) ** sp.Rational(k, depth): top**k for k in range(1, depth)}
                roots |= {(T * W) ** sp.Rational(k, depth): bottom**k for k in range(1, depth)}
                residuals.append(_balanced(exact - term.subs(roots), depth))
            residuals += [bound - wanted for bound, wanted in zip(total.limits[0], (j, 1, L), strict=True)]
        residuals.append((expression.rhs - L * decay_of_one) / total + 1)
        return tuple(residuals)

    def singular_value(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        (total,) = earlier["all"].rhs.atoms(sp.Sum)
        number = sp.Symbol("number", positive=True)
        term = total.function.replace(lambda part: part in (W, T), lambda _: number).subs(S, pull.symbol)
        term = sp.powsimp(sp.powdenest(term.subs(number, mode.symbol)))
        decay = earlier["all"].rhs.subs(total, 0).subs(W, mode.symbol)
        return (sp.simplify(decay - L * term - expression.rhs),)

    steps = (
        Step(
            "layer",
            "Gradient flow of one layer, by the chain rule through the product",
            equation(layer.symbol, -above_t.symbol * S * below_t.symbol - lam * this.symbol),
            premise(),
        ),
        Step("product", "which is", equation(W, above.symbol * this.symbol * below.symbol), definition()),
        Step(
            "one",
            "One layer changes the product by (A: the layers above times their transpose, B: those below)",
            equation(rate.symbol, -left.symbol * S * right.symbol - lam * W),
            proof("product rule, with the flow of the layer put in", one_layer),
        ),
        Step(
            "all",
            "and all layers together, balanced with their neighbours, by",
            equation(rate.symbol, -L * lam * W - general),
            proof(
                "written out for depths 2, 3 and 4, with the balance of neighbouring layers put in, it agrees with the "
                "sum over layers",
                written_out,
            ),
        ),
        Step(
            "mode",
            "A singular value of the product then moves by",
            equation(mode_rate.symbol, -L * lam * mode.symbol - L * mode.symbol ** (2 - 2 / L) * pull.symbol),
            proof(
                "the flow of the product for numbers in place of matrices, every term of the sum alike", singular_value
            ),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="product-flow",
        title="The flow of the product of balanced linear layers under decay",
        assumptions=(
            "Linear layers under gradient flow, all with the same decay.",
            "Neighbouring layers are balanced at the start: the upper one's transpose times itself is the lower one "
            "times its transpose; the flow keeps that.",
            "The singular vectors of the product and of the gradient agree, for the equation of one singular value.",
        ),
        steps=steps,
        equation=found["all"],
        results={"mode_rate": found["mode"].rhs},
        references=("arora2018", "saxe2014"),
        quantities=(
            product,
            transposed,
            slope,
            rate,
            left,
            right,
            layer,
            above,
            above_t,
            below,
            below_t,
            this,
            mode,
            pull,
            mode_rate,
        ),
    )


@derivation("nuclear-norm")
def _nuclear_norm() -> Derivation:
    """Derive that decay on two linear layers is a nuclear-norm penalty on their product, and that R_1 = R_2 = |Z|_*."""
    names = ("outer", "inner")
    v, u = (sp.IndexedBase(name, real=True) for name in names)
    total = quantity(
        "norm_squared_total", "\\Sigma R", "ΣR", "weight²", "sum of the squared norms of both layers", positive=True
    )
    nuclear = quantity(
        "nuclear",
        "\\Vert Z\\Vert_{*}",
        "‖Z‖_*",
        "weight²",
        "nuclear norm of the product: sum of singular values",
        positive=True,
    )
    surplus = quantity(
        "surplus", "\\Delta", "Δ", "weight²", "half the sum of squared differences of paired weights", nonnegative=True
    )
    each = quantity(
        "norm_squared_layer",
        "R_{\\ell}",
        "R_l",
        "weight²",
        "squared norm of either layer at the minimum",
        positive=True,
    )
    scale = quantity("scale", "c", "c", "1", "factor from one layer to the other, at a fixed product", positive=True)
    first = quantity("norm_squared_first", "R_{1}", "R_1", "weight²", "squared norm of the first layer", positive=True)
    second = quantity(
        "norm_squared_second", "R_{2}", "R_2", "weight²", "squared norm of the second layer", positive=True
    )
    value, unit = sp.symbols("i h", integer=True)
    n_values = quantity("n_values", "r", "r", "1", "singular values of the product", positive=True, integer=True)
    n_hidden = quantity("n_hidden", "H", "H", "1", "hidden units", positive=True, integer=True)
    both = ((value, 1, n_values.symbol), (unit, 1, n_hidden.symbol))
    a, b = v[value, unit], u[unit, value]

    def summand(key: str, earlier: Mapping[str, Any]) -> Any:
        return earlier[key].rhs.function

    def square(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        left = summand("total", earlier) / 2 - summand("nuclear", earlier) - summand("surplus", earlier)
        form = expression.lhs - expression.rhs - (total.symbol / 2 - nuclear.symbol - surplus.symbol)
        same = len({earlier[key].rhs.limits for key in ("total", "nuclear", "surplus")}) == 1
        return (sp.expand(left), form, sp.true if same and earlier["total"].rhs.limits == both else sp.false)

    def bound(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        gap = expression.lhs - expression.rhs
        known = earlier["square"].lhs - earlier["square"].rhs
        nonnegative = summand("surplus", earlier).is_nonnegative and expression.func is sp.Ge
        return (gap - known - surplus.symbol, sp.true if nonnegative else sp.false)

    steps = (
        Step(
            "total",
            "In the singular directions of their product the weights of both layers pair up (with no more weight "
            "there than in all); both squared norms add up to",
            equation(total.symbol, sp.Sum(a**2 + b**2, *both)),
            premise(),
        ),
        Step("nuclear", "and the singular values to", equation(nuclear.symbol, sp.Sum(a * b, *both)), premise()),
        Step("surplus", "With", equation(surplus.symbol, sp.Sum((a - b) ** 2 / 2, *both)), definition()),
        Step(
            "square",
            "the penalty is the nuclear norm and a square:",
            equation(total.symbol / 2, nuclear.symbol + surplus.symbol),
            proof("sums compared term by term: the difference expands to zero", square),
        ),
        Step(
            "bound",
            "no factorization of a given product has less,",
            sp.Ge(total.symbol / 2, nuclear.symbol, evaluate=False),
            proof("the equation before, less a sum of squares", bound),
        ),
        Step(
            "least",
            "and equal layers reach it.",
            equation(total.symbol, 2 * nuclear.symbol),
            proof(
                "the equation before the last, with paired weights equal",
                lambda expression, earlier: (
                    expression.rhs
                    - 2 * earlier["square"].rhs.subs(surplus.symbol, summand("surplus", earlier).subs(a, b)),
                ),
            ),
        ),
        Step(
            "scaled",
            "Moving a factor from one layer to the other leaves the product and makes the penalty",
            equation(total.symbol, scale.symbol**2 * first.symbol + second.symbol / scale.symbol**2),
            premise(),
        ),
        Step(
            "equal",
            "which is least at equal squared norms: each is the nuclear norm.",
            equation(each.symbol, nuclear.symbol),
            proof(
                "derivative in the factor, which vanishes at one, solved with the sum of both",
                _equal_layers(first, second, scale),
            ),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="nuclear-norm",
        title="Two linear layers: decay is a nuclear-norm penalty on their product",
        assumptions=(
            "Two linear layers without biases, at a minimum of the regularized loss, without gradient noise.",
            "At least as many hidden units as the product has singular values.",
            "The product then minimizes the loss plus decay times its nuclear norm, a convex problem.",
        ),
        steps=steps,
        equation=found["least"],
        results={"norm_squared_layer": found["equal"].rhs, "norm_squared_total": found["least"].rhs},
        fixed_points=({total.symbol: found["least"].rhs},),
        references=("srebro2004",),
        quantities=(
            total,
            nuclear,
            surplus,
            each,
            scale,
            first,
            second,
            n_values,
            n_hidden,
            quantity("outer", "v", "v", "weight", "weight of the second layer, in a singular direction", real=True),
            quantity("inner", "u", "u", "weight", "weight of the first layer, in a singular direction", real=True),
        ),
    )


def _equal_layers(first: Any, second: Any, scale: Any) -> Any:
    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        slope = sp.diff(earlier["scaled"].rhs, scale.symbol).subs(scale.symbol, 1)
        total = earlier["scaled"].rhs.subs(scale.symbol, 1) - earlier["least"].rhs
        found = sp.solve([slope, total], [first.symbol, second.symbol], dict=True)
        return tuple(solution[layer.symbol] - expression.rhs for solution in found for layer in (first, second)) or (
            sp.false,
        )

    return residual
