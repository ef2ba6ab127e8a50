"""An autoregressive law of weighted points, on the support of an energy."""

import jax
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions.transforms import IdentityTransform, ReshapeTransform

from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.energies._supports import unconstraining
from ebm_ppl.partition._autoregressive import AutoregressiveLaw
from ebm_ppl.partition._autoregressive_fit import fit_conditionals
from ebm_ppl.partition._weights import effective_sample_size, shares

_LEAST_POINTS = 20.0


def fitted_law(
    energy: AbstractEnergy,
    x: Float[Array, "n *event"],
    log_weights: Float[np.ndarray, " n"],
    num_components: int,
    widening: float = 0.0,
) -> dist.Distribution | None:
    r"""Fit a law to weighted points.

    Args:
        energy: An energy of their support.
        x: Points in the support.
        log_weights: Logarithms of their weights.
        num_components: Number of components of each coordinate's noise.
        widening: Components of noise are wider than fitted by a factor of $1 + a / \sqrt d$ with this $a$.

    Returns:
        The law, on the support; `None` where fewer than twenty points carry the weight.
    """
    transform = unconstraining(energy.support)
    z = np.asarray(jax.vmap(transform.inv)(x), np.float64).reshape(len(x), -1)
    usable = np.isfinite(z).all(axis=1) & np.isfinite(log_weights)
    if not usable.any():
        return None
    z, logs = z[usable], np.asarray(log_weights, np.float64)[usable]
    weights = shares(logs, len(logs))
    if not effective_sample_size(weights) >= _LEAST_POINTS:
        return None
    widening = 1 + widening / np.sqrt(z.shape[1])
    law = AutoregressiveLaw(fit_conditionals(z, weights, num_components, widening))
    shape = transform.inverse_shape(energy.event_shape)
    parts = [] if len(shape) == 1 else [ReshapeTransform(shape, law.event_shape)]
    parts += [] if isinstance(transform, IdentityTransform) else [transform]
    return dist.TransformedDistribution(law, parts) if parts else law
