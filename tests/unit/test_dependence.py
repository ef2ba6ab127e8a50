"""Whether traced values depend on arguments, by operations that JAX records."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from ebm_ppl._dependence import depends_on_argument

OUTSIDE = jnp.arange(3.0)


def constant(_: jax.Array) -> jax.Array:
    return jnp.linalg.cholesky(jnp.eye(3) * 2) @ jnp.sin(OUTSIDE)


def dependent(x: jax.Array) -> jax.Array:
    return jnp.ones(3) @ (jnp.zeros(3) + x)


def scanned(x: jax.Array) -> jax.Array:
    return lax.fori_loop(0, 2, lambda _, total: total + x, jnp.zeros(()))


TRANSFORMATIONS = {
    "jit": lambda f: jax.jit(f)(1.0),
    "grad": lambda f: jax.grad(f)(1.0),
    "compiled grad": lambda f: jax.jit(jax.grad(f))(1.0),
    "grad of compiled": lambda f: jax.grad(jax.jit(f))(1.0),
    "forward": lambda f: jax.jacfwd(f)(1.0),
    "vmap": lambda f: jax.vmap(f)(OUTSIDE),
    "compiled vmap": lambda f: jax.jit(jax.vmap(f))(OUTSIDE),
    "vmap of grad": lambda f: jax.vmap(jax.grad(f))(OUTSIDE),
    "scan": lambda f: lax.scan(lambda x, _: (x + 0 * f(x), None), 1.0, None, length=2),
}


@pytest.mark.parametrize("function", [constant, dependent, scanned], ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_constants_are_told_from_what_depends_on_arguments(
    name: str, function: Callable[[jax.Array], jax.Array]
) -> None:
    answers = []

    def ask(x: jax.Array) -> jax.Array:
        value = function(x)
        answers.append(depends_on_argument({"value": value}))
        return jnp.sum(value)

    TRANSFORMATIONS[name](ask)
    assert answers
    assert set(answers) == {function is not constant}


def test_a_choice_depends_on_what_it_was_made_by() -> None:
    """Without a compiler a derivative sees a constant here, for that is what the choice is to it."""
    answers = []

    def ask(x: jax.Array) -> jax.Array:
        value = jnp.where(x > 0, OUTSIDE, 0.0)
        answers.append(depends_on_argument(value))
        return jnp.sum(value)

    jax.jit(jax.grad(ask))(1.0)
    assert answers == [True]


def test_numbers_depend_on_nothing() -> None:
    assert not depends_on_argument((1.0, OUTSIDE, None))
