"""What the energies of plain callables share: taking the callable apart, and reading its result."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ebm_ppl._types import Scalar
from ebm_ppl.energies._unbatched import check_unbatched


def split_callable(name: str, fn: Callable[..., Any]) -> tuple[Any, Any]:
    """Split a callable into its arrays, which are parameters, and all the rest.

    Raises:
        ValueError: If it is not callable.
    """
    if not callable(fn):
        raise ValueError(f"`{name}` must be callable; got {fn!r}.")
    return eqx.partition(fn, lambda leaf: isinstance(leaf, (jax.Array, np.ndarray)))


def as_scalar(name: str, value: Any) -> Scalar:
    """Read the result of a callable as a floating-point scalar.

    Raises:
        ValueError: If it has any axis.
    """
    value = jnp.asarray(value)
    check_unbatched(name, value, ())
    return value if jnp.issubdtype(value.dtype, jnp.floating) else value.astype(float)
