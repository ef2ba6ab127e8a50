"""How conditional energies read the condition that they are given."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._checks import check_shape, is_traced
from ebm_ppl.energies._base import as_parameter


def as_condition(value: Any) -> Float[Array, "..."]:
    """Read a condition as a floating-point array; one that already is keeps its precision.

    As with `as_parameter`, a concrete value stays concrete while JAX traces the surrounding code.
    """
    if not hasattr(value, "dtype") or not jnp.issubdtype(value.dtype, jnp.floating):
        return as_parameter(value)
    if is_traced(value):
        return jnp.asarray(value)
    with jax.ensure_compile_time_eval():
        return jnp.asarray(value)


def kept_or_dropped(energy: Any, y: Any, kept: Any) -> Float[Array, "..."]:
    """The condition that a conditional energy is asked for.

    Args:
        energy: The energy, which has a `condition_shape` and a `null_condition`.
        y: The condition, or `None` for the null condition.
        kept: Whether the condition is kept, a Boolean scalar; `None` for certain.

    Returns:
        The condition, or the energy's null condition in its place.

    Raises:
        ValueError: If a shape does not fit, or there is no null condition where one is needed.
    """
    if y is not None:
        check_shape("y", y, energy.condition_shape)
        if kept is None:
            return as_condition(y)
        check_shape("kept", kept, ())
    null = energy.null_condition
    if null is None:
        raise ValueError(
            f"`null_condition` of {type(energy).__name__} must be an array for the condition to be "
            "dropped; got None."
        )
    return null if y is None else jnp.where(kept, as_condition(y), null)
