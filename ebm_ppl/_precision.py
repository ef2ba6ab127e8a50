"""Double precision for ground truth, whatever precision the session samples in."""

from contextlib import AbstractContextManager
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

T = TypeVar("T")


def float64() -> AbstractContextManager[object]:
    """A context in which JAX computes in double precision."""
    return jax.enable_x64(True)


def to_float64(tree: T) -> T:
    """Cast every floating array leaf of `tree` to double precision; call it inside `float64()`."""

    def cast(leaf: object) -> object:
        if isinstance(leaf, (jax.Array, np.ndarray)) and jnp.issubdtype(leaf.dtype, jnp.floating):
            return jnp.asarray(leaf, dtype=jnp.float64)
        return leaf

    return jax.tree.map(cast, tree)
