"""Between the quadrature ground truth, in the support, and chains, in unconstrained space."""

import jax
import numpy as np
from jaxtyping import Float
from numpyro.distributions import biject_to

from ebm_ppl._precision import float64
from ebm_ppl.quadrature import QuadratureDensity


def exact_starts(
    density: QuadratureDensity, rng_key: jax.Array, num_chains: int
) -> Float[np.ndarray, "n *position"]:
    """Exact draws of a density, mapped to unconstrained space."""
    draws = density.sample(rng_key, (num_chains,))
    with float64():
        return np.asarray(biject_to(density.energy.support).inv(draws))


def constrain(
    density: QuadratureDensity, positions: Float[np.ndarray, "n dim"]
) -> Float[np.ndarray, "n *event"]:
    """Map flat unconstrained positions into the support, in double precision."""
    points = np.asarray(positions, dtype=np.float64).reshape((-1, *density.energy.event_shape))
    with float64():
        return np.asarray(biject_to(density.energy.support)(points))


def probability_transform(
    density: QuadratureDensity, points: Float[np.ndarray, "n *event"]
) -> Float[np.ndarray, "n dim"]:
    """Probability integral transform (1-D) or Rosenblatt transform (2-D) of points in the support."""
    u = density.cdf(points) if density.dim == 1 else density.rosenblatt(points)
    return np.clip(np.asarray(u).reshape((len(points), density.dim)), 0.0, 1.0)
