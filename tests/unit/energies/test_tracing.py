"""An energy that JAX cannot trace is told what it did and what to write instead, at its own line."""

import math
import traceback

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ebm_ppl as ebm
from ebm_ppl.energies import from_callable


def _branching(x):
    return x**2 if x > 0 else -x


ENERGIES = {
    "numpy": (lambda x: np.sin(x) + x**2, "a function of NumPy .* `jax.numpy`"),
    "list": (lambda x: np.sum([x, x]), "a function of NumPy"),
    "math": (lambda x: math.sqrt(x * x + 1.0), "`math`, `float` or `int` .*jnp.sqrt"),
    "if": (_branching, "a Python `if` or `while` .*jnp.where"),
    "index": (lambda x: float(range(3)[x.astype(int)]), "an index or a range"),
}


@pytest.mark.parametrize("name", ENERGIES)
@pytest.mark.parametrize(
    "use",
    [
        lambda energy: jax.vmap(energy)(jnp.ones(3)),
        lambda energy: eqx.filter_jit(energy)(jnp.ones(())),
        lambda energy: ebm.quadrature.normalize(energy),
        lambda energy: eqx.filter_jit(ebm.potential_fn(energy))(jnp.ones(())),
    ],
    ids=["vmap", "jit", "normalize", "potential"],
)
def test_what_jax_cannot_trace_is_named_with_its_remedy(name, use):
    fn, message = ENERGIES[name]
    energy = from_callable(fn, ())
    with pytest.raises(
        TypeError, match=f"CallableEnergy must be written in JAX.*{message}"
    ) as told:
        use(energy)
    lines = [frame.filename for frame in traceback.extract_tb(told.value.__traceback__)]
    assert __file__ in lines


def test_other_errors_are_left_alone():
    def wrong(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        jax.vmap(from_callable(wrong, ()))(jnp.ones(2))
