"""What energies of two coupled layers share."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import check_finite
from ebm_ppl.energies._unbatched import check_unbatched


def check_layers(weights: Array, visible_bias: Array, hidden_bias: Array) -> None:
    """Refuse couplings and biases that do not fit, are empty or not finite."""
    check_unbatched("weights", weights, ("visible", "hidden"))
    check_unbatched("visible_bias", visible_bias, np.shape(weights)[:1])
    check_unbatched("hidden_bias", hidden_bias, np.shape(weights)[1:])
    for name, value in (
        ("weights", weights),
        ("visible_bias", visible_bias),
        ("hidden_bias", hidden_bias),
    ):
        check_finite(name, value)


def product(left: Float[Array, "..."], right: Float[Array, "..."]) -> Float[Array, "..."]:
    """Product of vectors or matrices; accelerators would otherwise round its factors to 10 bits."""
    return jnp.matmul(left, right, precision=jax.lax.Precision.HIGHEST)
