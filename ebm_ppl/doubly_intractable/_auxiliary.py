"""Draws from an energy for the auxiliary variables of the exchange algorithm."""

from collections.abc import Callable
from typing import ClassVar, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._types import PRNGKey
from ebm_ppl.distribution import EnergyDistribution
from ebm_ppl.doubly_intractable._sites import EnergySite
from ebm_ppl.energies._states import StateSpace
from ebm_ppl.potentials import potential_fn
from ebm_ppl.quadrature import QuadratureNormalizer
from ebm_ppl.samplers import Moves

_MOST_STATES = 2**16

Auxiliary: TypeAlias = Callable[[EnergySite, PRNGKey], Array]
"""From an energy with its data and a random key to as many draws as there are observations."""


class ExactDraws(eqx.Module):
    """Independent draws: by quadrature, or from the table of all states of a discrete energy.

    With them the exchange algorithm has the posterior as its invariant law.

    Attributes:
        normalizer: `QuadratureNormalizer` whose grid fits the energy for all parameters; `None` for
            discrete energies, which may have up to 2^16 states.

    Raises:
        ValueError: When it draws, if a discrete energy has more states, or an energy of real coordinates
            meets no normaliser.

    Examples:
        >>> from ebm_ppl.doubly_intractable import ExactDraws
        >>> from ebm_ppl.quadrature import QuadratureNormalizer
        >>> auxiliary = ExactDraws(QuadratureNormalizer(bounds=(-6.0, 6.0)))
    """

    exact: ClassVar[bool] = True

    normalizer: QuadratureNormalizer | None = None

    def __call__(self, site: EnergySite, rng_key: PRNGKey) -> Float[Array, "n *event"]:
        """As many draws as the site has observations."""
        count = len(site.x)
        space = StateSpace.of(site.energy)
        if space is not None:
            if space.total > _MOST_STATES:
                raise ValueError(
                    f"A discrete energy must have at most {_MOST_STATES} states for exact draws; got "
                    f"{space.total}. Use `ebm_ppl.samplers.Moves`."
                )
            states = space.states(jnp.arange(space.total))
            logits = -jax.vmap(site.energy)(states)
            return states[jax.random.categorical(rng_key, logits, shape=(count,))]
        if self.normalizer is None:
            raise ValueError(
                "`normalizer` must be a QuadratureNormalizer for an energy of real coordinates; got None."
            )
        return EnergyDistribution(site.energy, self.normalizer).sample(rng_key, (count,))


def ends_of_chains(moves: Moves, site: EnergySite, rng_key: PRNGKey) -> Float[Array, "n *event"]:
    """Where moves lead from each observation."""
    potential = potential_fn(site.energy)

    def end_of_chain(rng_key: PRNGKey, x: Array) -> Array:
        z, _ = moves.run(potential, potential.unconstrain(x), rng_key)
        return potential.constrain(z)

    return jax.vmap(end_of_chain)(jax.random.split(rng_key, len(site.x)), site.x)
