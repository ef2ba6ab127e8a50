"""What is computed of many points at once, in one compiled program for each shape."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._shared_jit import SharedJit
from ebm_ppl._types import Event, Scalar
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.tasks._inputs import Energy, law_at


@SharedJit
def energies(energy: Energy, x: Array, y: Any, sigma: Any) -> Float[Array, " num"]:
    """Energies of points, infinite outside the support."""

    def one(x: Event, y: Any, sigma: Any) -> Scalar:
        law = law_at(energy, y, sigma)
        return _within_support(law, x, law(x))

    return jax.vmap(one)(x, y, sigma)


@SharedJit
def score_norms(energy: Energy, x: Array, y: Any, sigma: Any) -> Float[Array, " num"]:
    """Lengths of the scores of points, infinite outside the support."""

    def one(x: Event, y: Any, sigma: Any) -> Scalar:
        law = law_at(energy, y, sigma)
        return _within_support(law, x, jnp.sqrt(jnp.sum(law.score(x) ** 2)))

    return jax.vmap(one)(x, y, sigma)


def _within_support(law: AbstractEnergy, x: Event, value: Scalar) -> Scalar:
    return jnp.where(jnp.all(jnp.asarray(law.support(x))), value, jnp.inf)
