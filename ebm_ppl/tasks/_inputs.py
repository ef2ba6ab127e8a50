"""How tasks read an energy, and batches of points and of conditions."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import check_finite, check_positive
from ebm_ppl._errors import NonFiniteEnergyError
from ebm_ppl.energies import AbstractConditionalEnergy, AbstractEnergy
from ebm_ppl.energies._conditions import check_all_given
from ebm_ppl.energies._described import in_place_of_energy
from ebm_ppl.energies._unbatched import check_one_law

Energy: TypeAlias = AbstractEnergy | AbstractConditionalEnergy

CHUNK = 4096
"""Most points whose energies are computed at once: a network keeps all layers of each in memory."""


def check_energy(energy: Any) -> None:
    """Refuse anything but one energy, conditional or not."""
    if not isinstance(energy, (AbstractEnergy, AbstractConditionalEnergy)):
        raise TypeError(
            "`energy` must be an AbstractEnergy or an AbstractConditionalEnergy; got "
            f"{in_place_of_energy(energy)}. Make one with ebm_ppl.energies.from_callable or "
            "from_conditional_callable."
        )
    if isinstance(energy, AbstractEnergy):
        check_one_law(energy)


def check_conditional(energy: Any) -> None:
    """Refuse anything but an energy under a condition."""
    is_one = isinstance(energy, AbstractConditionalEnergy) and energy.condition_shape is not None
    if not is_one:
        raise ValueError(
            f"`energy` must be an AbstractConditionalEnergy E(x | y) with a condition; got {energy!r}."
        )


def as_batch(name: str, value: Any, shape: tuple[int, ...]) -> Float[np.ndarray, "num *shape"]:
    """Read a batch of arrays of one shape, at least one of them and all finite, as it came.

    Raises:
        ValueError: If it is no such batch.
    """
    check_finite(name, value)
    array = np.asarray(value)
    if array.ndim == 0 or array.shape[1:] != shape or len(array) == 0:
        expected = ", ".join(("num", *map(str, shape))) + ("" if shape else ",")
        hint = f" One point is a batch of one: `{name}[None]`." if array.shape == shape else ""
        raise ValueError(
            f"Expected `{name}` of shape ({expected}) with num >= 1; got {array.shape}.{hint}"
        )
    return array


def as_points(name: str, value: Any, shape: tuple[int, ...]) -> Float[Array, "num *shape"]:
    """Read a batch in the session's precision.

    Raises:
        ValueError: If it is no such batch, or a number is beyond the largest float.
    """
    batch = as_batch(name, value, shape)
    with np.errstate(over="ignore"):  # of which the next line tells
        points = jnp.asarray(batch, dtype=float)
    check_finite(name, points)
    return points


def as_conditions(energy: Energy, y: Any, sigma: Any, num: int) -> tuple[Any, Any]:
    """Read what a batch of points is given: one condition and level for all, or one for each.

    Args:
        energy: The energy.
        y: One condition, a batch of `num`, or `None`.
        sigma: One level of noise, a batch of `num`, or `None`.
        num: Number of points.

    Returns:
        Conditions and levels, one for each point; `None` in place of what the energy does not depend on.

    Raises:
        ValueError: If one is missing, or is not of that shape.
    """
    if isinstance(energy, AbstractEnergy):
        for name, value in (("y", y), ("sigma", sigma)):
            if value is not None:
                raise ValueError(
                    f"`{name}` must be None for {type(energy).__name__}, which depends on no "
                    f"condition; got {value!r}."
                )
        return None, None
    y, sigma = _repeated("y", y, energy.condition_shape, num), _repeated("sigma", sigma, (), num)
    first = (None if value is None else value[0] for value in (y, sigma))
    check_all_given(energy, *first)
    if sigma is not None:
        check_positive("sigma", jnp.min(sigma))
    return y, sigma


def _repeated(name: str, value: Any, shape: tuple[int, ...] | None, num: int) -> Array | None:
    if value is None or shape is None:
        return None if value is None else jnp.asarray(value)[None]  # which the energy refuses
    if np.shape(value) not in (shape, (num, *shape)):
        raise ValueError(
            f"Expected `{name}` of shape {shape}, or {(num, *shape)} to have one for each point; got "
            f"{np.shape(value)}."
        )
    check_finite(name, value)
    return jnp.broadcast_to(jnp.asarray(value, dtype=float), (num, *shape))


def law_at(energy: Energy, y: Any, sigma: Any) -> AbstractEnergy:
    """The energy of one point, at its condition and level."""
    if isinstance(energy, AbstractEnergy):
        return energy
    return energy.at(y=y, sigma=sigma)


def in_chunks(program: Callable[..., Array], energy: Any, *batches: Any) -> Array:
    """What a program makes of an energy and batches, so many points at a time."""
    num = len(batches[0])
    if num <= CHUNK:
        return program(energy, *batches)
    chunks = [
        _chunk(program, energy, batches, slice(start, start + CHUNK))
        for start in range(0, num, CHUNK)
    ]
    return jnp.concatenate(chunks)


def _chunk(
    program: Callable[..., Array], energy: Any, batches: tuple[Any, ...], rows: slice
) -> Array:
    """Results for some rows; the last chunk is filled up, so that one program serves all."""
    parts = jax.tree.map(lambda batch: batch[rows], batches)
    num = len(parts[0])

    def filled(part: Array) -> Array:
        return jnp.pad(part, ((0, CHUNK - num), *((0, 0),) * (part.ndim - 1)), mode="edge")

    return program(energy, *jax.tree.map(filled, parts))[:num]


def check_values(energy: Energy, name: str, values: Float[Array, " num"]) -> None:
    """Refuse values of an energy that are no numbers.

    Raises:
        NonFiniteEnergyError: If one is NaN; it names the first point.
    """
    missing = np.flatnonzero(np.isnan(np.asarray(values)))
    if len(missing) > 0:
        raise NonFiniteEnergyError(
            f"The energy of {type(energy).__name__}, or its gradient, is NaN at {len(missing)} of "
            f"{len(values)} points, first at `{name}[{missing[0]}]`."
        )
