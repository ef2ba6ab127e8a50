"""Where chains start: keys, positions and what they have to satisfy."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from ebm_ppl._checks import is_traced
from ebm_ppl._processes import check_layout, on_host
from ebm_ppl._shared_jit import SharedJit
from ebm_ppl._types import Position, PotentialFn, PRNGKey


def flat_positions(z: Position, chains: tuple[int, ...]) -> Float[Array, "chains dim"]:
    """The flat position of each chain; of a chain that runs alone, whose shape is (), one row."""
    if not jax.tree.leaves(z):
        return jnp.zeros((*chains, 0) if chains else (1, 0))
    z = z if chains else jax.tree.map(lambda leaf: leaf[None], z)
    return jax.vmap(lambda z: ravel_pytree(z)[0])(z)


def has_no_coordinates(z: Position) -> bool:
    """Whether there is nothing to move: a model without latent sites has the position `{}`."""
    return sum(leaf.size for leaf in jax.tree.leaves(z)) == 0


class CompiledOnce:
    """Traces a function anew only if what it closes over is no longer the same.

    Args:
        donated: Position of an argument of the function whose memory may be used for its results.
    """

    def __init__(self, donated: int | None = None) -> None:
        self._donated = donated
        self._closed_over: tuple[list[Any], Any] | None = None
        self._compiled: SharedJit | None = None

    def __call__(self, function: Callable, closed_over: Any) -> SharedJit:
        """The compiled function.

        Args:
            function: The function, which may be another object at each call but does the same.
            closed_over: What it depends on beside its arguments, a pytree.

        Returns:
            The function, or the one of the call before if it closed over the very same leaves in the same
            places.
        """
        leaves, structure = jax.tree.flatten(closed_over)
        same = False
        if self._closed_over is not None:
            old_leaves, old_structure = self._closed_over
            same = structure == old_structure and all(
                new is old for new, old in zip(leaves, old_leaves, strict=True)
            )
        if self._compiled is None or not same:
            self._compiled = SharedJit(function, self._donated)
            self._closed_over = leaves, structure
        return self._compiled

    def __getstate__(self) -> dict[str, Any]:
        """Leave behind what was traced: closures do not pickle."""
        return CompiledOnce(self._donated).__dict__


def as_floating(z: Position, chains: tuple[int, ...]) -> Position:
    """The position as arrays of definite type, checked for its kind and its axis over chains."""
    check_layout("init_params", z)

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
    values = np.ravel(on_host(potential_energy))
    bad = ~np.isfinite(values)
    if bad.any():
        raise ValueError(
            "`init_params` must have a finite potential energy; got "
            f"{values[bad][0]} in {bad.sum()} of {bad.size} chains."
        )


def split_in_three(rng_key: PRNGKey) -> tuple[PRNGKey, PRNGKey, PRNGKey]:
    """Split one key into three."""
    first, second, third = jax.random.split(rng_key, 3)
    return first, second, third
