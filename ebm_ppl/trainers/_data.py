"""Data sets: checked once against the energy, then held on the device as they are."""

import numbers
from collections.abc import Callable
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ebm_ppl._checks import check_interval, is_traced
from ebm_ppl._processes import check_layout, on_host, spans
from ebm_ppl._types import PRNGKey
from ebm_ppl.energies import AbstractConditionalEnergy
from ebm_ppl.energies._described import described
from ebm_ppl.trainers._batch import Batch, Condition
from ebm_ppl.trainers._units import check_resolution

_REAL_NUMBERS = (jnp.floating, jnp.integer, jnp.bool_)


def as_batch(energy: Any, data: Any, condition: Any = None, sigma: Any = None) -> Batch:
    """Check a data set against an energy and make one batch of all its examples.

    Under a JAX transformation, such as `jax.vmap` over data sets, only shapes are checked.

    Args:
        energy: An energy, or a conditional one.
        data: Points, shape `(num_examples, *event_shape)`.
        condition: Conditions, shape `(num_examples, *condition_shape)`, for conditional energies.
        sigma: Standard deviation of the noise that is in each point, shape `(num_examples,)`, for energies
            that depend on it; `None` where an objective adds the noise.

    Returns:
        All examples, as floating-point arrays on the device; NumPy arrays are copied there.

    Raises:
        ValueError: If a shape does not fit, a value is masked, not finite or outside the support, a
            column's offset takes the digits of its spread, a condition is given to an energy that
            takes none or not to one that does, or a level of noise is not positive or the energy has none.

    Examples:
        >>> import jax.numpy as jnp
        >>> from ebm_ppl.energies import Quartic
        >>> from ebm_ppl.trainers import as_batch
        >>> as_batch(Quartic(), jnp.array([0.5, -1.0])).num_examples
        2
    """
    points = _as_examples("data", data, energy.event_shape)
    if not is_traced(points):
        _check_support("data", energy, points)
    y, levels = _conditions(energy, condition, len(points)), _levels(energy, sigma, len(points))
    conditions = None if y is None and levels is None else Condition(y, levels)
    return Batch(points, conditions, jnp.arange(len(points)))


def check_points(name: str, energy: Any, points: Array) -> None:
    """Refuse points of which one is not finite or outside an energy's support.

    Args:
        name: What to call them.
        energy: An energy, or a conditional one.
        points: Points, shape `(num_points, *event_shape)`.

    Raises:
        ValueError: If one is; it names the first.
    """
    _check_finite(name, points, points)
    _check_support(name, energy, points)


def split_off(data: Batch, fraction: float, rng_key: PRNGKey) -> tuple[Batch, Batch]:
    """Split a random share off a data set.

    Args:
        data: The data set.
        fraction: Share of the examples to split off, between 0 and 1; at least one example.
        rng_key: Random key.

    Returns:
        The rest and the share.

    Raises:
        ValueError: If `fraction` is not in (0, 1) or either part would be empty.
    """
    check_interval("fraction", fraction, 0.0, 1.0)
    count = max(1, round(fraction * data.num_examples))
    if count >= data.num_examples:
        raise ValueError(
            f"`fraction` must leave examples to learn from; got {fraction!r} of "
            f"{data.num_examples} examples."
        )
    order = jax.random.permutation(rng_key, data.num_examples)
    rest, share = (
        jax.tree.map(lambda leaf, rows=rows: leaf[rows], data)
        for rows in (order[count:], order[:count])
    )
    return renumbered(rest), renumbered(share)


def renumbered(data: Batch) -> Batch:
    """The same examples, numbered from 0."""
    return Batch(data.x, data.condition, jnp.arange(data.num_examples))


def _conditions(energy: Any, condition: Any, count: int) -> Array | None:
    """Read the conditions of some examples, where their energy has one."""
    shape = energy.condition_shape if isinstance(energy, AbstractConditionalEnergy) else None
    if shape is None:
        if condition is not None:
            raise ValueError(
                f"`condition` must be None for an energy without a condition; got one with "
                f"{described(energy)}."
            )
        return None
    if condition is None:
        raise ValueError("`condition` must be given for a conditional energy; got None.")
    return _beside("condition", condition, shape, count)


def _levels(energy: Any, sigma: Any, count: int) -> Array | None:
    """Read the levels of noise that are in some examples, where they are given."""
    if sigma is None:
        return None
    if not (isinstance(energy, AbstractConditionalEnergy) and energy.noise_conditional):
        raise ValueError(
            f"`sigma` must be None for an energy without levels of noise; got levels with "
            f"{described(energy)}."
        )
    levels = _beside("sigma", sigma, (), count)
    if not is_traced(levels):
        _check_rows("sigma", levels, _per_row(lambda rows: rows > 0, levels), "be above 0")
    return levels


def _beside(name: str, values: Any, shape: tuple[int, ...], count: int) -> Array:
    """Read what belongs to each example."""
    rows = _as_examples(name, values, shape)
    if len(rows) != count:
        raise ValueError(f"`{name}` must have one row per example, {count}; got {len(rows)}.")
    return rows


def _as_examples(name: str, values: Any, shape: tuple[int, ...]) -> Array:
    """Read a non-empty batch of finite values of one shape; the values of tracers are not checked."""
    _refuse_masked(name, values)
    check_layout(name, values)
    array = _as_numbers(name, values)
    if array.shape[1:] != tuple(shape) or array.ndim == 0:
        expected = ", ".join(("num_examples", *map(str, shape)))
        raise ValueError(f"Expected `{name}` of shape ({expected}); got {array.shape}.")
    if len(array) == 0:
        raise ValueError(f"`{name}` must have at least one example; got none.")
    # JAX may use the memory of a NumPy array, which its owner may change after the fit: copy it.
    with np.errstate(over="ignore"):  # what is too large for the precision is refused below
        points = jnp.array(array, dtype=float, copy=not isinstance(array, jax.Array))
    if not is_traced(points):
        _check_finite(name, values, points)
        check_resolution(name, array if spans(array) else np.asarray(array), points.dtype)
    return points


def _check_finite(name: str, values: Any, points: Array) -> None:
    """Refuse points that are not finite; `values` is what they were made of."""
    is_finite = jnp.isfinite if spans(points) else np.isfinite
    _check_rows(name, values, _per_row(is_finite, points), "be finite everywhere")


def _check_support(name: str, energy: Any, points: Array) -> None:
    """Refuse points outside an energy's support."""
    inside = _per_row(energy.support, points)
    _check_rows(name, points, inside, f"lie in the energy's support {energy.support!r}")


def _per_row(test: Callable[[Any], Any], points: Array) -> np.ndarray:
    """What a test says of points; where they span processes, whether it is true of all of each row."""
    if spans(points):
        return on_host(jnp.all(jnp.reshape(test(points), (len(points), -1)), axis=1))
    return np.asarray(test(np.asarray(points)))  # on the host nothing is compiled


def _as_numbers(name: str, values: Any) -> Any:
    """Read an array of real numbers in the precision that it has."""
    try:
        array = values if isinstance(values, jax.Array) else np.asarray(values)
    except ValueError:
        _refuse_kind(name, f"{type(values).__name__} with rows of different lengths")
    if not any(jnp.issubdtype(array.dtype, kind) for kind in _REAL_NUMBERS):
        _refuse_kind(name, _described(values, array))
    return array


def _refuse_kind(name: str, got: str) -> NoReturn:
    raise ValueError(f"`{name}` must be an array of real numbers; got {got}.")


def _described(values: Any, array: Any) -> str:
    """What stands in the place of numbers, and where first."""
    kind = type(values).__name__
    if array.ndim == 0:
        return kind
    if array.dtype != object:
        return f"{kind} of {array.dtype}"
    for index, entry in np.ndenumerate(array):
        if not isinstance(entry, numbers.Real):
            return (
                f"{kind} with {entry!r}, {_article(type(entry).__name__)}, {_place(values, index)}"
            )
    return f"{kind} of {array.dtype}, which `.astype(float)` makes numbers of"


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _place(values: Any, index: tuple[int, ...]) -> str:
    """Row and column of an entry; a data frame's columns have names."""
    if len(index) == 1:
        return f"in row {index[0]}"
    labels = getattr(values, "columns", None)
    column = ", ".join(map(str, index[1:])) if labels is None else repr(labels[index[1]])
    return f"in row {index[0]}, column {column}"


def _refuse_masked(name: str, values: Any) -> None:
    """Refuse entries that are masked, whose mask no array of JAX keeps."""
    is_list = isinstance(values, (list, tuple))
    parts = values if is_list else (values,)
    if any(isinstance(part, np.ma.MaskedArray) and np.ma.is_masked(part) for part in parts):
        masks = [np.ma.getmaskarray(part) for part in parts]
        mask = np.stack(masks) if is_list else masks[0]
        row = int(np.argmax(mask.reshape(len(mask), -1).any(axis=1)))
        raise ValueError(
            f"`{name}` must have no masked entries; got {int(mask.sum())}, the first in row {row}. Leave "
            "these rows out, or fill them."
        )


def _check_rows(name: str, values: Any, good: np.ndarray, bound: str) -> None:
    """Refuse a data set of which a row is not good, and name the first."""
    rows = good.reshape(len(good), -1).all(axis=1)
    if not rows.all():
        row = int(np.argmin(rows))
        found = on_host(values[row]) if spans(values) else np.asarray(values)[row]
        raise ValueError(f"`{name}` must {bound}; got {found.tolist()!r} in row {row}.")
