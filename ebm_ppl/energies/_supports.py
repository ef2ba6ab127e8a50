"""Small questions about NumPyro constraints that energies ask when they are put together."""

from typing import Any

import jax
import numpy as np
from numpyro.distributions import constraints
from numpyro.distributions.transforms import IdentityTransform, Transform, biject_to

from ebm_ppl._checks import is_traced


def unconstraining(support: constraints.Constraint) -> Transform:
    """Map from the space in which kernels move to `support`: of discrete points the identity."""
    return IdentityTransform() if support.is_discrete else biject_to(support)


def real_support(event_shape: tuple[int, ...]) -> constraints.Constraint:
    """All real arrays of shape `event_shape`."""
    return covering_support(constraints.real, event_shape)


def covering_support(
    support: constraints.Constraint, event_shape: tuple[int, ...]
) -> constraints.Constraint:
    """Extend `support` over the leading axes of `event_shape` that it says nothing about.

    Raises:
        ValueError: If `support` is no NumPyro constraint, or has more event axes than
            `event_shape`.
    """
    if not isinstance(support, constraints.Constraint):
        raise ValueError(f"`support` must be a NumPyro constraint; got {support!r}.")
    missing = len(event_shape) - support.event_dim
    if missing < 0:
        raise ValueError(
            f"`support` must have at most {len(event_shape)} event axes, as `event_shape` "
            f"{event_shape} does; got {support!r} with {support.event_dim}."
        )
    if missing == 0:
        return support
    if missing == 1 and support is constraints.real:
        return constraints.real_vector
    return constraints.independent(support, missing)


def same_support(first: constraints.Constraint, second: constraints.Constraint) -> bool:
    """Whether two constraints agree; bounds that are being traced agree if they are identical."""
    if is_traced(first) or is_traced(second):
        return bool(first.eq(second, static=True))
    return bool(np.all(np.asarray(first.eq(second))))


def coordinate_support(
    support: constraints.Constraint, coordinates: tuple[int, ...], dim: int
) -> constraints.Constraint:
    """Support of some coordinates of a vector whose coordinates are constrained one by one.

    Args:
        support: Constraint on vectors of `dim` coordinates.
        coordinates: The coordinates to keep.
        dim: Number of coordinates before.

    Raises:
        ValueError: If `support` ties coordinates to one another (a simplex, an order).
    """
    base = getattr(support, "base_constraint", None)
    if base is None or base.event_dim != 0:
        raise ValueError(
            f"The energy's support must constrain each coordinate by itself; got {support!r}."
        )

    def select(bound: Any) -> Any:
        return bound[np.array(coordinates)] if np.shape(bound) == (dim,) else bound

    return constraints.independent(jax.tree.map(select, base), 1)
