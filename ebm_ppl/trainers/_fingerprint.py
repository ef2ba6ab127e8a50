"""What makes two fits the same: the program of their steps, and every bit of what it starts from."""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np


def program_of(function: Callable[..., Any], *args: Any) -> Any:
    """What JAX makes of a function: every operation and constant, whatever closures they come from."""
    return eqx.filter_make_jaxpr(function)(*args)[0]


def fingerprint(programs: Sequence[Any], values: Any) -> str:
    """Digest of programs and of every bit of the arrays and numbers of a pytree.

    Two fits of one fingerprint take the same steps. Learning rates, schedules and step sizes hide in
    closures, which have no equality; in the programs they are constants.
    """
    digest = hashlib.sha256()
    for program in programs:
        digest.update(re.sub(r"0x[0-9a-f]+", "", str(program.jaxpr)).encode())
    constants = [program.consts for program in programs]
    for leaf in jax.tree.leaves(eqx.filter((constants, values), eqx.is_array_like)):
        array = to_numpy(leaf)
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def to_numpy(leaf: Any) -> np.ndarray:
    """A number, an array or the data of random keys, as a NumPy array."""
    if eqx.is_array(leaf) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf)
