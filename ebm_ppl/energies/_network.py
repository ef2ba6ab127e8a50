"""The scalar perceptron that the neural energies share, and the checks of its sizes."""

from types import MappingProxyType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._checks import check_choice, check_count, check_interval
from ebm_ppl._types import PRNGKey

_SMOOTH_ACTIVATIONS = MappingProxyType(
    {
        "silu": jax.nn.silu,
        "gelu": jax.nn.gelu,
        "softplus": jax.nn.softplus,
        "tanh": jnp.tanh,
    }
)


class Activation(eqx.Module):
    """An activation by name: a bare function is a leaf that is no array, and need not pickle."""

    name: str = eqx.field(static=True)

    def __check_init__(self) -> None:
        check_choice("activation", self.name, tuple(_SMOOTH_ACTIVATIONS))

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Apply the activation entry by entry."""
        return _SMOOTH_ACTIVATIONS[self.name](x)


def scalar_network(
    in_size: int, *, rng_key: PRNGKey, width: int, depth: int, activation: str
) -> eqx.nn.MLP:
    """A perceptron from vectors of `in_size` to a scalar, without a bias in its last layer.

    The activations on offer are smooth and grow at most linearly, hence so does the network.

    Raises:
        ValueError: If a size is no positive integer or `activation` is unknown.
    """
    check_count("width", width)
    check_count("depth", depth)
    return eqx.nn.MLP(
        in_size=in_size,
        out_size="scalar",
        width_size=width,
        depth=depth,
        activation=Activation(activation),
        final_activation=eqx.nn.Identity(),
        use_final_bias=False,
        key=rng_key,
    )


def as_confinement(confinement: Any) -> float:
    """Read the strength of a confining term, a finite number of at least 0."""
    check_interval("confinement", confinement, 0.0, float(jnp.finfo("float32").max), closed=True)
    return float(confinement)
