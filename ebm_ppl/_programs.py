"""What JAX makes of a function, and when two functions are the same to it."""

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

_RULES = ("custom_jvp_call", "custom_vjp_call", "custom_vmap_call")
"""Operations whose Python functions are rules for transformations, of which a finished program needs none."""

_ADDRESS = re.compile(r"0x[0-9a-f]+")


def program_of(function: Callable[..., Any], *args: Any) -> Any:
    """What JAX makes of a function: every operation and constant, whatever closures they come from."""
    return eqx.filter_make_jaxpr(function)(*args)[0]


def digest_of(programs: Sequence[Any], values: Any = None, *, with_constants: bool = True) -> str:
    """Digest of the operations of programs and of every bit of the arrays and numbers of a pytree.

    Functions have no equality. In programs, what they close over are constants; what a function under
    `jax.jit` closes over, those of a program within the program.

    Args:
        programs: What `program_of` or `jax.make_jaxpr` returns.
        values: A pytree.
        with_constants: Whether constants of the programs themselves count, beside those within.
    """
    digest = hashlib.sha256()
    for program in programs:
        digest.update(_ADDRESS.sub("", str(program.jaxpr)).encode())
    constants = [list(_constants(program, with_constants)) for program in programs]
    for leaf in jax.tree.leaves(eqx.filter((constants, values), eqx.is_array_like)):
        array = as_numbers(leaf)
        digest.update(f"{array.shape}{array.dtype}".encode())
        for block in blocks_on_host(array):
            digest.update(np.ascontiguousarray(block).tobytes())
    return digest.hexdigest()


def callbacks_of(program: Any) -> list[str]:
    """Names of the operations of a program that call Python for a result."""
    operations = (one.primitive.name for part in _parts(program, set()) for one in part.eqns)
    return sorted(set(operations).intersection(_CALLBACKS))


def is_comparable(program: Any) -> bool:
    """Whether nothing in a program is told apart by its place in memory alone, or acts on the world."""
    return not program.effects and not any(
        _ADDRESS.search(str(setting))
        for part in _parts(program, set())
        for operation in part.eqns
        if operation.primitive.name not in _RULES
        for setting in operation.params.values()
        if not any(_programs_in(setting))
    )


def as_numbers(leaf: Any) -> Any:
    """A number, an array or the data of random keys, as an array of numbers where it lies."""
    if not eqx.is_array(leaf):
        return np.asarray(leaf)
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


def _constants(program: Any, with_own: bool) -> Iterator[Any]:
    """The arrays in a program, in the programs that its operations call, and in their settings."""
    for part in _parts(program, set()):
        # From JAX 0.12 on the two classes are one.
        if isinstance(part, core.ClosedJaxpr) and (with_own or part is not program):
            yield from part.consts
        for operation in part.eqns:
            yield from (var.val for var in operation.invars if isinstance(var, core.Literal))
            yield from filter(eqx.is_array, jax.tree.leaves(list(operation.params.values())))


def _parts(program: Any, seen: set[int]) -> Iterator[Any]:
    """A program and those that its operations call, each once."""
    if id(program) in seen:  # a function that is called twice
        return
    seen.add(id(program))
    yield program
    for operation in program.eqns:
        for inner in _programs_in(operation.params):
            yield from _parts(inner, seen)


def _programs_in(settings: Any) -> Iterator[Any]:
    """The programs in the settings of an operation."""
    if isinstance(settings, (core.ClosedJaxpr, core.Jaxpr)):
        yield settings
    elif isinstance(settings, dict):
        for key in sorted(settings):
            yield from _programs_in(settings[key])
    elif isinstance(settings, (tuple, list)):
        for one in settings:
            yield from _programs_in(one)
