"""The scalar perceptron that the neural energies share, and the checks of its sizes."""

import math
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


class Dense(eqx.Module):
    r"""An affine layer of vectors, $x W + b$.

    The weights are stored input by output, unlike those of `equinox.nn.Linear`: over a batch, and in
    derivatives of any order, XLA then multiplies matrices as they lie in memory.
    """

    weight: Float[Array, "in_size *out_size"]
    bias: Float[Array, " out_size"] | None

    def __call__(self, x: Float[Array, " in_size"]) -> Float[Array, " *out_size"]:
        """Apply the layer to one vector."""
        product = x @ self.weight
        return product if self.bias is None else product + self.bias


class Perceptron(eqx.Module):
    """A multilayer perceptron from vectors to a scalar, without a bias in its last layer.

    Attributes:
        layers: The affine layers; the last one's weights are a vector.
        activation: What stands between them.
    """

    layers: tuple[Dense, ...]
    activation: Activation

    @property
    def in_size(self) -> int:
        """Number of inputs."""
        return self.layers[0].weight.shape[0]

    @property
    def width(self) -> int:
        """Number of units in each hidden layer."""
        return self.layers[-1].weight.shape[0]

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return len(self.layers) - 1

    def __call__(self, x: Float[Array, " in_size"]) -> Float[Array, ""]:
        """Value at one vector."""
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


def scalar_network(
    in_size: int, *, rng_key: PRNGKey, width: int, depth: int, activation: str
) -> Perceptron:
    r"""A perceptron from vectors of `in_size` to a scalar, without a bias in its last layer.

    The activations on offer are smooth and grow at most linearly, hence so does the network. Weights and
    biases start uniform within $1/\sqrt{\text{inputs}}$, as those of `equinox.nn.Linear`.

    Raises:
        ValueError: If a size is no positive integer or `activation` is unknown.
    """
    check_count("width", width)
    check_count("depth", depth)
    sizes = [in_size, *[width] * depth]
    *keys, last = jax.random.split(rng_key, depth + 1)
    layers = [
        Dense(*_uniform(key, 1 / math.sqrt(size), (size, width), (width,)))
        for key, size in zip(keys, sizes, strict=False)
    ]
    (weight,) = _uniform(last, 1 / math.sqrt(width), (width,))
    return Perceptron((*layers, Dense(weight, None)), Activation(activation))


def _uniform(rng_key: PRNGKey, bound: float, *shapes: tuple[int, ...]) -> list[Array]:
    """Arrays of the shapes, uniform on [-bound, bound]."""
    keys = jax.random.split(rng_key, len(shapes))
    return [
        jax.random.uniform(key, shape, minval=-bound, maxval=bound)
        for key, shape in zip(keys, shapes, strict=True)
    ]


def as_confinement(confinement: Any) -> float:
    """Read the strength of a confining term, a finite number of at least 0."""
    check_interval("confinement", confinement, 0.0, float(jnp.finfo("float32").max), closed=True)
    return float(confinement)
