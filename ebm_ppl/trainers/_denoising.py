"""Examples under noise, and the loss of pointing back to them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies import AbstractConditionalEnergy, AbstractEnergy


class Noise(NamedTuple):
    r"""What is added to examples.

    Attributes:
        scale: Standard deviation $\sigma$ for each example, shape `(num_examples,)`.
        direction: Standard normal $\xi$ for each example, shape `(num_examples, *event)`.
    """

    scale: Float[Array, " *num_examples"]
    direction: Float[Array, "*num_examples_and_event"]


def denoising_loss(
    energy: AbstractEnergy | AbstractConditionalEnergy, x: Event, noise: Noise, antithetic: bool
) -> Scalar:
    r"""Loss of the score at an example under noise, $\tilde x = x + \sigma \xi$, as a pointer back to it.

    $$\tfrac12 \|\nabla E(\tilde x)\|^2 - \nabla E(\tilde x) \cdot \xi / \sigma$$
    is $\frac12 \|\nabla E(\tilde x) - \xi / \sigma\|^2$ without the part that no model changes, which for
    small $\sigma$ would drown the rest in rounding.

    Args:
        energy: The energy; one that depends on the level of noise is taken at that of the noise.
        x: An example.
        noise: Its noise.
        antithetic: Whether to return the mean of the losses for $\xi$ and $-\xi$.

    Returns:
        The loss.
    """
    if isinstance(energy, AbstractConditionalEnergy):
        energy = energy.at(sigma=noise.scale)

    def loss(direction: Event) -> Scalar:
        gradient = jax.grad(energy)(x + noise.scale * direction)
        return jnp.sum(gradient * (0.5 * gradient - direction / noise.scale))

    if not antithetic:
        return loss(noise.direction)
    return 0.5 * (loss(noise.direction) + loss(-noise.direction))
