"""Argument checks with one voice: every message names the argument, the bound and the value."""

import math
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ebm_ppl._forks import check_not_forked
from ebm_ppl._processes import on_host


def is_traced(value: Any) -> bool:
    """Whether any leaf of `value` is a JAX tracer, that is, not yet a number."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value))


def _refuse(name: str, bound: str, value: Any) -> NoReturn:
    raise ValueError(f"`{name}` must be {bound}; got {value!r}.")


def _as_number(name: str, bound: str, value: Any) -> float:
    """Read a scalar of any numeric kind, or refuse with the bound it was to satisfy."""
    if isinstance(value, (bool, str, bytes)) or np.ndim(value) != 0:
        _refuse(name, bound, value)
    try:
        return float(value)
    except (TypeError, ValueError):
        _refuse(name, bound, value)


def check_positive(name: str, value: Any) -> None:
    """Refuse a scalar that is not a finite number above zero; traced values pass."""
    if is_traced(value):
        return
    number = _as_number(name, "a finite number above 0", value)
    if not (math.isfinite(number) and number > 0):
        _refuse(name, "a finite number above 0", value)


def check_finite(name: str, value: Any) -> None:
    """Refuse an array with a non-finite entry; traced values pass."""
    if is_traced(value):
        return
    try:
        array = on_host(value)
        is_text = array.dtype.kind in "US"  # which NumPy would read as numbers
        finite = not is_text and bool(np.all(np.isfinite(np.asarray(array, np.float64))))
    except (TypeError, ValueError):
        finite = False
    if not finite:
        _refuse(name, "finite everywhere", value)


def check_interval(
    name: str, value: Any, lower: float, upper: float, *, closed: bool = False
) -> None:
    """Refuse a scalar outside `(lower, upper)`, or `[lower, upper]` if `closed`; traced values pass."""
    if is_traced(value):
        return
    bound = f"a number in {'[' if closed else '('}{lower}, {upper}{']' if closed else ')'}"
    number = _as_number(name, bound, value)
    inside = lower <= number <= upper if closed else lower < number < upper
    if not inside:
        _refuse(name, bound, value)


def check_count(name: str, value: Any, minimum: int = 1) -> None:
    """Refuse anything but an integer of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < minimum:
        _refuse(name, f"an integer of at least {minimum}", value)


def check_flag(name: str, value: Any) -> None:
    """Refuse anything but a truth value; a string or a number in its place is a mistake."""
    if not isinstance(value, (bool, np.bool_)):
        _refuse(name, "True or False", value)


def check_shape(name: str, value: Any, expected: tuple[int, ...]) -> None:
    """Refuse an array whose shape is not `expected`."""
    shape = np.shape(value)
    if shape != tuple(expected):
        raise ValueError(f"Expected `{name}` of shape {tuple(expected)}; got {shape}.")


def check_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Refuse a string that is not one of `choices`."""
    if value not in choices:
        _refuse(name, "one of " + ", ".join(repr(choice) for choice in choices), value)


def check_instance(name: str, value: Any, kinds: type | tuple[type, ...], bound: str) -> None:
    """Refuse anything but an instance of one of the `kinds`, which `bound` describes."""
    if not isinstance(value, kinds):
        _refuse(name, bound, value)


def check_key(name: str, value: Any) -> None:
    """Refuse anything but one random key, typed or raw, and to draw where JAX cannot compute."""
    check_not_forked()
    dtype, ndim = getattr(value, "dtype", None), np.ndim(value)
    is_typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and ndim == 0
    if not (is_typed or (dtype == np.uint32 and ndim == 1)):
        _refuse(name, "one random key, such as `jax.random.key(0)`", value)
