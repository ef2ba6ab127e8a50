"""The formula that the neural energies of data under noise share."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies._network import Perceptron


def preconditioned(
    network: Perceptron, x: Event, sigma: Scalar, data_scale: float, *others: Float[Array, "..."]
) -> Scalar:
    r"""Energy $\|u\|^2 / 2 + (s / \tau) f(u, 4 \sigma^2 / \tau^2)$ at $u = x / \tau$.

    `NeuralNoiseConditionalEnergy` explains it.

    Args:
        network: The network $f$.
        x: The point.
        sigma: Standard deviation $\sigma$ of the noise.
        data_scale: Standard deviation $s$ of the data; with $\sigma$ it makes $\tau$.
        *others: Further inputs of the network.

    Returns:
        The energy, a scalar.
    """
    ratio = sigma / data_scale
    total = jnp.hypot(1.0, ratio)  # in units of the data's scale
    u = jnp.ravel(x) / (data_scale * total)
    level = 4.0 * (ratio / total) ** 2  # in units in which the network takes other inputs
    correction = network(jnp.concatenate([u, level[None], *map(jnp.ravel, others)]))
    return 0.5 * jnp.sum(u**2) + correction / total
