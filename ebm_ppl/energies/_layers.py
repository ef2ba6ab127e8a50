"""What energies of two coupled layers share."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import check_finite, check_shape


def check_layers(weights: Array, visible_bias: Array, hidden_bias: Array) -> None:
    """Refuse couplings and biases that do not fit, are empty or not finite."""
    if np.ndim(weights) != 2 or 0 in np.shape(weights):
        raise ValueError(
            "Expected `weights` of shape (visible, hidden), neither of them 0; got "
            f"{np.shape(weights)}."
        )
    check_shape("visible_bias", visible_bias, np.shape(weights)[:1])
    check_shape("hidden_bias", hidden_bias, np.shape(weights)[1:])
    for name, value in (
        ("weights", weights),
        ("visible_bias", visible_bias),
        ("hidden_bias", hidden_bias),
    ):
        check_finite(name, value)


def product(left: Float[Array, "..."], right: Float[Array, "..."]) -> Float[Array, "..."]:
    """Product of vectors or matrices; accelerators would otherwise round its factors to 10 bits."""
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
