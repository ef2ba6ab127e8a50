"""Gauss-Kronrod quadrature on the unit interval: fifteen nodes, seven of which are a rule of their own."""

import numpy as np
from jaxtyping import Float

_NODES = (
    0.991455371120812639,
    0.949107912342758525,
    0.864864423359769073,
    0.741531185599394440,
    0.586087235467691130,
    0.405845151377397167,
    0.207784955007898468,
    0.0,
)
_KRONROD = (
    0.0229353220105292250,
    0.0630920926299785533,
    0.104790010322250184,
    0.140653259715525919,
    0.169004726639267903,
    0.190350578064785410,
    0.204432940075298892,
    0.209482141084727828,
)
# The Gauss rule has every second node, and weight 0 at the others.
_GAUSS = (
    0.0,
    0.129484966168869693,
    0.0,
    0.279705391489276668,
    0.0,
    0.381830050505118945,
    0.0,
    0.417959183673469388,
)


def kronrod(
    num_panels: int, power: float
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    r"""Nodes and weights for $\int_0^1 g(\beta)\, d\beta$ with $\beta = u^p$ and equal panels in $u$.

    Args:
        num_panels: Number of panels, of fifteen nodes each.
        power: The exponent $p$; above 1 it crowds the nodes near 0.

    Returns:
        Nodes in ascending order, Kronrod's weights, and those of the Gauss rule within.

    References:
        A. S. Kronrod (1965). *Nodes and Weights of Quadrature Formulas*. Consultants Bureau.
    """
    below, kronrod_weights, gauss_weights = (
        np.array(values) for values in (_NODES, _KRONROD, _GAUSS)
    )
    nodes = np.concatenate([-below, below[-2::-1]])
    offsets = np.arange(num_panels)[:, None]
    u = ((offsets + 0.5 * (nodes + 1)) / num_panels).ravel()
    slope = power * u ** (power - 1) / (2 * num_panels)
    mirrored = [np.concatenate([half, half[-2::-1]]) for half in (kronrod_weights, gauss_weights)]
    fine, coarse = (np.tile(weights, num_panels) * slope for weights in mirrored)
    return u**power, fine, coarse
