"""Code that JAX cannot trace: what it did, in the words of whoever wrote the energy."""

import contextlib
from collections.abc import Iterator

import jax

_REMEDIES = {
    jax.errors.TracerBoolConversionError: (
        "a Python `if` or `while` asks for the outcome of a comparison; write `jnp.where` or `jax.lax.cond`"
    ),
    jax.errors.TracerArrayConversionError: (
        "a function of NumPy asks for numbers; write that of `jax.numpy`, as in `jnp.sin(x)`"
    ),
    jax.errors.TracerIntegerConversionError: (
        "an index or a range asks for an integer; write `jnp.take`, or loop with `jax.lax`"
    ),
    jax.errors.ConcretizationTypeError: (
        "`math`, `float` or `int` asks for a number; write the function of `jax.numpy`, as in `jnp.sqrt(x)`"
    ),
}
"""What each error of JAX means here; the first is also one of the last kind."""


@contextlib.contextmanager
def written_in_jax(name: str) -> Iterator[None]:
    """Say of an energy's code that JAX cannot trace what it does and what to write instead.

    Raises:
        TypeError: In place of JAX's own error, from the same line.
    """
    try:
        yield
    except tuple(_REMEDIES) as error:
        remedy = next(text for kind, text in _REMEDIES.items() if isinstance(error, kind))
        raise TypeError(
            f"{name} must be written in JAX, which compiles it before there are numbers: {remedy}."
        ).with_traceback(error.__traceback__) from None
