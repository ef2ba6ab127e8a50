"""One energy is one law: what is said where arrays hold the parameters of several."""

import collections
import contextlib
import dataclasses
from typing import Any, NoReturn, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped

REMEDY = (
    "One energy is one law, and its parameters have no batch axes: map over several with `jax.vmap`, within "
    "which each is one, or give each a sample site of its own; `EnergyDistribution(energy).expand` and "
    "`numpyro.plate` repeat one law."
)


def check_unbatched(name: str, value: Any, expected: tuple[int | str, ...]) -> None:
    """Refuse a parameter of another shape; of one with more axes, say what serves in place of a batch.

    Args:
        name: Name of the argument.
        value: Its value.
        expected: Size of each axis, or a name for any size of at least 1.
    """
    shape = np.shape(value)
    fits = len(shape) == len(expected) and all(
        size >= 1 if isinstance(known, str) else size == known
        for size, known in zip(shape, expected, strict=True)
    )
    if not fits:
        refuse_shape(name, _written(expected), shape, rank=len(expected))


def refuse_shape(name: str, expected: str, shape: tuple[int, ...], rank: int) -> NoReturn:
    """Refuse a shape, and say what serves in place of a batch where it has more axes than `rank`."""
    remedy = f" {REMEDY}" if len(shape) > rank else ""
    raise ValueError(f"Expected `{name}` of shape {expected}; got {shape}.{remedy}")


def _written(expected: tuple[int | str, ...]) -> str:
    """A shape as one writes it, with what holds of the sizes that have names."""
    names = dict.fromkeys(size for size in expected if isinstance(size, str))
    shape = f"({', '.join(map(str, expected))}{',' if len(expected) == 1 else ''})"
    return f"{shape} with {', '.join(names)} >= 1" if names else shape


_passed: collections.OrderedDict[Any, None] = collections.OrderedDict()
_MOST_REMEMBERED = 64


def check_one_law(energy: Any) -> None:
    """Refuse an energy that holds the parameters of several, as one that `jax.vmap` returns does.

    No constructor has seen its shapes. Nothing is computed: JAX traces the checks and the energy, which takes
    milliseconds, once for energies that differ in their numbers alone.

    Raises:
        ValueError: If an array has another rank than its annotation says, the class refuses its shapes, or
            the energy is not one number.
        TypeError: If JAX cannot trace the energy.
    """
    kind = _kind(energy)
    if kind in _passed:
        return
    eqx.filter_eval_shape(_check_module, energy)
    jax.eval_shape(energy, jax.ShapeDtypeStruct(energy.event_shape, jnp.result_type(float)))
    if kind is not None:
        _passed[kind] = None
    while len(_passed) > _MOST_REMEMBERED:
        _passed.popitem(last=False)


def _kind(energy: Any) -> Any:
    """What energies have in common that differ in their numbers alone; `None` where that cannot be told."""
    leaves, structure = jax.tree.flatten(energy)
    if not all(map(eqx.is_array, leaves)):
        return None
    kind = structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves), jnp.result_type(float)
    with contextlib.suppress(TypeError):  # somebody's own fields need not be hashable
        hash(kind)
        return kind
    return None


def _check_module(module: eqx.Module) -> None:
    """Ask again what a constructor asks of shapes, of the parts of a module first."""
    for part in jax.tree.leaves(module, is_leaf=lambda node: _is_part(node, module)):
        if _is_part(part, module):
            _check_module(part)
    for field in dataclasses.fields(module):
        _check_rank(field.name, getattr(module, field.name), field.type)
    for kind in type(module).__mro__:
        # Somebody's own check of numbers has none here: they are left to the constructor.
        with contextlib.suppress(
            jax.errors.ConcretizationTypeError,
            jax.errors.TracerArrayConversionError,
            jax.errors.TracerIntegerConversionError,
        ):
            vars(kind).get("__check_init__", lambda _: None)(module)


def _is_part(node: Any, module: eqx.Module) -> bool:
    return isinstance(node, eqx.Module) and node is not module


def _check_rank(name: str, value: Any, annotation: Any) -> None:
    """Hold an array against the axes that its annotation names, whatever they and its numbers are."""
    kinds = [kind for kind in (annotation, *get_args(annotation)) if hasattr(kind, "dim_str")]
    if not kinds or not isinstance(value, jax.Array):
        return
    if not any(_has_axes(value, kind.dim_str) for kind in kinds):
        axes = tuple(kinds[0].dim_str.split())
        refuse_shape(name, _written(axes), value.shape, rank=len(axes))


def _has_axes(value: Any, axes: str) -> bool:
    kind: Any = Shaped[jax.Array, axes]
    return isinstance(value, kind)
