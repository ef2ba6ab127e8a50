"""Whether the parts of an energy fit together, found out without a number of it."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from ebm_ppl._checks import check_count, check_shape
from ebm_ppl._kinds import is_of
from ebm_ppl.energies import AbstractEnergy

MOST_COORDINATES = 2**24
"""Most coordinates of a point or a condition: a file of a few bytes may speak of any number."""
_MOST_AXES = 32
MOST_BATCH_AXES = 4
"""Most axes along which several energies are held at once."""


def check_sound(energy: Any, most_axes: int = MOST_BATCH_AXES) -> None:
    """Refuse an energy of which a field has another kind or shape than its class says, or that has no value.

    Its class says it by annotations, by `__check_init__`, and by what its evaluation does with shapes alone.
    Of the parameters only shapes and dtypes are looked at: training may have made anything of the numbers.

    Args:
        energy: An energy of any kind, with a `jax.ShapeDtypeStruct` for every array. Several at once, along
            leading axes that all arrays share, are sound if one of them is.
        most_axes: Most such axes.

    Raises:
        Exception: Of any kind, if it is not sound; classes and JAX raise what they like.
    """
    try:
        eqx.filter_eval_shape(_evaluate, energy)
    except Exception:  # whatever it is, one of several may be sound
        sizes = {leaf.shape[:1] for leaf in jax.tree.leaves(energy)}
        if not most_axes or len(sizes) != 1 or () in sizes:
            raise
        check_sound(jax.tree.map(_without_axis, energy), most_axes - 1)


def _without_axis(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)


def _evaluate(energy: Any) -> None:
    _check_fields(energy)
    if isinstance(energy, AbstractEnergy):
        return _evaluate_at_points(energy)
    sigma = jnp.ones(()) if energy.noise_conditional else None
    y = None if energy.condition_shape is None else jnp.zeros(energy.condition_shape)
    _evaluate_at_points(energy.at(y=y, sigma=sigma))
    if energy.null_condition is not None:
        _evaluate_at_points(energy.at(sigma=sigma, kept=False))
    return None


def _evaluate_at_points(energy: AbstractEnergy) -> None:
    x = jnp.zeros(energy.event_shape)
    check_shape("energy(x)", energy(x), ())
    if energy.support.event_dim != x.ndim:
        raise ValueError(f"`support` must cover {x.ndim} axes; got {energy.support!r}.")


def _check_fields(module: eqx.Module) -> None:
    """Look at a module's fields, those of its parts first, on which its own questions rest."""
    fields = {field.name: field.type for field in dataclasses.fields(module)}
    for value in vars(module).values():
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, eqx.Module):
                _check_fields(part)
    sizes: dict[str, int] = {}
    for name, annotation in fields.items():
        if not is_of(getattr(module, name), annotation, sizes):
            raise ValueError(f"`{name}` must be {annotation}, with {sizes}.")
    for name in ("event_shape", "condition_shape"):
        _check_size(name, getattr(module, name, None) or ())
    for cls in type(module).__mro__:
        if "__check_init__" in vars(cls):
            vars(cls)["__check_init__"](module)


def _check_size(name: str, shape: tuple[int, ...]) -> None:
    """Refuse a shape of too many coordinates, before anything is made for them."""
    total = 1
    for number, size in enumerate(shape):
        check_count(name, size)
        total *= size
        if number >= _MOST_AXES or total > MOST_COORDINATES:
            raise ValueError(
                f"`{name}` must have at most {_MOST_AXES} axes and {MOST_COORDINATES} coordinates."
            )
