"""Shared type aliases: the shapes that every signature of the package speaks in."""

from collections.abc import Callable
from typing import Any, TypeAlias

from jaxtyping import Array, Float, Key, UInt32

Scalar: TypeAlias = Float[Array, ""]
"""A real number as a zero-dimensional array."""

Event: TypeAlias = Float[Array, "..."]
"""One point of an energy's support; its shape is the energy's `event_shape`."""

PRNGKey: TypeAlias = Key[Array, "*batch"] | UInt32[Array, "*batch 2"]
"""A JAX random key, typed (`jax.random.key`) or raw (`jax.random.PRNGKey`), or a batch of them."""

Position: TypeAlias = Any
"""A point in the unconstrained space of a NumPyro model: an array or a pytree of arrays."""

PotentialFn: TypeAlias = Callable[[Position], Scalar]
"""Minus the log density of an unconstrained position, up to a constant."""
