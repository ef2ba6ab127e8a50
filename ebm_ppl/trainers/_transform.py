"""A transform of examples: fresh at each step, a pure function of a key and of the points."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
from jaxtyping import Array

from ebm_ppl._checks import is_traced
from ebm_ppl._types import PRNGKey
from ebm_ppl.trainers._batch import Batch
from ebm_ppl.trainers._data import check_points

Transform: TypeAlias = Callable[[PRNGKey, Array], Array]
"""A pure function of a random key and of any number of points along the leading axis."""


def transformed(transform: Transform | None, batch: Batch, rng_key: PRNGKey) -> Batch:
    """Examples with their points transformed, if they are to be.

    Raises:
        ValueError: If the transform changes the shape of the points or the type of their numbers.
    """
    if transform is None:
        return batch
    x = transform(rng_key, batch.x)
    shape, dtype = getattr(x, "shape", None), getattr(x, "dtype", None)
    if (shape, dtype) != (batch.x.shape, batch.x.dtype):
        raise ValueError(
            "`transform` must keep the shape of the points and the type of their numbers, "
            f"{batch.x.dtype} of {batch.x.shape}; got {dtype} of {shape}."
        )
    return dataclasses.replace(batch, x=x)


def first_look(transform: Transform | None, energy: Any, data: Batch, rng_key: PRNGKey) -> Batch:
    """A whole data set transformed once, for what begins at examples; its values are checked.

    Raises:
        ValueError: If a transformed point is not finite or outside the energy's support, or the transform
            does not keep shapes and types.
    """
    if transform is None:
        return data
    seen = eqx.filter_jit(transformed)(transform, data, rng_key)
    if not is_traced(seen.x):
        check_points("transform", energy, seen.x)
    return seen


def key_of_transform(transform: Transform | None, rng_key: PRNGKey) -> tuple[PRNGKey, PRNGKey]:
    """A key for other draws and one for the transform; where there is none, the other is as it was."""
    if transform is None:
        return rng_key, rng_key
    first, second = jax.random.split(rng_key)
    return first, second
