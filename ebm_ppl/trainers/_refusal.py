"""What it takes to refuse a step: see that something is not finite, and keep what was there before."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class Checked(NamedTuple):
    """What a step computes and what must be finite of it, in the order in which it is computed.

    Of the transform it is what that made of the points, if there is one; of each leaf of the gradient the sum
    of squares, which the metrics need anyway.
    """

    transform: Any
    draws: Any
    loss: Float[Array, ""]
    gradient: Any
    new_parameters: Any
    optimizer_state: Any
    carried: Any


def changed(new: Any, old: Any) -> Any:
    """The leaves of a pytree that are not those of another one of the same structure."""
    return jax.tree.map(lambda new, old: None if new is old else new, new, old)


def where_finite_before(new: Any, old: Any) -> Any:
    """The leaves of a pytree with zeros where an older one was not finite.

    Some optimisers begin with infinity, as the best loss so far.
    """

    def mask(new: Any, old: Any) -> Any:
        return jnp.where(jnp.isfinite(old), new, 0) if eqx.is_inexact_array(new) else None

    return jax.tree.map(mask, new, old)


def are_failures(checked: Checked) -> Bool[Array, " num_leaves"]:
    """Whether anything is not finite, for each leaf of floating-point numbers.

    The sum of zero times each number is zero if all are finite and NaN if not; XLA sums faster than it
    looks for the first of many truth values.
    """
    return jnp.isnan(jnp.stack([jnp.sum(0 * leaf) for _, leaf in _leaves(checked)]))


def names(checked: Checked) -> list[str]:
    """Names of those leaves."""
    return [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in _leaves(checked)]


def _leaves(checked: Checked) -> list[tuple[Any, Any]]:
    return jax.tree_util.tree_leaves_with_path(eqx.filter(checked, _is_inexact))


def _is_inexact(leaf: Any) -> bool:
    is_array = eqx.is_array(leaf) or isinstance(leaf, jax.ShapeDtypeStruct)
    return is_array and jnp.issubdtype(leaf.dtype, jnp.inexact)


def taken_or_kept(is_taken: Array, new: Any, old: Any) -> Any:
    """What a step has made if it is taken, else what was before: pytrees that differ in arrays only.

    Raises:
        ValueError: If a leaf that is no array differs, or is an array in one of them.
    """

    def choose(new: Any, old: Any) -> Any:
        if new is old:
            return new
        if not (eqx.is_array(new) and eqx.is_array(old)):
            if eqx.is_array(new) or eqx.is_array(old) or new != old:
                raise ValueError(
                    "What changes from step to step must be arrays, in what an objective carries too; "
                    f"got {old!r} before and {new!r} after a step."
                )
            return new
        if jnp.issubdtype(new.dtype, jax.dtypes.prng_key):
            return jax.lax.select(jnp.broadcast_to(is_taken, new.shape), new, old)
        return jnp.where(is_taken, new, old)

    return jax.tree.map(choose, new, old)
