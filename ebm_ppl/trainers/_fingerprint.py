"""What makes two fits the same: the program of their steps, and every bit of what it starts from."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from ebm_ppl._processes import blocks_on_host

_CALLBACKS = ("pure_callback", "io_callback")  # whose results a program uses; not those that print


def program_of(function: Callable[..., Any], *args: Any) -> Any:
    """What JAX makes of a function: every operation and constant, whatever closures they come from."""
    return eqx.filter_make_jaxpr(function)(*args)[0]


def fingerprint(programs: Sequence[Any], values: Any) -> str:
    """Digest of programs and of every bit of the arrays and numbers of a pytree.

    Two fits of one fingerprint take the same steps. Learning rates, schedules and step sizes hide in
    closures, which have no equality; in the programs they are constants, those of a function under `jax.jit`
    in a program within the program.

    Raises:
        ValueError: If a program calls Python back, whose functions have no equality.
    """
    digest = hashlib.sha256()
    for program in programs:
        digest.update(re.sub(r"0x[0-9a-f]+", "", str(program.jaxpr)).encode())
    constants = [list(_constants(program, set())) for program in programs]
    for leaf in jax.tree.leaves(eqx.filter((constants, values), eqx.is_array_like)):
        array = as_numbers(leaf)
        digest.update(f"{array.shape}{array.dtype}".encode())
        for block in blocks_on_host(array):
            digest.update(np.ascontiguousarray(block).tobytes())
    return digest.hexdigest()


def _constants(part: Any, seen: set[int]) -> Iterator[Any]:
    """The arrays in a program, in the programs that its operations call, and in their settings."""
    if isinstance(part, (core.ClosedJaxpr, core.Jaxpr)):
        if id(part) in seen:  # a function that is called twice
            return
        seen.add(id(part))
        # From JAX 0.12 on the two are one class.
        yield from part.consts if isinstance(part, core.ClosedJaxpr) else ()
        for equation in part.eqns:
            _refuse_callback(equation.primitive.name)
            yield from (var.val for var in equation.invars if isinstance(var, core.Literal))
            yield from _constants(equation.params, seen)
    elif isinstance(part, dict):
        for key in sorted(part):
            yield from _constants(part[key], seen)
    elif isinstance(part, (tuple, list)):
        for one in part:
            yield from _constants(one, seen)
    elif eqx.is_array(part):
        yield part


def _refuse_callback(primitive: str) -> None:
    if primitive in _CALLBACKS:
        raise ValueError(
            f"`checkpoint` must be None for a fit that calls Python back (`jax.{primitive}`): whether what "
            "is called is the same as before the interruption cannot be seen. Write it in JAX, or fit "
            "without a checkpoint."
        )


def as_numbers(leaf: Any) -> Any:
    """A number, an array or the data of random keys, as an array of numbers where it lies."""
    if not eqx.is_array(leaf):
        return np.asarray(leaf)
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf
