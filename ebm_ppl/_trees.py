"""Pytrees of arrays."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool


def tree_where(condition: Bool[Array, ""], if_true: Any, if_false: Any) -> Any:
    """Choose between two pytrees of one structure.

    Args:
        condition: Which of them.
        if_true: The one.
        if_false: The other.

    Returns:
        The chosen one, leaf by leaf.
    """
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), if_true, if_false)
