"""Draws from an energy for the auxiliary variables of the exchange algorithm."""

from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count
from ebm_ppl._types import PRNGKey
from ebm_ppl.distribution import EnergyDistribution
from ebm_ppl.doubly_intractable._sites import EnergySite
from ebm_ppl.energies._states import StateSpace
from ebm_ppl.potentials import potential_fn
from ebm_ppl.quadrature import QuadratureNormalizer
from ebm_ppl.samplers import run_short_chain

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
                    f"{space.total}. Use `ShortChains`."
                )
            states = space.states(jnp.arange(space.total))
            logits = -jax.vmap(site.energy)(states)
            return states[jax.random.categorical(rng_key, logits, shape=(count,))]
        if self.normalizer is None:
            raise ValueError(
                "`normalizer` must be a QuadratureNormalizer for an energy of real coordinates; got None."
            )
        return EnergyDistribution(site.energy, self.normalizer).sample(rng_key, (count,))


class ShortChains(eqx.Module):
    """Ends of Markov chains that start at the observations: the double Metropolis-Hastings sampler.

    The chains only approach the energy's law, so the invariant law of the exchange algorithm is off by
    what `num_steps` steps have not forgotten of the data; it is right in the limit of long chains.

    Attributes:
        kernel: Kernel class, or callable with the argument `potential_fn`.
        num_steps: Number of steps of each chain.

    Raises:
        ValueError: If `kernel` is not callable or `num_steps` is no positive integer.

    Examples:
        >>> import functools
        >>> from ebm_ppl import MALA
        >>> from ebm_ppl.doubly_intractable import ShortChains
        >>> auxiliary = ShortChains(functools.partial(MALA, step_size=0.1), num_steps=50)

    References:
        F. Liang (2010). A double Metropolis-Hastings sampler for spatial models with intractable
        normalizing constants. *Journal of Statistical Computation and Simulation* 80(9), 1007-1022.
    """

    exact: ClassVar[bool] = False

    kernel: Any = eqx.field(static=True)
    num_steps: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not callable(self.kernel):
            raise ValueError(f"`kernel` must be a kernel class or callable; got {self.kernel!r}.")
        check_count("num_steps", self.num_steps)

    def __call__(self, site: EnergySite, rng_key: PRNGKey) -> Float[Array, "n *event"]:
        """Where a chain from each observation ends."""
        potential = potential_fn(site.energy)

        def end_of_chain(rng_key: PRNGKey, x: Array) -> Array:
            kernel = self.kernel(potential_fn=potential)
            z, _ = run_short_chain(kernel, potential.unconstrain(x), self.num_steps, rng_key)
            return potential.constrain(z)

        return jax.vmap(end_of_chain)(jax.random.split(rng_key, len(site.x)), site.x)
