"""Find where zero weights become the better minimum of a homogeneous network with one margin."""

from __future__ import annotations

from ..errors import check_choice, check_count
from .registry import derive

__all__ = ["margin_transition"]


def margin_transition(loss: str, depth: int) -> tuple[float, float]:
    """Return where zero weights become the better minimum: margin, and decay in units of margin^(2/depth).

    Parameters
    ----------
    loss : {"exponential", "logistic"}
        Loss as a function of the margin.
    depth : int
        Layers of weights, 3 or more.

    Returns
    -------
    scaled_margin : float, dimensionless
        Margin of the network at rest there.
    weight_decay : float
        Decay coefficient there, for a margin of 1 at norm 1.

    Raises
    ------
    InvalidInput
        For another loss, or a depth that is no whole number of at least 3.

    Notes
    -----
    The regularized loss at rest equals the loss at zero, as in the derivations one-margin-exponential and
    one-margin-logistic; the equation is solved by bracketing between the fold and a large margin.

    References
    ----------
    ziyinueda2022

    Examples
    --------
    >>> margin, weight_decay = margin_transition("logistic", 3)
    >>> round(weight_decay, 4)
    0.2539
    """
    from scipy.optimize import brentq

    law = derive(f"one-margin-{check_choice('loss', loss, ('exponential', 'logistic'))}")
    depth = check_count("depth", depth, least=3)
    fold = float(law.numeric("margin_fold", depth=depth))
    margin = float(
        brentq(lambda z: law.numeric("transition_gap", scaled_margin=z, depth=depth), fold, 60.0, xtol=1e-14)
    )
    return margin, float(law.numeric("decay_at_margin", scaled_margin=margin, margin=1.0, depth=depth))
