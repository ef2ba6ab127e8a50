"""Where chains start: keys, positions and what they have to satisfy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import is_traced
from ebm_ppl._types import Position, PotentialFn, PRNGKey


def as_floating(z: Position, chains: tuple[int, ...]) -> Position:
    """The position as arrays of definite type, checked for its kind and its axis over chains."""

    def convert(leaf: Any) -> Array:
        leaf = jnp.asarray(leaf)
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise ValueError(f"`init_params` must be floating-point; got {leaf.dtype}.")
        if leaf.shape[: len(chains)] != chains:
            raise ValueError(
                f"Expected `init_params` with leading shape {chains}; got shape {leaf.shape}."
            )
        return jnp.asarray(leaf, dtype=leaf.dtype)

    return jax.tree.map(convert, z)


def check_returns_scalar(potential_fn: PotentialFn, z: Position) -> None:
    """Refuse a potential that returns anything but one number."""
    result = jax.eval_shape(potential_fn, z)
    shapes = [leaf.shape for leaf in jax.tree.leaves(result)]
    if shapes != [()]:
        raise ValueError(f"`potential_fn` must return a scalar; got shapes {shapes}.")


def check_finite_start(potential_energy: Float[Array, "*chains"]) -> None:
    """Refuse a start of infinite or undefined potential energy; traced values pass."""
    if is_traced(potential_energy):
        return
    bad = np.ravel(~np.isfinite(np.asarray(potential_energy)))
    if bad.any():
        raise ValueError(
            "`init_params` must have a finite potential energy; got "
            f"{np.ravel(potential_energy)[bad][0]} in {bad.sum()} of {bad.size} chains."
        )


def split_in_three(rng_key: PRNGKey) -> tuple[PRNGKey, PRNGKey, PRNGKey]:
    """Split one key into three."""
    first, second, third = jax.random.split(rng_key, 3)
    return first, second, third
