"""How conditional energies read the conditions that they are given, and name those that they have."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._checks import check_finite, check_positive, check_shape, is_traced
from ebm_ppl.energies._base import as_parameter
from ebm_ppl.energies._unbatched import check_unbatched


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


def as_condition_or_none(value: Any) -> Float[Array, "..."] | None:
    """Read a condition, where there is one."""
    return None if value is None else as_condition(value)


def as_null_condition(value: Any, condition_shape: tuple[int, ...] | None) -> Array | None:
    """Read the initial value of a null condition, where there is one.

    Raises:
        ValueError: If it does not have the shape of a condition, or is not finite.
    """
    if value is None:
        return None
    if condition_shape is None:
        raise ValueError(
            f"`null_condition` must be None where `condition_shape` is; got {value!r}."
        )
    check_unbatched("null_condition", value, condition_shape)
    check_finite("null_condition", value)
    return as_parameter(value)


def zero_condition(condition_shape: tuple[int, ...] | None) -> Array:
    """The null condition that a network begins with.

    Raises:
        ValueError: If there is no condition.
    """
    if condition_shape is None:
        raise ValueError("`class_free` must be False where `condition_shape` is None; got True.")
    return jnp.zeros(condition_shape)


def notation(energy: Any) -> str:
    """What a conditional energy depends on, as one writes it: `E(x | y)`, `E_sigma(x)`, `E_sigma(x | y)`."""
    level = "_sigma" if energy.noise_conditional else ""
    condition = "" if energy.condition_shape is None else " | y"
    return f"E{level}(x{condition})"


def named(energy: Any) -> str:
    """Class of a conditional energy and what it depends on, for messages."""
    return f"{type(energy).__name__}, an energy {notation(energy)}"


def check_given(energy: Any, y: Any, sigma: Any) -> None:
    """Refuse conditions of another shape than an energy has, or where it has none.

    Raises:
        ValueError: If that is so, or a level of noise is not positive.
    """
    if y is not None:
        if energy.condition_shape is None:
            raise ValueError(f"`y` must be None for {named(energy)}; got {y!r}.")
        check_unbatched("y", y, energy.condition_shape)
    if sigma is not None:
        if not energy.noise_conditional:
            raise ValueError(f"`sigma` must be None for {named(energy)}; got {sigma!r}.")
        check_unbatched("sigma", sigma, ())
        check_positive("sigma", sigma)


def check_all_given(energy: Any, y: Any, sigma: Any) -> None:
    """Refuse what `check_given` refuses, and a condition that is missing.

    Raises:
        ValueError: If that is so.
    """
    if y is None and energy.condition_shape is not None:
        raise ValueError(
            f"`y` must be of shape {energy.condition_shape} for {named(energy)}; got None."
        )
    if sigma is None and energy.noise_conditional:
        raise ValueError(f"`sigma` must be a positive number for {named(energy)}; got None.")
    check_given(energy, y, sigma)


def kept_or_dropped(energy: Any, y: Any, kept: Any) -> Float[Array, "..."] | None:
    """The condition that an energy is to be fixed at.

    Args:
        energy: The conditional energy.
        y: The condition, of a shape that fits, or `None`.
        kept: Whether the condition is kept, a Boolean scalar; `None` for certain.

    Returns:
        The condition, or the energy's null condition in its place; `None` if there is neither.

    Raises:
        ValueError: If `kept` is no scalar, there is no null condition where one is needed, or no
            condition that might be kept.
    """
    if kept is None:
        return as_condition_or_none(y)
    check_shape("kept", kept, ())
    null = null_condition_of(energy)
    if y is not None:
        return jnp.where(kept, as_condition(y), null)
    if is_traced(kept) or bool(kept):
        raise ValueError(f"`y` must be given unless `kept` is False; got None with kept={kept!r}.")
    return null


def null_condition_of(energy: Any) -> Float[Array, "..."]:
    """The condition that stands for none.

    Raises:
        ValueError: If the energy has none.
    """
    if energy.null_condition is None:
        raise ValueError(
            f"`null_condition` of {type(energy).__name__} must be an array for the condition to be "
            "dropped; got None."
        )
    return energy.null_condition
